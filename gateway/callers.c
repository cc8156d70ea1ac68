#include "callers.h"

#include <stdio.h>

#include "caller/caller.h"
#include "server/server.h"

static bool needs_keys(const struct config *config, const char *address)
{
    return !config->allow_anonymous && !config->listen.data.client_ca && !server_is_local(address);
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

static int check_admin(const struct config *config, const char *address, struct fault *fault)
{
    const struct config_secret *token = &config->admin.token;
    if (config->allow_anonymous || token->env || token->file || server_is_local(address))
        return 0;
    return fault_set(fault, ERR_DENIED,
                     "listen.admin: other machines can reach this address and are not asked who they are, "
                     "expected \"admin\": { \"token\": … }, a loopback address, unix:/path, or "
                     "\"allow_anonymous\": true");
}

static int check_data(const struct config *config, const char *address, struct store *store, int caller_table,
                      struct fault *fault)
{
    bool demanded = false;
    if (!needs_keys(config, address))
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

int callers_check(const struct config *config, const struct inheritance *sockets, struct store *store,
                  int caller_table, struct fault *fault)
{
    char data[INHERIT_ADDRESS_MAX], admin[INHERIT_ADDRESS_MAX];
    inherit_address(sockets, INHERIT_DATA, data);
    inherit_address(sockets, INHERIT_ADMIN, admin);
    int error = check_data(config, data, store, caller_table, fault);
    return error ? error : check_admin(config, admin, fault);
}

int callers_check_stored(const struct config *config, struct fault *fault)
{
    static const char *const tables[] = {CALLER_TABLES, NULL};
    char path[4096];
    struct store *store;
    if (!needs_keys(config, config->listen.data.address))
        return 0;
    if (snprintf(path, sizeof path, "%s/state", config->data_dir) >= (int)sizeof path)
        return fault_set(fault, ERR_INVALID, "data_dir: the path is too long");
    struct store_options options = {.path = path, .tables = tables, .read_only = true};
    int error = store_open(&store, &options, fault);
    if (error)
        return error == ERR_NOTFOUND ? refuse(fault) : error;
    error = check_data(config, config->listen.data.address, store, 0, fault);
    store_close(store);
    return error;
}
