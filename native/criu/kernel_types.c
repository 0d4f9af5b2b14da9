// SPDX-License-Identifier: GPL-2.0-only
/* Reading the kernel's own types: a table of records of varying length, and one of names. */
#include <fcntl.h>
#include <linux/btf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel_types.h"

#define TYPES_FILE "/sys/kernel/btf/vmlinux"
/* Some megabytes everywhere. */
#define MAX_FILE (256u << 20)
/* Anonymous structures and unions inside each other. */
#define MAX_DEPTH 8

struct types {
    char *file;
    const char *names;
    uint32_t names_len;
    const struct btf_type **of; /* by id; 0 is void */
    uint32_t count;
};

static char *read_whole(const char *path, size_t *len) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    char *text = NULL;
    ssize_t got = 1;

    *len = 0;
    if (fd >= 0 && !fstat(fd, &st) && st.st_size > 0 && st.st_size < MAX_FILE)
        text = malloc((size_t)st.st_size);
    while (text && got > 0 && *len < (size_t)st.st_size) {
        got = read(fd, text + *len, (size_t)st.st_size - *len);
        if (got > 0)
            *len += (size_t)got;
    }
    if (fd >= 0)
        close(fd);
    return text;
}

/* Bytes after a record's head; -1 for a kind that is not known, whose length nobody can tell. */
static ssize_t tail_of(const struct btf_type *type) {
    size_t members = BTF_INFO_VLEN(type->info);

    switch (BTF_INFO_KIND(type->info)) {
    case BTF_KIND_PTR:
    case BTF_KIND_FWD:
    case BTF_KIND_TYPEDEF:
    case BTF_KIND_VOLATILE:
    case BTF_KIND_CONST:
    case BTF_KIND_RESTRICT:
    case BTF_KIND_FUNC:
    case BTF_KIND_FLOAT:
    case 18: /* BTF_KIND_TYPE_TAG */
        return 0;
    case BTF_KIND_INT:
    case BTF_KIND_VAR:
    case 17: /* BTF_KIND_DECL_TAG */
        return sizeof(uint32_t);
    case BTF_KIND_ARRAY:
        return sizeof(struct btf_array);
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
        return (ssize_t)(members * sizeof(struct btf_member));
    case BTF_KIND_ENUM:
        return (ssize_t)(members * sizeof(struct btf_enum));
    case BTF_KIND_FUNC_PROTO:
        return (ssize_t)(members * sizeof(struct btf_param));
    case BTF_KIND_DATASEC:
        return (ssize_t)(members * sizeof(struct btf_var_secinfo));
    case 19: /* BTF_KIND_ENUM64 */
        return (ssize_t)(members * 3 * sizeof(uint32_t));
    default:
        return -1;
    }
}

static bool index_types(struct types *types, const char *at, const char *end) {
    types->of = malloc(sizeof(*types->of) * ((size_t)(end - at) / sizeof(struct btf_type) + 1));
    if (!types->of)
        return false;
    types->of[0] = NULL;
    for (types->count = 1; at + sizeof(struct btf_type) <= end; types->count++) {
        const struct btf_type *type = (const struct btf_type *)at;
        ssize_t tail = tail_of(type);

        if (tail < 0 || tail > end - at - (ssize_t)sizeof(*type) || type->name_off >= types->names_len)
            return false;
        types->of[types->count] = type;
        at += sizeof(*type) + (size_t)tail;
    }
    return true;
}

static bool read_types(struct types *types) {
    const struct btf_header *header;
    size_t len;

    types->file = read_whole(TYPES_FILE, &len);
    header = (const struct btf_header *)types->file;
    if (!header || len < sizeof(*header) || header->magic != BTF_MAGIC || header->hdr_len < sizeof(*header))
        return false;
    if ((uint64_t)header->hdr_len + header->type_off + header->type_len > len ||
        (uint64_t)header->hdr_len + header->str_off + header->str_len > len || !header->str_len)
        return false;
    types->names = types->file + header->hdr_len + header->str_off;
    types->names_len = header->str_len;
    if (types->names[types->names_len - 1])
        return false;
    return index_types(types, types->file + header->hdr_len + header->type_off,
                       types->file + header->hdr_len + header->type_off + header->type_len);
}

static uint32_t find_type(const struct types *types, uint32_t kind, const char *name) {
    for (uint32_t id = 1; id < types->count; id++)
        if (BTF_INFO_KIND(types->of[id]->info) == kind &&
            !strcmp(types->names + types->of[id]->name_off, name))
            return id;
    return 0;
}

/* Of a member, also one of an anonymous structure inside. In bytes; -1: there is none. */
static int32_t offset_of(const struct types *types, uint32_t id, const char *name, int depth) {
    const struct btf_type *type = id && id < types->count ? types->of[id] : NULL;
    uint32_t kind = type ? BTF_INFO_KIND(type->info) : BTF_KIND_UNKN;
    const struct btf_member *member = (const struct btf_member *)(type + 1);

    if ((kind != BTF_KIND_STRUCT && kind != BTF_KIND_UNION) || depth > MAX_DEPTH)
        return -1;
    for (uint32_t i = 0; i < BTF_INFO_VLEN(type->info); i++, member++) {
        uint32_t bits = BTF_INFO_KFLAG(type->info) ? BTF_MEMBER_BIT_OFFSET(member->offset) : member->offset;
        int32_t inside;

        if (member->name_off >= types->names_len)
            return -1;
        if (!strcmp(types->names + member->name_off, name))
            return bits % 8 ? -1 : (int32_t)(bits / 8);
        if (types->names[member->name_off])
            continue;
        inside = offset_of(types, member->type, name, depth + 1);
        if (inside >= 0)
            return (int32_t)(bits / 8) + inside;
    }
    return -1;
}

static bool find_member(const struct types *types, const char *type, const char *member, int16_t *offset) {
    int32_t found = offset_of(types, find_type(types, BTF_KIND_STRUCT, type), member, 0);

    *offset = (int16_t)found;
    return found >= 0 && found <= INT16_MAX;
}

bool kernel_vma_layout(struct vma_layout *layout) {
    struct types types = {0};
    bool found = read_types(&types);

    if (found) {
        layout->iterator = find_type(&types, BTF_KIND_FUNC, "bpf_iter_task_vma");
        found = layout->iterator && find_member(&types, "vm_area_struct", "vm_start", &layout->start) &&
                find_member(&types, "vm_area_struct", "vm_end", &layout->end) &&
                find_member(&types, "vm_area_struct", "vm_flags", &layout->flags) &&
                find_member(&types, "bpf_iter__task_vma", "meta", &layout->context_meta) &&
                find_member(&types, "bpf_iter__task_vma", "vma", &layout->context_vma) &&
                find_member(&types, "bpf_iter_meta", "seq", &layout->meta_seq);
    }
    free(types.of);
    free(types.file);
    return found;
}
