// SPDX-License-Identifier: GPL-2.0-only
/* What CRIU calls tar for: the contents of tmpfs mounts, which are packed and unpacked in this process
 * instead. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "util.h"

#include "archive.h"
#include "overlay.h"

#undef LOG_PREFIX
#define LOG_PREFIX "pclive: "

int __real_cr_system(int in, int out, int err, char *cmd, char *const argv[], unsigned flags);
int __wrap_cr_system(int in, int out, int err, char *cmd, char *const argv[], unsigned flags);
int __real_cr_system_userns(int in, int out, int err, char *cmd, char *const argv[], unsigned flags,
                            int userns_pid);
int __wrap_cr_system_userns(int in, int out, int err, char *cmd, char *const argv[], unsigned flags,
                            int userns_pid);

/* The argument behind --directory, when this is tar doing `action`; else NULL. */
static const char *directory_of_tar(const char *cmd, char *const argv[], const char *action) {
    const char *directory = NULL;
    bool wanted = false;

    if (!overlay_wanted() || strcmp(cmd, "tar"))
        return NULL;
    for (int i = 1; argv[i]; i++) {
        wanted = wanted || !strcmp(argv[i], action);
        if (!strcmp(argv[i], "--directory"))
            directory = argv[i + 1];
    }
    return wanted ? directory : NULL;
}

/* With a user namespace of its own, the container's ids are to be written as it sees them: tar is made to. */
int __wrap_cr_system_userns(int in, int out, int err, char *cmd, char *const argv[], unsigned flags,
                            int userns_pid) {
    enum archive_result result = ARCHIVE_NOT_OURS;

    if (directory_of_tar(cmd, argv, "--create") && in >= 0 && out >= 0 && userns_pid <= 0)
        result = archive_pack(in, out);
    if (result == ARCHIVE_NOT_OURS)
        return __real_cr_system_userns(in, out, err, cmd, argv, flags, userns_pid);
    if (result == ARCHIVE_FAILED)
        pr_perror("Can't pack a tmpfs");
    return result == ARCHIVE_DONE ? 0 : -1;
}

static enum archive_result unpack_into(int in, const char *path) {
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum archive_result result;

    if (dir < 0)
        return ARCHIVE_NOT_OURS;
    result = archive_unpack(in, dir);
    if (result == ARCHIVE_FAILED)
        pr_perror("Can't unpack into %s", path);
    close(dir);
    return result;
}

int __wrap_cr_system(int in, int out, int err, char *cmd, char *const argv[], unsigned flags) {
    const char *directory = directory_of_tar(cmd, argv, "--extract");
    enum archive_result result = ARCHIVE_NOT_OURS;

    if (directory && in >= 0)
        result = unpack_into(in, directory);
    if (result == ARCHIVE_NOT_OURS)
        return __real_cr_system(in, out, err, cmd, argv, flags);
    return result == ARCHIVE_DONE ? 0 : -1;
}
