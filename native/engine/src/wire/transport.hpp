// SPDX-License-Identifier: Apache-2.0
// Bytes over one TLS 1.3 connection, both ends authenticated.
#pragma once

#include "control/fd.hpp"
#include "wire/channel.hpp"
#include <openssl/ssl.h>

namespace pclive::wire {

/// Keys and rules for one side. Errors: "tls" (a file is missing or wrong).
class TlsContext {
  public:
    enum class Side { client, server };
    TlsContext(const Identity &identity, Side side);
    /// A new connection object on `fd` that will only accept a peer named identity.peerName.
    [[nodiscard]] std::unique_ptr<SSL, decltype(&SSL_free)> connection(int fd) const;

  private:
    std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
    Side side_;
    std::string peerName_;
};

/// One thread may read while another writes: OpenSSL's object is not made for that, so it is used under a
/// lock, with a non-blocking socket, and all waiting is done outside of the lock.
class Transport {
  public:
    /// Does the handshake. Errors: "tls", "timeout".
    Transport(Fd fd, const TlsContext &context, Deadline deadline);

    /// Reads 1 to `size` bytes; 0 when nothing came until the deadline. Error "peer-lost" at the end of the
    /// stream.
    size_t readSome(void *data, size_t size, Deadline deadline);
    /// Reads exactly `size` bytes. Errors: "timeout", "peer-lost".
    void readAll(void *data, size_t size, Deadline deadline);
    /// Writes all. One writer at a time. Errors: "timeout", "peer-lost".
    void writeAll(const void *data, size_t size, Deadline deadline);
    /// Makes all calls fail soon, from any thread.
    void shutdown() noexcept;

    [[nodiscard]] uint64_t bytesSent() const noexcept { return sent_; }
    [[nodiscard]] uint64_t bytesReceived() const noexcept { return received_; }

  private:
    enum class Want { nothing, read, write };
    Want outcome(int result); // needs the lock
    bool wait(Want want, Deadline deadline);
    void count();

    Fd fd_;
    std::mutex mutex_;
    std::unique_ptr<SSL, decltype(&SSL_free)> ssl_;
    std::atomic<bool> closed_ = false;
    std::atomic<uint64_t> sent_ = 0, received_ = 0;
};

} // namespace pclive::wire
