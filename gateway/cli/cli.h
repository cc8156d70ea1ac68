/*
 * The command line (contract 10). One file per subcommand; `serve` is main.c's. Commands that need the running gateway's memory ask its
 * admin listener; the mapping is changed in the store itself, safely beside a running server.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_CONFIG = 78 };

/* Runs any subcommand but serve and sandbox. Returns the exit status. */
int cli_run(int argc, char **argv);
/* Usage of the whole program on stdout. */
void cli_help(void);

/* Options of `serve`: also parsed here, so that all usage errors look alike. */
struct cli_serve {
    const char *config;     /* -c FILE, or NULL */
    bool sandbox;
    const char *log_format; /* NULL, "json", "text" */
};
/* CLI_OK, CLI_USAGE (told on stderr), or -1: --help was printed. */
int cli_parse_serve(int argc, char **argv, struct cli_serve *out);

#endif
