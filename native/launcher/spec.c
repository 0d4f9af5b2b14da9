// Whether config.json is that of a container with a shim of its own, and all right as far as the shim's start
// judges it (shim/bundle/spec.ts). Anything else, and anything unusual, is left to the shim, which tells what
// is wrong.
#define _GNU_SOURCE
#include "json.h"
#include "prepare.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_SPEC = 16 * 1024 * 1024 };

static int isNull(struct json *json) {
    return jsonPeek(json) == JSON_NULL;
}

static int annotation(struct json *json, struct jsonString key, void *data) {
    (void)data;
    struct jsonString value;
    // Those that put containers into one shim, see shim/cli/socket.ts.
    return key.plain && !jsonIs(key, "io.containerd.runc.v2.group") &&
           !jsonIs(key, "io.kubernetes.cri.sandbox-id") && jsonText(json, &value);
}

static int namespaceMember(struct json *json, struct jsonString key, void *data) {
    int *hasType = data;
    struct jsonString value;
    if (!key.plain)
        return 0;
    if (jsonIs(key, "type"))
        return *hasType = jsonText(json, &value);
    if (jsonIs(key, "path") && !isNull(json))
        return jsonText(json, &value);
    return jsonSkip(json);
}

static int namespaceElement(struct json *json, void *data) {
    (void)data;
    int hasType = 0;
    return jsonObject(json, namespaceMember, &hasType) && hasType;
}

static int linuxMember(struct json *json, struct jsonString key, void *data) {
    (void)data;
    struct jsonString value;
    if (!key.plain)
        return 0;
    if (jsonIs(key, "cgroupsPath") && !isNull(json))
        return jsonText(json, &value);
    if (jsonIs(key, "namespaces") && !isNull(json))
        return jsonArray(json, namespaceElement, NULL);
    return jsonSkip(json);
}

static int specMember(struct json *json, struct jsonString key, void *data) {
    (void)data;
    if (!key.plain)
        return 0;
    if (isNull(json))
        return jsonSkip(json);
    if (jsonIs(key, "annotations"))
        return jsonObject(json, annotation, NULL);
    if (jsonIs(key, "linux"))
        return jsonObject(json, linuxMember, NULL);
    if (jsonIs(key, "process") || jsonIs(key, "root"))
        return jsonPeek(json) == JSON_OBJECT && jsonSkip(json);
    return jsonSkip(json);
}

static int isPlain(const char *text, size_t size) {
    struct json json = {.next = text, .end = text + size};
    return jsonObject(&json, specMember, NULL) && jsonAtEnd(&json);
}

int specIsPlain(void) {
    const int fd = open("config.json", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return 0;
    struct stat about;
    int plain = 0;
    if (fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && about.st_size > 0 && about.st_size <= MAX_SPEC) {
        const size_t size = (size_t)about.st_size;
        // Written by containerd before the start: it does not change. A private copy of a small file.
        char *text = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (text != MAP_FAILED) {
            plain = read(fd, text, size) == (ssize_t)size && isPlain(text, size);
            munmap(text, size);
        }
    }
    close(fd);
    return plain;
}
