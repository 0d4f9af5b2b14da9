// SPDX-License-Identifier: Apache-2.0
#include "proc/processes.hpp"
#include "proc/procfs.hpp"
#include <fstream>
#include <linux/kcmp.h>
#include <set>
#include <sstream>
#include <sys/syscall.h>

namespace pclive {
namespace {

std::vector<uint32_t> namespacePids(pid_t pid) {
    std::istringstream words(statusField(pid, "NSpid"));
    std::vector<uint32_t> pids;
    for (uint32_t value = 0; words >> value;)
        pids.push_back(value);
    if (pids.empty())
        throw ProcessGone(pid);
    return pids;
}

} // namespace

PidNamespace::PidNamespace(pid_t initPid) : level_(namespacePids(initPid).size() - 1) {}

uint32_t PidNamespace::vpid(pid_t pid) const {
    auto pids = namespacePids(pid);
    if (pids.size() <= level_)
        throw Error("cgroup",
                    "process " + std::to_string(pid) +
                        " is in the container's cgroup, but not in its pid namespace",
                    "end the process, or move it out of the container's cgroup");
    return pids[level_];
}

std::vector<ProcessId> listProcesses(const std::vector<std::string> &cgroupProcs) {
    std::set<pid_t> pids;
    bool read = cgroupProcs.empty();
    for (const auto &path : cgroupProcs) {
        std::ifstream file(path);
        read = read || file.good();
        for (pid_t pid = 0; file >> pid;)
            if (pid > 0) // 0: not visible from our pid namespace
                pids.insert(pid);
    }
    if (!read)
        throw Error("cgroup",
                    "none of the container's cgroup.procs files can be read, such as " + cgroupProcs.front());
    std::vector<ProcessId> processes;
    for (pid_t pid : pids)
        if (auto stat = readStat(pid); stat && stat->state != 'Z' && stat->state != 'X')
            processes.push_back({pid, stat->startTime});
    return processes;
}

bool sharesMemoryWithParent(pid_t pid) {
    auto parent = std::atoi(statusField(pid, "PPid").c_str());
    return parent > 0 && ::syscall(SYS_kcmp, pid, parent, KCMP_VM, 0, 0) == 0;
}

} // namespace pclive
