/*
 * Touches an amount of memory, says "ready", and holds it until it is killed.
 *
 * A virtual machine may have given free memory back to its hypervisor, and touching such memory is several
 * times slower for a while. Benchmarks free what this program holds just before a timed step, so that every
 * step finds memory alike.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv) {
    size_t bytes = argc == 2 ? strtoull(argv[1], NULL, 10) << 20 : 0;
    if (!bytes) {
        fprintf(stderr, "usage: warm MEGABYTES\n");
        return 2;
    }
    char *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        perror("warm: mmap");
        return 1;
    }
    /* Huge pages, so that the end of this process gives everything back in milliseconds. */
    madvise(memory, bytes, MADV_HUGEPAGE);
    memset(memory, 1, bytes);
    puts("ready");
    fflush(stdout);
    alarm(600);
    pause();
    return 0;
}
