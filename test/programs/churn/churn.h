/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that knows what it must hold: shared by the parts of the churn program. */
#ifndef CHURN_H
#define CHURN_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE 4096u
#define MAX_REGIONS 64
#define MAX_CHILDREN 4

/* What a page must hold: generation 0 is all zero, any other a pattern made from (owner, serial, page,
 * generation). */
struct region {
    uint8_t *base; /* NULL: the slot is free */
    size_t pages;
    uint32_t serial;      /* never used twice by one thread */
    uint32_t *generation; /* one per page; lives outside of the region */
    int prot;
    bool pieces; /* mapped again in part: possibly several mappings for the kernel */
};

struct worker {
    pthread_t thread;
    pthread_mutex_t
        lock; /* held for each operation and each check: what is inside is consistent without it */
    unsigned int index;
    uint64_t random;
    size_t budget; /* pages */
    size_t used;
    uint32_t next_serial;
    uint32_t next_generation;
    uint64_t operations;
    struct region regions[MAX_REGIONS];
    int children[MAX_CHILDREN]; /* pids, 0: free */
};

struct options {
    size_t megabytes;
    unsigned int threads;
    unsigned int rate; /* operations per second, all threads together */
    unsigned int port;
    uint64_t seed;
    bool fork;
};

/* A wrong byte: says where on stdout and stderr, and ends the process with status 99. */
_Noreturn void wrong(const struct worker *w, const struct region *r, size_t page, size_t word, uint64_t is,
                     uint64_t must);
/* A system call that failed: status 98. */
_Noreturn void die(const char *what);

uint64_t next_random(uint64_t *state);

/* pattern.c */
void fill_page(const struct worker *w, struct region *r, size_t page, uint32_t generation);
void check_region(const struct worker *w, const struct region *r);

/* operations.c */
void do_operation(struct worker *w);
/* Makes a region readable for a moment, checks it, and puts its protection back. */
void check_protected(const struct worker *w, const struct region *r);

/* children.c */
void maybe_fork(struct worker *w);
void reap_children(struct worker *w);

/* control.c: serves VERIFY over TCP for ever. */
_Noreturn void serve(struct worker *workers, const struct options *options);

#endif
