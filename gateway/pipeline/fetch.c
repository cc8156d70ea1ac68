/* The owner's side of a flight: sends the request, takes the answer apart, lands it. All on the owner's loop.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/digest.h"
#include "internal.h"

/* --- the end of a flight
 * ---------------------------------------------------------------------------------------- */

/* The transfer is over: what belongs to the owner's worker goes back, and the reference that kept the flight
 * in the air. */
static void finish(struct flight *flight)
{
    flight->transfer = NULL;
    flight->sender = NULL;
    turn_end(flight);
    list_remove(&flight->in_air);
    flight_unlist(flight);
    flight->answer.fields = NULL;
    pipeline_settings_release(flight->settings);
    flight->settings = NULL;
    flight_release(flight);
}

static void fail(struct flight *flight, enum problem problem, const char *why)
{
    if (flight->once)
        once_failed(flight, &problem, &why);
    flight_unlist(flight);
    pthread_mutex_lock(&flight->lock);
    flight->phase = FLIGHT_FAILED;
    flight->keeps = false;
    flight->problem = problem;
    flight->why = why;
    flight_wake(flight);
    pthread_mutex_unlock(&flight->lock);
    finish(flight);
}

static enum problem problem_of(enum upstream_failure failure)
{
    switch (failure) {
    case UPSTREAM_RESOLVE:
    case UPSTREAM_CONNECT:
    case UPSTREAM_TLS:
    case UPSTREAM_RESET:
        return PROBLEM_UPSTREAM_UNREACHABLE;
    case UPSTREAM_CONNECT_TIMEOUT:
    case UPSTREAM_FIRST_BYTE_TIMEOUT:
    case UPSTREAM_IDLE_TIMEOUT:
    case UPSTREAM_TOTAL_TIMEOUT:
        return PROBLEM_UPSTREAM_TIMEOUT;
    case UPSTREAM_INVALID:
    case UPSTREAM_CUT:
        return PROBLEM_UPSTREAM_INVALID;
    case UPSTREAM_OPEN:
        return PROBLEM_CIRCUIT_OPEN;
    case UPSTREAM_NOMEM:
        return PROBLEM_OVERLOADED;
    }
    return PROBLEM_INTERNAL;
}

/* A write's answer, or its failure: what it touched is stale again, and stays unstored for a while. */
static void settle_write(struct flight *flight)
{
    if (flight->unsafe)
        invalidate_answered(flight);
}

/* --- body
 * ------------------------------------------------------------------------------------------------------- */

/* Copies the raw link out of the segments, for waiters to rewrite in their own form. */
static char *gather(const struct flight *flight, uint64_t at, size_t len)
{
    char *out = malloc(len + 1);
    if (!out)
        return NULL;
    for (const struct segment *s = flight->first; s && s->at < at + len; s = s->next) {
        if (s->at + s->len <= at)
            continue;
        uint64_t from = s->at > at ? s->at : at;
        uint64_t to = s->at + s->len < at + len ? s->at + s->len : at + len;
        memcpy(out + (from - at), s->data + (from - s->at), to - from);
    }
    return out;
}

/* The scanner moved: tells the waiters how far they may send. The lock is held. */
static void settle(struct flight *flight, uint64_t settled)
{
    flight->settled = flight->strike ? 0 : settled;
    if (flight->scan.found && !flight->splice && flight->scan.len > 0) {
        flight->splice = gather(flight, flight->scan.at, (size_t)flight->scan.len);
        if (flight->splice) {
            flight->splice_at = flight->scan.at;
            flight->splice_len = (size_t)flight->scan.len;
        }
    }
    flight->scan_over = flight->scan.over;
}

/* The cache will not have it: the body is only kept for as long as waiters need it. The lock is held. */
static void give_up_keeping(struct flight *flight)
{
    flight->keeps = false;
    flight->store_why = "too-large";
}

static void retry_with_new_token(struct flight *flight);

