#include "generation.h"

#include <stdlib.h>

#include "assemble.h"
#include "base/log.h"
#include "cli/cli.h"
#include "token/token.h"

void generation_retain(struct generation *generation)
{
    atomic_fetch_add(&generation->refs, 1);
}

void generation_release(struct generation *generation)
{
    if (!generation || atomic_fetch_sub(&generation->refs, 1) != 1)
        return;
    buf_wipe(&generation->client_secret);
    buf_wipe(&generation->previous_secret);
    buf_wipe(&generation->admin_token);
    server_tls_release(generation->data_tls);
    server_tls_release(generation->webhooks_tls);
    audience_release(generation->audience);
    event_plan_release(generation->plan);
    config_release(generation->config);
    free(generation);
}

/* A line of the log for each, and the first one for who asked. */
static void tell(const struct config_errors *errors, int error, struct fault *fault)
{
    struct slice rest = buf_slice(&errors->lines);
    bool first = true;
    fault_set(fault, error, "the configuration is not usable");
    while (rest.len > 0) {
        struct slice line;
        slice_cut(rest, '\n', &line, &rest);
        log_message(LOG_ERROR, "configuration", "%.*s", SLICE_ARG(line));
        if (first && errors->count > 1)
            fault_set(fault, error, "%u errors, the first: %.*s", errors->count, SLICE_ARG(line));
        else if (first)
            fault_set(fault, error, "%.*s", SLICE_ARG(line));
        first = false;
    }
}

static int load(const char *path, bool sandbox, struct config **out, struct fault *fault)
{
    struct config_errors errors;
    config_errors_init(&errors);
    int error = path ? config_load(path, out, &errors) : config_default(out);
    if (!error && !sandbox && (error = config_require_rollout(*out, &errors)))
        config_release(*out);
    if (error)
        tell(&errors, error, fault);
    config_errors_deinit(&errors);
    return error;
}

static int read_secret(const char *path, const struct config_secret *secret, struct buf *out,
                       struct fault *fault)
{
    int error = config_secret_read(secret, out, fault);
    if (error)
        fault_prefix(fault, "%s: ", path);
    return error;
}

/* One that may be missing. */
static int read_further(const char *path, const struct config_secret *secret, struct buf *out,
                        struct fault *fault)
{
    return secret->env || secret->file ? read_secret(path, secret, out, fault) : 0;
}

static int read_secrets(struct demo *demo, struct generation *generation, struct fault *fault)
{
    struct config *config = generation->config;
    int error = 0;
    buf_init(&generation->client_secret, 8192);
    buf_init(&generation->previous_secret, 8192);
    buf_init(&generation->admin_token, 8192);
    if (demo)
        demo_override(demo, config, &generation->client_secret);
    else
        error = read_secret("rollout.client_secret", &config->rollout.client_secret,
                            &generation->client_secret, fault);
    if (!error)
        error = read_further("rollout.client_secret_previous", &config->rollout.client_secret_previous,
                             &generation->previous_secret, fault);
    if (!error)
        error = read_further("admin.token", &config->admin.token, &generation->admin_token, fault);
    return error;
}

struct generation *generation_load(const char *path, struct demo *demo, int *status, struct fault *fault)
{
    struct generation *generation = calloc(1, sizeof *generation);
    *status = CLI_FAILED;
    if (!generation)
        return NULL;
    atomic_init(&generation->refs, 1);
    int error = load(path, demo != NULL, &generation->config, fault);
    if (error) {
        free(generation);
        *status = error == ERR_NOMEM ? CLI_FAILED : CLI_CONFIG;
        return NULL;
    }
    error = read_secrets(demo, generation, fault);
    if (!error)
        error = assemble_tls(generation->config, &generation->data_tls, &generation->webhooks_tls, fault);
    if (!error)
        error = assemble_audience(generation->config, &generation->audience, fault);
    if (!error)
        error = assemble_plan(generation->config, &generation->plan, fault);
    if (error) { /* a secret or a certificate: the configuration itself is good */
        generation_release(generation);
        return NULL;
    }
    return generation;
}

void generation_warn(const struct generation *generation, bool sandbox)
{
    const struct config *config = generation->config;
    if (!sandbox && token_secret_is_short(buf_slice(&generation->client_secret)))
        log_message(LOG_WARN, "short-secret",
                    "the client secret has fewer than 64 bytes: weaker than HS512 (RFC 7518 3.2)");
    if (config->cluster.redis_url)
        log_message(LOG_WARN, "not-in-force", "cluster.redis_url is configured; this version runs alone");
}
