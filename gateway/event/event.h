/*
 * A webhook of Rollout (rollout-facts 5): is it genuine, what does it say, what does it make stale. Pure; no
 * sockets, no store.
 */
#ifndef EVENT_EVENT_H
#define EVENT_EVENT_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"

enum event_signature { /* which of the four forms is accepted; AUTO accepts each */
                       EVENT_SIGNATURE_AUTO,
                       EVENT_SIGNATURE_BASE64_BODY_HEX,
                       EVENT_SIGNATURE_BASE64_BODY_BASE64,
                       EVENT_SIGNATURE_BODY_HEX,
                       EVENT_SIGNATURE_BODY_BASE64,
};
bool event_signature_from(struct slice name, enum event_signature *out); /* "auto", "base64-body-hex", … */

/* HMAC-SHA256 with the client secret over base64(body) or body, in hex (either case) or base64 with padding;
 * no prefix. All four candidates are always made and compared, in a time that depends on the lengths alone.
 * False, too, for an empty secret and when OpenSSL fails. */
bool event_verify(enum event_signature form, struct slice secret, struct slice body, struct slice signature);
/* Appends the signature; for EVENT_SIGNATURE_AUTO the way Rollout's newest documentation tells (base64(body),
 * lower-case hex, 64 bytes): for the sandbox. On failure out->failed is set and nothing is appended. */
void event_sign(enum event_signature form, struct slice secret, struct slice body, struct buf *out);

enum { EVENT_IDS_MAX = 10000, EVENT_TEXT_MAX = 256, EVENT_ENTITY_MAX = 64 };

struct event {
    struct slice id;     /* eventId, 1-256 bytes */
    struct slice name;   /* as sent: "peopleTagsCreated" */
    struct slice entity; /* normalised, cut at EVENT_ENTITY_MAX as routes are: "people" */
    struct slice api;  /* from the uri's host ("crm"; "core" for the bare one), empty when it does not tell */
    struct slice *ids; /* resourceIds; numbers as their digits */
    size_t id_count;   /* 0: names no record; then all of the entity is meant */
    void *owned;       /* the parsed JSON */
    char *text;        /* what had to be written anew */
};
/* ERR_SYNTAX (400: not JSON, no eventId or event, wrong types, an event name with other bytes than letters,
 * digits, - _ . :), ERR_LIMIT (413: more ids, longer texts), ERR_NOMEM; the fault never quotes the input.
 * resourceIds may be missing or null. The body's size is the caller's to bound. The entity is the longest
 * known entity name that the event name begins with, compared without case and hyphens, else what stands
 * before Created, Updated or Deleted, else the whole name. Free with event_deinit (also after a failure,
 * harmless). */
int event_parse(struct event *event, struct slice body, struct fault *fault) MUST_CHECK;
void event_deinit(struct event *event);

/* Whose event it is: what Rollout's payload does not say. */
struct event_origin {
    struct slice tenant, credential_id, app_key;
};
/* Appends the event as it came, on one line of JSON, with the members tenant, credential_id and app_key
 * (replacing any of these names). 0, ERR_NOMEM, ERR_INVALID (not UTF-8), or the buffer's error. */
int event_write(struct event *event, const struct event_origin *origin, struct buf *out) MUST_CHECK;

/* The dependency table: an event on `event` (a glob over normalised names: "notes*") of `api` (empty: any)
 * makes the lists and records of the other entities stale as well. Ships with a default table made from the
 * facts. */
struct event_rule {
    struct slice api; /* empty: any */
    struct slice pattern;
    struct slice stale[8]; /* entities, normalised */
    size_t stale_count;
};
const struct event_rule *event_default_rules(size_t *count);
/* Calls touch for each entity (normalised) that the event makes stale besides its own, each once at most per
 * rule. What stands before Created, Updated or Deleted is touched too when it is not the entity:
 * "peopleRelationshipsCreated" is of people for event_parse, but there may be a path of the longer name.
 * Writes through the gateway ask the same table with an event name made from the method: "notesCreated". An
 * empty api in a rule or in the call fits any. Rules may be written with capitals and hyphens. A name longer
 * than EVENT_TEXT_MAX touches nothing. */
void event_dependants(const struct event_rule *rules, size_t count, struct slice api, struct slice name,
                      void (*touch)(struct slice entity, void *arg), void *arg);

/* Normalises an entity or event name: lower case, hyphens out. Appends. */
int event_normalise(struct buf *out, struct slice name);

/* --- the plan: which events the gateway subscribes to, and what they cover -------------------------- */

enum { EVENT_PLAN_EVENTS = 192, EVENT_PLAN_ENTITIES = 64 }; /* of one API */

/* A line of the configuration. `event` is a name, or a glob over the names that ship for the API; a glob that
 * meets none of those and is nothing but a name and '*' ("widgets*") means Created, Updated and Deleted. */
struct event_want {
    struct slice api, event;
};
struct event_planned {
    struct slice name;    /* as Rollout gets it: "peopleTagsCreated" */
    struct slice spelled; /* normalised */
    unsigned entity;      /* index in entities */
};
struct event_plan_api {
    struct slice api;
    uint64_t version; /* of the list below: another one after any change */
    struct event_planned *events;
    struct slice *entities; /* normalised; covered when each of its events is subscribed to */
    size_t event_count, entity_count;
};
/* Immutable, counted, any thread. */
struct event_plan {
    atomic_uint refs;
    struct arena arena;
    struct event_plan_api *apis; /* in the order of the names given */
    size_t api_count;
};
/* Without any want what ships: the entities of rollout-facts 4.3 whose events have a known spelling. Names
 * are copied; a want for an API that is not named has no effect. ERR_LIMIT (more events or entities for one
 * API), ERR_NOMEM. */
int event_plan_create(const struct slice *apis, size_t api_count, const struct event_want *wants,
                      size_t want_count, struct event_plan **out) MUST_CHECK;
struct event_plan *event_plan_retain(struct event_plan *plan);
void event_plan_release(struct event_plan *plan); /* NULL is allowed */
/* Index in the API's entities, or -1. `entity` is normalised. */
int event_plan_entity(const struct event_plan_api *api, struct slice entity);
/* Index in the API's events, or -1; however it is spelled. */
int event_plan_find(const struct event_plan_api *api, struct slice event);

#endif
