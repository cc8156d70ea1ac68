/*
 * A faithful stand-in of Rollout (rollout-facts): all seven APIs by path (http://host:port/{api}/api/…), credentials, webhooks with
 * signed deliveries. In memory. A user of server/ and upstream/ like any other. All on one loop.
 */
#ifndef SANDBOX_SANDBOX_H
#define SANDBOX_SANDBOX_H

#include "base/buf.h"
#include "base/loop.h"
#include "event/event.h"

struct sandbox;

struct sandbox_options {
    const char *address;       /* "127.0.0.1:9900"; port 0: the kernel's choice */
    struct slice client_id;
    struct slice client_secret; /* copied */
    enum event_signature signature;
    unsigned people;           /* seeded for each demo credential */
    uint64_t latency_ms;       /* of every answer */
    uint64_t lag_ms;           /* writes are seen by reads so much later */
    uint64_t rate;             /* requests per second over which it answers 429; 0: none */
    bool record;               /* keep the last requests for GET /_sandbox/requests */
};

/* A demo account: what Rollout Link would have handed to the tenant's front end. */
struct sandbox_account {
    const char *tenant, *credential_id, *app_key;
    const char *apis; /* comma-separated */
};
/* The accounts that every sandbox starts with; ends with a NULL tenant. */
extern const struct sandbox_account sandbox_accounts[];

/* Listens and seeds. NULL: the fault says why. */
struct sandbox *sandbox_create(struct loop *loop, const struct sandbox_options *options, struct fault *fault);
/* "http://127.0.0.1:9900": without an api. */
void sandbox_url(const struct sandbox *sandbox, struct buf *out);
/* Subscribes `url` to the entity's created, updated and deleted events for a credential, as POST /webhooks would. */
int sandbox_subscribe(struct sandbox *sandbox, struct slice credential_id, struct slice url);
void sandbox_close(struct sandbox *sandbox, void (*on_closed)(void *arg), void *arg);

#endif
