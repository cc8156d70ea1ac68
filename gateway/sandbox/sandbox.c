/* Life of the stand-in: what it starts with, its listener, and its end. */
#include "sandbox/sandbox.h"

#include <stdlib.h>
#include <unistd.h>

#include "sandbox/sandbox_internal.h"

/* Fixed, so that mappings made for one sandbox serve the next one. Any other tenant
 * (the examples say umbrella) has connected nothing yet. */
const struct sandbox_account sandbox_accounts[] = {
    {"acme", "0197d000-ac3e-7001-8000-00000000ac01", "followupboss", "crm"},
    {"acme", "0197d000-ac3e-7002-8000-00000000ac02", "gmail", "email,calendar"},
    {"globex", "0197d000-910b-7001-8000-000000009101", "followupboss", "crm"},
    {"globex", "0197d000-910b-7002-8000-000000009102", "lofty", "crm"},
    {"initech", "0197d000-1217-7001-8000-000000001201", "skyslope", "tms"},
    {"initech", "0197d000-1217-7002-8000-000000001202", "encompass", "los"},
    {"hooli", "0197d000-4001-7001-8000-000000004001", "sure-send", "mortgage-crm"},
    {NULL, NULL, NULL, NULL},
};

enum { ADDRESS_MAX = 256, SECRET_MAX = 4096 };

/* --- data
 * ---------------------------------------------------------------------------------------------------- */

static void drop_data(struct sandbox *sandbox)
{
    sandbox_deliver_clear(sandbox);
    sandbox_data_drop_changes(sandbox, NULL);
    while (!list_empty(&sandbox->credential_order)) {
        struct sandbox_credential *credential =
            container_of(sandbox->credential_order.next, struct sandbox_credential, order);
        map_remove(&sandbox->credentials, &credential->node);
        list_remove(&credential->order);
        sandbox_credential_destroy(credential);
    }
    sandbox_journal_clear(sandbox);
    sandbox_knobs_deinit(&sandbox->knobs);
}

int sandbox_reset(struct sandbox *sandbox)
{
    drop_data(sandbox);
    memset(&sandbox->stats, 0, sizeof sandbox->stats);
    memset(sandbox->by_entity, 0, sandbox_entity_count * sizeof *sandbox->by_entity);
    int rc = sandbox_knobs_init(&sandbox->knobs, &sandbox->options);
    return rc ? rc : sandbox_credentials_seed(sandbox);
}

/* --- creation
 * ------------------------------------------------------------------------------------------------ */

static void destroy(struct sandbox *sandbox)
{
    drop_data(sandbox);
    list_each_safe (node, &sandbox->origins) {
        struct sandbox_origin *origin = container_of(node, struct sandbox_origin, node);
        upstream_origin_deinit(&origin->origin);
        free(origin);
    }
    map_deinit(&sandbox->credentials);
    buf_deinit(&sandbox->client_id);
    buf_wipe(&sandbox->client_secret);
    buf_deinit(&sandbox->address);
    free(sandbox->by_entity);
    free(sandbox);
}

/* Without listener and upstream. NULL: out of memory. */
static struct sandbox *prepare(struct loop *loop, const struct sandbox_options *options)
{
    struct sandbox *sandbox = calloc(1, sizeof *sandbox);
    if (!sandbox)
        return NULL;
    sandbox->loop = loop;
    sandbox->options = *options;
    if (options->people == 0)
        sandbox->options.people = SANDBOX_PEOPLE_DEFAULT;
    map_init(&sandbox->credentials);
    list_init(&sandbox->credential_order);
    list_init(&sandbox->changes);
    list_init(&sandbox->journal);
    list_init(&sandbox->queue);
    list_init(&sandbox->flying);
    list_init(&sandbox->origins);
    buf_init(&sandbox->client_id, SECRET_MAX);
    buf_init(&sandbox->client_secret, SECRET_MAX);
    buf_init(&sandbox->address, ADDRESS_MAX);
    sandbox->by_entity = calloc(sandbox_entity_count, sizeof *sandbox->by_entity);
    bool copied = buf_append_slice(&sandbox->client_id, options->client_id) == 0 &&
                  buf_reserve(&sandbox->client_secret, options->client_secret.len) == 0 &&
                  buf_append_slice(&sandbox->client_secret, options->client_secret) == 0;
    sandbox->options.client_id = sandbox->options.client_secret = slice_of(NULL, 0);
    sandbox->options.address = NULL;
    if (sandbox->by_entity && copied && sandbox_knobs_init(&sandbox->knobs, &sandbox->options) == 0 &&
        sandbox_credentials_seed(sandbox) == 0)
        return sandbox;
    destroy(sandbox);
    return NULL;
}

static const struct server_options server_defaults = {
    .name = "sandbox",
    .head_max = 64 * 1024,
    .body_max = SANDBOX_BODY_MAX,
    .header_ms = 30000,
    .idle_ms = 120000,
    .body_ms = 60000,
    .connections_max = 10000,
    .problem_fields = "",
};

static const struct upstream_options upstream_defaults = {
    .times = {.connect_ms = 3000, .first_byte_ms = 10000, .idle_ms = 10000, .total_ms = 20000},
    .idle_connections = 8,
    .idle_keep_ms = 10000,
    .connection_age_ms = 60000,
    .connections_max = 32,
    .head_max = 32 * 1024,
};

static void on_upstream_closed(void *arg)
{
    struct sandbox *sandbox = arg;
    void (*on_closed)(void *arg) = sandbox->on_closed;
    void *closed_arg = sandbox->arg;
    destroy(sandbox);
    if (on_closed)
        on_closed(closed_arg);
}

static void on_server_closed(void *arg)
{
    struct sandbox *sandbox = arg;
    upstream_close(sandbox->upstream, on_upstream_closed, sandbox);
}

struct sandbox *sandbox_create(struct loop *loop, const struct sandbox_options *options, struct fault *fault)
{
    struct server_handler handler = {.on_request = sandbox_on_request};
    struct sandbox *sandbox;
    int fd;
    if (server_listen(options->address, &fd, 1, fault) != 0)
        return NULL;
    sandbox = prepare(loop, options);
    handler.owner = sandbox;
    if (sandbox)
        sandbox->upstream = upstream_create(loop, &upstream_defaults);
    if (sandbox && sandbox->upstream && server_address(fd, &sandbox->address) == 0)
        sandbox->server = server_open(loop, fd, &server_defaults, &handler); /* takes fd */
    else
        close(fd);
    if (sandbox && sandbox->server)
        return sandbox;
    fault_set(fault, ERR_NOMEM, "sandbox: out of memory");
    if (sandbox && sandbox->upstream)
        upstream_close(sandbox->upstream, on_upstream_closed, sandbox);
    else if (sandbox)
        destroy(sandbox);
    return NULL;
}

void sandbox_url(const struct sandbox *sandbox, struct buf *out)
{
    buf_append_text(out, "http://");
    buf_append_slice(out, buf_slice(&sandbox->address));
}

void sandbox_close(struct sandbox *sandbox, void (*on_closed)(void *arg), void *arg)
{
    sandbox->closing = true;
    sandbox->on_closed = on_closed;
    sandbox->arg = arg;
    sandbox_deliver_clear(sandbox);
    loop_timer_clear(sandbox->loop, &sandbox->change_timer);
    server_close(sandbox->server, on_server_closed, sandbox);
}
