/* SPDX-License-Identifier: Apache-2.0 */
/*
 * churn: a program that knows every byte of its memory while it maps, unmaps, grows, shrinks, moves,
 * protects, discards, maps again at the same address and forks, with several threads.
 *
 *   churn [--memory MIB] [--threads N] [--rate OPERATIONS_PER_SECOND] [--port PORT] [--seed N] [--no-fork]
 *
 * Each thread checks its own memory all the time. A wrong byte: one line beginning with BAD on stdout and
 * stderr, exit status 99. Over TCP, the line VERIFY checks everything and answers "OK <regions> <bytes>
 * <operations>".
 */
#include "churn.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Operations between two forks of a thread. */
#define FORK_EVERY 400

static struct options options = {
    .megabytes = 256, .threads = 4, .rate = 2000, .port = 7000, .seed = 1, .fork = true};

void wrong(const struct worker *w, const struct region *r, size_t page, size_t word, uint64_t is,
           uint64_t must) {
    char line[256];
    int n = snprintf(line, sizeof(line),
                     "BAD pid %d thread %u region %u at %p of %zu pages: page %zu word %zu generation %u is "
                     "%016llx, not %016llx\n",
                     getpid(), w->index, r->serial, (void *)r->base, r->pages, page, word,
                     r->generation[page], (unsigned long long)is, (unsigned long long)must);

    for (int fd = 1; fd <= 2; fd++)
        if (write(fd, line, (size_t)n) < 0)
            continue;
    _exit(99);
}

void die(const char *what) {
    dprintf(2, "churn: %s: %s\n", what, strerror(errno));
    _exit(98);
}

static void *work(void *argument) {
    struct worker *w = argument;
    long ns = 1000000000l / (long)(options.rate / options.threads + 1);
    struct timespec pause = {.tv_sec = ns / 1000000000l, .tv_nsec = ns % 1000000000l};

    for (;;) {
        pthread_mutex_lock(&w->lock);
        do_operation(w);
        reap_children(w);
        if (options.fork && w->operations % FORK_EVERY == 0)
            maybe_fork(w);
        pthread_mutex_unlock(&w->lock);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static unsigned long number(const char *text, unsigned long low, unsigned long high) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (*text == '\0' || *end != '\0' || value < low || value > high) {
        fprintf(stderr, "churn: \"%s\" is not a number from %lu to %lu\n", text, low, high);
        exit(2);
    }
    return value;
}

static void parse(int argc, char **argv) {
    static const struct option names[] = {
        {"memory", required_argument, NULL, 'm'},
        {"threads", required_argument, NULL, 't'},
        {"rate", required_argument, NULL, 'r'},
        {"port", required_argument, NULL, 'p'},
        {"seed", required_argument, NULL, 's'},
        {"no-fork", no_argument, NULL, 'n'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 'm':
            options.megabytes = number(optarg, 1, 1 << 20);
            break;
        case 't':
            options.threads = (unsigned int)number(optarg, 1, 64);
            break;
        case 'r':
            options.rate = (unsigned int)number(optarg, 1, 1000000);
            break;
        case 'p':
            options.port = (unsigned int)number(optarg, 1, 65535);
            break;
        case 's':
            options.seed = number(optarg, 0, ~0ul);
            break;
        case 'n':
            options.fork = false;
            break;
        default:
            fprintf(
                stderr,
                "usage: churn [--memory MIB] [--threads N] [--rate N] [--port N] [--seed N] [--no-fork]\n");
            exit(2);
        }
    }
}

int main(int argc, char **argv) {
    struct worker *workers;

    parse(argc, argv);
    workers = calloc(options.threads, sizeof(*workers));
    if (!workers)
        die("calloc");
    for (unsigned int t = 0; t < options.threads; t++) {
        struct worker *w = &workers[t];

        w->index = t;
        w->random = options.seed * 1000003u + t;
        w->budget = (options.megabytes << 20) / PAGE / options.threads;
        pthread_mutex_init(&w->lock, NULL);
        if (pthread_create(&w->thread, NULL, work, w))
            die("pthread_create");
    }
    serve(workers, &options);
}
