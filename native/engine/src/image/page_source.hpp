// SPDX-License-Identifier: Apache-2.0
// What an image is made of besides CRIU's own files: the pages that the engine has.
#pragma once

#include "proc/range.hpp"
#include <sys/uio.h>
#include <vector>

namespace pclive::image {

/// Contents of a process's pages; used by several threads at once.
class PageSource {
  public:
    virtual ~PageSource() = default;
    /// Appends pieces of our memory that hold the pages of `range`. Those that are not in our memory yet are
    /// put at `room`, which has place for all of them. Throws Error.
    virtual void fetch(const Range &range, uint8_t *room, std::vector<iovec> &pieces) const = 0;
};

/// The pages of one process that belong into the image; the lists are sorted.
struct ProcessPages {
    uint32_t vpid = 0;
    Ranges present;
    Ranges inParent; ///< of these, such as the parent image holds with the same contents
    const PageSource *source = nullptr;
};

} // namespace pclive::image
