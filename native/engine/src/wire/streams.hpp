// SPDX-License-Identifier: Apache-2.0
// All connections of one migration.
#pragma once

#include "wire/channel.hpp"
#include <vector>

namespace pclive::wire {

struct Streams {
    std::unique_ptr<Channel> main;
    std::vector<std::unique_ptr<Channel>> pages; ///< for PAGES alone; empty: those go over the main one too
    uint64_t position = 0; ///< of the source: frames about processes that it has sent over the main one

    void abort(const std::string &text) noexcept;
    [[nodiscard]] uint64_t bytesSent() const noexcept;
    [[nodiscard]] uint64_t bytesReceived() const noexcept;
    [[nodiscard]] uint64_t bytesQueued() const noexcept;
};

/// The source's side. `count`: 1 to kMaxStreams; with more than one, that many besides the main connection.
/// Errors as of Channel::connect().
Streams connectStreams(const std::string &host, uint16_t port, const Identity &identity, uint16_t count,
                       Deadline deadline);

/// How many streams are worth it when nobody says. One keeps a processor busy at each end, another one reads
/// and places; no link needs more than it carries, which one stream does up to about half a gigabyte a second
/// on any processor. `bytesPerSecond` of the link, 0 when it is not known.
uint16_t chooseStreams(unsigned processors, uint64_t bytesPerSecond) noexcept;

/// Bytes per second of the device by which `host` is reached, as its driver tells; 0 when it does not.
uint64_t linkSpeed(const std::string &host);

} // namespace pclive::wire
