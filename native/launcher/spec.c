// The group of a container, and whether its config.json is all right as far as the shim's start judges it
// (shim/bundle/spec.ts). Anything unusual is left to the shim, which tells what is wrong.
#define _GNU_SOURCE
#include "json.h"
#include "prepare.h"
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_SPEC = 16 * 1024 * 1024 };

static int isNull(struct json *json) {
    return jsonPeek(json) == JSON_NULL;
}

// Those that put containers into one shim, the first that is set counts; see shim/cli/socket.ts.
static const char *const GROUPS[] = {"io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"};
enum { GROUP_KINDS = sizeof GROUPS / sizeof *GROUPS };

struct spec {
    struct jsonString groups[GROUP_KINDS];
};

static int annotation(struct json *json, struct jsonString key, void *data) {
    struct spec *spec = data;
    struct jsonString value;
    if (!key.plain || !jsonText(json, &value))
        return 0;
    for (int i = 0; i < GROUP_KINDS; i++)
        if (jsonIs(key, GROUPS[i]))
            spec->groups[i] = value;
    return 1;
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
    if (!key.plain)
        return 0;
    if (isNull(json))
        return jsonSkip(json);
    if (jsonIs(key, "annotations"))
        return jsonObject(json, annotation, data);
    if (jsonIs(key, "linux"))
        return jsonObject(json, linuxMember, NULL);
    if (jsonIs(key, "process") || jsonIs(key, "root"))
        return jsonPeek(json) == JSON_OBJECT && jsonSkip(json);
    return jsonSkip(json);
}

// Empty when none is set.
static int copyGroup(const struct spec *spec, char group[MAX_GROUP]) {
    *group = '\0';
    for (int i = 0; i < GROUP_KINDS; i++) {
        const struct jsonString *name = &spec->groups[i];
        if (name->size == 0)
            continue;
        if (!name->plain || name->size >= MAX_GROUP || memchr(name->begin, '\0', name->size) != NULL)
            return 0;
        memcpy(group, name->begin, name->size);
        group[name->size] = '\0';
        return isIdentifier(group);
    }
    return 1;
}

static int groupIn(const char *text, size_t size, char group[MAX_GROUP]) {
    struct json json = {.next = text, .end = text + size};
    struct spec spec = {0};
    return jsonObject(&json, specMember, &spec) && jsonAtEnd(&json) && copyGroup(&spec, group);
}

int readGroup(char group[MAX_GROUP]) {
    const int fd = open("config.json", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return 0;
    struct stat about;
    int known = 0;
    if (fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && about.st_size > 0 && about.st_size <= MAX_SPEC) {
        const size_t size = (size_t)about.st_size;
        // Written by containerd before the start: it does not change.
        char *text = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (text != MAP_FAILED) {
            known = read(fd, text, size) == (ssize_t)size && groupIn(text, size, group);
            munmap(text, size);
        }
    }
    close(fd);
    return known;
}
