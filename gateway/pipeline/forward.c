/* The request as upstream sees it: built from nothing, not edited (design threats T2, T3). */
#include "base/digest.h"
#include "base/random.h"
#include "internal.h"
#include "wire/wire.h"

enum { FORWARD_MAX = 128 * 1024 };

/* Some servers read every byte of a name that is neither letter nor digit as one and the same: names with
 * others than a hyphen ("X_Rollout_Credential_Id", "X.Rollout.Credential.Id") could be twins of ours. */
static bool is_plain_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i], lower = (char)(c | 0x20);
        if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && c != '-')
            return false;
    }
    return true;
}

/* What may go up at all. `conditions`: preconditions and ranges, too. */
static bool goes_up(const struct http_fields *fields, const struct http_field *field, bool conditions)
{
    unsigned flags = field_flags(field->id);
    if (flags & (FIELD_HOP | FIELD_IDENTITY | FIELD_FRAMING | FIELD_OVERRIDE))
        return false;
    if ((flags & FIELD_PRECONDITION) && !conditions)
        return false;
    if (field->id == FIELD_X_REQUEST_ID || field->id == FIELD_VIA || field->id == FIELD_TRACEPARENT)
        return false; /* written below */
    if (!is_plain_name(field->name))
        return false;
    return !http_connection_names(fields, field->name);
}

/* --- what a shared answer was made from (design threats T7)
 * ------------------------------------------------------- */

/* How a field goes up with a request whose answer others may get: as it is (Vary tells when it mattered), not
 * at all (it is about the one caller), or as part of the cache key (all others: an upstream may repeat them).
 */
enum share { SHARE_FREELY, SHARE_NOT, SHARE_KEYED };

/* Who calls, from where, and as part of which trace: other at each request, and nothing that an answer should
 * depend on. A hyphen at the end stands for all names that begin so. */
static const char *const callers_own[] = {
    "b3",
    "baggage",
    "cf-",
    "client-ip",
    "dnt",
    "from",
    "priority",
    "referer",
    "save-data",
    "sec-",
    "sentry-trace",
    "true-client-ip",
    "upgrade-insecure-requests",
    "x-amzn-",
    "x-b3-",
    "x-client-ip",
    "x-cloud-trace-context",
    "x-correlation-id",
    "x-datadog-",
    "x-envoy-",
    "x-forwarded-",
};

static enum share share_by_name(struct slice name)
{
    if (slice_equal_nocase(name, SLICE("accept-language")) ||
        slice_equal_nocase(name, SLICE("accept-charset")))
        return SHARE_FREELY;
    for (size_t i = 0; i < sizeof callers_own / sizeof *callers_own; i++) {
        struct slice known = slice_from(callers_own[i]);
        bool whole = known.ptr[known.len - 1] != '-';
        if (name.len >= known.len &&
            slice_equal_nocase(slice_of(name.ptr, whole ? name.len : known.len), known))
            return SHARE_NOT;
    }
    return SHARE_KEYED;
}

static enum share share_of(const struct http_field *field)
{
    switch ((int)field->id) {
    case FIELD_UNKNOWN:
        return share_by_name(field->name);
    case FIELD_ACCEPT:
    case FIELD_TRACESTATE:
        return SHARE_FREELY;
    case FIELD_USER_AGENT:    /* ours goes up */
    case FIELD_CACHE_CONTROL: /* what of it concerns upstream is written anew */
    case FIELD_PRAGMA:
        return SHARE_NOT;
    case FIELD_PREFER: /* how long this client waits is between it and us */
        return patience_is_all(field->value) ? SHARE_NOT : SHARE_KEYED;
    default:
        return SHARE_KEYED;
    }
}

const struct http_field *forward_authorization(const struct visit *visit)
{
    const struct http_fields *fields = &visit->x->request.fields;
    const struct http_field *field = http_find(fields, FIELD_AUTHORIZATION);
    if (!field || !visit->api->client_authorization || !cache_policy_is_plain(visit->query.policy) ||
        http_count(fields, FIELD_AUTHORIZATION) != 1)
        return NULL;
    for (size_t i = 0; i + 4 <= field->value.len; i++)
        if (slice_equal(slice_of(field->value.ptr + i, 4), SLICE("rgk_")))
            return NULL;
    return field;
}

bool forward_put_keyed(struct buf *out, const struct http_fields *fields)
{
    for (size_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->at[i];
        if (share_of(field) != SHARE_KEYED || !goes_up(fields, field, false))
            continue;
        buf_append_char(out, '\n');
        for (size_t k = 0; k < field->name.len; k++) {
            char c = field->name.ptr[k];
            buf_append_char(out, (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c));
        }
        buf_append_char(out, ':');
        buf_append_slice(out, field->value);
    }
    return !out->failed;
}

void forward_put_shared(struct buf *out, const struct http_fields *fields)
{
    for (size_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->at[i];
        if (share_of(field) != SHARE_NOT && goes_up(fields, field, false))
            buf_append_format(out, "%.*s: %.*s\r\n", SLICE_ARG(field->name), SLICE_ARG(field->value));
    }
}

static void put_line(struct buf *out, struct slice name, struct slice value)
{
    if (wire_put_field(out, name, value))
        out->failed = true;
}

