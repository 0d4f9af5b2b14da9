// SPDX-License-Identifier: Apache-2.0
// Descriptors of processes.
#pragma once

#include "control/fd.hpp"
#include <sys/syscall.h>
#include <sys/types.h>

namespace pclive {

/// The process that has this pid now; empty with errno.
inline Fd openProcess(pid_t pid) {
    return Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

/// A descriptor of our own for what `descriptor` is there; empty with errno.
inline Fd copyDescriptor(pid_t pid, int descriptor) {
    Fd process = openProcess(pid);
    return Fd(process ? static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), descriptor, 0)) : -1);
}

} // namespace pclive
