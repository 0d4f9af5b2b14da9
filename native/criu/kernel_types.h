/* SPDX-License-Identifier: GPL-2.0-only */
/* What the running kernel says about its own types, in /sys/kernel/btf/vmlinux (the BPF Type Format). */
#ifndef PCLIVE_KERNEL_TYPES_H
#define PCLIVE_KERNEL_TYPES_H

#include <stdbool.h>
#include <stdint.h>

/* Where the parts of a virtual memory area are, and the function that tells a BPF program of each of them. */
struct vma_layout {
    uint32_t iterator;                 /* type id of bpf_iter_task_vma */
    int16_t start, end, flags;         /* offsets in struct vm_area_struct, bytes */
    int16_t context_meta, context_vma; /* in struct bpf_iter__task_vma */
    int16_t meta_seq;                  /* in struct bpf_iter_meta */
};

/* False when the kernel does not tell, or has no such thing. */
bool kernel_vma_layout(struct vma_layout *layout);

#endif /* PCLIVE_KERNEL_TYPES_H */