static void on_body(void *user, struct slice data)
{
    struct flight *flight = user;
    if (flight->swallowing && (flight->swallowed += data.len) > SWALLOW_MAX) {
        upstream_cancel(flight->transfer); /* a connection is cheaper than an endless refusal */
        retry_with_new_token(flight);
        return;
    }
    if (flight->swallowing || flight->passing_over)
        return;
    bool limit = flight->strike && flight->produced + data.len > STRIKE_MAX;
    if (limit || !flight_append(flight, data)) {
        upstream_cancel(flight->transfer);
        fail(flight, limit ? PROBLEM_UPSTREAM_INVALID : PROBLEM_OVERLOADED,
             limit ? "the answer is too large to strike secrets out of it" : "out of memory");
        return;
    }
    uint64_t settled = flight->scan.over ? flight->produced : route_scan_feed(&flight->scan, data);
    bool outgrown = false, gathers = flight->once && once_gathers(flight);
    pthread_mutex_lock(&flight->lock);
    settle(flight, settled);
    if (flight->keeps && flight->produced > flight->settings->entry_max) {
        give_up_keeping(flight);
        outgrown = true;
    }
    if (!flight->keeps && !gathers && !flight->strike && !flight->paused &&
        flight->produced > FLIGHT_WINDOW) {
        uint64_t least = flight->produced;
        list_each (node, &flight->waiters) {
            const struct waiter *waiter = container_of(node, struct waiter, node);
            least = waiter->cursor < least ? waiter->cursor : least;
        }
        flight->paused = flight->produced - least > FLIGHT_WINDOW;
    }
    bool pause = flight->paused;
    flight_wake(flight);
    bool abandoned = !flight->keeps && !gathers && list_empty(&flight->waiters);
    pthread_mutex_unlock(&flight->lock);
    if (outgrown)
        flight_unlist(flight);
    if (abandoned)
        fetch_cancel(flight);
    else if (pause)
        upstream_pause(flight->transfer);
}

char *fetch_whole_body(const struct flight *flight, bool *copied)
{
    *copied = false;
    if (flight->first && flight->first == flight->last)
        return flight->first->data;
    char *body = malloc(flight->produced + 1);
    if (!body)
        return NULL;
    *copied = true;
    for (const struct segment *s = flight->first; s; s = s->next)
        memcpy(body + s->at, s->data, s->len);
    return body;
}

/* --- head
 * ------------------------------------------------------------------------------------------------------- */

/* An error may be given to all who wait for the same thing, unless it is one caller's own. */
static bool error_is_shared(const struct http_response *head)
{
    return head->status >= 400 && head->status != 401 && head->status != 403 &&
           !http_find(&head->fields, FIELD_SET_COOKIE);
}

static bool may_have_link(const struct http_response *head)
{
    struct slice type = http_value(&head->fields, FIELD_CONTENT_TYPE);
    return head->framing != FRAMING_NONE && !http_find(&head->fields, FIELD_CONTENT_ENCODING) &&
           type.len >= 16 && slice_equal_nocase(slice_of(type.ptr, 16), SLICE("application/json"));
}

/* The answer to HEAD tells the length that GET would have (RFC 9110 9.3.2). */
static uint64_t told_length(const struct flight *flight, const struct http_response *head)
{
    uint64_t length;
    if (flight->method == METHOD_HEAD)
        return slice_to_u64(http_value(&head->fields, FIELD_CONTENT_LENGTH), &length) ? length
                                                                                      : SERVER_LENGTH_UNKNOWN;
    if (head->framing == FRAMING_LENGTH)
        return head->length;
    return head->framing == FRAMING_NONE ? 0 : SERVER_LENGTH_UNKNOWN;
}

static bool take_head(struct flight *flight, const struct http_response *head)
{
    flight->answer.status = head->status;
    flight->answer.response_ms = loop_now(flight->owner->loop);
    flight->answer.response_wall_s = clock_wall_ms() / 1000;
    flight->answer.fields = http_fields_copy(&flight->arena, &head->fields);
    /* At most what came, with line ends and with spaces behind commas, and a few words of ours. */
    size_t size = 2 * http_fields_size(&head->fields) + head->fields.count * 4 + 256;
    char *lines = arena_alloc(&flight->arena, size);
    if (!flight->answer.fields || !lines)
        return false;
    struct buf block;
    buf_init_fixed(&block, lines, size);
    answer_put_fields(&block, &head->fields, flight);
    flight->block = block.failed ? (struct slice){NULL, 0} : buf_slice(&block);
    flight->has_date = http_find(&head->fields, FIELD_DATE) != NULL;
    flight->has_retry_after = http_find(&head->fields, FIELD_RETRY_AFTER) != NULL;
    if (!slice_to_u64(http_value(&head->fields, FIELD_RETRY_AFTER), &flight->asked_s))
        flight->asked_s = 0;
    flight->varies = http_find(&head->fields, FIELD_VARY) != NULL;
    flight->length = told_length(flight, head);
    return flight->block.ptr != NULL;
}

