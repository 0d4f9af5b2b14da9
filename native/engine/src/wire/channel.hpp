// SPDX-License-Identifier: Apache-2.0
// A connection between two engines: frames over TLS 1.3, both ends authenticated.
#pragma once

#include "control/error.hpp"
#include "wire/frames.hpp"
#include "wire/pool.hpp"
#include <atomic>
#include <chrono>
#include <concepts>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <sys/uio.h>
#include <type_traits>

namespace pclive::wire {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;
inline Deadline after(std::chrono::milliseconds time) {
    return Clock::now() + time;
}

/// A received frame: header checked, payload complete and its CRC right; what is in it is for decode.hpp to
/// check.
struct Frame {
    FrameType type = FrameType::ping;
    uint8_t flags = 0;
    Buffer payload;

    [[nodiscard]] std::span<const uint8_t> bytes() const { return payload.bytes(); }
};

/// Who we are and whom we want to talk to.
struct Identity {
    std::string ca, cert, key; ///< paths of PEM files
    std::string peerName;      ///< the name (SAN) that the peer's certificate must carry
    std::string migration;     ///< 32 hex digits
    std::string token;         ///< 64 hex digits
};

/// Which of a migration's connections.
struct StreamNumber {
    uint16_t stream = 0; ///< 0: the main one
    uint16_t streams = 1;
};

class Transport;

/// Frames over one TLS connection. All methods may be used from any thread.
///
/// A thread inside reads ahead into a bounded queue and consumes PINGs; another sends a PING when nothing
/// else was sent for two seconds. When the peer is silent for ten seconds, or the connection breaks, every
/// call that is under way, and every later one, fails. The first failure of a channel is the one that all
/// calls report, except that an ERROR or ABORT frame which the peer sent before has priority over a broken
/// connection.
class Channel {
  public:
    /// The source's side: connects and exchanges HELLO.
    /// Errors: "unreachable", "tls", "refused" (the peer did not accept us), "timeout".
    static std::unique_ptr<Channel> connect(const std::string &host, uint16_t port, const Identity &identity,
                                            Deadline deadline, StreamNumber number = {});
    ~Channel();
    Channel(const Channel &) = delete;
    Channel &operator=(const Channel &) = delete;

    /// Sends one frame whose payload is the concatenation of `payload`. Blocks while the peer does not read,
    /// but not longer than the peer gives no sign of life. Errors: "peer-lost", "peer-error", "peer-aborted",
    /// "aborted".
    void send(FrameType type, std::span<const iovec> payload, uint8_t flags = 0);

    /// Sends a frame that is one structure.
    template <class Payload>
    requires(std::is_trivially_copyable_v<Payload> &&
             !std::convertible_to<const Payload &, std::span<const iovec>>) void send(FrameType type,
                                                                                      const Payload &payload,
                                                                                      uint8_t flags = 0) {
        iovec part{const_cast<Payload *>(&payload), sizeof payload};
        send(type, std::span<const iovec>(&part, 1), flags);
    }
    void send(FrameType type) { send(type, std::span<const iovec>()); }

    /// From now on small frames wait, to be written together: until let go as often as held, until they are
    /// many, or until a large one comes. For milliseconds only: a held PING is no sign of life.
    void hold() noexcept;
    /// Errors as send().
    void letGo();

    /// The next frame (never PING, ABORT or ERROR: the latter two become the errors "peer-aborted" and
    /// the code in the ERROR frame). Errors as send(), and "timeout" when `deadline` passes first.
    Frame receive(Deadline deadline);

    /// Waits for a frame of one type that is one structure; another type or size is the error "protocol".
    template <class Payload> Payload expect(FrameType type, Deadline deadline) {
        static_assert(std::is_trivially_copyable_v<Payload>);
        Frame frame = receive(deadline);
        Payload payload;
        checkExpected(frame, type, sizeof payload);
        memcpy(&payload, frame.bytes().data(), sizeof payload);
        return payload;
    }

    /// Tells the peer, if that is possible at once, and fails all calls with "aborted". Idempotent.
    void abort(const std::string &text) noexcept;

    /// Bytes on the wire (TLS records) in each direction.
    [[nodiscard]] uint64_t bytesSent() const noexcept;
    [[nodiscard]] uint64_t bytesReceived() const noexcept;
    /// Payload bytes received but not yet taken with receive().
    [[nodiscard]] uint64_t bytesQueued() const noexcept;

    /// Held while a file is sent, so that two senders of files do not mix their frames.
    [[nodiscard]] std::unique_lock<std::mutex> fileLock() { return std::unique_lock(fileMutex_); }

  private:
    friend class Listener;
    Channel(std::unique_ptr<Transport> transport, StreamNumber number);
    static void checkExpected(const Frame &frame, FrameType type, size_t size);

    struct State;
    std::unique_ptr<State> state_;
    std::mutex fileMutex_;
};

/// Holds a channel back while it lives. What goes wrong with what it has held back is told to the next call.
class Together {
  public:
    explicit Together(Channel &channel) : channel_(channel) { channel_.hold(); }
    ~Together();
    Together(const Together &) = delete;
    Together &operator=(const Together &) = delete;

  private:
    Channel &channel_;
};

} // namespace pclive::wire
