// SPDX-License-Identifier: GPL-2.0-only
/* Reading an archive that archive_pack() made: see archive.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "archive.h"

#define PERMISSIONS 07777u
/* Contents are written in pieces of this size; a piece of nothing stays a hole. */
#define PIECE 4096u

/* The archive in memory, and the tar stream in it: what is left of the block, and whether it is the last. */
struct reader {
    const uint8_t *at, *end;
    size_t left;
    bool last;
    uint32_t crc;
    uint64_t total;
};

/* A directory's time can only be set when everything is in it. */
struct late_time {
    struct late_time *next;
    time_t mtime;
    char path[ARCHIVE_NAME_MAX + 1];
};

struct unpacker {
    struct reader reader;
    int root;
    struct late_time *times;
};

static int damaged(void) {
    errno = EBADMSG;
    return -1;
}

static int next_block(struct reader *reader) {
    const uint8_t *head = reader->at;
    size_t len;

    if (reader->last || reader->end - head < 5 || head[0] > 1)
        return damaged();
    len = head[1] | (size_t)head[2] << 8;
    if ((head[3] | (size_t)head[4] << 8) != (~len & 0xffff) || (size_t)(reader->end - head) < 5 + len)
        return damaged();
    reader->last = head[0];
    reader->at = head + 5;
    reader->left = len;
    reader->crc = archive_crc(reader->crc, reader->at, len);
    reader->total += len;
    return 0;
}

static int take(struct reader *reader, void *to, size_t len) {
    while (len) {
        size_t part;

        if (!reader->left && next_block(reader))
            return -1;
        part = reader->left < len ? reader->left : len;
        memcpy(to, reader->at, part);
        to = (char *)to + part;
        reader->at += part;
        reader->left -= part;
        len -= part;
    }
    return 0;
}

static int get_octal(const char *field, size_t len, uint64_t *value) {
    *value = 0;
    for (size_t i = 0; i + 1 < len; i++) {
        if (field[i] < '0' || field[i] > '7')
            return damaged();
        *value = *value << 3 | (uint64_t)(field[i] - '0');
    }
    return 0;
}

static int read_stat(const struct archive_header *header, struct stat *st) {
    uint64_t mode, uid, gid, size, mtime, major = 0, minor = 0;

    if (get_octal(header->mode, sizeof(header->mode), &mode) ||
        get_octal(header->uid, sizeof(header->uid), &uid) ||
        get_octal(header->gid, sizeof(header->gid), &gid) ||
        get_octal(header->size, sizeof(header->size), &size) ||
        get_octal(header->mtime, sizeof(header->mtime), &mtime))
        return -1;
    if (header->major[0] && (get_octal(header->major, sizeof(header->major), &major) ||
                             get_octal(header->minor, sizeof(header->minor), &minor)))
        return -1;
    memset(st, 0, sizeof(*st));
    st->st_mode = mode & PERMISSIONS;
    st->st_uid = (uid_t)uid;
    st->st_gid = (gid_t)gid;
    st->st_size = (off_t)size;
    st->st_mtime = (time_t)mtime;
    st->st_rdev = makedev((unsigned int)major, (unsigned int)minor);
    return 0;
}

/* The folder of an entry: below the root whatever the names are, and never through a link. */
static int open_parent(const struct unpacker *unpacker, char *path, const char **name) {
    const struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    char *slash = strrchr(path, '/');
    int fd;

    *name = slash ? slash + 1 : path;
    if (slash)
        *slash = 0;
    fd = (int)syscall(SYS_openat2, unpacker->root, slash ? path : ".", &how, sizeof(how));
    if (slash)
        *slash = '/';
    return fd;
}

static bool is_zero(const uint8_t *data, size_t len) {
    return data[0] == 0 && !memcmp(data, data + 1, len - 1);
}

static int put_contents(struct reader *reader, int fd, off_t size) {
    uint8_t piece[PIECE];

    if (ftruncate(fd, size))
        return -1;
    for (off_t at = 0; at < size; at += PIECE) {
        const size_t len = size - at < (off_t)PIECE ? (size_t)(size - at) : PIECE;

        if (take(reader, piece, len))
            return -1;
        if (!is_zero(piece, len) && pwrite(fd, piece, len, at) != (ssize_t)len)
            return -1;
    }
    return take(reader, piece, -(uint64_t)size & (ARCHIVE_RECORD - 1));
}

static int make_file(struct reader *reader, int dir, const char *name, off_t size) {
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int ret;

    if (fd < 0)
        return -1;
    ret = put_contents(reader, fd, size);
    if (close(fd))
        ret = -1;
    return ret;
}

static int make(struct unpacker *unpacker, const struct archive_header *header, int dir, const char *name,
                const struct stat *st) {
    switch (header->type) {
    case '0':
        return make_file(&unpacker->reader, dir, name, st->st_size);
    case '2':
        return symlinkat(header->link, dir, name);
    case '3':
        return mknodat(dir, name, S_IFCHR | 0600, st->st_rdev);
    case '4':
        return mknodat(dir, name, S_IFBLK | 0600, st->st_rdev);
    case '5':
        return mkdirat(dir, name, 0700) && errno != EEXIST ? -1 : 0;
    case '6':
        return mknodat(dir, name, S_IFIFO | 0600, 0);
    default:
        return damaged();
    }
}

