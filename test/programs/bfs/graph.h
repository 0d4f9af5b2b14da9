/* SPDX-License-Identifier: Apache-2.0 */
/* A random undirected graph with the skewed degrees of real ones, as Graph500 uses it. */
#ifndef GRAPH_H
#define GRAPH_H

#include <stddef.h>
#include <stdint.h>

#define EDGES_PER_VERTEX 16u

struct graph {
    uint32_t vertices;
    uint64_t *first;     /* of each vertex's neighbours; one more entry than vertices */
    uint32_t *neighbour; /* each edge twice, once from either end; loops are left out */
};

/* Of 2^scale vertices; the same for the same seed. */
struct graph graph_make(unsigned int scale, uint64_t seed);

static inline uint64_t graph_degree(const struct graph *graph, uint32_t vertex) {
    return graph->first[vertex + 1] - graph->first[vertex];
}

#endif
