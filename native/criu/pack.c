// SPDX-License-Identifier: GPL-2.0-only
/* Making an archive: see archive.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "archive.h"

/* The contents of one of deflate's stored blocks; whole records, and at most 65535. */
#define BLOCK (127u * ARCHIVE_RECORD)
#define MAX_DEPTH 64
/* Octal numbers in a tar header have one digit less than their field. */
#define MAX_ID 07777777u
#define MAX_SIZE 077777777777ll
/* A file with more of nothing in it than this is left to tar, which knows sparse files. */
#define MAX_HOLES (1ll << 20)

struct packer {
    int out;
    dev_t device;
    size_t used;
    uint32_t crc;
    uint64_t total;
    char path[ARCHIVE_NAME_MAX + 1];
    uint8_t block[BLOCK];
};

uint32_t archive_crc(uint32_t crc, const uint8_t *data, uint64_t len) {
    static uint32_t table[8][256];

    if (!table[0][1])
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t value = i;

            for (int bit = 0; bit < 8; bit++)
                value = (value >> 1) ^ (value & 1 ? 0xedb88320u : 0);
            table[0][i] = value;
        }
    if (!table[1][1])
        for (uint32_t i = 0; i < 256; i++)
            for (int k = 1; k < 8; k++)
                table[k][i] = (table[k - 1][i] >> 8) ^ table[0][table[k - 1][i] & 0xff];

    crc = ~crc;
    for (; len >= 8; len -= 8, data += 8) {
        uint64_t word;

        memcpy(&word, data, sizeof(word));
        word ^= crc;
        crc = 0;
        for (int k = 0; k < 8; k++)
            crc ^= table[7 - k][(word >> (8 * k)) & 0xff];
    }
    while (len--)
        crc = (crc >> 8) ^ table[0][(crc ^ *data++) & 0xff];
    return ~crc;
}

static int write_all(int fd, const void *data, size_t len) {
    const char *at = data;

    while (len) {
        ssize_t put = write(fd, at, len);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        at += put;
        len -= (size_t)put;
    }
    return 0;
}

static int flush_block(struct packer *packer, bool last) {
    const uint16_t len = (uint16_t)packer->used;
    const uint8_t head[5] = {last, len & 0xff, len >> 8, ~len & 0xff, (uint16_t)~len >> 8};

    packer->crc = archive_crc(packer->crc, packer->block, len);
    packer->total += len;
    packer->used = 0;
    return write_all(packer->out, head, sizeof(head)) || write_all(packer->out, packer->block, len) ? -1 : 0;
}

/* Makes room and says how much there is. 0 on failure. */
static size_t room(struct packer *packer) {
    if (packer->used == BLOCK && flush_block(packer, false))
        return 0;
    return BLOCK - packer->used;
}

static int put_zeros(struct packer *packer, uint64_t len) {
    while (len) {
        size_t part = room(packer);

        if (!part)
            return -1;
        if (part > len)
            part = len;
        memset(packer->block + packer->used, 0, part);
        packer->used += part;
        len -= part;
    }
    return 0;
}

/* The size in the header is a promise: a file that has shrunk is filled up, as tar does. */
static int put_file(struct packer *packer, int fd, uint64_t size) {
    uint64_t left = size;

    while (left) {
        size_t part = room(packer);
        ssize_t got;

        if (!part)
            return -1;
        if (part > left)
            part = left;
        got = read(fd, packer->block + packer->used, part);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        packer->used += (size_t)got;
        left -= (uint64_t)got;
    }
    return put_zeros(packer, left + (-size & (ARCHIVE_RECORD - 1)));
}

static void set_octal(char *field, size_t len, uint64_t value) {
    field[--len] = 0;
    while (len) {
        field[--len] = (char)('0' + (value & 7));
        value >>= 3;
    }
}

static void set_checksum(struct archive_header *header) {
    const uint8_t *bytes = (const uint8_t *)header;
    uint32_t sum = 0;

    memset(header->checksum, ' ', sizeof(header->checksum));
    for (size_t i = 0; i < sizeof(*header); i++)
        sum += bytes[i];
    set_octal(header->checksum, sizeof(header->checksum) - 1, sum);
}

static char type_of(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFREG:
        return '0';
    case S_IFLNK:
        return '2';
    case S_IFCHR:
        return '3';
    case S_IFBLK:
        return '4';
    case S_IFDIR:
        return '5';
    case S_IFIFO:
        return '6';
    default:
        return 0;
    }
}

static bool is_plain(const struct stat *st) {
    if (!type_of(st->st_mode) || st->st_uid > MAX_ID || st->st_gid > MAX_ID || st->st_mtime < 0 ||
        st->st_mtime > MAX_SIZE || (!S_ISDIR(st->st_mode) && st->st_nlink > 1))
        return false;
    if (S_ISREG(st->st_mode))
        return st->st_size <= MAX_SIZE && st->st_size - st->st_blocks * 512 <= MAX_HOLES;
    return major(st->st_rdev) <= MAX_ID && minor(st->st_rdev) <= MAX_ID;
}

static int put_header(struct packer *packer, const struct stat *st, const char *link) {
    struct archive_header header = {.type = type_of(st->st_mode), .magic = "ustar  "};
    const bool device = S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);

    const size_t length = strlen(packer->path);

    /* "./a", and "./a/" for a directory: as tar names what it finds below ".". */
    memcpy(header.name, packer->path, length);
    if (S_ISDIR(st->st_mode))
        header.name[length] = '/';
    if (link)
        memcpy(header.link, link, strlen(link));
    set_octal(header.mode, sizeof(header.mode), st->st_mode & 07777);
    set_octal(header.uid, sizeof(header.uid), st->st_uid);
    set_octal(header.gid, sizeof(header.gid), st->st_gid);
    set_octal(header.size, sizeof(header.size), S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0);
    set_octal(header.mtime, sizeof(header.mtime), (uint64_t)st->st_mtime);
    if (device) {
        set_octal(header.major, sizeof(header.major), major(st->st_rdev));
        set_octal(header.minor, sizeof(header.minor), minor(st->st_rdev));
    }
    set_checksum(&header);
    if (!room(packer))
        return -1;
    memcpy(packer->block + packer->used, &header, sizeof(header)); /* blocks are whole records */
    packer->used += sizeof(header);
    return 0;
}