static int remember_time(struct unpacker *unpacker, const char *path, time_t mtime) {
    struct late_time *late = malloc(sizeof(*late));

    if (!late)
        return -1;
    late->next = unpacker->times;
    late->mtime = mtime;
    strcpy(late->path, path);
    unpacker->times = late;
    return 0;
}

static int set_time(int dir, const char *name, time_t mtime) {
    const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = mtime}};

    return utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW);
}

/* The owner first: a change of it takes the set-user-id bit away. */
static int dress_entry(const struct archive_header *header, int dir, const char *name,
                       const struct stat *st) {
    if (fchownat(dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW))
        return -1;
    if (header->type != '2' && fchmodat(dir, name, st->st_mode, 0))
        return -1;
    return header->type == '5' ? 0 : set_time(dir, name, st->st_mtime);
}

static int unpack_entry(struct unpacker *unpacker, const struct archive_header *header, char *path) {
    const char *name;
    struct stat st;
    int dir, ret;

    if (read_stat(header, &st))
        return -1;
    if (header->type == '5' && remember_time(unpacker, path, st.st_mtime))
        return -1;
    if (!strcmp(path, ".")) {
        if (fchown(unpacker->root, st.st_uid, st.st_gid))
            return -1;
        return fchmod(unpacker->root, st.st_mode);
    }
    dir = open_parent(unpacker, path, &name);
    if (dir < 0)
        return -1;
    /* As with tar, what is there already gives way. Links cannot be in the way of a directory: it is new. */
    if (header->type != '5')
        unlinkat(dir, name, 0);
    ret = make(unpacker, header, dir, name, &st) || dress_entry(header, dir, name, &st) ? -1 : 0;
    close(dir);
    return ret;
}

/* 1: an entry, 0: the end, -1: neither. */
static int next_entry(struct reader *reader, struct archive_header *header, char *path) {
    size_t len;

    if (take(reader, header, sizeof(*header)))
        return -1;
    if (!header->name[0])
        return 0;
    len = strnlen(header->name, sizeof(header->name));
    if (len > ARCHIVE_NAME_MAX || header->link[sizeof(header->link) - 1])
        return damaged();
    memcpy(path, header->name, len + 1);
    while (len > 1 && path[len - 1] == '/')
        path[--len] = 0;
    return 1;
}

static int set_late_times(struct unpacker *unpacker) {
    int ret = 0;

    for (struct late_time *late = unpacker->times; late && !ret; late = late->next) {
        const char *name;
        int dir;

        if (!strcmp(late->path, ".")) {
            const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = late->mtime}};

            ret = futimens(unpacker->root, times);
            continue;
        }
        dir = open_parent(unpacker, late->path, &name);
        if (dir < 0)
            return -1;
        ret = set_time(dir, name, late->mtime);
        close(dir);
    }
    return ret;
}

static int check_end(struct reader *reader) {
    uint8_t rest[ARCHIVE_RECORD];
    uint32_t trailer[2];

    if (take(reader, rest, sizeof(rest)) || reader->left || !reader->last ||
        (size_t)(reader->end - reader->at) < sizeof(trailer))
        return damaged();
    memcpy(trailer, reader->at, sizeof(trailer));
    return trailer[0] == reader->crc && trailer[1] == (uint32_t)reader->total ? 0 : damaged();
}

static int unpack_all(struct unpacker *unpacker) {
    struct archive_header header;
    char path[ARCHIVE_NAME_MAX + 1];
    int ret;

    while ((ret = next_entry(&unpacker->reader, &header, path)) > 0)
        if (unpack_entry(unpacker, &header, path))
            return -1;
    return ret || check_end(&unpacker->reader) ? -1 : set_late_times(unpacker);
}

static void forget_times(struct unpacker *unpacker) {
    const int kept_errno = errno;

    while (unpacker->times) {
        struct late_time *late = unpacker->times;

        unpacker->times = late->next;
        free(late);
    }
    errno = kept_errno;
}

enum archive_result archive_unpack(int in, int dir) {
    static const uint8_t magic[] = ARCHIVE_MAGIC;
    const off_t start = lseek(in, 0, SEEK_CUR);
    struct unpacker unpacker = {.root = dir};
    struct stat st;
    uint8_t *map;
    int ret;

    if (start < 0 || fstat(in, &st) || !S_ISREG(st.st_mode) || st.st_size - start < (off_t)sizeof(magic))
        return ARCHIVE_NOT_OURS;
    map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, in, 0);
    if (map == MAP_FAILED)
        return ARCHIVE_NOT_OURS;
    if (memcmp(map + start, magic, sizeof(magic))) {
        munmap(map, (size_t)st.st_size);
        return ARCHIVE_NOT_OURS;
    }
    unpacker.reader.at = map + start + sizeof(magic);
    unpacker.reader.end = map + st.st_size;
    ret = unpack_all(&unpacker);
    forget_times(&unpacker);
    munmap(map, (size_t)st.st_size);
    return ret ? ARCHIVE_FAILED : ARCHIVE_DONE;
}
