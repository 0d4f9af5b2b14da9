// SPDX-License-Identifier: Apache-2.0
// Small reads from /proc.
#pragma once

#include "control/error.hpp"
#include "control/fd.hpp"
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace pclive {

/// The process ended, or is a zombie, while it was looked at; never a failure of a migration by itself.
class ProcessGone : public Error {
  public:
    explicit ProcessGone(pid_t pid)
        : Error("process-gone", "process " + std::to_string(pid) + " has ended") {}
};

/// "/proc/PID/name".
std::string procPath(pid_t pid, const char *name);

/// Opens /proc/PID/name. Throws ProcessGone when there is no such process, Error "proc" otherwise.
Fd openProc(pid_t pid, const char *name, int flags);

/// The whole of a file whose size is not known beforehand. Throws ProcessGone, or Error "proc".
std::string readProc(pid_t pid, const char *name);

/// Calls `visit` with each line, reading only as far as it returns true: for files that are dear to produce.
void eachProcLine(pid_t pid, const char *name, const std::function<bool(std::string_view)> &visit);

/// What of /proc/PID/stat identifies a process and tells whether it can be worked with.
struct ProcessStat {
    char state = '?';       ///< R S D T t Z X I
    uint64_t startTime = 0; ///< clock ticks since boot: with the pid it is unique
};
std::optional<ProcessStat> readStat(pid_t pid);
/// Likewise for one thread.
std::optional<ProcessStat> readThreadStat(pid_t pid, pid_t tid);

/// Whether the thread is gone or a zombie. ptrace refuses such threads just like those it must not touch.
bool threadEnded(pid_t pid, pid_t tid);

/// Thread ids, the leader first.
std::vector<pid_t> listThreads(pid_t pid);

/// The text after "name:" in /proc/PID/status, without the blanks around it; empty when it is not there.
std::string statusField(pid_t pid, const std::string &name);

} // namespace pclive
