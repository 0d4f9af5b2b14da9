// SPDX-License-Identifier: Apache-2.0
// The sending half of a round: threads that encrypt and send while the next pages are read.
#pragma once

#include "control/cpu_limit.hpp"
#include "source/bandwidth.hpp"
#include "source/headroom.hpp"
#include "wire/streams.hpp"
#include <condition_variable>
#include <deque>
#include <exception>
#include <thread>
#include <vector>

namespace pclive {

/// One PAGES frame in the making.
struct PageBatch {
    uint32_t vpid = 0;
    std::vector<wire::RunEntry> runs;
    std::vector<iovec> data; ///< pieces of `memory` in the order of `runs`
    uint64_t pages = 0;
    uint64_t position = 0; ///< see wire::PagesFrame
    std::unique_ptr<uint8_t[]> memory =
        std::make_unique_for_overwrite<uint8_t[]>(wire::kMaxData + kAlignment);

    /// Room for kMaxPagesPerFrame pages, aligned for vector loads.
    [[nodiscard]] uint8_t *buffer() const {
        return reinterpret_cast<uint8_t *>((reinterpret_cast<uintptr_t>(memory.get()) + kAlignment - 1) &
                                           ~(kAlignment - 1));
    }
    static constexpr uintptr_t kAlignment = 64;
};

/// How much of the host a round may take.
struct Pace {
    uint64_t bandwidth = 0;  ///< bytes a second, 0: no limit
    int nice = 0;            ///< of the threads: kBackground while the container runs, kUrgent in the pause
    CpuLimit *cpu = nullptr; ///< null: no limit
    unsigned headroom = 0;   ///< percent of the host's processor time to be left idle; 0: no limit
};

/// Hands batches over a bounded queue to threads of its own, one for each stream; any stream takes any batch.
/// A failure of the connection comes out of take(), put() and drain(). Waits here last as long as the
/// connection lives, and that notices a dead peer by itself.
class PageSender {
  public:
    PageSender(wire::Streams &streams, const Pace &pace);
    ~PageSender();
    PageSender(const PageSender &) = delete;
    PageSender &operator=(const PageSender &) = delete;

    /// An empty batch; waits for one to be sent when all are under way.
    std::unique_ptr<PageBatch> take();
    void put(std::unique_ptr<PageBatch> batch);
    /// Returns when all that was put has been handed to the connection.
    void drain();

    [[nodiscard]] uint64_t pages() const { return pages_; }
    /// Of all threads together.
    [[nodiscard]] double sendMs() const { return sendMs_; }

  private:
    void run(wire::Channel &channel, int nice) noexcept;
    void send(wire::Channel &channel, const PageBatch &batch);

    BandwidthLimit limit_;
    Headroom headroom_;
    CpuLimit *cpu_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<std::unique_ptr<PageBatch>> free_;
    std::deque<std::unique_ptr<PageBatch>> queue_;
    size_t underWay_ = 0;
    bool closed_ = false;
    std::exception_ptr failure_;
    std::atomic<uint64_t> pages_ = 0;
    std::atomic<double> sendMs_ = 0;
    std::vector<std::thread> threads_;
};

} // namespace pclive
