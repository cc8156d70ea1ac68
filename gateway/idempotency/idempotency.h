/*
 * Writes that are safe to repeat (contract 8; draft-ietf-httpapi-idempotency-key-header): what is remembered
 * of a request with an Idempotency-Key, and what a repetition of it is told. No sockets: the pipeline asks,
 * sends, and reports.
 *
 *   idempotency_read(fields, key)            the key itself, or that it is malformed
 *   idempotency_hash(...) twice              who with which key (id), and which request (digest)
 *   idempotency_find(view, ...)              a repetition? then it ends here
 *   IDEMPOTENCY_BEGIN, store_submit          the intent: committed before the first byte leaves. One first
 * use alone gets outcome 0, over all threads and processes
 *   ... the request is sent ...
 *   IDEMPOTENCY_ANSWER | _LOSE | _FORGET     what came of it: the answer; nobody knows; nothing had left
 *
 * A record lives for 24 h from its intent. An intent without an outcome whose process is dead is as good as
 * lost: the write may have happened. Neither keys nor requests are stored, only their SHA-256; answers are,
 * and go with the record.
 */
#ifndef IDEMPOTENCY_IDEMPOTENCY_H
#define IDEMPOTENCY_IDEMPOTENCY_H

#include "http/message.h"
#include "store/store.h"

/* The room's tables, one after the other in store_options.tables; every call is told the index of the first.
 */
#define IDEMPOTENCY_TABLES "idempotency", "idempotency_times"
enum {
    IDEMPOTENCY_TABLE_RECORDS, /* id -> record; id "b" -> the answer's body; "#count" -> how many, and bytes
                                */
    IDEMPOTENCY_TABLE_TIMES,   /* time of the intent and a random number -> id */
    IDEMPOTENCY_TABLE_COUNT
};

enum {
    IDEMPOTENCY_KEY_MAX = 255,
    IDEMPOTENCY_HASH = 32,
    IDEMPOTENCY_ANSWER_MAX = 1024 * 1024, /* of an answer's body; a larger one is not kept */
    IDEMPOTENCY_FIELDS_MAX = 64 * 1024,   /* likewise of its field lines */
    IDEMPOTENCY_KEEP_MS = 24 * 3600 * 1000,
    IDEMPOTENCY_SWEEP = 8 /* old records that go for each one that comes */
};

/* --- what a request says (pure) ------------------------------------------------------------------------- */

/* The value of the request's one Idempotency-Key: 1 to 255 visible characters, as a string of RFC 9651 3.3.3
 * ("abc") or bare (abc, without any of the characters " , ; \), which are the same key. ERR_SYNTAX:
 * malformed, or there are several. */
int idempotency_read(const struct http_fields *fields, struct buf *key) MUST_CHECK;
/* SHA-256 of the parts, so that no other parts have the same. ERR_NOMEM. */
int idempotency_hash(char out[IDEMPOTENCY_HASH], const struct slice *parts, size_t count) MUST_CHECK;

/* --- processes ------------------------------------------------------------------------------------------ */

/* Which process an intent belongs to: two have none of these in common while both live. */
struct idempotency_owner {
    uint64_t pid, started, boot;
};
struct idempotency_owner idempotency_self(void);

/* --- what is known -------------------------------------------------------------------------------------- */

enum idempotency_state {
    IDEMPOTENCY_NEW,  /* never used, or more than 24 h ago */
    IDEMPOTENCY_MINE, /* this process has begun it: whoever keeps account of what is under way knows more */
    IDEMPOTENCY_ELSEWHERE, /* another living process has */
    IDEMPOTENCY_ANSWERED,
    IDEMPOTENCY_LOST,     /* sent, perhaps, and the answer is not known */
    IDEMPOTENCY_MISMATCH, /* used for another request */
};

/* An answer as it is kept. Of one too large to be kept, `whole` is false and only the status is there. */
struct idempotency_answer {
    int status;
    bool whole;
    struct slice fields; /* end-to-end field lines, each with CRLF */
    struct slice body;
    uint64_t splice_at; /* where a link to upstream stands in it */
    uint32_t splice_len;
};

/* Which use of which key. */
struct idempotency_use {
    int first_table;
    char id[IDEMPOTENCY_HASH], digest[IDEMPOTENCY_HASH];
    struct idempotency_owner self;
};

struct idempotency_found {
    enum idempotency_state state;
    struct idempotency_answer answer; /* ANSWERED: until store_view_end; LOST: the status if one came, or 0 */
};
/* Between store_view_begin and _end. 0 or ERR_IO. A damaged record is LOST: nobody can tell any more. */
int idempotency_find(struct store_view *view, const struct idempotency_use *use, int64_t now_ms,
                     struct idempotency_found *out) MUST_CHECK;

/* --- changes -------------------------------------------------------------------------------------------- */

enum idempotency_verb {
    IDEMPOTENCY_BEGIN,  /* outcome ERR_EXISTS: `state` says what was found instead (never MINE: then it is
                           LOST,  since its own process does not know of it). ERR_LIMIT: too many are
                           remembered;  ERR_FULL, ERR_IO. Forgets up to IDEMPOTENCY_SWEEP records that are too
                           old */
    IDEMPOTENCY_ANSWER, /* `answer`, which is borrowed until on_done. Kept without fields and body when it, or
                           all kept ones together, are too large */
    IDEMPOTENCY_LOSE,   /* answer.status: of the head that came, or 0 */
    IDEMPOTENCY_FORGET, /* nothing had left: as if it had never begun */
    IDEMPOTENCY_CLEAN,  /* forgets many that are too old; `more`: there are others. Needs no BEGIN */
};

struct idempotency_bounds {
    uint64_t count, bytes; /* of records; of answers' fields and bodies */
};
#define IDEMPOTENCY_BOUNDS ((struct idempotency_bounds){5 * 1000 * 1000, (uint64_t)2 << 30})

/* A change of one use: zero it, set `use`, `bounds`, verb, now_ms and change.apply = idempotency_apply,
 * on_done and loop, then store_submit. BEGIN sets `time`, which the verbs after it need: the same structure
 * is used again. */
struct idempotency_change {
    struct store_change change;
    struct idempotency_use use;
    struct idempotency_bounds bounds;
    enum idempotency_verb verb;
    int64_t now_ms;
    struct idempotency_answer answer;
    enum idempotency_state state; /* BEGIN */
    uint64_t cleaned;             /* CLEAN: so many records */
    bool more;                    /* CLEAN */
    char time[16];                /* the room's */
};
int idempotency_apply(struct store_change *change, struct store_txn *txn);

#endif
