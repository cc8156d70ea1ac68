/* `status`: how the running gateway is. */
#include "cli/cli_internal.h"

static json_int_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void print_bytes(json_int_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < sizeof units / sizeof *units; unit++)
        value /= 1024;
    printf(unit > 0 && value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static void print_duration(json_int_t seconds)
{
    if (seconds >= 86400)
        printf("%" JSON_INTEGER_FORMAT "d ", seconds / 86400);
    if (seconds >= 3600)
        printf("%" JSON_INTEGER_FORMAT "h ", seconds / 3600 % 24);
    if (seconds >= 60 && seconds < 86400)
        printf("%" JSON_INTEGER_FORMAT "m ", seconds / 60 % 60);
    if (seconds < 3600)
        printf("%" JSON_INTEGER_FORMAT "s ", seconds % 60);
}

/* "  123 sent, 4 failed": the members of a line, each with its word. */
struct count {
    const char *key, *word;
};

static void print_counts(const json_t *object, const struct count *counts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        printf("%s%" JSON_INTEGER_FORMAT " %s", i > 0 ? ", " : "", number(object, counts[i].key),
               counts[i].word);
    putchar('\n');
}

static void print_cache(const json_t *cache)
{
    static const struct count counts[] = {
        {"entries", "entries"}, {"evictions", "evictions"}, {"invalidations", "invalidations"}};
    printf("cache          %.1f %% hits, ", 100 * json_number_value(json_object_get(cache, "hit_ratio")));
    print_bytes(number(cache, "bytes"));
    fputs(" of ", stdout);
    print_bytes(number(cache, "budget"));
    fputs(", ", stdout);
    print_counts(cache, counts, sizeof counts / sizeof *counts);
}

static void print_store(const json_t *store)
{
    static const struct count counts[] = {
        {"changes", "changes"}, {"commits", "commits"}, {"failures", "failures"}};
    fputs("store          ", stdout);
    print_bytes(number(store, "used_bytes"));
    fputs(" of ", stdout);
    print_bytes(number(store, "map_bytes"));
    fputs(", ", stdout);
    print_counts(store, counts, sizeof counts / sizeof *counts);
}

static void print_idempotency(const json_t *idempotency)
{
    static const struct count counts[] = {{"sent", "sent"},
                                          {"replayed", "replayed"},
                                          {"conflict", "while under way"},
                                          {"mismatch", "with another request"},
                                          {"unknown", "with an unknown outcome"}};
    fputs("idempotency    ", stdout);
    print_counts(idempotency, counts, sizeof counts / sizeof *counts);
}

static void print_subscriptions(const json_t *subscriptions)
{
    static const struct count counts[] = {
        {"covered", "covered"}, {"partly", "in part"},  {"uncovered", "not at all"}, {"created", "created"},
        {"deleted", "deleted"}, {"refused", "refused"}, {"failed", "looks failed"}};
    fputs("subscriptions  ", stdout);
    if (json_is_true(json_object_get(subscriptions, "managed")))
        print_counts(subscriptions, counts, sizeof counts / sizeof *counts);
    else
        puts("left to others: webhooks.public_url is not set");
}

/* One line for the outbox and one for each subscriber. */
static void print_relay(const json_t *relay)
{
    static const struct count counts[] = {{"backlog", "events wait"},
                                          {"delivered", "delivered"},
                                          {"failed", "failures"},
                                          {"dead", "given up"},
                                          {"missed", "missed"}};
    const json_t *subscriber;
    size_t i;
    printf("events         %" JSON_INTEGER_FORMAT " kept, %" JSON_INTEGER_FORMAT
           " dead letters, %" JSON_INTEGER_FORMAT " streams open\n",
           number(json_object_get(relay, "outbox"), "events"), number(relay, "dead_letters"),
           number(relay, "streams"));
    json_array_foreach(json_object_get(relay, "subscribers"), i, subscriber)
    {
        fputs("  to ", stdout);
        cli_print_text(stdout, json_text(subscriber, "name"));
        fputs(" (", stdout);
        cli_print_text(stdout, json_text(subscriber, "state"));
        fputs("): ", stdout);
        print_counts(subscriber, counts, sizeof counts / sizeof *counts);
    }
}

static void print_discovery(const json_t *discovery)
{
    static const struct count counts[] = {{"look_ups", "tenants looked up"},
                                          {"failed", "failed"},
                                          {"found", "credentials found"},
                                          {"gone", "gone"}};
    fputs("discovery      ", stdout);
    print_counts(discovery, counts, sizeof counts / sizeof *counts);
}

static void print_status(const json_t *answer)
{
    static const struct count upstream[] = {{"transfers", "transfers"},
                                            {"failures", "failures"},
                                            {"open", "connections open"},
                                            {"idle", "idle"},
                                            {"waiting", "requests waiting"}};
    static const struct count webhooks[] = {{"accepted", "accepted"},
                                            {"duplicates", "duplicates"},
                                            {"unauthenticated", "badly signed"},
                                            {"unknown", "for unknown credentials"},
                                            {"malformed", "malformed"},
                                            {"failed", "failed"}};
    static const struct count tokens[] = {
        {"minted", "minted"}, {"reused", "reused"}, {"remembered", "remembered"}};
    fputs("rollout-gateway ", stdout);
    cli_print_text(stdout, json_text(answer, "version"));
    fputs(": ", stdout);
    cli_print_text(stdout, json_text(answer, "state"));
    fputs(", up ", stdout);
    print_duration(number(answer, "uptime_s"));
    json_int_t workers = number(answer, "workers");
    printf("with %" JSON_INTEGER_FORMAT " worker%s\n", workers, workers == 1 ? "" : "s");
    printf("requests       %" JSON_INTEGER_FORMAT "\n", number(answer, "requests"));
    print_cache(json_object_get(answer, "cache"));
    fputs("upstream       ", stdout);
    print_counts(json_object_get(answer, "upstream"), upstream, sizeof upstream / sizeof *upstream);
    print_idempotency(json_object_get(answer, "idempotency"));
    fputs("webhooks       ", stdout);
    print_counts(json_object_get(answer, "webhooks"), webhooks, sizeof webhooks / sizeof *webhooks);
    print_subscriptions(json_object_get(answer, "subscriptions"));
    print_relay(json_object_get(answer, "relay"));
    print_discovery(json_object_get(answer, "discovery"));
    print_store(json_object_get(answer, "store"));
    fputs("tokens         ", stdout);
    print_counts(json_object_get(answer, "tokens"), tokens, sizeof tokens / sizeof *tokens);
}

int cli_status(struct cli_call *call)
{
    json_t *answer;
    int status = cli_ask(call, "GET", "/v1/status", NULL, &answer);
    if (status != CLI_OK)
        return status;
    if (call->values[OPTION_JSON])
        return cli_print_json(call, answer);
    print_status(answer);
    json_decref(answer);
    return CLI_OK;
}
