// SPDX-License-Identifier: Apache-2.0
#include "image/pages_plan.hpp"

namespace pclive::image {
namespace {

uint64_t endOf(const PagemapEntry &entry) {
    return entry.start + entry.pages * kPageSize;
}

/// An entry, and which file or memory its contents are in.
struct Origin {
    PagemapEntry entry;
    Segment::From from;
};

void add(std::vector<Origin> &origins, const Ranges &ranges, uint32_t flags) {
    for (const auto &range : ranges)
        origins.push_back({{range.start, pagesIn(range), flags}, Segment::From::process});
}

void append(PagesPlan &plan, Segment::From from, uint64_t at, uint64_t bytes) {
    auto *last = plan.segments.empty() ? nullptr : &plan.segments.back();
    if (last && last->from == from && last->at + last->bytes == at)
        last->bytes += bytes;
    else
        plan.segments.push_back({plan.bytes, bytes, from, at});
    plan.bytes += bytes;
}

Ranges checkedRanges(const Pagemap &skeleton) {
    Ranges ranges;
    for (const auto &entry : skeleton.entries) {
        if (entry.flags & kInParent)
            throw Error("images", "CRIU's dump refers to a parent image");
        if (!ranges.empty() && entry.start < ranges.back().end)
            throw Error("images", "the pages of CRIU's dump are out of order");
        if (entry.pages)
            appendRange(ranges, entry.start, endOf(entry));
    }
    return ranges;
}

} // namespace

PagesPlan PagesPlan::copyOf(uint64_t bytes) {
    PagesPlan plan;
    if (bytes)
        append(plan, Segment::From::skeleton, 0, bytes);
    return plan;
}

MergedPages mergePages(const Pagemap &skeleton, const ProcessPages &process) {
    auto dumped = checkedRanges(skeleton);
    std::vector<Origin> origins;
    for (const auto &entry : skeleton.entries)
        origins.push_back({entry, Segment::From::skeleton});
    auto inParent = subtract(process.inParent, dumped);
    add(origins, subtract(subtract(process.present, dumped), inParent), kPresent);
    add(origins, inParent, kInParent);
    std::stable_sort(origins.begin(), origins.end(),
                     [](const Origin &a, const Origin &b) { return a.entry.start < b.entry.start; });

    MergedPages merged;
    merged.pagemap.pagesId = skeleton.pagesId;
    for (const auto &origin : origins) {
        merged.pagemap.entries.push_back(origin.entry);
        if (!(origin.entry.flags & kPresent))
            continue;
        uint64_t bytes = origin.entry.pages * kPageSize;
        if (origin.from == Segment::From::process) {
            append(merged.plan, origin.from, origin.entry.start, bytes);
        } else {
            append(merged.plan, origin.from, merged.skeletonBytes, bytes);
            merged.skeletonBytes += bytes;
        }
    }
    return merged;
}

} // namespace pclive::image
