/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bfs SCALE PORT: breadth-first searches, one after the other, from random vertices of a graph of 2^SCALE
 * vertices. Every tree is checked; a wrong one ends the process with status 99. Its pulse (pulse.h) counts
 * edges, those that are looked at for the check as well.
 */
#include "graph.h"

#include "../pulse/pulse.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NOBODY UINT32_MAX
#define SEED 20240501u

/* What a search finds, and what it needs on its way. */
struct search {
    uint32_t root;
    uint32_t *parent; /* NOBODY: not reached; the root is its own */
    uint32_t *level;
    uint32_t *queue; /* in the order in which vertices were reached */
    uint32_t reached;
};

static struct pulse pulse;

static void run(const struct graph *graph, struct search *search) {
    uint64_t counted = 0;

    for (uint32_t v = 0; v < graph->vertices; v++)
        search->parent[v] = NOBODY;
    search->parent[search->root] = search->root;
    search->level[search->root] = 0;
    search->queue[0] = search->root;
    search->reached = 1;
    for (uint32_t next = 0; next < search->reached; next++) {
        uint32_t v = search->queue[next];

        for (uint64_t i = graph->first[v]; i < graph->first[v + 1]; i++) {
            uint32_t w = graph->neighbour[i];

            if (search->parent[w] != NOBODY)
                continue;
            search->parent[w] = v;
            search->level[w] = search->level[v] + 1;
            search->queue[search->reached++] = w;
        }
        counted += graph_degree(graph, v);
        if (next % 256 == 0) {
            atomic_fetch_add(&pulse.work, counted);
            counted = 0;
        }
    }
    atomic_fetch_add(&pulse.work, counted);
}

static _Noreturn void wrong(const struct search *search, uint32_t vertex, const char *what) {
    fprintf(stderr, "BAD search from %u: vertex %u %s\n", search->root, vertex, what);
    _exit(99);
}

/*
 * A tree of shortest paths over the whole component: each vertex but the root hangs by an edge of the graph
 * one level below its parent, no edge spans more than one level, and none leads out of what was reached.
 */
static void check(const struct graph *graph, const struct search *search) {
    uint64_t counted = 0;

    for (uint32_t v = 0; v < graph->vertices; v++) {
        uint32_t parent = search->parent[v];
        bool has_edge = v == search->root;

        if (parent == NOBODY)
            continue;
        if (v == search->root) {
            if (parent != v || search->level[v] != 0)
                wrong(search, v, "is the root and hangs elsewhere");
        } else if (search->level[v] != search->level[parent] + 1) {
            wrong(search, v, "is not one level below its parent");
        }
        for (uint64_t i = graph->first[v]; i < graph->first[v + 1]; i++) {
            uint32_t w = graph->neighbour[i];

            has_edge = has_edge || w == parent;
            if (search->parent[w] == NOBODY)
                wrong(search, w, "is a neighbour and was not reached");
            if (search->level[w] > search->level[v] + 1)
                wrong(search, w, "is further away than its neighbour tells");
        }
        if (!has_edge)
            wrong(search, v, "has no edge to its parent");
        counted += graph_degree(graph, v);
        if (v % 256 == 0) {
            atomic_fetch_add(&pulse.work, counted);
            counted = 0;
        }
    }
    atomic_fetch_add(&pulse.work, counted);
}

int main(int argc, char **argv) {
    struct graph graph;
    struct search search;
    uint64_t random = SEED;
    unsigned int scale, port;

    if (argc != 3) {
        fprintf(stderr, "usage: bfs SCALE PORT (2^SCALE vertices, 16 edges each)\n");
        return 2;
    }
    scale = (unsigned int)pulse_number(argv[1], 4, 28);
    port = (unsigned int)pulse_number(argv[2], 1, 65535);
    graph = graph_make(scale, SEED);
    search = (struct search){
        .parent = calloc(graph.vertices, sizeof(uint32_t)),
        .level = calloc(graph.vertices, sizeof(uint32_t)),
        .queue = calloc(graph.vertices, sizeof(uint32_t)),
    };
    if (!search.parent || !search.level || !search.queue) {
        perror("bfs");
        return 98;
    }
    pulse_serve(&pulse, port);
    for (;;) {
        do
            search.root = (uint32_t)(pulse_random(&random) % graph.vertices);
        while (graph_degree(&graph, search.root) == 0);
        run(&graph, &search);
        check(&graph, &search);
        if (pulse_wants_check(&pulse))
            atomic_fetch_add(&pulse.checks, 1);
    }
}
