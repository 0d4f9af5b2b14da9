/* SPDX-License-Identifier: Apache-2.0 */
#include "graph.h"

#include "../pulse/pulse.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * R-MAT: at each level an edge falls into one of four quarters of the matrix, with 57, 19, 19 and 5 percent.
 * Limits are in parts of 2^16, so that one random number does for four levels.
 */
#define DICE_BITS 16
#define QUARTER_A 37356u
#define QUARTER_B 49807u
#define QUARTER_C 62259u

struct edge {
    uint32_t from, to;
};

static void *memory_for(size_t count, size_t size) {
    void *memory = calloc(count, size);

    if (!memory) {
        perror("bfs");
        exit(98);
    }
    return memory;
}

/* A permutation of the numbers below 2^scale, so that a vertex's number tells nothing of its degree. */
static uint32_t scramble(uint32_t vertex, unsigned int scale) {
    uint32_t mask = (uint32_t)((1ull << scale) - 1);

    for (unsigned int round = 0; round < 3; round++) {
        vertex = (vertex * 0x9e3779b1u + 0x7f4a7c15u) & mask; /* odd factor: one to one */
        vertex ^= vertex >> (scale / 2 + 1);
    }
    return vertex;
}

/* Edge `number` of the graph: made anew whenever it is needed, so that the list takes no memory. */
static struct edge edge_of(uint64_t number, unsigned int scale, uint64_t seed) {
    uint64_t state = seed ^ (number * 0xd6e8feb86659fd93ull), random = 0;
    struct edge edge = {0, 0};

    for (unsigned int level = 0; level < scale; level++) {
        unsigned int dice;

        if (level % (64 / DICE_BITS) == 0)
            random = pulse_random(&state);
        dice = random & ((1u << DICE_BITS) - 1);
        random >>= DICE_BITS;
        edge.from = edge.from << 1 | (dice >= QUARTER_B);
        edge.to = edge.to << 1 | ((dice >= QUARTER_A && dice < QUARTER_B) || dice >= QUARTER_C);
    }
    edge.from = scramble(edge.from, scale);
    edge.to = scramble(edge.to, scale);
    return edge;
}

struct graph graph_make(unsigned int scale, uint64_t seed) {
    uint64_t edges = (uint64_t)EDGES_PER_VERTEX << scale, *place;
    struct graph graph = {.vertices = 1u << scale};

    graph.first = memory_for((size_t)graph.vertices + 2, sizeof(*graph.first));
    for (uint64_t i = 0; i < edges; i++) {
        struct edge edge = edge_of(i, scale, seed);

        if (edge.from != edge.to) {
            graph.first[edge.from + 2]++;
            graph.first[edge.to + 2]++;
        }
    }
    for (size_t v = 2; v < (size_t)graph.vertices + 2; v++)
        graph.first[v] += graph.first[v - 1];
    /* Entry v + 1 is where v's next neighbour goes; in the end it is where those of v + 1 begin. */
    place = graph.first + 1;
    graph.neighbour = memory_for(graph.first[graph.vertices + 1], sizeof(*graph.neighbour));
    for (uint64_t i = 0; i < edges; i++) {
        struct edge edge = edge_of(i, scale, seed);

        if (edge.from != edge.to) {
            graph.neighbour[place[edge.from]++] = edge.to;
            graph.neighbour[place[edge.to]++] = edge.from;
        }
    }
    return graph;
}
