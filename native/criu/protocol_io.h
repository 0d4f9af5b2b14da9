/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Whole messages over a blocking socket, for both ends of the overlay protocol. */
#ifndef PCLIVE_OVERLAY_PROTOCOL_IO_H
#define PCLIVE_OVERLAY_PROTOCOL_IO_H

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "protocol.h"

/* Reads exactly len bytes. 0, or -errno; -EPIPE when the peer closed. */
static inline int pclo_read_full(int fd, void *buffer, size_t len) {
    char *at = (char *)buffer;

    while (len) {
        ssize_t got = recv(fd, at, len, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return -EPIPE;
        at += got;
        len -= (size_t)got;
    }
    return 0;
}

/* Writes exactly len bytes, without SIGPIPE. 0, or -errno. */
static inline int pclo_write_full(int fd, const void *buffer, size_t len) {
    const char *at = (const char *)buffer;

    while (len) {
        ssize_t put = send(fd, at, len, MSG_NOSIGNAL);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        at += put;
        len -= (size_t)put;
    }
    return 0;
}

/* Sends one message. 0, or -errno; -EMSGSIZE when the payload is too long. */
static inline int pclo_send(int fd, enum pclo_type type, uint32_t arg, const void *payload, size_t len) {
    struct pclo_header header;
    int ret;

    if (len > PCLO_MAX_PAYLOAD)
        return -EMSGSIZE;
    header.magic = PCLO_MAGIC;
    header.version = PCLO_VERSION;
    header.type = (uint16_t)type;
    header.length = (uint32_t)len;
    header.arg = arg;
    ret = pclo_write_full(fd, &header, sizeof(header));
    if (ret == 0 && len)
        ret = pclo_write_full(fd, payload, len);
    return ret;
}

/* Reads and checks one header; the payload is the caller's to read. 0, or -errno; -EPROTO when it is not
 * ours. */
static inline int pclo_recv_header(int fd, struct pclo_header *header) {
    int ret = pclo_read_full(fd, header, sizeof(*header));

    if (ret)
        return ret;
    if (header->magic != PCLO_MAGIC || header->version != PCLO_VERSION || header->length > PCLO_MAX_PAYLOAD)
        return -EPROTO;
    return 0;
}

#endif /* PCLIVE_OVERLAY_PROTOCOL_IO_H */
