#ifndef PCLIVE_PREPARE_H
#define PCLIVE_PREPARE_H
#include "sha256.h"

enum { MAX_SOCKET_PATH = 106 };

// The start of a container that has a shim of its own, as nearly all have: its socket is made by the
// launcher, so that Node has not to do it. What is in any way special is left to the shim, see
// shim/cli/start.ts.
struct prepared {
    // What containerd shall read: its socket's address.
    char address[sizeof "unix://" + MAX_SOCKET_PATH];
    const char *path;
    int listening;
};

// Makes the socket and writes the address into the bundle. Returns 0, with nothing made, when the shim must
// do it.
int prepare(char **argv, struct prepared *prepared);

// Takes both away again.
void unprepare(const struct prepared *prepared);

// Makes standard input a file in memory which holds all that came in, so that it can be read twice. Returns 0
// with `errno` set when the input does not end or cannot be read.
int keepInput(int limitMs);

// Whether the input is that of a container without a cgroup for its shim, in the form of containerd
// before 2.3.
int inputIsPlain(const char *id);

// Whether config.json of the current directory names no group and is as the shim wants it.
int specIsPlain(void);

#endif
