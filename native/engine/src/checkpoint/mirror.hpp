// SPDX-License-Identifier: Apache-2.0
// The memory of one process, as far as it was copied.
#pragma once

#include "checkpoint/window.hpp"
#include "image/page_source.hpp"
#include "track/page_set.hpp"
#include <map>

namespace pclive {

/// A page of the process has its place by its address alone, so nothing moves when mappings change. Not
/// thread-safe but for fetch().
class Mirror final : public image::PageSource {
  public:
    explicit Mirror(WindowMaker &windows) : maker_(windows) {}

    /// Makes place for pages that are about to be copied; with huge pages where they lie densely. Errors:
    /// "no-memory", "no-space", "files".
    void reserve(const Ranges &pages);
    /// The places of pages: reserved ones, or kept ones.
    void fetch(const Range &range, uint8_t *room, std::vector<iovec> &pieces) const override;

    /// These were copied to their places.
    void keep(const Ranges &pages);
    /// These are gone, or were found to be empty.
    void drop(const Ranges &pages);
    /// All outside of these are gone.
    void retain(const Ranges &areas);

    /// What the last final round found.
    Ranges present;
    /// Of these, such as have not changed since the last image.
    [[nodiscard]] Ranges unchanged() const;
    /// All that is present was written to an image.
    void written();

  private:
    void reserveIn(Window &window, uint64_t base, const Range &range);
    void discard(const Range &range);
    template <class Visit> void eachPart(const Range &range, Visit visit) const;

    WindowMaker &maker_;
    std::map<uint64_t, std::unique_ptr<Window>> windows_; ///< by address / kWindowBytes
    PageSet kept_;
    PageSet inImage_; ///< in the last image, with the contents that they have here
};

} // namespace pclive
