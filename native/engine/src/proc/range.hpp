// SPDX-License-Identifier: Apache-2.0
// Ranges of addresses, [start, end), and sorted lists of them.
#pragma once

#include "wire/frames.hpp"
#include <algorithm>
#include <vector>

namespace pclive {

/// The same structure as on the wire, so that lists need no conversion.
using Range = wire::RangeEntry;
using Ranges = std::vector<Range>;

inline constexpr uint64_t kPageSize = wire::kPageSize;

inline uint64_t pagesIn(const Range &range) {
    return (range.end - range.start) / kPageSize;
}

inline uint64_t pagesIn(const Ranges &ranges) {
    uint64_t pages = 0;
    for (const auto &range : ranges)
        pages += pagesIn(range);
    return pages;
}

/// Adds a range that starts at or after the end of the last one, joining both when they touch.
inline void appendRange(Ranges &ranges, uint64_t start, uint64_t end) {
    if (!ranges.empty() && ranges.back().end == start)
        ranges.back().end = end;
    else
        ranges.push_back({start, end});
}

/// What is in either of two sorted lists.
inline Ranges unite(const Ranges &a, const Ranges &b) {
    Ranges sorted(a.size() + b.size()), result;
    std::merge(a.begin(), a.end(), b.begin(), b.end(), sorted.begin(),
               [](const Range &x, const Range &y) { return x.start < y.start; });
    for (const auto &range : sorted) {
        if (!result.empty() && range.start <= result.back().end)
            result.back().end = std::max(result.back().end, range.end);
        else
            result.push_back(range);
    }
    return result;
}

/// What of the sorted `ranges` is not in the sorted `others`.
inline Ranges subtract(const Ranges &ranges, const Ranges &others) {
    Ranges result;
    auto other = others.begin();
    for (auto range : ranges) {
        while (other != others.end() && other->end <= range.start)
            ++other;
        for (auto at = other; at != others.end() && at->start < range.end; ++at) {
            if (range.start < at->start)
                result.push_back({range.start, at->start});
            range.start = std::max(range.start, at->end);
        }
        if (range.start < range.end)
            result.push_back(range);
    }
    return result;
}

/// Cuts ranges where areas end: every one lies in areas, but may reach over neighbouring ones.
inline Ranges splitAt(const Ranges &ranges, const Ranges &areas) {
    Ranges result;
    auto area = areas.begin();
    for (auto range : ranges) {
        while (area != areas.end() && area->end <= range.start)
            ++area;
        for (; area != areas.end() && area->end < range.end; ++area) {
            result.push_back({range.start, area->end});
            range.start = area->end;
        }
        result.push_back(range);
    }
    return result;
}

} // namespace pclive
