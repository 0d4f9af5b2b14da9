// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copies of mounts. To see what is in a tmpfs below the mounts that lie on it, CRIU copies the mount inside
 * the container's namespace, in a folder that it makes in the container's files, and takes both away again.
 * Here the copy is made ahead and in no folder. While it is open the kernel gives its device number to no
 * other file system, so in the pause the number and the root say that it is the same.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "int.h"
#include "log.h"
#include "mount.h"
#include "namespaces.h"
#include "proc_parse.h"
#include "util.h"

#include "ahead.h"
#include "overlay.h"

#undef LOG_PREFIX
#define LOG_PREFIX "pclive: "

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif
#ifndef OPEN_TREE_CLOEXEC
#define OPEN_TREE_CLOEXEC O_CLOEXEC
#endif

#define MAX_TREES 16

int __real_open_mountpoint(struct mount_info *pm);
int __wrap_open_mountpoint(struct mount_info *pm);

static struct tree {
    int fd;
    dev_t device;
} trees[MAX_TREES];
static size_t nr_trees;

struct wanted {
    struct mount_line of[MAX_TREES];
    bool has_child[MAX_TREES];
    size_t count;
};

static bool want_tmpfs(const struct mount_line *mount, void *data) {
    struct wanted *wanted = data;

    for (size_t i = 0; i < wanted->count; i++)
        if (wanted->of[i].id == mount->parent)
            wanted->has_child[i] = true;
    if (wanted->count < MAX_TREES && !strcmp(mount->type, "tmpfs") && !strcmp(mount->root, "/") &&
        !strchr(mount->point, '\\'))
        wanted->of[wanted->count++] = *mount;
    return true;
}

/*
 * In the container's mount namespace. The descriptor of the copy itself is not closed before CRIU ends: that
 * would be what is to be avoided, the end of a mount.
 */
static void copy_tree(const struct mount_line *mount) {
    int point = open(mount->point, O_PATH | O_DIRECTORY | O_CLOEXEC), copy, id;
    struct stat st;

    if (point < 0)
        return;
    /* Another mount may lie on this one. */
    if (!get_fd_mntid(point, &id) && id == mount->id) {
        copy = (int)syscall(SYS_open_tree, point, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
        if (copy >= 0) {
            int fd = openat(copy, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

            if (fd >= 0 && !fstat(fd, &st) && st.st_dev == makedev(mount->major, mount->minor))
                trees[nr_trees++] = (struct tree){fd, st.st_dev};
        }
    }
    close(point);
}

void trees_prepare(pid_t init) {
    struct wanted *wanted = calloc(1, sizeof(*wanted));
    int before = -1, folder = -1;

    if (wanted && each_mount(init, want_tmpfs, wanted) && !switch_mnt_ns(init, &before, &folder)) {
        for (size_t i = 0; i < wanted->count; i++)
            if (wanted->has_child[i])
                copy_tree(&wanted->of[i]);
        if (restore_mnt_ns(before, &folder))
            pr_err("Can't come back from the container's mounts\n");
    }
    pr_info("Copied %zu mounts ahead\n", nr_trees);
    free(wanted);
}

int __wrap_open_mountpoint(struct mount_info *pm) {
    if (dump_is_ours() && !strcmp(pm->root, "/"))
        for (size_t i = 0; i < nr_trees; i++)
            if (trees[i].device == kdev_to_odev(pm->s_dev))
                return fcntl(trees[i].fd, F_DUPFD_CLOEXEC, 3);
    return __real_open_mountpoint(pm);
}
