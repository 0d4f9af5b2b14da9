// SPDX-License-Identifier: Apache-2.0
#include "hold/hold.hpp"

#include "hold/veth.hpp"

#include <arpa/inet.h>
#include <cstdio>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace pclive {
namespace {

/// More than the windows of a thousand idle connections; what does not fit is sent again by its sender.
constexpr size_t kMaxBytes = 32u << 20;
constexpr size_t kMaxFrames = 65536;
constexpr size_t kFrameBytes = 65536 + 256;
/// A hold ends by itself when its migration is forgotten.
constexpr int kMaxWaitMs = 24 * 3600 * 1000;

struct Frame {
    size_t interface;
    std::vector<char> bytes;
};

class Hold {
  public:
    explicit Hold(const std::vector<int> &interfaces) {
        for (int index : interfaces)
            sockets_.push_back({bound(index), POLLIN, 0});
    }
    ~Hold() {
        for (const pollfd &socket : sockets_)
            close(socket.fd);
    }
    Hold(const Hold &) = delete;
    Hold &operator=(const Hold &) = delete;

    /// Keeps frames until `control` says `release`, from the last `keep` on. @returns false at its end
    bool keepUntilTold(int control) {
        std::vector<pollfd> waited = sockets_;
        waited.push_back({control, POLLIN, 0});
        for (;;) {
            if (poll(waited.data(), waited.size(), kMaxWaitMs) <= 0)
                return false;
            for (size_t i = 0; i + 1 < waited.size(); i++)
                if (waited[i].revents & POLLIN)
                    take(i);
            if (waited.back().revents != 0 && !obey(control))
                return released_;
        }
    }

    /// Sends every kept frame once more towards the container, in the order in which they came.
    size_t deliver() {
        size_t sent = 0;
        for (const Frame &frame : frames_)
            sent += ::send(sockets_[frame.interface].fd, frame.bytes.data(), frame.bytes.size(), 0) >= 0;
        return sent;
    }

  private:
    static int bound(int interface) {
        int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_protocol = htons(ETH_P_ALL);
        address.sll_ifindex = interface;
        int room = 8 << 20;
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
        // A frame of a local sender has no checksum yet and may be larger than the link: its header says so,
        // both ways.
        int offload = 1;
        setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &offload, sizeof offload);
        if (fd < 0 || bind(fd, reinterpret_cast<sockaddr *>(&address), sizeof address))
            throw std::system_error(errno, std::generic_category(),
                                    "a packet socket for the container's interface");
        return fd;
    }

    /// Reads commands, one a line. @returns whether to go on
    bool obey(int control) {
        char buffer[64];
        ssize_t n = read(control, buffer, sizeof buffer);
        if (n <= 0)
            return false;
        commands_.append(buffer, static_cast<size_t>(n));
        for (size_t end; (end = commands_.find('\n')) != std::string::npos; commands_.erase(0, end + 1)) {
            std::string_view command(commands_.data(), end);
            released_ = command == "release";
            if (command != "keep")
                return false;
            frames_.clear();
            bytes_ = 0;
        }
        return commands_.size() < sizeof buffer;
    }

    void take(size_t interface) {
        static char buffer[kFrameBytes];
        sockaddr_ll from{};
        socklen_t length = sizeof from;
        for (;;) {
            ssize_t n = recvfrom(sockets_[interface].fd, buffer, sizeof buffer, MSG_TRUNC,
                                 reinterpret_cast<sockaddr *>(&from), &length);
            if (n <= 0)
                return;
            size_t size = static_cast<size_t>(n);
            // Towards the container is "outgoing" at the host's end. ARP is not locked out: it needs no
            // second delivery.
            bool ip = from.sll_protocol == htons(ETH_P_IP) || from.sll_protocol == htons(ETH_P_IPV6);
            bool room = size <= sizeof buffer && bytes_ + size <= kMaxBytes && frames_.size() < kMaxFrames;
            if (from.sll_pkttype != PACKET_OUTGOING || !ip || !room)
                continue;
            frames_.push_back({interface, std::vector<char>(buffer, buffer + size)});
            bytes_ += size;
        }
    }

    std::vector<pollfd> sockets_;
    std::vector<Frame> frames_;
    size_t bytes_ = 0;
    std::string commands_;
    bool released_ = false;
};

} // namespace

int runHold(const std::string &netns) {
    std::vector<int> interfaces = hostEnds(netns);
    Hold hold(interfaces);
    std::printf("ready %zu\n", interfaces.size());
    std::fflush(stdout);
    if (!hold.keepUntilTold(STDIN_FILENO))
        return 0;
    std::printf("released %zu\n", hold.deliver());
    return 0;
}

} // namespace pclive
