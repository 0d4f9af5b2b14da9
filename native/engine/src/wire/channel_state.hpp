// SPDX-License-Identifier: Apache-2.0
// The inside of a Channel.
#pragma once

#include "wire/transport.hpp"
#include <condition_variable>
#include <deque>
#include <optional>
#include <thread>
#include <vector>

namespace pclive::wire {

inline constexpr std::chrono::milliseconds kPingEvery{2000};
inline constexpr std::chrono::milliseconds kSilence{10000};
inline constexpr size_t kQueueBytes = 24u << 20; // read ahead; more only costs memory
inline constexpr size_t kQueueFrames = 4096;
inline constexpr size_t kSmallPart = 16u << 10; // a TLS record: what is smaller than that is worth a copy
inline constexpr size_t kHeldBytes = 64u << 10;

struct Channel::State {
    State(std::unique_ptr<Transport> connection, size_t queueBytes);
    ~State();

    void send(FrameType type, std::span<const iovec> payload, uint8_t flags, Deadline deadline);
    void hold() noexcept;
    void letGo();
    Frame receive(Deadline deadline);
    void abort(const std::string &text) noexcept;
    /// Records the first failure and makes everything else stop.
    void fail(const Error &error) noexcept;

    std::unique_ptr<Transport> transport;
    std::atomic<uint64_t> queuedBytes = 0;

  private:
    void readLoop() noexcept;
    void heartLoop() noexcept;
    void readExactly(void *data, size_t size);
    Frame readFrame();
    void push(Frame frame);
    [[noreturn]] void throwFailure();
    [[noreturn]] void throwSendFailure(const Error &own);
    void writeFrame(FrameType type, std::span<const iovec> payload, uint8_t flags, Deadline deadline);
    void writePart(const void *data, size_t size, Deadline deadline);
    void writeHeld(Deadline deadline);

    const size_t maxQueued_;
    std::shared_ptr<BufferPool> pool_;

    std::timed_mutex sendMutex_; // of these
    int holds_ = 0;
    std::vector<uint8_t> held_; ///< small parts of frames, to be written together
    uint64_t sendSequence_ = 1; // 0 was HELLO
    std::atomic<Clock::time_point> lastSent_ = Clock::now();

    std::mutex mutex_;                // of all below
    std::condition_variable changed_; // queue or failure
    std::condition_variable stopped_; // failure
    std::deque<Frame> queue_;
    std::optional<Error> failure_;
    std::optional<Error>
        aborting_; ///< our own abort is on its way: whatever the peer does then follows from it
    bool readerDone_ = false;

    uint64_t receiveSequence_ = 1;
    Clock::time_point lastHeard_ = Clock::now(); // reader only
    std::thread reader_, heart_;
};

} // namespace pclive::wire
