// SPDX-License-Identifier: GPL-2.0-only
/*
 * CRIU reads /proc/PID/smaps for the flags of mappings, and for each the kernel counts its pages: 30 ms for
 * every GB, while the container stands still. Here CRIU gets the lines of /proc/PID/maps, and with each the
 * flags as a BPF program sees them: what CRIU reads of smaps, at a cost that does not grow with memory.
 *
 * The numbers of the flags are no promise of the kernel. So they are learnt ahead, from smaps of mappings
 * made for it; a task with a flag that was not seen there gets the real smaps.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"
#include "util.h"

#include "ahead.h"
#include "overlay.h"
#include "vma_flags.h"

#undef LOG_PREFIX
#define LOG_PREFIX "pclive: "

#define PAGE 4096ul
#define FLAGS_LINE "VmFlags: "

int __real_do_open_proc(pid_t pid, int flags, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int __wrap_do_open_proc(pid_t pid, int flags, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The flags that CRIU acts on, by the names of smaps. */
static const struct known {
    char name[3];
    uint64_t bit;
} known[] = {
    {"gd", 0x100},     {"pf", 0x400},      {"lo", 0x2000},     {"io", 0x4000},     {"sr", 0x8000},
    {"rr", 0x10000},   {"dc", 0x20000},    {"nr", 0x200000},   {"ht", 0x400000},   {"wf", 0x2000000},
    {"dd", 0x4000000}, {"hg", 0x20000000}, {"nh", 0x40000000}, {"mg", 0x80000000},
};
#define NR_KNOWN (sizeof(known) / sizeof(*known))

/*
 * Those that it ignores: rd wr ex sh mr mw me ms, um (missing pages of userfaultfd), uw (its write
 * protection), de, lf, ac, sf, ar, sd and mm.
 */
#define IGNORED                                                                                              \
    (0xffull | 0x200 | 0x1000 | 0x40000 | 0x80000 | 0x100000 | 0x800000 | 0x1000000 | 0x8000000 | 0x10000000)

/* Above this the number of a protection key is kept, which CRIU ignores as well, and rarer things. */
#define HIGH (~0xffffffffull)
/* So many make every bit of a key's number appear. */
#define MAX_KEYS 8

/* The bits whose meaning is certain here. 0: smaps is read as ever. */
static uint64_t certain;

static void print_flags(FILE *out, uint64_t flags) {
    fputs(FLAGS_LINE, out);
    for (size_t i = 0; i < NR_KNOWN; i++)
        if (flags & known[i].bit)
            fprintf(out, "%s ", known[i].name);
    fputc('\n', out);
}

struct samples {
    char *at;
    size_t len;
    int keys[MAX_KEYS];
    size_t nr_keys;
};

static void sample_keys(struct samples *samples, char *at) {
    for (int key; samples->nr_keys < MAX_KEYS && (key = pkey_alloc(0, 0)) > 0; at += 2 * PAGE) {
        samples->keys[samples->nr_keys++] = key;
        if (pkey_mprotect(at, PAGE, PROT_READ | PROT_WRITE, key))
            pr_debug("No mapping with protection key %d here\n", key);
    }
}

/* Mappings that differ in one flag each. */
static bool make_samples(struct samples *samples) {
    static const int advice[] = {MADV_SEQUENTIAL, MADV_RANDOM,   MADV_DONTFORK,   MADV_WIPEONFORK,
                                 MADV_DONTDUMP,   MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_MERGEABLE};
    const size_t count = sizeof(advice) / sizeof(*advice);
    const int how = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    char *at;

    samples->len = (2 * (count + MAX_KEYS) + 6) * PAGE;
    at = mmap(NULL, samples->len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return false;
    samples->at = at;
    for (size_t i = 0; i < count; i++)
        if (mprotect(at + 2 * i * PAGE, PAGE, PROT_READ | PROT_WRITE) ||
            madvise(at + 2 * i * PAGE, PAGE, advice[i]))
            pr_debug("No mapping with advice %d here\n", advice[i]);
    mmap(at + 2 * count * PAGE, PAGE, PROT_READ | PROT_WRITE, how | MAP_NORESERVE, -1, 0);
    mmap(at + (2 * count + 2) * PAGE, PAGE, PROT_READ | PROT_WRITE, how | MAP_LOCKED, -1, 0);
    mmap(at + (2 * count + 4) * PAGE, PAGE, PROT_READ | PROT_WRITE, how | MAP_GROWSDOWN, -1, 0);
    sample_keys(samples, at + (2 * count + 6) * PAGE);
    return true;
}

static void end_samples(struct samples *samples) {
    if (samples->at)
        munmap(samples->at, samples->len);
    while (samples->nr_keys)
        pkey_free(samples->keys[--samples->nr_keys]);
}

/* Of the first line of a mapping; of any other line nothing is changed. */
static bool parse_bounds(const char *line, uint64_t *start, uint64_t *end) {
    uint64_t from, to;

    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &from, &to) != 2)
        return false;
    *start = from;
    *end = to;
    return true;
}

