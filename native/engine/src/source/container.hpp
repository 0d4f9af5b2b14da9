// SPDX-License-Identifier: Apache-2.0
// All processes of the container, over the rounds of a migration.
#pragma once

#include "control/session.hpp"
#include "source/process_copy.hpp"
#include "wire/channel.hpp"
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

/// Not thread-safe: its user holds a lock over each call.
class Container {
  public:
    /// Throws ProcessGone when the init process has ended.
    Container(ContainerOptions options, Events &events);
    ~Container();

    /// One pre-copy round; returns the answer's fields. A process that cannot be stopped is left out for now,
    /// and the third time in a row is an error. `bandwidth` in bytes a second, 0: no limit; the final round
    /// is never limited, since that would make the pause longer.
    Json round(wire::Channel &channel, uint64_t bandwidth);
    /// Counts what a round would send; nothing is stopped or changed.
    Json dirty();
    /// The final round, while the container stands still. `snapshotted` is called as soon as nothing looks at
    /// the layout or the page tables any more; memory is read afterwards.
    Json final(wire::Channel &channel, const std::function<void(Snapshot)> &snapshotted);

  private:
    struct RoundState;
    using Processes = std::map<pid_t, std::unique_ptr<ProcessCopy>>;
    void refresh();
    void forget(Processes::iterator process);
    void tellGone(wire::Channel &channel);
    std::vector<std::pair<ProcessCopy *, Update>> lookAtAll();
    bool roundOf(ProcessCopy &process, RoundState &state);
    Json finishRound(wire::Channel &channel, RoundState &state);

    ContainerOptions options_;
    Events &events_;
    PidNamespace namespace_;
    Processes processes_;
    std::vector<uint32_t> gone_; ///< vpids of ended processes that the peer still knows
    uint32_t round_ = 0;
};

} // namespace pclive