static bool wants_new_token(const struct flight *flight, const struct http_response *head)
{
    bool again = flight->upload_framing == FRAMING_NONE || (flight->upload_done && !flight->replay.failed);
    return head->status == 401 && !flight->retried && !flight->own_authorization && again;
}

/* An error, while the last good answer may still be given: it does not take that one's place (RFC 5861 4). */
static bool leaves_stale(const struct flight *flight, int status)
{
    return status >= 500 && flight->validating &&
           cache_stale_if_error(flight->validating, &flight->query, loop_now(flight->owner->loop));
}

/* A POST may answer what a GET of its target would (RFC 9110 9.3.3). Only where RFC 9111 alone holds. */
static bool stands_for_get(struct flight *flight)
{
    return flight->method == METHOD_POST && cache_policy_is_plain(flight->query.policy) && !flight->strike &&
           location_is_target(flight);
}

static bool client_sent(const struct flight *flight, enum field_id id)
{
    return !flight->fills && http_find(flight->query.fields, id);
}

/* RFC 9110 15.3.7, 15.4.5: an answer to a condition or a range that nobody sent is none to this request. */
static bool was_asked_for(const struct flight *flight, int status)
{
    if (status == 206)
        return client_sent(flight, FIELD_RANGE);
    return status != 304 || flight->validating || client_sent(flight, FIELD_IF_NONE_MATCH) ||
           client_sent(flight, FIELD_IF_MODIFIED_SINCE);
}

/* Interim answers go to who waits on this worker (RFC 9110 15.2); nothing of them is kept. */
static void on_interim(void *user, const struct http_response *head)
{
    struct flight *flight = user;
    struct buf block;
    buf_init(&block, 16 * 1024);
    answer_put_end_to_end(&block, &head->fields, flight->query.policy);
    pthread_mutex_lock(&flight->lock);
    list_each (node, &flight->waiters) {
        struct waiter *waiter = container_of(node, struct waiter, node);
        if (!block.failed && waiter->pipeline == flight->owner)
            server_interim(waiter->visit->x, head->status, buf_slice(&block));
    }
    pthread_mutex_unlock(&flight->lock);
    buf_deinit(&block);
}

static void on_head(void *user, const struct http_response *head)
{
    struct flight *flight = user;
    turn_answered(flight, head);
    if (head->status >= 500)
        turns_give_up(flight->owner, flight->api->host);
    if (retry_head(flight, head))
        return;
    if (wants_new_token(flight, head)) {
        flight->retried = true;
        flight->swallowing = true;
        count_add(&flight->owner->stats.token_retries, 1);
        return;
    }
    discover_doubt(flight, head->status);
    bool asked = was_asked_for(flight, head->status);
    if (!asked || !take_head(flight, head)) {
        upstream_cancel(flight->transfer);
        settle_write(flight);
        fail(flight, asked ? PROBLEM_OVERLOADED : PROBLEM_UPSTREAM_INVALID,
             asked ? "out of memory" : "upstream answered a condition or a range that was not sent");
        return;
    }
    settle_write(flight);
    flight->not_modified = head->status == 304 && flight->validating;
    bool keeps = false;
    const char *why = NULL;
    if ((flight->fills || stands_for_get(flight)) && !flight->not_modified &&
        !leaves_stale(flight, head->status))
        keeps = cache_may_store(&flight->query, &flight->answer, &why) == CACHE_STORE &&
                (flight->length == SERVER_LENGTH_UNKNOWN || flight->length <= flight->settings->entry_max);
    route_scan_init(&flight->scan);
    flight->scan.over = flight->method == METHOD_HEAD || !may_have_link(head);
    if (flight->method == METHOD_HEAD)
        cache_head_seen(flight->owner->shared->cache, &flight->query, &flight->answer);
    if (flight->not_modified)
        return; /* the waiters hear of it when it has become an entry */
    if (!keeps)
        flight_unlist(flight);
    pthread_mutex_lock(&flight->lock);
    flight->status = head->status;
    flight->phase = FLIGHT_STREAMING;
    flight->keeps = keeps;
    flight->store_why = why;
    flight->shareable = keeps || (error_is_shared(head) && !flight->own_authorization);
    flight->scan_over = flight->scan.over;
    if (!flight->strike)
        flight_wake(flight);
    pthread_mutex_unlock(&flight->lock);
}

