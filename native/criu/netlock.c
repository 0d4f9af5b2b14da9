// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unlocking the network is most of what CRIU does for a small container: it runs iptables up to six times.
 * When nothing is locked (the image was written by a dump that locked by other means, or none was needed),
 * one question to the kernel shows it.
 */
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cr_options.h"
#include "log.h"
#include "namespaces.h"
#include "net.h"
#include "pstree.h"

#include "overlay.h"

#undef LOG_PREFIX
#define LOG_PREFIX "pclive: "

/* Chains and tables that CRIU locks with begin so, whatever the method. */
#define LOCK_NAME "CRIU"
#define ANSWER_SECONDS 5

void __real_network_unlock(void);
void __wrap_network_unlock(void);

enum locked { UNLOCKED, LOCKED };

/* The older iptables has tables of its own, which netlink does not show: any of them may hold the lock. */
static enum locked by_old_tables(const char *list) {
    char path[64];
    FILE *file;
    int first;

    snprintf(path, sizeof(path), "/proc/%d/net/%s", root_item->pid->real, list);
    file = fopen(path, "re");
    if (!file)
        return UNLOCKED;
    first = fgetc(file);
    fclose(file);
    return first == EOF ? UNLOCKED : LOCKED;
}

static bool names_lock(const struct nlmsghdr *message) {
    const char *at = (const char *)NLMSG_DATA(message) + NLMSG_ALIGN(sizeof(struct nfgenmsg));
    const char *end = (const char *)message + message->nlmsg_len;

    while (end - at >= (ssize_t)sizeof(struct nlattr)) {
        const struct nlattr *attribute = (const struct nlattr *)at;
        int type = attribute->nla_type & NLA_TYPE_MASK;

        if (attribute->nla_len < sizeof(*attribute) || attribute->nla_len > end - at)
            return true; /* not understood */
        if ((type == NFTA_CHAIN_NAME || type == NFTA_CHAIN_TABLE) &&
            !strncmp((const char *)(attribute + 1), LOCK_NAME, strlen(LOCK_NAME)))
            return true;
        at += NLA_ALIGN(attribute->nla_len);
    }
    return false;
}

static int ask_for_chains(int fd) {
    struct {
        struct nlmsghdr head;
        struct nfgenmsg family;
    } request = {
        .head = {.nlmsg_len = sizeof(request),
                 .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .family = {.nfgen_family = NFPROTO_UNSPEC, .version = NFNETLINK_V0},
    };

    return send(fd, &request, sizeof(request), 0) == sizeof(request) ? 0 : -1;
}

static enum locked by_chains(int fd) {
    char buffer[32768];

    for (;;) {
        ssize_t size = recv(fd, buffer, sizeof(buffer), 0);
        struct nlmsghdr *message = (struct nlmsghdr *)buffer;

        if (size <= 0)
            return LOCKED;
        for (; NLMSG_OK(message, size); message = NLMSG_NEXT(message, size)) {
            if (message->nlmsg_type == NLMSG_DONE)
                return UNLOCKED;
            if (message->nlmsg_type == NLMSG_ERROR || names_lock(message))
                return LOCKED;
        }
    }
}

/* LOCKED when in doubt: CRIU then does what it always does. */
static enum locked in_namespace(void) {
    struct timeval limit = {.tv_sec = ANSWER_SECONDS};
    enum locked found = LOCKED;
    int before, fd;

    if (switch_ns(root_item->pid->real, &net_ns_desc, &before))
        return LOCKED;
    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (fd >= 0) {
        if (!setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) && !ask_for_chains(fd))
            found = by_chains(fd);
        close(fd);
    }
    if (restore_ns(before, &net_ns_desc))
        return LOCKED;
    return found;
}

void __wrap_network_unlock(void) {
    if (link_is_open() && (root_ns_mask & CLONE_NEWNET) && opts.network_lock_method != NETWORK_LOCK_SKIP &&
        by_old_tables("ip_tables_names") == UNLOCKED && by_old_tables("ip6_tables_names") == UNLOCKED &&
        in_namespace() == UNLOCKED) {
        pr_info("The network is not locked\n");
        opts.network_lock_method = NETWORK_LOCK_SKIP;
    }
    __real_network_unlock();
}
