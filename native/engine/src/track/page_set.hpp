// SPDX-License-Identifier: Apache-2.0
// A set of pages of an address space.
#pragma once

#include "proc/range.hpp"
#include <array>
#include <map>

namespace pclive {

/// One bit a page, in blocks of 2 MiB, so that a sparse address space costs little and a dense one 32 KiB a
/// GiB.
class PageSet {
  public:
    void insert(const Range &range);
    /// Takes away what lies in `range`; what was there is appended to `taken`.
    void take(const Range &range, Ranges &taken);
    void erase(const Range &range);
    /// Takes away all outside of the sorted `keep`; returns what was there.
    Ranges retain(const Ranges &keep);
    /// Appends those parts of `range` that are not in the set.
    void missing(const Range &range, Ranges &result) const;
    [[nodiscard]] bool anyIn(const Range &range) const;
    /// The whole set, sorted, neighbours joined.
    [[nodiscard]] Ranges ranges() const;
    [[nodiscard]] uint64_t pages() const { return pages_; }

  private:
    static constexpr uint64_t kPagesPerBlock = 512;
    using Bits = std::array<uint64_t, kPagesPerBlock / 64>;

    std::map<uint64_t, Bits> blocks_; ///< by address / 2 MiB
    uint64_t pages_ = 0;
};

} // namespace pclive
