/* Options of `serve`. */
#include <string.h>

#include "cli/cli_internal.h"

int cli_parse_serve(int argc, char **argv, struct cli_serve *out)
{
    struct cli_call call = {.command = cli_command_find("serve")};
    int status = cli_options_parse(&call, argc - 1, argv + 1);
    if (status < 0)
        cli_command_help(call.command);
    if (status != CLI_OK)
        return status;
    const char *format = call.values[OPTION_LOG_FORMAT];
    if (format && strcmp(format, "json") != 0 && strcmp(format, "text") != 0)
        return cli_usage(call.command, "--log-format is json or text");
    out->sandbox = call.values[OPTION_SANDBOX] != NULL;
    out->log_format = format;
    /* Trying things out must not pick up the file of a real gateway on the same machine. */
    out->config = out->sandbox ? call.values[OPTION_CONFIG] : cli_config_path(call.values[OPTION_CONFIG]);
    return CLI_OK;
}
