/*
 * Which of Rollout's credentials a tenant's request uses (contract 3 and 6). All credentials of a tenant are
 * one record of the store, read in place: the request path is one get, then a pure choice, and allocates
 * nothing.
 *
 * The sequence of a request, on its worker's view:
 *   store_view_begin(view); credential_lookup(view, tenant, &set); credential_choose(&set, &selector,
 * &index);
 *   ... copy what must live longer ...; store_view_end(view)
 *
 * The wall between tenants: an id belongs to one tenant at a time, so does a webhook token; the writer
 * enforces it inside the transaction.
 */
#ifndef CREDENTIAL_CREDENTIAL_H
#define CREDENTIAL_CREDENTIAL_H

#include "store/store.h"

/* The room's tables stand first in store_options.tables: { CREDENTIAL_TABLES, "...", NULL }. */
#define CREDENTIAL_TABLES "tenants", "credential_owner", "webhook_tokens", "credentials_removed"
enum credential_table {
    CREDENTIAL_TABLE_TENANTS, /* tenant -> its credentials, packed */
    CREDENTIAL_TABLE_OWNERS,  /* credential id -> tenant */
    CREDENTIAL_TABLE_TOKENS,  /* webhook token -> tenant and id */
    CREDENTIAL_TABLE_REMOVED, /* when, and a number -> what a removed one leaves behind at Rollout */
    CREDENTIAL_TABLE_COUNT
};

enum {
    CREDENTIAL_MAX = 64, /* credentials of one tenant */
    CREDENTIAL_API_MAX = 16,
    CREDENTIAL_API_NAME_MAX = 32,
    CREDENTIAL_TENANT_MAX = 128,
    CREDENTIAL_ID_MAX = 128,
    CREDENTIAL_APP_KEY_MAX = 64,
    CREDENTIAL_LABEL_MAX = 200,
    CREDENTIAL_TOKEN_LEN = 64 /* 32 random bytes in lower-case hex */
};

/* GONE: Rollout said that it does not know it any more; never chosen, kept for people to see. */
enum credential_status { CREDENTIAL_ACTIVE, CREDENTIAL_GONE };

/* A decoded credential: every slice points into what it was decoded from. */
struct credential {
    struct slice tenant, id, app_key, label;
    struct slice apis[CREDENTIAL_API_MAX];
    size_t api_count; /* 0: serves every api */
    bool is_default;
    enum credential_status status;
    bool found;                     /* at Rollout (discovery, Link), not made by an operator */
    int64_t created_at, updated_at; /* wall milliseconds */
    int64_t checked_at;             /* when it was last looked for in Rollout's list; 0: never */
    struct slice webhook_token;     /* the path is /webhooks/rollout/{token}; it is a secret for logs */
};

/* The credentials of one tenant, in the order of their creation. About 24 KiB: for the stack, not zeroed. */
struct credential_set {
    size_t count;
    struct credential items[CREDENTIAL_MAX];
};

/* "active", "gone". */
const char *credential_status_text(enum credential_status status);

/* --- the request path (any thread, own view)
 * ----------------------------------------------------------------- */

/* Reads the tenant's credentials; an unknown tenant has none (0, count 0). ERR_CORRUPT, ERR_IO. The slices
 * live until store_view_end; `tenant` of each item is the argument itself. */
int credential_lookup(struct store_view *view, struct slice tenant, struct credential_set *out) MUST_CHECK;
/* Fills *out with the credential that the token belongs to, whatever its status. ERR_NOTFOUND, ERR_CORRUPT,
 * ERR_IO. The slices live until store_view_end. */
int credential_by_token(struct store_view *view, struct slice token, struct credential *out) MUST_CHECK;
/* Fills *out with the tenant's credential of that id, whatever its status. Errors and life as above. */
int credential_find(struct store_view *view, struct slice tenant, struct slice id,
                    struct credential *out) MUST_CHECK;

/* What the request asks for; app_key and id are empty when not given. */
struct credential_selector {
    struct slice api, app_key, id;
};

