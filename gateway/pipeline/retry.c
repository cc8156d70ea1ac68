/*
 * Further tries of a flight (contract 8): what was not answered, or badly, is asked once or twice more, after
 * a pause of random length, as long as nobody has seen a head, the host's budget pays and the time allowed
 * for the first try lasts. GET and HEAD only; anything else when no byte of it has left. On the owner's loop.
 */
#include "base/clock.h"
#include "base/random.h"
#include "http/date.h"
#include "internal.h"

enum { RETRIES_MAX = 2, PAUSE_MS = 50, PAUSE_MAX_MS = 2000, ASKED_MAX_MS = 2000, PASS_OVER_MAX = 16 * 1024 };

#define TOO_LONG UINT64_MAX

/* --- whether
 * ---------------------------------------------------------------------------------------------------- */

static bool is_plain_read(const struct flight *flight)
{
    return (flight->method == METHOD_GET || flight->method == METHOD_HEAD) &&
           flight->upload_framing == FRAMING_NONE;
}

static bool may_repeat(const struct flight *flight, bool sent)
{
    if (flight->phase != FLIGHT_WAITING || flight->tries > RETRIES_MAX)
        return false;
    return is_plain_read(flight) || (!sent && !flight->replay.failed);
}

/* Full jitter: anything from nothing to a span that doubles. */
static uint64_t backoff_ms(unsigned tries)
{
    uint64_t span = (uint64_t)PAUSE_MS << (tries - 1);
    return random_u64() % ((span < PAUSE_MAX_MS ? span : PAUSE_MAX_MS) + 1);
}

/* The budget is asked last: what it gives is spent. Probes of a host in trouble are for first tries. */
static bool decide(struct flight *flight, uint64_t asked_ms)
{
    struct pipeline *owner = flight->owner;
    uint64_t now = loop_now(owner->loop);
    struct upstream_host *host = flight->api->host;
    uint64_t pause = asked_ms + backoff_ms(flight->tries);
    if (now + pause >= flight->deadline_ms || !upstream_host_allows_retries(host))
        return false;
    if (!upstream_host_withdraw(host, now)) {
        count_add(&owner->stats.retry_budget_exhausted, 1);
        return false;
    }
    count_add(&owner->stats.retries, 1);
    flight->pause_ms = pause;
    return true;
}

/* --- the pause
 * -------------------------------------------------------------------------------------------------- */

static void on_pause_over(struct loop_timer *timer)
{
    fetch_again(container_of(timer, struct flight, pause));
}

static void pause_now(struct flight *flight)
{
    struct loop *loop = flight->owner->loop;
    flight->passing_over = false;
    flight->transfer = NULL;
    if (loop_timer_set(loop, &flight->pause, loop_now(loop) + flight->pause_ms, on_pause_over))
        fetch_again(flight); /* no memory for a timer */
}

bool retry_cancel(struct flight *flight)
{
    if (flight->pause.deadline == 0)
        return false;
    loop_timer_clear(flight->owner->loop, &flight->pause);
    return true;
}

/* --- what calls for it
 * ------------------------------------------------------------------------------------------ */

/* Retry-After (RFC 9110 10.2.3), TOO_LONG when that is more than we wait. *told: there is one. */
static uint64_t asked_pause_ms(const struct http_fields *fields, bool *told)
{
    struct slice value = http_value(fields, FIELD_RETRY_AFTER);
    uint64_t seconds;
    int64_t date_s;
    *told = value.len > 0;
    if (!*told)
        return 0;
    if (slice_to_u64(value, &seconds))
        return seconds <= ASKED_MAX_MS / 1000 ? seconds * 1000 : TOO_LONG;
    if (!date_parse(value, clock_wall_ms() / 1000, &date_s))
        return TOO_LONG;
    int64_t ms = date_s * 1000 - clock_wall_ms();
    return ms > ASKED_MAX_MS ? TOO_LONG : ms > 0 ? (uint64_t)ms : 0;
}

/* A 429 without a time says nothing of when it would be better. */
static bool calls_for_more(const struct http_response *head, uint64_t *asked_ms)
{
    bool told;
    if (head->status != 429 && head->status != 502 && head->status != 503 && head->status != 504)
        return false;
    *asked_ms = asked_pause_ms(&head->fields, &told);
    return *asked_ms != TOO_LONG && (told || head->status != 429);
}

static bool is_small(const struct http_response *head)
{
    return head->framing == FRAMING_NONE ||
           (head->framing == FRAMING_LENGTH && head->length <= PASS_OVER_MAX);
}

/* Where freshness is upstream's own word, so are its errors: they may be what it wants to be kept. */
bool retry_head(struct flight *flight, const struct http_response *head)
{
    uint64_t asked_ms;
    if (cache_policy_is_plain(flight->query.policy))
        return false;
    if (!is_plain_read(flight) || !may_repeat(flight, true) || !calls_for_more(head, &asked_ms) ||
        !decide(flight, asked_ms))
        return false;
    flight->passing_over = true;
    if (!is_small(head)) {
        upstream_cancel(flight->transfer);
        pause_now(flight);
    }
    return true;
}

bool retry_passed_over(struct flight *flight)
{
    if (!flight->passing_over)
        return false;
    pause_now(flight);
    return true;
}

static bool may_be_better(enum upstream_failure failure)
{
    switch (failure) {
    case UPSTREAM_RESOLVE:
    case UPSTREAM_CONNECT:
    case UPSTREAM_CONNECT_TIMEOUT:
    case UPSTREAM_TLS:
    case UPSTREAM_RESET:
    case UPSTREAM_FIRST_BYTE_TIMEOUT:
    case UPSTREAM_IDLE_TIMEOUT:
        return true;
    case UPSTREAM_TOTAL_TIMEOUT:
    case UPSTREAM_INVALID:
    case UPSTREAM_CUT:
    case UPSTREAM_NOMEM:
    case UPSTREAM_OPEN:
        return false;
    }
    return false;
}

bool retry_failure(struct flight *flight, enum upstream_failure failure, bool sent)
{
    if (!may_be_better(failure) || !may_repeat(flight, sent) || !decide(flight, 0))
        return false;
    pause_now(flight);
    return true;
}
