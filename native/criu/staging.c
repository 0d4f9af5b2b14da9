// SPDX-License-Identifier: GPL-2.0-only
/*
 * Staging: windows of anonymous memory in CRIU's main process that the engine fills from outside while the
 * container still runs at the source.
 *
 * A window is congruent to the source's addresses modulo 1 GiB, so that later moves take whole page tables.
 * Its first page is touched at once: the kernel then attaches one anon_vma to all of it, without which parts
 * that ADVISE split off could never become one mapping again. It is not inherited by forks, because CRIU
 * forks helpers at will and every fork would copy the page tables of gigabytes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"

#include "overlay.h"

#undef LOG_PREFIX
#define LOG_PREFIX "pclive: "

#define MAX_WINDOWS 65536u
#define MAX_WINDOW_LEN (1ull << 46)
#define ADDRESS_LIMIT (1ull << 56)

static struct window *windows;
static size_t nr_windows;
static struct pclo_area *areas; /* sorted by vpid and start */
static size_t nr_areas;
static uint32_t go_flags;

bool shim_has_network(void) {
    return !(go_flags & PCLO_STOCK_NETWORK);
}

bool staging_in_use(void) {
    return nr_areas > 0;
}

struct window *staging_window(size_t index) {
    return index < nr_windows ? &windows[index] : NULL;
}

int window_unmap(struct window *window) {
    if (!window->mapped)
        return 0;
    window->mapped = false;
    if (!munmap((void *)window->base, window->len))
        return 0;
    pr_perror("Can't unmap the window at %lx", window->base);
    return -1;
}

static bool whole_pages(uint64_t start, uint64_t len) {
    uint64_t mask = (uint64_t)sysconf(_SC_PAGESIZE) - 1;

    return len && !(start & mask) && !(len & mask) && start < ADDRESS_LIMIT && len < ADDRESS_LIMIT;
}

static struct window *window_of(uint64_t start, uint64_t len) {
    for (size_t i = 0; i < nr_windows; i++)
        if (start >= windows[i].base && start - windows[i].base < windows[i].len &&
            len <= windows[i].len - (start - windows[i].base))
            return &windows[i];
    return NULL;
}

/* Maps the window; MAP_FAILED with errno. */
static char *map_window(uint64_t source, uint64_t len) {
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    const uint64_t room = len + PCLO_CONGRUENCE;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *hole, *base;

    hole = mmap(NULL, room, PROT_NONE, flags, -1, 0);
    if (hole == MAP_FAILED)
        return MAP_FAILED;
    base = hole + ((source - (uint64_t)hole) & (PCLO_CONGRUENCE - 1));
    munmap(hole, room);
    base = mmap(base, len, PROT_READ | PROT_WRITE, flags | MAP_FIXED_NOREPLACE, -1, 0);
    if (base == MAP_FAILED)
        return MAP_FAILED;

    *(volatile char *)base = 0;
    if (!madvise(base, page, MADV_DONTNEED) && !madvise(base, len, MADV_DONTFORK))
        return base;
    munmap(base, len);
    return MAP_FAILED;
}

static int serve_window(const struct pclo_range *range) {
    struct pclo_window_at at;
    struct window *grown;
    char *base;

    if (!whole_pages(range->start, range->len) || range->len > MAX_WINDOW_LEN)
        return link_send_error(EINVAL, "A window must be whole pages");
    if (nr_windows == MAX_WINDOWS)
        return link_send_error(E2BIG, "Too many windows");
    grown = realloc(windows, (nr_windows + 1) * sizeof(*windows));
    if (!grown)
        return link_send_error(ENOMEM, "No memory for one more window");
    windows = grown;
    base = map_window(range->start, range->len);
    if (base == MAP_FAILED)
        return link_send_error(errno,
                               "Can't reserve a window (vm.overcommit_memory=2 and ulimit -v forbid it)");

    windows[nr_windows++] = (struct window){
        .base = (unsigned long)base, .len = range->len, .advised_start = -1ul, .mapped = true};
    pr_info("Window %zu: source %lx+%lx at %p\n", nr_windows - 1, (unsigned long)range->start,
            (unsigned long)range->len, base);
    at.base = (uint64_t)base;
    return link_send(PCLO_WINDOW_AT, 0, &at, sizeof(at));
}

