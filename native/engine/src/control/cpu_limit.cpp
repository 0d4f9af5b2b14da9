// SPDX-License-Identifier: Apache-2.0
#include "control/cpu_limit.hpp"

#include <algorithm>
#include <time.h>

namespace pclive {
namespace {

/// What was not used for that long is lost: a pause between two rounds shall not be followed by a burst.
constexpr double kCreditSeconds = 0.1;

double processorSeconds() {
    timespec used{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

} // namespace

void CpuLimit::refill() {
    auto now = Clock::now();
    double used = processorSeconds();
    if (last_ != Clock::time_point()) // what was used before the first piece of work is nobody's burden
        credit_ += share_ * std::chrono::duration<double>(now - last_).count() - (used - used_);
    credit_ = std::min(credit_, share_ * kCreditSeconds);
    last_ = now;
    used_ = used;
}

void CpuLimit::pace() {
    if (share_ <= 0)
        return;
    std::unique_lock lock(mutex_);
    for (refill(); credit_ < 0 && !lifted_; refill())
        changed_.wait_for(lock, std::chrono::duration<double>(std::max(-credit_ / share_, 0.001)),
                          [this] { return lifted_; });
}

void CpuLimit::lift() noexcept {
    {
        std::lock_guard lock(mutex_);
        lifted_ = true;
    }
    changed_.notify_all();
}

} // namespace pclive
