// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/mirror.hpp"

namespace pclive {
namespace {

/// Pages of a huge page's block that must be wanted to make it worth its price.
constexpr uint64_t kDense = kHugeBytes / kPageSize * 7 / 8;

/// Cuts a range at multiples of `step` and calls visit(multiple / step, part).
template <class Visit> void eachStep(Range range, uint64_t step, Visit visit) {
    while (range.start < range.end) {
        uint64_t index = range.start / step, end = std::min(range.end, (index + 1) * step);
        visit(index, Range{range.start, end});
        range.start = end;
    }
}

/// Bytes of each window that sorted ranges touch.
std::map<uint64_t, uint64_t> bytesByWindow(const Ranges &ranges) {
    std::map<uint64_t, uint64_t> bytes;
    for (const auto &range : ranges)
        eachStep(range, kWindowBytes,
                 [&](uint64_t window, const Range &part) { bytes[window] += part.end - part.start; });
    return bytes;
}

/// Blocks of kHugeBytes of which nearly all is in the sorted ranges, neighbours joined.
Ranges denseBlocks(const Ranges &ranges) {
    Ranges dense;
    uint64_t current = 0, pages = 0;
    for (const auto &range : ranges)
        eachStep(range, kHugeBytes, [&](uint64_t block, const Range &part) {
            pages = block == current ? pages : 0;
            current = block;
            uint64_t before = pages;
            pages += pagesIn(part);
            if (before < kDense && pages >= kDense)
                appendRange(dense, block * kHugeBytes, (block + 1) * kHugeBytes);
        });
    return dense;
}

} // namespace

/// Calls visit(window, base address of the window, part) for those parts of the range that have a window.
template <class Visit> void Mirror::eachPart(const Range &range, Visit visit) const {
    eachStep(range, kWindowBytes, [&](uint64_t index, const Range &part) {
        if (auto found = windows_.find(index); found != windows_.end())
            visit(*found->second, index * kWindowBytes, part);
    });
}

void Mirror::reserve(const Ranges &pages) {
    uint64_t ahead = 0;
    for (const auto &[index, bytes] : bytesByWindow(pages))
        if (!windows_.contains(index)) {
            ahead += bytes;
            windows_.emplace(index, maker_.make(ahead));
        }
    for (const auto &block : denseBlocks(pages))
        eachPart(block, [](Window &window, uint64_t base, const Range &part) {
            if (!window.huge(part.start - base) || !window.huge(part.end - base - kHugeBytes))
                window.makeHuge(part.start - base, part.end - part.start);
        });
    for (const auto &range : pages)
        eachPart(range, [](Window &window, uint64_t base, const Range &part) {
            window.provide(part.start - base, part.end - part.start);
        });
}

void Mirror::fetch(const Range &range, uint8_t *, std::vector<iovec> &pieces) const {
    eachPart(range, [&](Window &window, uint64_t base, const Range &part) {
        pieces.push_back({window.at(part.start - base), part.end - part.start});
    });
}

void Mirror::keep(const Ranges &pages) {
    for (const auto &range : pages) {
        kept_.insert(range);
        inImage_.erase(range);
    }
}

void Mirror::drop(const Ranges &pages) {
    for (const auto &range : pages) {
        kept_.erase(range);
        inImage_.erase(range);
        discard(range);
    }
}

void Mirror::retain(const Ranges &areas) {
    inImage_.retain(areas);
    for (const auto &range : kept_.retain(areas))
        discard(range);
}

/// A huge page is given back when nothing of it is kept: to split it would cost more.
void Mirror::discard(const Range &range) {
    eachPart(range, [&](Window &window, uint64_t base, const Range &inWindow) {
        eachStep(inWindow, kHugeBytes, [&](uint64_t block, Range part) {
            Range whole{block * kHugeBytes, (block + 1) * kHugeBytes};
            if (window.huge(whole.start - base)) {
                if (kept_.anyIn(whole))
                    return;
                part = whole;
            }
            window.discard(part.start - base, part.end - part.start);
        });
    });
}

Ranges Mirror::unchanged() const {
    Ranges changed;
    for (const auto &range : present)
        inImage_.missing(range, changed);
    return subtract(present, changed);
}

void Mirror::written() {
    inImage_ = PageSet();
    for (const auto &range : present)
        inImage_.insert(range);
}

} // namespace pclive
