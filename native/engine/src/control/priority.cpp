// SPDX-License-Identifier: Apache-2.0
#include "control/priority.hpp"

#include <cstdint>
#include <cstdlib>
#include <dirent.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace pclive {
namespace {

/// struct sched_attr of linux/sched/types.h, which newer C libraries define too, in another header.
struct SchedAttributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

/// The most that the kernel takes. Who wakes preempts whoever has a longer slice than its own
/// (PREEMPT_SHORT).
constexpr uint64_t kLongSliceNs = 100'000'000;

} // namespace

void setPriority(pid_t thread, int nice) noexcept {
    SchedAttributes wanted{}; // policy 0: SCHED_OTHER; runtime 0: the slice that everybody has
    wanted.size = sizeof wanted;
    wanted.nice = nice;
    wanted.runtime = nice > kUrgent ? kLongSliceNs : 0;
    if (syscall(SYS_sched_setattr, thread, &wanted, 0u))
        setpriority(PRIO_PROCESS, static_cast<id_t>(thread), nice);
}

void setPriorityOfAll(int nice) noexcept {
    DIR *tasks = opendir("/proc/self/task"); // on Linux a nice value belongs to a thread
    if (!tasks)
        return;
    while (const dirent *entry = readdir(tasks))
        if (int thread = std::atoi(entry->d_name))
            setPriority(thread, nice);
    closedir(tasks);
}

Niceness::Niceness(int nice) : before_(getpriority(PRIO_PROCESS, 0)) {
    setPriority(gettid(), nice);
}

Niceness::~Niceness() {
    setPriority(gettid(), before_);
}

} // namespace pclive
