/* SPDX-License-Identifier: Apache-2.0 */
/* native/criu/pack.c and unpack.c alone, beside the real tar. As root: devices and owners are part of it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive.h"

static int passed, failed;

static void check(const char *name, int good) {
    good ? passed++ : failed++;
    printf("%s  %s\n", good ? "ok  " : "FAIL", name);
}

static int sh(const char *script) {
    return system(script);
}

/* Everything that a tar archive keeps, of every file below a folder, in the file LIST. */
static int list(const char *folder, const char *into) {
    char script[512];

    snprintf(script, sizeof(script),
             "cd %s && { find . ! -type s -printf '%%P %%y %%m %%U %%G %%l ' \\( -type d -printf '- ' -o "
             "-printf '%%s ' \\) -printf '%%TY-%%Tm-%%Td %%TH:%%TM:%%.2TS\\n'; "
             "find . -type f -exec sha256sum {} +; find . -type c -exec stat -c '%%n %%t %%T' {} +; } | "
             "sort >../%s",
             folder, into);
    return sh(script);
}

static int open_dir(const char *path) {
    return open(path, O_RDONLY | O_DIRECTORY);
}

static enum archive_result pack(const char *from, const char *to) {
    int dir = open_dir(from), out = open(to, O_RDWR | O_CREAT | O_TRUNC, 0600);
    enum archive_result result;

    result = write(out, "head", 4) == 4 ? archive_pack(dir, out) : ARCHIVE_FAILED;
    if (result == ARCHIVE_NOT_OURS)
        check("what is not packed leaves the file as it was", lseek(out, 0, SEEK_END) == 4);
    close(dir);
    close(out);
    return result;
}

static enum archive_result unpack(const char *from, const char *to) {
    int dir, in = open(from, O_RDONLY);
    enum archive_result result;

    mkdir(to, 0700);
    dir = open_dir(to);
    lseek(in, 4, SEEK_SET);
    result = archive_unpack(in, dir);
    close(dir);
    close(in);
    return result;
}

static const char plain[] =
    "set -e; umask 022; mkdir from; cd from\n"
    "mkdir -p a/b/c empty; chmod 1777 empty; chmod 711 a; chown 1000:2000 a/b\n"
    "echo hello >a/file; chmod 4755 a/file; : >nothing; chown 3:4 nothing\n"
    "head -c 65024 /dev/urandom >block; head -c 700001 /dev/urandom >a/b/c/large\n"
    "truncate -s 300000 hole; printf x | dd of=hole bs=1 seek=299000 conv=notrunc status=none\n"
    "ln -s /etc/passwd link; ln -s nowhere a/dangling; mknod null c 1 3; mknod far c 300 70000\n"
    "mknod pipe p; chmod 666 null; chown -h 7:8 link; touch -d '2001-02-03 04:05:06' a/file link a/b\n"
    "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"socket\")'\n"
    "touch -d '1999-12-31 23:59:59' a .\n";

static void round_trip(void) {
    check("a tree is made", !sh(plain) && !list("from", "from.list"));
    check("it is packed", pack("from", "image") == ARCHIVE_DONE);
    check("tar reads what was packed",
          !sh("mkdir tar && tail -c +5 image | tar --extract --gzip --directory tar"));
    check("and finds the same", !list("tar", "tar.list") && !sh("diff from.list tar.list"));
    check("it is unpacked", unpack("image", "to") == ARCHIVE_DONE);
    check("and is the same", !list("to", "to.list") && !sh("diff from.list to.list"));
    check("a hole stays one", !sh("test $(stat -c %b to/hole) -lt 100"));
}

static void not_ours(void) {
    check("tar's own archive is left to tar",
          !sh("{ printf head; tar --create --gzip --directory from .; } >foreign 2>/dev/null") &&
              unpack("foreign", "foreign.to") == ARCHIVE_NOT_OURS);
    sh("mkdir linked && echo a >linked/a && ln linked/a linked/b");
    check("hard links are left to tar", pack("linked", "no") == ARCHIVE_NOT_OURS);
    sh("mkdir sparse && truncate -s 8M sparse/a");
    check("sparse files are left to tar", pack("sparse", "no") == ARCHIVE_NOT_OURS);
    sh("mkdir long && touch long/$(printf %0100d 7)");
    check("long names are left to tar", pack("long", "no") == ARCHIVE_NOT_OURS);
    sh("mkdir target && ln -s $(printf %0100d 7) target/a");
    check("long targets of links are left to tar", pack("target", "no") == ARCHIVE_NOT_OURS);
    sh("mkdir deep && cd deep && for i in $(seq 70); do mkdir d && cd d; done");
    check("deep trees are left to tar", pack("deep", "no") == ARCHIVE_NOT_OURS);
    sh("mkdir owned && touch owned/a && chown 3000000 owned/a");
    check("large ids are left to tar", pack("owned", "no") == ARCHIVE_NOT_OURS);
}

/* No byte may be changed, and none be missing, without notice; and nothing worse may come of it than an
 * error. */
static void damage(void) {
    int noticed = 1, cut = 1;
    struct stat st;

    sh("mkdir small && echo abc >small/a && mkdir small/b && ln -s b small/c");
    pack("small", "small.image");
    stat("small.image", &st);
    for (off_t at = 4 + 17; at < st.st_size; at++) {
        int fd;
        uint8_t byte;

        sh("rm -rf damaged.to && cp small.image damaged");
        fd = open("damaged", O_RDWR);
        if (pread(fd, &byte, 1, at) != 1)
            noticed = 0;
        byte ^= 1u << (at % 8);
        if (pwrite(fd, &byte, 1, at) != 1 || unpack("damaged", "damaged.to") != ARCHIVE_FAILED) {
            printf("      byte %ld\n", (long)at);
            noticed = 0;
        }
        close(fd);
        at += at > 1600 && at < st.st_size - 600 ? 97 : at > 200 ? 13 : 0;
    }
    check("a changed byte is noticed", noticed);
    for (off_t len = 4 + 17; len < st.st_size; len += 61) {
        sh("rm -rf damaged.to && cp small.image damaged");
        if (truncate("damaged", len) || unpack("damaged", "damaged.to") != ARCHIVE_FAILED)
            cut = 0;
    }
    check("a missing end is noticed", cut);
}

int main(void) {
    char folder[] = "/tmp/pclive-archive-test.XXXXXX";
    char script[128];

    if (!mkdtemp(folder) || chdir(folder))
        return 1;
    round_trip();
    not_ours();
    damage();
    snprintf(script, sizeof(script), "rm -rf %s", folder);
    sh(script);
    printf("archive: %d passed, %d failed\n", passed, failed);
    return failed > 0;
}
