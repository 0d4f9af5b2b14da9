/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memhog MIB WRITES PORT: holds MIB megabytes of anonymous memory and rewrites WRITES megabytes of it a
 * second, page after page. It knows what each page must hold, looks before it writes, and ends with status 99
 * at the first wrong word. Its pulse (pulse.h) counts pages.
 */
#include "../pulse/pulse.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096u
#define WORDS (PAGE / sizeof(uint64_t))
#define MIB ((size_t)1 << 20)

/* Time that it could not run is not made up for beyond this. */
#define LONGEST_STEP_NS 10000000ll

static uint64_t *memory;
static uint32_t *generation; /* of each page; lives elsewhere, so that an old page shows */
static size_t pages;
static struct pulse pulse;

static uint64_t seed_of(size_t page) {
    uint64_t state = ((uint64_t)generation[page] << 32) ^ page;

    return pulse_random(&state);
}

static uint64_t word_of(uint64_t seed, size_t word) {
    return seed + word * 0x9e3779b97f4a7c15ull;
}

static void check(size_t page) {
    const uint64_t *words = memory + page * WORDS;
    uint64_t seed = seed_of(page);

    for (size_t i = 0; i < WORDS; i++) {
        if (words[i] == word_of(seed, i))
            continue;
        fprintf(stderr, "BAD page %zu word %zu of generation %u\n", page, i, generation[page]);
        _exit(99);
    }
}

static void fill(size_t page) {
    uint64_t *words = memory + page * WORDS;
    uint64_t seed;

    generation[page]++;
    seed = seed_of(page);
    for (size_t i = 0; i < WORDS; i++)
        words[i] = word_of(seed, i);
}

static long long now_ns(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* At `writes` bytes a second: what is due since the last step is rewritten, then it sleeps for a millisecond.
 */
static _Noreturn void run(uint64_t writes) {
    static const struct timespec pause = {.tv_nsec = 1000000};
    long long before = now_ns();
    double due = 0;
    size_t at = 0;

    for (;;) {
        long long now = now_ns(), step = now - before;

        before = now;
        due += (double)writes * (double)(step < LONGEST_STEP_NS ? step : LONGEST_STEP_NS) / 1e9;
        for (; due >= PAGE; due -= PAGE) {
            check(at);
            fill(at);
            at = (at + 1) % pages;
            atomic_fetch_add(&pulse.work, 1);
        }
        if (pulse_wants_check(&pulse)) {
            for (size_t page = 0; page < pages; page++)
                check(page);
            atomic_fetch_add(&pulse.checks, 1);
        }
        nanosleep(&pause, NULL);
    }
}

int main(int argc, char **argv) {
    uint64_t writes;
    unsigned int port;

    if (argc != 4) {
        fprintf(stderr, "usage: memhog MIB WRITES PORT (WRITES: MiB a second, at least 1)\n");
        return 2;
    }
    pages = pulse_number(argv[1], 1, 1 << 20) * (MIB / PAGE);
    writes = pulse_number(argv[2], 1, 1 << 14) * MIB;
    port = (unsigned int)pulse_number(argv[3], 1, 65535);
    memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    generation = calloc(pages, sizeof(*generation));
    if (memory == MAP_FAILED || !generation) {
        perror("memhog");
        return 98;
    }
    for (size_t page = 0; page < pages; page++)
        fill(page);
    pulse_serve(&pulse, port);
    run(writes);
}
