// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restore: CRIU stops the tasks that it has built at the end of its own code, by a hardware breakpoint. The
 * first breakpoint on a machine makes the kernel switch its perf hooks on: it rewrites code on all processors
 * and waits for each of them, which takes longer than all else that is left to do. The tasks have but a few
 * system calls left to make, so they are followed from one to the next instead, as CRIU does itself where
 * there are no breakpoints.
 */
#include <stdbool.h>
#include <sys/types.h>

int __real_compel_stop_pie(pid_t pid, void *address, bool no_breakpoints);
int __wrap_compel_stop_pie(pid_t pid, void *address, bool no_breakpoints);

int __wrap_compel_stop_pie(pid_t pid, void *address, bool no_breakpoints) {
    (void)no_breakpoints;
    return __real_compel_stop_pie(pid, address, true);
}
