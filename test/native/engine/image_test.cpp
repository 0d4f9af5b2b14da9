// SPDX-License-Identifier: Apache-2.0
// Images without a process: pages merged with a dump, written, summed; and where copies are kept.
#include "checkpoint/mirror.hpp"
#include "image/writer.hpp"
#include "testing.hpp"
#include "wire/crc32c.hpp"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/mount.h>
#include <sys/stat.h>

using namespace pclive;
using namespace pclive::image;
using namespace pclive::testing;

namespace {

constexpr uint64_t kBase = 0x7f0000000000;

Range pages(uint64_t first, uint64_t last) {
    return {kBase + first * kPageSize, kBase + last * kPageSize};
}

/// What the page at an address holds, in this test's processes.
void fill(uint8_t *page, uint64_t address, uint8_t kind) {
    std::memset(page, kind, kPageSize);
    std::memcpy(page, &address, sizeof address);
}

std::string pageOf(uint64_t address, uint8_t kind) {
    std::string page(kPageSize, '\0');
    fill(reinterpret_cast<uint8_t *>(page.data()), address, kind);
    return page;
}

constexpr uint8_t kOurs = 7, kDumped = 9;

/// Makes up every page.
class MadeUp final : public PageSource {
  public:
    void fetch(const Range &range, uint8_t *room, std::vector<iovec> &pieces) const override {
        pieces.push_back({room, range.end - range.start});
        for (uint64_t at = range.start; at < range.end; at += kPageSize, room += kPageSize)
            fill(room, at, kOurs);
    }
};

void sameEntry(const PagemapEntry &entry, Range range, uint32_t flags) {
    CHECK(entry.start == range.start && entry.pages == pagesIn(range) && entry.flags == flags);
}

PagemapEntry entryOf(Range range, uint32_t flags = kPresent) {
    return {range.start, pagesIn(range), flags};
}

void mergedByAddress() {
    constexpr uint32_t kLazy = kPresent | 2;
    Pagemap skeleton{5, {entryOf(pages(10, 12), kLazy), entryOf(pages(20, 21))}};
    ProcessPages process{1, {pages(0, 4), pages(12, 30)}, {pages(1, 2), pages(20, 22)}, nullptr};
    auto merged = mergePages(skeleton, process);
    const auto &entries = merged.pagemap.entries;
    CHECK(merged.pagemap.pagesId == 5 && entries.size() == 8);
    sameEntry(entries[0], pages(0, 1), kPresent);
    sameEntry(entries[1], pages(1, 2), kInParent);
    sameEntry(entries[2], pages(2, 4), kPresent);
    sameEntry(entries[3], pages(10, 12), kLazy);
    sameEntry(entries[4], pages(12, 20), kPresent);
    sameEntry(entries[5], pages(20, 21), kPresent); // CRIU's own goes first
    sameEntry(entries[6], pages(21, 22), kInParent);
    sameEntry(entries[7], pages(22, 30), kPresent);
    CHECK(merged.skeletonBytes == 3 * kPageSize && merged.plan.bytes == 22 * kPageSize);
    uint64_t offset = 0;
    for (const auto &segment : merged.plan.segments) {
        CHECK(segment.offset == offset);
        offset += segment.bytes;
    }
    CHECK(offset == merged.plan.bytes);
    throwsCode("images", [&] { mergePages({5, {entryOf(pages(3, 4), kInParent)}}, process); });
    throwsCode("images", [&] { mergePages({5, {entryOf(pages(3, 5)), entryOf(pages(4, 6))}}, process); });
}

/// A dump of two processes, 7 and 8, and of some shared memory.
struct Dump {
    TempDir directory;
    std::string skeleton = directory.path("skeleton"), to = directory.path("to");
    MadeUp source;
    std::vector<ProcessPages> processes{{7, {pages(0, 3000), pages(5000, 5001)}, {}, &source}};
    WriteProgress progress;

