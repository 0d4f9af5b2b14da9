#ifndef PCLIVE_CLOCK_H
#define PCLIVE_CLOCK_H
#include <time.h>

static inline long long nowMs(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

#endif
