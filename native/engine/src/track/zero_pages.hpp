// SPDX-License-Identifier: Apache-2.0
// The kernel's pages of zeros, known by their frame numbers.
#pragma once

#include <cstdint>
#include <optional>

namespace pclive {

/// What private anonymous memory maps when it is read before it was ever written: one page shared by all, or
/// one huge page. Such a page is present, and no bit tells that it took the place of contents that
/// were discarded; so whoever goes by pagemap alone has to know it.
class ZeroPages {
  public:
    /// Looks once per process; what is mapped for it stays, or the huge page might become another one.
    /// Error "no-tracking" when the kernel hides frame numbers.
    static const ZeroPages &get();

    /// Whether an entry of pagemap that says "present" maps one of them.
    [[nodiscard]] bool contain(uint64_t pagemapEntry) const;

  private:
    ZeroPages();
    uint64_t small_;
    std::optional<uint64_t> huge_; ///< frame of the first of its small pages
};

} // namespace pclive
