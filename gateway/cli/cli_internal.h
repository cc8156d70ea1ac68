/* Shapes that the files of this room share. */
#ifndef CLI_INTERNAL_H
#define CLI_INTERNAL_H

#include <stdio.h>

#include "cli/cli.h"
#include "credential/credential.h"
#include "http/json.h"

/* Every option of every command; options.c has the table of their names. */
enum cli_option {
    OPTION_HELP,
    OPTION_JSON,
    OPTION_CONFIG,
    OPTION_SANDBOX,
    OPTION_LOG_FORMAT,
    OPTION_SCHEMA,
    OPTION_MANUAL,
    OPTION_TENANT,
    OPTION_PREFIX,
    OPTION_APP_KEY,
    OPTION_APIS,
    OPTION_LABEL,
    OPTION_DEFAULT,
    OPTION_NO_DEFAULT,
    OPTION_DRY_RUN,
    OPTION_CREDENTIAL,
    OPTION_API,
    OPTION_ENTITY,
    OPTION_IDS,
    OPTION_ALL,
    OPTION_NAME,
    OPTION_TENANTS,
    OPTION_METHODS,
    OPTION_PEERS,
    OPTION_RATE,
    OPTION_CALLER,
    OPTION_ONCE,
    OPTION_COUNT
};

enum { CLI_ARGS_MAX = 3 };

struct cli_call;

struct cli_command {
    const char *name;    /* one word, or two: "credentials put" */
    const char *args;    /* "TENANT ID", for the usage line */
    const char *summary; /* one line */
    const char *help;    /* further lines, each ending in '\n'; may be "" */
    unsigned options;    /* bits by enum cli_option; --help is always taken */
    int args_min, args_max;
    int (*run)(struct cli_call *call); /* returns the exit status; NULL: main.c's own */
};

/* One run of one command. */
struct cli_call {
    const struct cli_command *command;
    const struct cli_hooks *hooks;
    const char *values[OPTION_COUNT]; /* NULL: not given; "" for a flag */
    const char *args[CLI_ARGS_MAX];
    int arg_count;
    bool loaded;
    struct cli_context context; /* after cli_call_load */
};

/* --- run.c --- */
/* The file of -c, else of the environment, else the usual place when something is there, else NULL. */
const char *cli_config_path(const char *given);
/* Reads the configuration; unloaded when the command ends. CLI_OK, or the exit status, all told. */
int cli_call_load(struct cli_call *call, bool with_secret);
const struct cli_command *cli_command_find(const char *name);
/* On stdout. */
void cli_command_help(const struct cli_command *command);

/* --- options.c --- */
/* Takes apart what stands after the command's name. CLI_OK, CLI_USAGE (told), or -1: --help was given,
 * nothing else counts. */
int cli_options_parse(struct cli_call *call, int argc, char **argv);
/* Lines for --help. */
void cli_options_help(FILE *out, unsigned options);
/* Whether a is probably a slip of the pen for b. */
bool cli_resembles(const char *a, const char *b);

/* --- print.c: nothing that comes from elsewhere reaches a terminal with its control characters --- */
/* "rollout-gateway COMMAND: ..." and the hint to --help, on stderr. Returns CLI_USAGE. */
int cli_usage(const struct cli_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* "rollout-gateway COMMAND: ..." on stderr. Returns CLI_FAILED. */
int cli_fail(const struct cli_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void cli_print_text(FILE *out, struct slice text);
/* One line of compact JSON on stdout; takes the value over. CLI_OK, or CLI_FAILED (told) when out of memory.
 */
int cli_print_json(const struct cli_call *call, json_t *value);
/* For people: "key: value" lines, indented by level. */
void cli_print_tree(const json_t *value, int level);

/* --- client.c --- */
/* Sends a whole request to host:port, [v6]:port or unix:/path and gathers all that comes until the other side
 * closes. 0; ERR_NOTFOUND (nobody listens there), ERR_TIMEOUT, ERR_LIMIT (the answer is larger than raw's
 * maximum), ERR_INVALID (address), ERR_IO, with a line. */
int cli_client_exchange(const char *address, struct slice request, struct buf *raw,
                        struct fault *fault) MUST_CHECK;

/* --- answer.c --- */
struct cli_answer {
    int status;
    struct slice body; /* inside raw */
};
/* Takes a whole HTTP/1.1 answer apart (RFC 9112 6.3), in place. 0, or ERR_SYNTAX with a line: whatever is
 * doubtful or cut. */
int cli_answer_parse(struct buf *raw, struct cli_answer *out, struct fault *fault) MUST_CHECK;

/* --- ask.c --- */
/* Asks the running gateway's admin listener; `body` is taken over, NULL for none. CLI_OK and a JSON object
 * that the caller json_decref's, or the exit status, all told. */
int cli_ask(struct cli_call *call, const char *method, const char *path, json_t *body, json_t **answer);
/* The same for a call that need not be answered: says so when a gateway runs and refuses, is silent when none
 * does. */
void cli_ask_softly(struct cli_call *call, const char *method, const char *path, json_t *body);

/* --- mapping.c: the store that the gateway of this configuration uses --- */
struct cli_mapping {
    struct store *store;
    struct store_view *view;
};
/* Where CALLER_TABLES stand in it. */
enum { CLI_CALLER_TABLE = CREDENTIAL_TABLE_COUNT };
/* Loads the configuration, too. CLI_OK (cli_mapping_close it), or the exit status, all told; nothing is open
 * then. */
int cli_mapping_open(struct cli_mapping *mapping, struct cli_call *call, bool read_only);
void cli_mapping_close(struct cli_mapping *mapping);
/* One change, the store opened and closed for it. CLI_OK, or the exit status, all told. */
int cli_mapping_apply(struct cli_call *call, struct store_change *change, const char *(*reason)(int outcome));
/* Why a change was refused, for people. */
const char *cli_mapping_reason(int outcome);
/* NULL: out of memory. All that there is, as the admin listener shows it. */
json_t *cli_mapping_json(const struct credential *credential);
/* For people, one field a line, on stdout. */
void cli_mapping_print(const struct credential *credential);

/* --- the commands, one file each --- */
int cli_check(struct cli_call *call);
int cli_credentials_list(struct cli_call *call);
int cli_credentials_export(struct cli_call *call);
int cli_credentials_get(struct cli_call *call);
int cli_credentials_put(struct cli_call *call);
int cli_credentials_delete(struct cli_call *call);
int cli_credentials_discover(struct cli_call *call);
int cli_credentials_import(struct cli_call *call);
int cli_keys_create(struct cli_call *call);
int cli_keys_list(struct cli_call *call);
int cli_keys_revoke(struct cli_call *call);
int cli_token(struct cli_call *call);
int cli_explain(struct cli_call *call);
int cli_purge(struct cli_call *call);
int cli_status(struct cli_call *call);
int cli_top(struct cli_call *call);
int cli_webhooks_dead(struct cli_call *call);
int cli_webhooks_replay(struct cli_call *call);
int cli_webhooks_list(struct cli_call *call);
int cli_webhooks_sync(struct cli_call *call);

#endif
