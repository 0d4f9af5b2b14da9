// SPDX-License-Identifier: Apache-2.0
// TCP sockets with the options that a data connection wants.
#pragma once

#include "control/fd.hpp"
#include "wire/channel.hpp"

namespace pclive::wire {

/// A connected, non-blocking socket. Errors: "unreachable", "timeout".
Fd connectTcp(const std::string &host, uint16_t port, Deadline deadline);

/// A listening, non-blocking socket on host (an address or a name) and port (0: any). Error "listen".
Fd listenTcp(const std::string &host, uint16_t port);
uint16_t localPort(int fd);

/// Prepares an accepted socket (connectTcp does it itself).
void prepareTcp(int fd);

/// Waits for `events` on fd; false when the deadline passed first.
bool waitFd(int fd, short events, Deadline deadline);

/// Milliseconds from now to the deadline for poll(), at least 0.
int pollTime(Deadline deadline) noexcept;

} // namespace pclive::wire