static int serve_drop(const struct pclo_range *ranges, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!whole_pages(ranges[i].start, ranges[i].len) || !window_of(ranges[i].start, ranges[i].len))
            return link_send_error(EINVAL, "DROP outside of every window");
        if (madvise((void *)ranges[i].start, ranges[i].len, MADV_DONTNEED))
            return link_send_error(errno, "Can't drop staged memory");
    }
    return link_send(PCLO_OK, 0, NULL, 0);
}

static int serve_advise(const struct pclo_advise *advice, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct pclo_advise *a = &advice[i];
        struct window *window;
        int how;

        if (!whole_pages(a->start, a->len) || !(window = window_of(a->start, a->len)))
            return link_send_error(EINVAL, "ADVISE outside of every window");
        if (a->how != PCLO_ADVISE_HUGE && a->how != PCLO_ADVISE_NOHUGE)
            return link_send_error(EINVAL, "ADVISE knows huge and nohuge only");
        how = a->how == PCLO_ADVISE_HUGE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE;
        if (madvise((void *)a->start, a->len, how))
            return link_send_error(errno, "Can't advise on huge pages");
        if (a->start < window->advised_start)
            window->advised_start = a->start;
        if (a->start + a->len > window->advised_end)
            window->advised_end = a->start + a->len;
    }
    return link_send(PCLO_OK, 0, NULL, 0);
}

static int by_task(const void *a, const void *b) {
    const struct pclo_area *x = a, *y = b;

    if (x->vpid != y->vpid)
        return x->vpid < y->vpid ? -1 : 1;
    return x->start < y->start ? -1 : x->start > y->start;
}

static int by_place(const void *a, const void *b) {
    const struct pclo_area *x = a, *y = b;

    return x->staged < y->staged ? -1 : x->staged > y->staged;
}

static int check_area(const struct pclo_area *area) {
    struct window *window;

    if (area->end <= area->start || !whole_pages(area->start, area->end - area->start) || !area->vpid ||
        ((area->start - area->staged) & (PCLO_CONGRUENCE - 1)))
        return -1;
    window = window_of(area->staged, area->end - area->start);
    if (!window || (window->vpid && window->vpid != area->vpid))
        return -1;
    window->vpid = area->vpid;
    return 0;
}

/* Takes the list over. 0, or -1 after logging. */
static int take_areas(struct pclo_area *list, size_t count) {
    areas = list;
    nr_areas = count;

    qsort(areas, nr_areas, sizeof(*areas), by_place);
    for (size_t i = 0; i < nr_areas; i++) {
        const struct pclo_area *area = &areas[i], *before = i ? area - 1 : NULL;

        if (check_area(area) || (before && before->staged + (before->end - before->start) > area->staged)) {
            pr_err("Bad staged area %lx-%lx at %lx of task %u\n", (unsigned long)area->start,
                   (unsigned long)area->end, (unsigned long)area->staged, area->vpid);
            return -1;
        }
    }
    qsort(areas, nr_areas, sizeof(*areas), by_task);
    for (size_t i = 1; i < nr_areas; i++)
        if (areas[i].vpid == areas[i - 1].vpid && areas[i].start < areas[i - 1].end) {
            pr_err("Staged areas of task %u overlap at %lx\n", areas[i].vpid, (unsigned long)areas[i].start);
            return -1;
        }
    return 0;
}

