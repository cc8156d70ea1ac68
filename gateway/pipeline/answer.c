/* Answers to clients: from an entry, from a flight, or of our own. */
#include "internal.h"

enum { ANSWER_FIELDS_MAX = 1024 };

/* --- fields
 * ----------------------------------------------------------------------------------------------------- */

void answer_put_end_to_end(struct buf *out, const struct http_fields *fields,
                           const struct cache_policy *policy)
{
    for (size_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->at[i];
        if (field_flags(field->id) & (FIELD_HOP | FIELD_FRAMING | FIELD_RESPONSE_OWN))
            continue;
        if (http_connection_names(fields, field->name))
            continue;
        /* Where clients get private answers nobody in front of them may keep one (RFC 9213 3.1). */
        if (field->id == FIELD_CDN_CACHE_CONTROL && !cache_policy_is_plain(policy))
            continue;
        buf_append_slice(out, field->name);
        buf_append_text(out, ": ");
        buf_append_slice(out, field->value);
        buf_append_text(out, "\r\n");
    }
}

void answer_put_fields(struct buf *out, const struct http_fields *fields, const struct flight *flight)
{
    cache_write_control(out, fields, flight->query.policy);
    answer_put_end_to_end(out, fields, flight->query.policy);
    /* It is not from our cache, but it may have aged in another one (RFC 9111 5.1). */
    struct slice age = http_value(fields, FIELD_AGE);
    uint64_t seconds;
    if (slice_to_u64(age, &seconds) && flight->method != METHOD_HEAD)
        buf_append_format(out, "Age: %llu\r\n", (unsigned long long)seconds);
}

static int64_t whole_seconds(int64_t ms)
{
    return ms >= 0 ? ms / 1000 : -((-ms + 999) / 1000);
}

/* RFC 9211. */
static void put_cache_status(struct buf *out, const struct visit *visit)
{
    buf_append_text(out, "Cache-Status: rollout-gateway; ");
    if (once_replays(visit)) {
        out->len -= 2; /* neither hit nor forwarded */
    } else if (!visit->fwd) {
        buf_append_text(out, "hit; ttl=");
        int64_t ttl = whole_seconds(visit->ttl_ms);
        if (ttl < 0)
            buf_append_char(out, '-');
        buf_append_u64(out, (uint64_t)(ttl < 0 ? -ttl : ttl));
    } else {
        buf_append_text(out, "fwd=");
        buf_append_text(out, visit->fwd);
        if (visit->upstream_status > 0) {
            buf_append_text(out, "; fwd-status=");
            buf_append_u64(out, (uint64_t)visit->upstream_status);
        }
        if (visit->stored)
            buf_append_format(out, "; stored; ttl=%lld", (long long)whole_seconds(visit->ttl_ms));
        if (visit->collapsed)
            buf_append_text(out, "; collapsed");
    }
    if (visit->detail) {
        buf_append_text(out, "; detail=");
        buf_append_text(out, visit->detail);
    }
    buf_append_text(out, "\r\n");
}

/* The lines that every answer on the data listener carries. */
static void put_own(struct buf *out, const struct visit *visit)
{
    put_cache_status(out, visit);
    buf_append_text(out, "X-Request-Id: ");
    buf_append_slice(out, visit->x->request_id);
    buf_append_text(out, "\r\nVia: 1.1 rollout-gateway\r\n");
    buf_append_slice(out, visit->limits);
}

static struct buf own_fields(struct visit *visit)
{
    struct buf out;
    char *storage = arena_alloc(&visit->x->arena, ANSWER_FIELDS_MAX);
    buf_init_fixed(&out, storage, storage ? ANSWER_FIELDS_MAX : 0);
    put_own(&out, visit);
    return out;
}

/* What was asked of us to say when it was not upstream that did. */
static void put_retry_after(struct buf *out, const struct visit *visit)
{
    if (visit->retry_after_s > 0)
        buf_append_format(out, "Retry-After: %llu\r\n", (unsigned long long)visit->retry_after_s);
}

static void put_date(struct buf *out)
{
    buf_append_text(out, "Date: ");
    buf_append_slice(out, server_date());
    buf_append_text(out, "\r\n");
}

