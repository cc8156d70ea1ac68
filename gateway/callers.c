#include "callers.h"

#include <stdio.h>

#include "caller/caller.h"
#include "server/server.h"

static bool needs_keys(const struct config *config)
{
    return !config->allow_anonymous && !config->listen.data.client_ca &&
           !server_is_local(config->listen.data.address);
}

static int refuse(struct fault *fault)
{
    return fault_set(
        fault, ERR_DENIED,
        "listen.data: other machines can reach this address and are not asked who they are, expected a "
        "service key "
        "(rollout-gateway keys create), \"client_ca\" (mutual TLS), a loopback address, unix:/path, or "
        "\"allow_anonymous\": true");
}

int callers_check(const struct config *config, struct store *store, int caller_table, struct fault *fault)
{
    bool demanded = false;
    if (!needs_keys(config))
        return 0;
    struct store_view *view = store_view_create(store);
    int error = view ? store_view_begin(view) : ERR_NOMEM;
    if (!error) {
        error = caller_demanded(view, caller_table, &demanded);
        store_view_end(view);
    }
    store_view_destroy(view);
    if (error)
        return fault_set(fault, error, "the service keys cannot be read: %s", error_text(error));
    return demanded ? 0 : refuse(fault);
}

int callers_check_stored(const struct config *config, struct fault *fault)
{
    static const char *const tables[] = {CALLER_TABLES, NULL};
    char path[4096];
    struct store *store;
    if (!needs_keys(config))
        return 0;
    if (snprintf(path, sizeof path, "%s/state", config->data_dir) >= (int)sizeof path)
        return fault_set(fault, ERR_INVALID, "data_dir: the path is too long");
    struct store_options options = {.path = path, .tables = tables, .read_only = true};
    int error = store_open(&store, &options, fault);
    if (error)
        return error == ERR_NOTFOUND ? refuse(fault) : error;
    error = callers_check(config, store, 0, fault);
    store_close(store);
    return error;
}
