/* SPDX-License-Identifier: GPL-2.0-only */
/* The flags of a task's mappings, without a walk of its page tables. */
#ifndef PCLIVE_VMA_FLAGS_H
#define PCLIVE_VMA_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct vma_flags {
    uint64_t start, end;
    uint64_t flags; /* the kernel's VM_* */
};

/* False when this kernel has no such means; it then stays so. Takes some ten milliseconds. */
bool vma_flags_open(void);

/* All mappings in address order (the page of vsyscall is none), allocated. NULL: they cannot be read. */
struct vma_flags *vma_flags_read(pid_t pid, size_t *count);

#endif /* PCLIVE_VMA_FLAGS_H */
