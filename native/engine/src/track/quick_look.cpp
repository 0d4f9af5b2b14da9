// SPDX-License-Identifier: Apache-2.0
#include "track/quick_look.hpp"
#include "control/error.hpp"
#include "control/userfaultfd.hpp"

#include <sys/mman.h>
#include <unistd.h>

namespace pclive {
namespace {

// Exactly this: with any other condition or category the kernel goes the long way.
constexpr PageQuery kNotProtected{.mask = page::kWritten, .reported = page::kWritten};
constexpr PageQuery kThere{.anyOf = page::kPresent | page::kSwapped};
constexpr PageQuery kProtect{.anyOf = page::kPresent | page::kSwapped, .protect = true};

constexpr uint64_t kTableBytes = 512 * kPageSize;
/// A call costs as much as walking over so many pages.
constexpr uint64_t kWorthOneCall = 64 * kPageSize;

/// Parts of one area, those joined that are close to each other.
void joinNear(const Ranges &parts, const Range &area, Ranges::const_iterator &next, Ranges &result) {
    while (next != parts.end() && next->end <= area.start)
        ++next;
    bool first = true;
    for (; next != parts.end() && next->start < area.end; ++next) {
        Range part{std::max(next->start, area.start), std::min(next->end, area.end)};
        if (!first && part.start - result.back().end <= kWorthOneCall)
            result.back().end = part.end;
        else
            result.push_back(part);
        first = false;
        if (next->end > area.end)
            break; // it reaches into the next area
    }
}

/// Those of `clean` where the kernel has thrown away a whole table: nothing is there any more.
Ranges withoutTable(const Pagemap &pagemap, const Ranges &clean) {
    Ranges result;
    uint64_t asked = ~0ull; // the table that was asked for last
    bool there = false;
    for (const auto &range : clean)
        for (uint64_t at = range.start; at < range.end; at = (at / kTableBytes + 1) * kTableBytes) {
            if (at / kTableBytes != asked) {
                there = false;
                pagemap.scan({at, at + kPageSize}, kThere, [&](const Range &, uint64_t) { there = true; });
                asked = at / kTableBytes;
            }
            if (!there)
                appendRange(result, at, std::min(range.end, (at / kTableBytes + 1) * kTableBytes));
        }
    return result;
}

/// Memory of our own: pages that were protected, of which one was written since and one is gone.
bool probe() {
    constexpr size_t kPages = 4, kLength = kPages * kPageSize;
    Fd fd = uffd::open(uffd::kWpAsync);
    if (!fd)
        return false;
    void *memory = ::mmap(nullptr, kLength, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    auto *bytes = static_cast<volatile uint8_t *>(memory);
    auto touch = [&](size_t page) { bytes[page * kPageSize] = 1; };
    for (size_t page = 0; page < kPages; page++)
        touch(page);
    auto start = reinterpret_cast<uint64_t>(memory);
    Ranges found;
    if (uffd::registerRange(fd.get(), start, start + kLength)) {
        Pagemap pagemap(::getpid());
        const Ranges all{{start, start + kLength}};
        (void)pagemap.find(all, kProtect);
        touch(1);
        ::madvise(static_cast<uint8_t *>(memory) + 3 * kPageSize, kPageSize, MADV_DONTNEED);
        found = pagemap.find(all, kNotProtected);
    }
    ::munmap(memory, kLength);
    return found.size() == 2 && found[0].start == start + kPageSize && pagesIn(found[0]) == 1 &&
           found[1].start == start + 3 * kPageSize && pagesIn(found[1]) == 1;
}

} // namespace

bool canLookQuickly() {
    static const bool can = [] {
        try {
            return probe();
        } catch (const Error &) {
            return false; // whoever looks the long way will say what is wrong
        }
    }();
    return can;
}

Ranges doubtful(const Pagemap &pagemap, const Ranges &areas, const PageSet &known) {
    Ranges strange;
    for (const auto &area : areas)
        known.missing(area, strange);
    auto parts = unite(strange, pagemap.find(areas, kNotProtected));
    parts = unite(parts, withoutTable(pagemap, subtract(areas, parts)));
    Ranges result;
    auto next = parts.cbegin();
    for (const auto &area : areas)
        joinNear(parts, area, next, result);
    return result;
}

} // namespace pclive
