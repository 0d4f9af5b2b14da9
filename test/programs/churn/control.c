/* SPDX-License-Identifier: Apache-2.0 */
/* The control port: one line in, one line out. Connections may stay open; any number at a time. */
#include "churn.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CLIENTS 16

struct client {
    int fd;
    size_t length;
    char line[64];
};

/* Stops each thread between two operations and checks all that it owns. A wrong byte ends the process. */
static void verify(struct worker *workers, const struct options *options, char *answer, size_t size) {
    uint64_t regions = 0, bytes = 0, operations = 0;

    for (unsigned int t = 0; t < options->threads; t++) {
        struct worker *w = &workers[t];

        pthread_mutex_lock(&w->lock);
        for (size_t i = 0; i < MAX_REGIONS; i++) {
            if (!w->regions[i].base)
                continue;
            check_protected(w, &w->regions[i]);
            regions++;
            bytes += w->regions[i].pages * PAGE;
        }
        operations += w->operations;
        pthread_mutex_unlock(&w->lock);
    }
    snprintf(answer, size, "OK %llu %llu %llu\n", (unsigned long long)regions, (unsigned long long)bytes,
             (unsigned long long)operations);
}

static bool answer_line(struct client *c, struct worker *workers, const struct options *options) {
    char answer[96];

    c->line[strcspn(c->line, "\r\n")] = '\0';
    if (strcmp(c->line, "VERIFY") == 0)
        verify(workers, options, answer, sizeof(answer));
    else
        snprintf(answer, sizeof(answer), "ERROR the only command is VERIFY\n");
    return send(c->fd, answer, strlen(answer), MSG_NOSIGNAL) >= 0;
}

/* false: the connection is over */
static bool receive(struct client *c, struct worker *workers, const struct options *options) {
    ssize_t got = recv(c->fd, c->line + c->length, sizeof(c->line) - 1 - c->length, 0);

    if (got <= 0)
        return false;
    c->length += (size_t)got;
    c->line[c->length] = '\0';
    if (!strchr(c->line, '\n'))
        return c->length < sizeof(c->line) - 1;
    c->length = 0;
    return answer_line(c, workers, options);
}

static int listen_at(unsigned int port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    if (fd < 0)
        die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 8))
        die("listen");
    return fd;
}

_Noreturn void serve(struct worker *workers, const struct options *options) {
    struct client clients[MAX_CLIENTS] = {0};
    struct pollfd polls[MAX_CLIENTS + 1] = {{.fd = listen_at(options->port), .events = POLLIN}};

    for (size_t i = 1; i <= MAX_CLIENTS; i++)
        polls[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    printf("READY %u\n", options->port);
    fflush(stdout);
    for (;;) {
        if (poll(polls, MAX_CLIENTS + 1, -1) < 0)
            continue;
        for (size_t i = 1; i <= MAX_CLIENTS; i++) {
            if (polls[i].fd < 0 || !polls[i].revents || receive(&clients[i - 1], workers, options))
                continue;
            close(polls[i].fd);
            polls[i].fd = -1;
        }
        for (size_t i = 1; i <= MAX_CLIENTS && (polls[0].revents & POLLIN); i++) {
            if (polls[i].fd >= 0)
                continue;
            polls[i].fd = accept(polls[0].fd, NULL, NULL);
            clients[i - 1] = (struct client){.fd = polls[i].fd};
            break;
        }
    }
}
