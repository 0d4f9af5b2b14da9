// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parasite in a thread, which finds its own way back: see unattended.h. At its end the thread sends
 * itself a signal that nothing comes of when nobody attends, and returns to what it did before as from a
 * signal's handler.
 */
#include "unattended.h"

#if defined(__x86_64__)

#include <elf.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <compel/asm/sigframe.h>

#include "log.h"

#undef LOG_PREFIX
#define LOG_PREFIX "pclive: "

#ifndef NT_X86_SHSTK
#define NT_X86_SHSTK 0x204
#endif

int __real_compel_run_in_thread(struct parasite_thread_ctl *tctl, unsigned int cmd);
int __wrap_compel_run_in_thread(struct parasite_thread_ctl *tctl, unsigned int cmd);

/* The code lies behind the parasite's own, where the page goes on with zeros; what it writes and reads among
 * the arguments. */
#define CODE_ROOM 128

struct room {
    int32_t result;
    struct rt_sigframe frame __attribute__((aligned(64)));
} __attribute__((aligned(64)));

unsigned long thread_room(void) {
    return sizeof(struct room) + 64;
}

/* Behind what a thread's command has for its arguments, not at the end of all: of a task that reserves
 * terabytes they take gigabytes, and the code reaches no further than two. */
static unsigned long room_offset(const struct parasite_ctl *ctl) {
    return (ctl->pblob.hdr.args_off + PARASITE_ARG_SIZE_MIN + 63) & ~63ul;
}

/* Where the code has its place, counted from the start of the parasite's memory; 0 when there is none. */
static unsigned long code_offset(const struct parasite_ctl *ctl) {
    static const uint8_t zeros[CODE_ROOM];
    unsigned long offset = ctl->pblob.hdr.data_off - CODE_ROOM;

    if (ctl->pblob.hdr.data_off < CODE_ROOM)
        return 0;
    return memcmp((uint8_t *)ctl->local_map + offset, zeros, CODE_ROOM) ? 0 : offset;
}

/* The parasite's entry begins with a call of its main function. Returns where that is, counted from `from`; 0
 * when it does not. */
static int64_t service_distance(const struct parasite_ctl *ctl, unsigned long from) {
    const uint8_t *entry = (uint8_t *)ctl->local_map + ctl->pblob.hdr.parasite_ip_off;
    int32_t distance;

    if (entry[0] != 0xe8)
        return 0;
    memcpy(&distance, entry + 1, sizeof(distance));
    return (int64_t)ctl->pblob.hdr.parasite_ip_off + 5 + distance - (int64_t)from;
}

static void system_call(struct code *code, uint32_t number) {
    code_bytes(code, "\xb8", 1); /* mov eax */
    code_u32(code, number);
    code_bytes(code, "\x0f\x05", 2);
}

static void write_visit(struct code *code, int64_t service, int64_t room, int signo) {
    unsigned int call, result, frame;

    code_bytes(code, "\xe8", 1); /* call */
    call = code_distance(code);
    code_bytes(code, "\x89\x05", 2); /* mov [rip + …], eax */
    result = code_distance(code);
    system_call(code, SYS_getpid);
    code_bytes(code, "\x89\xc7", 2); /* mov edi, eax */
    system_call(code, SYS_gettid);
    code_bytes(code, "\x89\xc6\xba", 3); /* mov esi, eax; mov edx */
    code_u32(code, signo);
    system_call(code, SYS_tgkill);
    code_bytes(code, "\x48\x8d\x25", 3); /* lea rsp, [rip + …] */
    frame = code_distance(code);
    system_call(code, SYS_rt_sigreturn);
    code_point_to(code, call, service);
    code_point_to(code, result, room + (int64_t)offsetof(struct room, result));
    code_point_to(code, frame, room + (int64_t)offsetof(struct room, frame) + 8);
}

