// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restore: stage before CRIU reads any image, put the staged memory where CRIU would have read it, hold the
 * tasks until the engine releases them.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>

#include "action-scripts.h"
#include "common/list.h"
#include "cr_options.h"
#include "image.h"
#include "log.h"
#include "mem.h"
#include "pstree.h"
#include "restorer.h"
#include "rst_info.h"
#include "vma.h"

#include "overlay.h"

#undef LOG_PREFIX
#define LOG_PREFIX "pclive: "

int __real_cr_restore_tasks(void);
int __wrap_cr_restore_tasks(void);
int __real_check_img_inventory(bool restore);
int __wrap_check_img_inventory(bool restore);
int __real_prepare_mappings(struct pstree_item *task);
int __wrap_prepare_mappings(struct pstree_item *task);
int __real_prepare_vmas(struct pstree_item *task, struct task_restore_args *args);
int __wrap_prepare_vmas(struct pstree_item *task, struct task_restore_args *args);
void __real_close_image_dir(void);
void __wrap_close_image_dir(void);
int __real_run_scripts(enum script_actions action);
int __wrap_run_scripts(enum script_actions action);

/* Flags that would make CRIU's stand-in for a staged mapping cost memory. */
#define COSTLY_FLAGS (MAP_LOCKED | MAP_POPULATE)

static bool refused;

int __wrap_cr_restore_tasks(void) {
    int ret;

    if (!overlay_wanted())
        return __real_cr_restore_tasks();

    membership_remember();
    if (link_open(PCLO_ROLE_RESTORE) || staging_serve() || stats_open() ||
        link_send_mark("go", realtime_ns(), 0))
        return -1;
    ret = __real_cr_restore_tasks();
    link_close();
    return refused ? -1 : ret;
}

/* The images' own method is what the source used; in a migration it is the shim that locks the network, at
 * both ends. */
int __wrap_check_img_inventory(bool restore) {
    int ret = __real_check_img_inventory(restore);

    if (restore && link_is_open() && shim_has_network())
        opts.network_lock_method = NETWORK_LOCK_SKIP;
    return ret;
}

static bool is_parents_staged(struct pstree_item *task, const struct vma_area *pvma) {
    return task->parent && staging_find((uint32_t)vpid(task->parent), pvma->e->start, pvma->e->end);
}

/*
 * Makes CRIU premap what is staged, from nothing: staged memory is complete, and what the parent staged is
 * not inherited. Returns how many mappings of the task are staged, or -1 after logging.
 */
static long mark_staged(struct pstree_item *task) {
    struct vma_area *vma;
    long staged = 0;

    list_for_each_entry(vma, &rsti(task)->vmas.h, list) {
        bool inherited = vma->pvma && vma->pvma != VMA_COW_ROOT;

        if (inherited && is_parents_staged(task, vma->pvma))
            vma->pvma = VMA_COW_ROOT;
        if (!staging_find((uint32_t)vpid(task), vma->e->start, vma->e->end))
            continue;
        if (!vma_can_be_staged(vma)) {
            pr_err("%lx-%lx cannot be staged (status %x)\n", (unsigned long)vma->e->start,
                   (unsigned long)vma->e->end, vma->e->status);
            return -1;
        }
        vma->pvma = VMA_COW_ROOT;
        staged++;
    }
    if ((size_t)staged == staging_count((uint32_t)vpid(task)))
        return staged;
    pr_err("%zu areas are staged for task %d, the images know %ld of them\n",
           staging_count((uint32_t)vpid(task)), vpid(task), staged);
    return -1;
}

/* Premaps and reads as CRIU does, with stand-ins for staged mappings that take no memory. 0, or not. */
static int premap_cheaply(struct pstree_item *task) {
    struct list_head *vmas = &rsti(task)->vmas.h;
    uint32_t *kept = calloc(rsti(task)->vmas.nr, sizeof(*kept));
    struct vma_area *vma;
    size_t i = 0;
    int ret;

    if (!kept)
        return -1;
    list_for_each_entry(vma, vmas, list) {
        kept[i++] = vma->e->flags;
        if (staging_find((uint32_t)vpid(task), vma->e->start, vma->e->end))
            vma->e->flags = (vma->e->flags & ~COSTLY_FLAGS) | MAP_NORESERVE;
    }
    ret = __real_prepare_mappings(task);
    i = 0;
    list_for_each_entry(vma, vmas, list) vma->e->flags = kept[i++];
    free(kept);
    return ret;
}

