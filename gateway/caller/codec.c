/*
 * The packed records, read in place.
 *
 * key:    version, flags, created, last used, revoked (8 bytes each, little endian), hash (32), then as
 * length byte + bytes: name, rate; and tenants, apis, methods, peers, each a count and that many length byte
 * + bytes ledger: version, then three numbers of 8 bytes, little endian
 */
#include "base/digest.h"
#include "caller/caller_internal.h"

enum {
    RECORD_VERSION = 1,
    LEDGER_VERSION = 1,
    FLAG_REVOKED = 0x01,
    FLAGS_AT = 1,
    CREATED_AT = 2,
    USED_AT = 10,
    REVOKED_AT = 18,
    HASH_AT = 26,
    TEXTS_AT = HASH_AT + CALLER_HASH_LEN
};

/* --- numbers -------------------------------------------------------------------------------------------- */

static void write_u64(char *out, uint64_t value)
{
    for (size_t i = 0; i < 8; i++)
        out[i] = (char)(uint8_t)(value >> (8 * i));
}

static uint64_t read_u64(const char *at)
{
    uint64_t value = 0;
    for (size_t i = 0; i < 8; i++)
        value |= (uint64_t)(uint8_t)at[i] << (8 * i);
    return value;
}

/* --- reading -------------------------------------------------------------------------------------------- */

static bool take_byte(struct slice *rest, size_t *out)
{
    if (rest->len == 0)
        return false;
    *out = (uint8_t)rest->ptr[0];
    *rest = slice_skip(*rest, 1);
    return true;
}

static bool take_text(struct slice *rest, struct slice *out)
{
    size_t len;
    if (!take_byte(rest, &len) || rest->len < len)
        return false;
    *out = slice_of(rest->ptr, len);
    *rest = slice_skip(*rest, len);
    return true;
}

static bool take_words(struct slice *rest, struct caller_words *out)
{
    if (!take_byte(rest, &out->count) || out->count > CALLER_WORDS_MAX)
        return false;
    for (size_t i = 0; i < out->count; i++)
        if (!take_text(rest, &out->at[i]))
            return false;
    return true;
}

int codec_read(struct slice record, struct slice id, struct caller *out, struct slice *hash)
{
    if (record.len < TEXTS_AT || record.ptr[0] != RECORD_VERSION || id.len != CALLER_ID_BYTES)
        return ERR_CORRUPT;
    struct slice rest = slice_skip(record, TEXTS_AT);
    struct caller_spec *spec = &out->spec;
    if (!take_text(&rest, &spec->name) || !take_text(&rest, &spec->rate) ||
        !take_words(&rest, &spec->tenants) || !take_words(&rest, &spec->apis) ||
        !take_words(&rest, &spec->methods) || !take_words(&rest, &spec->peers) || rest.len)
        return ERR_CORRUPT;
    codec_id_text(id, out->id);
    out->status = record.ptr[FLAGS_AT] & FLAG_REVOKED ? CALLER_REVOKED : CALLER_ACTIVE;
    out->created_at = (int64_t)read_u64(record.ptr + CREATED_AT);
    out->last_used_at = (int64_t)read_u64(record.ptr + USED_AT);
    out->revoked_at = (int64_t)read_u64(record.ptr + REVOKED_AT);
    if (hash)
        *hash = slice_of(record.ptr + HASH_AT, CALLER_HASH_LEN);
    return 0;
}

/* --- writing -------------------------------------------------------------------------------------------- */

static void put_text(struct buf *out, struct slice text)
{
    buf_append_char(out, (char)(uint8_t)text.len);
    buf_append_slice(out, text);
}

/* None given: every one. */
static void put_words(struct buf *out, const struct caller_words *words, bool or_all)
{
    if (words->count == 0 && or_all) {
        buf_append_char(out, 1);
        put_text(out, SLICE("*"));
        return;
    }
    buf_append_char(out, (char)(uint8_t)words->count);
    for (size_t i = 0; i < words->count; i++)
        put_text(out, words->at[i]);
}

int codec_write(struct buf *out, const struct codec_head *head, const struct caller_spec *spec)
{
    char fixed[TEXTS_AT];
    fixed[0] = RECORD_VERSION;
    fixed[FLAGS_AT] = head->status == CALLER_REVOKED ? FLAG_REVOKED : 0;
    write_u64(fixed + CREATED_AT, (uint64_t)head->created_at);
    write_u64(fixed + USED_AT, (uint64_t)head->last_used_at);
    write_u64(fixed + REVOKED_AT, (uint64_t)head->revoked_at);
    memcpy(fixed + HASH_AT, head->hash, CALLER_HASH_LEN);
    buf_append(out, fixed, sizeof fixed);
    put_text(out, spec->name);
    put_text(out, spec->rate);
    put_words(out, &spec->tenants, true);
    put_words(out, &spec->apis, true);
    put_words(out, &spec->methods, true);
    put_words(out, &spec->peers, false);
    return out->failed ? ERR_LIMIT : 0;
}

void codec_set_revoked(char *record, int64_t now_ms)
{
    record[FLAGS_AT] = (char)(record[FLAGS_AT] | FLAG_REVOKED);
    write_u64(record + REVOKED_AT, (uint64_t)now_ms);
}

void codec_set_used(char *record, int64_t now_ms)
{
    write_u64(record + USED_AT, (uint64_t)now_ms);
}

/* --- ids, the ledger, names ----------------------------------------------------------------------------- */

void codec_id_text(struct slice id, char out[CALLER_ID_LEN])
{
    struct buf text;
    buf_init_fixed(&text, out, CALLER_ID_LEN);
    digest_hex(&text, id.ptr, id.len);
}

bool codec_id_read(struct slice text, char out[CALLER_ID_BYTES])
{
    struct buf bytes;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] >= 'A' && text.ptr[i] <= 'F') /* one spelling for one key */
            return false;
    buf_init_fixed(&bytes, out, CALLER_ID_BYTES);
    return text.len == CALLER_ID_LEN && digest_unhex(&bytes, text) == 0;
}

void codec_write_ledger(char out[LEDGER_LEN], const struct codec_ledger *ledger)
{
    out[0] = LEDGER_VERSION;
    write_u64(out + 1, ledger->version);
    write_u64(out + 9, ledger->first);
    write_u64(out + 17, ledger->next);
}

int codec_read_ledger(struct slice record, struct codec_ledger *out)
{
    if (record.len != LEDGER_LEN || record.ptr[0] != LEDGER_VERSION)
        return ERR_CORRUPT;
    *out =
        (struct codec_ledger){read_u64(record.ptr + 1), read_u64(record.ptr + 9), read_u64(record.ptr + 17)};
    return 0;
}

struct name_key codec_name_key(char kind, struct slice text)
{
    struct name_key key = {.len = 1};
    key.text[0] = kind;
    size_t len = text.len < NAME_KEY_MAX - 1 ? text.len : NAME_KEY_MAX - 1; /* what was validated fits */
    if (len > 0)
        memcpy(key.text + 1, text.ptr, len);
    key.len += len;
    return key;
}
