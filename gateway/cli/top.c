/* `top`: what the running gateway is doing, second by second. A view is what two looks at it differ by. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli_internal.h"

enum { EVERY_MS = 1000 };

/* One look: the answers of the admin listener, and when. */
struct look {
    json_t *status, *limits;
    uint64_t at_ms;
};

static void look_deinit(struct look *look)
{
    json_decref(look->status);
    json_decref(look->limits);
    *look = (struct look){.status = NULL};
}

static int look_at(struct cli_call *call, struct look *look)
{
    *look = (struct look){.status = NULL};
    int status = cli_ask(call, "GET", "/v1/status", NULL, &look->status);
    if (status == CLI_OK)
        status = cli_ask(call, "GET", "/v1/limits", NULL, &look->limits);
    look->at_ms = clock_mono_ms();
    if (status != CLI_OK)
        look_deinit(look);
    return status;
}

/* --- the view ------------------------------------------------------------------------------------------- */

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* Counters begin anew with a new process. */
static double grown(double then, double now)
{
    return now >= then ? now - then : now;
}

struct span {
    const json_t *then, *now;
    double seconds;
};

static struct span span_of(const struct span *span, const char *key)
{
    return (struct span){json_object_get(span->then, key), json_object_get(span->now, key), span->seconds};
}

static double rate(const struct span *span, const char *key)
{
    return grown(number(span->then, key), number(span->now, key)) / span->seconds;
}

static json_t *rates(const struct span *span)
{
    json_t *out = json_object(), *value;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)span->now, key, value)
    {
        if (json_is_number(value))
            json_object_set_new(out, key, json_real(rate(span, key)));
    }
    return out;
}

static double total(const json_t *numbers)
{
    double sum = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)numbers, key, value)
    {
        sum += json_number_value(value);
    }
    return sum;
}

static double hit_ratio(const json_t *outcomes)
{
    double hits = number(outcomes, "hit") + number(outcomes, "stale") + number(outcomes, "collapsed");
    double asked = hits + number(outcomes, "miss") + number(outcomes, "revalidated");
    return asked > 0 ? hits / asked : 0;
}

/* The bound of the histogram's bucket in which the quantile lies, in ms; null without requests, or over the
 * last one. */
static json_t *quantile(const struct span *span, double q)
{
    const json_t *then = json_object_get(span->then, "counts"), *now = json_object_get(span->now, "counts");
    const json_t *bounds = json_object_get(span->now, "bounds_us");
    double sum = 0, seen = 0;
    for (size_t i = 0; i < json_array_size(now); i++)
        sum += grown(json_number_value(json_array_get(then, i)), json_number_value(json_array_get(now, i)));
    for (size_t i = 0; i < json_array_size(bounds) && sum > 0; i++) {
        seen += grown(json_number_value(json_array_get(then, i)), json_number_value(json_array_get(now, i)));
        if (seen >= q * sum)
            return json_real(json_number_value(json_array_get(bounds, i)) / 1000);
    }
    return json_null();
}

/* Events that wait for any subscriber. */
static json_int_t backlog(const json_t *relay)
{
    json_int_t sum = 0;
    const json_t *subscriber;
    size_t i;
    json_array_foreach(json_object_get(relay, "subscribers"), i, subscriber)
    {
        sum += json_integer_value(json_object_get(subscriber, "backlog"));
    }
    return sum;
}

/* What people and programs are shown: NULL without memory. */
static json_t *view_of(const struct look *then, const struct look *now)
{
    const uint64_t ms = now->at_ms - then->at_ms;
    struct span all = {then->status, now->status, (double)(ms > 0 ? ms : 1) / 1000};
    struct span limits = {then->limits, now->limits, all.seconds};
    struct span cache = span_of(&all, "cache"), upstream = span_of(&all, "upstream");
    struct span webhooks = span_of(&all, "webhooks"), duration = span_of(&all, "duration");
    struct span outcomes = span_of(&cache, "outcomes"), refused = span_of(&limits, "refused");
    json_t *by_outcome = rates(&outcomes), *by_scope = rates(&refused);
    const json_t *relay = json_object_get(all.now, "relay");
    const json_t *subscriptions = json_object_get(all.now, "subscriptions");
    return json_pack(
        "{s:O, s:O, s:O, s:f, s:f, s:f, s:o, s:o, s:o, s:{s:f, s:f, s:O, s:O, s:O}, s:{s:O, s:f, s:o}, s:o, "
        "s:{s:O, s:O, s:O}, s:{s:I, s:O?, s:O?}, s:{s:O?, s:O?, s:O?, s:O?}, s:O}",
        "version", json_object_get(all.now, "version"), "state", json_object_get(all.now, "state"),
        "uptime_s", json_object_get(all.now, "uptime_s"), "interval_s", all.seconds, "requests_per_s",
        total(by_outcome), "hit_ratio", hit_ratio(by_outcome), "p50_ms", quantile(&duration, 0.5), "p99_ms",
        quantile(&duration, 0.99), "outcomes_per_s", by_outcome, "upstream", "requests_per_s",
        rate(&upstream, "transfers"), "failures_per_s", rate(&upstream, "failures"), "open",
        json_object_get(upstream.now, "open"), "idle", json_object_get(upstream.now, "idle"), "waiting",
        json_object_get(upstream.now, "waiting"), "limits", "waiting", json_object_get(limits.now, "waiting"),
        "granted_per_s", rate(&limits, "granted"), "refused_per_s", by_scope, "webhooks_per_s",
        rates(&webhooks), "cache", "entries", json_object_get(cache.now, "entries"), "bytes",
        json_object_get(cache.now, "bytes"), "budget", json_object_get(cache.now, "budget"), "events",
        "waiting", backlog(relay), "dead_letters", json_object_get(relay, "dead_letters"), "streams",
        json_object_get(relay, "streams"), "coverage", "managed", json_object_get(subscriptions, "managed"),
        "covered", json_object_get(subscriptions, "covered"), "partly",
        json_object_get(subscriptions, "partly"), "uncovered", json_object_get(subscriptions, "uncovered"),
        "hosts", json_object_get(all.now, "hosts"));
}

