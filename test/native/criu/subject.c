/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process tree with every kind of private memory that staging must bring back, which checks itself.
 *
 *   subject FOLDER [big-megabytes [alone]]
 *
 * "alone" is one process with one big region, for measuring.
 * With SUBJECT_TRACKED in the environment the big region is write-protected by an asynchronous userfaultfd,
 * whose descriptor is left open as number 99 for somebody else to take and to close here (SIGUSR2 closes it).
 * It writes FOLDER/ready when set up. On SIGUSR1 every process checks its memory against the digests it took
 * at the start, writes to all of it, and leaves "ok" or "bad <region>" in FOLDER/verify.<pid>.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than the headers of Debian 12. */
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

#define MIB (1ul << 20)
#define PAGE 4096ul
#define MAX_REGIONS 32

struct region {
    const char *name;
    char *at;
    size_t len;
    int prot;
    size_t stride; /* every how many pages one is written; 1 is dense */
    uint64_t digest;
};

static struct region regions[MAX_REGIONS];
static int nr_regions;
static const char *folder;
static volatile sig_atomic_t asked;

#define TRACKER_FD 99

static void fill_page(char *page, uint64_t seed) {
    uint64_t x = seed * 0x9e3779b97f4a7c15ull + 1;

    for (size_t i = 0; i < PAGE; i += 8) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(page + i, &x, 8);
    }
}

static void fill(struct region *r, uint64_t seed) {
    for (size_t page = 0; page < r->len / PAGE; page += r->stride)
        fill_page(r->at + page * PAGE, seed + page);
}

/* Of the pages that were written, and of one neighbour each, which must be zero. */
static uint64_t digest(const struct region *r) {
    uint64_t sum = 14695981039346656037ull, word;

    for (size_t page = 0; page < r->len / PAGE; page += r->stride)
        for (size_t i = 0; i < 2 * PAGE && page * PAGE + i < r->len; i += 8) {
            memcpy(&word, r->at + page * PAGE + i, 8);
            sum = (sum ^ word) * 1099511628211ull;
        }
    return sum;
}

static void open_region(const struct region *r) {
    if (r->prot != (PROT_READ | PROT_WRITE))
        mprotect(r->at, r->len, PROT_READ | PROT_WRITE);
}

static void close_region(const struct region *r) {
    if (r->prot != (PROT_READ | PROT_WRITE))
        mprotect(r->at, r->len, r->prot);
}

static void take_digests(void) {
    for (int i = 0; i < nr_regions; i++) {
        open_region(&regions[i]);
        regions[i].digest = digest(&regions[i]);
        close_region(&regions[i]);
    }
}

static void add(const char *name, char *at, size_t len, int prot, size_t stride) {
    struct region *r = &regions[nr_regions++];

    if (at == MAP_FAILED)
        abort();
    *r = (struct region){.name = name, .at = at, .len = len, .prot = prot, .stride = stride};
    fill(r, (uint64_t)nr_regions << 32);
    close_region(r);
}

