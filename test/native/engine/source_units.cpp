// SPDX-License-Identifier: Apache-2.0
// The source's parts that need no other process.
#include "control/error.hpp"
#include "proc/maps.hpp"
#include "source/bandwidth.hpp"
#include "source/memory_reader.hpp"
#include "source/timing.hpp"
#include "source_check.hpp"
#include "track/page_set.hpp"

#include <random>
#include <set>
#include <sys/mman.h>

using namespace pclive;
using namespace sourcetest;

namespace {

constexpr uint64_t kBase = 0x7f0000000000;

Range pages(uint64_t first, uint64_t last) {
    return {kBase + first * kPageSize, kBase + last * kPageSize};
}

std::set<uint64_t> flat(const Ranges &ranges) {
    std::set<uint64_t> result;
    for (const auto &range : ranges)
        for (uint64_t at = range.start; at < range.end; at += kPageSize)
            result.insert(at);
    return result;
}

void isSorted(const Ranges &ranges) {
    for (size_t i = 1; i < ranges.size(); i++)
        check(ranges[i - 1].end < ranges[i].start, "ranges are sorted and joined");
}

/// Random operations on a PageSet and on a plain set.
void pageSetAgainstModel() {
    std::mt19937 random(7);
    PageSet set;
    std::set<uint64_t> model;
    auto pick = [&] {
        uint64_t first = random() % 3000;
        return pages(first, first + 1 + random() % (random() % 4 ? 40 : 1500));
    };
    for (int step = 0; step < 3000; step++) {
        auto range = pick();
        auto covered = flat({range});
        Ranges found;
        std::set<uint64_t> expected;
        switch (random() % 4) {
        case 0:
            set.insert(range);
            model.insert(covered.begin(), covered.end());
            break;
        case 1:
            set.take(range, found);
            for (auto page : covered)
                if (model.erase(page))
                    expected.insert(page);
            check(flat(found) == expected, "take returns what was there");
            break;
        case 2:
            set.missing(range, found);
            for (auto page : covered)
                if (!model.contains(page))
                    expected.insert(page);
            check(flat(found) == expected, "missing returns what is not there");
            break;
        default:
            found =
                set.retain({pages(0, 1000), range.start < pages(1000, 0).start ? pages(1000, 1001) : range});
            for (auto page : flat(found))
                check(model.erase(page) == 1, "retain returns what was there");
        }
        isSorted(found);
        check(set.pages() == model.size(), "pages are counted");
    }
    check(flat(set.ranges()) == model, "the set equals its model");
    isSorted(set.ranges());
}

void rangesUniteAndSplit() {
    auto united = unite({pages(0, 2), pages(5, 9)}, {pages(1, 3), pages(3, 4), pages(6, 7), pages(20, 21)});
    check(united.size() == 3 && pagesIn(united) == 9, "unite joins what overlaps or touches");
    auto split = splitAt({pages(0, 10), pages(12, 14)}, {pages(0, 3), pages(3, 10), pages(11, 20)});
    check(split.size() == 3 && split[0].end == pages(3, 3).start && split[2].start == pages(12, 12).start,
          "splitAt cuts at the ends of areas");
}

void mapsAreParsed() {
    auto maps = parseMaps("55d0c0a00000-55d0c0b00000 rw-p 00000000 00:00 0                          [heap]\n"
                          "7f0000000000-7f0000200000 r-xs 00001000 08:01 4711   /some where/lib x.so\n"
                          "7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0\n");
    check(maps.size() == 3 && maps[0].name == "[heap]" && !maps[0].shared && !maps[0].executable, "heap");
    check(maps[1].shared && maps[1].executable && maps[1].inode == 4711 &&
              maps[1].name == "/some where/lib x.so",
          "file");
    check(maps[2].name.empty() && maps[2].end == 0x7ffc00021000, "anonymous");
    bool refused = false;
    try {
        parseMaps("nonsense\n");
    } catch (const Error &error) {
        refused = error.code() == "proc";
    }
    check(refused, "what is not a line of maps is refused");
}

void zeroPagesAreFound() {
    alignas(64) static uint8_t page[kPageSize];
    check(isZeroPage(page), "all zero");
    for (size_t at : {size_t(0), size_t(31), size_t(2048), kPageSize - 1}) {
        page[at] = 1;
        check(!isZeroPage(page), "one byte is set");
        page[at] = 0;
    }
}

/// Our own layout: which of some mappings are handled.
void layoutFollowsTheRules() {
    constexpr size_t kSize = 4u << 20;
    auto map = [](size_t size, int protection, int flags) {
        return reinterpret_cast<uint64_t>(mmap(nullptr, size, protection, flags | MAP_ANONYMOUS, -1, 0));
    };
    // Pages between them keep the kernel from joining them.
    uint64_t plain = map(kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    uint64_t none = map(kSize, PROT_NONE, MAP_PRIVATE);
    uint64_t shared = map(kSize, PROT_READ | PROT_WRITE, MAP_SHARED);
    uint64_t growing = map(kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_GROWSDOWN);
    uint64_t small = map(128u << 10, PROT_READ, MAP_PRIVATE);
    Layout layout(getpid());
    auto areas = layout.read(Layout::Pace::round);
    auto handled = [&](uint64_t address) {
        return std::any_of(areas.begin(), areas.end(),
                           [&](const Range &area) { return area.start <= address && address < area.end; });
    };
    check(handled(plain) && handled(none), "private anonymous memory is handled, whatever its protection");
    check(!handled(shared) && !handled(small), "shared and small mappings are not");
    check(!handled(growing), "a mapping that grows down is not");
    // A mapping that appears in the pause and is large is asked for; a small new one is left to CRIU.
    uint64_t late = map(64u << 20, PROT_READ, MAP_PRIVATE);
    areas = layout.read(Layout::Pace::final);
    check(handled(late) && handled(plain) && !handled(growing),
          "the final look knows what has grown or is large");
    for (auto [address, size] : {std::pair{plain, kSize},
                                 {none, kSize},
                                 {shared, kSize},
                                 {growing, kSize},
                                 {late, size_t(64) << 20}})
        munmap(reinterpret_cast<void *>(address), size);
}

void bandwidthIsLimited() {
    BandwidthLimit limit(10u << 20);
    Stopwatch watch;
    for (int i = 0; i < 6; i++)
        limit.take(1u << 20);
    check(watch.ms() > 350 && watch.ms() < 900,
          "6 MiB at 10 MiB/s take about half a second: " + std::to_string(watch.ms()));
}

} // namespace

int main(int argc, char **argv) {
    std::string only = argc > 1 ? argv[1] : "";
    test("page set against a model", only, pageSetAgainstModel);
    test("ranges unite and split", only, rangesUniteAndSplit);
    test("maps are parsed", only, mapsAreParsed);
    test("zero pages are found", only, zeroPagesAreFound);
    test("the layout follows the rules", only, layoutFollowsTheRules);
    test("bandwidth is limited", only, bandwidthIsLimited);
    return failures ? 1 : 0;
}
