// SPDX-License-Identifier: Apache-2.0
// Which slices of a process's address space are reserved in CRIU's process, and where.
#pragma once

#include "dest/page_set.hpp"
#include <map>
#include <span>
#include <vector>

namespace pclive::dest {

/// Large enough that a mapping seldom crosses one, small enough that a process with scattered memory needs
/// few of them.
inline constexpr uint64_t kWindowBytes = 64ull << 30;

/// Source addresses [start, end) lie at [base, base + end - start) in CRIU's process.
struct Window {
    uint64_t start, end, base;
    [[nodiscard]] uint64_t at(uint64_t address) const { return base + (address - start); }
};

/// The windows of one process. They do not overlap; each begins and ends at a multiple of kWindowBytes.
class Windows {
  public:
    /// The window that holds all of `range`, or null.
    [[nodiscard]] const Window *find(Range range) const;

    /// The window that `range` would need: aligned, and widened until no area and no present window crosses
    /// its bounds, so that every mapping can lie in one piece.
    [[nodiscard]] Range wanted(Range range, std::span<const wire::AreaEntry> areas) const;

    /// Adds a window; returns those that it replaces because they lie inside of it.
    std::vector<Window> add(Window window);

  private:
    std::map<uint64_t, Window> windows_; // by start
};

} // namespace pclive::dest
