// SPDX-License-Identifier: Apache-2.0
// Questions to the kernel about the pages of a process: ioctl PAGEMAP_SCAN on /proc/PID/pagemap (Linux 6.7).
#pragma once

#include "control/fd.hpp"
#include "proc/range.hpp"
#include <functional>
#include <sys/types.h>

namespace pclive {

/// Categories of pages; the kernel's numbers.
namespace page {
inline constexpr uint64_t kWpAllowed = 1; ///< the mapping is registered for asynchronous write-protection
inline constexpr uint64_t kWritten = 2;   ///< not write-protected, so written since the last protecting scan
inline constexpr uint64_t kPresent = 8;
inline constexpr uint64_t kSwapped = 16;
inline constexpr uint64_t kZero = 32; ///< the shared page of zeros
} // namespace page

/// Which pages to report: all bits of `mask` must hold after `inverted` bits were flipped, and one of
/// `anyOf`.
struct PageQuery {
    uint64_t inverted = 0;
    uint64_t mask = 0;
    uint64_t anyOf = 0;
    uint64_t reported = 0; ///< categories that tell results apart
    bool protect =
        false; ///< write-protect what is reported, in the same atomic step; unregistered mappings are skipped
};

/// Pages that hold contents: not those that only map the page of zeros.
inline constexpr PageQuery kPresentPages{
    .inverted = page::kZero, .mask = page::kZero, .anyOf = page::kPresent | page::kSwapped};

/// The page map of the address space that a process has when this is made. After exec() or exit the old one
/// simply looks empty.
class Pagemap {
  public:
    /// Throws ProcessGone, or Error "proc".
    explicit Pagemap(pid_t pid);
    /// Visits matching runs in address order: (range, categories as asked for in `reported`). Error "scan".
    void scan(const Range &within, const PageQuery &query,
              const std::function<void(const Range &, uint64_t)> &visit) const;
    /// Matching runs in all of the sorted `areas`.
    [[nodiscard]] Ranges find(const Ranges &areas, const PageQuery &query) const;

  private:
    Fd fd_;
};

} // namespace pclive
