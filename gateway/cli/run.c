/* The table of commands, and what happens around each of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/cli_internal.h"

#define BIT(id) (1u << OPTION_##id)
#define USUAL   (BIT(CONFIG) | BIT(JSON))
#define BESIDE                                                                                               \
    "Works on the store of data_dir itself, also beside a running gateway, which sees it with its next "     \
    "request.\n"
#define AS_USER "Run it as the user of the gateway, so that the gateway can read what is made.\n"

static int help(struct cli_call *call);
static int version(struct cli_call *call);

static const struct cli_command commands[] = {
    {"serve", "", "run the gateway in the foreground", "", BIT(CONFIG) | BIT(SANDBOX) | BIT(LOG_FORMAT), 0, 0,
     NULL},
    {"sandbox", "[OPTION...]", "run the stand-in of Rollout alone", "", 0, 0, 0, NULL},
    {"check", "", "check a configuration file; tells all that is wrong with it", "",
     USUAL | BIT(SCHEMA) | BIT(MANUAL), 0, 0, cli_check},
    {"status", "", "how the running gateway is", "", USUAL, 0, 0, cli_status},
    {"top", "", "what the running gateway is doing, second by second",
     "With --json a line each second; with --once the first one alone.\n", USUAL | BIT(ONCE), 0, 0, cli_top},
    {"explain", "TENANT METHOD PATH", "what the running gateway would do with a request; sends nothing",
     "Example: rollout-gateway explain acme GET '/crm/people?limit=1'\n", USUAL | BIT(CALLER), 3, 3,
     cli_explain},
    {"purge", "", "make cached answers of the running gateway stale", "",
     USUAL | BIT(TENANT) | BIT(CREDENTIAL) | BIT(API) | BIT(ENTITY) | BIT(IDS) | BIT(ALL), 0, 0, cli_purge},
    {"token", "TENANT", "mint a token for Rollout",
     "What it prints is a secret for its lifetime (rollout.token_ttl).\n", USUAL, 1, 1, cli_token},
    {"credentials list", "", "which credentials the tenants have", BESIDE, USUAL | BIT(TENANT) | BIT(PREFIX),
     0, 0, cli_credentials_list},
    {"credentials get", "TENANT ID", "show one credential, with the path for its webhooks", BESIDE, USUAL, 2,
     2, cli_credentials_get},
    {"credentials put", "TENANT ID", "create or change one; what is not named stays as it is", BESIDE AS_USER,
     USUAL | BIT(APP_KEY) | BIT(APIS) | BIT(LABEL) | BIT(DEFAULT) | BIT(NO_DEFAULT), 2, 2,
     cli_credentials_put},
    {"credentials delete", "TENANT ID", "forget one", BESIDE, USUAL, 2, 2, cli_credentials_delete},
    {"credentials discover", "TENANT", "have the running gateway look at Rollout's list, and follow it",
     "What is new there is added, what is missing there is marked gone; the answer says what has changed.\n",
     USUAL, 1, 1, cli_credentials_discover},
    {"credentials import", "[FILE]", "read JSON lines, as export writes them",
     "Without FILE, or with -, from stdin. Only tenant and credential_id are needed in a line.\n"
     "A bad line is told with its number and changes nothing; the others are stored, and the exit status is "
     "1.\n" BESIDE AS_USER,
     USUAL | BIT(DRY_RUN), 0, 1, cli_credentials_import},
    {"credentials export", "", "write all credentials as JSON lines", BESIDE, USUAL, 0, 0,
     cli_credentials_export},
    {"keys create", "", "make a service key for a caller; prints it, this once",
     "What is not named is not restricted. From the first key ever made on, the data listener asks every "
     "caller "
     "for one\n(or for a certificate that a key lists), unless allow_anonymous is true; revoking the last "
     "does not "
     "change that.\nTo rotate: make a second key under another name, move the caller to it, revoke the "
     "first.\n" BESIDE AS_USER,
     USUAL | BIT(NAME) | BIT(TENANTS) | BIT(APIS) | BIT(METHODS) | BIT(PEERS) | BIT(RATE), 0, 0,
     cli_keys_create},
    {"keys list", "", "the service keys, and when they were last used (to a minute)", BESIDE, USUAL, 0, 0,
     cli_keys_list},
    {"keys revoke", "ID", "end a service key, at once", BESIDE, USUAL, 1, 1, cli_keys_revoke},
    {"webhooks list", "", "what the running gateway's subscriptions at Rollout cover, by credential", "",
     USUAL | BIT(PREFIX), 0, 0, cli_webhooks_list},
    {"webhooks sync", "", "have the running gateway look at its subscriptions now",
     "It goes on in the background; webhooks list shows what comes of it.\n", USUAL | BIT(TENANT), 0, 0,
     cli_webhooks_sync},
    {"webhooks dead", "", "the events that a subscriber did not take in time", "", USUAL, 0, 0,
     cli_webhooks_dead},
    {"webhooks replay", "[ID]", "send a dead letter again, or all of them with --all",
     "It goes behind what waits for that subscriber and credential, under the same webhook-id.\n",
     USUAL | BIT(ALL), 0, 1, cli_webhooks_replay},
    {"version", "", "show the version", "", BIT(JSON), 0, 0, version},
    {"help", "[COMMAND]", "show this, or the help of a command", "", BIT(JSON), 0, 2, help},
};

enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static const char usual_config[] = "/etc/rollout-gateway/gateway.json";

const char *cli_config_path(const char *given)
{
    const char *named = getenv("ROLLOUT_GATEWAY_CONFIG");
    if (given)
        return given;
    if (named && *named)
        return named;
    /* One that is there and can't be read is an error, not a reason to run with the defaults. */
    return access(usual_config, F_OK) == 0 || errno == EACCES ? usual_config : NULL;
}

