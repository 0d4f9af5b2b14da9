// Which Node runs the shim, and how.
#define _GNU_SOURCE
#include "launcher.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

// Loads this file as addon and takes the JavaScript out of it: as a string that stays in the page cache,
// which all shims share, together with V8's own notes of what it made of that source (nothing is parsed
// again).
#define LOAD "const a={exports:{}};process.dlopen(a,process.argv[1]);"
#define RUN(name, filename)                                                                                  \
    "const{source,cache}=a.exports." name "();"                                                              \
    "new(require('vm').Script)(source,{filename:" filename ",cachedData:cache})"                             \
    ".runInThisContext()(require,a.exports)"
#define TEXT(number) #number
#define NUMBER(number) TEXT(number)

// A server with a socket tells the launcher at once that it is there; while containerd connects, it loads the
// rest.
static const char *const BOOTSTRAP[] = {
    [SCRIPT_START] = LOAD RUN("startScript", "process.argv[1]"),
    [SCRIPT_SERVE] = LOAD "a.exports.leaveLauncher();a.exports.report(Buffer.of(6));" RUN(
        "restScript", "process.argv[1]+':rest'") ".serveInherited(" NUMBER(LISTENING_FD) ")",
};

// One shim a container: a small heap, no helper threads that are seldom used, no code that is faster and
// larger.
static char *const FLAGS[] = {PCLIVE_NODE_FLAGS};

// Settings for other programs in containerd's environment: they would slow the shim down or change what it
// does.
static int isForNode(const char *variable) {
    return strncmp(variable, "NODE_", 5) == 0 || strncmp(variable, "UV_", 3) == 0;
}

static void cleanEnvironment(void) {
    char **kept = environ;
    for (char **variable = environ; *variable != NULL; variable++)
        if (!isForNode(*variable))
            *kept++ = *variable;
    *kept = NULL;
    // Two for the few file operations that wait for a disk. One arena, as one thread does nearly everything.
    setenv("UV_THREADPOOL_SIZE", "2", 1);
    setenv("MALLOC_ARENA_MAX", "1", 1);
}

// PATH/../lib/pclive/node, a link which the installer makes. Returns 0 when that would be too long.
static int besideUs(const char *self, char *path) {
    const char *slash = strrchr(self, '/');
    const int length = slash == NULL ? 0 : (int)(slash - self);
    return snprintf(path, PATH_MAX, "%.*s/../lib/pclive/node", length, self) < PATH_MAX;
}

static int locate(const char *self, char *path) {
    const char *named = getenv("PCLIVE_NODE");
    if (named != NULL && *named != '\0')
        return snprintf(path, PATH_MAX, "%s", named) < PATH_MAX;
    if (besideUs(self, path) && access(path, X_OK) == 0)
        return 1;
    static const char *const places[] = {PCLIVE_NODE_PATH, "/usr/lib/pclive/node", "/usr/local/bin/node",
                                         "/usr/bin/node"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, PATH_MAX, "%s", places[i]);
        if (access(path, X_OK) == 0)
            return 1;
    }
    return 0;
}

int runNode(enum script script, char **argv) {
    static char self[PATH_MAX], node[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length <= 0) {
        fprintf(stderr, "containerd-shim-pclive-v2: /proc/self/exe: %s; remedy: mount /proc\n",
                strerror(errno));
        return 1;
    }
    if (!locate(self, node)) {
        fprintf(stderr, "containerd-shim-pclive-v2: no Node; remedy: install Node 20 or later, or set "
                        "PCLIVE_NODE to its path\n");
        return 1;
    }
    size_t count = 0, flags = sizeof FLAGS / sizeof *FLAGS;
    while (argv[count] != NULL)
        count++;
    char **args = calloc(flags + count + 6, sizeof *args), **next = args;
    if (args == NULL)
        return 1;
    *next++ = argv[0];
    for (size_t i = 0; i < flags; i++)
        *next++ = FLAGS[i];
    *next++ = "-e";
    *next++ = (char *)BOOTSTRAP[script];
    *next++ = "--";
    *next++ = self;
    if (count > 1)
        memcpy(next, argv + 1, (count - 1) * sizeof *args);
    cleanEnvironment();
    execv(node, args);
    fprintf(stderr,
            "containerd-shim-pclive-v2: %s: %s; remedy: install Node 20 or later, or set PCLIVE_NODE to its "
            "path\n",
            node, strerror(errno));
    return 1;
}
