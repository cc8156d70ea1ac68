/*
 * THE table: every key with its type, bounds, default, whether a reload may change it, and a sentence. The parser, the defaults,
 * the JSON Schema, the manual and the description of a running gateway are made from it. A default is JSON text and is read by the
 * same parser as the file.
 */
#include <stddef.h>

#include "config/config_internal.h"

#define KIB (1ull << 10)
#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define TIB (1ull << 40)
#define SECOND 1000ull
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)

/* --- parts that stand in several places ---------------------------------------------------------------------- */

static const struct field listener_fields[] = {
    {.key = "address", .kind = FIELD_ADDRESS, .offset = offsetof(struct config_listener, address), .cstr = true,
     .sentence = "Where to listen: `host:port`, `[v6]:port` or `unix:/path`."},
    {.key = "cert", .kind = FIELD_TEXT, .offset = offsetof(struct config_listener, cert), .cstr = true,
     .sentence = "PEM file with the certificate and its chain: TLS. Needs `key`."},
    {.key = "key", .kind = FIELD_TEXT, .offset = offsetof(struct config_listener, key), .cstr = true,
     .sentence = "PEM file with the private key of `cert`."},
    {.key = "client_ca", .kind = FIELD_TEXT, .offset = offsetof(struct config_listener, client_ca), .cstr = true,
     .sentence = "PEM file with the CAs whose client certificates are accepted: mutual TLS. Needs `cert`."},
    {0},
};

/* The operators' listener speaks plain HTTP and asks for `admin.token`. */
static const struct field admin_listener_fields[] = {
    {.key = "address", .kind = FIELD_ADDRESS, .offset = offsetof(struct config_listener, address), .cstr = true,
     .sentence = "Where to listen: `host:port`, `[v6]:port` or `unix:/path`."},
    {0},
};

/* A variable's name is never expanded or quoted: a secret may have been put there by mistake. */
static const struct field secret_fields[] = {
    {.key = "env", .kind = FIELD_TEXT, .offset = offsetof(struct config_secret, env), .cstr = true, .max = 255,
     .alphabet = "_", .literal = true, .hidden = true, .sentence = "The environment variable that holds the secret."},
    {.key = "file", .kind = FIELD_TEXT, .offset = offsetof(struct config_secret, file), .cstr = true, .hidden = true,
     .sentence = "The file that holds the secret; one newline at its end is dropped."},
    {0},
};

static const struct field limit_fields[] = {
    {.key = "rate", .kind = FIELD_RATE, .offset = offsetof(struct config_limit, rate), .standard = "\"none\"",
     .sentence = "Requests that may go upstream, on average."},
    {.key = "burst", .kind = FIELD_COUNT, .offset = offsetof(struct config_limit, burst), .standard = "0", .max = 1000000,
     .sentence = "Requests that may go at once after a pause; 0: as many as one second of `rate` gives."},
    {.key = "concurrency", .kind = FIELD_COUNT, .offset = offsetof(struct config_limit, concurrency), .standard = "0",
     .max = 1000000, .sentence = "Requests that may be upstream at the same time; 0: any number."},
    {.key = "max_wait", .kind = FIELD_DURATION, .offset = offsetof(struct config_limit, max_wait_ms), .standard = "\"5s\"",
     .max = HOUR, .sentence = "How long a request over the limit waits for its turn before it is answered 429."},
    {.key = "shadow", .kind = FIELD_BOOL, .offset = offsetof(struct config_limit, shadow), .standard = "false",
     .sentence = "Counts what the limit would refuse, and refuses nothing."},
    {0},
};

static const char ttl_sentence[] =
    "How long an answer is fresh while webhooks cover its entity. `0s` adds no freshness: only upstream's headers count.";
static const char uncovered_sentence[] =
    "The same while webhooks do not cover it. Where only `ttl` is given it is at most that.";
static const char swr_sentence[] =
    "How long after that a stale answer may still be given while it is refreshed behind the scenes.";
