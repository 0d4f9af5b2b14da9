// SPDX-License-Identifier: Apache-2.0
#include "dest/ledger.hpp"

#include <algorithm>
#include <cstdio>

namespace pclive::dest {

using wire::FrameType;
using wire::kPageSize;
using wire::malformed;

const wire::AreaEntry *Process::areaOf(Range range) const {
    auto after = std::upper_bound(areas.begin(), areas.end(), range.start,
                                  [](uint64_t address, const auto &area) { return address < area.start; });
    if (after == areas.begin())
        return nullptr;
    const auto &area = *std::prev(after);
    return range.end <= area.end ? &area : nullptr;
}

bool Ledger::concerns(FrameType type) noexcept {
    return type >= FrameType::process && type <= FrameType::finalEnd;
}

void Ledger::take(const wire::Frame &frame) {
    if (phase_ == Phase::complete)
        malformed(frame.type, "after the end of the final round");
    switch (frame.type) {
    case FrameType::process:
        return begin(frame);
    case FrameType::processGone:
        return gone(frame);
    case FrameType::layout:
        return layout(frame);
    case FrameType::absent:
        return absent(frame);
    case FrameType::pages:
        return takePages(wire::decodePages(frame));
    case FrameType::roundEnd:
        return roundEnd(frame);
    case FrameType::finalBegin:
        return finalBegin(frame);
    case FrameType::present:
        return present(frame);
    case FrameType::finalEnd:
        return finalEnd(frame);
    default:
        malformed(frame.type, "not about processes");
    }
}

std::vector<Process *> Ledger::processes() {
    std::vector<Process *> list;
    for (auto &[vpid, entry] : processes_)
        list.push_back(&entry->process);
    return list;
}

Ledger::Entry &Ledger::entry(FrameType type, uint32_t vpid) {
    auto found = processes_.find(vpid);
    if (found == processes_.end())
        malformed(type, "unknown process");
    if (found->second->layoutOpen && type != FrameType::layout)
        malformed(type, "in the middle of a layout");
    return *found->second;
}

void Ledger::dropRanges(Process &process, const std::vector<Range> &ranges) {
    if (ranges.empty())
        return;
    store_.drop(process, ranges);
    uint64_t before = process.pages.pages();
    for (const auto &range : ranges)
        process.pages.remove(range);
    stagedPages_ -= before - process.pages.pages();
}

void Ledger::begin(const wire::Frame &frame) {
    uint32_t vpid = wire::decodeProcess(frame);
    auto &slot = processes_[vpid];
    if (slot) {
        std::vector<Range> all;
        slot->process.pages.forEach([&](Range range) { all.push_back(range); });
        dropRanges(slot->process, all);
    } else if (processes_.size() > wire::kMaxProcesses) {
        malformed(frame.type, "too many processes");
    }
    slot = std::make_unique<Entry>();
    slot->process.vpid = vpid;
}

void Ledger::gone(const wire::Frame &frame) {
    uint32_t vpid = wire::decodeProcess(frame);
    Entry &here = entry(frame.type, vpid);
    std::vector<Range> all;
    here.process.pages.forEach([&](Range range) { all.push_back(range); });
    dropRanges(here.process, all);
    processes_.erase(vpid);
}

void Ledger::layout(const wire::Frame &frame) {
    auto list = wire::decodeLayout(frame);
    Entry &here = entry(frame.type, list.vpid);
    auto &next = here.nextAreas;
    if (!next.empty() && !list.areas.empty() && list.areas.front().start < next.back().end)
        malformed(frame.type, "areas out of order");
    if (next.size() + list.areas.size() > wire::kMaxAreas)
        malformed(frame.type, "too many areas");
    next.insert(next.end(), list.areas.begin(), list.areas.end());
    here.layoutOpen = list.more;
    if (list.more)
        return;

    std::vector<Range> outside;
    uint64_t from = 0;
    auto collect = [&](Range range) { outside.push_back(range); };
    for (const auto &area : next) {
        if (from < area.start)
            here.process.pages.forEach({from, area.start}, collect);
        from = area.end;
    }
    here.process.pages.forEach({from, ~uint64_t(0)}, collect);
    dropRanges(here.process, outside);
    here.process.areas = std::move(next);
    here.nextAreas = {};
}

void Ledger::absent(const wire::Frame &frame) {
    auto list = wire::decodeRanges(frame);
    Entry &here = entry(frame.type, list.vpid);
    std::vector<Range> held; // only what is held need be dropped
    for (const auto &range : list.ranges)
        here.process.pages.forEach({range.start, range.end}, [&](Range run) { held.push_back(run); });
    dropRanges(here.process, held);
}

void Ledger::takePages(const wire::PageList &list) {
    if (auto rest = enter(checkPages(list), list))
        rest();
}

bool Ledger::takePagesBeside(const wire::PageList &list) {
    Store::Rest rest;
    {
        std::lock_guard books(books_);
        Entry &here = checkPages(list);
        if (!store_.ready(here.process, list))
            return false;
        rest = enter(here, list);
    }
    if (rest)
        rest();
    return true;
}

Ledger::Entry &Ledger::checkPages(const wire::PageList &list) {
    if (phase_ == Phase::complete)
        malformed(FrameType::pages, "after the end of the final round");
    Entry &here = entry(FrameType::pages, list.vpid);
    for (const auto &run : list.runs)
        if (!here.process.areaOf({run.start, run.start + run.pages * kPageSize}))
            malformed(FrameType::pages, "pages outside of the layout");
    return here;
}

Store::Rest Ledger::enter(Entry &here, const wire::PageList &list) {
    auto rest = store_.write(here.process, list);
    uint64_t before = here.process.pages.pages();
    for (const auto &run : list.runs)
        here.process.pages.add({run.start, run.start + run.pages * kPageSize});
    stagedPages_ += here.process.pages.pages() - before;
    roundPages_ += list.pages;
    return rest;
}

void Ledger::endRound() {
    for (auto &[vpid, entry] : processes_)
        if (entry->layoutOpen)
            malformed(FrameType::layout, "the last part of a layout is missing");
    rounds_++;
    auto list = processes();
    store_.roundEnded(list, rounds_);
    roundPages_ = 0;
}

void Ledger::roundEnd(const wire::Frame &frame) {
    auto end = wire::decode<wire::RoundEndFrame>(frame);
    if (phase_ != Phase::rounds || end.round != rounds_ + 1 || end.reserved)
        malformed(frame.type, "wrong round");
    if (end.pages != roundPages_)
        malformed(frame.type, "wrong number of pages");
    endRound();
}

void Ledger::finalBegin(const wire::Frame &frame) {
    if (phase_ != Phase::rounds || frame.payload.size())
        malformed(frame.type, "not now");
    phase_ = Phase::final;
    roundPages_ = 0;
}

void Ledger::present(const wire::Frame &frame) {
    auto list = wire::decodeRanges(frame);
    Entry &here = entry(frame.type, list.vpid);
    if (phase_ != Phase::final || here.presentState == Entry::Present::all)
        malformed(frame.type, "not now");
    for (const auto &range : list.ranges)
        if (!here.process.areaOf({range.start, range.end}))
            malformed(frame.type, "pages outside of the layout");
    if (!here.present.empty() && !list.ranges.empty() && list.ranges.front().start < here.present.back().end)
        malformed(frame.type, "ranges out of order");
    here.present.insert(here.present.end(), list.ranges.begin(), list.ranges.end());
    presentPages_ += list.pages;
    here.presentState = list.more ? Entry::Present::open : Entry::Present::all;
}

void Ledger::finalEnd(const wire::Frame &frame) {
    auto end = wire::decode<wire::FinalEndFrame>(frame);
    if (phase_ != Phase::final)
        malformed(frame.type, "not now");
    if (end.pages != roundPages_ || end.presentPages != presentPages_)
        malformed(frame.type, "wrong number of pages");
    for (auto &[vpid, entry] : processes_)
        reconcile(*entry);
    endRound();
    phase_ = Phase::complete;
}

void Ledger::reconcile(Entry &entry) {
    Process &process = entry.process;
    if (entry.presentState != Entry::Present::all)
        malformed(FrameType::present, "missing for a process");
    std::vector<Range> extra;
    uint64_t from = 0;
    for (const auto &range : entry.present) {
        process.pages.forEach({from, range.start}, [&](Range run) { extra.push_back(run); });
        checkReceived(process, {range.start, range.end});
        from = range.end;
    }
    process.pages.forEach({from, ~uint64_t(0)}, [&](Range run) { extra.push_back(run); });
    dropRanges(process, extra);
    entry.present = {};
}

void Ledger::checkReceived(const Process &process, Range range) {
    uint64_t at = range.start; // all before it was received
    process.pages.forEach(range, [&](Range run) {
        if (run.start == at)
            at = run.end;
    });
    if (at == range.end)
        return;
    char where[80];
    std::snprintf(where, sizeof where, "process %u, %#llx-%#llx", process.vpid,
                  static_cast<unsigned long long>(at), static_cast<unsigned long long>(range.end));
    throw Error("inconsistent", std::string("pages of the container were never received: ") + where,
                "the container goes on at the source; please report this");
}

} // namespace pclive::dest
