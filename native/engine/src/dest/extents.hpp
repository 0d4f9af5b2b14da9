// SPDX-License-Identifier: Apache-2.0
// Which page lies where in a file that was written in the order of arrival.
#pragma once

#include "dest/page_set.hpp"
#include <map>

namespace pclive::dest {

class Extents {
  public:
    struct Piece {
        Range range;
        uint64_t offset; ///< of range.start in the file
    };

    /// The contents of `range` were written at `offset`; what was known of these pages is forgotten.
    void add(Range range, uint64_t offset);
    void clear() { extents_.clear(); }

    /// Calls visit(Piece) for each known piece inside `within`, in address order.
    template <class Visit> void forEach(Range within, Visit visit) const {
        auto at = extents_.upper_bound(within.start);
        if (at != extents_.begin() && std::prev(at)->second.end > within.start)
            --at;
        for (; at != extents_.end() && at->first < within.end; ++at) {
            uint64_t start = std::max(at->first, within.start), end = std::min(at->second.end, within.end);
            visit(Piece{{start, end}, at->second.offset + (start - at->first)});
        }
    }

  private:
    struct Extent {
        uint64_t end, offset;
    };
    void cut(Range range);
    std::map<uint64_t, Extent> extents_; // by start; no overlaps
};

} // namespace pclive::dest
