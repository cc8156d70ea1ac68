#include "rooms.h"

#include <stdio.h>

#include "assemble.h"
#include "idempotency/idempotency.h"
#include "limit/limit.h"

static const char *const tables[] = {CREDENTIAL_TABLES, WEBHOOK_TABLES,     CALLER_TABLES,
                                     OUTBOX_TABLES,     IDEMPOTENCY_TABLES, NULL};

static int open_store(struct rooms *rooms, const char *dir, struct fault *fault)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/state", dir) >= (int)sizeof path)
        return fault_set(fault, ERR_INVALID, "data_dir: the path is too long");
    struct store_options options = {.path = path, .tables = tables};
    return store_open(&rooms->store, &options, fault);
}

void rooms_open_warm(struct rooms *rooms, const struct config *config)
{
    char path[4096];
    struct fault fault = {""};
    struct cache_warm_options options = {path, assemble_warm_size(config)};
    if (!rooms->cache || !rooms->lasts)
        return;
    if (snprintf(path, sizeof path, "%s/cache", config->data_dir) >= (int)sizeof path)
        fault_set(&fault, ERR_INVALID, "data_dir: the path is too long");
    else if (options.size == 0 && store_discard(path, &fault) == 0)
        return;
    else if (options.size > 0 && cache_warm_open(rooms->cache, &options, &fault) == 0)
        return;
    log_message(LOG_WARN, "cache_copy_missing", "the cache does not survive a restart: %s", fault.text);
}

void rooms_configure_outbox(struct rooms *rooms, const struct generation *generation)
{
    struct outbox_bounds bounds = assemble_outbox(generation->config);
    outbox_configure(rooms->outbox, generation->audience, &bounds);
}

int rooms_open(struct rooms *rooms, const struct generation *generation, const struct demo *demo,
               const struct inheritance *sockets, const struct link_news *news, struct fault *fault)
{
    const struct config *config = generation->config;
    struct cache_options cache = assemble_cache(config);
    struct token_options token = assemble_token(config, buf_slice(&generation->client_secret));
    struct limit_options limit = assemble_limit(config);
    int error = open_store(rooms, demo ? demo_data_dir(demo) : config->data_dir, fault);
    if (error)
        return error;
    rooms->lasts = !demo; /* what a sandbox knew is gone with it */
    rooms->cache = cache_create(&cache);
    if (rooms->cache && sockets->generations >= 0 && cache_join(rooms->cache, sockets->generations))
        log_message(LOG_WARN, "handover", "what the old process hears while it ends is not heard here");
    if (sockets->channel < 0)
        rooms_open_warm(rooms, config); /* else it still is our predecessor's */
    rooms->outbox = outbox_create(rooms->store, ROOMS_OUTBOX_TABLE);
    rooms->tokens = token_ring_create(&token);
    rooms->limit = limit_create(&limit);
    bool good = rooms->cache && rooms->outbox && rooms->tokens && rooms->limit;
    rooms->shared = good ? pipeline_shared_create(rooms->cache, rooms->tokens, rooms->store, rooms->limit,
                                                  ROOMS_CALLER_TABLE, ROOMS_IDEMPOTENCY_TABLE)
                         : NULL;
    rooms->link_shared =
        rooms->shared ? link_shared_create(rooms->store, rooms->cache, rooms->tokens, news) : NULL;
    if (!rooms->link_shared)
        return fault_set(fault, ERR_NOMEM, "out of memory at start");
    if (outbox_begin(rooms->outbox))
        log_message(LOG_WARN, "outbox",
                    "the store cannot be written: event numbers begin with the first event");
    rooms_configure_outbox(rooms, generation);
    return 0;
}

void rooms_close(struct rooms *rooms)
{
    link_shared_destroy(rooms->link_shared);
    pipeline_shared_destroy(rooms->shared);
    limit_destroy(rooms->limit);
    token_ring_destroy(rooms->tokens);
    cache_destroy(rooms->cache);
    outbox_destroy(rooms->outbox);
    store_close(rooms->store);
}