/* --- landing
 * ---------------------------------------------------------------------------------------------------- */

#ifdef TEST_CLOCK
/* Test builds can take the fence out, to show that the fence is what a test sees: the answer then counts as
 * of its end. */
static void remove_fence(struct flight *flight)
{
    if (getenv("ROLLOUT_GATEWAY_TEST_NO_FENCE"))
        flight->answer.deps = cache_deps_of(flight->owner->shared->cache, &flight->subject);
}
#else
static void remove_fence(struct flight *flight)
{
    (void)flight;
}
#endif

static struct cache_entry *make_entry(struct flight *flight)
{
    struct cache *cache = flight->owner->shared->cache;
    remove_fence(flight);
    if (flight->not_modified)
        return cache_freshen(cache, &flight->query, flight->validating, &flight->answer);
    if (!flight->keeps)
        return NULL;
    bool copied;
    char *body = fetch_whole_body(flight, &copied);
    if (!body)
        return NULL;
    flight->answer.splice_at = (size_t)flight->splice_at;
    flight->answer.splice_len = flight->splice_len;
    struct cache_entry *entry =
        cache_store(cache, &flight->query, &flight->answer, slice_of(body, flight->produced));
    if (copied)
        free(body);
    return entry;
}

/* Is the new entry's answer one that others who waited may have? What moved a generation meanwhile does not
 * matter for them: they asked before it. */
static bool entry_is_shared(struct flight *flight, const struct cache_entry *entry)
{
    struct cache_found found;
    struct cache_query query = flight->query;
    query.control = cache_control_parse(&(struct http_fields){0}, FIELD_CACHE_CONTROL);
    query.control.present = true; /* what the opener asked of the cache is its own affair, Pragma included */
    cache_find(flight->owner->shared->cache, &query, &found);
    bool same = found.entry == entry;
    if (found.entry)
        cache_release(found.entry);
    bool fenced = !cache_deps_hold(flight->owner->shared->cache, &flight->answer.deps);
    if (fenced)
        count_add(&flight->owner->stats.fenced, 1);
    return same && (found.decision == CACHE_HIT || fenced);
}

static bool start_transfer(struct flight *flight, bool fresh_token);

/* The 304 does not fit what we have (RFC 9111 4.3.4): once more without conditions. */
static void refetch(struct flight *flight)
{
    cache_release(flight->validating);
    flight->validating = NULL;
    flight->not_modified = false;
    flight->transfer = NULL;
    if (!start_transfer(flight, false))
        fail(flight, PROBLEM_OVERLOADED, "out of memory");
}

static void send_again(struct flight *flight, bool fresh_token)
{
    flight->transfer = NULL;
    flight->sent = false; /* what was before is of no account: nothing left, or it was refused */
    flight->replayed = 0;
    flight->resending = true;
    if (!start_transfer(flight, fresh_token))
        fail(flight, PROBLEM_OVERLOADED, "out of memory");
    else
        fetch_upload(flight);
}

void fetch_again(struct flight *flight)
{
    send_again(flight, false);
}

static void retry_with_new_token(struct flight *flight)
{
    flight->swallowing = false;
    send_again(flight, true);
}

static void on_end(void *user)
{
    struct flight *flight = user;
    if (retry_passed_over(flight))
        return;
    if (flight->swallowing) {
        retry_with_new_token(flight);
        return;
    }
    if (flight->strike && flight->produced > 0 && !strike_body(flight)) {
        fail(flight, PROBLEM_UPSTREAM_INVALID, "the answer could not be read to strike secrets out of it");
        return;
    }
    if (flight->once)
        once_landed(flight);
    struct cache_entry *entry = make_entry(flight);
    if (flight->not_modified && !entry) {
        refetch(flight);
        return;
    }
    bool shared = entry && entry_is_shared(flight, entry);
    pthread_mutex_lock(&flight->lock);
    if (flight->not_modified)
        flight->status = cache_entry_status(entry);
    flight->entry = entry;
    flight->shareable = entry ? shared : flight->shareable;
    flight->settled = flight->produced;
    flight->scan_over = true;
    flight->phase = FLIGHT_LANDED;
    flight_wake(flight);
    pthread_mutex_unlock(&flight->lock);
    finish(flight);
}

