/* SPDX-License-Identifier: Apache-2.0 */
/* native/criu/move.c alone: a move, and the copy when the kernel refuses to move. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "overlay.h"

#ifndef __NR_mseal
#define __NR_mseal 462
#endif

#define LEN (5ul << 20)
#define PAGE 4096ul

static int passed, failed;

static void check(const char *name, int good) {
    good ? passed++ : failed++;
    printf("%s  %s\n", good ? "ok  " : "FAIL", name);
}

static char *map(int flags) {
    return mmap(NULL, LEN, flags, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static size_t resident(const char *at) {
    unsigned char pages[LEN / PAGE];
    size_t count = 0;

    mincore((void *)at, LEN, pages);
    for (size_t i = 0; i < LEN / PAGE; i++)
        count += pages[i] & 1;
    return count;
}

static void write_some(char *at) {
    for (size_t page = 0; page < LEN / PAGE; page += 7)
        memset(at + page * PAGE, (int)page % 250 + 1, PAGE);
}

static int same(const char *at) {
    for (size_t page = 0; page < LEN / PAGE; page++)
        if (at[page * PAGE] != (page % 7 ? 0 : (char)(page % 250 + 1)))
            return 0;
    return 1;
}

int main(void) {
    char *from = map(PROT_READ | PROT_WRITE), *to = map(PROT_NONE);
    size_t pages;
    bool copied = true;

    write_some(from);
    check("memory is moved",
          !move_pages((unsigned long)from, (unsigned long)to, LEN, &copied) && !copied && same(to));

    from = map(PROT_READ | PROT_WRITE);
    to = map(PROT_NONE);
    write_some(from);
    pages = resident(from);
    if (syscall(__NR_mseal, from, LEN, 0)) {
        printf("ok    (no mseal before Linux 6.10: the copy cannot be provoked here)\n");
    } else {
        check("what cannot be moved is copied",
              !move_pages((unsigned long)from, (unsigned long)to, LEN, &copied) && copied);
        check("absent pages stay absent", resident(to) == pages);
        check("the copy is right", same(to));
    }

    /* The kernel moves the first page, then refuses the rest: what is left must not pass for the whole. */
    from = map(PROT_READ | PROT_WRITE);
    to = map(PROT_NONE);
    munmap(from + PAGE, PAGE);
    if (!syscall(__NR_mseal, from + 2 * PAGE, LEN - 2 * PAGE, 0))
        check("a half-done move is an error, not a crash",
              move_pages((unsigned long)from, (unsigned long)to, LEN, &copied) == -1);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
