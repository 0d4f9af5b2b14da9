// SPDX-License-Identifier: Apache-2.0
// CRIU's side of the dump socket, without CRIU.
#pragma once

#include "protocol_io.h"
#include "source_compare.hpp"
#include "source_lab.hpp"

#include <cstring>
#include <set>
#include <sys/un.h>

namespace sourcetest {

inline std::vector<pid_t> pidsOf(const Cgroup &cgroup) {
    std::ifstream file(cgroup.procs());
    std::vector<pid_t> pids;
    for (pid_t pid; file >> pid;)
        if (auto stat = readStat(pid); stat && stat->state != 'Z')
            pids.push_back(pid);
    return pids;
}

/// CRIU's side of the dump socket: asks about every mapping of a process.
class Overlay {
  public:
    explicit Overlay(const std::string &path) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        strcpy(address.sun_path, path.c_str());
        check(connect(fd_.get(), reinterpret_cast<sockaddr *>(&address), sizeof address) == 0,
              "connect as overlay");
        timeval limit{10, 0};
        setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        pclo_hello hello{PCLO_ROLE_DUMP, static_cast<uint32_t>(getpid()), "4.2.1"};
        check(pclo_send(fd_.get(), PCLO_HELLO, 0, &hello, sizeof hello) == 0, "HELLO");
    }
    void awaitGo() const {
        pclo_header header;
        check(pclo_recv_header(fd_.get(), &header) == 0 && header.type == PCLO_DUMP_GO, "DUMP_GO");
    }
    /// Starts of the mappings that the engine handles.
    std::set<uint64_t> ask(pid_t pid) const {
        std::vector<pclo_vma> vmas;
        for (auto [start, end] : boundsOf(pid))
            vmas.push_back({start, end, 3, 0x22, PCLO_VMA_REGULAR | PCLO_VMA_ANON_PRIVATE, 0});
        vmas.push_back(
            {0x1000, 0x2000000, 3, 0x22, PCLO_VMA_REGULAR | PCLO_VMA_ANON_PRIVATE, 0}); // no such area
        pclo_task task{static_cast<uint32_t>(pid), 1, static_cast<uint32_t>(vmas.size()), 0};
        std::string payload(reinterpret_cast<char *>(&task), sizeof task);
        payload.append(reinterpret_cast<char *>(vmas.data()), vmas.size() * sizeof(pclo_vma));
        check(pclo_send(fd_.get(), PCLO_TASK_VMAS, 0, payload.data(), payload.size()) == 0, "TASK_VMAS");
        pclo_header header;
        std::vector<uint8_t> handled(vmas.size());
        check(pclo_recv_header(fd_.get(), &header) == 0 && header.type == PCLO_HANDLED &&
                  header.length == handled.size() &&
                  pclo_read_full(fd_.get(), handled.data(), handled.size()) == 0,
              "HANDLED");
        std::set<uint64_t> starts;
        for (size_t i = 0; i < vmas.size(); i++)
            if (handled[i])
                starts.insert(vmas[i].start);
        return starts;
    }

  private:
    Fd fd_;
};

} // namespace sourcetest
