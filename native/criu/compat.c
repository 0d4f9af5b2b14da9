// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a CRIU that is older than the kernel, or a restricted environment, would stumble over. Always active.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"

#undef LOG_PREFIX
#define LOG_PREFIX "pclive: "

int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

/*
 * Since Linux 6.16 SO_PASSCRED and SO_PASSSEC are EOPNOTSUPP on sockets that cannot pass credentials. They
 * were always off there: say so.
 */
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len) {
    int ret = __real_getsockopt(fd, level, name, value, len);

    if (ret == 0 || errno != EOPNOTSUPP || level != SOL_SOCKET || (name != SO_PASSCRED && name != SO_PASSSEC))
        return ret;
    memset(value, 0, *len);
    return 0;
}

/* The lines of /proc/PID/limits, in the order of RLIMIT_*. */
static const char *const limit_names[RLIM_NLIMITS] = {
    [RLIMIT_CPU] = "Max cpu time",
    [RLIMIT_FSIZE] = "Max file size",
    [RLIMIT_DATA] = "Max data size",
    [RLIMIT_STACK] = "Max stack size",
    [RLIMIT_CORE] = "Max core file size",
    [RLIMIT_RSS] = "Max resident set",
    [RLIMIT_NPROC] = "Max processes",
    [RLIMIT_NOFILE] = "Max open files",
    [RLIMIT_MEMLOCK] = "Max locked memory",
    [RLIMIT_AS] = "Max address space",
    [RLIMIT_LOCKS] = "Max file locks",
    [RLIMIT_SIGPENDING] = "Max pending signals",
    [RLIMIT_MSGQUEUE] = "Max msgqueue size",
    [RLIMIT_NICE] = "Max nice priority",
    [RLIMIT_RTPRIO] = "Max realtime priority",
    [RLIMIT_RTTIME] = "Max realtime timeout",
};

static int parse_limit(const char *word, uint64_t *limit) {
    if (!strcmp(word, "unlimited")) {
        *limit = RLIM64_INFINITY;
        return 0;
    }
    return sscanf(word, "%" SCNu64, limit) == 1 ? 0 : -1;
}

static int read_limit(pid_t pid, unsigned int resource, struct rlimit64 *limit) {
    char path[64], line[256], soft[32], hard[32];
    const char *name = limit_names[resource];
    uint64_t cur, max;
    int ret = -1;
    FILE *limits;

    snprintf(path, sizeof(path), "/proc/%d/limits", pid);
    limits = fopen(path, "re");
    if (!limits)
        return -1;
    while (ret && fgets(line, sizeof(line), limits)) {
        if (strncmp(line, name, strlen(name)))
            continue;
        if (sscanf(line + strlen(name), "%31s %31s", soft, hard) == 2 && !parse_limit(soft, &cur) &&
            !parse_limit(hard, &max))
            ret = 0;
        break;
    }
    fclose(limits);
    if (!ret) {
        limit->rlim_cur = cur;
        limit->rlim_max = max;
    }
    return ret;
}

/*
 * CRIU reads limits by the raw system call. Of another user's process that takes CAP_SYS_RESOURCE; /proc
 * tells them without.
 */
long __wrap_syscall(long number, ...) {
    long a[6];
    va_list arguments;
    long ret;

    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);

    ret = __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (ret == 0 || errno != EPERM || number != __NR_prlimit64 || a[2] || !a[3])
        return ret;
    if (a[0] <= 0 || a[1] < 0 || a[1] >= RLIM_NLIMITS)
        return ret;
    if (read_limit((pid_t)a[0], (unsigned int)a[1], (struct rlimit64 *)a[3])) {
        errno = EPERM;
        return ret;
    }
    return 0;
}
