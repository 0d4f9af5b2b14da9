// SPDX-License-Identifier: GPL-2.0-only
/*
 * Placing: CRIU collects the private mappings that it fills before the restorer runs ("premapped") in one
 * reservation, packed; the restorer then unmaps everything but the reservation and moves each mapping to its
 * final address, those that go down first, from below, then those that go up, from above.
 *
 * Packed mappings are not congruent to their final addresses, and moves of incongruent memory go page by
 * page. So all premapped mappings are moved once more, into a reservation in which each is congruent to its
 * final address modulo 2 MiB. The restorer's order stays right as long as (final address - reserved address)
 * never decreases from one mapping to the next: a gap in the reservation is the gap between the final
 * addresses modulo 2 MiB, hence never larger.
 *
 * The reservation's gaps stay mapped (PROT_NONE) until nothing is mapped any more that could land in them.
 */
#include <errno.h>
#include <sys/mman.h>

#include "common/list.h"
#include "kerndat.h"
#include "log.h"
#include "mem.h"
#include "pstree.h"
#include "rst_info.h"
#include "version.h"
#include "vma.h"

#include "overlay.h"

#undef LOG_PREFIX
#define LOG_PREFIX "pclive: "

#define HUGE_MASK (OVERLAY_HUGE_SIZE - 1)

/* Where reservations are tried first: far from programs, libraries and stacks, so that no final address is
 * inside. */
#define QUIET_START (1ul << 44)
#define QUIET_STEP (1ul << 40)
#define QUIET_TRIES 48

static const int reserve_flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

static bool is_premapped(const struct vma_area *vma) {
    return vma_area_is(vma, VMA_PREMMAPED);
}

static const struct pclo_area *staged_area(struct pstree_item *task, const struct vma_area *vma) {
    return staging_find((uint32_t)vpid(task), vma->e->start, vma->e->end);
}

/* The lowest address from `at` on that is congruent to `start`. */
static unsigned long congruent(unsigned long at, unsigned long start) {
    return at + ((start - at) & HUGE_MASK);
}

static unsigned long reservation_size(struct vm_area_list *vmas) {
    struct vma_area *vma;
    unsigned long at = 0;

    list_for_each_entry(vma, &vmas->h, list) if (is_premapped(vma)) at =
        congruent(at, vma->e->start) + vma_area_len(vma);
    return at;
}

static bool hits_final_address(struct vm_area_list *vmas, unsigned long start, unsigned long len) {
    struct vma_area *vma;

    list_for_each_entry(vma, &vmas->h,
                        list) if (vma->e->start < start + len && vma->e->end > start) return true;
    return false;
}

/*
 * A reservation that overlaps a final address is right, too, but then the restorer moves the mapping twice
 * and its huge pages may be split.
 */
static void *reserve(struct vm_area_list *vmas, unsigned long size) {
    for (int i = 0; i < QUIET_TRIES; i++) {
        unsigned long at = QUIET_START + i * QUIET_STEP;
        void *got;

        if (at + size > kdat.task_size || hits_final_address(vmas, at, size))
            continue;
        got = mmap((void *)at, size, PROT_NONE, reserve_flags | MAP_FIXED_NOREPLACE, -1, 0);
        if (got == (void *)at)
            return got;
        if (got != MAP_FAILED)
            munmap(got, size);
    }
    return mmap(NULL, size, PROT_NONE, reserve_flags, -1, 0);
}

/* What CRIU's own mmap would have set up, and the restorer expects: see premapping in CRIU. */
static int dress(const struct vma_area *vma, unsigned long at) {
    const int prot = (int)vma->e->prot | PROT_WRITE;
    const unsigned long len = vma_area_len(vma);

    if (prot != (PROT_READ | PROT_WRITE) && mprotect((void *)at, len, prot))
        return -1;
    if (!(vma->e->flags & MAP_LOCKED))
        return 0;
    /* As with mmap(MAP_LOCKED), a lock that cannot be had in full is no error. */
    if (mlock2((void *)at, len, vma->e->prot & PROT_READ ? 0 : MLOCK_ONFAULT))
        pr_warn("Can't lock %lx-%lx\n", (unsigned long)vma->e->start, (unsigned long)vma->e->end);
    return 0;
}

