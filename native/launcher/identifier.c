#include "prepare.h"
#include <string.h>

enum { MAX_NAME = 128 };

static int isLetterOrDigit(char byte) {
    return (byte >= '0' && byte <= '9') || ((byte | 32) >= 'a' && (byte | 32) <= 'z');
}

int isIdentifier(const char *name) {
    size_t size = 0;
    for (; name[size] != '\0'; size++) {
        if (isLetterOrDigit(name[size]))
            continue;
        if (strchr("._-", name[size]) == NULL || size == 0 || !isLetterOrDigit(name[size + 1]))
            return 0;
    }
    return size > 0 && size <= MAX_NAME;
}
