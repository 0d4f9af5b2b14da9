// The shim's one file is two things: a program, which is this, and the Node addon with the shim's JavaScript
// inside. The program finds Node and has it load this very file. For the action `start` it also is the
// messenger: the server is its child from the first instruction on, so that Node starts once, and reports
// what containerd shall read.
#define _GNU_SOURCE
#include "launcher.h"
#include "clock.h"
#include "prepare.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REPORT_FD = 3, MAX_REPORT = 64 * 1024, START_MS = 30 * 1000 };

// Executed by its loader, like any program; a shared object says itself which that is.
#if defined(__x86_64__)
__attribute__((section(".interp"), used)) static const char interpreter[] = "/lib64/ld-linux-x86-64.so.2";
#elif defined(__aarch64__)
__attribute__((section(".interp"), used)) static const char interpreter[] = "/lib/ld-linux-aarch64.so.1";
#else
#error "name the program interpreter of this architecture"
#endif

static int fail(const char *what) {
    fprintf(stderr, "containerd-shim-pclive-v2: %s: %s\n", what, strerror(errno));
    return 1;
}

// A little likelier to be killed than containerd, whose score this is, much less than the containers.
static void adjustOomScore(void) {
    enum { MAX_SCORE = 1000 };
    int score;
    FILE *file = fopen("/proc/self/oom_score_adj", "r+e");
    // Not allowed in some namespaces: then the score stays as inherited.
    if (file == NULL)
        return;
    if (fscanf(file, "%d", &score) == 1 && score < MAX_SCORE) {
        rewind(file);
        fprintf(file, "%d", score + 1);
    }
    fclose(file);
}

// The descriptor under that number, for Node. Those beyond the standard ones are closed by themselves on
// exec.
static int hand(int fd, int number) {
    return fd == number ? fcntl(fd, F_SETFD, 0) == 0 : dup2(fd, number) == number;
}

// The server: a session of its own, nothing of containerd's but standard input, which holds the task's
// options. What Node itself has to say before the shim's code runs is an answer too.
static void becomeServer(int report, const struct prepared *prepared, char **argv) {
    setsid();
    adjustOomScore();
    const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    // Out of the way of what comes to its number.
    const int listening =
        prepared == NULL ? -1 : fcntl(prepared->listening, F_DUPFD_CLOEXEC, LISTENING_FD + 1);
    if (null < 0 || !hand(null, 1) || !hand(report, 2) || !hand(report, REPORT_FD) ||
        (prepared != NULL && !hand(listening, LISTENING_FD)))
        _exit(fail("redirecting output"));
    runNode(prepared == NULL ? SCRIPT_START : SCRIPT_SERVE, argv);
    _exit(1);
}

// Reads the report to its end. Returns its length, or -1 when the server says nothing for too long.
static ssize_t readReport(int fd, char *text) {
    size_t size = 0;
    const long long deadline = nowMs() + START_MS;
    for (;;) {
        struct pollfd watched = {.fd = fd, .events = POLLIN};
        const long long left = deadline - nowMs();
        const int ready = left > 0 ? poll(&watched, 1, (int)left) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0 || size == MAX_REPORT)
            return -1;
        const ssize_t got = read(fd, text + size, MAX_REPORT - size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return (ssize_t)size;
        size += (size_t)got;
    }
}

static int writeAll(int fd, const char *bytes, size_t size) {
    while (size > 0) {
        const ssize_t put = write(fd, bytes, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return 1;
        bytes += put;
        size -= (size_t)put;
    }
    return 0;
}

// The report is REPORT_ANSWER and what to print, unless that is prepared, or the text of an error.
static int deliver(const char *report, size_t size, const struct prepared *prepared) {
    if (size > 0 && report[0] == REPORT_ANSWER)
        return prepared == NULL ? writeAll(STDOUT_FILENO, report + 1, size - 1)
                                : writeAll(STDOUT_FILENO, prepared->address, strlen(prepared->address));
    if (size == 0)
        fprintf(stderr,
                "containerd-shim-pclive-v2: the server ended at once; remedy: see the kernel's log\n");
    else
        writeAll(STDERR_FILENO, report, size);
    return 1;
}

static int tooSlow(void) {
    fprintf(stderr,
            "containerd-shim-pclive-v2: the server did not start within %d s; remedy: see the load of this "
            "host\n",
            START_MS / 1000);
    return 1;
}

// Starts the server and hands its answer on.
static int startServer(const struct prepared *prepared, char **argv) {
    static char report[MAX_REPORT];
    int channel[2];
    if (pipe2(channel, O_CLOEXEC) < 0)
        return fail("pipe");
    const pid_t server = fork();
    if (server < 0)
        return fail("fork");
    if (server == 0)
        becomeServer(channel[1], prepared, argv);
    close(channel[1]);
    const ssize_t size = readReport(channel[0], report);
    if (size >= 0)
        return deliver(report, (size_t)size, prepared);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    return tooSlow();
}

static int start(char **argv) {
    struct prepared prepared;
    int status = 1;
    if (!keepInput(START_MS))
        return errno == ETIMEDOUT ? tooSlow() : fail("standard input");
    switch (prepare(argv, &prepared)) {
    case PREPARED_NOTHING:
        status = startServer(NULL, argv);
        break;
    case PREPARED_SOCKET:
        status = startServer(&prepared, argv);
        if (status != 0)
            unprepare(&prepared);
        break;
    case PREPARED_ALL:
        status = writeAll(STDOUT_FILENO, prepared.address, strlen(prepared.address));
        break;
    }
    return status;
}

// Whether the shim is asked what it is: then the action is not done.
static int isQuestion(char **argv) {
    static const char *const questions[] = {"v", "version", "info"};
    for (; *argv != NULL; argv++) {
        const char *name = *argv + (**argv == '-') + (strncmp(*argv, "--", 2) == 0);
        for (size_t i = 0; name != *argv && i < sizeof questions / sizeof *questions; i++)
            if (strcmp(name, questions[i]) == 0)
                return 1;
    }
    return 0;
}

__attribute__((visibility("hidden"))) int main(int argc, char **argv) {
    // containerd gives the action last. Were it wrong, the shim's own reading of the flags would tell.
    if (argc < 2 || isQuestion(argv + 1))
        return runNode(SCRIPT_START, argv);
    if (strcmp(argv[argc - 1], "start") == 0)
        return start(argv);
    if (strcmp(argv[argc - 1], "delete") == 0 && answerDeleted(argv))
        return 0;
    return runNode(SCRIPT_START, argv);
}
