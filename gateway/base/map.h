/*
 * Intrusive chained hash map: nodes stand inside the caller's objects, hashes are 64-bit and the caller's
 * (SipHash of base/digest.h where keys come from outside). The map compares hashes; the caller compares keys
 * while it walks map_find / map_next. Not thread-safe.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct map_node {
    struct map_node *next;
    uint64_t hash;
};

struct map {
    struct map_node **buckets;
    size_t mask; /* buckets - 1; 0 before the first insert */
    size_t count;
};

void map_init(struct map *map);
/* Frees the buckets, not the nodes. */
void map_deinit(struct map *map);
/* First node with that hash, or NULL; map_next gives the next one with the same hash. */
struct map_node *map_find(const struct map *map, uint64_t hash);
struct map_node *map_next(const struct map_node *node);
/* Adds (duplicates are the caller's business). 0 or ERR_NOMEM (then nothing changed). Growth is amortised. */
int map_insert(struct map *map, struct map_node *node, uint64_t hash) MUST_CHECK;
/* Takes out a node that is in the map. */
void map_remove(struct map *map, struct map_node *node);
/* Calls fn for every node, in no order; fn may free the node it is given. */
void map_each(const struct map *map, void (*fn)(struct map_node *node, void *arg), void *arg);

#endif
