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
    printf("cache      %.1f %% hits, ", 100 * json_number_value(json_object_get(cache, "hit_ratio")));
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
    fputs("store      ", stdout);
    print_bytes(number(store, "used_bytes"));
    fputs(" of ", stdout);
    print_bytes(number(store, "map_bytes"));
    fputs(", ", stdout);
    print_counts(store, counts, sizeof counts / sizeof *counts);
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
    printf("requests   %" JSON_INTEGER_FORMAT "\n", number(answer, "requests"));
    print_cache(json_object_get(answer, "cache"));
    fputs("upstream   ", stdout);
    print_counts(json_object_get(answer, "upstream"), upstream, sizeof upstream / sizeof *upstream);
    fputs("webhooks   ", stdout);
    print_counts(json_object_get(answer, "webhooks"), webhooks, sizeof webhooks / sizeof *webhooks);
    print_store(json_object_get(answer, "store"));
    fputs("tokens     ", stdout);
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
