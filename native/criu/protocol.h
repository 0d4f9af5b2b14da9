/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The overlay protocol: what CRIU with the PCLive overlay and the migration engine say to each other
 * over the unix stream socket whose path is in PCLIVE_SOCKET. The engine listens, the overlay connects.
 *
 * Every message is a struct pclo_header and `length` bytes of payload. All integers are little-endian, all
 * structures packed. A reader refuses another magic or version, and a length above PCLO_MAX_PAYLOAD.
 * The end of the stream, at any time, means abort.
 *
 *   dump      overlay                      engine
 *             HELLO(role dump)       ->
 *                                    <-    DUMP_GO             CRIU has not looked at any task before this
 *             TASK_VMAS              ->                        for every task that has memory
 *                                    <-    HANDLED
 *             MARK ...               ->                        at any time after DUMP_GO
 *             DUMPED                 ->                        the images are complete
 *                                    <-    DUMP_END            if asked for; else the tasks run on
 *             LEFT                   ->                        CRIU has let go of all tasks
 *             (end of stream)                                  CRIU's exit code tells the rest
 *
 *   restore   HELLO(role restore)    ->
 *                                    <-    WINDOW | DROP | ADVISE      any number, in any order
 *             WINDOW_AT | OK | ERROR ->                                one answer each, in order
 *                                    <-    LAZY                        at most once: pages come later
 *             LAZY_AT | ERROR        ->
 *                                    <-    GO                  the images are complete, staging is final
 *             MARK ...               ->
 *             HELD                   ->                        everything restored, tasks stopped
 *                                    <-    RELEASE | ABORT
 *             RELEASED               ->                        the tasks run (unless CRIU was told to leave
 * them stopped)
 *
 * ABORT may be sent by the engine instead of any message: CRIU ends with an error, restored tasks are killed.
 */
#ifndef PCLIVE_OVERLAY_PROTOCOL_H
#define PCLIVE_OVERLAY_PROTOCOL_H

#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the overlay protocol is written for little-endian machines"
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define PCLO_SOCKET_ENV "PCLIVE_SOCKET"
#define PCLO_MAGIC 0x4f4c4350u /* the bytes "PCLO" */
#define PCLO_VERSION 1u
#define PCLO_MAX_PAYLOAD (16u << 20)

/* Staging is congruent to the source's addresses modulo this: page tables and huge pages then move as wholes.
 */
#define PCLO_CONGRUENCE (1ull << 30)

enum pclo_type {
    PCLO_HELLO = 1,   /* struct pclo_hello */
    PCLO_DUMP_GO = 2, /* empty; header.arg: enum pclo_dump_go */
    PCLO_TASK_VMAS =
        3, /* struct pclo_task, then `count` struct pclo_vma in address order (guard ranges are not listed) */
    PCLO_HANDLED = 4,   /* one byte per mapping of TASK_VMAS: 1 the engine sends its pages, 0 CRIU does */
    PCLO_WINDOW = 5,    /* struct pclo_range in the source's address space: reserve staging for it */
    PCLO_WINDOW_AT = 6, /* struct pclo_window_at */
    PCLO_DROP = 7,      /* array of struct pclo_range inside one window each: discard these pages */
    PCLO_ADVISE = 8,    /* array of struct pclo_advise */
    PCLO_OK = 9,        /* empty */
    PCLO_GO =
        10, /* array of struct pclo_area; empty: hold only, nothing was staged; header.arg: enum pclo_go */
    PCLO_MARK = 11, /* struct pclo_mark */
    PCLO_HELD = 12, /* array of uint32_t: the pids of the restored tasks, as CRIU and the engine see them */
    PCLO_RELEASE = 13,  /* empty */
    PCLO_RELEASED = 14, /* empty */
    PCLO_ABORT = 15,    /* empty */
    PCLO_ERROR = 16,    /* UTF-8 text without a final NUL; header.arg: errno, or 0 */
    PCLO_DUMPED = 17,   /* empty */
    PCLO_LEFT = 18,     /* empty */
    PCLO_DUMP_END = 19, /* empty */
    PCLO_LAZY = 20,     /* empty: open a userfaultfd, which the engine takes over and sets up */
    PCLO_LAZY_AT = 21,  /* struct pclo_lazy_at */
};

