// SPDX-License-Identifier: Apache-2.0
#include "dest/extents.hpp"

namespace pclive::dest {

void Extents::cut(Range range) {
    auto at = extents_.lower_bound(range.start);
    if (at != extents_.begin()) {
        auto before = std::prev(at);
        Extent old = before->second;
        if (old.end > range.start) {
            before->second.end = range.start;
            if (old.end > range.end)
                extents_.emplace(range.end, Extent{old.end, old.offset + (range.end - before->first)});
        }
    }
    while (at != extents_.end() && at->first < range.end) {
        Extent old = at->second;
        uint64_t start = at->first;
        at = extents_.erase(at);
        if (old.end > range.end)
            extents_.emplace(range.end, Extent{old.end, old.offset + (range.end - start)});
    }
}

void Extents::add(Range range, uint64_t offset) {
    cut(range);
    auto after = extents_.lower_bound(range.start);
    if (after != extents_.begin()) {
        auto &[start, last] = *std::prev(after);
        if (last.end == range.start && last.offset + (last.end - start) == offset) {
            last.end = range.end;
            return;
        }
    }
    extents_.emplace(range.start, Extent{range.end, offset});
}

} // namespace pclive::dest
