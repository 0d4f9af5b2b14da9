// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "control/fd.hpp"
#include "wire/hello.hpp"
#include "wire/streams.hpp"

namespace pclive::wire {

/// Waits for the connections of the one right peer of a migration.
class Listener {
  public:
    /// Errors: "listen", "tls", "invalid".
    Listener(const std::string &host, uint16_t port, const Identity &identity);

    [[nodiscard]] uint16_t port() const noexcept { return port_; }

    /// Accepts connections until the right peer has made the main one and all that it has announced. Others
    /// are refused (and written to stderr). Errors: "timeout" (nobody came), "refused" (more than
    /// `kMaxFailures` wrong peers), "aborted" (cancelled).
    Streams accept(Deadline deadline);

    /// Makes accept() fail soon; from any thread.
    void cancel() noexcept;

    static constexpr int kMaxFailures = 16;
    static constexpr std::chrono::milliseconds kHandshakeTime{5000};
    /// From the main connection to the last one.
    static constexpr std::chrono::milliseconds kStreamsTime{30000};

  private:
    struct Accepted {
        std::unique_ptr<Channel> channel;
        StreamNumber number;
    };
    using Due = std::function<bool(StreamNumber)>;
    Accepted acceptOne(const Due &due, Deadline deadline);
    Accepted tryOne(Fd connection, const Due &due, Deadline deadline) const;

    TlsContext context_;
    HelloFrame expected_;
    Fd socket_, wake_;
    uint16_t port_;
    int failures_ = 0;
};

} // namespace pclive::wire
