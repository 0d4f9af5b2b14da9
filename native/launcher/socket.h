#ifndef PCLIVE_SOCKET_H
#define PCLIVE_SOCKET_H

// A socket that listens there, for our own user only. Returns -1 with `errno` set when there is something
// already, or it cannot be made.
int listenAt(const char *path);

// Whether a server takes connections there, and has room for one now.
int isServed(const char *path);

#endif
