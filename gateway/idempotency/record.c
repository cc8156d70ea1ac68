/*
 * Records: version, state, whole, 0, status (4), time (16), digest (32), owner (3 x 8), splice_at (8),
 * splice_len (4), body length (8), the fields' length (4), the field lines. Numbers are little endian, but
 * for those of the time, which is a key that sorts.
 */
#include "idempotency_internal.h"

enum {
    VERSION = 1,
    STATE_AT = 1,
    WHOLE_AT = 2,
    STATUS_AT = 4,
    TIME_AT = 8,
    DIGEST_AT = 24,
    OWNER_AT = 56,
    SPLICE_AT = 80,
    SPLICE_LEN_AT = 88,
    BODY_AT = 92,
    FIELDS_AT = 100
};

/* --- numbers -------------------------------------------------------------------------------------------- */

static void write_number(char *out, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (char)(unsigned char)(value >> (8 * i));
}

static uint64_t read_number(const char *at, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)(unsigned char)at[i] << (8 * i);
    return value;
}

void record_put_time(char time[TIME_LEN], int64_t at_ms, uint64_t nonce)
{
    for (size_t i = 0; i < 8; i++) {
        time[i] = (char)(unsigned char)((uint64_t)at_ms >> (56 - 8 * i));
        time[8 + i] = (char)(unsigned char)(nonce >> (56 - 8 * i));
    }
}

int64_t record_time_ms(const char time[TIME_LEN])
{
    uint64_t value = 0;
    for (size_t i = 0; i < 8; i++)
        value = value << 8 | (unsigned char)time[i];
    return (int64_t)value;
}

bool record_is_old(const char time[TIME_LEN], int64_t now_ms)
{
    return record_time_ms(time) <= now_ms - IDEMPOTENCY_KEEP_MS;
}

struct body_key record_body_key(const char id[IDEMPOTENCY_HASH])
{
    struct body_key key;
    memcpy(key.bytes, id, IDEMPOTENCY_HASH);
    key.bytes[IDEMPOTENCY_HASH] = 'b';
    return key;
}

/* --- records -------------------------------------------------------------------------------------------- */

int record_write(struct buf *out, const struct record *record)
{
    char head[RECORD_HEAD] = {0};
    const struct idempotency_answer *answer = &record->answer;
    size_t fields = answer->whole ? answer->fields.len : 0;
    head[0] = VERSION;
    head[STATE_AT] = (char)record->state;
    head[WHOLE_AT] = answer->whole ? 1 : 0;
    write_number(head + STATUS_AT, (uint64_t)answer->status, 4);
    memcpy(head + TIME_AT, record->time, TIME_LEN);
    memcpy(head + DIGEST_AT, record->digest, IDEMPOTENCY_HASH);
    write_number(head + OWNER_AT, record->owner.pid, 8);
    write_number(head + OWNER_AT + 8, record->owner.started, 8);
    write_number(head + OWNER_AT + 16, record->owner.boot, 8);
    write_number(head + SPLICE_AT, answer->splice_at, 8);
    write_number(head + SPLICE_LEN_AT, answer->splice_len, 4);
    write_number(head + BODY_AT, answer->whole ? answer->body.len : 0, 8);
    write_number(head + FIELDS_AT, fields, 8);
    buf_append(out, head, sizeof head);
    return buf_append_slice(out, slice_of(answer->fields.ptr, fields));
}

int record_read(struct slice value, struct record *out)
{
    if (value.len < RECORD_HEAD || value.ptr[0] != VERSION)
        return ERR_CORRUPT;
    const char *at = value.ptr;
    struct idempotency_answer *answer = &out->answer;
    out->state = (enum record_state)at[STATE_AT];
    memcpy(out->time, at + TIME_AT, TIME_LEN);
    memcpy(out->digest, at + DIGEST_AT, IDEMPOTENCY_HASH);
    out->owner = (struct idempotency_owner){read_number(at + OWNER_AT, 8), read_number(at + OWNER_AT + 8, 8),
                                            read_number(at + OWNER_AT + 16, 8)};
    answer->whole = at[WHOLE_AT] != 0;
    answer->status = (int)read_number(at + STATUS_AT, 4);
    answer->splice_at = read_number(at + SPLICE_AT, 8);
    answer->splice_len = (uint32_t)read_number(at + SPLICE_LEN_AT, 4);
    answer->body = slice_of(NULL, (size_t)read_number(at + BODY_AT, 8));
    answer->fields = slice_skip(value, RECORD_HEAD);
    bool good = out->state >= RECORD_BEGUN && out->state <= RECORD_LOST &&
                read_number(at + FIELDS_AT, 8) == answer->fields.len &&
                answer->body.len <= IDEMPOTENCY_ANSWER_MAX && answer->splice_at <= answer->body.len &&
                answer->splice_len <= answer->body.len - answer->splice_at;
    return good ? 0 : ERR_CORRUPT;
}

enum idempotency_state record_judge(const struct record *record, const struct idempotency_use *use,
                                    int64_t now_ms)
{
    if (record_is_old(record->time, now_ms))
        return IDEMPOTENCY_NEW;
    if (memcmp(record->digest, use->digest, IDEMPOTENCY_HASH) != 0)
        return IDEMPOTENCY_MISMATCH;
    switch (record->state) {
    case RECORD_ANSWERED:
        return IDEMPOTENCY_ANSWERED;
    case RECORD_LOST:
        return IDEMPOTENCY_LOST;
    case RECORD_BEGUN:
        break;
    }
    if (owner_equal(&record->owner, &use->self))
        return IDEMPOTENCY_MINE;
    return owner_lives(&record->owner) ? IDEMPOTENCY_ELSEWHERE : IDEMPOTENCY_LOST;
}

/* --- reading -------------------------------------------------------------------------------------------- */

static int find_body(struct store_view *view, const struct idempotency_use *use,
                     struct idempotency_answer *answer)
{
    struct slice body;
    struct body_key key = record_body_key(use->id);
    size_t len = answer->body.len;
    answer->body = SLICE("");
    if (!answer->whole || len == 0)
        return 0;
    int error = store_get(view, use->first_table + IDEMPOTENCY_TABLE_RECORDS,
                          slice_of(key.bytes, sizeof key.bytes), &body);
    if (error == 0 && body.len != len)
        return ERR_CORRUPT;
    answer->body = body;
    return error == ERR_NOTFOUND ? ERR_CORRUPT : error;
}

int idempotency_find(struct store_view *view, const struct idempotency_use *use, int64_t now_ms,
                     struct idempotency_found *out)
{
    struct slice value;
    struct record record;
    *out = (struct idempotency_found){.state = IDEMPOTENCY_NEW};
    int error = store_get(view, use->first_table + IDEMPOTENCY_TABLE_RECORDS,
                          slice_of(use->id, sizeof use->id), &value);
    if (error == ERR_NOTFOUND)
        return 0;
    if (error == 0)
        error = record_read(value, &record);
    if (error == 0) {
        out->state = record_judge(&record, use, now_ms);
        out->answer = record.answer;
        if (out->state == IDEMPOTENCY_ANSWERED)
            error = find_body(view, use, &out->answer);
    }
    if (error == ERR_CORRUPT)
        *out = (struct idempotency_found){.state = IDEMPOTENCY_LOST};
    return error == ERR_CORRUPT ? 0 : error;
}
