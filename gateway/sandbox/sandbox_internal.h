/*
 * What the files of this room share. A request walks: request.c reads the target and decides about faults,
 * auth.c says who calls, then the handler of the entity (list, record, special, credentials) answers through
 * answer.c, which also plays the knobs' tricks on the wire. Records live in data.c: `latest` is what the
 * system behind knows, `seen` what reads show, and a change becomes seen after the knob's lag; at that moment
 * its webhook event is emitted (hooks.c, deliver.c).
 */
#ifndef SANDBOX_SANDBOX_INTERNAL_H
#define SANDBOX_SANDBOX_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "http/json.h"
#include "http/url.h"
#include "sandbox/sandbox.h"
#include "server/server.h"
#include "token/token.h"
#include "upstream/upstream.h"

enum {
    SANDBOX_BODY_MAX = 10 * 1024 * 1024,
    SANDBOX_ANSWER_MAX = 64 * 1024 * 1024,
    SANDBOX_PEOPLE_DEFAULT = 25,
    SANDBOX_LIMIT_DEFAULT = 50, /* Rollout tells neither; its own clients use both */
    SANDBOX_LIMIT_MAX = 100,
    SANDBOX_SEGMENTS = 5,
    SANDBOX_ID_SIZE = 37,
    SANDBOX_ID_TEXT = 129, /* ids that the control path gives may be longer than ours */
    SANDBOX_TIME_SIZE = 32,
    SANDBOX_RECORDS_MAX = 1000000, /* of one collection */
    SANDBOX_CHANGES_MAX = 100000,  /* not seen yet */
    SANDBOX_JOURNAL = 1000,
    SANDBOX_JOURNAL_BODY = 4096,
    SANDBOX_EVENT_IDS = 1000,
    SANDBOX_CREDENTIALS_MAX = 10000,
};

struct sandbox_call;
struct sandbox_collection;

/* --- entity.c: what there is
 * --------------------------------------------------------------------------------- */

enum sandbox_api {
    SANDBOX_CORE,
    SANDBOX_CRM,
    SANDBOX_TMS,
    SANDBOX_LOS,
    SANDBOX_MORTGAGE_CRM,
    SANDBOX_EMAIL,
    SANDBOX_CALENDAR,
    SANDBOX_API_COUNT, /* also: none */
};
const char *sandbox_api_name(enum sandbox_api api);
enum sandbox_api sandbox_api_find(struct slice name);
/* Bits (1 << api) of a comma-separated list. */
unsigned sandbox_api_mask(struct slice names);

enum {
    SANDBOX_CAN_LIST = 1 << 0,
    SANDBOX_CAN_GET = 1 << 1,
    SANDBOX_CAN_CREATE = 1 << 2,
    SANDBOX_CAN_UPDATE = 1 << 3,
    SANDBOX_CAN_DELETE = 1 << 4,
    SANDBOX_CAN_ALL = 31,
    /* Oddities. */
    SANDBOX_ARRAY_CREATED = 1 << 5, /* POST answers an array */
    SANDBOX_BARE = 1 << 6,          /* no created, updated and originals; no events: webhooks */
    SANDBOX_HIDDEN = 1 << 7,        /* reads show id, stamps and originals only */
    SANDBOX_ACTIVITY = 1 << 8,      /* creating one changes the person's lastActivity */
};

enum { SANDBOX_SEEDS_PEOPLE = -1 };

struct sandbox_entity {
    enum sandbox_api api;
    const char *path, *collection; /* the key of the array, which is not always the path */
    unsigned flags;
    int seeds;
    const char *fields; /* see sandbox_spec_next */
};
extern const struct sandbox_entity sandbox_entities[];
extern const size_t sandbox_entity_count;
/* NULL when there is none. */
const struct sandbox_entity *sandbox_entity_find(enum sandbox_api api, struct slice path);
size_t sandbox_entity_index(const struct sandbox_entity *entity);

/* One word of an entity's `fields`: "!" required, the name, and its type: none string, "#" number, "?"
 * boolean, "[" array, "{" object,
 * "^" time, "@people" id of a record, "=a|b" one of these, "~a|b" a string with examples. */
struct sandbox_spec {
    struct slice name, detail;
    char kind; /* 's' for a string */
    bool required;
};
bool sandbox_spec_next(const char **rest, struct sandbox_spec *spec);
/* Errors as an array of {path, message}, empty when all is well; NULL when out of memory. `partial`: nothing
 * is required. */