enum credential_outcome {
    CREDENTIAL_CHOSEN,    /* *index is set */
    CREDENTIAL_NONE,      /* none fits: discovery, then 404 credential-not-found */
    CREDENTIAL_AMBIGUOUS, /* several fit, none is the default: 409; credential_fits names the choices */
    CREDENTIAL_FOREIGN    /* the selected id is not this tenant's (an empty set has no ids at all): 403 */
};

/* Pure. The decision of contract 3. */
enum credential_outcome credential_choose(const struct credential_set *set,
                                          const struct credential_selector *selector, size_t *index);
/* Pure. Whether this one is active, serves the api, and is of the app key and id asked for. */
bool credential_fits(const struct credential *credential, const struct credential_selector *selector);
/* Pure. Whether it serves the api (active or not). */
bool credential_serves(const struct credential *credential, struct slice api);
/* Pure. One key in two spellings: compared without case, '-', '_', '.' and spaces. What has nothing else is
 * equal to nothing. */
bool credential_app_key_equal(struct slice a, struct slice b);

/* --- changes
 * ------------------------------------------------------------------------------------------------- */

/* What a PUT gives; what is not given keeps its value (on creation: "", none, "", false). */
struct credential_patch {
    bool has_app_key, has_apis, has_label, has_default;
    struct slice app_key, label;
    struct slice apis[CREDENTIAL_API_MAX];
    size_t api_count; /* more than CREDENTIAL_API_MAX is a fault, so a caller may count on past the array's
                         end */
    bool is_default;
    /* It stands in Rollout's list. One that an operator has made keeps what the operator said about it;
     * naming app key, apis or label of one that was found makes it the operator's. */
    bool found;
};

/* 0, or ERR_INVALID with a line for people that begins with the JSON path: "apis[1]: ...". `fault` may be
 * NULL. */
int credential_validate(struct slice tenant, struct slice id, const struct credential_patch *patch,
                        struct fault *fault) MUST_CHECK;
/* 1-128 of A-Z a-z 0-9 . _ : @ - */
bool credential_tenant_valid(struct slice tenant);
/* 1-128 of the unreserved characters of RFC 3986 and ':' */
bool credential_id_valid(struct slice id);

/*
 * One change, with copies of its input and its result inside: about 4 KiB, not to be moved once it is made,
 * nothing to free. Make it with one of the three calls below, set change.on_done and change.loop, then
 * store_submit(&c->change); or store_apply / store_apply_all from the command line. change.outcome is then 0,
 * ERR_NOTFOUND (delete, mark), ERR_EXISTS (the id is another tenant's), ERR_LIMIT (the tenant has
 * CREDENTIAL_MAX already), ERR_CORRUPT, ERR_FULL, ERR_IO; on an error nothing is changed.
 */
enum credential_action { CREDENTIAL_PUT, CREDENTIAL_DELETE, CREDENTIAL_MARK };

enum { CREDENTIAL_TEXT_MAX = 1536 };

struct credential_change {
    struct store_change change;
    enum credential_action action;
    struct slice tenant, id;
    struct credential_patch patch;
    enum credential_status status;
    int64_t now_ms;
    /* After outcome 0: as it is now (put, mark), or as it was (delete). */
    struct credential result;
    bool created; /* put: it was not there before */
    /* the room's own */
    char token[CREDENTIAL_TOKEN_LEN];
    char input[CREDENTIAL_TEXT_MAX], output[CREDENTIAL_TEXT_MAX];
};

/* Creates or updates, and makes it active. With default true, other credentials of the tenant that serve one
 * of its apis lose their mark: one default for a tenant and api. ERR_INVALID as credential_validate. */
int credential_change_put(struct credential_change *c, struct slice tenant, struct slice id,
                          const struct credential_patch *patch, int64_t now_ms,
                          struct fault *fault) MUST_CHECK;
/* Removes it, its webhook token and its owner entry. A tenant's record that is damaged is removed whole,
 * since nothing else would make that tenant usable again (the result is then empty but for the names).
 * ERR_INVALID for a tenant or id that cannot be. */
int credential_change_delete(struct credential_change *c, struct slice tenant, struct slice id) MUST_CHECK;
int credential_change_mark(struct credential_change *c, struct slice tenant, struct slice id,
                           enum credential_status status, int64_t now_ms) MUST_CHECK;

