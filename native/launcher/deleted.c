// The action `delete` when there is nothing to do. containerd waits for it at the end of every container,
// also of one that the server has deleted; the server then leaves the answer in the bundle, and Node need not
// be started.
#define _GNU_SOURCE
#include "launcher.h"
#include "socket.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FILE = 4096 };

// A whole small file. Returns its length; -1 when it is not there or is no regular file of that size.
static ssize_t readFile(const char *path, char *bytes) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return -1;
    struct stat about;
    ssize_t size = -1;
    if (fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && about.st_size < MAX_FILE)
        size = read(fd, bytes, MAX_FILE);
    close(fd);
    return size;
}

// Whether the group's socket is as it should be: gone, or served. What a killed server left is to be removed.
static int socketIsClean(void) {
    char address[MAX_FILE + 1];
    const ssize_t size = readFile("address", address);
    if (size < 0)
        return 0;
    address[size] = '\0';
    const char *path = strncmp(address, "unix://", 7) == 0 ? address + 7 : address;
    return access(path, F_OK) != 0 || isServed(path);
}

// As in the flags of the shim; without it the bundle is the current directory.
static const char *bundleOf(char **argv) {
    for (; *argv != NULL; argv++)
        if ((strcmp(*argv, "-bundle") == 0 || strcmp(*argv, "--bundle") == 0) && argv[1] != NULL)
            return argv[1];
    return ".";
}

int answerDeleted(char **argv) {
    char answer[MAX_FILE];
    const char *bundle = bundleOf(argv);
    // A relative one is left to the shim: its meaning must not change.
    if ((*bundle != '/' && strcmp(bundle, ".") != 0) || chdir(bundle) != 0)
        return 0;
    const ssize_t size = readFile("deleted", answer);
    return size > 0 && socketIsClean() && write(STDOUT_FILENO, answer, (size_t)size) == size;
}
