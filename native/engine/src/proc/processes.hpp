// SPDX-License-Identifier: Apache-2.0
// Which processes a container has, and the pids they see themselves.
#pragma once

#include <cstdint>
#include <string>
#include <sys/types.h>
#include <vector>

namespace pclive {

struct ProcessId {
    pid_t pid = 0;          ///< as we see it
    uint64_t startTime = 0; ///< with the pid, identifies the process for as long as the host runs
};

/// The container's pid namespace, known by its init process.
class PidNamespace {
  public:
    /// Throws ProcessGone when `initPid` has ended.
    explicit PidNamespace(pid_t initPid);
    /// The pid that `pid` has inside the container. Throws ProcessGone.
    [[nodiscard]] uint32_t vpid(pid_t pid) const;

  private:
    size_t level_; ///< position in the NSpid line
};

/// Living processes (no zombies) in the union of some cgroup.procs files, sorted by pid. A file that is gone
/// counts as empty: a nested group may be removed at any time. Error "cgroup" when none can be read.
std::vector<ProcessId> listProcesses(const std::vector<std::string> &cgroupProcs);

/// Whether the process still uses the memory of its parent (vfork before exec).
bool sharesMemoryWithParent(pid_t pid);

} // namespace pclive
