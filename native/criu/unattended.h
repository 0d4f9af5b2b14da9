/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CRIU runs code of its own in the tasks that it dumps: system calls at first, then its parasite. Its way
 * ends each of them with a breakpoint, after which it puts the registers back. When CRIU is killed in between
 * nobody does, and the task dies of the breakpoint's signal; so it does when it merely rests where a
 * breakpoint has stopped it, since the kernel then delivers that.
 *
 * Here the code finds its own way back: whatever CRIU lets a task do ends, without CRIU, with the registers
 * and the signal mask that it had. And no task rests at a stop whose signal would hurt it. On x86-64, for
 * 64-bit tasks; others go CRIU's way.
 */
#ifndef PCLIVE_UNATTENDED_H
#define PCLIVE_UNATTENDED_H

#if defined(__x86_64__)

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "log.h" /* bug.h wants it first */

#include "common/bug.h"
#include "common/compiler.h"
#include "infect.h"
#include "ptrace.h"

#include "../../compel/include/infect-priv.h"
#include "../../compel/include/ptrace.h"

/* Machine code in the making. */
struct code {
    uint8_t bytes[192];
    unsigned int len;
};

/* How far the instructions reach that name a place relative to themselves. */
#define CODE_FIXUP 4

void code_bytes(struct code *code, const void *bytes, unsigned int len);
void code_u32(struct code *code, uint32_t value);
void code_u64(struct code *code, uint64_t value);
/* Room for a distance, which code_point_to() fills. Returns where it is. */
unsigned int code_distance(struct code *code);
/* @param target where it leads, counted from the start of the code */
void code_point_to(struct code *code, unsigned int distance, int64_t target);

/* The signal mask, then the registers: the code restores the mask as long as the task is in it. */
int put_back(pid_t tid, struct thread_ctx *before);
/* All signals that may be held back, but for one (0: none). */
int block_signals(pid_t tid, int but_for);
/* What a thread's way back takes of the parasite's memory, in bytes. */
unsigned long thread_room(void);
/* Lets it run until its next stop. Returns the wait status, -1 on failure. */
int run_until_stop(pid_t tid, int request);

#endif
#endif
