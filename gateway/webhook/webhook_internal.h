/* Shapes that the files of this room share. */
#ifndef WEBHOOK_INTERNAL_H
#define WEBHOOK_INTERNAL_H

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
};

#endif