int __wrap_prepare_mappings(struct pstree_item *task) {
    long staged;

    if (!staging_in_use() || rsti(task)->vmas.nr == 0)
        return __real_prepare_mappings(task);

    staged = mark_staged(task);
    if (staged < 0)
        return -1;
    if (premap_cheaply(task))
        return -1;
    return staged ? place_mappings(task) : 0;
}

static bool has_staging(struct pstree_item *task) {
    return in_task() && task && staging_count((uint32_t)vpid(task)) > 0;
}

/* All children are forked, and the restorer's own advice is still to come. */
int __wrap_prepare_vmas(struct pstree_item *task, struct task_restore_args *args) {
    if (has_staging(task) && staged_may_fork(task))
        return -1;
    return __real_prepare_vmas(task, args);
}

/* A task's last step before the restorer: no mapping is made any more that could land in a gap. */
void __wrap_close_image_dir(void) {
    if (has_staging(current))
        release_gaps(current);
    __real_close_image_dir();
}

/*
 * CRIU ignores what this script says. But it cannot detach from the dead, and then it cleans up and fails as
 * it should.
 */
static void kill_all(void) {
    struct pstree_item *item;

    refused = true;
    for_each_pstree_item(item) if (item->pid->real > 0) kill(item->pid->real, SIGKILL);
    pr_err("The restore was aborted while held: all its tasks are killed\n");
}

/*
 * Should this process be killed while it holds the tasks, the kernel would let go of them and they would run,
 * beside the container at the source. So from here to the release they die with it. The other options are
 * those that CRIU may have set; they end with the tracing.
 */
static int tie_to_us(void) {
    long options = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD;
    struct pstree_item *item;
    int i;

    for_each_pstree_item(item) {
        if (!task_alive(item))
            continue;
        for (i = 0; i < item->nr_threads; i++) {
            pid_t thread = item->threads[i].real;

            if (ptrace(PTRACE_SETOPTIONS, thread, NULL, options | PTRACE_O_SUSPEND_SECCOMP) &&
                ptrace(PTRACE_SETOPTIONS, thread, NULL, options)) {
                pr_perror("Can't tie thread %d to the restore", thread);
                return -1;
            }
        }
    }
    return 0;
}

/* Whoever fills their memory later must be able to end them, should that fail. */
static int send_held(void) {
    struct pstree_item *item;
    uint32_t *pids;
    size_t count = 0;
    int ret;

    for_each_pstree_item(item) count++;
    pids = calloc(count + 1, sizeof(*pids));
    if (!pids)
        return -1;
    count = 0;
    for_each_pstree_item(item) if (task_alive(item) && item->pid->real > 0) pids[count++] =
        (uint32_t)item->pid->real;
    ret = link_send(PCLO_HELD, 0, pids, count * sizeof(*pids));
    free(pids);
    return ret;
}

static int hold(void) {
    struct pclo_header header;
    void *payload;

    if (tie_to_us() || stats_send_marks() || link_send_mark("held", realtime_ns(), 0) || send_held() ||
        link_receive(&header, &payload, 0))
        return -1;
    free(payload);
    if (header.type == PCLO_RELEASE)
        return 0;
    pr_err("Expected RELEASE, got message %u\n", header.type);
    return -1;
}

int __wrap_run_scripts(enum script_actions action) {
    const bool ours = link_is_open() && !dump_is_ours() && !in_task() && !refused;
    int ret;

    if (action == ACT_POST_DUMP && dump_is_ours() && dump_completed())
        return -1;
    if (ours && action == ACT_PRE_RESUME && hold()) {
        kill_all();
        return -1;
    }
    ret = __real_run_scripts(action);
    /* The tasks run: there is nothing left to abort, whether the engine hears it or not. */
    if (ours && action == ACT_POST_RESUME && !link_send_mark("released", realtime_ns(), 0))
        link_send(PCLO_RELEASED, 0, NULL, 0);
    return ret;
}
