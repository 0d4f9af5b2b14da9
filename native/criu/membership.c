// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restore: runC puts CRIU into the container's cgroups, and tasks are born where their parents are; still
 * CRIU moves the first of them into each. To move a process waits for the whole kernel, though it is there
 * already.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "namespaces.h"

#include "overlay.h"

#undef LOG_PREFIX
#define LOG_PREFIX "pclive: "

#define MAX_MEMBERSHIPS 32

int __real___userns_call(const char *name, uns_call_t call, int flags, void *arg, size_t size, int fd);
int __wrap___userns_call(const char *name, uns_call_t call, int flags, void *arg, size_t size, int fd);

/* As CRIU names what it would write to: "blkio//container/cgroup.procs". */
static char *memberships[MAX_MEMBERSHIPS];
static size_t nr_memberships;

static void add_membership(char *line) {
    char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
    const char *name;

    if (!path || nr_memberships == MAX_MEMBERSHIPS)
        return;
    *path++ = 0;
    path[strcspn(path, "\n")] = 0;
    name = controllers + 1;
    if (!strncmp(name, "name=", 5))
        name += 5;
    if (asprintf(&memberships[nr_memberships], "%s/%s/cgroup.procs", *name ? name : "unified", path) > 0)
        nr_memberships++;
}

void membership_remember(void) {
    FILE *file = fopen("/proc/self/cgroup", "re");
    char *line = NULL;
    size_t room = 0;

    while (file && getline(&line, &room, file) > 0)
        add_membership(line);
    free(line);
    if (file)
        fclose(file);
}

static bool is_member(const char *procs) {
    for (size_t i = 0; i < nr_memberships; i++)
        if (!strcmp(memberships[i], procs))
            return true;
    return false;
}

int __wrap___userns_call(const char *name, uns_call_t call, int flags, void *arg, size_t size, int fd) {
    if (!strcmp(name, "userns_move")) {
        if (is_member(arg))
            return 0;
        /* It, and what it will fork, is elsewhere now. */
        nr_memberships = 0;
    }
    return __real___userns_call(name, call, flags, arg, size, fd);
}
