#define _GNU_SOURCE
#include "socket.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 511 };

static int newSocket(const char *path, struct sockaddr_un *name) {
    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof name->sun_path)
        return -1;
    strcpy(name->sun_path, path);
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int listenAt(const char *path) {
    struct sockaddr_un name;
    const int fd = newSocket(path, &name);
    if (fd < 0)
        return -1;
    // Only our own user may connect.
    const mode_t before = umask(0177);
    const int bound = bind(fd, (struct sockaddr *)&name, sizeof name) == 0;
    umask(before);
    if (bound && listen(fd, BACKLOG) == 0)
        return fd;
    const int reason = errno;
    if (bound)
        unlink(path);
    close(fd);
    errno = reason;
    return -1;
}

int isServed(const char *path) {
    struct sockaddr_un name;
    const int fd = newSocket(path, &name);
    if (fd < 0)
        return 0;
    const int served = connect(fd, (struct sockaddr *)&name, sizeof name) == 0;
    close(fd);
    return served;
}
