// SPDX-License-Identifier: Apache-2.0
// Where a container's memory is kept until CRIU takes it.
#pragma once

#include "dest/page_set.hpp"
#include "wire/decode.hpp"
#include <functional>
#include <span>
#include <vector>

namespace pclive::dest {

/// What is known of one process of the container.
struct Process {
    uint32_t vpid = 0;
    std::vector<wire::AreaEntry> areas; ///< the current layout, sorted
    PageSet pages;                      ///< what the store holds: always inside the areas

    /// The area that holds all of `range`, or null.
    [[nodiscard]] const wire::AreaEntry *areaOf(Range range) const;
};

/// The ledger tells a store what to do; the store need not check anything of the peer again.
class Store {
  public:
    virtual ~Store() = default;
    /// What remains to be done of a write(), if anything: it may go on beside others, and uses the list.
    using Rest = std::function<void()>;

    /// Keeps the contents of pages inside the process's areas, before they are added to process.pages. Called
    /// in the order of arrival: a page that is held already gets the new contents. One call at a time.
    virtual Rest write(Process &process, const wire::PageList &pages) = 0;
    /// Whether write() may be called for these while the rest of others is still being done.
    virtual bool ready(const Process &, const wire::PageList &) { return true; }
    /// The process holds these pages no longer (they are still in process.pages during the call).
    virtual void drop(Process &process, std::span<const Range> ranges) = 0;
    /// A round ended with these processes; `round` counts from 1, the final one included.
    virtual void roundEnded(std::span<Process *const> processes, uint32_t round) = 0;
};

} // namespace pclive::dest
