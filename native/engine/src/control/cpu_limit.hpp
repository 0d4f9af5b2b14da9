// SPDX-License-Identifier: Apache-2.0
// A bound of the engine's own processor time.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace pclive {

/// Makes threads sleep between two pieces of work, so that all threads of the engine together stay below a
/// share of the time that passes. The quota of a cgroup would be simpler, and worse: before Linux 6.18 it
/// stops a thread in the middle of a system call too, for up to 100 ms, and ours hold the lock of the
/// container's address space in theirs.
class CpuLimit {
  public:
    /// In percent of one processor; 0: no limit.
    explicit CpuLimit(unsigned percent) : share_(percent / 100.0) {}

    /// Between two pieces of work of at most some milliseconds, with nothing locked: sleeps off what was used
    /// too much.
    void pace();
    /// There is no limit any more; who sleeps wakes up.
    void lift() noexcept;

  private:
    using Clock = std::chrono::steady_clock;
    void refill(); // needs the lock

    const double share_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool lifted_ = false;
    double credit_ = 0, used_ = 0; ///< seconds of processor time: left, and used when it was last looked at
    Clock::time_point last_{};
};

} // namespace pclive
