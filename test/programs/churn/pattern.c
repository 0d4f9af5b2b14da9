/* SPDX-License-Identifier: Apache-2.0 */
#include "churn.h"

#include <string.h>

/* splitmix64: every bit of the seed reaches every bit of the result. */
uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static uint64_t page_seed(const struct worker *w, const struct region *r, size_t page, uint32_t generation) {
    uint64_t state = ((uint64_t)w->index << 56) ^ ((uint64_t)r->serial << 32) ^ generation;
    uint64_t seed = next_random(&state) ^ (page * 0xd6e8feb86659fd93ull);

    return next_random(&seed);
}

/* Word by word different, so that neither a shifted nor a mixed page passes; cheap, for there are many. */
static inline uint64_t word_of(uint64_t seed, size_t word) {
    return seed + word * 0x9e3779b97f4a7c15ull;
}

void fill_page(const struct worker *w, struct region *r, size_t page, uint32_t generation) {
    uint64_t *words = (uint64_t *)(r->base + page * PAGE);
    uint64_t seed = page_seed(w, r, page, generation);

    for (size_t i = 0; i < PAGE / sizeof(*words); i++)
        words[i] = word_of(seed, i);
    r->generation[page] = generation;
}

static void check_page(const struct worker *w, const struct region *r, size_t page) {
    const uint64_t *words = (const uint64_t *)(r->base + page * PAGE);
    uint32_t generation = r->generation[page];
    uint64_t seed = page_seed(w, r, page, generation);

    for (size_t i = 0; i < PAGE / sizeof(*words); i++) {
        uint64_t must = generation ? word_of(seed, i) : 0;

        if (words[i] != must)
            wrong(w, r, page, i, words[i], must);
    }
}

void check_region(const struct worker *w, const struct region *r) {
    for (size_t page = 0; page < r->pages; page++)
        check_page(w, r, page);
}
