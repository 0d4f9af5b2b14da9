// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <thread>

namespace pclive {

/// A token bucket of 100 ms, for any number of threads.
class BandwidthLimit {
  public:
    /// 0: no limit.
    explicit BandwidthLimit(uint64_t bytesPerSecond) : rate_(static_cast<double>(bytesPerSecond)) {}

    /// Waits until `bytes` may be sent. A frame larger than the bucket is let through and paid off
    /// afterwards.
    void take(uint64_t bytes) {
        if (rate_ <= 0)
            return;
        std::unique_lock lock(mutex_);
        for (refill(); tokens_ <= 0 && !stopped_; refill()) {
            lock.unlock();
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
            lock.lock();
        }
        tokens_ -= static_cast<double>(bytes);
    }
    void stop() { stopped_ = true; }

  private:
    using Clock = std::chrono::steady_clock;
    void refill() {
        auto now = Clock::now();
        tokens_ += rate_ * std::chrono::duration<double>(now - last_).count();
        tokens_ = std::min(tokens_, rate_ / 10);
        last_ = now;
    }

    double rate_;
    std::mutex mutex_;
    double tokens_ = 0;
    Clock::time_point last_ = Clock::now();
    std::atomic<bool> stopped_ = false;
};

} // namespace pclive
