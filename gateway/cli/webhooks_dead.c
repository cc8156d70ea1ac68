/* `webhooks dead` and `webhooks replay`: what a subscriber of the running gateway did not take in time. */
#include "cli/cli_internal.h"

enum { PATH_MAX_LEN = 96 };

static const char first_page[] = "/v1/relay/dead?limit=1000";

/* The page behind `answer`, or false when that was the last. */
static bool next_page(const json_t *answer, char path[PATH_MAX_LEN])
{
    struct slice next = json_text(answer, "next");
    uint64_t cursor;
    if (!slice_to_u64(next, &cursor))
        return false;
    snprintf(path, PATH_MAX_LEN, "%s&cursor=%llu", first_page, (unsigned long long)cursor);
    return true;
}

static void print_cell(const json_t *one, const char *key)
{
    putchar(' ');
    cli_print_text(stdout, json_text(one, key));
}

static void print_letters(const json_t *answer)
{
    static const char *const cells[] = {"died_at", "subscriber",    "event",
                                        "tenant",  "credential_id", "reason"};
    const json_t *list = json_object_get(answer, "dead");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        printf("%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(one, "id")));
        for (size_t j = 0; j < sizeof cells / sizeof *cells; j++)
            print_cell(one, cells[j]);
        printf(" (%" JSON_INTEGER_FORMAT " attempts)\n",
               json_integer_value(json_object_get(one, "attempts")));
    }
}

static int add_page(json_t *all, const json_t *answer)
{
    return all ? json_array_extend(all, json_object_get(answer, "dead")) : 0;
}

int cli_webhooks_dead(struct cli_call *call)
{
    char path[PATH_MAX_LEN];
    json_t *all = call->values[OPTION_JSON] ? json_array() : NULL;
    snprintf(path, sizeof path, "%s", first_page);
    for (bool more = true; more;) {
        json_t *answer;
        int status = cli_ask(call, "GET", path, NULL, &answer);
        if (status != CLI_OK) {
            json_decref(all);
            return status;
        }
        more = next_page(answer, path);
        if (!all)
            print_letters(answer);
        bool failed = add_page(all, answer) != 0;
        json_decref(answer);
        if (failed) {
            json_decref(all);
            return cli_fail(call->command, "out of memory");
        }
    }
    return all ? cli_print_json(call, json_pack("{s:o}", "dead", all)) : CLI_OK;
}

/* --- replay ---------------------------------------------------------------------------------------- */

static int replay_one(struct cli_call *call, json_int_t id)
{
    char path[PATH_MAX_LEN];
    json_t *answer;
    snprintf(path, sizeof path, "/v1/relay/dead/%" JSON_INTEGER_FORMAT "/replay", id);
    int status = cli_ask(call, "POST", path, NULL, &answer);
    if (status == CLI_OK)
        json_decref(answer);
    return status;
}

struct tally {
    size_t replayed, failed;
};

static void replay_page(struct cli_call *call, const json_t *answer, struct tally *tally)
{
    const json_t *list = json_object_get(answer, "dead");
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_int_t id = json_integer_value(json_object_get(json_array_get(list, i), "id"));
        if (replay_one(call, id) == CLI_OK)
            tally->replayed++;
        else
            tally->failed++;
    }
}

/* What cannot be replayed (its subscriber is gone) is told, and holds up no other. */
static int replay_all(struct cli_call *call, struct tally *tally)
{
    char path[PATH_MAX_LEN];
    snprintf(path, sizeof path, "%s", first_page);
    for (bool more = true; more;) {
        json_t *answer;
        int status = cli_ask(call, "GET", path, NULL, &answer);
        if (status != CLI_OK)
            return status;
        more = next_page(answer, path);
        replay_page(call, answer, tally);
        json_decref(answer);
    }
    return tally->failed > 0 ? CLI_FAILED : CLI_OK;
}

int cli_webhooks_replay(struct cli_call *call)
{
    struct tally tally = {0, 0};
    bool all = call->values[OPTION_ALL] != NULL;
    uint64_t id = 0;
    int status;
    if (all == (call->arg_count == 1))
        return cli_usage(call->command, "which one? An ID of `webhooks dead`, or --all");
    if (!all && (!slice_to_u64(slice_from(call->args[0]), &id) || id > INT64_MAX))
        return cli_usage(call->command, "an ID is a number, as `webhooks dead` shows it");
    if (all) {
        status = replay_all(call, &tally);
    } else {
        status = replay_one(call, (json_int_t)id);
        tally.replayed = status == CLI_OK;
    }
    if (status != CLI_OK && tally.replayed + tally.failed == 0)
        return status;
    if (call->values[OPTION_JSON]) {
        int printed = cli_print_json(call, json_pack("{s:I, s:I}", "replayed", (json_int_t)tally.replayed,
                                                     "failed", (json_int_t)tally.failed));
        return status != CLI_OK ? status : printed;
    }
    printf("replayed %zu dead letter%s\n", tally.replayed, tally.replayed == 1 ? "" : "s");
    return status;
}
