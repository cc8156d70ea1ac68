/*
 * Who is calling, and what they may do (contract 2 and 3). A caller is a service key (rgk_…, 256 random bits,
 * shown once and kept as its SHA-256 alone: there is nothing to guess, so no slow hash is needed), or a peer
 * name (of a client certificate, or "uid:1000" of a unix peer) that a key record lists under `peers`.
 *
 * The sequence of a request, on its worker:
 *   caller_read(fields, &proof); store_view_begin(view); outcome = caller_identify(desk, view, &proof,
 * &caller); store_view_end(view); … caller_may(caller, tenant, api, method) … caller_release(caller)
 *
 * A revoked key stops with the first request whose view begins after the commit, on every worker, whoever
 * committed (another worker, the command line in another process): a desk remembers verified callers under
 * the number of changes that the store held then, and reads that number (one get in the request's own view)
 * each time. There is no interval in which an old answer is believed.
 *
 * Are callers asked who they are? From the first key ever made on; before it, nobody looks at what they
 * present. Revoking the last one does not open the door again; only the configuration's allow_anonymous does,
 * and even then a key that is presented has to be good.
 */
#ifndef CALLER_CALLER_H
#define CALLER_CALLER_H

#include "http/message.h"
#include "store/store.h"

/* The room's tables, one after the other in store_options.tables; every call is told the index of the first.
 */
#define CALLER_TABLES "keys", "key_names"
enum caller_table {
    CALLER_TABLE_KEYS,  /* id (8 bytes) -> record; "#" -> the number of changes */
    CALLER_TABLE_NAMES, /* what is unique: names and peers -> id; and the order of revocations */
    CALLER_TABLE_COUNT
};

enum {
    CALLER_KEY_LEN = 47, /* "rgk_" and 32 bytes in base64url */
    CALLER_ID_LEN = 16,  /* the first 8 bytes of the key's hash, in lower-case hex: not a secret */
    CALLER_NAME_MAX = 64,
    CALLER_WORDS_MAX = 16,
    CALLER_TENANT_MAX = 128,
    CALLER_API_MAX = 32,
    CALLER_METHOD_MAX = 32,
    CALLER_PEER_MAX = 255,
    CALLER_RATE_MAX = 16,
    CALLER_REVOKED_KEPT = 1000 /* for people to see; older ones are forgotten */
};

struct caller_words {
    size_t count; /* of what a stranger gave it may be more than CALLER_WORDS_MAX: a fault of the spec */
    struct slice at[CALLER_WORDS_MAX];
};

/* What a key is made with. No tenants, apis or methods given: "*", every one. */
struct caller_spec {
    struct slice name;           /* 1-64 of A-Z a-z 0-9 . _ - ; unique among keys that are not revoked */
    struct caller_words tenants; /* globs with '*' */
    struct caller_words apis;    /* names, or "*" */
    struct caller_words methods; /* as in a request line ("GET"), or "*"; HEAD is not part of GET */
    struct caller_words peers;   /* exact; each names one caller at most */
    struct slice rate;           /* "100/s", "600/m", "36000/h", or "": for limit/ */
};

enum caller_status { CALLER_ACTIVE, CALLER_REVOKED };
const char *caller_status_text(enum caller_status status);

/* A decoded record: every slice but id points into what it was decoded from. */
struct caller {
    char id[CALLER_ID_LEN];
    struct caller_spec spec;
    enum caller_status status;
    int64_t created_at, last_used_at, revoked_at; /* wall ms; 0: never. last_used_at is coarse: a minute */
};

/* --- what a request presents (pure) --------------------------------------------------------------------- */

/* X(id, "rule", "sentence for people"): the first two let the request in. */
#define CALLER_OUTCOMES(X)                                                                                   \
    X(KNOWN, "", "")                                                                                         \
    X(ANONYMOUS, "", "")                                                                                     \
    X(KEY_TWICE, "key-twice", "Authorization is given more than once, and one of them is a service key")     \
    X(KEYS_DIFFER, "keys-differ", "Authorization and X-Gateway-Key are different keys")                      \
    X(KEY_MISSING, "key-missing", "send a service key: Authorization: Bearer rgk_…, or X-Gateway-Key")       \
    X(KEY_MALFORMED, "key-malformed", "what was sent does not have the form of a service key")               \
    X(KEY_UNKNOWN, "key-unknown", "no such service key")                                                     \
    X(KEY_REVOKED, "key-revoked", "the service key was revoked")                                             \
    X(PEER_UNKNOWN, "peer-unknown", "the peer's name belongs to no caller, and no service key was sent")     \
    X(PEER_DIFFERS, "peer-differs", "the peer's name belongs to another caller than the service key")        \
    X(UNAVAILABLE, "unavailable", "the service keys cannot be read")

enum caller_outcome {
#define CALLER_ENUM(id, rule, text) CALLER_##id,
    CALLER_OUTCOMES(CALLER_ENUM)
#undef CALLER_ENUM
};
const char *caller_outcome_rule(enum caller_outcome outcome);
const char *caller_outcome_text(enum caller_outcome outcome);

