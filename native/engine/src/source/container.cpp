// SPDX-License-Identifier: Apache-2.0
#include "source/container.hpp"
#include "control/arguments.hpp"
#include "control/priority.hpp"
#include "proc/inject.hpp"
#include "proc/procfs.hpp"
#include "source/progress.hpp"
#include "source/timing.hpp"

namespace pclive {
namespace {

constexpr int kMaxFailedStops = 3;

} // namespace

ContainerOptions containerOptions(const Json &arguments, TrackerKind tracker) {
    ContainerOptions options{static_cast<pid_t>(numberField(arguments, "initPid", 1, 1u << 22)), {}, tracker};
    auto files = arguments.find("cgroupProcs");
    if (files == arguments.end() || !files->is_array() || files->empty())
        throw invalidField("cgroupProcs", "a list of paths");
    for (const auto &file : *files)
        options.cgroupProcs.push_back(file.is_string()
                                          ? file.get<std::string>()
                                          : throw invalidField("cgroupProcs", "a list of paths"));
    return options;
}

struct Container::RoundState {
    Sink &sink;
    Stopwatch watch{};
    uint64_t processes = 0, areas = 0, ranges = 0, attached = 0, skipped = 0, dropped = 0;
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

void Container::tellGone(Sink &sink) {
    for (auto vpid : std::exchange(gone_, {}))
        sink.gone(vpid);
}

/// Tells of the process, its layout and what is gone.
void Container::announce(ProcessCopy &process, const Update &update, Sink &sink) {
    if (!process.announced)
        sink.begin(process.vpid());
    process.announced = true;
    if (update.layoutChanged)
        sink.layout(process.vpid(), update.layout);
    if (!update.absent.empty())
        sink.absent(process.vpid(), update.absent);
}

Json Container::round(Sink &sink) {
    Niceness niceness(kBackground);
    RoundState state{sink};
    round_++;
    Ticker progress([&] {
        auto totals = sink.totals();
        events_.emit("progress", {{"round", round_},
                                  {"pages", totals.pages},
                                  {"bytes", totals.pages * kPageSize},
                                  {"wireBytes", totals.wireBytes}});
    });
    refresh();
    tellGone(sink);
    for (auto at = processes_.begin(); at != processes_.end();) {
        auto next = std::next(at);
        if (!roundOf(*at->second, state))
            forget(at);
        at = next;
    }
    return finishRound(state);
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
        state.dropped += update.dropped;
        announce(process, update, state.sink);
        state.sink.copy(process, update.wanted);
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

Json Container::finishRound(RoundState &state) {
    auto more = state.sink.endRound(round_);
    auto totals = state.sink.totals();
    uint64_t known = 0;
    for (const auto &[pid, process] : processes_)
        known += process->knownPages();
    Json answer{{"round", round_},
                {"processes", state.processes},
                {"skippedProcesses", state.skipped},
                {"areas", state.areas},
                {"pages", totals.pages},
                {"zeroPages", totals.zeroPages},
                {"droppedPages", totals.droppedPages + state.dropped},
                {"bytes", totals.pages * kPageSize},
                {"wireBytes", totals.wireBytes},
                {"ranges", state.ranges},
                {"attachMs", state.attachMs},
                {"attachedProcesses", state.attached},
                {"scanMs", state.scanMs},
                {"readMs", totals.readMs},
                {"sendMs", totals.sendMs},
                {"totalMs", state.watch.ms()},
                {"knownPages", known}};
    answer.update(more);
    return answer;
}

Json Container::dirty() {
    Niceness niceness(kBackground);
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

/// What `look` finds in each process. One that has ended is forgotten.
template <class Look> auto Container::lookAtAll(Look look) {
    std::vector<std::pair<ProcessCopy *, decltype(look(std::declval<ProcessCopy &>()))>> found;
    for (auto at = processes_.begin(); at != processes_.end();) {
        auto next = std::next(at);
        try {
            found.emplace_back(at->second.get(), look(*at->second));
        } catch (const ProcessGone &) {
            forget(at);
        }
        at = next;
    }
    return found;
}

Json Container::final(Sink &sink, const std::function<void(Snapshot)> &snapshotted) {
    Stopwatch watch;
    refresh();
    Snapshot snapshot;
    for (auto &[process, areas] : lookAtAll([](ProcessCopy &each) { return each.finalAreas(); }))
        snapshot[process->id().pid] = std::move(areas);
    // CRIU may begin. The walk through the page tables, which grows with memory, is beside that.
    snapshotted(snapshot);
    auto updates =
        lookAtAll([&](ProcessCopy &each) { return each.snapshot(std::move(snapshot[each.id().pid])); });
    double scanMs = watch.ms();

    sink.beginFinal();
    tellGone(sink);
    for (auto &[process, update] : updates) {
        announce(*process, update, sink);
        sink.copy(*process, update.wanted);
    }
    for (auto &[process, update] : updates)
        sink.present(*process, splitAt(process->held(), process->areas()));
    sink.endFinal();
    auto totals = sink.totals();
    return {{"pages", totals.pages},
            {"bytes", totals.pages * kPageSize},
            {"wireBytes", totals.wireBytes},
            {"zeroPages", totals.zeroPages},
            {"scanMs", scanMs},
            {"readMs", totals.readMs},
            {"sendMs", totals.sendMs},
            {"totalMs", watch.ms()}};
}

} // namespace pclive
