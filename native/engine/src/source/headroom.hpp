// SPDX-License-Identifier: Apache-2.0
// Leaving processor time to those for whom the host is there.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>

namespace pclive {

/// Ticks of all processors since the boot, in any unit.
struct ProcessorTicks {
    uint64_t idle = 0, total = 0;
};
/// From /proc/stat; all zero when it cannot be read.
ProcessorTicks processorTicks();

/// How fast to send, told every so often what came of it. Pure.
class HeadroomRule {
  public:
    /// @param idle share of all processors that is to be left idle
    explicit HeadroomRule(double idle) : wanted_(idle) {}
    /// @param idle share that was idle lately
    /// @param sent bytes per second that were sent meanwhile
    /// @return bytes per second to send at most from now on
    double after(double idle, double sent);

  private:
    double wanted_;
    double rate_ = 0;    ///< 0: not known yet
    double fastest_ = 0; ///< that was ever sent
    double idle_ = -1;   ///< smoothed; below 0: not known yet
};

/// Slows senders down until a share of the host's processor time is idle. A nice value alone does not do: who
/// has just run is not due again at once when it wakes, and then waits for the next tick behind whoever keeps
/// the processor busy.
///
/// It gives up half of what could be sent at most: where others use the host up, nothing that we leave undone
/// makes it idle.
class Headroom {
  public:
    using Clock = std::chrono::steady_clock;

    /// @param idlePercent of all processors together; 0: no limit
    explicit Headroom(unsigned idlePercent, std::function<ProcessorTicks()> ticks = processorTicks);

    /// Waits until `bytes` may be sent. For any number of threads.
    void take(uint64_t bytes);
    /// No more waiting.
    void lift() noexcept;

  private:
    void look(Clock::time_point now); // needs the lock

    const bool limited_;
    HeadroomRule rule_;
    const std::function<ProcessorTicks()> ticks_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool lifted_ = false;
    double rate_ = 0; ///< bytes per second; 0: no limit yet
    double sent_ = 0; ///< bytes since the last look
    Clock::time_point due_{}, looked_{};
    ProcessorTicks last_;
};

} // namespace pclive
