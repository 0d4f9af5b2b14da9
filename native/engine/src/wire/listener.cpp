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

std::unique_ptr<Channel> Listener::accept(Deadline deadline) {
    for (int failures = 0; failures < kMaxFailures;) {
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
            auto transport = tryOne(std::move(connection), std::min(deadline, after(kHandshakeTime)));
            return std::unique_ptr<Channel>(new Channel(std::move(transport)));
        } catch (const Error &error) {
            failures++;
            std::fprintf(stderr, "refused a connection: %s\n", error.what());
        }
    }
    throw Error("refused", "too many wrong peers connected",
                "somebody else uses this port, or the hosts' certificates do not fit");
}

std::unique_ptr<Transport> Listener::tryOne(Fd connection, Deadline deadline) const {
    prepareTcp(connection.get());
    auto transport = std::make_unique<Transport>(std::move(connection), context_, deadline);
    welcome(*transport, expected_, deadline);
    return transport;
}

void Listener::cancel() noexcept {
    eventfd_write(wake_.get(), 1);
}

} // namespace pclive::wire
