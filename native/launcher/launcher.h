#ifndef PCLIVE_LAUNCHER_H
#define PCLIVE_LAUNCHER_H

// What the server says first when all is well; an error's text begins with any other byte.
#define REPORT_ANSWER '\x06'

// Where a server finds the socket that was made for it.
#define LISTENING_FD 4

enum script {
    // Reads the arguments and does what they say.
    SCRIPT_START,
    // Serves at LISTENING_FD.
    SCRIPT_SERVE,
};

// Replaces this process by Node with the shim's JavaScript. Returns, with the error told, only when that
// fails.
int runNode(enum script script, char **argv);

// Prints what the server has left in the bundle after a whole Delete. Returns 0, with nothing printed, when
// there is no such answer or something is left to do. The bundle becomes the current directory.
int answerDeleted(char **argv);

#endif
