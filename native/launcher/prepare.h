#ifndef PCLIVE_PREPARE_H
#define PCLIVE_PREPARE_H
#include "sha256.h"

enum { MAX_SOCKET_PATH = 106, MAX_GROUP = 256 };

// An ordinary start, as nearly all are: the launcher makes the server's socket, so that Node has not to do
// it, or finds that the server of the container's group is there. What is in any way special is left to the
// shim, see shim/cli/start.ts.
enum preparation {
    // Nothing is made: the shim must do it.
    PREPARED_NOTHING,
    // There is a socket that waits for its server, and the address is in the bundle.
    PREPARED_SOCKET,
    // The address in the bundle is that of a server.
    PREPARED_ALL,
};

struct prepared {
    // What containerd shall read: the socket's address.
    char address[sizeof "unix://" + MAX_SOCKET_PATH];
    const char *path;
    int listening;
};

enum preparation prepare(char **argv, struct prepared *prepared);

// Takes socket and address away again.
void unprepare(const struct prepared *prepared);

// Makes standard input a file in memory which holds all that came in, so that it can be read twice. Returns 0
// with `errno` set when the input does not end or cannot be read.
int keepInput(int limitMs);

// Whether the input is that of a container without a cgroup for its shim, in the form of containerd
// before 2.3.
int inputIsPlain(const char *id);

// The group that config.json of the current directory names, or an empty text. Returns 0 when the file is not
// as the shim wants it, or unusual.
int readGroup(char group[MAX_GROUP]);

// Letters and digits, with single signs between them.
int isIdentifier(const char *name);

#endif
