// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "control/fd.hpp"
#include "wire/hello.hpp"

namespace pclive::wire {

/// Waits for the one right peer of a migration.
class Listener {
  public:
    /// Errors: "listen", "tls", "invalid".
    Listener(const std::string &host, uint16_t port, const Identity &identity);

    [[nodiscard]] uint16_t port() const noexcept { return port_; }

    /// Accepts connections until one of them is the right peer. Others are refused (and written to stderr).
    /// Errors: "timeout" (nobody came), "refused" (more than `kMaxFailures` wrong peers), "aborted"
    /// (cancelled).
    std::unique_ptr<Channel> accept(Deadline deadline);

    /// Makes accept() fail soon; from any thread.
    void cancel() noexcept;

    static constexpr int kMaxFailures = 16;
    static constexpr std::chrono::milliseconds kHandshakeTime{5000};

  private:
    std::unique_ptr<Transport> tryOne(Fd connection, Deadline deadline) const;

    TlsContext context_;
    HelloFrame expected_;
    Fd socket_, wake_;
    uint16_t port_;
};

} // namespace pclive::wire
