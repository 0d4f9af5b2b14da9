// SPDX-License-Identifier: Apache-2.0
// The first frames of a connection: is this the peer of this very migration?
#pragma once

#include "wire/transport.hpp"
#include <functional>

namespace pclive::wire {

/// The HELLO of an identity. Error "invalid" when migration or token are not hex of the right length.
HelloFrame makeHello(const Identity &identity, StreamNumber number = {});

/// Source: sends HELLO, waits for HELLO_ACK. Errors: "refused", "timeout".
void greet(Transport &transport, const HelloFrame &hello, Deadline deadline);

/// Destination: waits for HELLO and compares; on success answers. `due` tells whether this connection is one
/// that is waited for. Errors: "refused", "timeout", "peer-lost".
StreamNumber welcome(Transport &transport, const HelloFrame &expected,
                     const std::function<bool(StreamNumber)> &due, Deadline deadline);

} // namespace pclive::wire
