/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that would notice if something were not put back: vector registers, interrupted system calls,
 * signal masks. It ends with 76 or more when one of them does. With an argument it
 * also reserves a terabyte, as databases do: CRIU's parasite then has gigabytes of room for its arguments.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#define WAITERS 6
#define RESERVED (1ul << 40)

enum { NO_RESERVE = 76, WRONG_VECTOR, WRONG_SLEEP, WRONG_SELECT, WRONG_MASK };

typedef double vector __attribute__((vector_size(16)));

static void *compute(void *unused) {
    vector first, now, factor = {1.000001, 0.999999};

    for (int round = 0;; round++) {
        struct timespec rest = {.tv_nsec = 200000};

        now = (vector){1, 2};
        for (int i = 0; i < 50000; i++) {
            now = now * factor;
            __asm__ volatile("" ::"x"(now));
        }
        if (round == 0)
            first = now;
        if (memcmp(&first, &now, sizeof(now)))
            _exit(WRONG_VECTOR);
        nanosleep(&rest, NULL);
    }
    return unused;
}

static void *rest(void *unused) {
    for (;;) {
        struct timespec time = {.tv_nsec = 3000000};

        if (nanosleep(&time, NULL) && errno != EINTR)
            _exit(WRONG_SLEEP);
    }
    return unused;
}

static void *wait_often(void *unused) {
    for (;;) {
        struct timeval time = {.tv_usec = 2000};
        sigset_t mask;

        if (select(0, NULL, NULL, NULL, &time) < 0 && errno != EINTR)
            _exit(WRONG_SELECT);
        pthread_sigmask(SIG_BLOCK, NULL, &mask);
        if (!sigismember(&mask, SIGUSR2) || sigismember(&mask, SIGTERM))
            _exit(WRONG_MASK);
    }
    return unused;
}

int main(int argc, char **argv) {
    pthread_t thread;
    sigset_t mask;

    (void)argv;
    if (argc > 1 && mmap(NULL, RESERVED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                         -1, 0) == MAP_FAILED)
        _exit(NO_RESERVE);
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &mask, NULL);
    for (int i = 0; i < WAITERS; i++) {
        pthread_create(&thread, NULL, wait_often, NULL);
        pthread_create(&thread, NULL, rest, NULL);
    }
    compute(NULL);
}
