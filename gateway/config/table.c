/*
 * THE table: every key with its type, bounds, default, whether a reload may change it, and a sentence. The
 * parser, the defaults, the JSON Schema, the manual and the description of a running gateway are made from
 * it. A default is JSON text and is read by the same parser as the file.
 */
#include <stddef.h>

#include "config/config_internal.h"

#define KIB    (1ull << 10)
#define MIB    (1ull << 20)
#define GIB    (1ull << 30)
#define TIB    (1ull << 40)
#define SECOND 1000ull
#define HOUR   (3600 * SECOND)
#define DAY    (24 * HOUR)

/* --- groups ----------------------------------------------------------------------------------- */

static const struct field listen_fields[] = {
    {.key = "data",
     .kind = FIELD_LISTENER,
     .offset = offsetof(struct config, listen.data),
     .fields = table_listener,
     .standard = "\"127.0.0.1:8080\"",
     .restart = true,
     .sentence = "For internal services."},
    {.key = "webhooks",
     .kind = FIELD_LISTENER,
     .offset = offsetof(struct config, listen.webhooks),
     .fields = table_listener,
     .standard = "\"127.0.0.1:8081\"",
     .restart = true,
     .sentence = "For Rollout, through your public ingress."},
    {.key = "admin",
     .kind = FIELD_LISTENER,
     .offset = offsetof(struct config, listen.admin),
     .fields = table_admin_listener,
     .standard = "\"127.0.0.1:9901\"",
     .restart = true,
     .sentence = "For operators, Prometheus and the command line."},
    {0},
};

static const struct field rollout_fields[] = {
    {.key = "client_id",
     .kind = FIELD_TEXT,
     .offset = offsetof(struct config, rollout.client_id),
     .max = 256,
     .sentence = "The client id that Rollout gave you. Needed, except with `--sandbox`."},
    {.key = "client_secret",
     .kind = FIELD_SECRET,
     .offset = offsetof(struct config, rollout.client_secret),
     .fields = table_secret,
     .sentence = "The client secret. Needed, except with `--sandbox`."},
    {.key = "client_secret_previous",
     .kind = FIELD_SECRET,
     .offset = offsetof(struct config, rollout.client_secret_previous),
     .fields = table_secret,
     .sentence = "While the secret is rotated: webhooks signed with this one are accepted, too. Tokens are "
                 "only minted "
                 "with `client_secret`."},
    {.key = "token_ttl",
     .kind = FIELD_DURATION,
     .offset = offsetof(struct config, rollout.token_ttl_ms),
     .standard = "\"15m\"",
     .min = SECOND,
     .max = DAY,
     .sentence = "Lifetime of a minted token."},
    {0},
};

static void prepare_rule(const struct config *config, void *item)
{
    struct config_rule *rule = item;
    rule->freshness = config->cache.defaults;
}

static const struct field cache_fields[] = {
    {.key = "memory",
     .kind = FIELD_SIZE,
     .offset = offsetof(struct config, cache.memory),
     .standard = "\"256MiB\"",
     .min = MIB,
     .max = 16 * TIB,
     .sentence = "Hard budget of the cache in memory, overhead included."},
    {.key = "entry_max",
     .kind = FIELD_SIZE,
     .offset = offsetof(struct config, cache.entry_max),
     .standard = "\"1MiB\"",
     .min = KIB,
     .max = GIB,
     .sentence = "Largest answer that is kept, with its key and head."},
    {.key = "disk",
     .kind = FIELD_SIZE,
     .offset = offsetof(struct config, cache.disk),
     .inherits = "4 × `cache.memory`, at most 16GiB",
     .max = 16 * TIB,
     .restart = true,
     .sentence = "Size of the copy on disk, which a restart finds again, at least 1MiB; `0B`: none, and what "
                 "an earlier run left is deleted."},
    {.key = "write_settle",
     .kind = FIELD_DURATION,
     .offset = offsetof(struct config, cache.write_settle_ms),
     .standard = "\"3s\"",
     .max = HOUR,
     .sentence = "For so long after a write, reads of that entity go upstream and are not kept."},
    {.key = "default",
     .kind = FIELD_OBJECT,
     .offset = offsetof(struct config, cache.defaults),
     .fields = table_freshness,
     .finish = check_freshness,
     .sentence = "Freshness where no rule says otherwise."},
    {.key = "rules",
     .kind = FIELD_LIST,
     .offset = offsetof(struct config, cache.rules),
     .fields = table_rule,
     .count_offset = offsetof(struct config, cache.rule_count),
     .size = sizeof(struct config_rule),
     .max = 1024,
     .prepare = prepare_rule,
     .finish = check_rule_freshness,
     .sentence = "Freshness by api and entity; what a rule leaves out is `cache.default`'s."},
    {.key = "dependencies",
     .kind = FIELD_LIST,
     .offset = offsetof(struct config, cache.dependencies),
     .fields = table_dependency,
     .count_offset = offsetof(struct config, cache.dependency_count),
     .size = sizeof(struct config_dependency),
     .max = 1024,
     .sentence = "What an event makes stale beside its own entity."},
    {0},
};

