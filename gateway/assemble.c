#include "assemble.h"

#include <stdlib.h>

struct cache_options assemble_cache(const struct config *config)
{
    return (struct cache_options){(size_t)config->cache.memory, (size_t)config->cache.entry_max};
}

size_t assemble_warm_size(const struct config *config)
{
    const uint64_t most = (uint64_t)16 << 30, wanted = config->cache.memory * 4;
    if (config->cache.disk != CONFIG_ABSENT)
        return (size_t)config->cache.disk;
    return (size_t)(config->cache.memory < most / 4 ? wanted : most);
}

struct upstream_options assemble_upstream(const struct config *config)
{
    return (struct upstream_options){
        .times = {config->timeouts.connect, config->timeouts.first_byte, config->timeouts.idle,
                  config->timeouts.total},
        .idle_connections = 64,
        .idle_keep_ms = 50 * 1000,
        .connection_age_ms = 300 * 1000,
        .connections_max = 256,
        .head_max = 64 * 1024,
    };
}

static struct server_options listener(const struct config *config, const char *name, const char *fields)
{
    return (struct server_options){
        .name = name,
        .head_max = (size_t)config->sizes.request_head,
        .body_max = config->sizes.request_body,
        .header_ms = config->timeouts.client_header,
        .idle_ms = config->timeouts.client_idle,
        .body_ms = config->timeouts.idle,
        .connections_max = 100000,
        .problem_fields = fields,
    };
}

struct server_options assemble_data(const struct config *config)
{
    return listener(
        config, "data",
        "Cache-Status: rollout-gateway; fwd=bypass; detail=not-forwarded\r\nVia: 1.1 rollout-gateway\r\n");
}

struct server_options assemble_webhooks(const struct config *config)
{
    struct server_options options = listener(config, "webhooks", "");
    options.body_max = config->sizes.webhook_body;
    options.connections_max = 10000;
    return options;
}

struct server_options assemble_admin(const struct config *config)
{
    struct server_options options = listener(config, "admin", "");
    options.connections_max = 1000;
    return options;
}

static int listener_tls(const struct config_listener *listener, const char *name, struct server_tls **out,
                        struct fault *fault)
{
    struct server_tls_files files = {listener->cert, listener->key, listener->client_ca};
    *out = NULL;
    int error = listener->cert ? server_tls_create(&files, out, fault) : 0;
    if (error)
        fault_prefix(fault, "listen.%s.", name);
    return error;
}

int assemble_tls(const struct config *config, struct server_tls **data, struct server_tls **webhooks,
                 struct fault *fault)
{
    *webhooks = NULL;
    int error = listener_tls(&config->listen.data, "data", data, fault);
    if (error)
        return error;
    error = listener_tls(&config->listen.webhooks, "webhooks", webhooks, fault);
    if (error) {
        server_tls_release(*data);
        *data = NULL;
    }
    return error;
}

static struct limit_rule rule_of_limit(const struct config_limit *limit)
{
    return (struct limit_rule){limit->rate, limit->burst, limit->concurrency, limit->max_wait_ms,
                               limit->shadow};
}

struct limit_options assemble_limit(const struct config *config)
{
    return (struct limit_options){.rules = {
                                      [LIMIT_CLIENT] = rule_of_limit(&config->limits.client),
                                      [LIMIT_TENANT] = rule_of_limit(&config->limits.tenant),
                                      [LIMIT_CREDENTIAL] = rule_of_limit(&config->limits.credential),
                                      [LIMIT_SERVICE] = rule_of_limit(&config->limits.service),
                                  }};
}

struct token_options assemble_token(const struct config *config, struct slice secret)
{
    return (struct token_options){config->rollout.client_id, secret,
                                  (int64_t)(config->rollout.token_ttl_ms / 1000), 0};
}

/* --- pipeline
 * ------------------------------------------------------------------------------------------------------ */

