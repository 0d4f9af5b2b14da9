// SPDX-License-Identifier: Apache-2.0
// Who may work on the staged memory when.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>

namespace pclive::dest {

/// Pages of several connections are taken beside each other; everything else is done alone. First come, first
/// served, so that nobody is kept out by others who take turns among themselves.
class Turns {
  public:
    class [[nodiscard]] Turn {
      public:
        explicit Turn(Turns &turns) : turns_(turns) {}
        ~Turn() { turns_.end(); }
        Turn(const Turn &) = delete;
        Turn &operator=(const Turn &) = delete;

      private:
        Turns &turns_;
    };

    Turn alone() {
        begin(true);
        return Turn(*this);
    }
    Turn beside() {
        begin(false);
        return Turn(*this);
    }

  private:
    void begin(bool alone) {
        std::unique_lock lock(mutex_);
        uint64_t ticket = next_++;
        waiting_.push_back(ticket);
        changed_.wait(lock,
                      [&] { return waiting_.front() == ticket && (alone ? working_ == 0 : !workingAlone_); });
        waiting_.pop_front();
        working_++;
        workingAlone_ = alone;
        changed_.notify_all(); // the next one may want to work beside
    }
    void end() {
        std::lock_guard lock(mutex_);
        working_--;
        workingAlone_ = false;
        changed_.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<uint64_t> waiting_; // tickets
    uint64_t next_ = 0;
    unsigned working_ = 0;
    bool workingAlone_ = false;
};

} // namespace pclive::dest