static const struct field limits_fields[] = {
    {.key = "tenant",
     .kind = FIELD_OBJECT,
     .offset = offsetof(struct config, limits.tenant),
     .fields = table_limit,
     .finish = check_limit,
     .standard = "{\"rate\":\"50/s\",\"burst\":50,\"concurrency\":32}",
     .sentence = "For each tenant; Rollout documents about 50 requests a second."},
    {.key = "credential",
     .kind = FIELD_OBJECT,
     .offset = offsetof(struct config, limits.credential),
     .fields = table_limit,
     .finish = check_limit,
     .sentence = "For each credential."},
    {.key = "service",
     .kind = FIELD_OBJECT,
     .offset = offsetof(struct config, limits.service),
     .fields = table_limit,
     .finish = check_limit,
     .sentence = "For each calling service."},
    {.key = "client",
     .kind = FIELD_OBJECT,
     .offset = offsetof(struct config, limits.client),
     .fields = table_limit,
     .finish = check_limit,
     .sentence = "For the whole client id."},
    {0},
};

static const struct field timeout_fields[] = {
    {.key = "connect",
     .kind = FIELD_DURATION,
     .offset = offsetof(struct config, timeouts.connect),
     .standard = "\"3s\"",
     .min = 1,
     .max = DAY,
     .sentence = "Until a connection upstream stands, TLS included."},
    {.key = "first_byte",
     .kind = FIELD_DURATION,
     .offset = offsetof(struct config, timeouts.first_byte),
     .standard = "\"30s\"",
     .min = 1,
     .max = DAY,
     .sentence = "Until an answer begins."},
    {.key = "idle",
     .kind = FIELD_DURATION,
     .offset = offsetof(struct config, timeouts.idle),
     .standard = "\"30s\"",
     .min = 1,
     .max = DAY,
     .sentence = "Longest pause inside a body, in either direction."},
    {.key = "total",
     .kind = FIELD_DURATION,
     .offset = offsetof(struct config, timeouts.total),
     .standard = "\"120s\"",
     .min = 1,
     .max = DAY,
     .sentence = "The whole exchange with Rollout."},
    {.key = "client_header",
     .kind = FIELD_DURATION,
     .offset = offsetof(struct config, timeouts.client_header),
     .standard = "\"10s\"",
     .min = 1,
     .max = DAY,
     .sentence = "Until a client's request head is complete."},
    {.key = "client_idle",
     .kind = FIELD_DURATION,
     .offset = offsetof(struct config, timeouts.client_idle),
     .standard = "\"75s\"",
     .min = 1,
     .max = DAY,
     .sentence = "How long a client's connection is kept between requests."},
    {.key = "fanout",
     .kind = FIELD_DURATION,
     .offset = offsetof(struct config, timeouts.fanout),
     .standard = "\"15s\"",
     .min = 1,
     .max = DAY,
     .sentence =
         "Until one of several systems (X-Fanout) has answered: the others do not wait longer for it. "
         "A caller's own Prefer: wait takes its place."},
    {.key = "drain",
     .kind = FIELD_DURATION,
     .offset = offsetof(struct config, timeouts.drain),
     .standard = "\"30s\"",
     .max = DAY,
     .sentence = "How long SIGTERM lets running requests finish."},
    {0},
};

