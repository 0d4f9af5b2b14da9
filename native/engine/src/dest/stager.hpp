// SPDX-License-Identifier: Apache-2.0
// Puts waiting pages in place beside everything else that goes on.
#pragma once

#include "control/cpu_limit.hpp"
#include "dest/delayed.hpp"
#include "dest/turns.hpp"
#include <condition_variable>
#include <functional>
#include <thread>

namespace pclive::dest {

class Stager {
  public:
    /// `failed` is called on the stager's thread.
    Stager(DelayedStore &store, Turns &turns, CpuLimit &cpu, std::function<void(const Error &)> failed)
        : store_(store), turns_(turns), cpu_(cpu), failed_(std::move(failed)), thread_([this] { run(); }) {}
    ~Stager() {
        stop();
        thread_.join();
    }

    /// There may be something to do.
    void wake() {
        std::lock_guard lock(mutex_);
        woken_ = true;
        changed_.notify_all();
    }
    /// Puts in place what is left, on the caller's thread too.
    void finish() {
        while (some())
            ;
    }
    void stop() noexcept {
        std::lock_guard lock(mutex_);
        stopped_ = true;
        changed_.notify_all();
    }

  private:
    bool some() {
        auto turn = turns_.alone();
        return store_.stageSome();
    }
    /// False at the end.
    bool waitForWork() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return woken_ || stopped_; });
        woken_ = false;
        return !stopped_;
    }
    [[nodiscard]] bool stopped() {
        std::lock_guard lock(mutex_);
        return stopped_;
    }
    void run() noexcept {
        try {
            while (waitForWork())
                while (!stopped() && some())
                    cpu_.pace();
        } catch (const Error &error) {
            failed_(error);
        } catch (const std::exception &error) {
            failed_(Error("internal", error.what()));
        }
    }

    DelayedStore &store_;
    Turns &turns_;
    CpuLimit &cpu_;
    std::function<void(const Error &)> failed_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool woken_ = false, stopped_ = false;
    std::thread thread_; // last: it uses the rest
};

} // namespace pclive::dest
