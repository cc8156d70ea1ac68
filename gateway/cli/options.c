/* Options: one table for all commands, so that one name means one thing everywhere. */
#include <string.h>

#include "cli/cli_internal.h"

static const struct {
    const char *name;
    char letter;       /* 0: none */
    const char *value; /* its name in the help; NULL: a flag */
    const char *help;
} options[OPTION_COUNT] = {
    [OPTION_HELP] = {"help", 'h', NULL, "show this"},
    [OPTION_JSON] = {"json", 0, NULL, "answer in JSON"},
    [OPTION_CONFIG] = {"config", 'c', "FILE", "the configuration"},
    [OPTION_SANDBOX] = {"sandbox", 0, NULL,
                        "with a stand-in of Rollout and demo tenants; reads no file but that of -c"},
    [OPTION_LOG_FORMAT] = {"log-format", 0, "FORMAT", "json, or text for people"},
    [OPTION_SCHEMA] = {"schema", 0, NULL, "print the JSON Schema of the configuration"},
    [OPTION_MANUAL] = {"manual", 0, NULL, "print the reference of the configuration (Markdown)"},
    [OPTION_TENANT] = {"tenant", 0, "TENANT", "this tenant alone"},
    [OPTION_PREFIX] = {"prefix", 0, "PREFIX", "tenants that begin with this"},
    [OPTION_APP_KEY] = {"app-key", 0, "KEY", "the connected system, such as followupboss"},
    [OPTION_APIS] = {"apis", 0, "A,B", "the APIs that it serves (\"\": every one), or may call"},
    [OPTION_LABEL] = {"label", 0, "TEXT", "a note for people"},
    [OPTION_DEFAULT] = {"default", 0, NULL, "take it where several fit"},
    [OPTION_NO_DEFAULT] = {"no-default", 0, NULL, "no longer take it where several fit"},
    [OPTION_DRY_RUN] = {"dry-run", 0, NULL, "check the lines, store nothing"},
    [OPTION_CREDENTIAL] = {"credential", 0, "ID", "this credential alone"},
    [OPTION_API] = {"api", 0, "API", "this API alone"},
    [OPTION_ENTITY] = {"entity", 0, "ENTITY",
                       "this entity alone, such as people (in every API without --api)"},
    [OPTION_IDS] = {"ids", 0, "1,2", "these records and the lists that may hold them; needs --entity"},
    [OPTION_ALL] = {"all", 0, NULL, "everything"},
    [OPTION_NAME] = {"name", 0, "NAME", "who calls with it: for logs, limits and people"},
    [OPTION_TENANTS] = {"tenants", 0, "A,B*", "the tenants that it may act for; * is any run of characters"},
    [OPTION_METHODS] = {"methods", 0, "GET,HEAD", "the methods that it may use"},
    [OPTION_PEERS] =
        {"peers", 0, "NAMES",
         "certificates (dns:NAME, uri:NAME, cn:NAME) and users of a unix listener (uid:1000) that stand for "
         "the key"},
    [OPTION_CALLER] = {"caller", 0, "NAME", "the service key that the request would come with"},
    [OPTION_RATE] = {"rate", 0, "100/s", "how much of what it asks for may go upstream"},
    [OPTION_ONCE] = {"once", 0, NULL, "show it once, and end"},
};