struct caller_proof {
    bool has_key;
    struct slice key; /* as presented, and well-formed when flaw is KNOWN */
    /* Of what is presented: KEY_TWICE (answer 400), KEYS_DIFFER, KEY_MALFORMED; KNOWN: none. */
    enum caller_outcome flaw;
    struct slice peer; /* set by the caller of caller_read: a verified peer name, or empty */
    bool anonymous;    /* likewise: who presents nothing is let in */
    uint64_t now_ms;   /* likewise: the loop's clock */
};

/* Takes the key out of Authorization (Bearer, and only when it begins with rgk_; all else there is ignored)
 * and X-Gateway-Key (always meant for us). Sets has_key, key and flaw alone. */
void caller_read(const struct http_fields *fields, struct caller_proof *proof);

/* --- the decision (pure) -------------------------------------------------------------------------------- */

enum caller_rule { CALLER_ALLOWED, CALLER_RULE_TENANTS, CALLER_RULE_APIS, CALLER_RULE_METHODS };
/* "tenants", "apis", "methods". */
const char *caller_rule_name(enum caller_rule rule);
/* The first rule that refuses. `caller` NULL (nobody is asked): allowed. */
enum caller_rule caller_may(const struct caller *caller, struct slice tenant, struct slice api,
                            struct slice method);

/* The caller's own rate, in requests per second; 0: none. NULL is allowed. */
double caller_rate(const struct caller *caller);

/* --- a worker's desk ------------------------------------------------------------------------------------ */

/* One per worker, on its thread alone. */
struct caller_desk;
/* NULL when out of memory. The store outlives it. */
struct caller_desk *caller_desk_create(struct store *store, int first_table);
/* Every caller is released. NULL is allowed. */
void caller_desk_destroy(struct caller_desk *desk);

/* Between store_view_begin and _end. KNOWN: *out is retained (caller_release it; on this thread, before the
 * desk is destroyed); else *out is NULL. A key that was found in the desk's memory costs one get and no
 * SHA-256. Notes the use, at most once a minute for each key. UNAVAILABLE: no memory, or the store fails:
 * never let in. */
enum caller_outcome caller_identify(struct caller_desk *desk, struct store_view *view,
                                    const struct caller_proof *proof, const struct caller **out);
/* NULL is allowed; on the desk's thread. */
void caller_retain(const struct caller *caller);
void caller_release(const struct caller *caller);

/* --- changes -------------------------------------------------------------------------------------------- */

/* 0, or ERR_INVALID with a line that begins with the JSON path: "tenants[1]: …". It never quotes what was
 * given. */
int caller_validate(const struct caller_spec *spec, struct fault *fault) MUST_CHECK;

enum { CALLER_RECORD_MAX = 8192 };

/*
 * One change, about 12 KiB, not to be moved once it is made, nothing to free but caller_change_wipe. Make it
 * with one of the calls below, set change.on_done and change.loop, then store_submit or store_apply.
 * change.outcome is then 0, ERR_EXISTS (create: the name or a peer is another key's; `taken` says which),
 * ERR_NOTFOUND (revoke: no such key, or revoked already), ERR_CORRUPT, ERR_FULL, ERR_IO.
 */
struct caller_change {
    struct store_change change;
    char key[CALLER_KEY_LEN]; /* create: to be shown once, then wiped */
    struct caller
        result; /* after outcome 0: as it is now; after ERR_CORRUPT mended by a revoke: the id alone */
    struct slice taken; /* after ERR_EXISTS */
    /* the room's own */
    int first_table;
    int64_t now_ms;
    char id[CALLER_ID_LEN / 2];
    size_t record_len;
    char record[CALLER_RECORD_MAX];
};

/* Makes a fresh key. ERR_INVALID as caller_validate, ERR_NOMEM. */
int caller_change_create(struct caller_change *c, int first_table, const struct caller_spec *spec,
                         int64_t now_ms, struct fault *fault) MUST_CHECK;
/* Revokes; its name and peers are free again. A damaged record is removed. ERR_INVALID: not an id. */
int caller_change_revoke(struct caller_change *c, int first_table, struct slice id,
                         int64_t now_ms) MUST_CHECK;
/* Overwrites the key. */
void caller_change_wipe(struct caller_change *c);

/* --- reading (any thread, own view) --------------------------------------------------------------------- */

/* Was a key ever made in this store? 0, ERR_CORRUPT (then one was), ERR_IO. */
int caller_demanded(struct store_view *view, int first_table, bool *out) MUST_CHECK;
/* By id, whatever its status. ERR_NOTFOUND, ERR_CORRUPT, ERR_IO. Slices live until store_view_end. */
int caller_find(struct store_view *view, int first_table, struct slice id, struct caller *out) MUST_CHECK;
/* By the name of a key that is not revoked. Likewise. */
int caller_find_name(struct store_view *view, int first_table, struct slice name,
                     struct caller *out) MUST_CHECK;
/* Calls visit for every key behind `cursor` (an id, or empty) in the order of ids, revoked ones too, until it
 * returns false. Damaged records are counted in *damaged. 0, ERR_INVALID (no cursor of ours), ERR_IO. */
int caller_each(struct store_view *view, int first_table, struct slice cursor,
                bool (*visit)(const struct caller *caller, void *arg), void *arg, size_t *damaged) MUST_CHECK;

#endif
