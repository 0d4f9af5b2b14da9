// SPDX-License-Identifier: Apache-2.0
#include "wire/channel.hpp"

#include "wire/channel_state.hpp"
#include "wire/hello.hpp"
#include "wire/socket.hpp"

namespace pclive::wire {

namespace {

/// All page connections together read ahead as much as one alone.
size_t queueBytes(StreamNumber number) {
    return number.stream ? kQueueBytes / number.streams + kMaxPayload : kQueueBytes;
}

} // namespace

Channel::Channel(std::unique_ptr<Transport> transport, StreamNumber number)
    : state_(std::make_unique<State>(std::move(transport), queueBytes(number))) {}
Channel::~Channel() = default;

std::unique_ptr<Channel> Channel::connect(const std::string &host, uint16_t port, const Identity &identity,
                                          Deadline deadline, StreamNumber number) {
    TlsContext context(identity, TlsContext::Side::client);
    HelloFrame hello = makeHello(identity, number);
    auto transport = std::make_unique<Transport>(connectTcp(host, port, deadline), context, deadline);
    greet(*transport, hello, deadline);
    return std::unique_ptr<Channel>(new Channel(std::move(transport), number));
}

void Channel::send(FrameType type, std::span<const iovec> payload, uint8_t flags) {
    state_->send(type, payload, flags, Deadline::max());
}

void Channel::hold() noexcept {
    state_->hold();
}
void Channel::letGo() {
    state_->letGo();
}

Frame Channel::receive(Deadline deadline) {
    return state_->receive(deadline);
}
void Channel::abort(const std::string &text) noexcept {
    state_->abort(text);
}
uint64_t Channel::bytesSent() const noexcept {
    return state_->transport->bytesSent();
}
uint64_t Channel::bytesReceived() const noexcept {
    return state_->transport->bytesReceived();
}
uint64_t Channel::bytesQueued() const noexcept {
    return state_->queuedBytes;
}

Together::~Together() {
    try {
        channel_.letGo();
    } catch (const Error &) {
        // The channel has kept it.
    }
}

void Channel::checkExpected(const Frame &frame, FrameType type, size_t size) {
    if (frame.type != type || frame.flags || frame.payload.size() != size)
        throw Error("protocol", "the peer sent frame type " + std::to_string(static_cast<int>(frame.type)) +
                                    " where " + std::to_string(static_cast<int>(type)) + " was due");
}

} // namespace pclive::wire