static void on_fail(void *user, enum upstream_failure failure, bool sent, const char *why)
{
    struct flight *flight = user;
    flight->sent = sent;
    flight->failure = failure;
    if (failure == UPSTREAM_OPEN)
        flight->tries--;
    turns_give_up(flight->owner, flight->api->host);
    if (retry_passed_over(flight))
        return;
    if (flight->swallowing) {
        retry_with_new_token(flight);
        return;
    }
    if (retry_failure(flight, failure, sent))
        return;
    settle_write(flight);
    fail(flight, problem_of(failure), why);
}

/* --- sending
 * ---------------------------------------------------------------------------------------------------- */

static void on_writable(void *user)
{
    fetch_upload(user);
}

static const struct upstream_hooks hooks = {on_head, on_body, on_end, on_fail, on_writable, on_interim};

/* The head as it goes out: what forward_head made, then our identity, once each. */
static bool put_identity(struct flight *flight, bool fresh_token, struct buf *out)
{
    struct token_ring *tokens = flight->owner->shared->tokens;
    uint64_t now = loop_now(flight->owner->loop);
    buf_append_slice(out, flight->request_head);
    if (!flight->own_authorization) {
        buf_append_text(out, "Authorization: Bearer ");
        if (token_get(tokens, flight->tenant, fresh_token, now, clock_wall_ms(), out))
            return false;
        buf_append_text(out, "\r\n");
    }
    if (flight->credential_id.len > 0) {
        buf_append_text(out, "X-Rollout-Credential-Id: ");
        buf_append_slice(out, flight->credential_id);
        buf_append_text(out, "\r\n");
    }
    buf_append_text(out, "\r\n");
    return !out->failed;
}

static bool start_transfer(struct flight *flight, bool fresh_token)
{
    if (!flight->request_head.ptr)
        return false;
    char storage[8192];
    struct buf head;
    bool large = flight->request_head.len + TOKEN_MAX + 256 > sizeof storage;
    if (large)
        buf_init(&head, flight->request_head.len + TOKEN_MAX + 256);
    else
        buf_init_fixed(&head, storage, sizeof storage);
    bool good = put_identity(flight, fresh_token, &head);
    if (good) {
        struct upstream_request request = {
            .origin = &flight->api->origin,
            .host = flight->api->host,
            .again = flight->tries > 0,
            .caller = digest_hash(flight->subject.credential),
            .deadline_ms = flight->deadline_ms,
            .method = flight->method,
            .head = buf_slice(&head),
            .framing = flight->upload_framing,
            .length = flight->upload_length,
            .user = flight,
            .hooks = &hooks,
        };
        flight->answer.request_ms = loop_now(flight->owner->loop);
        flight->transfer = upstream_start(flight->owner->upstream, &request);
        good = flight->transfer != NULL;
        flight->sent = good; /* on_fail knows better */
        if (good && flight->tries++ == 0)
            upstream_host_deposit(flight->api->host);
        else if (good)
            turn_again(flight);
    }
    digest_wipe(head.ptr, head.len); /* the token; not the whole storage */
    buf_deinit(&head);
    return good;
}

void fetch_start(struct flight *flight)
{
    flight_retain(flight); /* held while in the air */
    list_push_back(&flight->owner->air, &flight->in_air);
    flight->deadline_ms = upstream_deadline(flight->owner->upstream);
    if (upstream_host_refuses(flight->api->host, loop_now(flight->owner->loop))) {
        flight->failure = UPSTREAM_OPEN;
        fail(flight, PROBLEM_CIRCUIT_OPEN, "Rollout's host is failing: not tried until the next probe");
        return;
    }
    turn_ask(flight);
}

void fetch_go(struct flight *flight)
{
    if (!start_transfer(flight, false))
        fail(flight, PROBLEM_OVERLOADED, "out of memory");
    else
        fetch_upload(flight);
}

void fetch_refused(struct flight *flight, const char *why)
{
    fail(flight, PROBLEM_RATE_LIMITED, why);
}

void fetch_abort(struct flight *flight, enum problem problem, const char *why)
{
    if (!retry_cancel(flight) && !turn_cancel(flight)) {
        if (!flight->transfer)
            return;
        upstream_cancel(flight->transfer);
        flight->transfer = NULL;
    }
    settle_write(flight);
    fail(flight, problem, why);
}

void fetch_cancel(struct flight *flight)
{
    fetch_abort(flight, PROBLEM_UPSTREAM_UNREACHABLE, "the client left");
}
