/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Archives of a tmpfs' contents, made and read inside this process. CRIU forks a tar and a gzip for each
 * tmpfs mount, which takes longer than everything else about it.
 *
 * What is made is an ordinary gzipped tar archive (GNU headers, deflate's "stored" blocks), so that any CRIU
 * can restore it. A field of the gzip header marks it as ours; only such archives are read here.
 */
#ifndef PCLIVE_ARCHIVE_H
#define PCLIVE_ARCHIVE_H

#include <stdint.h>

/* What is not plain enough for these functions is tar's work: nothing has been done then. */
enum archive_result { ARCHIVE_DONE = 0, ARCHIVE_NOT_OURS = 1, ARCHIVE_FAILED = -1 };

/*
 * Appends an archive of the directory to a regular file. Mounts below it are left out. Sockets are, too, as
 * tar leaves them out. ARCHIVE_NOT_OURS, with the file as it was: long names, hard links, sparse files, large
 * ids. ARCHIVE_FAILED: errno tells.
 */
enum archive_result archive_pack(int dir, int out);

/*
 * Unpacks what archive_pack() made, from the file's position on, into a directory. ARCHIVE_NOT_OURS: it was
 * made by somebody else. ARCHIVE_FAILED, with errno (EBADMSG: damaged): some of it may be there.
 */
enum archive_result archive_unpack(int in, int dir);

/* The CRC-32 of gzip: continues `crc`, which begins as 0. */
uint32_t archive_crc(uint32_t crc, const uint8_t *data, uint64_t len);

/* Both halves agree on these. */

#define ARCHIVE_RECORD 512u /* bytes of a tar header, and what contents are padded to */
#define ARCHIVE_NAME_MAX 99u

/* The gzip header: deflate, an extra field "PL" of one byte (1: stored blocks, plain entries), system
 * unknown. */
#define ARCHIVE_MAGIC                                                                                        \
    { 0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 5, 0, 'P', 'L', 1, 0, 1 }

struct archive_header {
    char name[100];
    char mode[8], uid[8], gid[8];
    char size[12], mtime[12];
    char checksum[8];
    char type;
    char link[100];
    char magic[8];
    char user[32], group[32];
    char major[8], minor[8];
    char rest[167];
};

_Static_assert(sizeof(struct archive_header) == ARCHIVE_RECORD, "a tar header is one record");

#endif /* PCLIVE_ARCHIVE_H */
