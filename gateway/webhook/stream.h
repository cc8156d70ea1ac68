/*
 * Event streams (contract 9; HTML, "Server-sent events"): GET /t/{tenant}/events. Each worker feeds its own.
 * Streams that have all there is are fed together, from one walk through the outbox for each commit; one that
 * resumes, or reads slowly, walks on its own until it has caught up. What a slow reader has not taken yet
 * stands in the store, not in memory: nothing is read for it while 64 KiB wait for its connection.
 */
#ifndef WEBHOOK_STREAM_H
#define WEBHOOK_STREAM_H

#include "server/server.h"
#include "webhook/outbox.h"

struct streams;

/* One per worker, on its loop. NULL: out of memory. The outbox is borrowed, and so is the view of its store.
 */
struct streams *streams_create(struct loop *loop, struct outbox *outbox, struct store_view *view);
/* Takes the exchange over; the tenant lives as long as it. */
void streams_open(struct streams *streams, struct server_exchange *x, struct slice tenant);
/* Ends all of them, and refuses new ones. */
void streams_drain(struct streams *streams);
/* After the exchanges are done. NULL is allowed. */
void streams_destroy(struct streams *streams);
/* As webhook_on_admit. */
void streams_on_admit(struct streams *streams, void *owner,
                      bool (*admits)(void *owner, const struct server_exchange *x, struct slice tenant));

#endif