int cli_call_load(struct cli_call *call, bool with_secret)
{
    if (call->loaded)
        return CLI_OK;
    call->loaded = true;
    int error = call->hooks->load(cli_config_path(call->values[OPTION_CONFIG]), with_secret, &call->context);
    if (error == 0)
        return CLI_OK;
    return error == ERR_NOMEM ? CLI_FAILED : CLI_CONFIG;
}

/* --- help ---------------------------------------------------------------------------------------------- */

/* The commands of a group ("credentials"), or all. */
static void list_commands(FILE *out, struct slice group)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        char text[64];
        if (!slice_starts(slice_from(commands[i].name), group))
            continue;
        snprintf(text, sizeof text, "%s%s%s", commands[i].name, *commands[i].args ? " " : "",
                 commands[i].args);
        fprintf(out, "  %-29s %s\n", text, commands[i].summary);
    }
}

void cli_help(void)
{
    fputs("rollout-gateway " GATEWAY_VERSION ": between internal services and Rollout's API\n\n"
          "Usage: rollout-gateway COMMAND [ARGUMENT...] [OPTION...]\n\n",
          stdout);
    list_commands(stdout, SLICE(""));
    printf("\nEvery command takes --help, and --json for programs. The configuration is the file of -c FILE, "
           "else of\n"
           "$ROLLOUT_GATEWAY_CONFIG, else %s if it is there, else the defaults.\n"
           "Exit status: 0 done, 1 failed, 2 wrong usage, 78 bad configuration.\n",
           usual_config);
}

void cli_command_help(const struct cli_command *command)
{
    printf("Usage: rollout-gateway %s%s%s%s\n\n%s%s%s\n", command->name, *command->args ? " " : "",
           command->args, command->options ? " [OPTION...]" : "", command->summary,
           *command->help ? "\n\n" : "\n", command->help);
    cli_options_help(stdout, command->options);
}

static int version(struct cli_call *call)
{
    if (call->values[OPTION_JSON])
        return cli_print_json(call, json_pack("{s:s}", "version", GATEWAY_VERSION));
    puts("rollout-gateway " GATEWAY_VERSION);
    return CLI_OK;
}