json_t *sandbox_entity_check(const struct sandbox_entity *entity, const json_t *value, bool partial);
/* The known fields of the value. NULL when out of memory. */
json_t *sandbox_entity_pick(const struct sandbox_entity *entity, const json_t *value);
/* "smartListsUpdated" from smart-lists and Updated. */
void sandbox_event_name(const struct sandbox_entity *entity, const char *what, struct buf *out);

/* --- data.c: records
 * ----------------------------------------------------------------------------------------- */

/* Bytes that answers share with the record they belong to. */
struct sandbox_text {
    unsigned references;
    size_t len;
    char bytes[];
};
struct sandbox_text *sandbox_text_create(struct slice bytes);
struct sandbox_text *sandbox_text_from(const json_t *value);
struct sandbox_text *sandbox_text_retain(struct sandbox_text *text);
void sandbox_text_release(void *text); /* may be NULL */

struct sandbox_credential {
    struct map_node node;
    struct list order;
    char *id, *app_key, *mark; /* mark: what its seeded names end with, "Acme" */
    char tenant[129];
    unsigned apis;
    uint64_t ready_ms; /* 409 before */
    int64_t created_ms;
    json_t *sync;                            /* entitiesToSync, or NULL */
    struct sandbox_collection **collections; /* by entity; NULL until first asked for */
};

struct sandbox_record {
    struct map_node node;
    char *id;
    uint64_t order;
    json_t *latest, *seen; /* NULL: deleted, not there (yet) */
    struct sandbox_text *text;
    unsigned pending;
};

struct sandbox_collection {
    struct sandbox *sandbox;
    struct sandbox_credential *credential;
    const struct sandbox_entity *entity;
    struct map ids;
    struct sandbox_record **at; /* in the order of creation */
    size_t count, capacity;
    size_t visible; /* those with a `seen` */
    uint64_t next_order;
};

struct sandbox_write {
    uint64_t lag_ms;
    bool silent;       /* no event */
    const char *extra; /* a further event: "TagsCreated"; or NULL */
    const char *id;    /* of a created record, or NULL */
};

/* Seeds at first use. NULL when out of memory. */
struct sandbox_collection *sandbox_collection_of(struct sandbox *sandbox,
                                                 struct sandbox_credential *credential,
                                                 const struct sandbox_entity *entity);
void sandbox_collection_destroy(struct sandbox_collection *collection);
/* Also those that no read shows: look at `seen` or `latest`. */
struct sandbox_record *sandbox_record_find(const struct sandbox_collection *collection, struct slice id);
/* Where the first record stands whose order is not below. */
size_t sandbox_collection_place(const struct sandbox_collection *collection, uint64_t order);
/* Serialised as reads see it; borrowed. NULL when out of memory. */
struct sandbox_text *sandbox_record_text(struct sandbox_record *record);
/* Takes `fields` (also on failure; NULL is a failure). The record, which lives until a delete of it is seen;
 * NULL when out of memory or full. */
struct sandbox_record *sandbox_data_create(struct sandbox_collection *collection, json_t *fields,
                                           const struct sandbox_write *write);
/* Sets the members of `set`. The record has a `latest`. 0 or ERR_NOMEM. */
int sandbox_data_update(struct sandbox_collection *collection, struct sandbox_record *record,
                        const json_t *set, const struct sandbox_write *write);
int sandbox_data_delete(struct sandbox_collection *collection, struct sandbox_record *record,
                        const struct sandbox_write *write);
/* Puts in a record of the beginning: no event, no lag. Takes value. */
int sandbox_data_seed(struct sandbox_collection *collection, json_t *value);
/* Forgets what was not seen yet, of one credential or (NULL) of all: before their records go. */
void sandbox_data_drop_changes(struct sandbox *sandbox, const struct sandbox_credential *credential);

/* seed.c: a record as `n`th example; NULL when out of memory. */
json_t *sandbox_seed(const struct sandbox_credential *credential, const struct sandbox_entity *entity,
                     unsigned people, unsigned n);
unsigned sandbox_seed_count(const struct sandbox_entity *entity, unsigned people);
void sandbox_seed_id(const char *credential_id, const struct sandbox_entity *entity, unsigned n,
                     char out[SANDBOX_ID_SIZE]);
/* A fresh UUIDv7. */
void sandbox_fresh_id(char out[SANDBOX_ID_SIZE]);
/* "2026-01-01T00:00:00.000Z", or with "+00:00" and no fraction as in events. */
void sandbox_format_time(int64_t wall_ms, bool fraction, char out[SANDBOX_TIME_SIZE]);

