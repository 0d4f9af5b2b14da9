// SPDX-License-Identifier: Apache-2.0
#include "wire/socket.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

namespace pclive::wire {
namespace {

struct AddressList {
    addrinfo *first = nullptr;
    AddressList(const std::string &host, uint16_t port, bool passive) {
        addrinfo hints{};
        hints.ai_socktype = SOCK_STREAM;
        hints.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : AI_ADDRCONFIG);
        const char *node = host.empty() ? nullptr : host.c_str();
        int result = getaddrinfo(node, std::to_string(port).c_str(), &hints, &first);
        if (result)
            throw Error(passive ? "listen" : "unreachable",
                        "cannot find the address of \"" + host + "\": " + gai_strerror(result),
                        "use an address, or a name that this host can resolve");
    }
    ~AddressList() {
        if (first)
            freeaddrinfo(first);
    }
    AddressList(const AddressList &) = delete;
    AddressList &operator=(const AddressList &) = delete;
};

void option(int fd, int level, int name, int value) {
    setsockopt(fd, level, name, &value, sizeof value);
}

/// Connects to one address; 0 or an errno.
int connectOne(int fd, const addrinfo &address, Deadline deadline) {
    if (::connect(fd, address.ai_addr, address.ai_addrlen) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return errno;
    if (!waitFd(fd, POLLOUT, deadline))
        return ETIMEDOUT;
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    return error;
}

} // namespace

int pollTime(Deadline deadline) noexcept {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    return static_cast<int>(std::clamp<long long>(left, 0, INT_MAX));
}

bool waitFd(int fd, short events, Deadline deadline) {
    for (;;) {
        pollfd entry{fd, events, 0};
        int ready = poll(&entry, 1, pollTime(deadline));
        if (ready > 0)
            return true;
        if (ready == 0 || errno != EINTR)
            return false;
    }
}

void prepareTcp(int fd) {
    option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    // The engine's own PINGs notice a dead peer in 10 s; keepalive is there for a peer that vanished before
    // they begin. TCP_USER_TIMEOUT is left alone: Linux counts a peer that merely does not read for a while
    // against it.
    option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 4);
    option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 2);
    option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
    // SNDBUF stays automatic; a fixed receive buffer would switch off its automatic growth, which goes
    // further.
}

Fd connectTcp(const std::string &host, uint16_t port, Deadline deadline) {
    AddressList list(host, port, false);
    int error = EADDRNOTAVAIL;
    for (auto *address = list.first; address; address = address->ai_next) {
        Fd fd(socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (!fd) {
            error = errno;
            continue;
        }
        error = connectOne(fd.get(), *address, deadline);
        if (error == 0) {
            prepareTcp(fd.get());
            return fd;
        }
    }
    throw systemError(
        error == ETIMEDOUT ? "timeout" : "unreachable",
        "cannot connect to " + host + " port " + std::to_string(port), error,
        "check that the peer's host is reachable at this address and that no firewall blocks the port");
}

Fd listenTcp(const std::string &host, uint16_t port) {
    AddressList list(host, port, true);
    int error = EADDRNOTAVAIL;
    for (auto *address = list.first; address; address = address->ai_next) {
        Fd fd(socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (fd) {
            option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
            if (bind(fd.get(), address->ai_addr, address->ai_addrlen) == 0 && listen(fd.get(), 4) == 0)
                return fd;
        }
        error = errno;
    }
    throw systemError("listen", "cannot listen on " + host + " port " + std::to_string(port), error,
                      "give an address of this host, and a free port or 0");
}

uint16_t localPort(int fd) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    if (getsockname(fd, reinterpret_cast<sockaddr *>(&address), &length))
        throw systemError("listen", "getsockname", errno);
    if (address.ss_family == AF_INET6)
        return ntohs(reinterpret_cast<sockaddr_in6 &>(address).sin6_port);
    return ntohs(reinterpret_cast<sockaddr_in &>(address).sin_port);
}

} // namespace pclive::wire
