/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells whoever connects how far a program has come: a line "WORK CHECKS" every 10 ms, as long as there is
 * progress. Any byte from a client asks for one more check of everything that the program knows.
 */
#ifndef PULSE_H
#define PULSE_H

#include <stdatomic.h>
#include <stdint.h>

struct pulse {
    _Atomic uint64_t work;   /* units done so far */
    _Atomic uint64_t checks; /* complete checks so far, each of them good */
    _Atomic uint64_t asked;  /* checks that clients have asked for */
};

/* Serves `pulse` from a thread of its own. Ends the process when the port cannot be had. */
void pulse_serve(struct pulse *pulse, unsigned int port);

/* Whether a check was asked for that has not been made. */
static inline int pulse_wants_check(struct pulse *pulse) {
    return atomic_load(&pulse->asked) > atomic_load(&pulse->checks);
}

uint64_t pulse_random(uint64_t *state);

/* The number in `text`, or the end of the process with a word to the user. */
unsigned long pulse_number(const char *text, unsigned long low, unsigned long high);

#endif