enum pclo_role { PCLO_ROLE_DUMP = 1, PCLO_ROLE_RESTORE = 2 };

/* Bits. */
enum pclo_dump_go {
    PCLO_LOCK_NETWORK = 1, /* CRIU locks it as it was told to; else nobody but the shim does */
    PCLO_HOLD_END = 2      /* CRIU keeps the tasks after DUMPED, until DUMP_END */
};

/* Bits. */
enum pclo_go {
    PCLO_STOCK_NETWORK = 1 /* CRIU unlocks the network as ever; else the shim has locked and unlocks it */
};

enum pclo_how { PCLO_ADVISE_HUGE = 1, PCLO_ADVISE_NOHUGE = 2 };

/* Kinds of mapping (the bits of CRIU's images). */
#define PCLO_VMA_REGULAR (1u << 0)
#define PCLO_VMA_STACK (1u << 1)
#define PCLO_VMA_VSYSCALL (1u << 2)
#define PCLO_VMA_VDSO (1u << 3)
#define PCLO_VMA_HEAP (1u << 5)
#define PCLO_VMA_FILE_PRIVATE (1u << 6)
#define PCLO_VMA_FILE_SHARED (1u << 7)
#define PCLO_VMA_ANON_SHARED (1u << 8)
#define PCLO_VMA_ANON_PRIVATE (1u << 9)
#define PCLO_VMA_VVAR (1u << 12)
#define PCLO_VMA_AIORING (1u << 13)

#pragma pack(push, 1)

struct pclo_header {
    uint32_t magic;
    uint16_t version;
    uint16_t type;
    uint32_t length; /* bytes of payload that follow */
    uint32_t arg;    /* 0 unless the type says otherwise */
};

struct pclo_hello {
    uint32_t role;         /* enum pclo_role */
    uint32_t pid;          /* of the CRIU process, in its own pid namespace; its memory holds the windows */
    char criu_version[32]; /* NUL-terminated, e.g. "4.2.1" */
};

struct pclo_task {
    uint32_t real_pid; /* as CRIU (and the engine) see it */
    uint32_t vpid;     /* in the container's own pid namespace: what GO uses */
    uint32_t count;
    uint32_t reserved;
};

struct pclo_vma {
    uint64_t start, end;
    uint32_t prot;   /* PROT_* */
    uint32_t flags;  /* MAP_* as in CRIU's images */
    uint32_t status; /* PCLO_VMA_*; other bits are CRIU's own */
    uint32_t reserved;
};

struct pclo_range {
    uint64_t start, len; /* whole pages */
};

/* A window serves one task only: every area of GO inside it must have the same vpid. */
struct pclo_window_at {
    uint64_t base; /* address in the CRIU process, congruent to the range's start modulo PCLO_CONGRUENCE */
};

struct pclo_lazy_at {
    int32_t fd; /* the number of the userfaultfd in the CRIU process; open until GO */
    uint32_t reserved;
};

struct pclo_advise {
    uint64_t start, len; /* in the CRIU process, inside one window */
    uint32_t how;        /* enum pclo_how */
    uint32_t reserved;
};

struct pclo_area {
    uint32_t vpid;
    uint32_t reserved;
    uint64_t start, end; /* a mapping of the task, exactly as in TASK_VMAS */
    uint64_t staged;     /* where it lies in the CRIU process; congruent to start modulo PCLO_CONGRUENCE */
};

/* Dump: seized. Restore: go, forked, mappings-begin, mappings-end, held, released. */
struct pclo_mark {
    char name[32];        /* NUL-terminated */
    uint64_t realtime_ns; /* CLOCK_REALTIME */
    double ms; /* mappings-end: milliseconds of moving staged memory into place, summed over tasks; else 0 */
};

#pragma pack(pop)

#ifdef __cplusplus
}
#endif

#endif /* PCLIVE_OVERLAY_PROTOCOL_H */