static const struct field size_fields[] = {
    {.key = "request_head",
     .kind = FIELD_SIZE,
     .offset = offsetof(struct config, sizes.request_head),
     .standard = "\"32KiB\"",
     .min = KIB,
     .max = MIB,
     .sentence = "Largest request head; over it 431."},
    {.key = "request_body",
     .kind = FIELD_SIZE,
     .offset = offsetof(struct config, sizes.request_body),
     .standard = "\"10MiB\"",
     .min = 1,
     .max = TIB,
     .sentence = "Largest request body; over it 413."},
    {.key = "webhook_body",
     .kind = FIELD_SIZE,
     .offset = offsetof(struct config, sizes.webhook_body),
     .standard = "\"1MiB\"",
     .min = KIB,
     .max = 64 * MIB,
     .sentence = "Largest webhook; over it 413."},
    {0},
};

static const char *const signatures[] = {
    "auto", "base64-body-hex", "base64-body-base64", "body-hex", "body-base64", NULL,
};

static const struct field outbox_fields[] = {
    {.key = "keep",
     .kind = FIELD_DURATION,
     .offset = offsetof(struct config, webhooks.outbox.keep_ms),
     .standard = "\"7d\"",
     .min = SECOND,
     .max = 365 * DAY,
     .sentence = "How long an event is kept for subscribers and streams."},
    {.key = "events",
     .kind = FIELD_COUNT,
     .offset = offsetof(struct config, webhooks.outbox.events),
     .standard = "1000000",
     .min = 1,
     .max = 1000000000,
     .sentence = "How many events are kept at most; the oldest go first."},
    {.key = "streams",
     .kind = FIELD_COUNT,
     .offset = offsetof(struct config, webhooks.outbox.streams),
     .standard = "1000",
     .max = 100000,
     .sentence = "How many event streams (`/events`) may be open at the same time."},
    {0},
};

static const struct field relay_fields[] = {
    {.key = "timeout",
     .kind = FIELD_DURATION,
     .offset = offsetof(struct config, webhooks.relay.timeout_ms),
     .standard = "\"15s\"",
     .min = 1,
     .max = HOUR,
     .sentence = "How long a subscriber may take to answer."},
    {.key = "give_up",
     .kind = FIELD_DURATION,
     .offset = offsetof(struct config, webhooks.relay.give_up_ms),
     .standard = "\"3d\"",
     .min = SECOND,
     .max = 365 * DAY,
     .sentence = "An event that a subscriber has not taken after this time becomes a dead letter."},
    {.key = "concurrency",
     .kind = FIELD_COUNT,
     .offset = offsetof(struct config, webhooks.relay.concurrency),
     .standard = "16",
     .min = 1,
     .max = 256,
     .sentence = "Deliveries to one subscriber at the same time, each of another credential."},
    {.key = "dead",
     .kind = FIELD_COUNT,
     .offset = offsetof(struct config, webhooks.relay.dead),
     .standard = "10000",
     .min = 1,
     .max = 10000000,
     .sentence = "How many dead letters are kept at most; the oldest go first."},
    {0},
};

