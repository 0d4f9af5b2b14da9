// SPDX-License-Identifier: Apache-2.0
#include "source/container.hpp"
#include "proc/inject.hpp"
#include "proc/procfs.hpp"
#include "source/progress.hpp"
#include "source/timing.hpp"
#include "source/transfer.hpp"
#include "wire/send.hpp"

namespace pclive {
namespace {

using namespace std::chrono_literals;

constexpr auto kAckTimeout =
    10min; // for a peer that is alive but slow; a silent one is noticed by the channel
constexpr int kMaxFailedStops = 3;

} // namespace

struct Container::RoundState {
    RoundState(wire::Channel &to, uint64_t bandwidth)
        : channel(to), sentBefore(to.bytesSent()), transfer(to, bandwidth, kNiceInRounds) {}

    Stopwatch watch;
    wire::Channel &channel;
    uint64_t sentBefore;
    Transfer transfer;
    uint64_t processes = 0, areas = 0, ranges = 0, attached = 0, skipped = 0;
    double scanMs = 0, attachMs = 0;
};

Container::Container(ContainerOptions options, Events &events)
    : options_(std::move(options)), events_(events), namespace_(options_.initPid) {}

Container::~Container() = default;

/// Brings the list of processes up to date.
void Container::refresh() {
    auto now = listProcesses(options_.cgroupProcs);
    for (auto at = processes_.begin(); at != processes_.end();) {
        auto next = std::next(at);
        bool alive = std::any_of(now.begin(), now.end(), [&](const ProcessId &id) {
            return id.pid == at->first && id.startTime == at->second->id().startTime;
        });
        if (!alive)
            forget(at);
        at = next;
    }
    for (const auto &id : now) {
        if (processes_.contains(id.pid))
            continue;
        try {
            // Between vfork and exec a child has no memory of its own; soon it has, or is gone.
            if (!sharesMemoryWithParent(id.pid))
                processes_[id.pid] =
                    std::make_unique<ProcessCopy>(id, namespace_.vpid(id.pid), options_.tracker);
        } catch (const ProcessGone &) {
            continue;
        }
    }
}

void Container::forget(Processes::iterator process) {
    if (process->second->announced)
        gone_.push_back(process->second->vpid());
    processes_.erase(process);
}

/// To be called while no page of these processes waits to be sent.
void Container::tellGone(wire::Channel &channel) {
    for (auto vpid : std::exchange(gone_, {}))
        channel.send(wire::FrameType::processGone, wire::ProcessFrame{vpid, 0});
}

Json Container::round(wire::Channel &channel, uint64_t bandwidth) {
    Niceness niceness(kNiceInRounds);
    RoundState state(channel, bandwidth);
    round_++;
    Ticker progress([&] {
        auto pages = state.transfer.pages();
        events_.emit("progress", {{"round", round_},
                                  {"pages", pages},
                                  {"bytes", pages * kPageSize},
                                  {"wireBytes", channel.bytesSent() - state.sentBefore}});
    });
    refresh();
    tellGone(channel);
    for (auto at = processes_.begin(); at != processes_.end();) {
        auto next = std::next(at);
        if (!roundOf(*at->second, state))
            forget(at);
        at = next;
    }
    return finishRound(channel, state);
}

/// False when the process has ended.
bool Container::roundOf(ProcessCopy &process, RoundState &state) {
    try {
        Stopwatch watch;
        auto update = process.beginRound();
        process.failedStops = 0;
        double stopped = process.takeStopMs();
        state.attachMs = std::max(state.attachMs, stopped);
        state.scanMs += watch.ms() - stopped;
        state.attached += update.attached;
        state.processes++;
        state.areas += process.areas().size();
        state.ranges += update.wanted.size();
        state.transfer.announce(process, update);
        state.transfer.sendPages(process, update);
        return true;
    } catch (const ProcessGone &) {
        return false;
    } catch (const Unstoppable &) {
        if (++process.failedStops >= kMaxFailedStops)
            throw;
        state.skipped++;
        return true;
    }
}

Json Container::finishRound(wire::Channel &channel, RoundState &state) {
    state.transfer.drain();
    tellGone(channel);
    uint64_t pages = state.transfer.pages();
    channel.send(wire::FrameType::roundEnd, wire::RoundEndFrame{round_, 0, pages});
    auto ack = channel.expect<wire::RoundAckFrame>(wire::FrameType::roundAck, wire::after(kAckTimeout));
    if (ack.round != round_)
        throw Error("protocol", "the peer confirmed round " + std::to_string(ack.round) + " instead of " +
                                    std::to_string(round_));
    const auto &counters = state.transfer.counters();
    return {{"round", round_},
            {"processes", state.processes},
            {"skippedProcesses", state.skipped},
            {"areas", state.areas},
            {"pages", pages},
            {"zeroPages", counters.zeroPages.load()},
            {"droppedPages", counters.droppedPages.load()},
            {"bytes", pages * kPageSize},
            {"wireBytes", channel.bytesSent() - state.sentBefore},
            {"ranges", state.ranges},
            {"attachMs", state.attachMs},
            {"attachedProcesses", state.attached},
            {"scanMs", state.scanMs},
            {"readMs", counters.readMs.load()},
            {"sendMs", state.transfer.sendMs()},
            {"totalMs", state.watch.ms()},
            {"stagedBytes", ack.stagedBytes},
            {"backlogBytes", ack.backlogBytes}};
}

Json Container::dirty() {
    Niceness niceness(kNiceInRounds);
    Stopwatch watch;
    uint64_t pages = 0;
    for (const auto &id : listProcesses(options_.cgroupProcs)) {
        try {
            auto known = processes_.find(id.pid);
            if (known != processes_.end() && known->second->id().startTime == id.startTime)
                pages += known->second->countDirty();
            else if (!sharesMemoryWithParent(id.pid))
                pages += ProcessCopy(id, 0, options_.tracker).countDirty();
        } catch (const ProcessGone &) {
            continue;
        }
    }
    return {{"pages", pages}, {"bytes", pages * kPageSize}, {"ms", watch.ms()}};
}

std::vector<std::pair<ProcessCopy *, Update>> Container::lookAtAll() {
    std::vector<std::pair<ProcessCopy *, Update>> updates;
    refresh();
    for (auto at = processes_.begin(); at != processes_.end();) {
        auto next = std::next(at);
        try {
            updates.emplace_back(at->second.get(), at->second->snapshot());
        } catch (const ProcessGone &) {
            forget(at);
        }
        at = next;
    }
    return updates;
}

Json Container::final(wire::Channel &channel, const std::function<void(Snapshot)> &snapshotted) {
    Stopwatch watch;
    uint64_t sentBefore = channel.bytesSent();
    auto updates = lookAtAll();
    Snapshot snapshot;
    for (auto &[process, update] : updates)
        snapshot[process->id().pid] = process->areas();
    double scanMs = watch.ms();
    snapshotted(std::move(snapshot));

    channel.send(wire::FrameType::finalBegin);
    tellGone(channel);
    Transfer transfer(channel, 0, kNiceInFinal);
    for (auto &[process, update] : updates) {
        transfer.announce(*process, update);
        transfer.sendPages(*process, update);
    }
    transfer.drain();
    wire::FinalEndFrame end{transfer.pages(), 0};
    for (auto &[process, update] : updates) {
        auto held = splitAt(process->held(), process->areas());
        end.presentPages += pagesIn(held);
        wire::sendRanges(channel, wire::FrameType::present, process->vpid(), held);
    }
    channel.send(wire::FrameType::finalEnd, end);
    channel.expect<wire::FinalAckFrame>(wire::FrameType::finalAck, wire::after(kAckTimeout));
    return {{"pages", end.pages},
            {"bytes", end.pages * kPageSize},
            {"wireBytes", channel.bytesSent() - sentBefore},
            {"zeroPages", transfer.counters().zeroPages.load()},
            {"scanMs", scanMs},
            {"readMs", transfer.counters().readMs.load()},
            {"sendMs", transfer.sendMs()},
            {"totalMs", watch.ms()}};
}

} // namespace pclive