static enum archive_result pack_directory(struct packer *packer, int fd, size_t length, int depth);

static enum archive_result pack_file(struct packer *packer, int dir, const char *name,
                                     const struct stat *st) {
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int ret;

    if (fd < 0)
        return ARCHIVE_FAILED;
    ret = put_header(packer, st, NULL) || put_file(packer, fd, (uint64_t)st->st_size);
    close(fd);
    return ret ? ARCHIVE_FAILED : ARCHIVE_DONE;
}

static enum archive_result pack_link(struct packer *packer, int dir, const char *name,
                                     const struct stat *st) {
    char target[sizeof(((struct archive_header *)0)->link)];
    ssize_t len = readlinkat(dir, name, target, sizeof(target));

    if (len < 0)
        return ARCHIVE_FAILED;
    if ((size_t)len >= sizeof(target))
        return ARCHIVE_NOT_OURS;
    target[len] = 0;
    return put_header(packer, st, target) ? ARCHIVE_FAILED : ARCHIVE_DONE;
}

static enum archive_result pack_entry(struct packer *packer, int dir, const char *name, size_t length,
                                      int depth) {
    struct stat st;
    int fd;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
        return ARCHIVE_FAILED;
    if (S_ISSOCK(st.st_mode))
        return ARCHIVE_DONE;
    if (!is_plain(&st))
        return ARCHIVE_NOT_OURS;
    if (S_ISREG(st.st_mode))
        return pack_file(packer, dir, name, &st);
    if (S_ISLNK(st.st_mode))
        return pack_link(packer, dir, name, &st);
    if (put_header(packer, &st, NULL))
        return ARCHIVE_FAILED;
    if (!S_ISDIR(st.st_mode) || st.st_dev != packer->device)
        return ARCHIVE_DONE;
    fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? ARCHIVE_FAILED : pack_directory(packer, fd, length, depth);
}

static enum archive_result pack_children(struct packer *packer, DIR *dir, size_t length, int depth) {
    enum archive_result result = ARCHIVE_DONE;
    struct dirent *entry;

    while (result == ARCHIVE_DONE && (errno = 0, entry = readdir(dir))) {
        const size_t more = strlen(entry->d_name) + 1;

        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (length + more + 1 > ARCHIVE_NAME_MAX) /* with a directory's slash */
            return ARCHIVE_NOT_OURS;
        packer->path[length] = '/';
        memcpy(packer->path + length + 1, entry->d_name, more);
        result = pack_entry(packer, dirfd(dir), entry->d_name, length + more, depth + 1);
        packer->path[length] = 0;
    }
    return result == ARCHIVE_DONE && errno ? ARCHIVE_FAILED : result;
}

/* What is below a directory whose name is the first `length` bytes of the path. Takes the descriptor over. */
static enum archive_result pack_directory(struct packer *packer, int fd, size_t length, int depth) {
    enum archive_result result;
    int kept_errno;
    DIR *dir;

    if (depth > MAX_DEPTH) {
        close(fd);
        return ARCHIVE_NOT_OURS;
    }
    dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return ARCHIVE_FAILED;
    }
    result = pack_children(packer, dir, length, depth);
    kept_errno = errno;
    closedir(dir);
    errno = kept_errno;
    return result;
}

static enum archive_result pack_all(struct packer *packer, int dir) {
    static const uint8_t magic[] = ARCHIVE_MAGIC;
    enum archive_result result;
    uint32_t trailer[2];
    struct stat st;
    int fd;

    if (fstat(dir, &st))
        return ARCHIVE_FAILED;
    if (!S_ISDIR(st.st_mode) || !is_plain(&st))
        return ARCHIVE_NOT_OURS;
    packer->device = st.st_dev;
    /* A descriptor of its own: the position in a directory belongs to the open file. */
    fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return ARCHIVE_FAILED;
    if (write_all(packer->out, magic, sizeof(magic)) || put_header(packer, &st, NULL)) {
        close(fd);
        return ARCHIVE_FAILED;
    }
    result = pack_directory(packer, fd, 1, 0);
    if (result != ARCHIVE_DONE)
        return result;
    /* Two empty records end a tar archive. */
    if (put_zeros(packer, 2 * ARCHIVE_RECORD) || flush_block(packer, true))
        return ARCHIVE_FAILED;
    trailer[0] = packer->crc;
    trailer[1] = (uint32_t)packer->total;
    return write_all(packer->out, trailer, sizeof(trailer)) ? ARCHIVE_FAILED : ARCHIVE_DONE;
}

enum archive_result archive_pack(int dir, int out) {
    struct packer *packer = calloc(1, sizeof(*packer));
    const off_t start = lseek(out, 0, SEEK_CUR);
    enum archive_result result;

    if (!packer)
        return ARCHIVE_FAILED;
    packer->out = out;
    strcpy(packer->path, ".");
    /* Without a way back nothing may be tried. */
    result = start < 0 ? ARCHIVE_NOT_OURS : pack_all(packer, dir);
    free(packer);
    if (result == ARCHIVE_NOT_OURS && start >= 0 &&
        (ftruncate(out, start) || lseek(out, start, SEEK_SET) != start))
        return ARCHIVE_FAILED;
    return result;
}