static const struct field webhook_fields[] = {
    {.key = "public_url",
     .kind = FIELD_URL,
     .offset = offsetof(struct config, webhooks.public_url),
     .cstr = true,
     .sentence = "How Rollout reaches the webhooks listener; set, the gateway subscribes itself."},
    {.key = "signature",
     .kind = FIELD_CHOICE,
     .offset = offsetof(struct config, webhooks.signature),
     .as_text = true,
     .choices = signatures,
     .standard = "\"auto\"",
     .sentence = "What `X-Rollout-Signature` is made over and how it is written; `auto` accepts each."},
    {.key = "coverage",
     .kind = FIELD_DURATION,
     .offset = offsetof(struct config, webhooks.coverage_ms),
     .standard = "\"24h\"",
     .min = SECOND,
     .max = 365 * DAY,
     .sentence = "Without `public_url`: a credential counts as covered when an event of its own came within "
                 "this time."},
    {.key = "events",
     .kind = FIELD_LIST,
     .offset = offsetof(struct config, webhooks.events),
     .fields = table_event,
     .count_offset = offsetof(struct config, webhooks.event_count),
     .size = sizeof(struct config_event),
     .max = 256,
     .sentence =
         "What the gateway subscribes to; none: what ships. An entity counts as covered while each of "
         "its events here is subscribed to."},
    {.key = "sync_interval",
     .kind = FIELD_DURATION,
     .offset = offsetof(struct config, webhooks.sync_interval_ms),
     .standard = "\"1h\"",
     .min = SECOND,
     .max = 7 * DAY,
     .sentence = "How often the subscriptions of every credential are compared with what is wanted. "
                 "Credentials that were not read from for so long are looked at no more often than that."},
    {.key = "coverage_bound",
     .kind = FIELD_DURATION,
     .offset = offsetof(struct config, webhooks.coverage_bound_ms),
     .standard = "\"60s\"",
     .min = SECOND,
     .max = DAY,
     .sentence = "Within this time it is noticed that a credential in use has lost a subscription: one list "
                 "request for each credential and API in two thirds of it."},
    {.key = "canary",
     .kind = FIELD_RATE,
     .offset = offsetof(struct config, webhooks.canary),
     .standard = "\"1/m\"",
     .sentence = "How many hits are read again and compared, from spare allowance, to notice a feed that is "
                 "silent though subscribed to."},
    {.key = "subscribers",
     .kind = FIELD_LIST,
     .offset = offsetof(struct config, webhooks.subscribers),
     .fields = table_subscriber,
     .count_offset = offsetof(struct config, webhooks.subscriber_count),
     .size = sizeof(struct config_subscriber),
     .max = 256,
     .sentence = "Your services that get each verified event."},
    {.key = "outbox",
     .kind = FIELD_OBJECT,
     .fields = outbox_fields,
     .sentence = "Events on their way to subscribers and streams."},
    {.key = "relay",
     .kind = FIELD_OBJECT,
     .fields = relay_fields,
     .sentence = "How they are sent to subscribers."},
    {0},
};

static const struct field admin_fields[] = {
    {.key = "token",
     .kind = FIELD_SECRET,
     .offset = offsetof(struct config, admin.token),
     .fields = table_secret,
     .sentence = "What operators send as `Authorization: Bearer`; without it nothing is asked for."},
    {0},
};

static const struct field discovery_fields[] = {
    {.key = "enabled",
     .kind = FIELD_BOOL,
     .offset = offsetof(struct config, discovery.enabled),
     .standard = "true",
     .sentence = "Looks a tenant that nothing is mapped for up at Rollout (needs `core` under `upstreams`)."},
    {.key = "negative_ttl",
     .kind = FIELD_DURATION,
     .offset = offsetof(struct config, discovery.negative_ttl_ms),
     .standard = "\"30s\"",
     .min = SECOND,
     .max = HOUR,
     .sentence = "How long it is remembered that the look-up brought nothing."},
    {0},
};

static const struct field link_fields[] = {
    {.key = "allowed_origins",
     .kind = FIELD_NAMES,
     .offset = offsetof(struct config, link.allowed_origins),
     .count_offset = offsetof(struct config, link.allowed_origin_count),
     .max = 64,
     .sentence = "Origins of front ends whose pages may call `/link/…` (`https://app.example.com`), exactly "
                 "as browsers write them: CORS."},
    {0},
};