static int place_staged(const struct pclo_area *area, struct vma_area *vma, unsigned long at,
                        unsigned int *copies) {
    bool copied;

    if (move_pages(area->staged, at, vma_area_len(vma), &copied) || dress(vma, at)) {
        pr_perror("Can't move staged memory of %lx-%lx", (unsigned long)area->start,
                  (unsigned long)area->end);
        return -1;
    }
    if (copied) {
        pr_warn("Had to copy %lx-%lx\n", (unsigned long)area->start, (unsigned long)area->end);
        /* Moved memory brings this from its window; a copy is new. */
        if (madvise((void *)at, vma_area_len(vma), MADV_DONTFORK)) {
            pr_perror("Can't keep a copy from forks");
            return -1;
        }
    }
    *copies += copied;
    return 0;
}

static int place_own(struct vma_area *vma, unsigned long at) {
    const unsigned long len = vma_area_len(vma);

    if (mremap((void *)vma->premmaped_addr, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)at) ==
        (void *)at)
        return 0;
    pr_perror("Can't move the premapped %lx-%lx", (unsigned long)vma->e->start, (unsigned long)vma->e->end);
    return -1;
}

/* Before 4.2, CRIU premaps one page more for a shadow stack than the image says. */
static bool shadow_stack_is_longer(const struct vma_area *vma) {
    return vma_area_is(vma, VMA_AREA_SHSTK) &&
           (CRIU_VERSION_MAJOR < 4 || (CRIU_VERSION_MAJOR == 4 && CRIU_VERSION_MINOR < 2));
}

static int place_all(struct pstree_item *task, unsigned long at, unsigned int *copies) {
    struct vma_area *vma;

    list_for_each_entry(vma, &rsti(task)->vmas.h, list) {
        const struct pclo_area *area;

        if (!is_premapped(vma))
            continue;
        if (vma_has_guard_gap_hidden(vma)) {
            pr_err("Staging needs a kernel that shows stack guard gaps (4.12 or later)\n");
            return -1;
        }
        if (shadow_stack_is_longer(vma)) {
            pr_err("Staging of a task with a shadow stack needs CRIU 4.2 or later\n");
            return -1;
        }
        at = congruent(at, vma->e->start);
        area = staged_area(task, vma);
        if (area ? place_staged(area, vma, at, copies) : place_own(vma, at))
            return -1;
        pr_debug("%lx-%lx placed at %lx\n", (unsigned long)vma->e->start, (unsigned long)vma->e->end, at);
        vma->premmaped_addr = at;
        at += vma_area_len(vma);
    }
    return 0;
}

int place_mappings(struct pstree_item *task) {
    const uint64_t began = realtime_ns(), start = monotonic_ns();
    struct rst_info *info = rsti(task);
    unsigned long size = reservation_size(&info->vmas) + OVERLAY_HUGE_SIZE;
    unsigned int copies = 0;
    struct window *window;
    void *place;

    place = reserve(&info->vmas, size);
    if (place == MAP_FAILED) {
        pr_perror("Can't reserve %lu bytes of addresses", size);
        return -1;
    }
    if (place_all(task, (unsigned long)place, &copies))
        return -1;

    /* CRIU's reservation has holes now, and its own staged mappings, empty. */
    if (info->premmapped_len && munmap(info->premmapped_addr, info->premmapped_len)) {
        pr_perror("Can't release CRIU's reservation");
        return -1;
    }
    info->premmapped_addr = place;
    info->premmapped_len = size;

    for (size_t i = 0; (window = staging_window(i)); i++)
        if (window->vpid == (uint32_t)vpid(task) && window_unmap(window))
            return -1;
    stats_moving(began, monotonic_ns() - start, copies);
    return 0;
}

int staged_may_fork(struct pstree_item *task) {
    struct vma_area *vma;

    list_for_each_entry(vma, &rsti(task)->vmas.h, list) {
        if (!is_premapped(vma) || !staged_area(task, vma))
            continue;
        if (madvise((void *)vma->premmaped_addr, vma_area_len(vma), MADV_DOFORK)) {
            pr_perror("Can't let forks inherit %lx", (unsigned long)vma->e->start);
            return -1;
        }
    }
    return 0;
}

void release_gaps(struct pstree_item *task) {
    unsigned long at = (unsigned long)rsti(task)->premmapped_addr;
    unsigned long end = at + rsti(task)->premmapped_len;
    struct vma_area *vma;

    list_for_each_entry(vma, &rsti(task)->vmas.h, list) {
        if (!is_premapped(vma))
            continue;
        if (vma->premmaped_addr > at)
            munmap((void *)at, vma->premmaped_addr - at);
        at = vma->premmaped_addr + vma_area_len(vma);
    }
    if (end > at)
        munmap((void *)at, end - at);
}