static const char sie_sentence[] = "How long a stale answer may be given when Rollout is down.";
static const char negative_sentence[] = "How long a 404 is remembered (at most `ttl`).";
static const char heuristic_sentence[] =
    "Estimates freshness from `Last-Modified` where nothing else gives it (RFC 9111 4.2.2).";

static const struct field freshness_fields[] = {
    {.key = "ttl", .kind = FIELD_DURATION, .offset = offsetof(struct config_freshness, ttl), .standard = "\"5m\"",
     .max = 365 * DAY, .sentence = ttl_sentence},
    {.key = "ttl_uncovered", .kind = FIELD_DURATION, .offset = offsetof(struct config_freshness, ttl_uncovered),
     .standard = "\"30s\"", .max = 365 * DAY, .sentence = uncovered_sentence},
    {.key = "stale_while_revalidate", .kind = FIELD_DURATION,
     .offset = offsetof(struct config_freshness, stale_while_revalidate), .standard = "\"30s\"", .max = 365 * DAY,
     .sentence = swr_sentence},
    {.key = "stale_if_error", .kind = FIELD_DURATION, .offset = offsetof(struct config_freshness, stale_if_error),
     .standard = "\"1h\"", .max = 365 * DAY, .sentence = sie_sentence},
    {.key = "negative_ttl", .kind = FIELD_DURATION, .offset = offsetof(struct config_freshness, negative_ttl),
     .standard = "\"5s\"", .max = 365 * DAY, .sentence = negative_sentence},
    {.key = "heuristic", .kind = FIELD_BOOL, .offset = offsetof(struct config_freshness, heuristic),
     .standard = "false", .sentence = heuristic_sentence},
    {0},
};

/* Whoever shortens ttl does not expect answers without webhooks to live longer. */
static void limit_uncovered(json_t *given, struct config_freshness *freshness)
{
    const bool only_ttl = json_object_get(given, "ttl") && !json_object_get(given, "ttl_uncovered");
    if (only_ttl && freshness->ttl_uncovered > freshness->ttl)
        freshness->ttl_uncovered = freshness->ttl;
}

static void finish_freshness(json_t *given, void *object)
{
    limit_uncovered(given, object);
}

static void finish_rule(json_t *given, void *item)
{
    struct config_rule *rule = item;
    limit_uncovered(given, &rule->freshness);
}

static void prepare_rule(const struct config *config, void *item)
{
    struct config_rule *rule = item;
    rule->freshness = config->cache.defaults;
}

/* --- items of lists ------------------------------------------------------------------------------------------ */

static const struct field upstream_fields[] = {
    {.key = "url", .kind = FIELD_URL, .offset = offsetof(struct config_upstream, url), .required = true,
     .sentence = "Base URL of the API, without a query; Rollout's end in `/api`."},
    {.key = "ca", .kind = FIELD_TEXT, .offset = offsetof(struct config_upstream, ca), .cstr = true,
     .sentence = "PEM file with the CAs that vouch for an https URL, in place of the system's."},
    {0},
};

static const char *const directives[] = {
    "private", "no-cache", "must-revalidate", "proxy-revalidate", "max-age", "s-maxage", "expires", NULL,
};