/* --- what Rollout's list says
 * -------------------------------------------------------------------------------------- */

/* An account of the list: valid texts, an id that can be. */
struct credential_listed {
    struct slice id, app_key, label;
    struct slice apis[CREDENTIAL_API_MAX];
    size_t api_count;
    bool known; /* the apis are known by its app key; else every one is taken, less what was learned */
};

/* What an answer has taught about an account whose apis are not known. */
struct credential_lesson {
    struct slice
        id; /* this one does not serve the api; empty: each of the tenant's is tried with it (again) */
    struct slice api;
};

/*
 * The mapping of a tenant follows Rollout's list, in one change: what is new is added as found, what comes
 * back is active again, what is missing is marked gone. Fill the first part (borrowed until on_done; a few
 * KiB: on the heap), credential_sync_prepare, then change.on_done and change.loop, and submit. Outcomes as
 * above; ids of other tenants and more than CREDENTIAL_MAX are passed over and counted.
 */
struct credential_sync {
    struct store_change change;
    struct slice tenant;
    const struct credential_listed *listed;
    size_t listed_count;
    bool whole; /* a list came, and is asked about what is mapped. False: then only what was found there is
                   marked gone (of a list that came because more was wanted; of an answer that Rollout knows
                   nothing of the tenant, since a wrong URL answers the same) */
    int64_t started_ms, now_ms;      /* what changed after the call had started is not judged by it */
    struct credential_lesson lesson; /* none when the api is empty */
    const struct slice *apis;        /* every one that takes a credential */
    size_t api_count;
    /* After outcome 0. */
    unsigned added, returned, gone, foreign, surplus;
    struct slice gone_ids[CREDENTIAL_MAX];
    /* the room's own */
    char tokens[CREDENTIAL_MAX][CREDENTIAL_TOKEN_LEN], gone_text[CREDENTIAL_MAX][CREDENTIAL_ID_MAX];
};
void credential_sync_prepare(struct credential_sync *sync);

/* --- lists (any thread, own view)
 * ---------------------------------------------------------------------------- */

struct credential_page {
    struct slice prefix; /* empty: all */
    struct slice cursor; /* the last tenant of the page before; empty: from the start */
    size_t limit;
};
/* Calls visit for each tenant of the page in byte order, with the number of its credentials. *next is the
 * cursor of the next page, empty after the last; it lives until store_view_end. Damaged records are passed
 * over. 0, ERR_IO. */
int credential_list_tenants(struct store_view *view, const struct credential_page *page,
                            void (*visit)(struct slice tenant, size_t count, void *arg), void *arg,
                            struct slice *next) MUST_CHECK;
/* Every credential of every tenant, until visit returns false; damaged records are counted. 0, ERR_IO. */
int credential_each(struct store_view *view, bool (*visit)(const struct credential *credential, void *arg),
                    void *arg, size_t *damaged) MUST_CHECK;

/* --- removed ones
 * -------------------------------------------------------------------------------------------- */

/* A credential that is removed may have subscriptions at Rollout: what is needed to clean up is kept, in the
 * removal's own transaction, until credential_change_forget. Removals forget what is older than a week. */
enum { CREDENTIAL_REMOVED_KEY = 16, CREDENTIAL_REMOVED_KEEP_MS = 7 * 24 * 3600 * 1000 };

struct credential_removed {
    struct slice key; /* CREDENTIAL_REMOVED_KEY bytes */
    struct slice tenant, id, token;
    struct slice apis; /* comma-separated; empty: every one */
};
/* The oldest first, until visit returns false. The slices live until store_view_end. 0, ERR_IO. */
int credential_each_removed(struct store_view *view,
                            bool (*visit)(const struct credential_removed *removed, void *arg),
                            void *arg) MUST_CHECK;

struct credential_forget {
    struct store_change change;
    char key[CREDENTIAL_REMOVED_KEY];
};
/* outcome 0, also when it was not there. */
void credential_change_forget(struct credential_forget *f, struct slice key);

#endif
