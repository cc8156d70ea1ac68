#include "http/field.h"

enum { NAME_MAX_LENGTH = 25, SAME_LENGTH_MAX = 9 };

static const struct {
    struct slice name;
    unsigned flags;
} table[FIELD_COUNT] = {
#define FIELD_ROW(id, text, bits) [FIELD_##id] = {{(text), sizeof(text) - 1}, (bits)},
    FIELD_LIST(FIELD_ROW)
#undef FIELD_ROW
};

/* Ids by the length of their name, FIELD_UNKNOWN ends a row. A test holds that every name of FIELD_LIST is
 * found. */
static const uint8_t by_length[NAME_MAX_LENGTH + 1][SAME_LENGTH_MAX + 1] = {
    [2] = {FIELD_TE},
    [3] = {FIELD_AGE, FIELD_VIA},
    [4] = {FIELD_HOST, FIELD_DATE, FIELD_ETAG, FIELD_VARY},
    [5] = {FIELD_RANGE},
    [6] = {FIELD_ACCEPT, FIELD_COOKIE, FIELD_EXPECT, FIELD_ORIGIN, FIELD_PRAGMA, FIELD_PREFER, FIELD_SERVER,
           FIELD_X_HOST},
    [7] = {FIELD_ALT_SVC, FIELD_EXPIRES, FIELD_TRAILER, FIELD_UPGRADE, FIELD_WARNING},
    [8] = {FIELD_IF_MATCH, FIELD_IF_RANGE, FIELD_LOCATION, FIELD_X_FANOUT},
    [9] = {FIELD_FORWARDED, FIELD_RATELIMIT, FIELD_X_APP_KEY, FIELD_X_REAL_IP},
    [10] = {FIELD_CONNECTION, FIELD_USER_AGENT, FIELD_KEEP_ALIVE, FIELD_SET_COOKIE, FIELD_TRACESTATE},
    [11] = {FIELD_TRACEPARENT, FIELD_RETRY_AFTER, FIELD_X_TENANT_ID, FIELD_X_FORWARDED},
    [12] = {FIELD_CONTENT_TYPE, FIELD_X_REQUEST_ID, FIELD_CACHE_STATUS, FIELD_PROXY_STATUS},
    [13] = {FIELD_AUTHORIZATION, FIELD_CACHE_CONTROL, FIELD_IF_NONE_MATCH, FIELD_LAST_MODIFIED,
            FIELD_ACCEPT_RANGES, FIELD_CONTENT_RANGE, FIELD_X_GATEWAY_KEY, FIELD_X_HTTP_METHOD,
            FIELD_X_REWRITE_URL},
    [14] = {FIELD_CONTENT_LENGTH, FIELD_HTTP2_SETTINGS, FIELD_X_ORIGINAL_URL},
    [15] = {FIELD_ACCEPT_ENCODING, FIELD_X_FORWARDED_FOR, FIELD_IDEMPOTENCY_KEY, FIELD_X_FORWARDED_SSL,
            FIELD_X_ORIGINAL_HOST},
    [16] = {FIELD_CONTENT_ENCODING, FIELD_CONTENT_LOCATION, FIELD_PROXY_CONNECTION, FIELD_X_FORWARDED_HOST,
            FIELD_X_FORWARDED_PORT, FIELD_RATELIMIT_POLICY},
    [17] = {FIELD_IF_MODIFIED_SINCE, FIELD_TRANSFER_ENCODING, FIELD_CDN_CACHE_CONTROL,
            FIELD_X_FORWARDED_PROTO, FIELD_X_METHOD_OVERRIDE},
    [18] = {FIELD_PROXY_AUTHENTICATE, FIELD_X_FORWARDED_PREFIX, FIELD_X_FORWARDED_SCHEME,
            FIELD_X_FORWARDED_SERVER},
    [19] = {FIELD_IF_UNMODIFIED_SINCE, FIELD_PROXY_AUTHORIZATION, FIELD_X_ROLLOUT_SIGNATURE},
    [22] = {FIELD_X_HTTP_METHOD_OVERRIDE},
    [23] = {FIELD_X_ROLLOUT_CREDENTIAL_ID},
    [25] = {FIELD_PROXY_AUTHENTICATION_INFO},
};

_Static_assert(FIELD_COUNT <= UINT8_MAX, "ids fit the rows of by_length");

enum field_id field_lookup(struct slice name)
{
    uint64_t words[(NAME_MAX_LENGTH + 7) / 8] = {0};
    const char *lower = (const char *)words;
    if (name.len > NAME_MAX_LENGTH || by_length[name.len][0] == FIELD_UNKNOWN)
        return FIELD_UNKNOWN;
    memcpy(words, name.ptr, name.len);
    for (size_t i = 0; i * sizeof *words < name.len; i++)
        words[i] = slice_lower_eight(words[i]);
    const char last = lower[name.len - 1];
    for (const uint8_t *id = by_length[name.len]; *id != FIELD_UNKNOWN; id++) {
        const char *known = table[*id].name.ptr;
        if (known[0] == lower[0] && known[name.len - 1] == last && memcmp(known, lower, name.len) == 0)
            return (enum field_id) * id;
    }
    return FIELD_UNKNOWN;
}

struct slice field_name(enum field_id id)
{
    return (unsigned)id < FIELD_COUNT ? table[id].name : (struct slice){NULL, 0};
}

unsigned field_flags(enum field_id id)
{
    return (unsigned)id < FIELD_COUNT ? table[id].flags : 0;
}

static bool is_tchar(unsigned char c)
{
    /* RFC 9110 5.6.2, one bit a byte: digits and "!#$%&'*+-." | upper case, "^_" | lower case, "`|~". */
    static const uint32_t bits[8] = {0, 0x03ff6cfa, 0xc7fffffe, 0x57ffffff};
    return (bits[c >> 5] >> (c & 31)) & 1;
}

bool field_is_token(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_tchar((unsigned char)s.ptr[i]))
            return false;
    return s.len > 0;
}

bool field_is_value(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        const unsigned char c = (unsigned char)s.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}
