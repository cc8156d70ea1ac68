/*
 * The command line (contract 10). One file per subcommand; `serve` is main.c's. Commands that need the
 * running gateway's memory ask its admin listener; the mapping is changed in the store itself, safely beside
 * a running server.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>

#include "base/buf.h"

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_CONFIG = 78 };

/* What commands need of a configuration file. */
struct cli_context {
    const char *data_dir;
    const char *admin_address;           /* of the running gateway */
    struct buf admin_token;              /* empty: none */
    struct buf client_id, client_secret; /* the secret only when asked for; wiped at the end */
    long token_ttl_s;
};

/* Rooms of one floor do not know each other: main.c lends what config/ can do. */
struct cli_hooks {
    /* path NULL: the defaults. 0 or ERR_*, told on stderr line by line. */
    int (*load)(const char *path, bool with_secret, struct cli_context *out);
    /* Comes after every load, also after one that failed. */
    void (*unload)(struct cli_context *context);
    /* `check`, and `check --schema` / `--manual`: prints; returns the exit status. */
    int (*check)(const char *path, bool json);
    int (*schema)(void);
    int (*manual)(void);
};

/* Runs any subcommand but serve and sandbox. Returns the exit status. */
int cli_run(int argc, char **argv, const struct cli_hooks *hooks);
/* Usage of the whole program on stdout. */
void cli_help(void);

/* Options of `serve`: also parsed here, so that all usage errors look alike. */
struct cli_serve {
    const char *config; /* -c FILE, or NULL */
    bool sandbox;
    const char *log_format; /* NULL, "json", "text" */
};
/* CLI_OK, CLI_USAGE (told on stderr), or -1: --help was printed. argv[0] is "serve". Without -c, config is
 * the file that every command would take (environment, /etc), but NULL with --sandbox. */
int cli_parse_serve(int argc, char **argv, struct cli_serve *out);

#endif
