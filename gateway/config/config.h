/*
 * The configuration: one JSON file becomes one validated value (contract 12). ONE table of fields (key, type,
 * bounds, default, whether a reload may change it, a sentence) drives the parser, the defaults, the JSON
 * Schema and the manual. All errors are found at once, each with its JSON path and a "did you mean". The
 * value is immutable; a reload builds a whole new one.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/log.h"

/* Where a secret comes from: exactly one of the two. Nothing else is possible. Read by config_secret_read. */
struct config_secret {
    const char *env;
    const char *file;
};

/* A listener: "host:port", "[v6]:port", "unix:/path", or an object with TLS (not for admin). */
struct config_listener {
    const char *address;
    const char *cert, *key, *client_ca; /* NULL: plain */
};

struct config_upstream {
    struct slice name, url;
    const char *ca; /* NULL: the system's */
    bool client_authorization;
};

struct config_freshness { /* durations in milliseconds */
    uint64_t ttl, ttl_uncovered, stale_while_revalidate, stale_if_error, negative_ttl;
    bool heuristic, set_cookie;
};

struct config_rule {
    struct slice api, entity; /* entity may be empty: the whole api */
    /* What the rule leaves out is cache.default's; ttl_uncovered, when only ttl is given, is at most that. */
    struct config_freshness freshness;
    const struct slice
        *override; /* directives of upstream to overlook: private, no-cache, max-age, must-revalidate … */
    size_t override_count;
};

struct config_dependency {
    struct slice api, event;   /* api may be empty: every one; event is a glob, as written */
    const struct slice *stale; /* 1 to 8 entities, as written */
    size_t stale_count;
};

struct config_event {
    struct slice api, event; /* a name, or a glob */
};

struct config_limit {
    double rate;                 /* requests per second; 0: none */
    uint64_t burst, concurrency; /* 0: as many as a second of rate gives; any number */
    uint64_t max_wait_ms;
    bool shadow;
};

struct config_connector {
    struct slice app_key;     /* in any spelling */
    const struct slice *apis; /* at least one */
    size_t api_count;
};

struct config_subscriber {
    struct slice name, url;
    const char *ca;                       /* NULL: the system's */
    const struct slice *events, *tenants; /* at least one event glob; no tenants: every one */
    size_t event_count, tenant_count;
    struct config_secret secret, previous_secret; /* the second may be none */
};

#define CONFIG_ABSENT UINT64_MAX /* of a size without a default */

struct config {
    struct arena arena; /* of everything below */

    struct {
        struct config_listener data, webhooks, admin;
    } listen;
    bool allow_anonymous;
    unsigned workers; /* 0: one per core */
    const char *data_dir;
    struct {
        struct slice client_id;
        struct config_secret client_secret, client_secret_previous;
        uint64_t token_ttl_ms;
    } rollout;
    const struct config_upstream *upstreams; /* the seven of Rollout, or exactly those that the file names */
    size_t upstream_count;
    struct {
        bool enabled;
        uint64_t negative_ttl_ms;
    } discovery;
    struct {
        const struct slice *allowed_origins; /* "https://app.example.com" */
        size_t allowed_origin_count;
    } link;
    const struct config_connector *connectors; /* beside the shipped table, before it */
    size_t connector_count;
    struct {
        uint64_t memory, entry_max;
        uint64_t disk; /* 0: no copy; CONFIG_ABSENT: not given, 4 x memory, at most 16 GiB */
        uint64_t write_settle_ms;
        struct config_freshness defaults;
        const struct config_rule *rules;
        size_t rule_count;
        const struct config_dependency *dependencies;
        size_t dependency_count;
    } cache;
    struct {
        struct config_limit tenant, credential, service, client;
    } limits;
    struct {
        uint64_t connect, first_byte, idle, total, client_header, client_idle, drain, fanout; /* ms */
    } timeouts;
    struct {
        uint64_t request_head, request_body, webhook_body;
    } sizes;
    struct {
        const char *public_url;            /* NULL */
        struct slice signature;            /* "auto", … */
        uint64_t coverage_ms;              /* an event within this time: the credential's webhooks work */
        const struct config_event *events; /* none: what ships */
        size_t event_count;
        uint64_t sync_interval_ms, coverage_bound_ms;
        double canary; /* hits a second; 0: none */
        const struct config_subscriber *subscribers;
        size_t subscriber_count;
        struct {
            uint64_t keep_ms, events, streams;
        } outbox;
        struct {
            uint64_t timeout_ms, give_up_ms, concurrency, dead;
        } relay;
    } webhooks;
    struct {
        struct config_secret token;
    } admin;
    struct {
        enum log_level level;
        enum log_format format;
        bool access;
    } log;
    struct {
        const char *redis_url;
    } cluster; /* NULL; without user name and password */
};

/* All that is wrong, one line each ("cache.rules[2].ttl: …"); each names path, what is wrong, what is
 * expected. */
struct config_errors {
    struct buf lines; /* '\n' after each; bounded: the last line then says how many more there are */
    unsigned count, listed;
};
void config_errors_init(struct config_errors *errors);
void config_errors_deinit(struct config_errors *errors);

/* Reads and validates. 0 and *out (config_release it), or ERR_INVALID / ERR_SYNTAX / ERR_IO with errors
 * filled. ${NAME} in strings is taken from the environment (unset is an error). */
int config_load(const char *path, struct config **out, struct config_errors *errors) MUST_CHECK;
int config_parse(struct slice text, struct config **out, struct config_errors *errors) MUST_CHECK;
/* Rollout's client id and secret are needed by whatever talks to Rollout, so not by `--sandbox`: a line for
 * each that is missing. 0 or ERR_INVALID. */
int config_require_rollout(const struct config *config, struct config_errors *errors) MUST_CHECK;
/* The defaults alone, for `serve --sandbox` without a file. */
int config_default(struct config **out) MUST_CHECK;
void config_release(struct config *config);

/* Reads a secret now. One trailing newline of a file is dropped. ERR_NOTFOUND (variable unset, file missing),
 * ERR_DENIED, ERR_INVALID (empty, over 4 KiB) with a line that names the variable or file, never its content.
 */
int config_secret_read(const struct config_secret *secret, struct buf *out, struct fault *fault) MUST_CHECK;

/* Does `now` differ from `then` in something that a reload cannot change? Then fault names the path
 * (listen.data …). */
bool config_reloadable(const struct config *then, const struct config *now, struct fault *fault);

/* The JSON Schema, the Markdown reference, and the effective configuration as JSON with secrets struck out
 * (only where they come from). Appended. */
int config_schema(struct buf *out);
int config_manual(struct buf *out);
int config_describe(const struct config *config, struct buf *out);

#endif
