/*
 * A faithful stand-in of Rollout (rollout-facts): all seven APIs by path (http://host:port/{api}/api/…),
 * credentials, webhooks with signed deliveries. In memory. A user of server/ and upstream/ like any other.
 * All on one loop. upstream_global_init comes before it.
 *
 * Beside the APIs, on the same listener and without any authentication, a control path for users and tests:
 *
 * - GET /_sandbox/link?gateway=URL&tenant=NAME: a page that connects accounts, in place of Rollout Link; its
 *   origin has to be in the gateway's link.allowed_origins
 * - GET /_sandbox/stats: requests by api, entity and status; events and deliveries
 * - GET /_sandbox/requests: the last 1000 as received (with the knob "record"); DELETE forgets them
 * - GET /_sandbox/accounts: sandbox_accounts
 * - POST /_sandbox/storm {credential, entity, count, api?, ids?, event?}: events without changes
 * - POST /_sandbox/touch {credential, entity, id?, set | null, api?, silent?}: a change in the system behind
 * - POST /_sandbox/reset: back to the beginning
 * - GET /_sandbox/knobs: what is set; PUT {…} sets what it names, null takes back:
 *   - latency_ms, lag_ms, rate, first_sync_ms, retry_ms, deliver_delay_ms: numbers
 *   - chunked, close_delimited, etag, record, deliver_twice, deliver_paused: true or false
 *   - not_ready: [credential ids]; fields: {name: value} of answers
 *   - status: 503 | {status, retry_after, times, match} | [ … ]; match: {method, api, entity, id, credential}
 *   - stall: "head" | "body" | {at, ms, times, match}
 *   - reset: "before" | "head" (behind it) | "body" | {at, times, match}
 *   - malformed: "cl-te" (see answer.c) | {name, times, match}
 */
#ifndef SANDBOX_SANDBOX_H
#define SANDBOX_SANDBOX_H

#include "base/buf.h"
#include "base/loop.h"
#include "event/event.h"

struct sandbox;

struct sandbox_options {
    const char *address;        /* "127.0.0.1:9900"; port 0: the kernel's choice */
    struct slice client_id;     /* copied */
    struct slice client_secret; /* copied; also signs the deliveries */
    enum event_signature signature;
    unsigned people;     /* seeded for each credential; 0: 25 */
    uint64_t latency_ms; /* of every answer */
    uint64_t lag_ms;     /* writes are seen by reads so much later */
    uint64_t rate;       /* requests per second of one tenant over which it answers 429; 0: none */
    bool record;         /* keep the last requests for GET /_sandbox/requests */
};

/* A demo account: what Rollout Link would have handed to the tenant's front end. */
struct sandbox_account {
    const char *tenant, *credential_id, *app_key;
    const char *apis; /* comma-separated */
};
/* The accounts that every sandbox starts with; ends with a NULL tenant. A tenant that is not among them
 * ("umbrella") has none. */
extern const struct sandbox_account sandbox_accounts[];

/* Listens and seeds. NULL: the fault says why. */
struct sandbox *sandbox_create(struct loop *loop, const struct sandbox_options *options, struct fault *fault);
/* "http://127.0.0.1:9900": without an api. */
void sandbox_url(const struct sandbox *sandbox, struct buf *out);
/* Subscribes `url` to the created, updated and deleted events of all entities of a credential, as POST
 * /webhooks would; what is subscribed already stays as it is. 0, ERR_NOTFOUND (credential), ERR_SYNTAX (url),
 * ERR_NOMEM. */
int sandbox_subscribe(struct sandbox *sandbox, struct slice credential_id, struct slice url);
/* Cuts what is open; on_closed once nothing of it remains. */
void sandbox_close(struct sandbox *sandbox, void (*on_closed)(void *arg), void *arg);

#endif
