/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What CRIU gets instead of smaps says the same of every mapping: of a process with all kinds of them, more
 * than the kernel gives at once, and of every process of this machine that stands still.
 */
#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ahead.h"
#include "overlay.h"
#include "vma_flags.h"

#define PAGE 4096ul
#define MANY 5000

int __wrap_do_open_proc(pid_t pid, int flags, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int __real_do_open_proc(pid_t pid, int flags, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static bool real_smaps_read;

bool dump_is_ours(void) {
    return true;
}

int __real_do_open_proc(pid_t pid, int flags, const char *fmt, ...) {
    char name[64], path[128];
    va_list arguments;

    va_start(arguments, fmt);
    vsnprintf(name, sizeof(name), fmt, arguments);
    va_end(arguments);
    real_smaps_read |= !strcmp(name, "smaps");
    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    return open(path, flags | O_CLOEXEC);
}

/* The lines that CRIU reads, and of the flags those that it knows. */
static char *digest(FILE *smaps) {
    static const char *const names[] = {"gd", "pf", "lo", "io", "sr", "rr", "dc", "nr",
                                        "ht", "wf", "dd", "hg", "nh", "mg", "dp", "ss"};
    char *line = NULL, *text = NULL;
    size_t room = 0, len = 0;
    FILE *out = open_memstream(&text, &len);
    bool vsyscall = false;

    while (getline(&line, &room, smaps) > 0) {
        unsigned long start, end;

        if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
            vsyscall = strstr(line, "[vsyscall]");
            fputs(line, out);
        }
        if (strncmp(line, "VmFlags:", 8) || vsyscall)
            continue;
        line[strcspn(line, "\n")] = ' ';
        for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
            char word[5] = {' ', names[i][0], names[i][1], ' ', 0};

            if (strstr(line, word))
                fprintf(out, "%s ", names[i]);
        }
        fputc('\n', out);
    }
    free(line);
    fclose(smaps);
    fclose(out);
    return text;
}

static char *ours(pid_t pid) {
    int fd = __wrap_do_open_proc(pid, O_RDONLY, "smaps");
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

    return file ? digest(file) : NULL;
}

static char *kernels(pid_t pid) {
    char path[64];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
    file = fopen(path, "re");
    return file ? digest(file) : NULL;
}

static void map_everything(void) {
    static const int advice[] = {MADV_SEQUENTIAL, MADV_RANDOM,   MADV_DONTFORK,   MADV_WIPEONFORK,
                                 MADV_DONTDUMP,   MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_MERGEABLE};
    const int anonymous = MAP_PRIVATE | MAP_ANONYMOUS;

    for (size_t i = 0; i < 64; i++) {
        char *at =
            mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, anonymous | (i & 8 ? MAP_NORESERVE : 0), -1, 0);

        assert(at != MAP_FAILED);
        madvise(at, 2 * PAGE, advice[i % 8]);
        if (i & 16)
            madvise(at, 2 * PAGE, MADV_DONTDUMP);
        if (i & 32)
            mlock(at, PAGE);
        memset(at, 1, PAGE);
    }
    mmap(NULL, PAGE, PROT_READ | PROT_WRITE, anonymous | MAP_GROWSDOWN, -1, 0);
    mmap(NULL, PAGE, PROT_READ, MAP_SHARED, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), 0);
    mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < MANY; i++)
        assert(mmap(NULL, PAGE, i % 2 ? PROT_READ : PROT_READ | PROT_WRITE, anonymous, -1, 0) != MAP_FAILED);
}

static pid_t start_subject(void) {
    pid_t pid = fork();

    assert(pid >= 0);
    if (pid)
        return pid;
    map_everything();
    raise(SIGSTOP);
    _exit(0);
}

/* @returns whether they were compared; a process that changes meanwhile, or ends, is left out */
static bool compared(pid_t pid) {
    char *before = kernels(pid), *got = ours(pid), *after = kernels(pid);
    bool stood_still = before && got && after && *before && !strcmp(before, after);

    if (stood_still && strcmp(before, got)) {
        fprintf(stderr, "of %d smaps says\n%s\nand we say\n%s\n", pid, before, got);
        abort();
    }
    free(before);
    free(got);
    free(after);
    return stood_still;
}

static int compare_all(void) {
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    int count = 0;

    assert(proc);
    while ((entry = readdir(proc)))
        count += isdigit((unsigned char)entry->d_name[0]) && compared(atoi(entry->d_name));
    closedir(proc);
    return count;
}

int main(void) {
    pid_t subject = start_subject();
    int status;

    waitpid(subject, &status, WUNTRACED);
    assert(compared(subject) && real_smaps_read); /* not prepared: the real one */
    smaps_prepare();
    if (!vma_flags_open()) {
        printf("ok    smaps (this kernel tells flags in smaps only)\n");
    } else {
        real_smaps_read = false;
        assert(compared(subject) && !real_smaps_read);
        printf("ok    smaps (%d processes alike)\n", compare_all());
    }
    kill(subject, SIGKILL);
    waitpid(subject, &status, 0);
    return 0;
}
