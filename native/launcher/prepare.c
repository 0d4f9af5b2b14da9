#define _GNU_SOURCE
#include "prepare.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

// As in shim/cli/socket.ts.
#define SOCKET_DIR "/run/containerd/s"
enum { BACKLOG = 511, MAX_NAME = 128 };

struct names {
    const char *namespace, *id, *address;
};

// The flags as containerd gives them; see shim/cli/flags.ts for all that are valid.
static int readFlags(char **argv, struct names *names) {
    const char *ignored;
    const struct {
        const char *name;
        const char **value;
    } known[] = {{"namespace", &names->namespace},
                 {"id", &names->id},
                 {"address", &names->address},
                 {"publish-binary", &ignored},
                 {"bundle", &ignored}};
    for (argv++; strcmp(*argv, "start") != 0; argv++) {
        const char *name = *argv + (strncmp(*argv, "--", 2) == 0) + 1;
        if (**argv != '-')
            return 0;
        if (strcmp(name, "debug") == 0)
            continue;
        size_t i = 0;
        while (i < sizeof known / sizeof *known && strcmp(name, known[i].name) != 0)
            i++;
        // The last argument is the action.
        if (i == sizeof known / sizeof *known || argv[1] == NULL || argv[2] == NULL)
            return 0;
        *known[i].value = *++argv;
    }
    return argv[1] == NULL && names->namespace != NULL && names->id != NULL && names->address != NULL;
}

static int isLetterOrDigit(char byte) {
    return (byte >= '0' && byte <= '9') || ((byte | 32) >= 'a' && (byte | 32) <= 'z');
}

// Letters and digits, with single signs between them.
static int isIdentifier(const char *name) {
    size_t size = 0;
    for (; name[size] != '\0'; size++) {
        if (isLetterOrDigit(name[size]))
            continue;
        if (strchr("._-", name[size]) == NULL || size == 0 || !isLetterOrDigit(name[size + 1]))
            return 0;
    }
    return size > 0 && size <= MAX_NAME;
}

// Whether the path is what it would be made to, without dots and with single slashes.
static int isNormal(const char *path) {
    const size_t size = strlen(path);
    return size > 1 && path[0] == '/' && path[size - 1] != '/' && strstr(path, "//") == NULL &&
           strstr(path, "/.") == NULL;
}

static int nameSocket(const struct names *names, struct prepared *prepared) {
    char named[PATH_MAX], hex[SHA256_HEX];
    const char *address = names->address + (strncmp(names->address, "unix://", 7) == 0 ? 7 : 0);
    if (!isNormal(address))
        return 0;
    const int size = snprintf(named, sizeof named, "%s/%s/%s", address, names->namespace, names->id);
    if (size >= (int)sizeof named)
        return 0;
    sha256(named, (size_t)size, hex);
    snprintf(prepared->address, sizeof prepared->address, "unix://" SOCKET_DIR "/%s", hex);
    prepared->path = prepared->address + strlen("unix://");
    return 1;
}

// One that is there already is left to the shim, which asks whether it is served.
static int listenAt(const char *path) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    if ((mkdir(SOCKET_DIR, 0700) < 0 && errno != EEXIST) || strlen(path) >= sizeof name.sun_path)
        return -1;
    strcpy(name.sun_path, path);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    // Only our own user may connect.
    const mode_t before = umask(0177);
    const int bound = bind(fd, (struct sockaddr *)&name, sizeof name) == 0;
    umask(before);
    if (bound && listen(fd, BACKLOG) == 0)
        return fd;
    if (bound)
        unlink(path);
    close(fd);
    return -1;
}

// Readers see the old file or the new one, never half of one.
static int writeAddress(const char *address) {
    const size_t size = strlen(address);
    const int fd = open("address.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return 0;
    const int whole = write(fd, address, size) == (ssize_t)size;
    return close(fd) == 0 && whole && rename("address.tmp", "address") == 0;
}

int prepare(char **argv, struct prepared *prepared) {
    struct names names = {0};
    if (!readFlags(argv, &names) || !isIdentifier(names.namespace) || !isIdentifier(names.id) ||
        !inputIsPlain(names.id) || !specIsPlain() || !nameSocket(&names, prepared))
        return 0;
    prepared->listening = listenAt(prepared->path);
    if (prepared->listening < 0)
        return 0;
    if (writeAddress(prepared->address))
        return 1;
    close(prepared->listening);
    unlink(prepared->path);
    return 0;
}

void unprepare(const struct prepared *prepared) {
    unlink(prepared->path);
    unlink("address");
}