static json_t *json_of_commands(void)
{
    json_t *all = json_array();
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        json_array_append_new(all, json_pack("{s:s, s:s, s:s}", "name", commands[i].name, "arguments",
                                             commands[i].args, "summary", commands[i].summary));
    return json_pack("{s:o}", "commands", all);
}

/* --- finding the command ------------------------------------------------------------------------------- */

const struct cli_command *cli_command_find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* Is it the first word of commands of two? */
static bool is_group(const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strncmp(commands[i].name, word, len) == 0 && commands[i].name[len] == ' ')
            return true;
    return false;
}

static int unknown(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (cli_resembles(name, commands[i].name))
            return cli_usage(NULL, "unknown command '%s' (did you mean '%s'?)", name, commands[i].name);
    return cli_usage(NULL, "unknown command '%s'", name);
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* CLI_OK with the command and the number of words of its name, CLI_USAGE (told), or -1: the help of a group
 * was shown. */
static int find(int argc, char **argv, const struct cli_command **out, int *words)
{
    char name[64];
    bool group = is_group(argv[0]);
    if (group && (argc < 2 || is_help(argv[1]))) {
        FILE *to = argc < 2 ? stderr : stdout;
        fprintf(to, argc < 2 ? "rollout-gateway %s: which one?\n" : "Usage: rollout-gateway %s ...\n\n",
                argv[0]);
        list_commands(to, slice_from(argv[0]));
        return argc < 2 ? CLI_USAGE : -1;
    }
    snprintf(name, sizeof name, "%.30s%s%.30s", argv[0], group ? " " : "", group ? argv[1] : "");
    *words = group ? 2 : 1;
    *out = cli_command_find(name);
    return *out ? CLI_OK : unknown(name);
}

static int help(struct cli_call *call)
{
    const struct cli_command *command;
    int words;
    char *argv[CLI_ARGS_MAX];
    for (int i = 0; i < call->arg_count; i++)
        argv[i] = (char *)(uintptr_t)call->args[i];
    if (call->values[OPTION_JSON])
        return cli_print_json(call, json_of_commands());
    if (call->arg_count == 0) {
        cli_help();
        return CLI_OK;
    }
    if (call->arg_count == 1 && is_group(argv[0])) {
        list_commands(stdout, slice_from(argv[0]));
        return CLI_OK;
    }
    int status = find(call->arg_count, argv, &command, &words);
    if (status == CLI_OK)
        cli_command_help(command);
    return status < 0 ? CLI_OK : status;
}

/* --- running it ---------------------------------------------------------------------------------------- */

/* A pipe that broke or a disk that is full must not look like a whole export. */
static int check_output(const struct cli_call *call, int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    return cli_fail(call->command, "the output could not be written: %s", strerror(errno));
}

static int run_command(struct cli_call *call, int argc, char **argv)
{
    int status = cli_options_parse(call, argc, argv);
    if (status < 0) {
        cli_command_help(call->command);
        status = CLI_OK;
    } else if (status == CLI_OK) {
        status =
            call->command->run ? call->command->run(call) : cli_usage(call->command, "not run from here");
    }
    if (call->loaded)
        call->hooks->unload(&call->context);
    return check_output(call, status);
}

int cli_run(int argc, char **argv, const struct cli_hooks *hooks)
{
    char help_word[] = "help", version_word[] = "version";
    char *named[] = {NULL, NULL};
    struct cli_call call = {.hooks = hooks};
    int words;
    log_setup(LOG_WARN, LOG_FORMAT_TEXT);
    if (argc < 2)
        return cli_usage(NULL, "which command?");
    if (is_help(argv[1]))
        named[0] = help_word;
    else if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
        named[0] = version_word;
    int status = find(argc - 1, named[0] ? named : argv + 1, &call.command, &words);
    if (status != CLI_OK)
        return status < 0 ? CLI_OK : status;
    return run_command(&call, argc - 1 - words, argv + 1 + words);
}