static const struct field rule_fields[] = {
    {.key = "api", .kind = FIELD_TEXT, .offset = offsetof(struct config_rule, api), .required = true, .max = 64,
     .alphabet = "._-", .sentence = "A name under `upstreams`."},
    {.key = "entity", .kind = FIELD_TEXT, .offset = offsetof(struct config_rule, entity), .max = 64, .alphabet = "_-",
     .inherits = "the whole api", .sentence = "First path segment (`people`), compared without case and hyphens."},
    {.key = "ttl", .kind = FIELD_DURATION, .offset = offsetof(struct config_rule, freshness.ttl), .max = 365 * DAY,
     .inherits = "`cache.default`", .sentence = ttl_sentence},
    {.key = "ttl_uncovered", .kind = FIELD_DURATION, .offset = offsetof(struct config_rule, freshness.ttl_uncovered),
     .max = 365 * DAY, .inherits = "`cache.default`", .sentence = uncovered_sentence},
    {.key = "stale_while_revalidate", .kind = FIELD_DURATION,
     .offset = offsetof(struct config_rule, freshness.stale_while_revalidate), .max = 365 * DAY,
     .inherits = "`cache.default`", .sentence = swr_sentence},
    {.key = "stale_if_error", .kind = FIELD_DURATION, .offset = offsetof(struct config_rule, freshness.stale_if_error),
     .max = 365 * DAY, .inherits = "`cache.default`", .sentence = sie_sentence},
    {.key = "negative_ttl", .kind = FIELD_DURATION, .offset = offsetof(struct config_rule, freshness.negative_ttl),
     .max = 365 * DAY, .inherits = "`cache.default`", .sentence = negative_sentence},
    {.key = "heuristic", .kind = FIELD_BOOL, .offset = offsetof(struct config_rule, freshness.heuristic),
     .inherits = "`cache.default`", .sentence = heuristic_sentence},
    {.key = "override", .kind = FIELD_NAMES, .offset = offsetof(struct config_rule, override),
     .count_offset = offsetof(struct config_rule, override_count), .choices = directives,
     .sentence = "Directives of upstream to overlook. `no-store` is always obeyed."},
    {0},
};

static const struct field dependency_fields[] = {
    {.key = "api", .kind = FIELD_TEXT, .offset = offsetof(struct config_dependency, api), .max = 64, .alphabet = "._-",
     .inherits = "every api", .sentence = "A name under `upstreams`."},
    {.key = "event", .kind = FIELD_TEXT, .offset = offsetof(struct config_dependency, event), .required = true, .max = 64,
     .alphabet = "_-*", .sentence = "Events (`notesCreated`); `*` stands for any run of characters."},
    {.key = "stale", .kind = FIELD_NAMES, .offset = offsetof(struct config_dependency, stale), .required = true,
     .count_offset = offsetof(struct config_dependency, stale_count), .min = 1, .max = 8, .alphabet = "_-",
     .sentence = "The entities that such an event makes stale beside its own."},
    {0},
};

static const struct field subscriber_fields[] = {
    {.key = "name", .kind = FIELD_TEXT, .offset = offsetof(struct config_subscriber, name), .required = true, .max = 64,
     .alphabet = "._-", .sentence = "Its name in logs and in the outbox; it must stay the same."},
    {.key = "url", .kind = FIELD_URL, .offset = offsetof(struct config_subscriber, url), .required = true, .query = true,
     .sentence = "Where events are posted."},
    {.key = "events", .kind = FIELD_NAMES, .offset = offsetof(struct config_subscriber, events),
     .count_offset = offsetof(struct config_subscriber, event_count), .standard = "[\"*\"]", .min = 1, .max = 256,
     .alphabet = "_-*", .sentence = "Which events; `*` stands for any run of characters."},
    {.key = "tenants", .kind = FIELD_NAMES, .offset = offsetof(struct config_subscriber, tenants),
     .count_offset = offsetof(struct config_subscriber, tenant_count), .max = 4096, .alphabet = "._:@-",
     .inherits = "every tenant", .sentence = "Whose events."},
    {.key = "secret", .kind = FIELD_SECRET, .offset = offsetof(struct config_subscriber, secret), .required = true,
     .fields = secret_fields, .sentence = "What events are signed with (Standard Webhooks 1.0)."},
    {0},
};

/* --- groups -------------------------------------------------------------------------------------------------- */

static const struct field listen_fields[] = {
    {.key = "data", .kind = FIELD_LISTENER, .offset = offsetof(struct config, listen.data), .fields = listener_fields,
     .standard = "\"127.0.0.1:8080\"", .restart = true, .sentence = "For internal services."},
    {.key = "webhooks", .kind = FIELD_LISTENER, .offset = offsetof(struct config, listen.webhooks),
     .fields = listener_fields, .standard = "\"127.0.0.1:8081\"", .restart = true,
     .sentence = "For Rollout, through your public ingress."},
    {.key = "admin", .kind = FIELD_LISTENER, .offset = offsetof(struct config, listen.admin),
     .fields = admin_listener_fields, .standard = "\"127.0.0.1:9901\"", .restart = true,
     .sentence = "For operators, Prometheus and the command line."},
    {0},
};

