/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread does with its memory. Every operation leaves the books (struct region) right. */
#define _GNU_SOURCE
#include "churn.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define READ_WRITE (PROT_READ | PROT_WRITE)

static size_t below(struct worker *w, size_t n) {
    return n ? next_random(&w->random) % n : 0;
}

/* From 16 KiB to 4 MiB, small ones as often as large ones: both sides of what a migration treats specially.
 */
static size_t some_size(struct worker *w) {
    size_t pages = (size_t)4 << below(w, 9);

    return pages + below(w, pages);
}

static struct region *some_region(struct worker *w) {
    size_t first = below(w, MAX_REGIONS);

    for (size_t i = 0; i < MAX_REGIONS; i++) {
        struct region *r = &w->regions[(first + i) % MAX_REGIONS];

        if (r->base)
            return r;
    }
    return NULL;
}

static uint8_t *map_at(void *where, size_t pages, int flags) {
    void *p = mmap(where, pages * PAGE, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

    if (p == MAP_FAILED)
        die("mmap");
    return p;
}

static void set_generations(struct region *r, size_t pages) {
    r->generation = realloc(r->generation, pages * sizeof(*r->generation));
    if (!r->generation)
        die("realloc");
    if (pages > r->pages)
        memset(r->generation + r->pages, 0, (pages - r->pages) * sizeof(*r->generation));
    r->pages = pages;
}

static void unprotect(struct region *r) {
    if (r->prot == READ_WRITE)
        return;
    if (mprotect(r->base, r->pages * PAGE, READ_WRITE))
        die("mprotect");
    r->prot = READ_WRITE;
}

void check_protected(const struct worker *w, const struct region *r) {
    size_t length = r->pages * PAGE;

    if (r->prot & PROT_READ) {
        check_region(w, r);
        return;
    }
    if (mprotect(r->base, length, PROT_READ))
        die("mprotect");
    check_region(w, r);
    if (mprotect(r->base, length, r->prot))
        die("mprotect");
}

static void write_some(struct worker *w, struct region *r) {
    size_t first = below(w, r->pages), count = 1 + below(w, 32);

    unprotect(r);
    for (size_t page = first; page < r->pages && page < first + count; page++)
        fill_page(w, r, page, ++w->next_generation);
}

static void do_map(struct worker *w) {
    size_t pages = some_size(w);

    if (w->used + pages > w->budget)
        return;
    for (size_t i = 0; i < MAX_REGIONS; i++) {
        struct region *r = &w->regions[i];

        if (r->base)
            continue;
        *r = (struct region){.base = map_at(NULL, pages, 0), .serial = ++w->next_serial, .prot = READ_WRITE};
        set_generations(r, pages);
        w->used += pages;
        if (below(w, 4) == 0)
            madvise(r->base, pages * PAGE, MADV_HUGEPAGE);
        /* one in four stays sparse */
        for (size_t page = 0, stop = below(w, 4) ? pages : below(w, pages); page < stop; page++)
            fill_page(w, r, page, ++w->next_generation);
        return;
    }
}

static void do_unmap(struct worker *w, struct region *r) {
    check_protected(w, r);
    if (munmap(r->base, r->pages * PAGE))
        die("munmap");
    w->used -= r->pages;
    free(r->generation);
    *r = (struct region){0};
}

static void do_resize(struct worker *w, struct region *r) {
    size_t pages = below(w, 2) ? r->pages + 1 + below(w, 256) : 1 + below(w, r->pages);
    void *moved;

    if (pages > r->pages && w->used + pages - r->pages > w->budget)
        return;
    unprotect(r);
    moved = mremap(r->base, r->pages * PAGE, pages * PAGE, MREMAP_MAYMOVE);
    if (moved == MAP_FAILED)
        return; /* a mapping of several pieces (huge page advice) cannot be resized */
    w->used += pages - r->pages;
    r->base = moved;
    set_generations(r, pages);
}

/*
 * A region of several mappings stays where it is: before Linux 6.17 such a move fails, since then it may fail
 * half-way (one mapping is watched by a userfaultfd and the next is not), and nobody can tell how much has
 * moved.
 */
static void do_move(struct region *r) {
    size_t length = r->pages * PAGE;
    uint8_t *target;

    if (r->pieces)
        return;
    target = map_at(NULL, r->pages, 0);

    unprotect(r);
    if (mremap(r->base, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, target) == MAP_FAILED) {
        munmap(target, length);
        return;
    }
    r->base = target;
}

static void do_protect(struct worker *w, struct region *r) {
    static const int kinds[] = {PROT_NONE, PROT_READ, READ_WRITE};
    int prot = kinds[below(w, 3)];

    if (mprotect(r->base, r->pages * PAGE, prot))
        die("mprotect");
    r->prot = prot;
}

static void do_discard(struct worker *w, struct region *r) {
    size_t first = below(w, r->pages), count = 1 + below(w, r->pages - first);

    if (madvise(r->base + first * PAGE, count * PAGE, MADV_DONTNEED))
        die("madvise");
    memset(r->generation + first, 0, count * sizeof(*r->generation));
}

/*
 * Gone and back at the same address: whoever watches from outside must notice that it is another mapping.
 * In one call, for another thread could take a hole; unmapping alone leaves addresses for later mappings.
 */
static void do_map_again(struct worker *w, struct region *r) {
    size_t first = below(w, r->pages), count = 1 + below(w, r->pages - first);

    unprotect(r);
    map_at(r->base + first * PAGE, count, MAP_FIXED);
    r->pieces = true;
    memset(r->generation + first, 0, count * sizeof(*r->generation));
    write_some(w, r);
}

void do_operation(struct worker *w) {
    size_t what = below(w, 100);
    struct region *r = some_region(w);

    w->operations++;
    if (!r || what < 6) {
        do_map(w);
    } else if (what < 50) {
        write_some(w, r);
    } else if (what < 75) {
        check_protected(w, r);
    } else if (what < 80) {
        do_unmap(w, r);
    } else if (what < 85) {
        do_resize(w, r);
    } else if (what < 88) {
        do_move(r);
    } else if (what < 93) {
        do_protect(w, r);
    } else if (what < 97) {
        do_discard(w, r);
    } else {
        do_map_again(w, r);
    }
}
