/* What all workers share: the store and the desks on it, built bottom-up and taken down top-down. */
#ifndef ROOMS_H
#define ROOMS_H

#include "cache/cache.h"
#include "caller/caller.h"
#include "credential/credential.h"
#include "generation.h"
#include "inherit.h"
#include "link/link.h"
#include "pipeline/pipeline.h"
#include "store/store.h"
#include "webhook/outbox.h"
#include "webhook/webhook.h"

/* Where each room's tables stand in the store. */
enum {
    ROOMS_WEBHOOK_TABLE = CREDENTIAL_TABLE_COUNT,
    ROOMS_CALLER_TABLE =
        ROOMS_WEBHOOK_TABLE + sizeof((const char *[]){WEBHOOK_TABLES}) / sizeof(const char *),
    ROOMS_OUTBOX_TABLE = ROOMS_CALLER_TABLE + sizeof((const char *[]){CALLER_TABLES}) / sizeof(const char *),
    ROOMS_IDEMPOTENCY_TABLE =
        ROOMS_OUTBOX_TABLE + sizeof((const char *[]){OUTBOX_TABLES}) / sizeof(const char *)
};

struct rooms {
    struct store *store;
    struct outbox *outbox;
    struct cache *cache;
    struct token_ring *tokens;
    struct limit *limit;
    struct pipeline_shared *shared;
    struct link_shared *link_shared;
    bool lasts; /* what the cache knows outlives the process */
};

/* Filled from zero; after an error there is nothing to undo but rooms_close. `demo`: or NULL. */
int rooms_open(struct rooms *rooms, const struct generation *generation, const struct demo *demo,
               const struct inheritance *sockets, const struct link_news *news,
               struct fault *fault) MUST_CHECK;
/* The cache's copy on disk, which one process at a time can have. Whatever is wrong with it, the gateway goes
 * on without. */
void rooms_open_warm(struct rooms *rooms, const struct config *config);
void rooms_configure_outbox(struct rooms *rooms, const struct generation *generation);
/* When nobody works in them any more. */
void rooms_close(struct rooms *rooms);

#endif
