// SPDX-License-Identifier: Apache-2.0
#include "source/process_copy.hpp"

namespace pclive {
namespace {

/// Which areas are so full that huge pages pay at the destination: seven eighths.
std::vector<wire::AreaEntry> describe(const Ranges &areas, const Ranges &present) {
    std::vector<wire::AreaEntry> result;
    auto at = present.begin();
    for (const auto &area : areas) {
        uint64_t pages = 0;
        for (; at != present.end() && at->start < area.end; ++at) {
            pages += pagesIn({std::max(at->start, area.start), std::min(at->end, area.end)});
            if (at->end > area.end)
                break; // reaches into the next area
        }
        bool dense = pages * 8 >= pagesIn(area) * 7;
        result.push_back({area.start, area.end, dense ? wire::kAreaDense : 0, 0});
    }
    return result;
}

bool sameLayout(const std::vector<wire::AreaEntry> &a, const std::vector<wire::AreaEntry> &b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto &x, const auto &y) {
        return x.start == y.start && x.end == y.end && x.flags == y.flags;
    });
}

Ranges missing(const PageSet &set, const Ranges &ranges) {
    Ranges result;
    for (const auto &range : ranges)
        set.missing(range, result);
    return result;
}

} // namespace

ProcessCopy::ProcessCopy(ProcessId id, uint32_t vpid, TrackerKind kind)
    : id_(id), vpid_(vpid), layout_(id.pid), tracker_(makeTracker(kind, id.pid)) {}

Update ProcessCopy::beginRound() {
    auto areas = layout_.read(Layout::Pace::round);
    auto preparation = tracker_->prepare(areas);
    forget(preparation.fresh);
    auto update = compare(areas, tracker_->collect(areas, known_));
    update.attached = preparation.attached;
    return update;
}

Update ProcessCopy::snapshot(Ranges areas) {
    forget(tracker_->untracked(areas));
    auto scan = tracker_->snapshot(areas, known_);
    return compare(std::move(areas), scan);
}

uint64_t ProcessCopy::countDirty() {
    auto areas = layout_.read(Layout::Pace::round);
    auto known = known_;
    for (const auto &range : tracker_->untracked(areas))
        known.erase(range);
    auto scan = tracker_->snapshot(areas, known);
    return pagesIn(unite(scan.dirty, missing(known, scan.present)));
}

/// What the peer has there is worthless.
void ProcessCopy::forget(const Ranges &fresh) {
    for (const auto &range : fresh)
        known_.erase(range);
}

Update ProcessCopy::compare(Ranges areas, const Scan &scan) {
    Update update;
    known_.retain(scan.present);
    update.wanted = unite(scan.dirty, missing(known_, scan.present));

    update.dropped = pagesIn(held_.retain(areas)); // the new layout tells the peer
    update.absent = held_.retain(scan.present);
    update.dropped += pagesIn(update.absent);

    update.layout = describe(areas, scan.present);
    update.layoutChanged = !announced || !sameLayout(update.layout, sentLayout_);
    sentLayout_ = update.layout;
    areas_ = std::move(areas);
    return update;
}

void ProcessCopy::sending(const Range &range) {
    held_.insert(range);
    known_.insert(range);
}

void ProcessCopy::empty(const Range &range, Ranges &absent) {
    held_.take(range, absent);
    known_.insert(range);
}

} // namespace pclive
