// SPDX-License-Identifier: GPL-2.0-only
/*
 * Figures that tasks leave for the main process, on a page shared by all of them. Tasks have no connection of
 * their own: it must not leak into what they become.
 */
#include <sys/mman.h>

#include "log.h"

#include "overlay.h"

#undef LOG_PREFIX
#define LOG_PREFIX "pclive: "

struct shared_stats {
    uint64_t forked_ns;       /* when the last task was forked, realtime */
    uint64_t moving_begin_ns; /* when the first task began to move memory, realtime */
    uint64_t moving_end_ns;   /* when the last one ended */
    uint64_t spent_ns;        /* summed over tasks */
    uint64_t copied;          /* mappings that had to be copied */
};

static struct shared_stats *stats;

int stats_open(void) {
    stats = mmap(NULL, sizeof(*stats), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (stats != MAP_FAILED)
        return 0;
    stats = NULL;
    pr_perror("Can't map a page for figures");
    return -1;
}

static void keep_latest(uint64_t *place, uint64_t value) {
    uint64_t seen = __atomic_load_n(place, __ATOMIC_RELAXED);

    while (seen < value &&
           !__atomic_compare_exchange_n(place, &seen, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

static void keep_earliest(uint64_t *place, uint64_t value) {
    uint64_t seen = __atomic_load_n(place, __ATOMIC_RELAXED);

    while ((!seen || seen > value) &&
           !__atomic_compare_exchange_n(place, &seen, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

void stats_forked(void) {
    if (stats)
        keep_latest(&stats->forked_ns, realtime_ns());
}

void stats_moving(uint64_t begin_realtime_ns, uint64_t spent_ns, unsigned int copied) {
    if (!stats)
        return;
    keep_earliest(&stats->moving_begin_ns, begin_realtime_ns);
    keep_latest(&stats->moving_end_ns, begin_realtime_ns + spent_ns);
    __atomic_add_fetch(&stats->spent_ns, spent_ns, __ATOMIC_RELAXED);
    __atomic_add_fetch(&stats->copied, copied, __ATOMIC_RELAXED);
}

int stats_send_marks(void) {
    if (!stats)
        return -1;
    if (stats->copied)
        pr_warn("%lu staged mappings were copied, not moved\n", (unsigned long)stats->copied);
    if (stats->forked_ns && link_send_mark("forked", stats->forked_ns, 0))
        return -1;
    if (!stats->moving_begin_ns)
        return 0;
    if (link_send_mark("mappings-begin", stats->moving_begin_ns, 0))
        return -1;
    return link_send_mark("mappings-end", stats->moving_end_ns, (double)stats->spent_ns / 1e6);
}
