/*
 * Rollout's API as the gateway itself calls it: connected accounts, connectors, webhook subscriptions. This
 * room knows the wire shapes (rollout-facts) and decides nothing; it has no sockets. Who may make calls is
 * given a door: pipeline/ has one, whose calls walk like every data request, through limits, token, retries
 * and breaker, and past the cache.
 */
#ifndef ROLLOUT_ROLLOUT_H
#define ROLLOUT_ROLLOUT_H

#include "base/buf.h"
#include "base/list.h"
#include "http/message.h"

/* --- calls ---------------------------------------------------------------------------------------- */

enum { ROLLOUT_ANSWER_MAX = 1024 * 1024 }; /* of a body */

struct rollout_request {
    enum method method;         /* GET, POST, PUT, DELETE */
    struct slice tenant;        /* the token's `sub` */
    struct slice api;           /* "core", "crm" … as configured under upstreams */
    struct slice credential_id; /* one of the tenant's; empty for core */
    struct slice path;          /* after the API's base, with its query: "/webhooks?limit=100" */
    struct slice body;          /* JSON, or empty */
    bool background;            /* nobody waits for it: it gets what the others leave of the limits */
};

struct rollout_answer {
    int status;             /* 0: none that is whole: cut, too large, the process is going down */
    bool own;               /* it is the gateway's own problem (limited, unreachable, circuit-open, not
                               mapped …): Rollout was not heard */
    uint64_t retry_after_s; /* 0: not told */
    struct slice body;
};

struct rollout_call;

/* On the loop of whoever gave it. */
struct rollout_door {
    void *owner;
    /* Copies the request. on_answer comes once, in a later turn; what the answer points at dies with its
     * return. NULL when out of memory, or when the door is shut already. */
    struct rollout_call *(*start)(void *owner, const struct rollout_request *request, void *user,
                                  void (*on_answer)(void *user, const struct rollout_answer *answer));
    /* No callback any more. Not inside of on_answer. */
    void (*cancel)(struct rollout_call *call);
};

/* --- connected accounts --------------------------------------------------------------------------- */

enum { ROLLOUT_ACCOUNTS_MAX = 1000 };
#define ROLLOUT_ACCOUNTS_PATH "/credentials"

/* Any texts: whoever stores them checks what they may be. What Rollout does not tell is empty. */
struct rollout_account {
    struct slice id, app_key, label;
};
struct rollout_accounts {
    struct rollout_account *at;
    size_t count;
};
/* Reads the answer (200) to GET core ROLLOUT_ACCOUNTS_PATH, a bare array; the rest of it, which may hold
 * secrets, is forgotten. In the arena. 0; ERR_SYNTAX (anything else, also when one account has no id: half a
 * list must not look like a whole one), ERR_LIMIT (more than ROLLOUT_ACCOUNTS_MAX), ERR_NOMEM. */
int rollout_read_accounts(struct slice body, struct arena *arena, struct rollout_accounts *out) MUST_CHECK;
/* Appends what DELETE core disconnects that account with. 0 or the buffer's error. */
int rollout_disconnect_path(struct buf *out, struct slice credential_id);

/* Which APIs the accounts of a system serve. Its key is compared as credential_app_key_equal does. */
struct rollout_connector {
    const char *app_key;
    const char *apis[3]; /* NULL behind the last */
};
/* The table that is shipped. */
const struct rollout_connector *rollout_connectors(size_t *count);

/* --- who looks for a tenant's accounts ------------------------------------------------------------ */

/* Filled by who waits, in memory of its own. */
struct rollout_wait {
    struct list node; /* the finder's */
    void *user;
    /* On the finder's loop, in a later turn: the mapping may have changed, look again. */
    void (*on_found)(struct rollout_wait *wait);
    /* The finder's, also when nobody has to wait: NULL, or the sentence (static) that says why it is not
     * known whether Rollout has something. */
    const char *why;
};

/* What Rollout answered where the credential itself may be the reason. */
struct rollout_doubt {
    struct slice tenant, credential_id, api;
    int status; /* 401, 403, 404 */
};

/* link/ is one: on a worker's loop, with its own `owner`. */
struct rollout_finder {
    void *owner;
    /* Nothing is mapped that serves the api. False: do not wait, Rollout has nothing either, or cannot be
     * asked now. True: wait->on_found comes, unless it is cancelled. */
    bool (*discover)(void *owner, struct slice tenant, struct slice api, struct rollout_wait *wait);
    void (*cancel)(void *owner, struct rollout_wait *wait);
    void (*doubt)(void *owner, const struct rollout_doubt *doubt);
};

/* --- webhook subscriptions (rollout-facts 5) ------------------------------------------------------- */

/* One that Rollout has. */
struct rollout_webhook {
    struct slice id, event, url;
    bool active;   /* its status is Active */
    bool filtered; /* it has filters: not every event comes */
};
/* Paths and bodies of the requests; appended. `next` is what rollout_webhooks_read told, or empty. */
int rollout_webhooks_path(struct buf *out, struct slice next) MUST_CHECK; /* GET; a POST goes to /webhooks */
int rollout_webhook_path(struct buf *out, struct slice id) MUST_CHECK;    /* PUT, DELETE */
int rollout_webhook_body(struct buf *out, struct slice url, struct slice event) MUST_CHECK; /* event or "" */
/* Calls visit for each of a list's page until it returns false, and appends the query of the next page to
 * `next`, nothing after the last. What is visited lives for the call. ERR_SYNTAX (no list), ERR_LIMIT (visit
 * gave up, or one without id or event), ERR_NOMEM. */
int rollout_webhooks_read(struct slice body, bool (*visit)(const struct rollout_webhook *webhook, void *arg),
                          void *arg, struct buf *next) MUST_CHECK;
/* Likewise what a POST or PUT answers. ERR_SYNTAX. */
int rollout_webhook_read(struct slice body, void (*visit)(const struct rollout_webhook *webhook, void *arg),
                         void *arg) MUST_CHECK;

#endif
