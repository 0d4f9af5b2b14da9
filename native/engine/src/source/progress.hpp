// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace pclive {

/// Calls a function every 200 ms on a thread of its own, for as long as it lives.
class Ticker {
  public:
    explicit Ticker(std::function<void()> tick) : tick_(std::move(tick)), thread_(&Ticker::run, this) {}
    ~Ticker() {
        {
            std::lock_guard lock(mutex_);
            stopped_ = true;
        }
        stop_.notify_all();
        thread_.join();
    }
    Ticker(const Ticker &) = delete;
    Ticker &operator=(const Ticker &) = delete;

  private:
    void run() {
        std::unique_lock lock(mutex_);
        while (!stop_.wait_for(lock, std::chrono::milliseconds(200), [this] { return stopped_; }))
            tick_();
    }

    std::function<void()> tick_;
    std::mutex mutex_;
    std::condition_variable stop_;
    bool stopped_ = false;
    std::thread thread_;
};

} // namespace pclive
