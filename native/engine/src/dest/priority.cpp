// SPDX-License-Identifier: Apache-2.0
#include "dest/priority.hpp"

#include <cstdlib>
#include <dirent.h>
#include <sys/resource.h>

namespace pclive::dest {

void setPriority(int nice) noexcept {
    DIR *tasks = opendir("/proc/self/task"); // on Linux a nice value belongs to a thread
    if (!tasks)
        return;
    while (const dirent *entry = readdir(tasks))
        if (int thread = std::atoi(entry->d_name))
            setpriority(PRIO_PROCESS, static_cast<id_t>(thread), nice);
    closedir(tasks);
}

} // namespace pclive::dest
