/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PCLive's overlay for CRIU: what its files offer each other.
 *
 * Functions named __wrap_x stand before CRIU's x (see wrap.list); __real_x is CRIU's own.
 * Who is who during a restore: the *main* process is CRIU itself; *tasks* are its descendants that become the
 * restored processes. Staging is made in the main process and inherited, window by window, by the task that
 * needs it.
 */
#ifndef PCLIVE_OVERLAY_H
#define PCLIVE_OVERLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol.h"

#define OVERLAY_HUGE_SIZE                                                                                    \
    (2ul << 20) /* what one page-table page, and one huge page, covers on x86-64 and 4K arm64 */

struct vma_area;
struct pstree_item;

/* link.c: the connection to the engine.
 * ------------------------------------------------------------------------- */

/* Whether PCLIVE_SOCKET asks for the overlay. */
bool overlay_wanted(void);

/* Connects and says HELLO. 0, or -1 after logging. */
int link_open(enum pclo_role role);
bool link_is_open(void);
/* For tasks and helpers: the connection belongs to the main process alone. */
void link_close(void);

/* 0, or -1 after logging. */
int link_send(enum pclo_type type, uint32_t arg, const void *payload, size_t len);
int link_send_error(int error, const char *text);
int link_send_mark(const char *name, uint64_t realtime_ns, double ms);

/*
 * Waits at most `seconds` (0: until the engine speaks or hangs up) for one message; its payload is allocated
 * with malloc (NULL when empty). 0, or -1 after logging: ABORT, end of stream, time-out, malformed.
 */
int link_receive(struct pclo_header *header, void **payload, unsigned int seconds);

/* CLOCK_REALTIME and CLOCK_MONOTONIC in nanoseconds. */
uint64_t realtime_ns(void);
uint64_t monotonic_ns(void);

/* dump.c: whether this is the dump of a migration.
 * --------------------------------------------------------------- */

bool dump_is_ours(void);
/* The images are complete, the tasks still in CRIU's hands. 0, or -1 (after logging) for a dump that must
 * fail. */
int dump_completed(void);

/* staging.c: windows and areas.
 * ---------------------------------------------------------------------------------- */

struct window {
    unsigned long base, len;
    /* The span that ADVISE touched; empty when advised_start >= advised_end. */
    unsigned long advised_start, advised_end;
    uint32_t vpid; /* whose memory it holds; 0 before GO, or when it holds none */
    bool mapped;   /* in this process */
};

/* Serves WINDOW, DROP, ADVISE and LAZY until GO. 0, or -1 after logging. */
int staging_serve(void);

/* After GO: whether the shim locks the network and unlocks it, instead of CRIU. */
bool shim_has_network(void);

/* Whether GO named any area. False in hold-only mode. */
bool staging_in_use(void);

/* The staged area that is exactly [start, end) of the task, or NULL. */
const struct pclo_area *staging_find(uint32_t vpid, uint64_t start, uint64_t end);
size_t staging_count(uint32_t vpid);
bool staging_every_task(bool (*known)(uint32_t vpid));

/* Windows of this process, by index; NULL past the last. Some may be unmapped already. */
struct window *staging_window(size_t index);
int window_unmap(struct window *window);

/* lazy.c: memory that comes when it is wanted.
 * --------------------------------------------------------------- */

/* Answers LAZY. 0, or -1 after logging. */
int lazy_serve(void);
void lazy_close(void);

/* membership.c: the cgroups that this process, and what it forks, is in from now on.
 * -------------------------------------------- */

void membership_remember(void);

/* fork.c: who inherits which window.
 * ----------------------------------------------------------------------------- */

/* Whether this process is a task or a helper, not CRIU's main process. */
bool in_task(void);

/* move.c: moving memory.
 * ----------------------------------------------------------------------------------------- */

/*
 * Moves [from, from + len), private anonymous memory without a hole, onto `to` (which is replaced). Copies
 * when the kernel refuses to move; *copied tells. 0, or -1 with errno. A range of several mappings is moved
 * as such since Linux 6.17 (the restorer's own move then is, too), and copied into one by older kernels.
 */
int move_pages(unsigned long from, unsigned long to, unsigned long len, bool *copied);

/* vma_kind.c: whether the engine may handle a mapping at all: plain private anonymous memory.
 * --------------------- */

bool vma_can_be_staged(const struct vma_area *vma);

/* place.c: the reservation of premapped mappings.
 * ---------------------------------------------------------------- */

/* Moves every premapped mapping of the task, staged ones included, into one new reservation. 0, or -1 after
 * logging. */
int place_mappings(struct pstree_item *task);
/* Gives back what separates the mappings in the reservation; nothing may be mapped after this. */
void release_gaps(struct pstree_item *task);
/* Lets staged memory of the task be inherited by forks again, as memory is. 0, or -1 after logging. */
int staged_may_fork(struct pstree_item *task);

/* stats.c: what tasks report to the main process.
 * ---------------------------------------------------------------- */

int stats_open(void);
void stats_forked(void);
void stats_moving(uint64_t begin_realtime_ns, uint64_t spent_ns, unsigned int copied);
/* Sends forked, mappings-begin and mappings-end. */
int stats_send_marks(void);

#endif /* PCLIVE_OVERLAY_H */
