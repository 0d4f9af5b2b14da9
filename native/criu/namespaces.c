// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is in the UTS, IPC and network namespaces. CRIU forks a process for each, which enters it and ends in
 * it, and mounts a sysfs in a network namespace even if it is external and only its name is dumped. Here this
 * process enters them one by one. Whatever is not as simple is left to CRIU.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "image.h"
#include "imgset.h"
#include "ipc_ns.h"
#include "log.h"
#include "namespaces.h"
#include "net.h"
#include "protobuf.h"
#include "pstree.h"
#include "uts_ns.h"

#include "images/netdev.pb-c.h"
#include "overlay.h"

#undef LOG_PREFIX
#define LOG_PREFIX "pclive: "

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

#define CONNTRACK_COUNT "/proc/sys/net/netfilter/nf_conntrack_count"

int __real_dump_namespaces(struct pstree_item *item, unsigned int flags);
int __wrap_dump_namespaces(struct pstree_item *item, unsigned int flags);

static bool is_dumped(const struct ns_id *ns) {
    return ns->type != NS_CRIU &&
           !(ns->nd->cflag & (CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWCGROUP));
}

static bool is_simple(const struct ns_id *ns) {
    if (ns->nd->cflag == CLONE_NEWNET)
        return ns->ext_key;
    return ns->nd->cflag == CLONE_NEWUTS || ns->nd->cflag == CLONE_NEWIPC;
}

/* Inside the namespace: 1 when the kernel tracks connections of it, 0 when it has none, -1 when it does not
 * say. */
static int tracks_connections(void) {
    int fd = open(CONNTRACK_COUNT, O_RDONLY | O_CLOEXEC);
    char text[16] = "";
    ssize_t len;

    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    len = read(fd, text, sizeof(text) - 1);
    close(fd);
    return len > 0 ? atoi(text) != 0 : -1;
}

static int dump_external_net(const struct ns_id *ns) {
    struct cr_imgset *images = cr_imgset_open(ns->id, NETNS, O_DUMP);
    NetnsEntry entry = NETNS_ENTRY__INIT;
    int ret;

    if (!images)
        return -1;
    entry.ext_key = ns->ext_key;
    ret = pb_write_one(img_from_set(images, CR_FD_NETNS), &entry, PB_NETNS);
    close_cr_imgset(&images);
    return ret;
}

static int dump_inside(const struct ns_id *ns) {
    return ns->nd->cflag == CLONE_NEWUTS ? dump_uts_ns((int)ns->id) : dump_ipc_ns((int)ns->id);
}

static int dump_simple(const struct ns_id *ns) {
    int before, ret;

    if (ns->nd->cflag == CLONE_NEWNET)
        return dump_external_net(ns);
    if (switch_ns(ns->ns_pid, ns->nd, &before))
        return -1;
    ret = dump_inside(ns);
    return restore_ns(before, ns->nd) || ret ? -1 : 0;
}

/* Connections that the kernel tracks are dumped by CRIU even if the namespace is external. */
static bool is_quiet(const struct ns_id *ns) {
    int before, tracks;

    if (ns->nd->cflag != CLONE_NEWNET)
        return true;
    if (switch_ns(ns->ns_pid, ns->nd, &before))
        return false;
    tracks = tracks_connections();
    if (restore_ns(before, ns->nd))
        exit(1); /* nowhere to go back to */
    return tracks == 0;
}

int __wrap_dump_namespaces(struct pstree_item *item, unsigned int flags) {
    bool simple = dump_is_ours() && !(flags & (CLONE_NEWUSER | CLONE_NEWTIME)) &&
                  (!(flags & CLONE_NEWPID) || item->pid->ns[0].virt == INIT_PID);
    struct ns_id *ns;

    for (ns = ns_ids; ns && simple; ns = ns->next)
        simple = !is_dumped(ns) || (is_simple(ns) && is_quiet(ns));
    if (!simple)
        return __real_dump_namespaces(item, flags);
    for (ns = ns_ids; ns; ns = ns->next)
        if (is_dumped(ns) && dump_simple(ns))
            return -1;
    pr_info("Namespaces are dumped\n");
    return 0;
}
