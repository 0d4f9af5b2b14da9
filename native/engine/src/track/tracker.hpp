// SPDX-License-Identifier: Apache-2.0
// Knowing what a process writes, without freezing it.
#pragma once

#include "proc/range.hpp"
#include "track/page_set.hpp"
#include <memory>
#include <string>
#include <sys/types.h>

namespace pclive {

/// What a look at a process's handled areas found. All lists are sorted.
struct Scan {
    Ranges present; ///< pages that hold contents (absent ones are free, or read as zeros)
    Ranges dirty;   ///< of these, pages written since the last collect(); a page may be listed without need,
                    ///< never missed
};

/// What prepare() found.
struct Preparation {
    /// Ranges that were not tracked before: new or moved mappings, a new address space after exec(). What the
    /// peer has of them is worthless, and all present pages there must be sent.
    Ranges fresh;
    bool attached = false; ///< the process was attached (again) by this call
};

/// Tracks one process; destroying it ends the tracking. In a round: read the layout, prepare(), collect(),
/// then read pages: a page written after collect() has passed it is in the next round's dirty set. In the
/// final round, while the process stands still: untracked(), snapshot().
class Tracker {
  public:
    virtual ~Tracker() = default;

    /// Sees to it that the areas are tracked from now on. Throws ProcessGone, Unstoppable, or Error.
    virtual Preparation prepare(const Ranges &areas) = 0;
    /// Finds what is present and dirty, and starts the dirty set anew. `known`: pages that earlier looks
    /// found present, none in ranges that were not tracked since.
    virtual Scan collect(const Ranges &areas, const PageSet &known) = 0;
    /// Finds the same, changing nothing and stopping nothing.
    [[nodiscard]] virtual Scan snapshot(const Ranges &areas, const PageSet &known) = 0;
    /// As Preparation::fresh, changing nothing.
    [[nodiscard]] virtual Ranges untracked(const Ranges &areas) = 0;
    /// The longest time that the process was stopped since the last call, in ms.
    [[nodiscard]] virtual double takeStopMs() = 0;
};

enum class TrackerKind : uint8_t { uffd, softDirty };

/// "auto", "uffd" or "soft-dirty" → what this kernel can do. Errors "invalid", "no-tracking".
TrackerKind chooseTracker(const std::string &wanted);

std::unique_ptr<Tracker> makeTracker(TrackerKind kind, pid_t pid);
std::unique_ptr<Tracker> makeUffdTracker(pid_t pid);
std::unique_ptr<Tracker> makeSoftDirtyTracker(pid_t pid);

} // namespace pclive
