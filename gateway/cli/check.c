/* `check`: is a configuration file right? */
#include "cli/cli_internal.h"

int cli_check(struct cli_call *call)
{
    bool schema = call->values[OPTION_SCHEMA] != NULL, manual = call->values[OPTION_MANUAL] != NULL;
    if (schema && manual)
        return cli_usage(call->command, "--schema or --manual, not both");
    if (schema || manual)
        return schema ? call->hooks->schema() : call->hooks->manual();
    const char *path = cli_config_path(call->values[OPTION_CONFIG]);
    if (!path)
        return cli_usage(call->command, "there is no file to check; name one with -c FILE");
    return call->hooks->check(path, call->values[OPTION_JSON] != NULL);
}
