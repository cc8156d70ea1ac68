/* Life of the room, and its options. */
#include <stdlib.h>

#include "internal.h"

/* --- shared by the workers
 * ---------------------------------------------------------------------------------------- */

struct link_shared *link_shared_create(struct store *store, struct cache *cache, struct token_ring *tokens,
                                       const struct link_news *news)
{
    struct link_shared *shared = calloc(1, sizeof *shared);
    if (!shared)
        return NULL;
    shared->store = store;
    shared->cache = cache;
    shared->tokens = tokens;
    shared->news = *news;
    pthread_mutex_init(&shared->lock, NULL);
    map_init(&shared->look_ups);
    list_init(&shared->rested);
    list_init(&shared->landing);
    return shared;
}

void link_stats(const struct link_shared *shared, struct link_stats *out)
{
    *out = (struct link_stats){
        .look_ups = atomic_load_explicit(&shared->stats.look_ups, memory_order_relaxed),
        .failed = atomic_load_explicit(&shared->stats.failed, memory_order_relaxed),
        .found = atomic_load_explicit(&shared->stats.found, memory_order_relaxed),
        .gone = atomic_load_explicit(&shared->stats.gone, memory_order_relaxed),
    };
}

/* --- options
 * ------------------------------------------------------------------------------------------------------ */

static bool copy_names(struct arena *arena, const struct slice **names, size_t count)
{
    struct slice *copy = arena_alloc(arena, (count + 1) * sizeof *copy);
    bool good = copy != NULL;
    for (size_t i = 0; i < count && good; i++) {
        copy[i] = arena_copy(arena, (*names)[i]);
        good = copy[i].ptr != NULL;
    }
    *names = copy;
    return good;
}

static bool copy_connectors(struct arena *arena, struct link_options *options)
{
    struct link_connector *copy = arena_alloc(arena, (options->connector_count + 1) * sizeof *copy);
    bool good = copy != NULL;
    for (size_t i = 0; i < options->connector_count && good; i++) {
        copy[i] = options->connectors[i];
        copy[i].app_key = arena_copy(arena, copy[i].app_key);
        good = copy[i].app_key.ptr && copy_names(arena, &copy[i].apis, copy[i].api_count);
    }
    options->connectors = copy;
    return good;
}

int link_configure(struct link *link, const struct link_options *options)
{
    struct link_options copy = *options;
    struct arena arena;
    arena_init(&arena, NULL, 0, LINK_ARENA_MAX);
    if (!copy_connectors(&arena, &copy) || !copy_names(&arena, &copy.apis, copy.api_count) ||
        !copy_names(&arena, &copy.origins, copy.origin_count)) {
        arena_reset(&arena);
        return ERR_NOMEM;
    }
    arena_reset(&link->arena);
    link->arena = arena;
    link->options = copy;
    return 0;
}

/* --- a worker's
 * --------------------------------------------------------------------------------------------------- */

struct link *link_create(struct loop *loop, struct link_shared *shared, const struct rollout_door *door,
                         const struct link_options *options)
{
    struct link *link = calloc(1, sizeof *link);
    if (!link)
        return NULL;
    link->loop = loop;
    link->shared = shared;
    link->door = *door;
    arena_init(&link->arena, NULL, 0, LINK_ARENA_MAX);
    link->view = store_view_create(shared->store);
    if (link->view && link_configure(link, options) == 0)
        return link;
    link_destroy(link);
    return NULL;
}

void link_destroy(struct link *link)
{
    if (!link)
        return;
    store_view_destroy(link->view);
    arena_reset(&link->arena);
    free(link);
}
