#include "json.h"
#include <string.h>

// More than any config.json has; a deeper one is left to the shim.
enum { MAX_DEPTH = 64 };

static void skipSpace(struct json *json) {
    while (json->next < json->end && strchr(" \t\n\r", *json->next) != NULL && *json->next != '\0')
        json->next++;
}

// Takes the byte if it is what comes next.
static int take(struct json *json, char byte) {
    skipSpace(json);
    if (json->next == json->end || *json->next != byte)
        return 0;
    json->next++;
    return 1;
}

static int takeWord(struct json *json, const char *word) {
    const size_t size = strlen(word);
    if ((size_t)(json->end - json->next) < size || memcmp(json->next, word, size) != 0)
        return 0;
    json->next += size;
    return 1;
}

enum jsonKind jsonPeek(struct json *json) {
    skipSpace(json);
    if (json->next == json->end)
        return JSON_WRONG;
    switch (*json->next) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 'n':
        return JSON_NULL;
    default:
        return JSON_OTHER;
    }
}

static int isHex(char byte) {
    return (byte >= '0' && byte <= '9') || ((byte | 32) >= 'a' && (byte | 32) <= 'f');
}

static int takeEscape(struct json *json) {
    if (json->next == json->end)
        return 0;
    const char kind = *json->next++;
    if (kind != 'u')
        return kind != '\0' && strchr("\"\\/bfnrt", kind) != NULL;
    for (int i = 0; i < 4; i++, json->next++)
        if (json->next == json->end || !isHex(*json->next))
            return 0;
    return 1;
}

int jsonText(struct json *json, struct jsonString *string) {
    if (!take(json, '"'))
        return 0;
    *string = (struct jsonString){.begin = json->next, .plain = 1};
    while (json->next < json->end) {
        const char byte = *json->next++;
        if (byte == '"') {
            string->size = (size_t)(json->next - 1 - string->begin);
            return 1;
        }
        if ((unsigned char)byte < 0x20)
            return 0;
        if (byte != '\\')
            continue;
        string->plain = 0;
        if (!takeEscape(json))
            return 0;
    }
    return 0;
}

static int takeDigits(struct json *json) {
    const char *begin = json->next;
    while (json->next < json->end && *json->next >= '0' && *json->next <= '9')
        json->next++;
    return json->next > begin;
}

static int takeAny(struct json *json, const char *bytes) {
    if (json->next == json->end || *json->next == '\0' || strchr(bytes, *json->next) == NULL)
        return 0;
    json->next++;
    return 1;
}

static int takeNumber(struct json *json) {
    takeAny(json, "-");
    if (!takeAny(json, "0") && !takeDigits(json))
        return 0;
    if (takeAny(json, ".") && !takeDigits(json))
        return 0;
    if (!takeAny(json, "eE"))
        return 1;
    takeAny(json, "+-");
    return takeDigits(json);
}

int jsonObject(struct json *json, int (*member)(struct json *, struct jsonString key, void *), void *data) {
    if (!take(json, '{') || ++json->depth > MAX_DEPTH)
        return 0;
    if (!take(json, '}')) {
        do {
            struct jsonString key;
            if (!jsonText(json, &key) || !take(json, ':') || !member(json, key, data))
                return 0;
        } while (take(json, ','));
        if (!take(json, '}'))
            return 0;
    }
    json->depth--;
    return 1;
}

int jsonArray(struct json *json, int (*element)(struct json *, void *), void *data) {
    if (!take(json, '[') || ++json->depth > MAX_DEPTH)
        return 0;
    if (!take(json, ']')) {
        do {
            if (!element(json, data))
                return 0;
        } while (take(json, ','));
        if (!take(json, ']'))
            return 0;
    }
    json->depth--;
    return 1;
}

static int skipMember(struct json *json, struct jsonString key, void *data) {
    (void)key;
    (void)data;
    return jsonSkip(json);
}

static int skipElement(struct json *json, void *data) {
    (void)data;
    return jsonSkip(json);
}

int jsonSkip(struct json *json) {
    struct jsonString string;
    switch (jsonPeek(json)) {
    case JSON_WRONG:
        return 0;
    case JSON_OBJECT:
        return jsonObject(json, skipMember, NULL);
    case JSON_ARRAY:
        return jsonArray(json, skipElement, NULL);
    case JSON_STRING:
        return jsonText(json, &string);
    case JSON_NULL:
        return takeWord(json, "null");
    case JSON_OTHER:
        return takeWord(json, "true") || takeWord(json, "false") || takeNumber(json);
    }
    return 0;
}

int jsonAtEnd(struct json *json) {
    skipSpace(json);
    return json->next == json->end;
}

int jsonIs(struct jsonString string, const char *text) {
    return string.size == strlen(text) && memcmp(string.begin, text, string.size) == 0;
}
