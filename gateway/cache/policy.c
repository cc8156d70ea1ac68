/*
 * What may be stored, for how long it is fresh, and what a request may have of it: RFC 9111 as a shared
 * cache, with the section beside each rule. Values in, verdict out. Where upstream says how long an answer is
 * fresh it is obeyed; where it says nothing the configuration does, and only what the configuration made
 * fresh may the configuration's stale-while-revalidate prolong.
 */
#include "cache/cache_internal.h"
#include "http/date.h"

enum { SECONDS_MAX = INT32_MAX, HEURISTIC_MAX = 24 * 3600 };

/* --- statuses -------------------------------------------------------------------------------- */

static bool is_any_of(int status, const int *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == status)
            return true;
    return false;
}
#define ANY_OF(status, ...)                                                                                  \
    is_any_of(status, (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

/* RFC 9110 15.1; without 206, which is not stored. */
static bool status_is_heuristic(int status)
{
    return ANY_OF(status, 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501);
}

/* Never, whatever upstream says: interim ones, partial content and 304, answers to conditions or to one
 * connection, "not ready" (contract 4), what depends on the token rather than on the request, and what RFC
 * 6585 and RFC 8470 forbid. */
static bool status_is_never_stored(int status)
{
    return status < 200 || status > 999 ||
           ANY_OF(status, 206, 304, 401, 403, 407, 408, 409, 412, 416, 417, 421, 425, 428, 429, 431, 511);
}

/* Where the configuration gives freshness, upstream's errors are never kept, whatever they say (contract 4):
 * but for what is not there, and that briefly. */
static bool is_error(int status)
{
    return status >= 400 && !ANY_OF(status, 404, 410);
}

uint64_t policy_ttl_ms(const struct cache_policy *policy, bool covered, int status)
{
    const uint64_t ttl = covered ? policy->ttl_ms : policy->ttl_uncovered_ms;
    if (ANY_OF(status, 200, 203, 204, 300, 301, 308))
        return ttl;
    if (ANY_OF(status, 404, 410))
        return policy->negative_ms < ttl ? policy->negative_ms : ttl;
    return 0;
}

/* --- what upstream says ---------------------------------------------------------------------- */

int64_t policy_date(const struct cache_answer *answer)
{
    int64_t date;
    if (date_parse(http_value(answer->fields, FIELD_DATE), answer->response_wall_s, &date))
        return date;
    return answer->response_wall_s;
}

static int64_t clamp_seconds(int64_t seconds)
{
    return seconds < 0 ? 0 : seconds > SECONDS_MAX ? SECONDS_MAX : seconds;
}

/* RFC 9111 4.2: for an expiry no zone but GMT counts. */
static bool names_utc(struct slice date)
{
    return date.len >= 4 && slice_equal_nocase(slice_skip(date, date.len - 4), SLICE(" UTC"));
}

/* RFC 9111 4.2.1, 5.3: invalid dates, above all "0", are in the past; so are two that differ. */
static int64_t expires_lifetime(const struct cache_answer *answer)
{
    const struct slice value = http_value(answer->fields, FIELD_EXPIRES);
    int64_t expires;
    for (size_t i = 0; i < answer->fields->count; i++)
        if (answer->fields->at[i].id == FIELD_EXPIRES && !slice_equal(answer->fields->at[i].value, value))
            return 0;
    if (names_utc(value) || !date_parse(value, answer->response_wall_s, &expires))
        return 0;
    return clamp_seconds(expires - policy_date(answer));
}

struct directives policy_read(const struct cache_answer *answer, unsigned ignore)
{
    struct cache_control cc;
    const bool targeted =
        targeted_parse(answer->fields, &cc); /* RFC 9213 2.2: then Cache-Control and Expires do not count */
    if (!targeted)
        cc = cache_control_parse(answer->fields, FIELD_CACHE_CONTROL);
    if (ignore & CACHE_IGNORE_S_MAXAGE)
        cc.s_maxage = CC_ABSENT;
    if (ignore & CACHE_IGNORE_MAX_AGE)
        cc.max_age = CC_ABSENT;

    struct directives said = {cc.flags, CC_ABSENT, cc.stale_while_revalidate, cc.stale_if_error};
    if (cc.s_maxage != CC_ABSENT) { /* RFC 9111 5.2.2.10 */
        said.lifetime_s = clamp_seconds(cc.s_maxage);
        said.flags |= ENTRY_S_MAXAGE;
    } else if (cc.max_age != CC_ABSENT) { /* 5.2.2.1 */
        said.lifetime_s = clamp_seconds(cc.max_age);
    } else if (!targeted && !(ignore & CACHE_IGNORE_EXPIRES) &&
               http_find(answer->fields, FIELD_EXPIRES)) { /* 5.3 */
        said.lifetime_s = expires_lifetime(answer);
    }
    said.flags &= ~(ignore & ~(unsigned)CC_NO_STORE);
    return said;
}

/* --- age: RFC 9111 4.2.3 --------------------------------------------------------------------- */

/* 5.1: of a list the first member counts; what is no number is ignored; 1.2.2: overflow is clamped. */
static int64_t age_value(const struct http_fields *fields)
{
    struct http_members it = {0};
    struct slice text;
    int64_t age = 0;
    if (!http_member_next(fields, FIELD_AGE, &it, &text))
        return 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return 0;
        age = age * 10 + (text.ptr[i] - '0');
        if (age > SECONDS_MAX) /* no lifetime is longer */
            age = SECONDS_MAX;
    }
    return age;
}

int64_t policy_initial_age_ms(const struct cache_answer *answer, bool apparent)
{
    const int64_t apparent_ms = (answer->response_wall_s - policy_date(answer)) * 1000;
    const int64_t delay =
        answer->response_ms > answer->request_ms ? (int64_t)(answer->response_ms - answer->request_ms) : 0;
    const int64_t corrected = age_value(answer->fields) * 1000 + delay;
    return apparent && apparent_ms > corrected ? apparent_ms : corrected;
}

/* --- heuristics: RFC 9111 4.2.2 -------------------------------------------------------------- */

int64_t policy_heuristic(const struct cache_answer *answer, unsigned flags)
{
    int64_t modified;
    if (!status_is_heuristic(answer->status) && !(flags & CC_PUBLIC))
        return CC_ABSENT;
    if (!date_parse(http_value(answer->fields, FIELD_LAST_MODIFIED), answer->response_wall_s, &modified))
        return CC_ABSENT;
    const int64_t unchanged = policy_date(answer) - modified;
    if (unchanged <= 0)
        return CC_ABSENT;
    return unchanged / 10 < HEURISTIC_MAX ? unchanged / 10 : HEURISTIC_MAX;
}

/* --- storing: RFC 9111 3 --------------------------------------------------------------------- */

/* Under a plain policy a client's Authorization may go up, and no variant knows it. */
static bool varies_on_all(const struct http_fields *fields, bool plain)
{
    struct http_members it = {0};
    struct slice name;
    while (http_member_next(fields, FIELD_VARY, &it, &name))
        if (slice_equal(name, SLICE("*")) || (plain && slice_equal_nocase(name, SLICE("authorization"))))
            return true;
    return false;
}

/* 5.2.2.3: understood where the status has a meaning that somebody registered. */
static bool is_understood(int status)
{
    return strcmp(http_reason(status), "Unknown") != 0;
}

static const char *refusal_by_directives(const struct cache_query *query, const struct cache_answer *answer,
                                         unsigned flags)
{
    if (query->control.flags & CC_NO_STORE) /* 5.2.1.5 */
        return "request-no-store";
    if ((flags & CC_MUST_UNDERSTAND) && !is_understood(answer->status))
        return "must-understand";
    if ((flags & CC_NO_STORE) && !(flags & CC_MUST_UNDERSTAND)) /* 5.2.2.5, 5.2.2.3 */
        return "no-store";
    if (flags & CC_PRIVATE) /* 5.2.2.7 */
        return "private";
    return NULL;
}

/* 3.5, on the client's own field: the gateway's token is the credential's, and so part of the key. */
static bool is_barred_by_authorization(const struct cache_query *query, unsigned flags)
{
    if (!cache_policy_is_plain(query->policy))
        return false;
    return http_find(query->fields, FIELD_AUTHORIZATION) &&
           !(flags & (CC_PUBLIC | CC_MUST_REVALIDATE | ENTRY_S_MAXAGE));
}

/* Is there anything that says for how long, or a way to find out whether it still holds? */
static bool is_worth_storing(const struct cache_query *query, const struct cache_answer *answer,
                             const struct directives *said)
{
    const bool validates = http_value(answer->fields, FIELD_ETAG).len > 0 ||
                           http_value(answer->fields, FIELD_LAST_MODIFIED).len > 0;
    if (said->flags & CC_NO_CACHE) /* 5.2.2.4: of use with a validator only */
        return validates;
    if (said->lifetime_s != CC_ABSENT)
        return true;
    if (policy_ttl_ms(query->policy, query->covered, answer->status) > 0)
        return true;
    if (query->policy->heuristic && policy_heuristic(answer, said->flags) != CC_ABSENT)
        return true;
    return validates && (ANY_OF(answer->status, 200, 203, 204) || (said->flags & CC_PUBLIC));
}

enum cache_storing policy_storable(const struct cache_query *query, const struct cache_answer *answer,
                                   const char **why)
{
    const struct directives said = policy_read(answer, query->policy->ignore);
    *why = NULL;
    if (status_is_never_stored(answer->status) ||
        (is_error(answer->status) && !cache_policy_is_plain(query->policy)))
        *why = "status";
    if (!*why)
        *why = refusal_by_directives(query, answer, said.flags);
    if (!*why && varies_on_all(answer->fields, cache_policy_is_plain(query->policy))) /* 4.1 */
        *why = "vary";
    if (!*why && is_barred_by_authorization(query, said.flags))
        *why = "authorization";
    if (!*why && !is_worth_storing(query, answer, &said))
        *why = "no-freshness";
    return *why ? CACHE_STORE_NOT : CACHE_STORE;
}

enum cache_storing cache_may_store(const struct cache_query *query, const struct cache_answer *answer,
                                   const char **why)
{
    const char *unused = NULL;
    const char **reason = why ? why : &unused;
    *reason = "method";
    if (query->method == METHOD_POST) { /* RFC 9110 9.3.3 */
        if (answer->status != 200 || policy_read(answer, query->policy->ignore).lifetime_s == CC_ABSENT)
            return CACHE_STORE_NOT;
    } else if (query->method != METHOD_GET) {
        return CACHE_STORE_NOT;
    }
    *reason = "set-cookie"; /* 7.3, contract 4 */
    if (http_find(answer->fields, FIELD_SET_COOKIE) && !query->policy->keep_cookies)
        return CACHE_STORE_NOT;
    return policy_storable(query, answer, reason);
}

/* --- using: RFC 9111 4 ----------------------------------------------------------------------- */

/* How long the entry lives for this query, and whether it is the configuration that says so. */
static int64_t lifetime_ms(const struct cache_entry *entry, const struct cache_query *query, bool *configured)
{
    *configured = false;
    if (entry->lifetime_s != CC_ABSENT && !(entry->flags & ENTRY_HEURISTIC))
        return (int64_t)entry->lifetime_s * 1000;
    /* What was fetched while nobody watched may have missed its event: coverage that came later does not
     * vouch for it. */
    const bool covered = query->covered && (entry->flags & ENTRY_COVERED);
    const uint64_t ttl = policy_ttl_ms(query->policy, covered, entry->status);
    *configured = ttl > 0;
    if (ttl > 0)
        return ttl < INT64_MAX / 2 ? (int64_t)ttl : INT64_MAX / 2;
    return entry->lifetime_s == CC_ABSENT || !query->policy->heuristic ? 0
                                                                       : (int64_t)entry->lifetime_s * 1000;
}

/* 5.4: Pragma counts where there is no Cache-Control. */
static bool asks_no_cache(const struct cache_query *query)
{
    struct http_members it = {0};
    struct slice member;
    if (query->control.flags & CC_NO_CACHE) /* 5.2.1.4 */
        return true;
    if (http_find(query->fields, FIELD_CACHE_CONTROL))
        return false;
    while (http_member_next(query->fields, FIELD_PRAGMA, &it, &member))
        if (slice_equal_nocase(member, SLICE("no-cache")))
            return true;
    return false;
}

/* A condition of the client's that this entry does not meet (5.2.1), or NULL. */
static const char *unmet_by(const struct cache_query *query, int64_t age_ms, int64_t left_ms)
{
    const struct cache_control *cc = &query->control;
    if (asks_no_cache(query))
        return "no-cache";
    if (cc->max_age != CC_ABSENT && (cc->max_age == 0 || age_ms > cc->max_age * 1000)) /* 5.2.1.1 */
        return "max-age";
    if (cc->min_fresh != CC_ABSENT && left_ms < cc->min_fresh * 1000) /* 5.2.1.3 */
        return "min-fresh";
    return NULL;
}

/* 4.2.4: no stale answer where upstream forbids it; s-maxage implies proxy-revalidate (5.2.2.10). */
static bool forbids_stale(const struct cache_entry *entry, const struct cache_query *query)
{
    unsigned flags = entry->flags & ~query->policy->ignore;
    if (query->policy->ignore & CACHE_IGNORE_S_MAXAGE)
        flags &= ~(unsigned)ENTRY_S_MAXAGE;
    return flags & (CC_NO_CACHE | CC_MUST_REVALIDATE | CC_PROXY_REVALIDATE | ENTRY_S_MAXAGE);
}

static bool allows_max_stale(const struct cache_query *query, int64_t stale_ms)
{
    const struct cache_control *cc = &query->control; /* 5.2.1.2 */
    return (cc->flags & CC_MAX_STALE_ANY) || (cc->max_stale != CC_ABSENT && stale_ms <= cc->max_stale * 1000);
}

/* RFC 5861 3 */
static bool allows_background(const struct cache_entry *entry, const struct cache_query *query,
                              bool configured, int64_t stale_ms)
{
    if (entry->swr_s != CC_ABSENT)
        return stale_ms < (int64_t)entry->swr_s * 1000;
    return configured && (uint64_t)stale_ms < query->policy->swr_ms;
}

static void judge_stale(const struct cache_entry *entry, const struct cache_query *query, bool configured,
                        struct cache_found *found)
{
    const int64_t stale_ms = -found->ttl_ms;
    found->decision = CACHE_REVALIDATE;
    found->fwd = "stale";
    if (forbids_stale(entry, query))
        return;
    found->background = allows_background(entry, query, configured, stale_ms);
    if (!found->background && !allows_max_stale(query, stale_ms))
        return;
    found->decision = CACHE_STALE;
    found->fwd = NULL;
    found->detail = found->background ? "stale-while-revalidate" : "max-stale";
}

void policy_judge(const struct cache_entry *entry, const struct cache_query *query, bool settling, bool holds,
                  struct cache_found *found)
{
    bool configured;
    const int64_t lifetime = lifetime_ms(entry, query, &configured);
    found->age_ms = cache_entry_age_ms(entry, query->now_ms);
    const int64_t age = found->age_ms < INT64_MAX / 4 ? (int64_t)found->age_ms : INT64_MAX / 4;
    found->ttl_ms = lifetime - age;
    found->decision = CACHE_REVALIDATE;
    found->fwd = "stale";
    if (!holds || settling) { /* contract 5: neither fresh nor to be served stale but under an error */
        found->detail = holds                                     ? "settling"
                        : entry->flags & (unsigned)ENTRY_RESTORED ? "restored"
                                                                  : "invalidated";
        found->ttl_ms = found->ttl_ms < 0 ? found->ttl_ms : 0;
        return;
    }
    found->detail = unmet_by(query, age, found->ttl_ms);
    if (found->detail) {
        found->fwd = "request";
        return;
    }
    if (entry->flags & ~query->policy->ignore & CC_NO_CACHE) { /* 5.2.2.4 */
        found->detail = "no-cache";
        return;
    }
    if (found->ttl_ms <= 0) { /* 4.2: fresh while freshness_lifetime > current_age */
        judge_stale(entry, query, configured, found);
        return;
    }
    found->decision = CACHE_HIT;
    found->fwd = NULL;
}

/* RFC 5861 4, contract 4. Upstream's own value decides where it gives one; a client can ask for less. */
bool cache_stale_if_error(const struct cache_entry *entry, const struct cache_query *query, uint64_t now_ms)
{
    bool configured;
    const int64_t age = (int64_t)cache_entry_age_ms(entry, now_ms);
    const int64_t lifetime = lifetime_ms(entry, query, &configured);
    const int64_t stale_ms = age > lifetime ? age - lifetime : 0;
    uint64_t limit = entry->sie_s != CC_ABSENT ? (uint64_t)entry->sie_s * 1000 : query->policy->sie_ms;
    if (query->control.stale_if_error != CC_ABSENT && (uint64_t)query->control.stale_if_error * 1000 < limit)
        limit = (uint64_t)query->control.stale_if_error * 1000;
    if (forbids_stale(entry, query) || unmet_by(query, age, lifetime - age))
        return false;
    return limit > 0 && (uint64_t)stale_ms <= limit;
}
