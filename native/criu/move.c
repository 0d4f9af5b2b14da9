// SPDX-License-Identifier: GPL-2.0-only
/* Moving memory inside one process. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "overlay.h"

#define CHUNK (1ul << 20)

static bool all_zero(const char *page, size_t len) {
    return page[0] == 0 && !memcmp(page, page + 1, len - 1);
}

/*
 * Copies what is not zero, so that absent pages stay absent. Reads through the kernel: a hole in the source
 * (the remains of a half-done move) is an error then, and not a crash.
 */
static int copy_present(unsigned long from, unsigned long to, unsigned long len) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *buffer = malloc(CHUNK);
    int ret = 0;

    if (!buffer)
        return -1;
    for (unsigned long done = 0; done < len && !ret; done += CHUNK) {
        size_t part = len - done < CHUNK ? len - done : CHUNK;
        struct iovec local = {buffer, part}, remote = {(void *)(from + done), part};

        if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != (ssize_t)part) {
            errno = EFAULT;
            ret = -1;
            break;
        }
        for (size_t at = 0; at < part; at += page)
            if (!all_zero(buffer + at, page))
                memcpy((char *)to + done + at, buffer + at, page);
    }
    free(buffer);
    return ret;
}

int move_pages(unsigned long from, unsigned long to, unsigned long len, bool *copied) {
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;

    *copied = false;
    if (mremap((void *)from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)to) == (void *)to)
        return 0;

    *copied = true;
    if (mmap((void *)to, len, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED)
        return -1;
    if (copy_present(from, to, len))
        return -1;
    munmap((void *)from, len);
    return 0;
}
