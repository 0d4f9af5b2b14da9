// SPDX-License-Identifier: Apache-2.0
#include "wire/streams.hpp"

#include "control/fd.hpp"
#include <cstring>
#include <fstream>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace pclive::wire {
namespace {

/// Our own address on the way to `address`. Connecting a datagram socket sends nothing.
bool localAddress(const addrinfo &address, sockaddr_storage &local) {
    Fd fd(socket(address.ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    socklen_t length = sizeof local;
    return fd && ::connect(fd.get(), address.ai_addr, address.ai_addrlen) == 0 &&
           getsockname(fd.get(), reinterpret_cast<sockaddr *>(&local), &length) == 0;
}

bool sameHost(const sockaddr *left, const sockaddr_storage &right) {
    if (!left || left->sa_family != right.ss_family)
        return false;
    if (left->sa_family == AF_INET)
        return reinterpret_cast<const sockaddr_in *>(left)->sin_addr.s_addr ==
               reinterpret_cast<const sockaddr_in &>(right).sin_addr.s_addr;
    return left->sa_family == AF_INET6 &&
           !memcmp(&reinterpret_cast<const sockaddr_in6 *>(left)->sin6_addr,
                   &reinterpret_cast<const sockaddr_in6 &>(right).sin6_addr, sizeof(in6_addr));
}

std::string deviceOf(const sockaddr_storage &local) {
    ifaddrs *first = nullptr;
    if (getifaddrs(&first))
        return {};
    std::string name;
    for (auto *at = first; at && name.empty(); at = at->ifa_next)
        if (sameHost(at->ifa_addr, local))
            name = at->ifa_name;
    freeifaddrs(first);
    return name;
}

} // namespace

uint64_t linkSpeed(const std::string &host) {
    addrinfo hints{}, *list = nullptr;
    hints.ai_socktype = SOCK_DGRAM;
    if (getaddrinfo(host.c_str(), "9", &hints, &list))
        return 0;
    sockaddr_storage local{};
    bool found = localAddress(*list, local);
    freeaddrinfo(list);
    std::string device = found ? deviceOf(local) : "";
    if (device.empty())
        return 0;
    int64_t megabits = 0;
    std::ifstream("/sys/class/net/" + device + "/speed") >> megabits;
    return megabits > 0 ? static_cast<uint64_t>(megabits) * 125'000 : 0;
}

} // namespace pclive::wire