/* With huge pages for everybody, an unadvised mapping gets them too: what comes closest then. */
static int neutral_advice(void) {
    char mode[64] = "";
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");

    if (file) {
        if (!fgets(mode, sizeof(mode), file))
            mode[0] = 0;
        fclose(file);
    }
    return strstr(mode, "[always]") ? MADV_HUGEPAGE : MADV_NOHUGEPAGE;
}

/*
 * Gives every area that ADVISE touched one flag, so that it is one mapping and can be moved at once. It must
 * be done before the first fork, for in a child each part has an anon_vma of its own. CRIU's restorer sets
 * the image's own advice at the end.
 */
static int even_out(void) {
    const int advice = neutral_advice();

    for (size_t i = 0; i < nr_areas; i++) {
        unsigned long len = areas[i].end - areas[i].start;
        struct window *window = window_of(areas[i].staged, len);

        if (areas[i].staged >= window->advised_end || areas[i].staged + len <= window->advised_start)
            continue;
        if (madvise((void *)areas[i].staged, len, advice)) {
            pr_perror("Can't even out the huge page flags of %lx", (unsigned long)areas[i].staged);
            return -1;
        }
    }
    return 0;
}

static int go(struct pclo_area *list, size_t count) {
    lazy_close();
    if (take_areas(list, count) || even_out())
        return -1;
    for (size_t i = 0; i < nr_windows; i++)
        if (!windows[i].vpid && window_unmap(&windows[i]))
            return -1;
    pr_info("Go with %zu areas in %zu windows\n", nr_areas, nr_windows);
    return 0;
}

static bool holds(const struct pclo_header *header, size_t unit) {
    return header->length && header->length % unit == 0;
}

/* 1 to go on, 0 at GO, -1 after logging. */
static int serve_one(void) {
    struct pclo_header header;
    void *payload;
    int ret = -1;

    if (link_receive(&header, &payload, 0))
        return -1;
    if (header.type == PCLO_GO && header.length % sizeof(struct pclo_area) == 0) {
        go_flags = header.arg;
        return go(payload, header.length / sizeof(struct pclo_area));
    }

    if (header.type == PCLO_WINDOW && header.length == sizeof(struct pclo_range))
        ret = serve_window(payload);
    else if (header.type == PCLO_DROP && holds(&header, sizeof(struct pclo_range)))
        ret = serve_drop(payload, header.length / sizeof(struct pclo_range));
    else if (header.type == PCLO_ADVISE && holds(&header, sizeof(struct pclo_advise)))
        ret = serve_advise(payload, header.length / sizeof(struct pclo_advise));
    else if (header.type == PCLO_LAZY && !header.length)
        ret = lazy_serve();
    else
        pr_err("Message %u of %u bytes does not belong here\n", header.type, header.length);
    free(payload);
    return ret ? -1 : 1;
}

int staging_serve(void) {
    int ret;

    do
        ret = serve_one();
    while (ret > 0);
    return ret;
}

/* The first area at or behind (vpid, start), as an index; nr_areas when there is none. */
static size_t lower_bound(uint32_t vpid, uint64_t start) {
    size_t low = 0, high = nr_areas;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (areas[middle].vpid < vpid || (areas[middle].vpid == vpid && areas[middle].start < start))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct pclo_area *staging_find(uint32_t vpid, uint64_t start, uint64_t end) {
    size_t i = lower_bound(vpid, start);

    if (i < nr_areas && areas[i].vpid == vpid && areas[i].start == start && areas[i].end == end)
        return &areas[i];
    return NULL;
}

size_t staging_count(uint32_t vpid) {
    return lower_bound(vpid + 1, 0) - lower_bound(vpid, 0);
}

bool staging_every_task(bool (*known)(uint32_t vpid)) {
    for (size_t i = 0; i < nr_areas; i++) {
        if (i && areas[i].vpid == areas[i - 1].vpid)
            continue;
        if (!known(areas[i].vpid)) {
            pr_err("Staged memory for task %u, which is not in the images\n", areas[i].vpid);
            return false;
        }
    }
    return true;
}