/* --- for people ----------------------------------------------------------------------------------------- */

static void print_rates(const char *name, const json_t *numbers)
{
    const char *key;
    json_t *value;
    bool any = false;
    printf("%-11s", name);
    json_object_foreach((json_t *)(uintptr_t)numbers, key, value)
    {
        if (json_number_value(value) <= 0)
            continue;
        fputs(any ? ", " : "", stdout);
        cli_print_text(stdout, slice_from(key));
        printf(" %.1f/s", json_number_value(value));
        any = true;
    }
    puts(any ? "" : "-");
}

static void print_quantile(const char *name, const json_t *ms)
{
    if (json_is_real(ms))
        printf("   %s ≤ %g ms", name, json_real_value(ms));
    else
        printf("   %s -", name);
}

static void print_host(const json_t *host, bool first)
{
    double wait = number(host, "next_probe_s");
    printf("%-11s", first ? "hosts" : "");
    cli_print_text(stdout, json_text(host, "host"));
    fputs("  ", stdout);
    cli_print_text(stdout, json_text(host, "breaker"));
    if (wait > 0)
        printf(", next probe in %.1f s", wait);
    printf("   %.0f failures, opened %.0f times\n", number(host, "failures"), number(host, "opened"));
}

static void print_view(const json_t *view)
{
    const json_t *upstream = json_object_get(view, "upstream"), *limits = json_object_get(view, "limits");
    const json_t *events = json_object_get(view, "events"), *coverage = json_object_get(view, "coverage");
    const json_t *cache = json_object_get(view, "cache"), *hosts = json_object_get(view, "hosts"), *host;
    size_t i;
    fputs("rollout-gateway ", stdout);
    cli_print_text(stdout, json_text(view, "version"));
    fputs(": ", stdout);
    cli_print_text(stdout, json_text(view, "state"));
    printf(", up %.0f s\n\nrequests   %.1f/s   hit ratio %.1f %%", number(view, "uptime_s"),
           number(view, "requests_per_s"), 100 * number(view, "hit_ratio"));
    print_quantile("p50", json_object_get(view, "p50_ms"));
    print_quantile("p99", json_object_get(view, "p99_ms"));
    putchar('\n');
    print_rates("outcomes", json_object_get(view, "outcomes_per_s"));
    printf("upstream   %.1f/s, %.1f failures/s, %.0f connections (%.0f idle), %.0f requests wait for one\n",
           number(upstream, "requests_per_s"), number(upstream, "failures_per_s"), number(upstream, "open"),
           number(upstream, "idle"), number(upstream, "waiting"));
    printf("limits     %.1f/s granted, %.0f wait for their turn\n", number(limits, "granted_per_s"),
           number(limits, "waiting"));
    print_rates("  refused", json_object_get(limits, "refused_per_s"));
    print_rates("webhooks", json_object_get(view, "webhooks_per_s"));
    printf("  events   %.0f wait for subscribers, %.0f dead letters, %.0f streams\n",
           number(events, "waiting"), number(events, "dead_letters"), number(events, "streams"));
    if (json_is_true(json_object_get(coverage, "managed")))
        printf("  coverage %.0f in full, %.0f in part, %.0f not\n", number(coverage, "covered"),
               number(coverage, "partly"), number(coverage, "uncovered"));
    printf("cache      %.0f entries, %.1f of %.1f MiB\n", number(cache, "entries"),
           number(cache, "bytes") / (1 << 20), number(cache, "budget") / (1 << 20));
    json_array_foreach(hosts, i, host)
    {
        print_host(host, i == 0);
    }
}

static int show(const struct cli_call *call, json_t *view, bool alone)
{
    static const char clear[] = "\033[H\033[2J";
    if (!view || call->values[OPTION_JSON])
        return cli_print_json(call, view);
    if (!alone && isatty(STDOUT_FILENO))
        fputs(clear, stdout);
    print_view(view);
    if (!alone && !isatty(STDOUT_FILENO))
        putchar('\n');
    json_decref(view);
    return CLI_OK;
}

int cli_top(struct cli_call *call)
{
    const bool once = call->values[OPTION_ONCE] != NULL;
    struct look then, now;
    int status = look_at(call, &then);
    if (status != CLI_OK)
        return status;
    do {
        nanosleep(&(struct timespec){EVERY_MS / 1000, EVERY_MS % 1000 * 1000000L}, NULL);
        status = look_at(call, &now);
        if (status != CLI_OK)
            break;
        status = show(call, view_of(&then, &now), once);
        look_deinit(&then);
        then = now;
    } while (!once && status == CLI_OK && fflush(stdout) == 0);
    look_deinit(&then);
    return status;
}
