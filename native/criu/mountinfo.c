// SPDX-License-Identifier: GPL-2.0-only
/* Reading /proc/PID/mountinfo. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ahead.h"

static bool parse_mount(const char *line, struct mount_line *mount) {
    const char *dash = strstr(line, " - ");

    return dash &&
           sscanf(line, "%d %d %u:%u %4095s %4095s", &mount->id, &mount->parent, &mount->major, &mount->minor,
                  mount->root, mount->point) == 6 &&
           sscanf(dash, " - %63s %*s %1023s", mount->type, mount->options) == 2;
}

bool each_mount(pid_t pid, bool (*visit)(const struct mount_line *mount, void *data), void *data) {
    struct mount_line *mount = malloc(sizeof(*mount));
    char path[64], *line = NULL;
    size_t room = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/mountinfo", pid);
    file = mount ? fopen(path, "re") : NULL;
    while (file && getline(&line, &room, file) > 0)
        if (parse_mount(line, mount) && !visit(mount, data))
            break;
    free(line);
    free(mount);
    return file && !fclose(file);
}