static const struct field rollout_fields[] = {
    {.key = "client_id", .kind = FIELD_TEXT, .offset = offsetof(struct config, rollout.client_id), .max = 256,
     .sentence = "The client id that Rollout gave you. Needed, except with `--sandbox`."},
    {.key = "client_secret", .kind = FIELD_SECRET, .offset = offsetof(struct config, rollout.client_secret),
     .fields = secret_fields, .sentence = "The client secret. Needed, except with `--sandbox`."},
    {.key = "token_ttl", .kind = FIELD_DURATION, .offset = offsetof(struct config, rollout.token_ttl_ms),
     .standard = "\"15m\"", .min = SECOND, .max = DAY, .sentence = "Lifetime of a minted token."},
    {0},
};

static const struct field cache_fields[] = {
    {.key = "memory", .kind = FIELD_SIZE, .offset = offsetof(struct config, cache.memory), .standard = "\"256MiB\"",
     .min = MIB, .max = 16 * TIB, .sentence = "Hard budget of the cache in memory, overhead included."},
    {.key = "entry_max", .kind = FIELD_SIZE, .offset = offsetof(struct config, cache.entry_max), .standard = "\"1MiB\"",
     .min = KIB, .max = GIB, .sentence = "Largest answer that is kept, with its key and head."},
    {.key = "write_settle", .kind = FIELD_DURATION, .offset = offsetof(struct config, cache.write_settle_ms),
     .standard = "\"3s\"", .max = HOUR,
     .sentence = "For so long after a write, reads of that entity go upstream and are not kept."},
    {.key = "default", .kind = FIELD_OBJECT, .offset = offsetof(struct config, cache.defaults),
     .fields = freshness_fields, .finish = finish_freshness, .sentence = "Freshness where no rule says otherwise."},
    {.key = "rules", .kind = FIELD_LIST, .offset = offsetof(struct config, cache.rules), .fields = rule_fields,
     .count_offset = offsetof(struct config, cache.rule_count), .size = sizeof(struct config_rule), .max = 1024,
     .prepare = prepare_rule, .finish = finish_rule,
     .sentence = "Freshness by api and entity; what a rule leaves out is `cache.default`'s."},
    {.key = "dependencies", .kind = FIELD_LIST, .offset = offsetof(struct config, cache.dependencies),
     .fields = dependency_fields, .count_offset = offsetof(struct config, cache.dependency_count),
     .size = sizeof(struct config_dependency), .max = 1024,
     .sentence = "What an event makes stale beside its own entity."},
    {0},
};

static const struct field limits_fields[] = {
    {.key = "tenant", .kind = FIELD_OBJECT, .offset = offsetof(struct config, limits.tenant), .fields = limit_fields,
     .standard = "{\"rate\":\"50/s\",\"burst\":50,\"concurrency\":32}",
     .sentence = "For each tenant; Rollout documents about 50 requests a second."},
    {.key = "credential", .kind = FIELD_OBJECT, .offset = offsetof(struct config, limits.credential),
     .fields = limit_fields, .sentence = "For each credential."},
    {.key = "service", .kind = FIELD_OBJECT, .offset = offsetof(struct config, limits.service), .fields = limit_fields,
     .sentence = "For each calling service."},
    {.key = "client", .kind = FIELD_OBJECT, .offset = offsetof(struct config, limits.client), .fields = limit_fields,
     .sentence = "For the whole client id."},
    {0},
};

