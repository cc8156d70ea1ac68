/* Shapes that the files of this room share. */
#ifndef WEBHOOK_INTERNAL_H
#define WEBHOOK_INTERNAL_H

#include <stdatomic.h>

#include "stream.h"
#include "webhook/webhook.h"

struct webhook {
    struct loop *loop;
    struct outbox *outbox;
    struct store_view *view;
    struct cache *cache;
    struct streams *streams;
    struct arena arena; /* of the options */
    struct webhook_options options;
    struct {
        _Atomic uint64_t accepted, duplicates, unauthenticated, unknown, malformed, failed;
    } stats;
    void *ready_owner; /* of whom to tell that a credential is ready; or NULL */
    void (*on_ready)(void *owner, struct slice credential_id);
};

/* Only this worker writes. */
static inline void webhook_count(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* The body is there, or the problem: is it signed by Rollout? Counts and answers itself when it is false. */
bool webhook_believes(struct webhook *webhook, struct server_exchange *x, enum problem problem,
                      struct slice body);

/* ready.c */
/* Is it for the account's callback rather than a credential's events? Then it is taken from here. */
bool ready_takes(struct webhook *webhook, struct server_exchange *x);

#endif
