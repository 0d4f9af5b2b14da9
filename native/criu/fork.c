// SPDX-License-Identifier: GPL-2.0-only
/*
 * Forks: a window is inherited only by the tasks between the main process and the one whose memory it holds,
 * and no process keeps a window that only its child's subtree needs. A page that stayed shared would be
 * copied at the first write after the restore.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clone-noasan.h"
#include "common/list.h"
#include "log.h"
#include "pstree.h"

#include "overlay.h"

#undef LOG_PREFIX
#define LOG_PREFIX "pclive: "

int __real_clone_noasan(int (*fn)(void *), int flags, void *arg);
int __wrap_clone_noasan(int (*fn)(void *), int flags, void *arg);
int __real_clone3_with_pid_noasan(int (*fn)(void *), void *arg, int flags, int exit_signal, pid_t pid);
int __wrap_clone3_with_pid_noasan(int (*fn)(void *), void *arg, int flags, int exit_signal, pid_t pid);
pid_t __real_fork(void);
pid_t __wrap_fork(void);

/* What CRIU forks a task with: a function, and a structure whose first member is the task. */
struct task_fork {
    int (*fn)(void *);
    void *arg;
};

static bool is_task;

bool in_task(void) {
    return is_task;
}

static bool subtree_has(struct pstree_item *item, uint32_t pid) {
    struct pstree_item *child;

    if ((uint32_t)vpid(item) == pid)
        return true;
    list_for_each_entry(child, &item->children, sibling) if (subtree_has(child, pid)) return true;
    return false;
}

static int advise_window(struct window *window, int advice) {
    if (!madvise((void *)window->base, window->len, advice))
        return 0;
    pr_perror("Can't change who inherits the window at %lx", window->base);
    return -1;
}

static int offer_windows(struct pstree_item *item) {
    struct window *window;

    for (size_t i = 0; (window = staging_window(i)); i++)
        if (window->mapped && subtree_has(item, window->vpid) && advise_window(window, MADV_DOFORK))
            return -1;
    return 0;
}

static int drop_windows(struct pstree_item *item) {
    struct window *window;

    for (size_t i = 0; (window = staging_window(i)); i++)
        if (window->mapped && subtree_has(item, window->vpid) && window_unmap(window))
            return -1;
    return 0;
}

/* In the new task: what was inherited goes no further by accident, what was not is not there. */
static int adopt_windows(struct pstree_item *item) {
    struct window *window;

    for (size_t i = 0; (window = staging_window(i)); i++) {
        if (!window->mapped)
            continue;
        if (!subtree_has(item, window->vpid))
            window->mapped = false;
        else if (advise_window(window, MADV_DONTFORK))
            return -1;
    }
    return 0;
}

static struct pstree_item *item_of(const void *fork_arg) {
    return *(struct pstree_item *const *)fork_arg;
}

static int start_task(void *argument) {
    struct task_fork task = *(struct task_fork *)argument;

    is_task = true;
    link_close();
    stats_forked();
    if (adopt_windows(item_of(task.arg)))
        return 1;
    return task.fn(task.arg);
}

static bool task_exists(uint32_t pid) {
    struct pstree_item *item;

    for_each_pstree_item(item) if ((uint32_t)vpid(item) == pid &&
                                   item->pid->state != TASK_HELPER) return true;
    return false;
}

static int before_fork(struct pstree_item *item) {
    if (item == root_item && !staging_every_task(task_exists)) {
        errno = EINVAL;
        return -1;
    }
    return offer_windows(item);
}

static int after_fork(struct pstree_item *item, int pid, uint64_t began, uint64_t spent) {
    int kept_errno = errno;

    /* Page tables are copied by the fork: that is a price of staging, too. */
    stats_moving(began, spent, 0);
    if (pid >= 0 && drop_windows(item)) {
        kill(pid, SIGKILL);
        return -1;
    }
    errno = kept_errno;
    return pid;
}

int __wrap_clone3_with_pid_noasan(int (*fn)(void *), void *arg, int flags, int exit_signal, pid_t pid) {
    struct task_fork task = {fn, arg};
    struct pstree_item *item = item_of(arg);
    uint64_t began = realtime_ns(), start = monotonic_ns();
    int ret;

    if (!link_is_open() && !is_task)
        return __real_clone3_with_pid_noasan(fn, arg, flags, exit_signal, pid);
    if (before_fork(item))
        return -1;
    ret = __real_clone3_with_pid_noasan(start_task, &task, flags, exit_signal, pid);
    return after_fork(item, ret, began, monotonic_ns() - start);
}

/* Kernels without clone3(set_tid) fork tasks by this one, as do CRIU's helpers, which share memory or are
 * untraced. */
int __wrap_clone_noasan(int (*fn)(void *), int flags, void *arg) {
    struct task_fork task = {fn, arg};
    uint64_t began = realtime_ns(), start = monotonic_ns();
    int ret;

    if ((!link_is_open() && !is_task) || (flags & (CLONE_VM | CLONE_UNTRACED)))
        return __real_clone_noasan(fn, flags, arg);
    if (before_fork(item_of(arg)))
        return -1;
    ret = __real_clone_noasan(start_task, flags, &task);
    return after_fork(item_of(arg), ret, began, monotonic_ns() - start);
}

/* CRIU's daemons must not keep the connection open: its end is how the engine learns of CRIU's. */
pid_t __wrap_fork(void) {
    pid_t pid = __real_fork();

    if (pid == 0)
        link_close();
    return pid;
}
