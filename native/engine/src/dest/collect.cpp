// SPDX-License-Identifier: Apache-2.0
#include "dest/collect.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>

namespace pclive::dest {

using image::kInParent;
using image::kPresent;
using image::Pagemap;
using image::PagemapEntry;
using wire::kPageSize;

namespace {

constexpr off_t kMaxPagemapBytes = 1 << 30;
constexpr int kNew = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;

std::string pagemapName(uint32_t vpid) {
    return "pagemap-" + std::to_string(vpid) + ".img";
}
std::string pagesName(uint32_t vpid) {
    return "pages-" + std::to_string(vpid) + ".img";
}

Fd makeDirectory(int at, const std::string &name) {
    if (mkdirat(at, name.c_str(), 0700))
        throw systemError("files", "cannot make the directory " + name, errno);
    return openDirectory(at, name);
}

Fd create(int at, const std::string &name) {
    Fd fd(openat(at, name.c_str(), kNew, 0600));
    if (!fd)
        throw systemError("files", "cannot create " + name, errno);
    return fd;
}

void link(int at, const std::string &target) {
    if (symlinkat(target.c_str(), at, "parent"))
        throw systemError("files", "cannot make the link to the parent images", errno);
}

void replace(int at, const std::string &from, const std::string &to) {
    if (renameat(at, from.c_str(), at, to.c_str()))
        throw systemError("files", "cannot replace " + to, errno);
}

void copyPart(int from, uint64_t offset, int to, uint64_t size, const std::string &name) {
    while (size) {
        auto at = static_cast<off64_t>(offset);
        ssize_t put = copy_file_range(from, &at, to, nullptr, size, 0);
        if (put <= 0)
            throw systemError(errno == ENOSPC ? "no-space" : "files", "cannot write " + name, errno);
        offset += static_cast<uint64_t>(put);
        size -= static_cast<uint64_t>(put);
    }
}

std::string readWhole(int at, const std::string &name) {
    Fd fd(openat(at, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    struct stat status {};
    if (!fd || fstat(fd.get(), &status))
        throw systemError("images", "the skeleton has no " + name, errno);
    if (!S_ISREG(status.st_mode) || status.st_size > kMaxPagemapBytes)
        throw Error("images", name + " of the skeleton is not an image");
    std::string bytes(static_cast<size_t>(status.st_size), '\0');
    for (size_t done = 0; done < bytes.size();) {
        ssize_t got = read(fd.get(), bytes.data() + done, bytes.size() - done);
        if (got <= 0)
            throw systemError("images", "cannot read " + name, errno);
        done += static_cast<size_t>(got);
    }
    return bytes;
}

PagemapEntry entryOf(Range range, uint32_t flags) {
    return {range.start, (range.end - range.start) / kPageSize, flags};
}

} // namespace

ImageStore::ImageStore(const std::string &imageDir)
    : imageDir_(openDirectory(AT_FDCWD, imageDir)), rounds_(makeDirectory(imageDir_.get(), "rounds")) {}

void ImageStore::openRound() {
    if (current_)
        return;
    round_++;
    current_ = makeDirectory(rounds_.get(), std::to_string(round_));
    if (round_ > 1)
        link(current_.get(), "../" + std::to_string(round_ - 1));
}

ImageStore::Spool &ImageStore::spool(uint32_t vpid) {
    openRound();
    Spool &spool = spools_[vpid];
    if (!spool.fd)
        spool.fd = create(current_.get(), pagesName(vpid));
    return spool;
}

Store::Rest ImageStore::write(Process &process, const wire::PageList &pages) {
    Spool &target = spool(process.vpid);
    writeFile(target.fd.get(), pagesName(process.vpid), pages.data, pages.pages * kPageSize);
    for (const auto &run : pages.runs) {
        target.extents.add({run.start, run.start + run.pages * kPageSize}, target.size);
        target.size += run.pages * kPageSize;
    }
    return {};
}

/// The process's pages at the end of a round. `inOrder`: the pages image holds just these pages in this
/// order, as CRIU wants it.
Pagemap ImageStore::describe(const Process &process, const Spool &spool, bool &inOrder) const {
    Pagemap pagemap{process.vpid, {}};
    uint64_t offset = 0;
    inOrder = true;
    process.pages.forEach([&](Range run) {
        uint64_t at = run.start;
        spool.extents.forEach(run, [&](const Extents::Piece &piece) {
            if (at < piece.range.start)
                pagemap.entries.push_back(entryOf({at, piece.range.start}, kInParent));
            pagemap.entries.push_back(entryOf(piece.range, kPresent));
            inOrder = inOrder && piece.offset == offset;
            offset += piece.range.end - piece.range.start;
            at = piece.range.end;
        });
        if (at < run.end)
            pagemap.entries.push_back(entryOf({at, run.end}, kInParent));
    });
    inOrder = inOrder && offset == spool.size;
    return pagemap;
}

/// Pages came out of order, twice, or were dropped again.
void ImageStore::rewrite(uint32_t vpid, Spool &spool, const Process &process) {
    Fd fresh = create(current_.get(), "pages.new");
    process.pages.forEach([&](Range run) {
        spool.extents.forEach(run, [&](const Extents::Piece &piece) {
            copyPart(spool.fd.get(), piece.offset, fresh.get(), piece.range.end - piece.range.start,
                     pagesName(vpid));
        });
    });
    replace(current_.get(), "pages.new", pagesName(vpid));
}

void ImageStore::roundEnded(std::span<Process *const> processes, uint32_t) {
    openRound();
    for (const Process *process : processes) {
        Spool &mine = spool(process->vpid);
        bool inOrder;
        Pagemap pagemap = describe(*process, mine, inOrder);
        if (!inOrder)
            rewrite(process->vpid, mine, *process);
        std::string bytes = image::encodePagemap(pagemap);
        Fd fd = create(current_.get(), pagemapName(process->vpid));
        writeFile(fd.get(), pagemapName(process->vpid), bytes.data(), bytes.size());
    }
    spools_.clear();
    current_.reset();
}

void ImageStore::finish(std::span<Process *const> processes) {
    for (const Process *process : processes)
        if (process->pages.pages())
            merge(*process);
    if (round_)
        link(imageDir_.get(), "rounds/" + std::to_string(round_));
}

void ImageStore::merge(const Process &process) {
    std::string name = pagemapName(process.vpid);
    Pagemap pagemap = image::decodePagemap(readWhole(imageDir_.get(), name), name);
    for (const auto &entry : pagemap.entries)
        if (entry.flags & kInParent)
            throw Error("images", "the skeleton has a parent of its own");
    process.pages.forEach([&](Range run) { pagemap.entries.push_back(entryOf(run, kInParent)); });
    std::stable_sort(pagemap.entries.begin(), pagemap.entries.end(),
                     [](const auto &left, const auto &right) { return left.start < right.start; });
    for (size_t i = 1; i < pagemap.entries.size(); i++) {
        const auto &before = pagemap.entries[i - 1];
        if (before.start + before.pages * kPageSize > pagemap.entries[i].start)
            throw Error("images", "the skeleton holds pages that were sent ahead as well");
    }
    std::string bytes = image::encodePagemap(pagemap);
    Fd fd = create(imageDir_.get(), "pagemap.new");
    writeFile(fd.get(), name, bytes.data(), bytes.size());
    replace(imageDir_.get(), "pagemap.new", name);
}

} // namespace pclive::dest
