// SPDX-License-Identifier: Apache-2.0
// One process of the container, and what the peer has of it.
#pragma once

#include "proc/maps.hpp"
#include "proc/processes.hpp"
#include "track/page_set.hpp"
#include "track/tracker.hpp"

namespace pclive {

/// What is to be told to the peer about a process before its pages.
struct Update {
    bool layoutChanged = false;
    std::vector<wire::AreaEntry> layout;
    Ranges absent;        ///< pages the peer has that are gone, inside the layout
    Ranges wanted;        ///< pages to read and send
    uint64_t dropped = 0; ///< pages the peer loses by this, those outside the layout too
    bool attached = false;
};

/// Keeps the books of a process. For every page the peer's copy is one of: unknown to us (never sent, or
/// worthless since), empty, or held. A present page that is unknown is sent, whatever the tracker says.
class ProcessCopy {
  public:
    ProcessCopy(ProcessId id, uint32_t vpid, TrackerKind kind);

    /// A round's look: attaches where needed, starts the dirty set anew. Throws ProcessGone, Unstoppable,
    /// Error.
    Update beginRound();
    /// The handled areas of the standing process, before anybody puts something into it. Throws ProcessGone.
    Ranges finalAreas() { return layout_.read(Layout::Pace::final); }
    /// The final look at these areas. What CRIU puts into the process meanwhile lies outside of them.
    Update snapshot(Ranges areas);
    /// What beginRound() would want now; changes nothing.
    uint64_t countDirty();

    /// The contents of these pages go to the peer.
    void sending(const Range &range);
    /// These pages turned out to be empty; those that the peer holds are added to `absent`.
    void empty(const Range &range, Ranges &absent);

    /// All that the peer has to hold now.
    [[nodiscard]] Ranges held() const { return held_.ranges(); }
    /// Pages of the handled areas that were present at the last look, empty ones too.
    [[nodiscard]] uint64_t knownPages() const { return known_.pages(); }
    /// The handled areas of the last look.
    [[nodiscard]] const Ranges &areas() const { return areas_; }
    [[nodiscard]] const ProcessId &id() const { return id_; }
    [[nodiscard]] uint32_t vpid() const { return vpid_; }
    [[nodiscard]] double takeStopMs() { return tracker_->takeStopMs(); }

    bool announced = false; ///< the peer knows of the process
    int failedStops = 0;    ///< rounds in a row in which it could not be stopped

  private:
    void forget(const Ranges &fresh);
    Update compare(Ranges areas, const Scan &scan);

    ProcessId id_;
    uint32_t vpid_;
    Layout layout_;
    std::unique_ptr<Tracker> tracker_;
    PageSet held_;  ///< pages with contents at the peer
    PageSet known_; ///< these, and pages known to be empty
    Ranges areas_;
    std::vector<wire::AreaEntry> sentLayout_;
};

} // namespace pclive