/* --- links
 * ------------------------------------------------------------------------------------------------------ */

struct slice answer_link(struct visit *visit, struct slice link)
{
    struct server_exchange *x = visit->x;
    size_t size = link.len + x->request.host.len + visit->route.tenant.len + 64;
    char *storage = arena_alloc(&x->arena, size);
    struct buf out;
    if (!storage || x->request.host.len == 0)
        return link;
    buf_init_fixed(&out, storage, size);
    if (route_rewrite_link(&out, link, visit->api->base_url, &visit->route, visit->api->name, x->request.host,
                           x->tls || (visit->insider && visit->insider->tls)))
        return link;
    return buf_slice(&out);
}

/* --- from an entry
 * ------------------------------------------------------------------------------------------------ */

/* A stored body as up to three runs: before, instead of, and behind the link. */
struct parts {
    struct slice run[3];
    uint64_t size;
};

static struct parts parts_of(struct visit *visit, struct slice body, struct slice link)
{
    struct parts parts = {.run = {body}, .size = body.len};
    if (link.len == 0)
        return parts;
    size_t at = (size_t)(link.ptr - body.ptr);
    parts.run[0] = slice_of(body.ptr, at);
    parts.run[1] = answer_link(visit, link);
    parts.run[2] = slice_skip(body, at + link.len);
    parts.size = parts.run[0].len + parts.run[1].len + parts.run[2].len;
    return parts;
}

/* Writes bytes first..last of the parts. */
static void write_parts(struct visit *visit, const struct parts *parts, uint64_t first, uint64_t last)
{
    uint64_t at = 0;
    for (int i = 0; i < 3; i++) {
        struct slice run = parts->run[i];
        uint64_t begin = at, end = at + run.len;
        at = end;
        if (run.len == 0 || end <= first || begin > last)
            continue;
        uint64_t from = begin < first ? first - begin : 0;
        uint64_t to = end > last + 1 ? last + 1 - begin : run.len;
        server_write(visit->x,
                     (struct server_piece){slice_of(run.ptr + from, (size_t)(to - from)), NULL, NULL});
    }
}

static void entry_begin(struct visit *visit, struct cache_entry *entry, int status, uint64_t length,
                        struct buf *own)
{
    visit->begun = true;
    cache_retain(entry); /* head and body are sent from it: the visit's until on_done */
    visit->sending_entry = entry;
    server_begin(visit->x, status, cache_entry_head(entry), length);
    server_fields(visit->x, buf_slice(own));
}

void answer_entry(struct visit *visit, struct cache_entry *entry, uint64_t age_ms)
{
    struct server_exchange *x = visit->x;
    struct parts parts = parts_of(visit, cache_entry_body(entry), cache_entry_splice(entry));
    struct buf own = own_fields(visit);
    uint64_t first = 0, last = parts.size > 0 ? parts.size - 1 : 0;
    if (visit->outcome != PIPELINE_MISS || age_ms >= 1000) {
        buf_append_text(&own, "Age: ");
        buf_append_u64(&own, age_ms / 1000);
        buf_append_text(&own, "\r\n");
    }
    switch (cache_condition(entry, &visit->query, parts.size, &first, &last)) {
    case CONDITION_SEND:
        entry_begin(visit, entry, cache_entry_status(entry), parts.size, &own);
        if (parts.size > 0)
            write_parts(visit, &parts, 0, parts.size - 1);
        break;
    case CONDITION_NOT_MODIFIED:
        entry_begin(visit, entry, 304, 0, &own);
        break;
    case CONDITION_FAILED:
        entry_begin(visit, entry, 412, 0, &own);
        break;
    case CONDITION_PARTIAL:
        buf_append_format(&own, "Content-Range: bytes %llu-%llu/%llu\r\n", (unsigned long long)first,
                          (unsigned long long)last, (unsigned long long)parts.size);
        entry_begin(visit, entry, 206, last - first + 1, &own);
        write_parts(visit, &parts, first, last);
        break;
    case CONDITION_UNSATISFIABLE:
        buf_append_format(&own, "Content-Range: bytes */%llu\r\n", (unsigned long long)parts.size);
        entry_begin(visit, entry, 416, 0, &own);
        break;
    }
    server_end(x);
}