static void put_target(struct buf *out, const struct visit *visit)
{
    char storage[4096];
    struct buf target;
    buf_init_fixed(&target, storage, sizeof storage);
    size_t need = visit->api->base_path.len + visit->route.path.len + visit->route.query.len + 2;
    if (need > sizeof storage)
        buf_init(&target, need);
    buf_append_slice(&target, visit->api->base_path);
    buf_append_slice(&target, visit->route.path);
    if (target.len == 0)
        buf_append_char(&target, '/');
    if (visit->route.has_query) {
        buf_append_char(&target, '?');
        buf_append_slice(&target, visit->route.query);
    }
    if (target.failed || wire_put_request_line(out, visit->x->request.method_name, buf_slice(&target)))
        out->failed = true;
    buf_deinit(&target);
}

static void put_framing(struct buf *out, const struct http_request *request)
{
    if (request->framing == FRAMING_CHUNKED)
        buf_append_text(out, "Transfer-Encoding: chunked\r\n");
    else if (request->framing == FRAMING_LENGTH)
        buf_append_format(out, "Content-Length: %llu\r\n", (unsigned long long)request->length);
}

/* W3C Trace Context 3.2.2: lower-case hex in four groups. */
static bool is_traceparent(struct slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (i == 2 || i == 35 || i == 52 ? c != '-' : !hex)
            return false;
    }
    return value.len == 55;
}

/* W3C Trace Context: the caller's, or the beginning of a trace. */
static void put_trace(struct buf *out, const struct http_fields *fields)
{
    struct slice value = http_value(fields, FIELD_TRACEPARENT);
    if (is_traceparent(value)) {
        put_line(out, SLICE("traceparent"), value);
        return;
    }
    uint64_t ids[3] = {random_u64(), random_u64() | 1, random_u64() | 1}; /* neither id may be all zero */
    buf_append_text(out, "traceparent: 00-");
    digest_hex(out, ids, 2 * sizeof *ids);
    buf_append_char(out, '-');
    digest_hex(out, &ids[2], sizeof *ids);
    buf_append_text(out, "-00\r\n");
}

static void put_via(struct buf *out, const struct http_request *request, bool shared)
{
    struct slice via = http_value(&request->fields, FIELD_VIA);
    buf_append_text(out, "Via: ");
    if (!shared && via.len > 0 && via.len < 1024 && field_is_value(via)) {
        buf_append_slice(out, via);
        buf_append_text(out, ", ");
    }
    buf_append_text(out, request->minor == 0 ? "1.0 rollout-gateway\r\n" : "1.1 rollout-gateway\r\n");
}

/* Only validators that upstream itself gave mean something to it (RFC 9111 4.3.1). */
static void put_conditions(struct buf *out, struct cache_entry *entry)
{
    struct slice etag = cache_entry_etag(entry);
    struct slice modified = cache_entry_last_modified(entry);
    if (etag.len > 0 && !cache_entry_etag_is_ours(entry))
        put_line(out, SLICE("If-None-Match"), etag);
    if (modified.len > 0)
        put_line(out, SLICE("If-Modified-Since"), modified);
}

static void put_fields(struct buf *out, const struct http_fields *fields, bool shared)
{
    for (size_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->at[i];
        if (goes_up(fields, field, !shared) && !(shared && share_of(field) == SHARE_NOT))
            put_line(out, field->name, field->value);
    }
}

/* RFC 9111 5.4: where there is no Cache-Control. */
static bool pragma_asks(const struct http_fields *fields)
{
    struct http_members it = {0};
    struct slice member;
    if (http_find(fields, FIELD_CACHE_CONTROL))
        return false;
    while (http_member_next(fields, FIELD_PRAGMA, &it, &member))
        if (slice_equal_nocase(member, SLICE("no-cache")))
            return true;
    return false;
}

/* A request for the cache is the gateway's own; that its client wants no stored answer concerns caches behind
 * us, too (RFC 9111 5.2.1). */
static void put_own(struct buf *out, const struct visit *visit)
{
    const struct cache_control *control = &visit->query.control;
    buf_append_text(out, "User-Agent: rollout-gateway\r\n");
    if ((control->flags & CC_NO_CACHE) || control->max_age == 0 || pragma_asks(&visit->x->request.fields))
        buf_append_text(out, "Cache-Control: no-cache\r\n");
}

void forward_head(struct flight *flight, const struct visit *visit, struct cache_entry *validating)
{
    const struct http_request *request = &visit->x->request;
    struct buf out;
    char storage[4096];
    buf_init_fixed(&out, storage, sizeof storage);
    size_t size = request->target.len + visit->api->base_path.len + 1024;
    for (size_t i = 0; i < request->fields.count; i++)
        size += request->fields.at[i].name.len + request->fields.at[i].value.len + 4;
    if (size > sizeof storage)
        buf_init(&out, FORWARD_MAX);
    put_target(&out, visit);
    put_line(&out, SLICE("Host"), visit->api->origin.authority);
    put_fields(&out, &request->fields, flight->fills);
    if (flight->fills)
        put_own(&out, visit);
    put_framing(&out, request);
    put_via(&out, request, flight->fills);
    put_line(&out, SLICE("X-Request-Id"), visit->x->request_id);
    put_trace(&out, &request->fields);
    const struct http_field *authorization = forward_authorization(visit);
    if (authorization)
        put_line(&out, SLICE("Authorization"), authorization->value);
    flight->own_authorization = authorization != NULL;
    if (validating)
        put_conditions(&out, validating);
    flight->request_head = out.failed ? (struct slice){NULL, 0} : arena_copy(&flight->arena, buf_slice(&out));
    buf_deinit(&out);
}
