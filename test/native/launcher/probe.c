// The launcher's readers of what comes from outside, for launcher.test.ts: takes texts from descriptor 3,
// each a letter (spec, input, hash), four bytes of length and so many bytes, and answers each with a line.
#define _GNU_SOURCE
#include "prepare.h"
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CHANNEL = 3 };

static int take(void *bytes, size_t size) {
    for (size_t done = 0; done < size;) {
        const ssize_t got = read(CHANNEL, (char *)bytes + done, size - done);
        if (got <= 0)
            return 0;
        done += (size_t)got;
    }
    return 1;
}

static void put(int fd, const char *text, size_t size) {
    if (write(fd, text, size) != (ssize_t)size)
        abort();
}

static int spec(const char *text, size_t size, char group[MAX_GROUP]) {
    const int fd = open("config.json", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    put(fd, text, size);
    close(fd);
    return readGroup(group);
}

// Through a pipe, as containerd gives it.
static int input(const char *text, size_t size) {
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        abort();
    put(pipes[1], text, size);
    close(pipes[1]);
    dup2(pipes[0], STDIN_FILENO);
    close(pipes[0]);
    return keepInput(1000) && inputIsPlain("container");
}

int main(void) {
    char kind;
    uint32_t size;
    while (take(&kind, 1) && take(&size, sizeof size)) {
        char *text = malloc(size), hex[SHA256_HEX], group[MAX_GROUP] = "";
        if (!take(text, size))
            return 1;
        if (kind == 'h') {
            sha256(text, size, hex);
            puts(hex);
        } else {
            const int plain = kind == 's' ? spec(text, size, group) : input(text, size);
            printf("%s %s\n", plain ? "plain" : "other", plain ? group : "");
        }
        fflush(stdout);
        free(text);
    }
    return 0;
}
