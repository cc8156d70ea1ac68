/* One request to several systems: what its two files share. */
#ifndef PIPELINE_FANOUT_H
#define PIPELINE_FANOUT_H

#include "credential/credential.h"
#include "http/url.h"
#include "pipeline/internal.h"

enum {
    FANOUT_NAMES_MAX = 64,
    FANOUT_CURSOR_MAX = 2048,
    FANOUT_ANSWER_MAX = 4 * 1024 * 1024,   /* body of one leg */
    FANOUT_HELD_MAX = 16 * 1024 * 1024,    /* of all legs of a request */
    FANOUT_WORKER_MAX = 256 * 1024 * 1024, /* of all requests of a worker */
};

/* What X-Fanout names, in the order in which it does. */
struct fanout_name {
    struct slice name;   /* an app key or a credential's id */
    struct slice cursor; /* percent-encoded; empty: from the start */
};
struct fanout_names {
    bool all;
    size_t count;
    struct fanout_name at[FANOUT_NAMES_MAX];
};

/* One system. */
struct leg {
    struct fanout *fanout;
    struct slice credential_id; /* empty: the tenant has none that fits */
    struct slice app_key;       /* or what was asked for */
    struct slice cursor;
    struct insider insider;
    struct server_inner *inner; /* while it is under way */
    struct loop_timer timer;
    bool late;
    struct buf result; /* its JSON, once it is known */
    struct slice next; /* where its next page begins, percent-encoded; in the arena */
};

struct fanout {
    struct visit *visit;
    struct slice query; /* without what says where a page begins */
    struct slice body;
    uint64_t deadline_ms; /* the client's own, of all; 0: none */
    struct leg *legs;
    size_t count, begun, done;
    unsigned flying, width;
    size_t held; /* bytes of results */
};

/* fanout_names.c: pure */
/* False: malformed, and *why says how. */
bool fanout_read(const struct http_fields *fields, struct fanout_names *names, const char **why);
/* The name's own credentials: by id, else all of that app key that serve the api. */
bool fanout_names(const struct fanout_name *name, const struct credential *credential, struct slice api);

/* fanout_join.c */
/* What a leg was answered; what it could not be given is said in its place. */
void fanout_result(struct leg *leg, const struct server_inner_answer *answer);
/* The gateway's own word about a leg. */
void fanout_problem(struct leg *leg, enum problem problem, const char *detail);
/* All legs are done: the one answer. */
void fanout_answer(struct fanout *fanout);

#endif
