// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "proc/range.hpp"
#include <span>

namespace pclive {

/// Cuts sorted ranges into batches of at most kMaxPagesPerFrame pages and calls `visit(span of runs)` for
/// each.
template <class Visit> void eachBatch(const Ranges &ranges, Visit visit) {
    std::vector<wire::RunEntry> runs;
    uint64_t pages = 0;
    auto flush = [&] {
        if (!runs.empty())
            visit(std::span<const wire::RunEntry>(runs));
        runs.clear();
        pages = 0;
    };
    for (auto range : ranges)
        while (range.start < range.end) {
            auto count = std::min<uint64_t>(pagesIn(range), wire::kMaxPagesPerFrame - pages);
            runs.push_back({range.start, static_cast<uint32_t>(count), 0});
            range.start += count * kPageSize;
            pages += count;
            if (pages == wire::kMaxPagesPerFrame)
                flush();
        }
    flush();
}

} // namespace pclive
