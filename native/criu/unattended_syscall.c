// SPDX-License-Identifier: GPL-2.0-only
/* System calls in a task, which find their own way back: see unattended.h. */
#include "unattended.h"

#if defined(__x86_64__)

#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "log.h"

#undef LOG_PREFIX
#define LOG_PREFIX "pclive: "

int __real_compel_execute_syscall(struct parasite_ctl *ctl, user_regs_struct_t *regs, const char *code);
int __wrap_compel_execute_syscall(struct parasite_ctl *ctl, user_regs_struct_t *regs, const char *code);
int __real_compel_infect(struct parasite_ctl *ctl, unsigned long nr_threads, unsigned long args_size);
int __wrap_compel_infect(struct parasite_ctl *ctl, unsigned long nr_threads, unsigned long args_size);

/* What lies unused behind the last instruction of an executable mapping: filled with zeros by the linker.
 * CRIU puts names of its own there, the code comes behind them. A task that is left to itself keeps these
 * bytes, where nobody reads them. */
#define TAIL_SIZE 256
#define CODE_OFFSET 64
#define PAGE 4096

/* What the kernel leaves in ax when a signal, or a tracer, interrupted a system call; see its errno.h. */
#define ERESTARTSYS 512
#define ERESTARTNOINTR 513
#define ERESTARTNOHAND 514
#define ERESTART_RESTARTBLOCK 516
#define SYSCALL_INSTRUCTION_SIZE 2

/* Loads a register: opcode, then the value. */
static void load(struct code *code, const char *opcode, uint64_t value) {
    code_bytes(code, opcode, 2);
    code_u64(code, value);
}

/*
 * A system call with the registers that the tracer sets; then, for whom nobody attends, the way back to
 * `regs`: first the signal mask, then the registers that two system calls use. Flags stay as they are: the
 * kernel keeps them, and moves do not change them.
 */
static void write_call(struct code *code, const user_regs_struct64 *regs, uint64_t sigmask) {
    uint64_t ax = regs->ax, ip = regs->ip;
    unsigned int mask;

    if ((int64_t)regs->orig_ax >= 0) {
        switch (-(int64_t)regs->ax) {
        case ERESTARTSYS:
        case ERESTARTNOINTR:
        case ERESTARTNOHAND:
            ax = regs->orig_ax;
            ip -= SYSCALL_INSTRUCTION_SIZE;
            break;
        case ERESTART_RESTARTBLOCK:
            ax = SYS_restart_syscall;
            ip -= SYSCALL_INSTRUCTION_SIZE;
            break;
        }
    }

    code_bytes(code, "\x0f\x05", 2); /* syscall: the tracer's */
    code_bytes(code, "\xb8", 1);     /* mov eax */
    code_u32(code, SYS_rt_sigprocmask);
    code_bytes(code, "\xbf", 1);         /* mov edi */
    code_u32(code, 2);                   /* SIG_SETMASK, as the kernel counts */
    code_bytes(code, "\x48\x8d\x35", 3); /* lea rsi, [rip + …] */
    mask = code_distance(code);
    code_bytes(code, "\xba", 1); /* mov edx */
    code_u32(code, 0);
    code_bytes(code, "\x41\xba", 2); /* mov r10d */
    code_u32(code, sizeof(sigmask));
    code_bytes(code, "\x0f\x05", 2); /* syscall */
    load(code, "\x48\xb8", ax);
    load(code, "\x48\xbf", regs->di);
    load(code, "\x48\xbe", regs->si);
    load(code, "\x48\xba", regs->dx);
    load(code, "\x49\xba", regs->r10);
    load(code, "\x49\xb8", regs->r8);
    load(code, "\x49\xb9", regs->r9);
    load(code, "\x48\xb9", regs->cx);
    load(code, "\x49\xbb", regs->r11);
    code_bytes(code, "\xff\x25\0\0\0\0", 6); /* jmp to what follows */
    code_u64(code, ip);
    code_point_to(code, mask, code->len);
    code_u64(code, sigmask);
}

/* Through the system call to its end, where nothing has been put back yet. */
static int run_call(pid_t pid, unsigned long at, user_regs_struct_t *regs) {
    int status, stop;

    regs->native.ip = at;
    regs->native.orig_ax = -1;
    if (ptrace_set_regs(pid, regs) || block_signals(pid, 0))
        return -1;
    for (stop = 0; stop < 2; stop++) {
        status = run_until_stop(pid, PTRACE_SYSCALL);
        if (status < 0)
            return -1;
        if (!WIFSTOPPED(status) || WSTOPSIG(status) != (SIGTRAP | 0x80)) {
            pr_err("%d does not stop at a system call: 0x%x\n", pid, status);
            return -1;
        }
    }
    return ptrace_get_regs(pid, regs);
}

static bool has_tail(struct parasite_ctl *ctl) {
    return ctl->ictx.syscall_ip % PAGE == PAGE - TAIL_SIZE;
}

int __wrap_compel_execute_syscall(struct parasite_ctl *ctl, user_regs_struct_t *regs, const char *code) {
    void *at = (void *)ctl->ictx.syscall_ip + CODE_OFFSET;
    struct code call = {};
    pid_t pid = ctl->rpid;
    uint64_t sigmask;
    int ret;

    if (!user_regs_native(&ctl->orig.regs) || !has_tail(ctl))
        return __real_compel_execute_syscall(ctl, regs, code);

    memcpy(&sigmask, &ctl->orig.sigmask, sizeof(sigmask));
    write_call(&call, &ctl->orig.regs.native, sigmask);
    /* From here on `call` holds what was there. */
    if (ptrace_swap_area(pid, at, call.bytes, sizeof(call.bytes))) {
        pr_err("Can't put a system call into %d\n", pid);
        return -1;
    }
    ret = run_call(pid, (unsigned long)at, regs);
    if (put_back(pid, &ctl->orig))
        ret = -1;
    if (ptrace_poke_area(pid, call.bytes, at, sizeof(call.bytes))) {
        pr_err("Can't take the system call out of %d\n", pid);
        ret = -1;
    }
    return ret;
}

static bool is_unused(pid_t pid, unsigned long tail) {
    static const uint8_t zeros[TAIL_SIZE];
    uint8_t bytes[TAIL_SIZE];

    return !ptrace_peek_area(pid, bytes, (void *)tail, sizeof(bytes)) && !memcmp(bytes, zeros, sizeof(zeros));
}

/* The first unused tail of a mapping that belongs to the task alone. Returns 0 when there is none. */
static unsigned long find_tail(pid_t pid) {
    unsigned long start, end, found = 0;
    char path[32], line[512], access[5];
    FILE *maps;

    snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    maps = fopen(path, "r");
    if (!maps)
        return 0;
    while (!found && fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-%lx %4s", &start, &end, access) != 3 || access[2] != 'x' || access[3] != 'p' ||
            !strchr(line, '/'))
            continue;
        if (is_unused(pid, end - TAIL_SIZE))
            found = end - TAIL_SIZE;
    }
    fclose(maps);
    return found;
}

int __wrap_compel_infect(struct parasite_ctl *ctl, unsigned long nr_threads, unsigned long args_size) {
    unsigned long tail = find_tail(ctl->rpid);

    if (tail)
        ctl->ictx.syscall_ip = tail;
    else
        pr_warn("No unused place for code in %d: it would not survive our end in these moments\n", ctl->rpid);
    /* A breakpoint that is set outlives who has set it. */
    ctl->ictx.flags |= INFECT_NO_BREAKPOINTS;
    return __real_compel_infect(ctl, nr_threads, args_size + (nr_threads > 1 ? thread_room() : 0));
}

#endif
