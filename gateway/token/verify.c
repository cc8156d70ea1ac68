#include "base/digest.h"
#include "token/token_internal.h"

/*
 * The check of a stranger's token, with a reader for flat JSON objects of its own: the room stands below
 * jansson's, and what a token may hold is little. Nothing here allocates but the signer.
 */

enum { IAT_AHEAD_MAX = 60 };

enum kind { KIND_TEXT, KIND_NUMBER, KIND_WORD };

struct value {
    enum kind kind;
    struct slice text; /* KIND_TEXT decoded; the others as they stand */
};

/* A reader over one JSON text. Strings are decoded in place of the text: they only get shorter. */
struct reader {
    char *at, *end;
};

static void skip_space(struct reader *reader)
{
    while (reader->at < reader->end &&
           (*reader->at == ' ' || *reader->at == '\t' || *reader->at == '\n' || *reader->at == '\r'))
        reader->at++;
}

/* The next byte that is no white space, when it is c. */
static bool take(struct reader *reader, char c)
{
    skip_space(reader);
    if (reader->at == reader->end || *reader->at != c)
        return false;
    reader->at++;
    return true;
}

static bool read_hex4(struct reader *reader, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++) {
        if (reader->at == reader->end)
            return false;
        char c = *reader->at++, low = (char)(c | 0x20);
        if (c >= '0' && c <= '9')
            *out = *out << 4 | (uint32_t)(c - '0');
        else if (low >= 'a' && low <= 'f')
            *out = *out << 4 | (uint32_t)(low - 'a' + 10);
        else
            return false;
    }
    return true;
}

static bool is_surrogate(uint32_t code, uint32_t first)
{
    return (code & 0xFC00) == first;
}

/* Behind "\u". */
static bool read_code(struct reader *reader, uint32_t *code)
{
    uint32_t low;
    if (!read_hex4(reader, code) || *code == 0 || is_surrogate(*code, 0xDC00))
        return false;
    if (!is_surrogate(*code, 0xD800))
        return true;
    if (reader->end - reader->at < 2 || reader->at[0] != '\\' || reader->at[1] != 'u')
        return false;
    reader->at += 2;
    if (!read_hex4(reader, &low) || !is_surrogate(low, 0xDC00))
        return false;
    *code = 0x10000 + ((*code & 0x3FF) << 10) + (low & 0x3FF);
    return true;
}

