// SPDX-License-Identifier: Apache-2.0
// The order between the frames of several connections: see the head of wire/frames.hpp.
#pragma once

#include "control/error.hpp"
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace pclive::dest {

/// Waits here end when what is waited for has come, or by stop(). A peer that names what never comes is left
/// waiting as one that sends nothing.
class Order {
  public:
    /// One more frame of the main connection, PAGES not counted, was taken.
    void frameTaken() {
        std::lock_guard lock(mutex_);
        position_++;
        changed_.notify_all();
    }
    void awaitPosition(uint64_t position) {
        await([&] { return position_ >= position; });
    }
    void pagesTaken(uint64_t pages) {
        std::lock_guard lock(mutex_);
        pages_ += pages;
        changed_.notify_all();
    }
    /// Waits until that many pages have been taken since the last time that this was waited for.
    void awaitPages(uint64_t pages) {
        await([&] { return pages_ >= pages; });
        std::lock_guard lock(mutex_);
        pages_ = 0; // should it be more, the ledger will not like it
    }
    /// Makes all waiting end with the error "aborted". Idempotent.
    void stop() noexcept {
        std::lock_guard lock(mutex_);
        stopped_ = true;
        changed_.notify_all();
    }

  private:
    template <class Ready> void await(Ready ready) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stopped_ || ready(); });
        if (stopped_)
            throw Error("aborted", "aborted while other connections were waited for");
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    uint64_t position_ = 0, pages_ = 0;
    bool stopped_ = false;
};

} // namespace pclive::dest
