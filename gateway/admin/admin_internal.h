/* Shapes that the files of this room share. */
#ifndef ADMIN_INTERNAL_H
#define ADMIN_INTERNAL_H

#include "admin/admin.h"
#include "credential/credential.h"
#include "http/json.h"

enum { ADMIN_SEGMENTS = 8, ADMIN_BODY_MAX = 1024 * 1024, ADMIN_ANSWER_MAX = 64 * 1024 * 1024 };

struct admin {
    struct admin_options options;
    struct buf token;
    struct store_view *view;
};

/* A request, taken apart. In the exchange's arena. */
struct admin_request {
    struct admin *admin;
    struct server_exchange *x;
    struct slice segments[ADMIN_SEGMENTS]; /* decoded */
    size_t segment_count;
    struct slice query;
    void (*on_body)(struct admin_request *r, json_t *body); /* the body is freed after the call */
    struct slice tenant, credential_id;                     /* of a mapping path */
    struct admin_job *job;                                  /* a store change under way */
    struct admin_search *search;                            /* likewise, a look at Rollout */
    struct admin_key_job *key_job;                          /* likewise, of a key */
    struct admin_replay *replay;                            /* likewise, of a dead letter */
};

/* admin.c */
void admin_reply_json(struct admin_request *r, int status, json_t *value); /* takes the value over */
/* Gathers and parses the body, then calls on_body; answers 400 itself. An empty body is NULL when optional.
 */
void admin_take_body(struct admin_request *r, bool optional,
                     void (*on_body)(struct admin_request *r, json_t *body));
/* A decoded query parameter; false when absent or malformed. */
bool admin_query(struct admin_request *r, const char *name, struct slice *value);

/* mapping.c: /v1/tenants… */
void admin_list_tenants(struct admin_request *r);
void admin_list_credentials(struct admin_request *r);
void admin_get_credential(struct admin_request *r);
void admin_put_credential(struct admin_request *r);
void admin_delete_credential(struct admin_request *r);
void admin_job_orphan(struct admin_job *job);
/* The tenant's credentials as an array, or NULL: answered. */
json_t *admin_credentials_json(struct admin_request *r, struct slice tenant);
/* ?prefix=&cursor=&limit=; false: answered 400. */
bool admin_read_page(struct admin_request *r, struct credential_page *page);
json_t *admin_json_text(struct slice s);
/* RFC 3339, whole seconds. */
json_t *admin_json_time(int64_t ms);

/* discover.c */
void admin_discover(struct admin_request *r);
void admin_search_orphan(struct admin_search *search);

/* keys.c: /v1/keys… */
void admin_list_keys(struct admin_request *r);
void admin_create_key(struct admin_request *r);
void admin_revoke_key(struct admin_request *r);
void admin_key_job_orphan(struct admin_key_job *job);

/* purge.c */
void admin_purge(struct admin_request *r);

/* state.c */
void admin_status(struct admin_request *r);
void admin_cache(struct admin_request *r);
void admin_config(struct admin_request *r);
struct pipeline_stats admin_pipeline_stats(const struct admin *admin);
struct upstream_stats admin_upstream_stats(const struct admin *admin);
enum { ADMIN_HOSTS_MAX = 64 };
/* Hosts upstream, ADMIN_HOSTS_MAX of them at most; returns how many. */
size_t admin_hosts(const struct admin *admin, struct upstream_host_stats *out);
struct webhook_stats admin_webhook_stats(const struct admin *admin);
json_t *admin_json_received(const struct admin *admin);

/* webhooks.c: /v1/webhooks… */
/* What the gateway did about its subscriptions, and how many are covered. */
json_t *admin_json_subscriptions(const struct admin *admin);
void admin_webhooks(struct admin_request *r);
void admin_sync_webhooks(struct admin_request *r);

/* limits.c */
void admin_limits(struct admin_request *r);

/* relay.c: /v1/relay… */
/* Members for /v1/webhooks; NULL: the outbox cannot be read. */
json_t *admin_json_relay(const struct admin *admin);
void admin_list_dead(struct admin_request *r);
void admin_replay_dead(struct admin_request *r);
void admin_replay_orphan(struct admin_replay *replay);

/* metrics.c */
void admin_metrics(struct admin_request *r);

/* explain.c */
void admin_explain(struct admin_request *r);

/* dashboard.c */
void admin_dashboard(struct admin_request *r);

#endif