/* --- list.c
 * -------------------------------------------------------------------------------------------------- */

struct sandbox_page {
    size_t offset, limit, total;
    size_t shown;
    uint64_t after; /* order of the last one on the page before, when `cursor` */
    bool cursor;
};
/* ERR_SYNTAX for what is no cursor of ours. */
int sandbox_cursor_read(struct slice text, struct sandbox_page *page);
void sandbox_cursor_write(struct buf *out, uint64_t after, size_t offset);
/* Does the record pass every filter of the query? */
bool sandbox_filter(const struct sandbox_entity *entity, const json_t *record, struct slice query);
void sandbox_list(struct sandbox_call *call);

/* --- the other handlers
 * -------------------------------------------------------------------------------------- */

/* record.c: POST of a collection, and GET, PUT, DELETE of a record. */
void sandbox_record_create(struct sandbox_call *call);
void sandbox_record_serve(struct sandbox_call *call);
/* Parses the body as an object; NULL: answered (400, 422). The caller decrefs. */
json_t *sandbox_call_object(struct sandbox_call *call);
void sandbox_call_invalid(struct sandbox_call *call, const char *path, const char *message);
/* special.c: true when the path is one of the odd ones; then it is answered. */
bool sandbox_special(struct sandbox_call *call);
/* What a created record changes besides itself. */
void sandbox_special_created(struct sandbox_call *call, const json_t *given, struct sandbox_record *record);
/* credentials.c: the core API. */
void sandbox_core(struct sandbox_call *call);
int sandbox_credentials_seed(struct sandbox *sandbox);
struct sandbox_credential *sandbox_credential_find(const struct sandbox *sandbox, struct slice id);
void sandbox_credential_destroy(struct sandbox_credential *credential);
/* control.c: /_sandbox/… */
void sandbox_control(struct sandbox_call *call, struct slice what);
/* page.c: in place of Rollout Link */
void sandbox_page(struct sandbox_call *call);
void sandbox_page_script(struct sandbox_call *call);
/* auth.c: false when answered (401, 403). */
bool sandbox_auth(struct sandbox_call *call);

/* --- knobs.c
 * ------------------------------------------------------------------------------------------------- */

enum sandbox_fault {
    SANDBOX_FAULT_NONE,
    SANDBOX_FAULT_STATUS,
    SANDBOX_FAULT_STALL,
    SANDBOX_FAULT_RESET,
    SANDBOX_FAULT_MALFORMED
};
enum sandbox_where { SANDBOX_BEFORE, SANDBOX_HEAD, SANDBOX_BODY };

struct sandbox_rule {
    enum sandbox_fault kind;
    enum sandbox_where where;
    int status;
    int malformed; /* row of the table in answer.c */
    uint64_t retry_after, left, ms;
    const json_t *match; /* of knobs.source, or NULL: everything */
};

enum { SANDBOX_RULES = 32 };

struct sandbox_knobs {
    json_t *source; /* as told; the rules point into it */
    uint64_t latency_ms, lag_ms, rate, first_sync_ms;
    uint64_t retry_ms, deliver_delay_ms;
    bool chunked, close_delimited, record, etag, deliver_twice, deliver_paused;
    struct sandbox_rule rules[SANDBOX_RULES];
    size_t rule_count;
    const json_t *not_ready;
    struct buf fields;
};

int sandbox_knobs_init(struct sandbox_knobs *knobs, const struct sandbox_options *options);
/* Sets what `change` names (null: back to nothing). ERR_INVALID with a fault, ERR_NOMEM: nothing changed. */
int sandbox_knobs_set(struct sandbox_knobs *knobs, const json_t *change, struct fault *fault) MUST_CHECK;
void sandbox_knobs_deinit(struct sandbox_knobs *knobs);
/* The first live rule that fits the request (a use of it is counted off), or NULL. */
const struct sandbox_rule *sandbox_knobs_match(struct sandbox_knobs *knobs, const struct sandbox_call *call);
bool sandbox_knobs_holds(const struct sandbox_knobs *knobs, const char *credential_id);

/* --- journal.c: what was seen
 * -------------------------------------------------------------------------------- */

struct sandbox_entry {
    struct list node;
    struct sandbox_text *head; /* members as JSON text, without braces */
    struct sandbox_text *body;
    uint64_t body_length;
    int status;
    unsigned references; /* the journal, and the call under way */
};