static char *put_utf8(char *out, uint32_t code)
{
    if (code < 0x80) {
        *out++ = (char)code;
        return out;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char leads[] = {0, 0xC0, 0xE0, 0xF0};
    *out++ = (char)(leads[more] | code >> (6 * more));
    while (more-- > 0)
        *out++ = (char)(0x80 | (code >> (6 * more) & 0x3F));
    return out;
}

/* Behind the backslash. An escape is longer than what it stands for, so `out` never passes the reader. */
static bool read_escape(struct reader *reader, char **out)
{
    static const char named[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    uint32_t code;
    if (reader->at == reader->end)
        return false;
    char c = *reader->at++;
    if (c == 'u') {
        if (!read_code(reader, &code))
            return false;
        *out = put_utf8(*out, code);
        return true;
    }
    for (const char *pair = named; *pair; pair += 2) {
        if (*pair == c) {
            *(*out)++ = pair[1];
            return true;
        }
    }
    return false;
}

static bool read_text(struct reader *reader, struct slice *text)
{
    if (!take(reader, '"'))
        return false;
    char *out = reader->at;
    text->ptr = out;
    while (reader->at < reader->end) {
        char c = *reader->at++;
        if (c == '"') {
            text->len = (size_t)(out - text->ptr);
            return true;
        }
        if ((unsigned char)c < 0x20)
            return false;
        if (c != '\\')
            *out++ = c;
        else if (!read_escape(reader, &out))
            return false;
    }
    return false;
}

static bool is_word(struct slice text)
{
    return slice_equal(text, SLICE("true")) || slice_equal(text, SLICE("false")) ||
           slice_equal(text, SLICE("null"));
}

/* Numbers are not judged here: to_time does where one is wanted. Objects and arrays are refused. */
static bool read_value(struct reader *reader, struct value *value)
{
    skip_space(reader);
    if (reader->at < reader->end && *reader->at == '"') {
        value->kind = KIND_TEXT;
        return read_text(reader, &value->text);
    }
    value->text = slice_of(reader->at, 0);
    while (reader->at < reader->end && memchr("+-.0123456789aeEflnrstu", *reader->at, 23))
        reader->at++;
    value->text.len = (size_t)(reader->at - value->text.ptr);
    bool digit = value->text.len > 0 &&
                 (value->text.ptr[0] == '-' || (value->text.ptr[0] >= '0' && value->text.ptr[0] <= '9'));
    value->kind = digit ? KIND_NUMBER : KIND_WORD;
    return digit || is_word(value->text);
}

/* --- members ------------------------------------------------------------------------------------------ */

enum { MEMBERS_MAX = 32 };

struct members {
    struct slice names[MEMBERS_MAX];
    struct value values[MEMBERS_MAX];
    size_t count;
};

static const struct value *find(const struct members *members, const char *name)
{
    for (size_t i = 0; i < members->count; i++) {
        if (slice_equal(members->names[i], slice_from(name)))
            return &members->values[i];
    }
    return NULL;
}

static bool read_member(struct reader *reader, struct members *members)
{
    struct slice name;
    if (members->count == MEMBERS_MAX || !read_text(reader, &name) || !take(reader, ':') ||
        !read_value(reader, &members->values[members->count]))
        return false;
    for (size_t i = 0; i < members->count; i++) {
        if (slice_equal(members->names[i], name))
            return false;
    }
    members->names[members->count++] = name;
    return true;
}

static bool read_object(struct slice json, char *storage, struct members *members)
{
    struct reader reader = {storage, storage + json.len};
    members->count = 0;
    if (!take(&reader, '{'))
        return false;
    bool more = !take(&reader, '}');
    while (more) {
        if (!read_member(&reader, members))
            return false;
        more = take(&reader, ',');
        if (!more && !take(&reader, '}'))
            return false;
    }
    skip_space(&reader);
    return reader.at == reader.end;
}

static bool read_part(struct slice part, char storage[TOKEN_MAX], struct members *members)
{
    struct buf json;
    buf_init_fixed(&json, storage, TOKEN_MAX);
    return digest_unbase64url(&json, part) == 0 && read_object(buf_slice(&json), storage, members);
}

static bool text_of(const struct members *members, const char *name, struct slice *out)
{
    const struct value *value = find(members, name);
    if (!value || value->kind != KIND_TEXT)
        return false;
    *out = value->text;
    return true;
}

static bool time_of(const struct members *members, const char *name, int64_t *out)
{
    const struct value *value = find(members, name);
    uint64_t seconds;
    if (!value || value->kind != KIND_NUMBER || !slice_to_u64(value->text, &seconds) ||
        seconds > INT64_MAX / 2 || (value->text.len > 1 && value->text.ptr[0] == '0'))
        return false;
    *out = (int64_t)seconds;
    return true;
}

/* --- the verdict -------------------------------------------------------------------------------------- */

static bool header_is_good(struct slice part)
{
    char storage[TOKEN_MAX];
    struct members members;
    struct slice alg, typ;
    if (!read_part(part, storage, &members) || !text_of(&members, "alg", &alg) ||
        !slice_equal(alg, SLICE("HS512")))
        return false;
    bool typed = find(&members, "typ") != NULL;
    return !find(&members, "crit") &&
           (!typed || (text_of(&members, "typ", &typ) && slice_equal_nocase(typ, SLICE("JWT"))));
}

static enum token_verdict check_signature(struct slice text, struct slice part, struct slice secret)
{
    unsigned char signature[TOKEN_MAC_LEN] = {0};
    char given[TOKEN_MAX];
    struct token_signer signer;
    struct buf buf;
    buf_init_fixed(&buf, given, sizeof given);
    if (digest_unbase64url(&buf, part) != 0)
        return TOKEN_MALFORMED;
    if (token_signer_init(&signer, SLICE("-"), secret) != 0)
        return TOKEN_SIGNATURE;
    bool good = token_signer_sign(&signer, text, signature) &&
                slice_equal_secret(buf_slice(&buf), slice_of((const char *)signature, sizeof signature));
    token_signer_deinit(&signer);
    digest_wipe(signature, sizeof signature);
    return good ? TOKEN_GOOD : TOKEN_SIGNATURE;
}

static enum token_verdict check_claims(struct slice part, struct slice client_id, int64_t now_s,
                                       struct token_claims *out)
{
    char storage[TOKEN_MAX];
    struct members members;
    struct slice iss, sub;
    struct token_claims claims = {0};
    if (!read_part(part, storage, &members) || !text_of(&members, "iss", &iss) ||
        !text_of(&members, "sub", &sub) || !time_of(&members, "iat", &claims.iat) ||
        !time_of(&members, "exp", &claims.exp))
        return TOKEN_MALFORMED;
    if (sub.len == 0 || sub.len >= sizeof claims.sub)
        return TOKEN_MALFORMED;
    if (!slice_equal(iss, client_id))
        return TOKEN_ISSUER;
    if (claims.exp <= now_s)
        return TOKEN_EXPIRED;
    if (claims.iat > now_s + IAT_AHEAD_MAX)
        return TOKEN_NOT_YET;
    memcpy(claims.sub, sub.ptr, sub.len);
    *out = claims;
    return TOKEN_GOOD;
}

enum token_verdict token_verify(struct slice token, struct slice client_id, struct slice secret,
                                int64_t now_s, struct token_claims *out)
{
    struct slice header, claims, signature, rest;
    if (token.len > TOKEN_MAX || !slice_cut(token, '.', &header, &rest) ||
        !slice_cut(rest, '.', &claims, &signature) || !header_is_good(header))
        return TOKEN_MALFORMED;
    struct slice text = slice_of(token.ptr, header.len + 1 + claims.len);
    enum token_verdict verdict = check_signature(text, signature, secret);
    return verdict == TOKEN_GOOD ? check_claims(claims, client_id, now_s, out) : verdict;
}