/* What the thread had: sigreturn takes it from here. */
static int write_frame(struct rt_sigframe *frame, struct rt_sigframe *remote,
                       struct parasite_thread_ctl *tctl) {
    struct xsave_struct *xsave = &frame->native.fpu_state.fpu_state_64.xsave;
    struct iovec area = {.iov_base = xsave, .iov_len = sizeof(*xsave)};
    struct fpx_sw_bytes *software = (void *)&xsave->i387.sw_reserved;
    uint64_t features;

    memset(frame, 0, offsetof(struct rt_sigframe, native.fpu_state));
    if (sigreturn_prep_regs_plain(frame, &tctl->th.regs, &tctl->th.ext_regs) ||
        sigreturn_prep_fpu_frame_plain(frame, remote))
        return -1;
    rt_sigframe_copy_sigset(frame, &tctl->th.sigmask);
    if (ptrace(PTRACE_GETREGSET, tctl->tid, NT_X86_XSTATE, &area)) {
        pr_perror("Can't get the extended registers of %d", tctl->tid);
        return -1;
    }
    /* The tracer's form tells there which features are in use; a frame says more. */
    memcpy(&features, software, sizeof(features));
    memset(software, 0, sizeof(*software));
    software->magic1 = FP_XSTATE_MAGIC1;
    software->xstate_bv = features;
    software->xstate_size = area.iov_len;
    software->extended_size = area.iov_len + FP_XSTATE_MAGIC2_SIZE;
    *(uint32_t *)((uint8_t *)xsave + area.iov_len) = FP_XSTATE_MAGIC2;
    return 0;
}

/* One that is ignored unless a program wants it, and that the thread has not got already: two would be one.
 */
static int harmless_signal(pid_t tid) {
    static const int candidates[] = {SIGURG, SIGWINCH, SIGCHLD};
    struct __ptrace_peeksiginfo_args first = {.nr = 32};
    siginfo_t pending[32];
    unsigned int i;
    long n, k;

    n = ptrace(PTRACE_PEEKSIGINFO, tid, &first, pending);
    for (i = 0; n >= 0 && i < sizeof(candidates) / sizeof(candidates[0]); i++) {
        for (k = 0; k < n && pending[k].si_signo != candidates[i]; k++)
            ;
        if (k == n)
            return candidates[i];
    }
    return 0;
}

static bool has_shadow_stack(pid_t tid) {
    uint64_t pointer;
    struct iovec area = {.iov_base = &pointer, .iov_len = sizeof(pointer)};

    return !ptrace(PTRACE_GETREGSET, tid, NT_X86_SHSTK, &area);
}

/* From the thread's own signal to a stop without one. */
static int leave_signal(pid_t tid) {
    int status;

    if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL)) {
        pr_perror("Can't interrupt %d", tid);
        return -1;
    }
    status = run_until_stop(tid, PTRACE_CONT);
    if (status >= 0 && WIFSTOPPED(status) && status >> 16 == PTRACE_EVENT_STOP)
        return 0;
    pr_err("%d does not stop: 0x%x\n", tid, status);
    return -1;
}

static int visit(struct parasite_thread_ctl *tctl, unsigned long entry, int signo) {
    user_regs_struct_t regs = tctl->th.regs;
    siginfo_t info;
    int status;

    parasite_setup_regs(entry, tctl->ctl->r_thread_stack, &regs);
    if (ptrace_set_regs(tctl->tid, &regs) || block_signals(tctl->tid, signo))
        return -1;
    status = run_until_stop(tctl->tid, PTRACE_CONT);
    if (status < 0)
        return -1;
    if (!WIFSTOPPED(status) || status >> 8 != signo || ptrace(PTRACE_GETSIGINFO, tctl->tid, NULL, &info) ||
        info.si_code != SI_TKILL) {
        pr_err("%d does not come back from the parasite: 0x%x\n", tctl->tid, status);
        return -1;
    }
    return 0;
}

int __wrap_compel_run_in_thread(struct parasite_thread_ctl *tctl, unsigned int cmd) {
    struct parasite_ctl *ctl = tctl->ctl;
    unsigned long at = code_offset(ctl), offset = room_offset(ctl);
    struct room *room = ctl->local_map + offset, *remote = ctl->remote_map + offset;
    int64_t service = service_distance(ctl, at);
    int signo = harmless_signal(tctl->tid);
    struct code code = {};
    int ret;

    if (!user_regs_native(&tctl->th.regs) || !at || !service || !signo || has_shadow_stack(tctl->tid))
        return __real_compel_run_in_thread(tctl, cmd);

    room->result = -1;
    if (write_frame(&room->frame, &remote->frame, tctl))
        return -1;
    write_visit(&code, service, (int64_t)(offset - at), signo);
    memcpy(ctl->local_map + at, code.bytes, code.len);
    *ctl->cmd = cmd;
    ret = visit(tctl, (unsigned long)ctl->remote_map + at, signo);
    if (compel_set_task_ext_regs(tctl->tid, &tctl->th.ext_regs))
        ret = -1;
    if (put_back(tctl->tid, &tctl->th) || ret || leave_signal(tctl->tid))
        return -1;
    memset(ctl->local_map + at, 0, code.len);
    if (room->result)
        pr_err("The parasite of %d ended with %d\n", tctl->tid, room->result);
    return room->result;
}

#endif
