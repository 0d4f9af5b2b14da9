/*
 * Touches an amount of memory, says "ready", and holds it until it is killed.
 *
 * A virtual machine may have given free memory back to its hypervisor, and touching such memory is several
 * times slower for a while; and some two seconds after much has become free it is given back, which holds up
 * the whole machine. Benchmarks let this program free what it holds for a timed step, so that every step
 * finds memory alike: all at once by killing it, or, after SIGUSR1, as others take it, so that little is ever
 * free.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define HUGE (2ul << 20)
#define SECONDS 600
/* More than anybody takes between two looks. */
#define AT_HAND (48ul << 20)
#define LOOK_NS 5000000

static volatile sig_atomic_t giving;

static void give(int number) {
    (void)number;
    giving = 1;
}

/* Bytes that nobody uses, not even as a cache. */
static size_t free_memory(void) {
    char line[128];
    size_t kilobytes = 0;
    FILE *file = fopen("/proc/meminfo", "re");

    while (file && fgets(line, sizeof(line), file) && sscanf(line, "MemFree: %zu kB", &kilobytes) != 1) {
    }
    if (file)
        fclose(file);
    return kilobytes << 10;
}

/* Keeps AT_HAND more free than there is now, for as long as there is something to give. */
static void give_as_taken(char *memory, size_t bytes) {
    const struct timespec look = {.tv_nsec = LOOK_NS};
    size_t wanted = free_memory() + AT_HAND;

    while (bytes) {
        size_t now = free_memory(), step = now < wanted ? (wanted - now + HUGE - 1) / HUGE * HUGE : 0;

        if (step > bytes)
            step = bytes;
        if (step)
            munmap(memory + bytes - step, step);
        bytes -= step;
        nanosleep(&look, NULL);
    }
}

int main(int argc, char **argv) {
    size_t bytes = argc == 2 ? strtoull(argv[1], NULL, 10) << 20 : 0;
    sigset_t giving_only, before;

    if (!bytes) {
        fprintf(stderr, "usage: warm MEGABYTES\n");
        return 2;
    }
    bytes = (bytes + HUGE - 1) / HUGE * HUGE;
    char *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        perror("warm: mmap");
        return 1;
    }
    sigemptyset(&giving_only);
    sigaddset(&giving_only, SIGUSR1);
    sigprocmask(SIG_BLOCK, &giving_only, &before);
    signal(SIGUSR1, give);
    /* Huge pages, so that the end of this process gives everything back in milliseconds. */
    madvise(memory, bytes, MADV_HUGEPAGE);
    memset(memory, 1, bytes);
    alarm(SECONDS);
    puts("ready");
    fflush(stdout);
    while (!giving)
        sigsuspend(&before);
    give_as_taken(memory, bytes);
    for (;;)
        pause();
}