/* Edit distance, as long as it is under 3. */
static unsigned distance(const char *a, const char *b)
{
    enum { LONGEST = 32 };
    size_t m = strlen(a), n = strlen(b);
    unsigned row[LONGEST + 1];
    if (m > LONGEST || n > LONGEST)
        return LONGEST;
    for (unsigned j = 0; j <= n; j++)
        row[j] = j;
    for (unsigned i = 1; i <= m; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[n];
}

bool cli_resembles(const char *a, const char *b)
{
    return distance(a, b) <= (strlen(a) < 5 ? 1 : 2);
}

static bool takes(const struct cli_command *command, enum cli_option id)
{
    return id == OPTION_HELP || (command->options >> id & 1u) != 0;
}

static int unknown(const struct cli_command *command, struct slice name)
{
    char given[64];
    snprintf(given, sizeof given, "%.*s", (int)(name.len < 60 ? name.len : 60), name.ptr);
    for (int id = 0; id < OPTION_COUNT; id++)
        if (takes(command, (enum cli_option)id) && cli_resembles(given, options[id].name))
            return cli_usage(command, "unknown option --%s (did you mean --%s?)", given, options[id].name);
    return cli_usage(command, "unknown option --%s", given);
}

/* One option on its way through the parser. */
struct found {
    int id;
    const char *value; /* what stands behind '=' or the letter; NULL: nothing */
};

static int find_long(const struct cli_command *command, const char *text, struct found *out)
{
    struct slice name, value;
    bool has_value = slice_cut(slice_from(text), '=', &name, &value);
    for (int id = 0; id < OPTION_COUNT; id++) {
        if (!takes(command, (enum cli_option)id) || !slice_equal(name, slice_from(options[id].name)))
            continue;
        *out = (struct found){id, has_value ? text + name.len + 1 : NULL};
        return CLI_OK;
    }
    return unknown(command, name);
}

static int find_short(const struct cli_command *command, const char *text, struct found *out)
{
    for (int id = 0; id < OPTION_COUNT; id++) {
        if (!takes(command, (enum cli_option)id) || !options[id].letter || options[id].letter != text[0])
            continue;
        *out = (struct found){id, text[1] ? text + 1 : NULL};
        return CLI_OK;
    }
    return cli_usage(command, "unknown option -%c", text[0]);
}

/* *used: the next argument was the value. */
static int take_option(struct cli_call *call, const char *text, const char *next, bool *used)
{
    struct found found = {0};
    int status = text[1] == '-' ? find_long(call->command, text + 2, &found)
                                : find_short(call->command, text + 1, &found);
    if (status != CLI_OK)
        return status;
    const char *name = options[found.id].name;
    *used = options[found.id].value && !found.value;
    if (*used && !next)
        return cli_usage(call->command, "--%s needs a value (%s)", name, options[found.id].value);
    if (!options[found.id].value && found.value)
        return cli_usage(call->command, "--%s takes no value", name);
    if (call->values[found.id])
        return cli_usage(call->command, "--%s is given twice", name);
    call->values[found.id] = *used ? next : found.value ? found.value : "";
    return CLI_OK;
}

static int take_argument(struct cli_call *call, const char *text)
{
    if (call->arg_count == call->command->args_max)
        return cli_usage(call->command, "unexpected argument '%.60s'", text);
    call->args[call->arg_count++] = text;
    return CLI_OK;
}

int cli_options_parse(struct cli_call *call, int argc, char **argv)
{
    bool only_arguments = false;
    for (int i = 0; i < argc; i++) {
        bool used = false;
        int status = CLI_OK;
        if (!only_arguments && strcmp(argv[i], "--") == 0)
            only_arguments = true;
        else if (!only_arguments && argv[i][0] == '-' && argv[i][1])
            status = take_option(call, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used);
        else
            status = take_argument(call, argv[i]);
        if (status != CLI_OK)
            return status;
        if (call->values[OPTION_HELP])
            return -1;
        i += used;
    }
    if (call->arg_count < call->command->args_min)
        return cli_usage(call->command, "something is missing: %s", call->command->args);
    return CLI_OK;
}

void cli_options_help(FILE *out, unsigned taken)
{
    for (int id = OPTION_COUNT - 1; id >= 0; id--) {
        char text[40];
        if (id != OPTION_HELP && (taken >> id & 1u) == 0)
            continue;
        snprintf(text, sizeof text, "--%s%s%s", options[id].name, options[id].value ? " " : "",
                 options[id].value ? options[id].value : "");
        if (options[id].letter)
            fprintf(out, "  -%c, %-20s %s\n", options[id].letter, text, options[id].help);
        else
            fprintf(out, "      %-20s %s\n", text, options[id].help);
    }
}
