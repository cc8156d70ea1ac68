/* The running gateway: rooms built bottom-up, loops run, rooms taken down top-down. */
#ifndef SERVE_H
#define SERVE_H

#include "cli/cli.h"

/* Returns the exit status. `argv` is the whole command line: what SIGUSR2 starts again. */
int serve_run(const struct cli_serve *options, char **argv);

#endif
