#ifndef PCLIVE_LAUNCHER_H
#define PCLIVE_LAUNCHER_H

// What the server says first when all is well; an error's text begins with any other byte.
#define REPORT_ANSWER '\x06'

// Replaces this process by Node with the shim's JavaScript. Returns, with the error told, only when that
// fails.
int runNode(char **argv);

// Prints what the server has left in the bundle after a whole Delete. Returns 0, with nothing printed, when
// there is no such answer or something is left to do. The bundle becomes the current directory.
int answerDeleted(char **argv);

#endif
