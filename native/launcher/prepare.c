#define _GNU_SOURCE
#include "prepare.h"
#include "socket.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// As in shim/cli/socket.ts.
#define SOCKET_DIR "/run/containerd/s"

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

// Whether the path is what it would be made to, without dots and with single slashes.
static int isNormal(const char *path) {
    const size_t size = strlen(path);
    return size > 1 && path[0] == '/' && path[size - 1] != '/' && strstr(path, "//") == NULL &&
           strstr(path, "/.") == NULL;
}

static int nameSocket(const struct names *names, const char *group, struct prepared *prepared) {
    char named[PATH_MAX], hex[SHA256_HEX];
    const char *address = names->address + (strncmp(names->address, "unix://", 7) == 0 ? 7 : 0);
    if (!isNormal(address))
        return 0;
    const int size =
        snprintf(named, sizeof named, "%s/%s/%s", address, names->namespace, *group ? group : names->id);
    if (size >= (int)sizeof named)
        return 0;
    sha256(named, (size_t)size, hex);
    snprintf(prepared->address, sizeof prepared->address, "unix://" SOCKET_DIR "/%s", hex);
    prepared->path = prepared->address + strlen("unix://");
    return 1;
}

static int makeFolder(const char *path) {
    return mkdir(path, 0700) == 0 || errno == EEXIST;
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

enum preparation prepare(char **argv, struct prepared *prepared) {
    struct names names = {0};
    char group[MAX_GROUP];
    if (!readFlags(argv, &names) || !isIdentifier(names.namespace) || !isIdentifier(names.id) ||
        !inputIsPlain(names.id) || !readGroup(group) || !nameSocket(&names, group, prepared))
        return PREPARED_NOTHING;
    prepared->listening = makeFolder(SOCKET_DIR) ? listenAt(prepared->path) : -1;
    // What serves at the socket of a single container is on its way out, after the delete of another with the
    // same id: by the time that the shim looks, it has gone.
    if (prepared->listening < 0)
        return errno == EADDRINUSE && *group && isServed(prepared->path) && writeAddress(prepared->address)
                   ? PREPARED_ALL
                   : PREPARED_NOTHING;
    if (writeAddress(prepared->address))
        return PREPARED_SOCKET;
    close(prepared->listening);
    unlink(prepared->path);
    return PREPARED_NOTHING;
}

void unprepare(const struct prepared *prepared) {
    unlink(prepared->path);
    unlink("address");
}