/* Looks whether smaps names exactly what the bits say; `seen` gets the bits that it named. */
static bool agrees(const char *names, uint64_t flags, uint64_t *seen) {
    for (size_t i = 0; i < NR_KNOWN; i++) {
        char word[5] = {' ', known[i].name[0], known[i].name[1], ' ', 0};
        bool named = strstr(names, word);

        if (named != !!(flags & known[i].bit))
            return false;
        if (named)
            *seen |= known[i].bit;
    }
    return true;
}

/* Of this very process: what smaps says of each mapping beside what the program saw. */
static uint64_t compare(FILE *smaps, const struct vma_flags *list, size_t count) {
    uint64_t start = 0, end = 0, seen = 0;
    size_t at = 0, compared = 0;
    unsigned int key = 0;
    char line[PATH_MAX + 128];

    while (fgets(line, sizeof(line), smaps)) {
        if (parse_bounds(line, &start, &end))
            while (at < count && list[at].start < start)
                at++;
        sscanf(line, "ProtectionKey: %u", &key);
        if (strncmp(line, FLAGS_LINE, strlen(FLAGS_LINE)) || at == count || list[at].start != start ||
            list[at].end != end)
            continue;
        if (!agrees(line + strlen(FLAGS_LINE) - 1, list[at].flags, &seen))
            return 0;
        if (key)
            seen |= list[at].flags & HIGH;
        compared++;
    }
    return compared > 2 ? seen : 0;
}

void smaps_prepare(void) {
    struct samples samples = {0};
    struct vma_flags *list;
    size_t count = 0;
    FILE *smaps;

    if (!vma_flags_open()) {
        pr_info("The kernel does not tell the flags of mappings apart from smaps\n");
        return;
    }
    if (!make_samples(&samples))
        return;
    /* Opened first: what is allocated for it is in both. */
    smaps = fopen("/proc/self/smaps", "re");
    list = vma_flags_read(getpid(), &count);
    if (smaps && list)
        certain = compare(smaps, list, count);
    pr_info("Flags of mappings that are certain: %" PRIx64 "\n", certain);
    if (smaps)
        fclose(smaps);
    free(list);
    end_samples(&samples);
}

/* One line of maps, and the flags. False: the two do not fit together, or there is a flag that is not
 * certain. */
static bool print_mapping(FILE *out, const char *line, const struct vma_flags *vma) {
    uint64_t start, end;

    fputs(line, out);
    if (!parse_bounds(line, &start, &end) || !vma || vma->start != start || vma->end != end ||
        vma->flags & ~(IGNORED | certain))
        return false;
    print_flags(out, vma->flags);
    return true;
}

static bool print_all(FILE *out, FILE *maps, const struct vma_flags *list, size_t count) {
    char *line = NULL;
    size_t room = 0, at = 0;
    bool fits = true;

    while (fits && getline(&line, &room, maps) > 0) {
        /* One page of the kernel's own, mapped in no task. */
        if (strstr(line, "[vsyscall]"))
            fputs(line, out);
        else if ((fits = print_mapping(out, line, at < count ? &list[at] : NULL)))
            at++;
    }
    free(line);
    return fits && at == count;
}

/* @returns a descriptor of the text, to be read from its start; -1: smaps has to be read */
static int compose(pid_t pid) {
    int fd = memfd_create("smaps", MFD_CLOEXEC), maps_fd = __real_do_open_proc(pid, O_RDONLY, "maps");
    FILE *maps = maps_fd < 0 ? NULL : fdopen(maps_fd, "r");
    FILE *out = fd < 0 ? NULL : fdopen(dup(fd), "w");
    size_t count = 0;
    struct vma_flags *list = vma_flags_read(pid, &count);
    bool fits = maps && out && list && print_all(out, maps, list, count);

    free(list);
    if (maps)
        fclose(maps);
    else if (maps_fd >= 0)
        close(maps_fd);
    if (out && fclose(out))
        fits = false;
    if (fits && !lseek(fd, 0, SEEK_SET))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

int __wrap_do_open_proc(pid_t pid, int flags, const char *fmt, ...) {
    char path[128];
    va_list arguments;
    int len, fd;

    va_start(arguments, fmt);
    len = vsnprintf(path, sizeof(path), fmt, arguments);
    va_end(arguments);
    if (len < 0 || (size_t)len >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (certain && dump_is_ours() && pid > 0 && flags == O_RDONLY && !strcmp(path, "smaps")) {
        fd = compose(pid);
        if (fd >= 0)
            return fd;
        pr_info("Flags of %d are not all certain: smaps is read\n", pid);
    }
    return __real_do_open_proc(pid, flags, "%s", path);
}
