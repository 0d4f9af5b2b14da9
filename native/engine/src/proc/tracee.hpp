// SPDX-License-Identifier: Apache-2.0
// One thread of another process, stopped for a moment to make a system call for us.
#pragma once

#include "proc/arch.hpp"
#include <chrono>
#include <cstdint>
#include <sys/types.h>
#include <vector>

namespace pclive {

/// Why a thread could not be used.
enum class TraceFailure : uint8_t {
    none,
    gone,        ///< the thread has ended
    denied,      ///< ptrace is not permitted
    unstoppable, ///< did not stop in time: in uninterruptible sleep, or its cgroup is frozen
    seccomp,     ///< its seccomp filter cannot be suspended, and would refuse or kill
    foreignAbi,  ///< it runs 32-bit code
    refused,     ///< the system call failed in the thread; see errno
    broken,      ///< it stopped in an unexpected way
};

/// How long a Tracee may take, whatever its deadline, once the registers of a thread are changed.
inline constexpr std::chrono::seconds kBorrowedPatience{5};

/// Attaches with PTRACE_SEIZE, so that the thread gets no signal, and detaches when it is destroyed, with all
/// registers and the signal mask as they were: an interrupted system call is restarted by the kernel. Should
/// we die meanwhile, the kernel detaches. All methods on one thread, since the kernel takes requests from the
/// tracer only.
///
/// The wait for the first stop ends at `deadline`. A failure is returned, not thrown: the user runs in a
/// forked child.
class Tracee {
  public:
    using Clock = std::chrono::steady_clock;

    Tracee(pid_t pid, pid_t tid, Clock::time_point deadline) : pid_(pid), tid_(tid), deadline_(deadline) {}
    ~Tracee();
    Tracee(const Tracee &) = delete;
    Tracee &operator=(const Tracee &) = delete;

    /// Attaches and stops the thread. `suspendSeccomp`: it has a filter, which must not see our calls.
    TraceFailure stop(bool suspendSeccomp);
    /// Lets the stopped thread make one system call with the instruction at `instruction`.
    TraceFailure call(uint64_t instruction, long number, uint64_t argument, long &result);
    /// Restores and detaches; the destructor does it too.
    void release();
    /// When stop() had succeeded.
    [[nodiscard]] Clock::time_point stoppedSince() const { return stoppedSince_; }

  private:
    enum class State : uint8_t { detached, seized, stopped };
    struct Stop {
        TraceFailure failure = TraceFailure::none;
        int signal = 0;
        int event = 0;
    };

    Stop wait();
    TraceFailure waitForEventStop();
    TraceFailure runToSyscallStop();
    TraceFailure borrow();
    void leaveRestartableSequence();
    void restore();

    pid_t pid_, tid_;
    Clock::time_point deadline_;
    Clock::time_point stoppedSince_{};
    State state_ = State::detached;
    bool changed_ = false;
    arch::Registers saved_{};
    uint64_t savedMask_ = 0;
    std::vector<int> postponed_; ///< signals that came while our call was made; sent again afterwards
};

} // namespace pclive
