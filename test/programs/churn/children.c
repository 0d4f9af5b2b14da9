/* SPDX-License-Identifier: Apache-2.0 */
/* Children inherit memory, change some of it for themselves, and check both for a while. */
#include "churn.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void check_all(const struct worker *w) {
    for (size_t i = 0; i < MAX_REGIONS; i++)
        if (w->regions[i].base)
            check_protected(w, &w->regions[i]);
}

/*
 * Runs in the child. Only the forking thread's regions are in a known state; only calls that are safe after a
 * fork in a program with threads are made.
 */
static _Noreturn void live(struct worker *w) {
    unsigned int checks = 2 + next_random(&w->random) % 20;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    check_all(w);
    for (size_t i = 0; i < MAX_REGIONS; i += 3) {
        struct region *r = &w->regions[i];

        if (r->base && (r->prot & 2 /* PROT_WRITE */))
            for (size_t page = 0; page < r->pages; page += 7)
                fill_page(w, r, page, ++w->next_generation);
    }
    while (checks--) {
        struct timespec pause = {.tv_nsec = 200 * 1000 * 1000};

        nanosleep(&pause, NULL);
        check_all(w);
    }
    _exit(0);
}

void maybe_fork(struct worker *w) {
    for (size_t i = 0; i < MAX_CHILDREN; i++) {
        pid_t pid;

        if (w->children[i])
            continue;
        pid = fork();
        if (pid < 0)
            die("fork");
        if (pid == 0)
            live(w);
        w->children[i] = pid;
        return;
    }
}

void reap_children(struct worker *w) {
    for (size_t i = 0; i < MAX_CHILDREN; i++) {
        int status;

        if (!w->children[i] || waitpid(w->children[i], &status, WNOHANG) != w->children[i])
            continue;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            printf("BAD child %d of thread %u ended with status 0x%x\n", w->children[i], w->index, status);
            fflush(stdout);
            _exit(99);
        }
        w->children[i] = 0;
    }
}
