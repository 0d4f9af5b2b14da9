// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dump: CRIU mounts every hierarchy of cgroups anew and reads all properties of the container's. That is done
 * here before the freeze, by CRIU itself. CRIU then finds in the pause that it has these cgroups already.
 *
 * The look: their names are compared by CRIU with those that the tasks are in, and cgroups have been made
 * below them since if a folder has got subfolders (its link count tells). Their properties are restored only
 * where runC has not made the cgroup, hence never those of the container's own; with other modes of CRIU
 * nothing is done here.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/list.h"

#include "cgroup.h"
#include "cr_options.h"
#include "kerndat.h"
#include "log.h"
#include "mount.h"
#include "namespaces.h"
#include "parasite.h"
#include "pstree.h"
#include "util.h"

#include "ahead.h"
#include "overlay.h"

#undef LOG_PREFIX
#define LOG_PREFIX "pclive: "

#define MAX_HIERARCHIES 32

int __real_parse_thread_cgroup(int pid, int tid, struct parasite_dump_cgroup_args *args,
                               struct list_head *ctls, unsigned int *count);
int __wrap_parse_thread_cgroup(int pid, int tid, struct parasite_dump_cgroup_args *args,
                               struct list_head *ctls, unsigned int *count);

static int folders[MAX_HIERARCHIES];
static size_t nr_folders;
static bool prepared;

struct search {
    const struct cg_ctl *ctl;
    pid_t pid;
    int folder;
};

/* Whether every controller of the list is among the options of the mount. */
static bool has_controllers(const struct mount_line *mount, const char *list) {
    while (*list) {
        const size_t len = strcspn(list, ",");
        const char *at = mount->options;
        bool found = false;

        for (; *at && !found; at += strcspn(at, ",") + !!at[strcspn(at, ",")])
            found = strcspn(at, ",") == len && !strncmp(at, list, len);
        if (!found)
            return false;
        list += len + (list[len] == ',');
    }
    return true;
}

static bool lists_process(int folder, pid_t pid) {
    int fd = openat(folder, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    bool found = false;
    int listed;

    if (!file)
        return false;
    while (!found && fscanf(file, "%d", &listed) == 1)
        found = listed == pid;
    fclose(file);
    return found;
}

static bool look_into(const struct mount_line *mount, void *data) {
    struct search *search = data;
    const bool unified = !search->ctl->name[0];
    const size_t root = strcmp(mount->root, "/") ? strlen(mount->root) : 0;
    char path[2 * PATH_MAX];

    if (strcmp(mount->type, unified ? "cgroup2" : "cgroup") ||
        (!unified && !has_controllers(mount, search->ctl->name)) ||
        strncmp(search->ctl->path, mount->root, root))
        return true;
    snprintf(path, sizeof(path), "%s/%s", mount->point, search->ctl->path + root);
    search->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (search->folder >= 0 && lists_process(search->folder, search->pid))
        return false;
    if (search->folder >= 0)
        close(search->folder);
    search->folder = -1;
    return true;
}

/* Where only version 1 is in use, the other is mounted nowhere; processes are in it all the same. */
static int look_into_unmounted(const struct search *search) {
    int top, folder;

    if (search->ctl->name[0] || !kdat.has_fsopen)
        return -1;
    top = mount_detached_fs("cgroup2");
    if (top < 0)
        return -1;
    /* The top stays open: that would be the end of a mount, which may take its time. */
    folder =
        openat(top, search->ctl->path[1] ? search->ctl->path + 1 : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return folder >= 0 && lists_process(folder, search->pid) ? folder : -1;
}

static bool has_subfolders(int folder) {
    struct stat st;

    return fstat(folder, &st) || st.st_nlink != 2;
}

/* Opens the folders of all of the process's cgroups. False when one is not to be seen from here, or has
 * others below. */
static bool open_folders(pid_t pid, struct list_head *ctls) {
    struct cg_ctl *ctl;

    list_for_each_entry(ctl, ctls, l) {
        struct search search = {ctl, pid, -1};

        if (nr_folders == MAX_HIERARCHIES || !each_mount(getpid(), look_into, &search))
            return false;
        if (search.folder < 0)
            search.folder = look_into_unmounted(&search);
        if (search.folder < 0)
            return false;
        folders[nr_folders++] = search.folder;
        if (has_subfolders(search.folder))
            return false;
    }
    return nr_folders > 0;
}

static bool same_namespace(pid_t pid) {
    struct stat ours, theirs;
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/ns/cgroup", pid);
    return !stat("/proc/self/ns/cgroup", &ours) && !stat(path, &theirs) && ours.st_ino == theirs.st_ino;
}

/* What the parasite would read inside: the cgroups as a container with a namespace of its own sees them. */
static bool read_inside(pid_t pid, struct parasite_dump_cgroup_args *args) {
    char path[64];
    int before, fd;
    ssize_t len = -1;

    snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
    if (switch_ns(pid, &cgroup_ns_desc, &before))
        return false;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        len = read(fd, args->contents, sizeof(args->contents) - 1);
        close(fd);
    }
    if (restore_ns(before, &cgroup_ns_desc) || len <= 0 || len == sizeof(args->contents) - 1)
        return false;
    args->contents[len] = 0;
    return true;
}

int cgroups_prepare(pid_t init) {
    struct parasite_dump_cgroup_args *args = NULL;
    unsigned int count = 0;
    bool possible;
    uint32_t id;
    LIST_HEAD(ctls);
    int ret = 0;

    if (opts.manage_cgroups != CG_MODE_SOFT || __real_parse_thread_cgroup(init, init, NULL, &ctls, &count))
        return 0;
    possible = open_folders(init, &ctls);
    put_ctls(&ctls);
    if (possible && !same_namespace(init)) {
        args = calloc(1, sizeof(*args));
        possible = args && read_inside(init, args);
    }
    if (possible) {
        ret = dump_thread_cgroup(root_item, &id, args, -1);
        prepared = !ret;
    }
    pr_info("Cgroups are %scollected ahead\n", prepared ? "" : "not ");
    free(args);
    return ret;
}

int __wrap_parse_thread_cgroup(int pid, int tid, struct parasite_dump_cgroup_args *args,
                               struct list_head *ctls, unsigned int *count) {
    for (size_t i = 0; prepared && i < nr_folders; i++)
        if (has_subfolders(folders[i])) {
            pr_err("The container has made its first own cgroup during the dump: try again\n");
            return -1;
        }
    return __real_parse_thread_cgroup(pid, tid, args, ctls, count);
}
