// SPDX-License-Identifier: Apache-2.0
// All processes of the container, over the rounds of a migration or of a checkpoint.
#pragma once

#include "control/session.hpp"
#include "source/sink.hpp"
#include <functional>
#include <map>
#include <unordered_map>

namespace pclive {

/// The handled areas of every process (by our pid) at the moment of the final look: what HANDLED is answered
/// from.
using Snapshot = std::unordered_map<pid_t, Ranges>;

struct ContainerOptions {
    pid_t initPid = 0;
    std::vector<std::string> cgroupProcs;
    TrackerKind tracker = TrackerKind::uffd;
};
/// From the arguments of `begin`. Error "invalid".
ContainerOptions containerOptions(const Json &arguments, TrackerKind tracker);

/// Not thread-safe: its user holds a lock over each call.
class Container {
  public:
    /// Throws ProcessGone when the init process has ended.
    Container(ContainerOptions options, Events &events);
    ~Container();

    /// One pre-copy round; returns the answer's fields. A process that cannot be stopped is left out for now,
    /// and the third time in a row is an error.
    Json round(Sink &sink);
    /// Counts what a round would send; nothing is stopped or changed.
    Json dirty();
    /// The final round, while the container stands still. `snapshotted` is called as soon as nothing looks at
    /// the layout or the page tables any more; memory is read afterwards.
    Json final(Sink &sink, const std::function<void(Snapshot)> &snapshotted);

  private:
    struct RoundState;
    using Processes = std::map<pid_t, std::unique_ptr<ProcessCopy>>;
    void refresh();
    void forget(Processes::iterator process);
    void tellGone(Sink &sink);
    static void announce(ProcessCopy &process, const Update &update, Sink &sink);
    template <class Look> auto lookAtAll(Look look);
    bool roundOf(ProcessCopy &process, RoundState &state);
    Json finishRound(RoundState &state);

    ContainerOptions options_;
    Events &events_;
    PidNamespace namespace_;
    Processes processes_;
    std::vector<uint32_t> gone_; ///< vpids of ended processes that the sink still knows
    uint32_t round_ = 0;
};

} // namespace pclive
