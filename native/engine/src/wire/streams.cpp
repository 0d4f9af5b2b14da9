// SPDX-License-Identifier: Apache-2.0
#include "wire/streams.hpp"

#include <algorithm>

namespace pclive::wire {
namespace {

constexpr uint64_t kOneStream = 500'000'000;
constexpr uint64_t kMostByItself = 4;

template <class Visit> void each(const Streams &streams, Visit visit) {
    if (streams.main)
        visit(*streams.main);
    for (const auto &channel : streams.pages)
        visit(*channel);
}

} // namespace

void Streams::abort(const std::string &text) noexcept {
    each(*this, [&](Channel &channel) { channel.abort(text); });
}

uint64_t Streams::bytesSent() const noexcept {
    uint64_t sum = 0;
    each(*this, [&](const Channel &channel) { sum += channel.bytesSent(); });
    return sum;
}

uint64_t Streams::bytesReceived() const noexcept {
    uint64_t sum = 0;
    each(*this, [&](const Channel &channel) { sum += channel.bytesReceived(); });
    return sum;
}

uint64_t Streams::bytesQueued() const noexcept {
    uint64_t sum = 0;
    each(*this, [&](const Channel &channel) { sum += channel.bytesQueued(); });
    return sum;
}

Streams connectStreams(const std::string &host, uint16_t port, const Identity &identity, uint16_t count,
                       Deadline deadline) {
    Streams streams;
    streams.main = Channel::connect(host, port, identity, deadline, {0, count});
    for (uint16_t stream = 1; count > 1 && stream <= count; stream++)
        streams.pages.push_back(Channel::connect(host, port, identity, deadline, {stream, count}));
    return streams;
}

uint16_t chooseStreams(unsigned processors, uint64_t bytesPerSecond) noexcept {
    uint64_t worth = bytesPerSecond ? (bytesPerSecond + kOneStream - 1) / kOneStream : kMostByItself;
    return static_cast<uint16_t>(
        std::clamp<uint64_t>(worth, 1, std::clamp<uint64_t>(processors / 2, 1, kMostByItself)));
}

} // namespace pclive::wire
