#ifndef PCLIVE_JSON_H
#define PCLIVE_JSON_H
#include <stddef.h>

// A reader of JSON that goes over a text once and keeps nothing of it. It takes no more than JSON.parse does.
struct json {
    const char *next, *end;
    int depth;
};

// The text between a string's quotes. `plain`: without a backslash, thus what it stands for.
struct jsonString {
    const char *begin;
    size_t size;
    int plain;
};

enum jsonKind { JSON_WRONG, JSON_OBJECT, JSON_ARRAY, JSON_STRING, JSON_NULL, JSON_OTHER };

// What the value that comes next is, by its first byte, which is not taken.
enum jsonKind jsonPeek(struct json *json);

// Each takes one value of that kind and returns 0 when there is none. The callback takes the value of one
// key, or one element, and returns 0 to end everything.
int jsonObject(struct json *json, int (*member)(struct json *, struct jsonString key, void *), void *data);
int jsonArray(struct json *json, int (*element)(struct json *, void *), void *data);
int jsonText(struct json *json, struct jsonString *string);
int jsonSkip(struct json *json);

// Whether nothing but white space is left.
int jsonAtEnd(struct json *json);

int jsonIs(struct jsonString string, const char *text);

#endif
