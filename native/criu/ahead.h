/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a dump does before the container is frozen, so that the pause need not wait for it. To mount cgroups,
 * to copy mounts and to end namespaces takes locks of the whole kernel: on a busy host each may take a tenth
 * of a second.
 *
 * Nothing of it is believed without a look in the pause; each part says how its look is enough.
 */
#ifndef PCLIVE_AHEAD_H
#define PCLIVE_AHEAD_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

/* One line of mountinfo, as far as it matters here; blanks in paths are octal. */
struct mount_line {
    int id, parent;
    unsigned int major, minor;
    char root[PATH_MAX], point[PATH_MAX], type[64], options[1024];
};

/* Calls visit for every mount that the process sees, until it says no. False when they cannot be read. */
bool each_mount(pid_t pid, bool (*visit)(const struct mount_line *mount, void *data), void *data);

/* smaps.c: what the pause reads instead of smaps. */
void smaps_prepare(void);
/* trees.c, cgroups.c: while the container runs. What cannot be done is left to CRIU in the pause. */
void trees_prepare(pid_t init);
/* 0, or -1 after logging. */
int cgroups_prepare(pid_t init);

#endif /* PCLIVE_AHEAD_H */