    Dump() {
        mkdir(skeleton.c_str(), 0700);
        mkdir(to.c_str(), 0700);
        put("inventory.img", "an inventory");
        put("core-7.img", std::string(3000000, 'c'));
        put("pagemap-7.img", encodePagemap({1, {entryOf(pages(4000, 4002))}}));
        put("pages-1.img", pageOf(pages(4000, 0).start, kDumped) + pageOf(pages(4001, 0).start, kDumped));
        put("pagemap-8.img", encodePagemap({2, {}}));
        put("pages-2.img", "");
        put("pages-3.img", std::string(5u << 20, 's'));
    }
    void put(const std::string &name, const std::string &text) const {
        writeText(skeleton + "/" + name, text);
    }
    WriteTotals write(bool direct = false, std::optional<std::string> parent = {}) {
        return writeImage({skeleton, to, "4.2.1", std::move(parent), {direct, 0}}, processes, progress);
    }
};

void sumsHold(const std::string &to) {
    auto sums = Json::parse(readText(to + "/" + kSumsFile));
    CHECK(sums["version"] == 1 && sums["criu"] == "4.2.1");
    size_t files = 1; // the sums
    auto sumOf = [](const std::string &bytes) {
        char text[9];
        std::snprintf(text, sizeof text, "%08x", wire::crc32cTable(0, bytes.data(), bytes.size()));
        return std::string(text);
    };
    for (const auto &[name, file] : sums["files"].items()) {
        auto bytes = readText(to + "/" + name);
        CHECK(file["bytes"] == bytes.size() && file["crc32c"] == sumOf(bytes));
        files++;
    }
    for (const auto &[name, file] : sums["pages"].items()) {
        auto bytes = readText(to + "/" + name);
        size_t chunk = file["chunk"];
        CHECK(file["bytes"] == bytes.size() && file["crc32c"].size() == (bytes.size() + chunk - 1) / chunk);
        for (size_t i = 0; i < file["crc32c"].size(); i++)
            CHECK(file["crc32c"][i] == sumOf(bytes.substr(i * chunk, chunk)));
        files++;
    }
    size_t found = 0;
    for (const auto &entry : std::filesystem::directory_iterator(to))
        found += entry.is_regular_file() && !entry.is_symlink();
    CHECK(found == files);
}

void writtenWhole(bool direct) {
    Dump dump;
    dump.processes[0].inParent = {pages(100, 101)};
    auto totals = dump.write(direct, "../before");
    CHECK(totals.files == 8 && totals.pages == 3002 + (5u << 20) / kPageSize);
    CHECK(dump.progress.bytes == totals.pages * kPageSize);
    auto image = readText(dump.to + "/pages-1.img");
    auto pagemap = decodePagemap(readText(dump.to + "/pagemap-7.img"), "pagemap-7.img");
    size_t offset = 0;
    for (const auto &entry : pagemap.entries)
        for (uint64_t page = 0; entry.flags == kPresent && page < entry.pages; page++, offset += kPageSize) {
            uint64_t at = entry.start + page * kPageSize;
            bool dumped = at >= pages(4000, 0).start && at < pages(4002, 0).start;
            CHECK(image.compare(offset, kPageSize, pageOf(at, dumped ? kDumped : kOurs)) == 0);
        }
    CHECK(offset == image.size() && offset == 3002 * kPageSize);
    CHECK(readText(dump.to + "/pages-3.img") == std::string(5u << 20, 's'));
    CHECK(readText(dump.to + "/inventory.img") == "an inventory");
    CHECK(std::filesystem::read_symlink(dump.to + "/parent") == "../before");
    sumsHold(dump.to);
}

void unfitSkeletons() {
    auto refused = [](const std::string &code, const std::string &named,
                      const std::function<void(Dump &)> &spoil) {
        Dump dump;
        spoil(dump);
        auto text = throwsCode(code, [&] { dump.write(); });
        CHECK(text.find(named) != std::string::npos);
        CHECK(!std::filesystem::exists(dump.to + "/inventory.img"));
    };
    refused("images", "inventory.img",
            [](Dump &dump) { unlink((dump.skeleton + "/inventory.img").c_str()); });
    refused("images", "pagemap-9.img", [](Dump &dump) { dump.processes[0].vpid = 9; });
    refused("images", "pages-1.img", [](Dump &dump) { dump.put("pages-1.img", "short"); });
    refused("images", "pagemap-7.img", [](Dump &dump) { dump.put("pagemap-7.img", "nonsense"); });
    refused("files", "/to", [](Dump &dump) { writeText(dump.to + "/old", "old"); });
    refused("files", "nowhere", [](Dump &dump) { dump.to += "/nowhere"; });
    refused("aborted", "", [](Dump &dump) { dump.progress.stopped = true; });
}

/// A file system of 8 MiB.
class SmallDisk {
  public:
    explicit SmallDisk(std::string path) : path_(std::move(path)) {
        if (mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=8m"))
            throw Skip("nothing can be mounted here");
    }
    ~SmallDisk() { umount2(path_.c_str(), MNT_DETACH); }
    void readOnly() const { CHECK(mount("tmpfs", path_.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, "") == 0); }

  private:
    std::string path_;
};

void fullDisk() {
    Dump dump;
    SmallDisk disk(dump.to);
    auto text = throwsCode("no-space", [&] { dump.write(); });
    CHECK(text.find(dump.to) != std::string::npos);
    for (bool direct : {false, true}) { // when it turns out only while writing
        Directory from(dump.skeleton), to(dump.to);
        auto merged = mergePages({1, {}}, dump.processes[0]);
        PagesJob job{"pages-" + std::to_string(direct) + ".img", std::move(merged.plan), &dump.source};
        PagesWriter writer(from, to, {direct, 0}, dump.progress);
        text = throwsCode("no-space", [&] { writer.write(job, 3); });
        CHECK(text.find(dump.to + "/" + job.name) != std::string::npos);
        unlink((dump.to + "/" + job.name).c_str());
    }
    disk.readOnly();
    dump.processes.clear();
    unlink((dump.skeleton + "/pages-3.img").c_str());
    dump.put("pages-1.img", "");
    throwsCode("files", [&] { dump.write(); });
}

/// What is kept in the mirror, page by page.
void mirrorKeeps(bool spooled) {
    TempDir spool;
    WindowMaker windows(spool.path(), [&] { return spooled ? 0 : UINT64_MAX; });
    Mirror mirror(windows);
    // Over the border of two windows, dense in between.
    uint64_t border = ((kBase >> 30) + 1) << 30;
    Range all{border - 3000 * kPageSize, border + 2000 * kPageSize};
    Range lonely{border + 9000 * kPageSize, border + 9001 * kPageSize};
    auto write = [&](const Range &range, uint8_t kind) {
        mirror.reserve({range});
        std::vector<iovec> places;
        mirror.fetch(range, nullptr, places);
        uint64_t at = range.start;
        for (const auto &place : places)
            for (size_t offset = 0; offset < place.iov_len; offset += kPageSize, at += kPageSize)
                fill(static_cast<uint8_t *>(place.iov_base) + offset, at, kind);
        CHECK(at == range.end);
        mirror.keep({range});
    };
    auto holds = [&](const Range &range, uint8_t kind) {
        std::vector<iovec> places;
        mirror.fetch(range, nullptr, places);
        uint64_t at = range.start;
        for (const auto &place : places)
            for (size_t offset = 0; offset < place.iov_len; offset += kPageSize, at += kPageSize)
                CHECK(!memcmp(static_cast<uint8_t *>(place.iov_base) + offset, pageOf(at, kind).data(),
                              kPageSize));
    };
    write(all, 1);
    write(lonely, 2);
    mirror.present = {all, lonely};
    CHECK(mirror.unchanged().empty());
    mirror.written();
    CHECK(pagesIn(mirror.unchanged()) == 5001);
    Range some{border - 10 * kPageSize, border + 10 * kPageSize};
    write(some, 3);
    holds(some, 3);
    holds({all.start, some.start}, 1);
    holds({some.end, all.end}, 1);
    CHECK(pagesIn(mirror.unchanged()) == 4981);
    mirror.drop({{all.start, all.start + 2900 * kPageSize}});
    mirror.retain({{all.start, all.end}}); // the lonely one is gone
    mirror.present = {{all.start + 2900 * kPageSize, all.end}};
    CHECK(pagesIn(mirror.unchanged()) == 2080);
    holds({some.end, all.end}, 1);
    write(lonely, 4);
    holds(lonely, 4);
    CHECK(std::filesystem::is_empty(spool.path())); // the file has no name
}

void spoolIsFull() {
    TempDir directory;
    SmallDisk disk(directory.path());
    WindowMaker windows(directory.path(), [] { return 0; });
    Mirror mirror(windows);
    auto text = throwsCode("no-space", [&] { mirror.reserve({pages(0, 4000)}); });
    CHECK(text.find(directory.path()) != std::string::npos);
    mirror.reserve({pages(10000, 10010)}); // a little still fits
    WindowMaker nowhere(directory.path("nowhere"), [] { return 0; });
    throwsCode("files", [&] { Mirror(nowhere).reserve({pages(0, 1)}); });
}

void rangesSubtract() {
    auto left = subtract({pages(0, 10), pages(20, 30), pages(40, 41)},
                         {pages(2, 3), pages(5, 22), pages(25, 26), pages(29, 50)});
    CHECK(left.size() == 4 && pagesIn(left) == 2 + 2 + 3 + 3 && left[2].start == pages(22, 0).start);
    CHECK(subtract(left, {}).size() == 4 && subtract({}, left).empty());
}

} // namespace

int main(int argc, char **argv) {
    return runCases({{"ranges are subtracted", rangesSubtract},
                     {"pages are merged by address", mergedByAddress},
                     {"an image is written whole", [] { writtenWhole(false); }},
                     {"an image is written whole, past the page cache", [] { writtenWhole(true); }},
                     {"a skeleton that does not fit is refused", unfitSkeletons},
                     {"a full or read-only disk is told", fullDisk},
                     {"a mirror keeps pages in memory", [] { mirrorKeeps(false); }},
                     {"a mirror keeps pages in the spool", [] { mirrorKeeps(true); }},
                     {"a full spool is told", spoolIsFull}},
                    argc, argv);
}