static char *map(size_t len, int flags) {
    return mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

static void make_regions(size_t big) {
    char *pair = map(8 * MIB + 3 * PAGE, 0), *advised;
    char *heap = sbrk(40 * MIB);

    add("big", map(big, 0), big, PROT_READ | PROT_WRITE, 1);
    add("sparse", map(1536 * MIB, MAP_NORESERVE), 1536 * MIB, PROT_READ | PROT_WRITE, 777);
    add("none", map(12 * MIB + PAGE, 0), 12 * MIB + PAGE, PROT_NONE, 3);
    add("read-only", map(6 * MIB, 0), 6 * MIB, PROT_READ, 1);
    add("write-only", map(2 * MIB, 0), 2 * MIB, PROT_WRITE, 2);
    add("executable", map(3 * MIB, 0), 3 * MIB, PROT_READ | PROT_WRITE | PROT_EXEC, 1);
    add("lower neighbour", pair, 4 * MIB + PAGE, PROT_READ | PROT_WRITE, 1);
    add("upper neighbour", pair + 4 * MIB + PAGE, 4 * MIB + 2 * PAGE, PROT_READ, 1);
    add("locked", map(2 * MIB, 0), 2 * MIB, PROT_READ | PROT_WRITE, 1);
    mlock(regions[nr_regions - 1].at, 2 * MIB);
    advised = map(16 * MIB, 0);
    madvise(advised, 16 * MIB, MADV_HUGEPAGE);
    add("huge", advised, 16 * MIB, PROT_READ | PROT_WRITE, 1);
    advised = map(5 * MIB, 0);
    madvise(advised, 5 * MIB, MADV_NOHUGEPAGE);
    madvise(advised, 5 * MIB, MADV_DONTDUMP);
    add("advised", advised, 5 * MIB, PROT_READ | PROT_WRITE, 1);
    add("small", map(64 << 10, 0), 64 << 10, PROT_READ | PROT_WRITE, 1);
    add("heap", (char *)(((uintptr_t)heap + PAGE - 1) & ~(PAGE - 1)), 39 * MIB, PROT_READ | PROT_WRITE, 5);
}

static void verify(void) {
    char path[512], verdict[64] = "ok";
    FILE *file;

    for (int i = 0; i < nr_regions; i++) {
        struct region *r = &regions[i];

        open_region(r);
        if (digest(r) != r->digest)
            snprintf(verdict, sizeof(verdict), "bad %s", r->name);
        fill(r, (uint64_t)getpid() << 20);
        r->digest = digest(r);
        close_region(r);
    }
    snprintf(path, sizeof(path), "%s/verify.%d.new", folder, getpid());
    file = fopen(path, "w");
    if (!file)
        abort();
    fprintf(file, "%s", verdict);
    fclose(file);
    {
        char final[512];

        snprintf(final, sizeof(final), "%s/verify.%d", folder, getpid());
        rename(path, final);
    }
}

static void close_tracker(int number) {
    (void)number;
    close(TRACKER_FD);
}

/* What the engine does to a container from outside. */
static void track(const struct region *r) {
    struct uffdio_api api = {.api = UFFD_API,
                             .features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED};
    struct uffdio_register want = {.range = {(uintptr_t)r->at, r->len}, .mode = UFFDIO_REGISTER_MODE_WP};
    struct uffdio_writeprotect protect = {.range = want.range, .mode = UFFDIO_WRITEPROTECT_MODE_WP};
    int fd = (int)syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &want) ||
        ioctl(fd, UFFDIO_WRITEPROTECT, &protect) || dup2(fd, TRACKER_FD) < 0)
        abort();
    close(fd);
    signal(SIGUSR2, close_tracker);
}

static void on_usr1(int number) {
    (void)number;
    asked = 1;
}

static _Noreturn void serve(void) {
    sigset_t blocked, none;

    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    signal(SIGUSR1, on_usr1);
    for (;;) {
        while (!asked)
            sigsuspend(&none);
        asked = 0;
        verify();
    }
}

static void *idle(void *argument) {
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (;;)
        pause();
    return argument;
}

static void add_threads(int count) {
    pthread_t thread;
    sigset_t usr1;

    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &usr1, NULL);
    while (count--)
        pthread_create(&thread, NULL, idle, NULL);
}

static void mark_ready(void) {
    char path[512];

    snprintf(path, sizeof(path), "%s/ready.%d", folder, getpid());
    fclose(fopen(path, "w"));
}

/* Children share what they did not change with the parent, as after any fork. */
static void differ(int generation) {
    for (int i = 0; i < nr_regions; i++)
        if (regions[i].prot == (PROT_READ | PROT_WRITE) && i % 2 == generation % 2)
            for (size_t page = 0; page < regions[i].len / PAGE; page += regions[i].stride * 16)
                fill_page(regions[i].at + page * PAGE, (uint64_t)generation * 1000003 + page);
    /* A mapping that the parent lacks, and one less than the parent has. */
    add("child's own", map(9 * MIB, 0), 9 * MIB, PROT_READ | PROT_WRITE, 1);
    if (generation == 1) {
        munmap(regions[3].at, regions[3].len);
        regions[3] = regions[--nr_regions];
    }
    take_digests();
}

static _Noreturn void child(int generation) {
    do
        differ(generation++);
    while (generation <= 3 && fork() == 0);
    add_threads(1);
    mark_ready();
    serve();
}

static void listen_somewhere(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 1))
        abort();
}

int main(int argc, char **argv) {
    size_t big;

    if (argc < 2)
        return 2;
    folder = argv[1];
    signal(SIGUSR1, SIG_IGN);
    listen_somewhere();
    big = (argc > 2 ? strtoul(argv[2], NULL, 10) : 48) * MIB;
    if (argc > 3) {
        add("big", map(big, 0), big, PROT_READ | PROT_WRITE, 1);
        take_digests();
        if (getenv("SUBJECT_TRACKED"))
            track(&regions[0]);
        mark_ready();
        serve();
    }
    make_regions(big);
    take_digests();
    add_threads(3);
    if (fork() == 0)
        child(1);
    if (fork() == 0)
        child(3);
    if (fork() == 0)
        _exit(7); /* stays a zombie */
    mark_ready();
    serve();
}