struct sandbox_stats {
    uint64_t requests, by_api[SANDBOX_API_COUNT + 1], by_status[600], unanswered;
    uint64_t events, delivered, failed, dropped, attempts;
};

void sandbox_journal_begin(struct sandbox_call *call);
void sandbox_journal_body(struct sandbox_call *call);
void sandbox_journal_end(struct sandbox_call *call);
void sandbox_journal_clear(struct sandbox *sandbox);
/* As JSON; false when out of memory. */
bool sandbox_journal_write(const struct sandbox *sandbox, struct buf *out);
json_t *sandbox_stats_json(const struct sandbox *sandbox);

/* --- hooks.c, deliver.c
 * -------------------------------------------------------------------------------------- */

/* Is the event one of the API's? The canonical spelling is appended to out (not NULL) then. */
bool sandbox_event_known(enum sandbox_api api, struct slice name, struct buf *out);
/* `what`: "Created", "Updated", "Deleted" or a longer ending. */
void sandbox_emit(struct sandbox *sandbox, struct sandbox_credential *credential,
                  const struct sandbox_entity *entity, const char *what, const char *const *ids,
                  size_t count);
/* Checks and completes a subscription that is about to be stored: false when answered (422). */
bool sandbox_hook_check(struct sandbox_call *call, json_t *fields, bool partial);

struct sandbox_origin {
    struct list node;
    struct upstream_origin origin;
};
/* Queues one delivery, unless the queue is full (counted). */
void sandbox_deliver(struct sandbox *sandbox, struct slice url, struct sandbox_text *body);
void sandbox_deliver_wake(struct sandbox *sandbox);
/* Drops what is queued; what is in flight is cancelled. */
void sandbox_deliver_clear(struct sandbox *sandbox);
size_t sandbox_deliver_waiting(const struct sandbox *sandbox);

/* --- the whole
 * ----------------------------------------------------------------------------------------------- */

enum { SANDBOX_WINDOWS = 256 };

struct sandbox {
    struct loop *loop;
    struct server *server;
    struct upstream *upstream;
    struct buf client_id, client_secret, address;
    struct sandbox_options options; /* its slices and address are not used */
    struct sandbox_knobs knobs;
    struct map credentials;
    struct list credential_order;
    struct list changes; /* not seen yet */
    size_t change_count;
    struct loop_timer change_timer;
    struct list journal;
    size_t journal_count;
    struct sandbox_stats stats;
    uint64_t *by_entity;
    struct {
        uint64_t second, count;
    } windows[SANDBOX_WINDOWS]; /* requests of this second, by tenant's hash */
    struct list queue, flying, origins;
    size_t queued, flights, origin_count;
    struct loop_timer deliver_timer;
    bool closing;
    void (*on_closed)(void *arg);
    void *arg;
};

/* One request; in the exchange's arena. */
struct sandbox_call {
    struct sandbox *sandbox;
    struct server_exchange *x;
    enum method method; /* HEAD is GET here */
    enum sandbox_api api;
    struct slice path, query;                /* path as sent, query without '?' */
    struct slice segments[SANDBOX_SEGMENTS]; /* behind /{api}/api/, decoded */
    size_t segment_count;
    struct slice body;
    struct token_claims claims;
    struct sandbox_credential *credential;
    const struct sandbox_entity *entity;
    struct sandbox_entry *entry;
    struct sandbox_rule fault; /* a copy: the rules may change while the answer waits */
    struct loop_timer timer;
    struct sandbox_text *text;
    size_t sent;
    int status;
    uint64_t retry_after;
    bool control, stalled;
};

/* sandbox.c: back to the beginning: data, knobs, counters. ERR_NOMEM leaves it empty. */
int sandbox_reset(struct sandbox *sandbox);
/* request.c */
void sandbox_on_request(void *owner, struct server_exchange *x);

/* answer.c: each ends the call. Text is taken; NULL answers 500. */
void sandbox_answer_text(struct sandbox_call *call, int status, struct sandbox_text *text);
/* Takes the value. */
void sandbox_answer_json(struct sandbox_call *call, int status, json_t *value);
/* {"errorMessage": …}, or the core API's {"errors":[{"message": …}]}. */
void sandbox_answer_error(struct sandbox_call *call, int status, const char *message);
void sandbox_answer_not_found(struct sandbox_call *call);
/* Row of a malformed answer, or -1. */
int sandbox_malformed_find(struct slice name);

#endif