static const struct field timeout_fields[] = {
    {.key = "connect", .kind = FIELD_DURATION, .offset = offsetof(struct config, timeouts.connect),
     .standard = "\"3s\"", .min = 1, .max = DAY, .sentence = "Until a connection upstream stands, TLS included."},
    {.key = "first_byte", .kind = FIELD_DURATION, .offset = offsetof(struct config, timeouts.first_byte),
     .standard = "\"30s\"", .min = 1, .max = DAY, .sentence = "Until an answer begins."},
    {.key = "idle", .kind = FIELD_DURATION, .offset = offsetof(struct config, timeouts.idle), .standard = "\"30s\"",
     .min = 1, .max = DAY, .sentence = "Longest pause inside a body, in either direction."},
    {.key = "total", .kind = FIELD_DURATION, .offset = offsetof(struct config, timeouts.total), .standard = "\"120s\"",
     .min = 1, .max = DAY, .sentence = "The whole exchange with Rollout."},
    {.key = "client_header", .kind = FIELD_DURATION, .offset = offsetof(struct config, timeouts.client_header),
     .standard = "\"10s\"", .min = 1, .max = DAY, .sentence = "Until a client's request head is complete."},
    {.key = "client_idle", .kind = FIELD_DURATION, .offset = offsetof(struct config, timeouts.client_idle),
     .standard = "\"75s\"", .min = 1, .max = DAY, .sentence = "How long a client's connection is kept between requests."},
    {.key = "drain", .kind = FIELD_DURATION, .offset = offsetof(struct config, timeouts.drain), .standard = "\"30s\"",
     .max = DAY, .sentence = "How long SIGTERM lets running requests finish."},
    {0},
};

static const struct field size_fields[] = {
    {.key = "request_head", .kind = FIELD_SIZE, .offset = offsetof(struct config, sizes.request_head),
     .standard = "\"32KiB\"", .min = KIB, .max = MIB, .sentence = "Largest request head; over it 431."},
    {.key = "request_body", .kind = FIELD_SIZE, .offset = offsetof(struct config, sizes.request_body),
     .standard = "\"10MiB\"", .min = 1, .max = TIB, .sentence = "Largest request body; over it 413."},
    {.key = "webhook_body", .kind = FIELD_SIZE, .offset = offsetof(struct config, sizes.webhook_body),
     .standard = "\"1MiB\"", .min = KIB, .max = 64 * MIB, .sentence = "Largest webhook; over it 413."},
    {0},
};

static const char *const signatures[] = {
    "auto", "base64-body-hex", "base64-body-base64", "body-hex", "body-base64", NULL,
};

static const struct field webhook_fields[] = {
    {.key = "public_url", .kind = FIELD_URL, .offset = offsetof(struct config, webhooks.public_url), .cstr = true,
     .sentence = "How Rollout reaches the webhooks listener; set, the gateway subscribes itself."},
    {.key = "signature", .kind = FIELD_CHOICE, .offset = offsetof(struct config, webhooks.signature), .as_text = true,
     .choices = signatures, .standard = "\"auto\"",
     .sentence = "What `X-Rollout-Signature` is made over and how it is written; `auto` accepts each."},
    {.key = "coverage", .kind = FIELD_DURATION, .offset = offsetof(struct config, webhooks.coverage_ms),
     .standard = "\"24h\"", .min = SECOND, .max = 365 * DAY,
     .sentence = "A credential counts as covered when an event of its own came within this time."},
    {.key = "subscribers", .kind = FIELD_LIST, .offset = offsetof(struct config, webhooks.subscribers),
     .fields = subscriber_fields, .count_offset = offsetof(struct config, webhooks.subscriber_count),
     .size = sizeof(struct config_subscriber), .max = 256, .sentence = "Your services that get each verified event."},
    {0},
};

static const struct field admin_fields[] = {
    {.key = "token", .kind = FIELD_SECRET, .offset = offsetof(struct config, admin.token), .fields = secret_fields,
     .sentence = "What operators send as `Authorization: Bearer`; without it nothing is asked for."},
    {0},
};

static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const formats[] = {"json", "text", NULL};
_Static_assert(LOG_DEBUG == 0 && LOG_INFO == 1 && LOG_WARN == 2 && LOG_ERROR == 3, "the order of levels[]");
_Static_assert(LOG_FORMAT_JSON == 0 && LOG_FORMAT_TEXT == 1, "the order of formats[]");

