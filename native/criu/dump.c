// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dump: wait until the container is frozen, then leave the pages of the mappings that the engine sends out of
 * CRIU's page dump. The mappings themselves stay in the images. Tell the engine as soon as the images are
 * complete, for then they can travel while CRIU and runC tidy up.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "common/list.h"
#include "cr_options.h"
#include "crtools.h"
#include "log.h"
#include "mem.h"
#include "pstree.h"
#include "vma.h"

#include "ahead.h"
#include "overlay.h"

#undef LOG_PREFIX
#define LOG_PREFIX "pclive: "

/* The container is frozen while the engine answers: it knows the answer already. */
#define HANDLED_SECONDS 30

int __real_cr_dump_tasks(pid_t pid);
int __wrap_cr_dump_tasks(pid_t pid);
int __real_collect_pstree(void);
int __wrap_collect_pstree(void);
int __real_write_img_inventory(InventoryEntry *he);
int __wrap_write_img_inventory(InventoryEntry *he);
int __real_parasite_dump_pages_seized(struct pstree_item *item, struct vm_area_list *vmas,
                                      struct mem_dump_ctl *mdc, struct parasite_ctl *ctl);
int __wrap_parasite_dump_pages_seized(struct pstree_item *item, struct vm_area_list *vmas,
                                      struct mem_dump_ctl *mdc, struct parasite_ctl *ctl);

static bool dumping, hold_end;

bool dump_is_ours(void) {
    return dumping;
}

int __wrap_cr_dump_tasks(pid_t pid) {
    int ret;

    if (!overlay_wanted())
        return __real_cr_dump_tasks(pid);

    dumping = true;
    ret = __real_cr_dump_tasks(pid);
    /* No task is traced any more, whatever became of the dump. */
    if (link_is_open())
        link_send(PCLO_LEFT, 0, NULL, 0);
    link_close();
    return ret;
}

static int wait_for_go(void) {
    struct pclo_header header;
    const unsigned int lock_method = opts.network_lock_method;
    void *payload;

    /* In a migration the shim locks the network, for longer than CRIU lives. And a dump that ends here has
     * locked nothing. */
    opts.network_lock_method = NETWORK_LOCK_SKIP;
    if (link_receive(&header, &payload, 0))
        return -1;
    free(payload);
    if (header.type != PCLO_DUMP_GO) {
        pr_err("Expected DUMP_GO, got message %u\n", header.type);
        return -1;
    }
    if (header.arg & PCLO_LOCK_NETWORK)
        opts.network_lock_method = lock_method;
    hold_end = header.arg & PCLO_HOLD_END;
    return 0;
}

int dump_completed(void) {
    struct pclo_header header;
    void *payload;

    if (link_send(PCLO_DUMPED, 0, NULL, 0))
        return -1;
    if (!hold_end)
        return 0;
    if (link_receive(&header, &payload, 0))
        return -1;
    free(payload);
    if (header.type == PCLO_DUMP_END)
        return 0;
    pr_err("Expected DUMP_END, got message %u\n", header.type);
    return -1;
}

/* It was made before the method was known. */
int __wrap_write_img_inventory(InventoryEntry *he) {
    if (dump_is_ours())
        he->network_lock_method = opts.network_lock_method;
    return __real_write_img_inventory(he);
}

/* The first look at any task. What comes before it is about CRIU itself. All that can be done while the
 * container runs is done now. */
int __wrap_collect_pstree(void) {
    int ret;

    if (!dump_is_ours())
        return __real_collect_pstree();
    trees_prepare(root_item->pid->real);
    smaps_prepare();
    if (cgroups_prepare(root_item->pid->real) || link_open(PCLO_ROLE_DUMP) || wait_for_go())
        return -1;
    ret = __real_collect_pstree();
    return ret ? ret : link_send_mark("seized", realtime_ns(), 0);
}

/* CRIU lists guard ranges after all mappings; they hold no pages. 4.1.1 knows no such thing. */
static bool is_listed(const struct vma_area *vma) {
#ifdef VMA_AREA_GUARD
    return !vma_area_is(vma, VMA_AREA_GUARD);
#else
    return true;
#endif
}