/* --- from an earlier request
 * -------------------------------------------------------------------------------------------- */

void answer_kept(struct visit *visit, const struct idempotency_answer *kept)
{
    struct slice link = {kept->body.ptr + kept->splice_at, kept->splice_len};
    struct parts parts = parts_of(visit, kept->body, link);
    struct buf own = own_fields(visit);
    buf_append_text(&own, "Idempotent-Replayed: true\r\n");
    visit->begun = true;
    server_begin(visit->x, kept->status, kept->fields, parts.size);
    server_fields(visit->x, buf_slice(&own));
    if (parts.size > 0)
        write_parts(visit, &parts, 0, parts.size - 1);
    server_end(visit->x);
}

/* --- from a flight
 * -------------------------------------------------------------------------------------------------- */

void answer_flight(struct visit *visit, struct flight *flight, uint64_t length)
{
    struct buf own = own_fields(visit);
    if (!flight->has_date)
        put_date(&own);
    put_retry_after(&own, visit);
    visit->begun = true;
    flight_retain(flight); /* the head's lines are its: the visit's until on_done */
    visit->sending_flight = flight;
    server_begin(visit->x, flight->status, flight->block, length);
    server_fields(visit->x, buf_slice(&own));
}

/* --- our own
 * ----------------------------------------------------------------------------------------------------------
 */

void answer_copy(struct visit *visit, struct slice block, bool has_date, uint64_t length, struct slice body)
{
    struct buf own = own_fields(visit);
    if (!has_date)
        put_date(&own);
    put_retry_after(&own, visit);
    visit->begun = true;
    server_begin(visit->x, visit->upstream_status, block, length);
    server_fields(visit->x, buf_slice(&own));
    server_write(visit->x, (struct server_piece){body, NULL, NULL});
    server_end(visit->x);
}

bool answer_begin(struct visit *visit, int status, const char *fields, uint64_t length)
{
    struct buf own = own_fields(visit);
    buf_append_format(&own, "Date: %.*s\r\n%s", SLICE_ARG(server_date()), fields);
    visit->begun = true;
    if (own.failed) {
        server_abort(visit->x);
        return false;
    }
    server_begin(visit->x, status, buf_slice(&own), length);
    return true;
}

void answer_problem(struct visit *visit, enum problem problem, const char *detail)
{
    answer_problem_with(visit, problem, "", detail);
}

void answer_problem_with(struct visit *visit, enum problem problem, const char *extra, const char *detail)
{
    char storage[1024];
    struct buf fields;
    buf_init_fixed(&fields, storage, sizeof storage);
    if (!visit->fwd) {
        visit->fwd = "bypass";
        visit->detail = visit->detail ? visit->detail : "not-forwarded";
    }
    put_cache_status(&fields, visit);
    buf_append_text(&fields, "Via: 1.1 rollout-gateway\r\n");
    if (problem == PROBLEM_CIRCUIT_OPEN)
        buf_append_format(&fields, "Retry-After: %u\r\n",
                          upstream_host_retry_after(visit->api->host, loop_now(visit->pipeline->loop)));
    if (problem == PROBLEM_OVERLOADED || problem == PROBLEM_STORE_UNAVAILABLE)
        buf_append_text(&fields, "Retry-After: 1\r\n");
    if (problem == PROBLEM_RATE_LIMITED || problem == PROBLEM_IDEMPOTENCY_CONFLICT)
        buf_append_format(&fields, "Retry-After: %llu\r\n",
                          (unsigned long long)(visit->retry_after_s > 0 ? visit->retry_after_s : 1));
    buf_append_slice(&fields, visit->limits);
    if (problem == PROBLEM_UNAUTHENTICATED) /* RFC 9110 15.5.2 */
        buf_append_text(&fields, "WWW-Authenticate: Bearer realm=\"rollout-gateway\"\r\n");
    buf_append_char(&fields, '\0');
    visit->begun = true;
    server_problem(visit->x, problem, fields.failed ? "" : storage, extra, "%s", detail);
}
