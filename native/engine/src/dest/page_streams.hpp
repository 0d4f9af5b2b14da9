// SPDX-License-Identifier: Apache-2.0
// The connections that carry pages alone, each with a thread that places what comes.
#pragma once

#include "control/cpu_limit.hpp"
#include "dest/ledger.hpp"
#include "dest/order.hpp"
#include "dest/turns.hpp"
#include "wire/streams.hpp"
#include <functional>
#include <thread>

namespace pclive::dest {

class PageStreams {
  public:
    /// `failed` is called on a stream's thread, with the first reason for which no more pages can be taken.
    PageStreams(Ledger &ledger, Turns &turns, CpuLimit &cpu, std::function<void(const Error &)> failed)
        : ledger_(ledger), turns_(turns), cpu_(cpu), failed_(std::move(failed)) {}
    ~PageStreams();

    /// The connections must live, and be aborted first, when this ends.
    void start(wire::Streams &streams);
    [[nodiscard]] bool any() const { return !threads_.empty(); }
    /// Before a frame of the main connection is taken: waits for the pages that it counts.
    void before(const wire::Frame &frame);
    /// When it was taken.
    void after(const wire::Frame &frame);
    /// No more pages are due: what becomes of the connections now does not matter.
    void finish() noexcept { finished_ = true; }
    void stop() noexcept;

  private:
    void run(wire::Channel &channel) noexcept;
    void take(const wire::Frame &frame);
    bool takeBeside(const wire::PageList &list);

    Ledger &ledger_;
    Turns &turns_;
    CpuLimit &cpu_;
    std::function<void(const Error &)> failed_;
    Order order_;
    std::atomic<bool> finished_ = false;
    std::vector<std::thread> threads_;
};

} // namespace pclive::dest
