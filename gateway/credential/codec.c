/*
 * The packed records, read in place.
 *
 * tenants:         version, count, then per credential: flags, created, updated, checked (little endian;
 * checked is not in version 1), token, and as length byte + bytes: id, app_key, label; number of apis, each
 * as length byte + bytes webhook_tokens: tenant as length byte + bytes, then the id to the end
 */
#include "credential/credential_internal.h"

enum { SET_VERSION = 2, FLAG_DEFAULT = 0x01, FLAG_GONE = 0x02, FLAG_FOUND = 0x04, TIME_LEN = 8 };

/* --- reading
 * ------------------------------------------------------------------------------------------------- */

/* Takes n bytes off the front; false when there are fewer. */
static bool take(struct slice *rest, size_t n, struct slice *out)
{
    if (rest->len < n)
        return false;
    *out = slice_of(rest->ptr, n);
    *rest = slice_skip(*rest, n);
    return true;
}

static bool take_byte(struct slice *rest, uint8_t *out)
{
    struct slice byte;
    if (!take(rest, 1, &byte))
        return false;
    *out = (uint8_t)byte.ptr[0];
    return true;
}

static bool take_text(struct slice *rest, struct slice *out)
{
    uint8_t len;
    return take_byte(rest, &len) && take(rest, len, out);
}

static bool take_time(struct slice *rest, int64_t *out)
{
    struct slice bytes;
    uint64_t value = 0;
    if (!take(rest, TIME_LEN, &bytes))
        return false;
    for (size_t i = 0; i < TIME_LEN; i++)
        value |= (uint64_t)(uint8_t)bytes.ptr[i] << (8 * i);
    *out = (int64_t)value;
    return true;
}

static bool take_apis(struct slice *rest, struct credential *out)
{
    uint8_t count;
    if (!take_byte(rest, &count) || count > CREDENTIAL_API_MAX)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!take_text(rest, &out->apis[i]))
            return false;
    out->api_count = count;
    return true;
}

static bool take_credential(struct slice *rest, struct slice tenant, int version, struct credential *out)
{
    uint8_t flags;
    out->checked_at = 0;
    if (!take_byte(rest, &flags) || !take_time(rest, &out->created_at) ||
        !take_time(rest, &out->updated_at) || (version > 1 && !take_time(rest, &out->checked_at)) ||
        !take(rest, CREDENTIAL_TOKEN_LEN, &out->webhook_token) || !take_text(rest, &out->id) ||
        !take_text(rest, &out->app_key) || !take_text(rest, &out->label) || !take_apis(rest, out))
        return false;
    out->tenant = tenant;
    out->is_default = flags & FLAG_DEFAULT;
    out->found = flags & FLAG_FOUND;
    out->status = flags & FLAG_GONE ? CREDENTIAL_GONE : CREDENTIAL_ACTIVE;
    return true;
}

size_t codec_read_count(struct slice record)
{
    bool known = record.len >= 2 && record.ptr[0] >= 1 && record.ptr[0] <= SET_VERSION;
    return known ? (uint8_t)record.ptr[1] : 0;
}

int codec_read_set(struct slice record, struct slice tenant, struct credential_set *out)
{
    size_t count = codec_read_count(record);
    out->count = 0;
    if (count == 0 || count > CREDENTIAL_MAX)
        return ERR_CORRUPT;
    struct slice rest = slice_skip(record, 2);
    for (size_t i = 0; i < count; i++)
        if (!take_credential(&rest, tenant, record.ptr[0], &out->items[i]))
            return ERR_CORRUPT;
    if (rest.len)
        return ERR_CORRUPT;
    out->count = count;
    return 0;
}

int codec_read_holder(struct slice record, struct slice *tenant, struct slice *id)
{
    struct slice rest = record;
    if (!take_text(&rest, tenant) || rest.len == 0)
        return ERR_CORRUPT;
    *id = rest;
    return 0;
}

/* --- writing: what was validated fits, and the buffer remembers if it did not
 * --------------------------------- */

static void put_text(struct buf *out, struct slice text)
{
    buf_append_char(out, (char)(uint8_t)text.len);
    buf_append_slice(out, text);
}

static void put_time(struct buf *out, int64_t time)
{
    for (size_t i = 0; i < TIME_LEN; i++)
        buf_append_char(out, (char)(uint8_t)((uint64_t)time >> (8 * i)));
}

static void put_credential(struct buf *out, const struct credential *credential)
{
    unsigned flags = (credential->is_default ? FLAG_DEFAULT : 0u) |
                     (credential->status == CREDENTIAL_GONE ? FLAG_GONE : 0u) |
                     (credential->found ? FLAG_FOUND : 0u);
    buf_append_char(out, (char)flags);
    put_time(out, credential->created_at);
    put_time(out, credential->updated_at);
    put_time(out, credential->checked_at);
    buf_append_slice(out, credential->webhook_token);
    put_text(out, credential->id);
    put_text(out, credential->app_key);
    put_text(out, credential->label);
    buf_append_char(out, (char)credential->api_count);
    for (size_t i = 0; i < credential->api_count; i++)
        put_text(out, credential->apis[i]);
}

int codec_write_set(struct buf *out, const struct credential_set *set)
{
    buf_append_char(out, SET_VERSION);
    buf_append_char(out, (char)set->count);
    for (size_t i = 0; i < set->count; i++)
        put_credential(out, &set->items[i]);
    return out->failed ? ERR_LIMIT : 0;
}

int codec_write_holder(struct buf *out, struct slice tenant, struct slice id)
{
    put_text(out, tenant);
    buf_append_slice(out, id);
    return out->failed ? ERR_LIMIT : 0;
}
