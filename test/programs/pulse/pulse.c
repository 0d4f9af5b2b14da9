/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "pulse.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS 8
#define INTERVAL_MS 10

struct server {
    struct pulse *pulse;
    int listener;
    int clients[CLIENTS]; /* -1: free */
    uint64_t told;
};

static void admit(struct server *server) {
    int fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return;
    for (size_t i = 0; i < CLIENTS; i++) {
        if (server->clients[i] < 0) {
            server->clients[i] = fd;
            return;
        }
    }
    close(fd);
}

static void forget(struct server *server, size_t i) {
    close(server->clients[i]);
    server->clients[i] = -1;
}

static void listen_to(struct server *server, size_t i) {
    char bytes[64];
    ssize_t n = recv(server->clients[i], bytes, sizeof(bytes), 0);

    if (n == 0 || (n < 0 && errno != EAGAIN))
        forget(server, i);
    else if (n > 0)
        atomic_store(&server->pulse->asked, atomic_load(&server->pulse->checks) + 1);
}

static void tell(struct server *server) {
    uint64_t work = atomic_load(&server->pulse->work);
    char line[64];
    int length;

    if (work == server->told)
        return;
    server->told = work;
    length = snprintf(line, sizeof(line), "%llu %llu\n", (unsigned long long)work,
                      (unsigned long long)atomic_load(&server->pulse->checks));
    for (size_t i = 0; i < CLIENTS; i++)
        if (server->clients[i] >= 0 && send(server->clients[i], line, (size_t)length, MSG_NOSIGNAL) != length)
            forget(server, i); /* one that does not read is of no use */
}

static void *serve(void *argument) {
    struct server *server = argument;

    for (;;) {
        admit(server);
        for (size_t i = 0; i < CLIENTS; i++)
            if (server->clients[i] >= 0)
                listen_to(server, i);
        tell(server);
        poll(NULL, 0, INTERVAL_MS);
    }
    return NULL;
}

void pulse_serve(struct pulse *pulse, unsigned int port) {
    static struct server server;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    pthread_t thread;
    int yes = 1;

    server.pulse = pulse;
    memset(server.clients, 0xff, sizeof(server.clients));
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(server.listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (bind(server.listener, (struct sockaddr *)&address, sizeof(address)) || listen(server.listener, 8) ||
        pthread_create(&thread, NULL, serve, &server)) {
        fprintf(stderr, "cannot serve on port %u: %s\n", port, strerror(errno));
        exit(98);
    }
}

/* splitmix64: every bit of the seed reaches every bit of the result. */
uint64_t pulse_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

unsigned long pulse_number(const char *text, unsigned long low, unsigned long high) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (*text == '\0' || *end != '\0' || value < low || value > high) {
        fprintf(stderr, "\"%s\" is not a number from %lu to %lu\n", text, low, high);
        exit(2);
    }
    return value;
}
