// SPDX-License-Identifier: Apache-2.0
#include "dest/delayed.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/statvfs.h>

namespace pclive::dest {

using wire::kPageSize;

namespace {

struct Place {
    const uint8_t *data;
    uint64_t offset;
    size_t size;
};

Error failed(int error) {
    return systemError(error == ENOSPC ? "no-space" : "files", "cannot use the file for waiting pages", error,
                       "make room there, or migrate with --stage-after 0");
}

Fd openFile(const std::string &folder) {
    Fd fd(open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!fd)
        throw systemError("files", "cannot make a file for waiting pages in " + folder, errno,
                          "migrate with --stage-after 0");
    return fd;
}

/// Half of what is free on the disk.
uint64_t roomFor(int fd) {
    struct statvfs room {};
    return fstatvfs(fd, &room) ? 0 : room.f_bavail * room.f_frsize / 2;
}

void writeAt(int fd, const Place &place) {
    for (size_t done = 0; done < place.size;) {
        ssize_t put =
            pwrite(fd, place.data + done, place.size - done, static_cast<off_t>(place.offset + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            throw failed(errno);
        done += static_cast<size_t>(put);
    }
}

void readAt(int fd, uint8_t *to, uint64_t offset, size_t size) {
    while (size) {
        ssize_t got = pread(fd, to, size, static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            throw failed(got ? errno : EIO);
        to += got;
        offset += static_cast<uint64_t>(got);
        size -= static_cast<size_t>(got);
    }
}

} // namespace

DelayedStore::DelayedStore(StagingStore &staging, uint32_t after, const std::string &folder)
    : target_(staging), after_(after), file_(openFile(folder)), limit_(roomFor(file_.get())),
      staging_(after == 0) {}

void DelayedStore::roundEnded(std::span<Process *const> processes, uint32_t round) {
    target_.roundEnded(processes, round);
    if (round >= after_)
        begin();
}

bool DelayedStore::ready(const Process &process, const wire::PageList &pages) {
    return !staging_ && end_ + pages.pages * kPageSize <= limit_ ? true : target_.ready(process, pages);
}

Store::Rest DelayedStore::write(Process &process, const wire::PageList &pages) {
    if (end_ + pages.pages * kPageSize > limit_)
        begin(); // as little as possible is said about a disk that is full
    if (!staging_)
        return keep(process, pages);
    for (const auto &run : pages.runs)
        forget(process, {run.start, run.start + run.pages * kPageSize});
    return target_.write(process, pages);
}

/// Pages that have a place are overwritten there, others get one at the end.
Store::Rest DelayedStore::keep(Process &process, const wire::PageList &pages) {
    Waiting &mine = waiting_[process.vpid];
    mine.process = &process;
    uint64_t before = mine.pages.pages();
    std::vector<Place> places;
    const uint8_t *data = pages.data;
    for (const auto &run : pages.runs) {
        Range range{run.start, run.start + run.pages * kPageSize};
        std::vector<Range> fresh;
        uint64_t at = range.start;
        mine.places.forEach(range, [&](const Extents::Piece &piece) {
            if (at < piece.range.start)
                fresh.push_back({at, piece.range.start});
            places.push_back({data + (piece.range.start - range.start), piece.offset,
                              piece.range.end - piece.range.start});
            at = piece.range.end;
        });
        if (at < range.end)
            fresh.push_back({at, range.end});
        for (const auto &part : fresh) {
            mine.places.add(part, end_);
            places.push_back({data + (part.start - range.start), end_, part.end - part.start});
            end_ += part.end - part.start;
        }
        mine.pages.add(range);
        data += range.end - range.start;
    }
    pages_ += mine.pages.pages() - before;
    return [this, places = std::move(places)] {
        for (const auto &place : places)
            writeAt(file_.get(), place);
    };
}

void DelayedStore::forget(Process &process, Range range) {
    auto found = waiting_.find(process.vpid);
    if (found == waiting_.end())
        return;
    uint64_t before = found->second.pages.pages();
    found->second.pages.remove(range);
    pages_ -= before - found->second.pages.pages();
    if (!found->second.pages.pages())
        waiting_.erase(found);
}

void DelayedStore::drop(Process &process, std::span<const Range> ranges) {
    std::vector<Range> staged;
    for (const auto &range : ranges) {
        uint64_t at = range.start;
        if (auto found = waiting_.find(process.vpid); found != waiting_.end())
            found->second.pages.forEach(range, [&](Range run) {
                if (at < run.start)
                    staged.push_back({at, run.start});
                at = run.end;
            });
        if (at < range.end)
            staged.push_back({at, range.end});
        forget(process, range);
    }
    target_.drop(process, staged);
}

bool DelayedStore::stageSome() {
    if (!staging_ || waiting_.empty())
        return false;
    Waiting &first = waiting_.begin()->second;
    auto block = first.pages.blockFrom(first.next);
    if (!block) // all that is left lies below
        first.next = 0;
    else if (stageBlock(first, *block))
        first.next = *block + kBlockBytes;
    return !waiting_.empty();
}

/// All of a block that waits. Returns whether the process has more.
bool DelayedStore::stageBlock(Waiting &waiting, uint64_t block) {
    Process &process = *waiting.process;
    Range all{block, block + kBlockBytes};
    wire::PageList list{process.vpid, 0, 0, {}, nullptr};
    buffer_.resize(kBlockBytes);
    waiting.pages.forEach(all, [&](Range run) {
        readBack(waiting, run, &buffer_[list.pages * kPageSize]);
        for (uint64_t at = run.start; at < run.end;) { // a run on the wire lies in one area
            uint64_t end = std::min(run.end, process.areaOf({at, at + kPageSize})->end);
            list.runs.push_back({at, static_cast<uint32_t>((end - at) / kPageSize), 0});
            at = end;
        }
        list.pages += (run.end - run.start) / kPageSize;
    });
    list.data = buffer_.data();
    if (list.pages)
        target_.write(process, list)();
    bool more = waiting.pages.pages() > list.pages;
    forget(process, all);
    return more;
}

/// The file gives its memory back as it is read.
void DelayedStore::readBack(const Waiting &waiting, Range range, uint8_t *to) {
    waiting.places.forEach(range, [&](const Extents::Piece &piece) {
        size_t size = piece.range.end - piece.range.start;
        readAt(file_.get(), to + (piece.range.start - range.start), piece.offset, size);
        fallocate(file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(piece.offset),
                  static_cast<off_t>(size));
    });
}

} // namespace pclive::dest
