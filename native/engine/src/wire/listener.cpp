// SPDX-License-Identifier: Apache-2.0
#include "wire/listener.hpp"

#include "wire/socket.hpp"
#include <algorithm>
#include <cstdio>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

namespace pclive::wire {

Listener::Listener(const std::string &host, uint16_t port, const Identity &identity)
    : context_(identity, TlsContext::Side::server), expected_(makeHello(identity)),
      socket_(listenTcp(host, port)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      port_(localPort(socket_.get())) {
    if (!wake_)
        throw systemError("listen", "eventfd", errno);
}

Streams Listener::accept(Deadline deadline) {
    Streams streams;
    auto main = acceptOne(
        [](StreamNumber number) {
            return number.stream == 0 && number.streams >= 1 && number.streams <= kMaxStreams;
        },
        deadline);
    streams.main = std::move(main.channel);
    uint16_t count = main.number.streams > 1 ? main.number.streams : 0;
    streams.pages.resize(count);
    auto due = [&](StreamNumber number) {
        return number.streams == count && number.stream >= 1 && number.stream <= count &&
               !streams.pages[number.stream - 1u];
    };
    deadline = after(kStreamsTime);
    for (uint16_t i = 0; i < count; i++) {
        auto one = acceptOne(due, deadline);
        streams.pages[one.number.stream - 1u] = std::move(one.channel);
    }
    return streams;
}

Listener::Accepted Listener::acceptOne(const Due &due, Deadline deadline) {
    while (failures_ < kMaxFailures) {
        pollfd entries[2] = {{socket_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
        int ready = poll(entries, 2, pollTime(deadline));
        if (entries[1].revents)
            throw Error("aborted", "aborted while waiting for the peer");
        if (ready == 0)
            throw Error("timeout", "the peer did not connect in time",
                        "check that the source can reach this host's data port");
        Fd connection(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!connection)
            continue; // it went away again, or a signal
        try {
            return tryOne(std::move(connection), due, std::min(deadline, after(kHandshakeTime)));
        } catch (const Error &error) {
            failures_++;
            std::fprintf(stderr, "refused a connection: %s\n", error.what());
        }
    }
    throw Error("refused", "too many wrong peers connected",
                "somebody else uses this port, or the hosts' certificates do not fit");
}

Listener::Accepted Listener::tryOne(Fd connection, const Due &due, Deadline deadline) const {
    prepareTcp(connection.get());
    auto transport = std::make_unique<Transport>(std::move(connection), context_, deadline);
    StreamNumber number = welcome(*transport, expected_, due, deadline);
    return {std::unique_ptr<Channel>(new Channel(std::move(transport), number)), number};
}

void Listener::cancel() noexcept {
    eventfd_write(wake_.get(), 1);
}

} // namespace pclive::wire
