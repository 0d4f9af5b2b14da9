// Also part of the shim's launcher, in C.
#ifndef PCLIVE_SHA256_H
#define PCLIVE_SHA256_H
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// 64 digits and the final zero.
enum { SHA256_HEX = 65 };

__attribute__((visibility("hidden"))) void sha256(const char *text, size_t size, char hex[SHA256_HEX]);

#ifdef __cplusplus
}
#endif
#endif