static unsigned override_flag(struct slice name)
{
    static const struct {
        const char *name;
        unsigned flag;
    } table[] = {{"private", CC_PRIVATE},
                 {"no-cache", CC_NO_CACHE},
                 {"must-revalidate", CC_MUST_REVALIDATE},
                 {"proxy-revalidate", CC_PROXY_REVALIDATE},
                 {"must-understand", CC_MUST_UNDERSTAND},
                 {"max-age", CACHE_IGNORE_MAX_AGE},
                 {"s-maxage", CACHE_IGNORE_S_MAXAGE},
                 {"expires", CACHE_IGNORE_EXPIRES}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (slice_equal_nocase(name, slice_from(table[i].name)))
            return table[i].flag;
    return 0;
}

static struct cache_policy policy_of(const struct config_freshness *freshness)
{
    return (struct cache_policy){
        .ttl_ms = freshness->ttl,
        .ttl_uncovered_ms = freshness->ttl_uncovered,
        .swr_ms = freshness->stale_while_revalidate,
        .sie_ms = freshness->stale_if_error,
        .negative_ms = freshness->negative_ttl,
        .heuristic = freshness->heuristic,
        .keep_cookies = freshness->set_cookie,
    };
}

static struct event_rule rule_of(const struct config_dependency *dependency)
{
    struct event_rule rule = {.api = dependency->api, .pattern = dependency->event};
    size_t max = sizeof rule.stale / sizeof *rule.stale;
    rule.stale_count = dependency->stale_count < max ? dependency->stale_count : max;
    for (size_t i = 0; i < rule.stale_count; i++)
        rule.stale[i] = dependency->stale[i];
    return rule;
}

/* The shipped table, then the configuration's: rules add up. */
static struct event_rule *dependencies_of(const struct config *config, size_t *count)
{
    size_t shipped;
    const struct event_rule *rules = event_default_rules(&shipped);
    struct event_rule *all = calloc(shipped + config->cache.dependency_count + 1, sizeof *all);
    if (!all)
        return NULL;
    memcpy(all, rules, shipped * sizeof *all);
    for (size_t i = 0; i < config->cache.dependency_count; i++)
        all[shipped + i] = rule_of(&config->cache.dependencies[i]);
    *count = shipped + config->cache.dependency_count;
    return all;
}

int assemble_plan(const struct config *config, struct event_plan **out, struct fault *fault)
{
    size_t count = config->webhooks.event_count;
    struct event_want *wants = calloc(count + 1, sizeof *wants);
    struct slice *apis = calloc(config->upstream_count + 1, sizeof *apis);
    int error = ERR_NOMEM;
    if (wants && apis) {
        for (size_t i = 0; i < config->upstream_count; i++)
            apis[i] = config->upstreams[i].name;
        for (size_t i = 0; i < count; i++)
            wants[i] = (struct event_want){config->webhooks.events[i].api, config->webhooks.events[i].event};
        error = event_plan_create(apis, config->upstream_count, wants, count, out);
    }
    free(wants);
    free(apis);
    if (error == ERR_LIMIT)
        return fault_set(fault, error, "webhooks.events: more than %d events or %d entities for one api",
                         EVENT_PLAN_EVENTS, EVENT_PLAN_ENTITIES);
    return error ? fault_set(fault, error, "out of memory") : 0;
}

struct subscribe_options assemble_subscribe(const struct config *config, struct event_plan *plan)
{
    return (struct subscribe_options){config->webhooks.public_url, plan, config->webhooks.sync_interval_ms,
                                      config->webhooks.coverage_bound_ms};
}

/* Rollout can only be asked where it is named. */
static bool discovers(const struct config *config)
{
    bool core = false;
    for (size_t i = 0; i < config->upstream_count; i++)
        core = core || slice_equal(config->upstreams[i].name, SLICE("core"));
    return core && config->discovery.enabled;
}

int assemble_pipeline(const struct config *config, struct event_plan *plan, struct pipeline_settings **out,
                      struct fault *fault)
{
    struct pipeline_api_options *apis = calloc(config->upstream_count + 1, sizeof *apis);
    struct pipeline_rule_options *rules = calloc(config->cache.rule_count + 1, sizeof *rules);
    size_t dependency_count = 0;
    struct event_rule *dependencies = dependencies_of(config, &dependency_count);
    int error = ERR_NOMEM;
    if (apis && rules && dependencies) {
        for (size_t i = 0; i < config->upstream_count; i++)
            apis[i] = (struct pipeline_api_options){config->upstreams[i].name, config->upstreams[i].url,
                                                    config->upstreams[i].ca,
                                                    config->upstreams[i].client_authorization};
        for (size_t i = 0; i < config->cache.rule_count; i++) {
            const struct config_rule *rule = &config->cache.rules[i];
            rules[i] = (struct pipeline_rule_options){rule->api, rule->entity, policy_of(&rule->freshness)};
            for (size_t j = 0; j < rule->override_count; j++)
                rules[i].policy.ignore |= override_flag(rule->override[j]);
        }
        const struct pipeline_options options = {
            .apis = apis,
            .api_count = config->upstream_count,
            .rules = rules,
            .rule_count = config->cache.rule_count,
            .default_policy = policy_of(&config->cache.defaults),
            .dependencies = dependencies,
            .dependency_count = dependency_count,
            .write_settle_ms = config->cache.write_settle_ms,
            .coverage_ms = config->webhooks.coverage_ms,
            .plan = config->webhooks.public_url ? plan : NULL,
            .canary = config->webhooks.canary,
            .entry_max = (size_t)config->cache.entry_max,
            .body_max = config->sizes.request_body,
            .leg_ms = config->timeouts.fanout,
            .access_log = config->log.access,
            .discovery = discovers(config),
            .allow_anonymous = config->allow_anonymous,
        };
        error = pipeline_settings_create(&options, out, fault);
    } else {
        fault_set(fault, error, "out of memory");
    }
    free(apis);
    free(rules);
    free(dependencies);
    return error;
}

int assemble_webhook(const struct config *config, struct slice secret, struct slice previous, int first_table,
                     int (*use)(const struct webhook_options *options, void *arg), void *arg)
{
    size_t dependency_count = 0;
    struct event_rule *dependencies = dependencies_of(config, &dependency_count);
    struct slice *apis = calloc(config->upstream_count + 1, sizeof *apis);
    int error = ERR_NOMEM;
    if (dependencies && apis) {
        struct webhook_options options = {
            .secret = secret,
            .previous_secret = previous,
            .apis = apis,
            .api_count = config->upstream_count,
            .dependencies = dependencies,
            .dependency_count = dependency_count,
            .body_max = (size_t)config->sizes.webhook_body,
            .first_table = first_table,
        };
        for (size_t i = 0; i < config->upstream_count; i++)
            apis[i] = config->upstreams[i].name;
        event_signature_from(config->webhooks.signature, &options.signature);
        error = use(&options, arg);
    }
    free(dependencies);
    free(apis);
    return error;
}

/* --- subscribers ------------------------------------------------------------------------------------- */

struct outbox_bounds assemble_outbox(const struct config *config)
{
    return (struct outbox_bounds){.keep_ms = config->webhooks.outbox.keep_ms,
                                  .count_max = config->webhooks.outbox.events,
                                  .dead_max = config->webhooks.relay.dead,
                                  .streams_max = (unsigned)config->webhooks.outbox.streams};
}

struct relay_settings assemble_relay(const struct config *config)
{
    return (struct relay_settings){.timeout_ms = config->webhooks.relay.timeout_ms,
                                   .give_up_ms = config->webhooks.relay.give_up_ms,
                                   .concurrency = (unsigned)config->webhooks.relay.concurrency};
}

/* A subscriber with its secrets, while the audience is made. */
struct subscriber_secrets {
    struct buf secret, previous;
};

static int read_subscriber(const struct config_subscriber *from, struct subscriber_secrets *secrets,
                           struct audience_entry *entry, struct fault *fault)
{
    int error = config_secret_read(&from->secret, &secrets->secret, fault);
    if (error) {
        fault_prefix(fault, ".secret: ");
        return error;
    }
    if (from->previous_secret.env || from->previous_secret.file)
        error = config_secret_read(&from->previous_secret, &secrets->previous, fault);
    if (error)
        fault_prefix(fault, ".previous_secret: ");
    *entry = (struct audience_entry){.name = from->name,
                                     .url = from->url,
                                     .ca = from->ca,
                                     .events = from->events,
                                     .tenants = from->tenants,
                                     .event_count = from->event_count,
                                     .tenant_count = from->tenant_count,
                                     .secret = buf_slice(&secrets->secret),
                                     .previous_secret = buf_slice(&secrets->previous)};
    return error;
}

int assemble_audience(const struct config *config, struct audience **out, struct fault *fault)
{
    size_t count = config->webhooks.subscriber_count;
    struct audience_entry *entries = calloc(count + 1, sizeof *entries);
    struct subscriber_secrets *secrets = calloc(count + 1, sizeof *secrets);
    int error = entries && secrets ? 0 : fault_set(fault, ERR_NOMEM, "%s", error_text(ERR_NOMEM));
    *out = NULL;
    for (size_t i = 0; i < count && !error; i++) {
        buf_init(&secrets[i].secret, 8192);
        buf_init(&secrets[i].previous, 8192);
        error = read_subscriber(&config->webhooks.subscribers[i], &secrets[i], &entries[i], fault);
        if (error)
            fault_prefix(fault, "[%zu]", i);
    }
    if (!error)
        error = audience_create(entries, count, out, fault);
    if (error)
        fault_prefix(fault, "webhooks.subscribers");
    for (size_t i = 0; secrets && i < count; i++) {
        buf_wipe(&secrets[i].secret);
        buf_wipe(&secrets[i].previous);
    }
    free(entries);
    free(secrets);
    return error;
}

int assemble_link(const struct config *config, int (*use)(const struct link_options *options, void *arg),
                  void *arg)
{
    struct link_connector *connectors = calloc(config->connector_count + 1, sizeof *connectors);
    struct slice *apis = calloc(config->upstream_count + 1, sizeof *apis);
    int error = ERR_NOMEM;
    if (connectors && apis) {
        struct link_options options = {
            .connectors = connectors,
            .connector_count = config->connector_count,
            .apis = apis,
            .discovery = discovers(config),
            .negative_ms = config->discovery.negative_ttl_ms,
            .origins = config->link.allowed_origins,
            .origin_count = config->link.allowed_origin_count,
            .access_log = config->log.access,
        };
        for (size_t i = 0; i < config->connector_count; i++)
            connectors[i] = (struct link_connector){config->connectors[i].app_key, config->connectors[i].apis,
                                                    config->connectors[i].api_count};
        for (size_t i = 0; i < config->upstream_count; i++)
            if (!slice_equal(config->upstreams[i].name, SLICE("core")))
                apis[options.api_count++] = config->upstreams[i].name;
        error = use(&options, arg);
    }
    free(connectors);
    free(apis);
    return error;
}