static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const formats[] = {"json", "text", NULL};
_Static_assert(LOG_DEBUG == 0 && LOG_INFO == 1 && LOG_WARN == 2 && LOG_ERROR == 3, "the order of levels[]");
_Static_assert(LOG_FORMAT_JSON == 0 && LOG_FORMAT_TEXT == 1, "the order of formats[]");

static const struct field log_fields[] = {
    {.key = "level",
     .kind = FIELD_CHOICE,
     .offset = offsetof(struct config, log.level),
     .choices = levels,
     .standard = "\"info\"",
     .sentence = "The least important lines that are written."},
    {.key = "format",
     .kind = FIELD_CHOICE,
     .offset = offsetof(struct config, log.format),
     .choices = formats,
     .standard = "\"json\"",
     .sentence = "`json` for programs, `text` for people."},
    {.key = "access",
     .kind = FIELD_BOOL,
     .offset = offsetof(struct config, log.access),
     .standard = "true",
     .sentence = "One line for each request."},
    {0},
};

static const struct field cluster_fields[] = {
    {.key = "redis_url",
     .kind = FIELD_REDIS,
     .offset = offsetof(struct config, cluster.redis_url),
     .cstr = true,
     .restart = true,
     .sentence = "Redis through which several gateways act as one. Not in force: this version runs alone, "
                 "and says so at start."},
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
    {.key = "listen",
     .kind = FIELD_OBJECT,
     .fields = listen_fields,
     .sentence = "Where the gateway listens."},
    {.key = "allow_anonymous",
     .kind = FIELD_BOOL,
     .offset = offsetof(struct config, allow_anonymous),
     .standard = "false",
     .sentence = "Lets other machines reach the data and admin listeners without saying who they are."},
    {.key = "workers",
     .kind = FIELD_WORKERS,
     .offset = offsetof(struct config, workers),
     .standard = "0",
     .max = 1024,
     .restart = true,
     .sentence = "Event loops; 0: one for each core."},
    {.key = "data_dir",
     .kind = FIELD_TEXT,
     .offset = offsetof(struct config, data_dir),
     .cstr = true,
     .standard = "\"/var/lib/rollout-gateway\"",
     .restart = true,
     .sentence = "Where the gateway keeps its stores."},
    {.key = "rollout",
     .kind = FIELD_OBJECT,
     .fields = rollout_fields,
     .sentence = "Your account at Rollout."},
    {.key = "upstreams",
     .kind = FIELD_MAP,
     .offset = offsetof(struct config, upstreams),
     .fields = table_upstream,
     .count_offset = offsetof(struct config, upstream_count),
     .size = sizeof(struct config_upstream),
     .min = 1,
     .max = 64,
     .alphabet = "._-",
     .segments = true,
     .standard = upstreams_standard,
     .sentence = "The APIs by their name in paths. Given, it replaces the default as a whole: nothing else "
                 "is served."},
    {.key = "connectors",
     .kind = FIELD_MAP,
     .offset = offsetof(struct config, connectors),
     .fields = table_connector,
     .count_offset = offsetof(struct config, connector_count),
     .size = sizeof(struct config_connector),
     .max = 256,
     .alphabet = "._-",
     .sentence = "Which APIs the accounts of a connected system serve, by its app key, where the shipped "
                 "table does not say it or says it otherwise."},
    {.key = "discovery",
     .kind = FIELD_OBJECT,
     .fields = discovery_fields,
     .sentence = "Finding the accounts of tenants at Rollout."},
    {.key = "link", .kind = FIELD_OBJECT, .fields = link_fields, .sentence = "The Rollout Link endpoints."},
    {.key = "cache",
     .kind = FIELD_OBJECT,
     .fields = cache_fields,
     .sentence = "What is kept, and for how long."},
    {.key = "limits", .kind = FIELD_OBJECT, .fields = limits_fields, .sentence = "How much may go upstream."},
    {.key = "timeouts",
     .kind = FIELD_OBJECT,
     .fields = timeout_fields,
     .sentence = "How long is waited for what."},
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
