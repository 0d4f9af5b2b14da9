// SPDX-License-Identifier: GPL-2.0-only
/* The connection to the migration engine. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "version.h"

#include "overlay.h"
#include "protocol_io.h"

#undef LOG_PREFIX
#define LOG_PREFIX "pclive: "

/* A payload follows its header at once; a peer that stalls in between is broken. */
#define PAYLOAD_SECONDS 30

static int link_fd = -1;

bool overlay_wanted(void) {
    const char *path = getenv(PCLO_SOCKET_ENV);

    return path && *path;
}

bool link_is_open(void) {
    return link_fd >= 0;
}

void link_close(void) {
    if (link_fd >= 0)
        close(link_fd);
    link_fd = -1;
}

static uint64_t now_ns(clockid_t clock) {
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

uint64_t realtime_ns(void) {
    return now_ns(CLOCK_REALTIME);
}

uint64_t monotonic_ns(void) {
    return now_ns(CLOCK_MONOTONIC);
}

static int wait_at_most(unsigned int seconds) {
    struct timeval limit = {.tv_sec = seconds};

    return setsockopt(link_fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

int link_open(enum pclo_role role) {
    const char *path = getenv(PCLO_SOCKET_ENV);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = PAYLOAD_SECONDS};
    struct pclo_hello hello = {.role = role, .pid = (uint32_t)getpid()};

    if (strlen(path) >= sizeof(address.sun_path)) {
        pr_err("%s is longer than a socket's path may be\n", PCLO_SOCKET_ENV);
        return -1;
    }
    strcpy(address.sun_path, path);
    strncpy(hello.criu_version, CRIU_VERSION, sizeof(hello.criu_version) - 1);

    link_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (link_fd < 0) {
        pr_perror("Can't make a socket");
        return -1;
    }
    if (connect(link_fd, (struct sockaddr *)&address, sizeof(address)) ||
        setsockopt(link_fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit))) {
        pr_perror("Can't connect to the migration engine at %s", path);
        link_close();
        return -1;
    }
    return link_send(PCLO_HELLO, 0, &hello, sizeof(hello));
}

int link_send(enum pclo_type type, uint32_t arg, const void *payload, size_t len) {
    int ret = pclo_send(link_fd, type, arg, payload, len);

    if (ret)
        pr_err("Can't send message %d to the migration engine: %s\n", type, strerror(-ret));
    return ret ? -1 : 0;
}

int link_send_error(int error, const char *text) {
    pr_err("%s: %s\n", text, strerror(error));
    return link_send(PCLO_ERROR, (uint32_t)error, text, strlen(text));
}

int link_send_mark(const char *name, uint64_t when, double ms) {
    struct pclo_mark mark = {.realtime_ns = when, .ms = ms};

    strncpy(mark.name, name, sizeof(mark.name) - 1);
    /* What relates this log's times to those of everybody else. */
    pr_info("mark %s at %" PRIu64 " ns, told at %" PRIu64 " ns\n", name, when, realtime_ns());
    return link_send(PCLO_MARK, 0, &mark, sizeof(mark));
}

static int receive_payload(const struct pclo_header *header, void **payload) {
    int ret;

    *payload = NULL;
    if (!header->length)
        return 0;
    *payload = malloc(header->length);
    if (!*payload)
        return -ENOMEM;
    wait_at_most(PAYLOAD_SECONDS);
    ret = pclo_read_full(link_fd, *payload, header->length);
    if (ret) {
        free(*payload);
        *payload = NULL;
    }
    return ret;
}

int link_receive(struct pclo_header *header, void **payload, unsigned int seconds) {
    int ret;

    *payload = NULL;
    if (link_fd < 0)
        return -1;
    wait_at_most(seconds);
    ret = pclo_recv_header(link_fd, header);
    if (!ret)
        ret = receive_payload(header, payload);
    if (ret == -EPIPE || ret == -ECONNRESET) {
        pr_err("The migration engine hung up\n");
        return -1;
    }
    if (ret) {
        pr_err("Can't hear the migration engine: %s\n", strerror(-ret));
        return -1;
    }
    if (header->type == PCLO_ABORT) {
        pr_err("The migration engine asked to abort\n");
        free(*payload);
        *payload = NULL;
        return -1;
    }
    return 0;
}
