// What containerd writes to the standard input of `start`: options of the runtime, or nothing.
#define _GNU_SOURCE
#include "clock.h"
#include "prepare.h"
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    // The shim refuses what is longer than this, and need not see more of it.
    MAX_INPUT = 4 * 1024 * 1024,
    CHUNK = 16 * 1024,
    // Of an input that is looked at here.
    MAX_PLAIN = 4096,
    // Fields of google.protobuf.Any and containerd.runc.v1.Options.
    ANY_TYPE = 1,
    ANY_VALUE = 2,
    SHIM_CGROUP = 3,
};

static const char RUNC_OPTIONS[] = "containerd.runc.v1.Options";

// A device is no input: there would be no end.
static int hasInput(void) {
    struct stat about;
    return fstat(STDIN_FILENO, &about) == 0 && !S_ISCHR(about.st_mode);
}

static int copyInput(int to, int limitMs) {
    static char chunk[CHUNK];
    const long long deadline = nowMs() + limitMs;
    for (size_t size = 0; size <= MAX_INPUT;) {
        struct pollfd watched = {.fd = STDIN_FILENO, .events = POLLIN};
        const long long left = deadline - nowMs();
        const int ready = left > 0 ? poll(&watched, 1, (int)left) : 0;
        if (ready == 0)
            errno = ETIMEDOUT;
        if (ready == 0 || (ready < 0 && errno != EINTR))
            return 0;
        const ssize_t got = ready < 0 ? -1 : read(STDIN_FILENO, chunk, sizeof chunk);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got <= 0)
            return got == 0;
        if (write(to, chunk, (size_t)got) != got)
            return 0;
        size += (size_t)got;
    }
    return 1;
}

int keepInput(int limitMs) {
    if (!hasInput())
        return 1;
    const int kept = memfd_create("pclive-input", MFD_CLOEXEC);
    // Then the shim reads it where it is.
    if (kept < 0)
        return 1;
    const int whole =
        copyInput(kept, limitMs) && lseek(kept, 0, SEEK_SET) == 0 && dup2(kept, STDIN_FILENO) == 0;
    const int reason = errno;
    close(kept);
    errno = reason;
    return whole;
}

// A field of a message in protobuf's wire format: a number, or `size` bytes.
struct field {
    uint64_t number;
    const unsigned char *bytes;
    size_t size;
};

struct message {
    const unsigned char *next, *end;
};

static int takeVarint(struct message *message, uint64_t *value) {
    *value = 0;
    for (int shift = 0; shift < 64 && message->next < message->end; shift += 7) {
        const unsigned char byte = *message->next++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return 1;
    }
    return 0;
}

static int takeField(struct message *message, struct field *field) {
    enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };
    uint64_t key, size = 0;
    if (!takeVarint(message, &key))
        return 0;
    switch (key & 7) {
    case VARINT:
        if (!takeVarint(message, &size))
            return 0;
        size = 0;
        break;
    case FIXED64:
        size = 8;
        break;
    case BYTES:
        if (!takeVarint(message, &size))
            return 0;
        break;
    case FIXED32:
        size = 4;
        break;
    default:
        return 0;
    }
    if (size > (uint64_t)(message->end - message->next))
        return 0;
    *field = (struct field){.number = key >> 3, .bytes = message->next, .size = (size_t)size};
    message->next += size;
    return 1;
}

static int optionsArePlain(const unsigned char *bytes, size_t size) {
    struct message options = {.next = bytes, .end = bytes + size};
    struct field field;
    while (options.next < options.end)
        if (!takeField(&options, &field) || (field.number == SHIM_CGROUP && field.size > 0))
            return 0;
    return 1;
}

static int isPlain(const unsigned char *bytes, size_t size) {
    struct message any = {.next = bytes, .end = bytes + size};
    struct field type, value = {.size = 0};
    if (!takeField(&any, &type) || type.number != ANY_TYPE || type.size != strlen(RUNC_OPTIONS) ||
        memcmp(type.bytes, RUNC_OPTIONS, type.size) != 0)
        return 0;
    if (any.next < any.end && (!takeField(&any, &value) || value.number != ANY_VALUE))
        return 0;
    return any.next == any.end && optionsArePlain(value.bytes, value.size);
}

int inputIsPlain(const char *id) {
    unsigned char bytes[MAX_PLAIN];
    if (!hasInput())
        return 1;
    const ssize_t size = pread(STDIN_FILENO, bytes, sizeof bytes, 0);
    if (size < 0 || size == MAX_PLAIN)
        return 0;
    // The first field of what newer ones write is the container's id.
    return size == 0 || (strcmp(id, RUNC_OPTIONS) != 0 && isPlain(bytes, (size_t)size));
}