static const struct field log_fields[] = {
    {.key = "level", .kind = FIELD_CHOICE, .offset = offsetof(struct config, log.level), .choices = levels,
     .standard = "\"info\"", .sentence = "The least important lines that are written."},
    {.key = "format", .kind = FIELD_CHOICE, .offset = offsetof(struct config, log.format), .choices = formats,
     .standard = "\"json\"", .sentence = "`json` for programs, `text` for people."},
    {.key = "access", .kind = FIELD_BOOL, .offset = offsetof(struct config, log.access), .standard = "true",
     .sentence = "One line for each request."},
    {0},
};

static const struct field cluster_fields[] = {
    {.key = "redis_url", .kind = FIELD_REDIS, .offset = offsetof(struct config, cluster.redis_url), .cstr = true,
     .restart = true, .sentence = "Redis through which several gateways act as one."},
    {0},
};

static const char upstreams_standard[] =
    "{\"core\":{\"url\":\"https://universal.rollout.com/api\"},"
    "\"crm\":{\"url\":\"https://crm.universal.rollout.com/api\"},"
    "\"tms\":{\"url\":\"https://tms.universal.rollout.com/api\"},"
    "\"los\":{\"url\":\"https://los.universal.rollout.com/api\"},"
    "\"mortgage-crm\":{\"url\":\"https://mortgage-crm.universal.rollout.com/api\"},"
    "\"email\":{\"url\":\"https://email.universal.rollout.com/api\"},"
    "\"calendar\":{\"url\":\"https://calendar.universal.rollout.com/api\"}}";

const struct field config_table[] = {
    {.key = "listen", .kind = FIELD_OBJECT, .fields = listen_fields, .sentence = "Where the gateway listens."},
    {.key = "allow_anonymous", .kind = FIELD_BOOL, .offset = offsetof(struct config, allow_anonymous),
     .standard = "false",
     .sentence = "Lets other machines reach the data and admin listeners without saying who they are."},
    {.key = "workers", .kind = FIELD_WORKERS, .offset = offsetof(struct config, workers), .standard = "0", .max = 1024,
     .restart = true, .sentence = "Event loops; 0: one for each core."},
    {.key = "data_dir", .kind = FIELD_TEXT, .offset = offsetof(struct config, data_dir), .cstr = true,
     .standard = "\"/var/lib/rollout-gateway\"", .restart = true, .sentence = "Where the gateway keeps its stores."},
    {.key = "rollout", .kind = FIELD_OBJECT, .fields = rollout_fields, .sentence = "Your account at Rollout."},
    {.key = "upstreams", .kind = FIELD_MAP, .offset = offsetof(struct config, upstreams), .fields = upstream_fields,
     .count_offset = offsetof(struct config, upstream_count), .size = sizeof(struct config_upstream), .min = 1,
     .max = 64, .alphabet = "._-", .standard = upstreams_standard,
     .sentence = "The APIs by their name in paths. Given, it replaces the default as a whole: nothing else is served."},
    {.key = "cache", .kind = FIELD_OBJECT, .fields = cache_fields, .sentence = "What is kept, and for how long."},
    {.key = "limits", .kind = FIELD_OBJECT, .fields = limits_fields, .sentence = "How much may go upstream."},
    {.key = "timeouts", .kind = FIELD_OBJECT, .fields = timeout_fields, .sentence = "How long is waited for what."},
    {.key = "sizes", .kind = FIELD_OBJECT, .fields = size_fields, .sentence = "How large requests may be."},
    {.key = "webhooks", .kind = FIELD_OBJECT, .fields = webhook_fields, .sentence = "Events of Rollout."},
    {.key = "admin", .kind = FIELD_OBJECT, .fields = admin_fields, .sentence = "The operators' listener."},
    {.key = "log", .kind = FIELD_OBJECT, .fields = log_fields, .sentence = "What is written to stderr."},
    {.key = "cluster", .kind = FIELD_OBJECT, .fields = cluster_fields, .sentence = "More than one machine."},
    {0},
};

const struct field *table_find(const struct field *fields, struct slice key)
{
    for (; fields->key; fields++)
        if (slice_equal(key, slice_from(fields->key)))
            return fields;
    return NULL;
}