static void *describe_task(struct pstree_item *item, struct vm_area_list *vmas, size_t *len) {
    struct vma_area *vma;
    struct pclo_task *task;
    struct pclo_vma *out;
    uint32_t count = 0;

    list_for_each_entry(vma, &vmas->h, list) count += is_listed(vma);

    *len = sizeof(*task) + count * sizeof(*out);
    task = calloc(1, *len);
    if (!task)
        return NULL;
    task->real_pid = (uint32_t)item->pid->real;
    task->vpid = (uint32_t)vpid(item);
    task->count = count;
    out = (struct pclo_vma *)(task + 1);
    list_for_each_entry(vma, &vmas->h, list) {
        if (!is_listed(vma))
            continue;
        out->start = vma->e->start;
        out->end = vma->e->end;
        out->prot = vma->e->prot;
        out->flags = vma->e->flags;
        out->status = vma->e->status;
        out++;
    }
    return task;
}

/* Asks which mappings the engine sends. One byte for each listed mapping, allocated; NULL after logging. */
static uint8_t *ask_handled(struct pstree_item *item, struct vm_area_list *vmas) {
    struct pclo_header header;
    struct pclo_task *task;
    void *handled = NULL;
    uint32_t count;
    size_t len;
    int ret;

    task = describe_task(item, vmas, &len);
    if (!task) {
        pr_err("No memory to describe %zu bytes of mappings\n", len);
        return NULL;
    }
    count = task->count;
    ret = link_send(PCLO_TASK_VMAS, 0, task, len);
    free(task);
    if (ret || link_receive(&header, &handled, HANDLED_SECONDS))
        return NULL;
    if (header.type != PCLO_HANDLED || header.length != count) {
        pr_err("Bad answer %u of %u bytes for %u mappings\n", header.type, header.length, count);
        free(handled);
        return NULL;
    }
    return handled;
}

/*
 * Splits the list: `all` gets every mapping in its order, and the list keeps what CRIU is to dump. The
 * counters of the list stay: the page dump uses them as upper bounds only.
 */
static int hide_handled(struct vm_area_list *vmas, const uint8_t *handled, struct vma_area **all,
                        size_t *count) {
    struct vma_area *vma, *next;
    size_t hidden = 0, listed = 0;
    int ret = 0;

    *count = 0;
    list_for_each_entry_safe(vma, next, &vmas->h, list) {
        all[(*count)++] = vma;
        if (!is_listed(vma) || !handled[listed++])
            continue;
        if (!vma_can_be_staged(vma)) {
            pr_err("The engine cannot handle %lx-%lx (status %x)\n", (unsigned long)vma->e->start,
                   (unsigned long)vma->e->end, vma->e->status);
            ret = -1;
        }
        list_del(&vma->list);
        hidden++;
    }
    pr_info("The engine handles %zu of %zu mappings\n", hidden, *count);
    return ret;
}

static void show_again(struct vm_area_list *vmas, struct vma_area **all, size_t count) {
    INIT_LIST_HEAD(&vmas->h);
    for (size_t i = 0; i < count; i++)
        list_add_tail(&all[i]->list, &vmas->h);
}

static size_t length_of(struct vm_area_list *vmas) {
    struct vma_area *vma;
    size_t count = 0;

    list_for_each_entry(vma, &vmas->h, list) count++;
    return count;
}

int __wrap_parasite_dump_pages_seized(struct pstree_item *item, struct vm_area_list *vmas,
                                      struct mem_dump_ctl *mdc, struct parasite_ctl *ctl) {
    struct vma_area **all;
    uint8_t *handled;
    size_t count;
    int ret;

    if (!dump_is_ours())
        return __real_parasite_dump_pages_seized(item, vmas, mdc, ctl);

    handled = ask_handled(item, vmas);
    if (!handled)
        return -1;
    all = calloc(length_of(vmas), sizeof(struct vma_area *));
    if (!all) {
        free(handled);
        return -1;
    }

    ret = hide_handled(vmas, handled, all, &count);
    if (!ret)
        ret = __real_parasite_dump_pages_seized(item, vmas, mdc, ctl);
    show_again(vmas, all, count);
    free(all);
    free(handled);
    return ret;
}
