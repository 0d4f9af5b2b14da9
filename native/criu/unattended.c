// SPDX-License-Identifier: GPL-2.0-only
/* What system calls and threads that find their own way back have in common: see unattended.h. */
#include "unattended.h"

#if defined(__x86_64__)

#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#undef LOG_PREFIX
#define LOG_PREFIX "pclive: "

void code_bytes(struct code *code, const void *bytes, unsigned int len) {
    BUG_ON(code->len + len > sizeof(code->bytes));
    memcpy(code->bytes + code->len, bytes, len);
    code->len += len;
}

void code_u32(struct code *code, uint32_t value) {
    code_bytes(code, &value, sizeof(value));
}

void code_u64(struct code *code, uint64_t value) {
    code_bytes(code, &value, sizeof(value));
}

unsigned int code_distance(struct code *code) {
    code_u32(code, 0);
    return code->len - CODE_FIXUP;
}

void code_point_to(struct code *code, unsigned int distance, int64_t target) {
    int64_t from_here = target - (distance + CODE_FIXUP);
    int32_t value = (int32_t)from_here;

    BUG_ON(value != from_here);
    memcpy(code->bytes + distance, &value, sizeof(value));
}

int block_signals(pid_t tid, int but_for) {
    uint64_t mask = ~0ull;

    if (but_for)
        mask &= ~(1ull << (but_for - 1));
    if (!ptrace(PTRACE_SETSIGMASK, tid, sizeof(mask), &mask))
        return 0;
    pr_perror("Can't block the signals of %d", tid);
    return -1;
}

int run_until_stop(pid_t tid, int request) {
    int status;

    if (ptrace(request, tid, NULL, NULL)) {
        pr_perror("Can't run %d", tid);
        return -1;
    }
    if (wait4(tid, &status, __WALL, NULL) != tid) {
        pr_perror("Can't wait for %d", tid);
        return -1;
    }
    return status;
}

int put_back(pid_t tid, struct thread_ctx *before) {
    int ret = 0;

    if (ptrace(PTRACE_SETSIGMASK, tid, sizeof(k_rtsigset_t), &before->sigmask)) {
        pr_perror("Can't restore the signal mask of %d", tid);
        ret = -1;
    }
    if (ptrace_set_regs(tid, &before->regs)) {
        pr_perror("Can't restore the registers of %d", tid);
        ret = -1;
    }
    return ret;
}

#endif
