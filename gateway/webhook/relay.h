/*
 * The relay: what stands in the outbox goes to the subscribers (contract 9), at least once, in order for each
 * credential, concurrently over credentials. One for the process, on one loop; each subscriber has a pool of
 * connections of its own, so none waits for another.
 *
 * A lane is one subscriber's queue of one credential. In memory stands its head at most: the rest are rows of
 * the outbox, and where there are more lanes than may be in memory, lanes too. A lane whose delivery failed
 * waits with full jitter; a subscriber that cannot be reached, or says Retry-After, pauses as a whole, and is
 * then tried with one delivery. A row goes when its event was taken (2xx), or with the event into the dead
 * letters when it is older than give_up. So all of it survives a restart, and what a kill takes back is at
 * worst that an event was taken already: it comes again, under the same webhook-id.
 */
#ifndef WEBHOOK_RELAY_H
#define WEBHOOK_RELAY_H

#include "webhook/dead.h"
#include "webhook/outbox.h"

struct relay;

struct relay_settings {
    uint64_t timeout_ms, give_up_ms;
    unsigned concurrency; /* deliveries to one subscriber */
    unsigned lanes_max;   /* in memory, of all subscribers; 0: the usual */
};

/* Before the loop runs. Reads all rows once: counts them, and drops those of subscribers that are configured
 * no more. The outbox is borrowed and is configured with the same audience first. NULL: no memory, or the
 * store cannot be read. */
struct relay *relay_create(struct loop *loop, struct outbox *outbox, struct audience *audience,
                           const struct relay_settings *settings);
/* Any thread, after outbox_configure: a subscriber that is new starts now, one that is gone is dropped with
 * its backlog, one that was disabled is tried again. ERR_NOMEM: nothing happens. */
int relay_configure(struct relay *relay, struct audience *audience,
                    const struct relay_settings *settings) MUST_CHECK;
/* On the loop: cancels what is on its way; on_closed once, in a later turn. */
void relay_close(struct relay *relay, void (*on_closed)(void *arg), void *arg);
/* Closed, or its loop never ran. NULL is allowed. */
void relay_destroy(struct relay *relay);

struct relay_stats {
    uint64_t delivered, failed, dead, missed, dropped;
};
/* Sums since the start; any thread. */
void relay_stats(const struct relay *relay, struct relay_stats *out);

enum relay_state { RELAY_ACTIVE, RELAY_PAUSED, RELAY_DISABLED };
const char *relay_state_name(enum relay_state state); /* "active", "paused", "disabled" */

struct relay_subscriber {
    struct slice name;
    enum relay_state state;
    struct relay_stats stats;
    uint64_t backlog, in_flight;
};
/* Each subscriber in force; any thread. Slices live for the call. */
void relay_each(struct relay *relay, void (*visit)(const struct relay_subscriber *subscriber, void *arg),
                void *arg);

#endif
