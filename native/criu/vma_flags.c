// SPDX-License-Identifier: GPL-2.0-only
/*
 * A BPF program that the kernel calls for every mapping of a task, and that writes down its bounds and flags.
 * Kernels since 6.1 can be asked for one task.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel_types.h"
#include "vma_flags.h"

/* A process with more has other worries; and every loop has an end. */
#define MAX_MAPPINGS (1u << 20)
/* The kernel gives 32 KB at a time, whole records. */
#define PART 2048

static int program = -1;

static int bpf(enum bpf_cmd command, union bpf_attr *attributes) {
    return (int)syscall(SYS_bpf, command, attributes, sizeof(*attributes));
}

#define LOAD(to, from, offset)                                                                               \
    { .code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = (to), .src_reg = (from), .off = (offset) }
#define STORE(to, offset, from)                                                                              \
    { .code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = (to), .src_reg = (from), .off = (offset) }
#define SET(to, value)                                                                                       \
    { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = (to), .imm = (value) }

/* The context is in register 1; the record is made at the end of the stack. After the last mapping there is
 * one more call, with none. */
static int load_program(const struct vma_layout *at) {
    const int16_t record = -(int16_t)sizeof(struct vma_flags);
    const struct bpf_insn code[] = {
        LOAD(BPF_REG_7, BPF_REG_1, at->context_vma),
        {.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = BPF_REG_7, .imm = 0, .off = 12},
        LOAD(BPF_REG_6, BPF_REG_1, at->context_meta),
        LOAD(BPF_REG_1, BPF_REG_6, at->meta_seq),
        LOAD(BPF_REG_2, BPF_REG_7, at->start),
        STORE(BPF_REG_10, record + (int16_t)offsetof(struct vma_flags, start), BPF_REG_2),
        LOAD(BPF_REG_2, BPF_REG_7, at->end),
        STORE(BPF_REG_10, record + (int16_t)offsetof(struct vma_flags, end), BPF_REG_2),
        LOAD(BPF_REG_2, BPF_REG_7, at->flags),
        STORE(BPF_REG_10, record + (int16_t)offsetof(struct vma_flags, flags), BPF_REG_2),
        {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_10},
        {.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_2, .imm = record},
        SET(BPF_REG_3, sizeof(struct vma_flags)),
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_seq_write},
        SET(BPF_REG_0, 0),
        {.code = BPF_JMP | BPF_EXIT},
    };
    union bpf_attr attributes;

    memset(&attributes, 0, sizeof(attributes));
    attributes.prog_type = BPF_PROG_TYPE_TRACING;
    attributes.expected_attach_type = BPF_TRACE_ITER;
    attributes.attach_btf_id = at->iterator;
    attributes.insns = (uintptr_t)code;
    attributes.insn_cnt = sizeof(code) / sizeof(*code);
    attributes.license = (uintptr_t) "GPL";
    return bpf(BPF_PROG_LOAD, &attributes);
}

bool vma_flags_open(void) {
    struct vma_layout layout;

    if (program < 0 && kernel_vma_layout(&layout))
        program = load_program(&layout);
    return program >= 0;
}

/* A file whose reading calls the program for the mappings of that task. */
static int open_iterator(pid_t pid) {
    union bpf_iter_link_info which;
    union bpf_attr attributes;
    int link, iterator;

    memset(&which, 0, sizeof(which));
    which.task.tid = (uint32_t)pid;
    memset(&attributes, 0, sizeof(attributes));
    attributes.link_create.prog_fd = (uint32_t)program;
    attributes.link_create.attach_type = BPF_TRACE_ITER;
    attributes.link_create.iter_info = (uintptr_t)&which;
    attributes.link_create.iter_info_len = sizeof(which);
    link = bpf(BPF_LINK_CREATE, &attributes);
    if (link < 0)
        return -1;
    memset(&attributes, 0, sizeof(attributes));
    attributes.iter_create.link_fd = (uint32_t)link;
    iterator = bpf(BPF_ITER_CREATE, &attributes);
    close(link);
    return iterator;
}

/* One part of the list: 0 at its end, -1 when it cannot be read. */
static ssize_t read_part(int iterator, struct vma_flags *part) {
    ssize_t got;

    do
        got = read(iterator, part, PART * sizeof(*part));
    while (got < 0 && (errno == EINTR || errno == EAGAIN));
    return got < 0 || got % sizeof(*part) ? -1 : got / (ssize_t)sizeof(*part);
}

struct vma_flags *vma_flags_read(pid_t pid, size_t *count) {
    int iterator = open_iterator(pid);
    struct vma_flags *list = NULL, *more;
    ssize_t got = iterator < 0 ? -1 : 1;

    for (*count = 0; got > 0; *count += (size_t)got) {
        more = *count > MAX_MAPPINGS ? NULL : realloc(list, (*count + PART) * sizeof(*list));
        if (!more) {
            got = -1;
            break;
        }
        list = more;
        got = read_part(iterator, list + *count);
        /* Linux 6.18, at least, gives the last of several parts again and again. */
        if (got > 0 && *count && list[*count].start < list[*count - 1].end)
            break;
    }
    if (iterator >= 0)
        close(iterator);
    if (got >= 0)
        return list;
    free(list);
    return NULL;
}
