// SPDX-License-Identifier: Apache-2.0
#include "hold/veth.hpp"

#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace pclive {
namespace {

[[noreturn]] void fail(const char *what) {
    throw std::system_error(errno, std::generic_category(), what);
}

class Descriptor {
  public:
    Descriptor(int fd, const char *what) : fd_(fd) {
        if (fd < 0)
            fail(what);
    }
    ~Descriptor() { close(fd_); }
    Descriptor(const Descriptor &) = delete;
    Descriptor &operator=(const Descriptor &) = delete;
    [[nodiscard]] int get() const { return fd_; }

  private:
    int fd_;
};

/// The other end's number from one RTM_NEWLINK message; 0 when it is no pair across namespaces.
int otherEnd(const nlmsghdr *message) {
    auto *link = static_cast<const ifinfomsg *>(NLMSG_DATA(message));
    int other = 0;
    bool elsewhere = false;
    size_t length = message->nlmsg_len - NLMSG_LENGTH(sizeof *link);
    for (const rtattr *a = IFLA_RTA(link); RTA_OK(a, length); a = RTA_NEXT(a, length)) {
        if (a->rta_type == IFLA_LINK && RTA_PAYLOAD(a) == sizeof other)
            std::memcpy(&other, RTA_DATA(a), sizeof other);
        elsewhere |= a->rta_type == IFLA_LINK_NETNSID;
    }
    return elsewhere ? other : 0;
}

std::vector<int> dump(int route) {
    struct {
        nlmsghdr header;
        ifinfomsg link;
    } request{};
    request.header = {sizeof request, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0};
    if (send(route, &request, sizeof request, 0) < 0)
        fail("asking for the container's interfaces");
    std::vector<int> found;
    alignas(nlmsghdr) char buffer[32768];
    for (;;) {
        ssize_t n = recv(route, buffer, sizeof buffer, 0);
        if (n <= 0)
            fail("reading the container's interfaces");
        size_t length = static_cast<size_t>(n);
        for (auto *m = reinterpret_cast<nlmsghdr *>(buffer); NLMSG_OK(m, length); m = NLMSG_NEXT(m, length)) {
            if (m->nlmsg_type == NLMSG_DONE || m->nlmsg_type == NLMSG_ERROR)
                return found;
            if (int other = m->nlmsg_type == RTM_NEWLINK ? otherEnd(m) : 0; other > 0)
                found.push_back(other);
        }
    }
}

} // namespace

std::vector<int> hostEnds(const std::string &netns) {
    Descriptor there(open(netns.c_str(), O_RDONLY | O_CLOEXEC), netns.c_str());
    int route = -1;
    int failed = 0;
    // A thread of its own enters the namespace; a socket belongs to the one in which it was made.
    std::thread([&] {
        if (setns(there.get(), CLONE_NEWNET) ||
            (route = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)) < 0)
            failed = errno;
    }).join();
    if (failed) {
        errno = failed;
        fail(netns.c_str());
    }
    Descriptor socket(route, "a netlink socket");
    timeval limit{5, 0};
    setsockopt(route, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return dump(route);
}

} // namespace pclive
