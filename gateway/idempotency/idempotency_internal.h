/* What the files of this room share. */
#ifndef IDEMPOTENCY_INTERNAL_H
#define IDEMPOTENCY_INTERNAL_H

#include "idempotency/idempotency.h"

/* --- owner.c --- */
bool owner_equal(const struct idempotency_owner *a, const struct idempotency_owner *b);
bool owner_lives(const struct idempotency_owner *owner);

/* --- record.c --- */
enum { TIME_LEN = 16, RECORD_HEAD = 108 };

enum record_state { RECORD_BEGUN = 1, RECORD_ANSWERED, RECORD_LOST };

/* A decoded record; the answer's body stands under a key of its own. */
struct record {
    enum record_state state;
    char time[TIME_LEN];
    char digest[IDEMPOTENCY_HASH];
    struct idempotency_owner owner;
    struct idempotency_answer answer; /* body.ptr is NULL */
};

struct body_key {
    char bytes[IDEMPOTENCY_HASH + 1];
};
struct body_key record_body_key(const char id[IDEMPOTENCY_HASH]);

void record_put_time(char time[TIME_LEN], int64_t at_ms, uint64_t nonce);
int64_t record_time_ms(const char time[TIME_LEN]);
bool record_is_old(const char time[TIME_LEN], int64_t now_ms);

/* Writes head and fields. */
int record_write(struct buf *out, const struct record *record) MUST_CHECK;
/* 0 or ERR_CORRUPT. */
int record_read(struct slice value, struct record *out) MUST_CHECK;
/* What the record means to a use. Whether MINE is still under way is not this room's to know. */
enum idempotency_state record_judge(const struct record *record, const struct idempotency_use *use,
                                    int64_t now_ms);

#endif
