#include "base/map.h"

#include <assert.h>
#include <stdlib.h>

enum { FIRST_BUCKETS = 16 };

void map_init(struct map *map)
{
    *map = (struct map){0};
}

void map_deinit(struct map *map)
{
    free(map->buckets);
    map_init(map);
}

static struct map_node *first_with(struct map_node *node, uint64_t hash)
{
    while (node && node->hash != hash)
        node = node->next;
    return node;
}

struct map_node *map_find(const struct map *map, uint64_t hash)
{
    return map->buckets ? first_with(map->buckets[hash & map->mask], hash) : NULL;
}

struct map_node *map_next(const struct map_node *node)
{
    return first_with(node->next, node->hash);
}

static int grow(struct map *map)
{
    size_t size = map->buckets ? (map->mask + 1) * 2 : FIRST_BUCKETS;
    struct map_node **buckets = calloc(size, sizeof *buckets);
    if (!buckets)
        return ERR_NOMEM;
    for (size_t i = 0; map->buckets && i <= map->mask; i++) {
        struct map_node *node = map->buckets[i];
        while (node) {
            struct map_node *next = node->next;
            struct map_node **slot = &buckets[node->hash & (size - 1)];
            node->next = *slot;
            *slot = node;
            node = next;
        }
    }
    free(map->buckets);
    map->buckets = buckets;
    map->mask = size - 1;
    return 0;
}

int map_insert(struct map *map, struct map_node *node, uint64_t hash)
{
    /* A map that has buckets works on without more of them, with longer chains. */
    if ((!map->buckets || map->count > map->mask) && grow(map) != 0 && !map->buckets)
        return ERR_NOMEM;
    struct map_node **slot = &map->buckets[hash & map->mask];
    node->hash = hash;
    node->next = *slot;
    *slot = node;
    map->count++;
    return 0;
}

void map_remove(struct map *map, struct map_node *node)
{
    assert(map->buckets);
    struct map_node **link = &map->buckets[node->hash & map->mask];
    while (*link && *link != node)
        link = &(*link)->next;
    assert(*link == node);
    *link = node->next;
    node->next = NULL;
    map->count--;
}

void map_each(const struct map *map, void (*fn)(struct map_node *node, void *arg), void *arg)
{
    for (size_t i = 0; map->buckets && i <= map->mask; i++) {
        struct map_node *node = map->buckets[i];
        while (node) {
            struct map_node *next = node->next;
            fn(node, arg);
            node = next;
        }
    }
}
