// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lazy staging: windows that stay empty. The engine registers them with a userfaultfd of the main process and
 * fills pages when they are wanted, also after the restore. The kernel tells it of forks and moves, so that
 * the registration follows each area into its task and to its final address.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"

#include "overlay.h"

#undef LOG_PREFIX
#define LOG_PREFIX "pclive: "

static int lazy_fd = -1;

int lazy_serve(void) {
    struct pclo_lazy_at at = {};

    if (lazy_fd < 0)
        lazy_fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    if (lazy_fd < 0)
        return link_send_error(errno, "Can't open a userfaultfd");
    at.fd = lazy_fd;
    return link_send(PCLO_LAZY_AT, 0, &at, sizeof(at));
}

/* The engine has its own by now. Tasks must not keep one: they could fill their memory themselves. */
void lazy_close(void) {
    if (lazy_fd >= 0)
        close(lazy_fd);
    lazy_fd = -1;
}
