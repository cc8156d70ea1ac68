/* From the configuration to what each room wants to hear. */
#ifndef ASSEMBLE_H
#define ASSEMBLE_H

#include "cache/cache.h"
#include "config/config.h"
#include "limit/limit.h"
#include "link/link.h"
#include "pipeline/pipeline.h"
#include "server/server.h"
#include "token/token.h"
#include "upstream/upstream.h"
#include "webhook/relay.h"
#include "webhook/subscribe.h"
#include "webhook/webhook.h"

struct cache_options assemble_cache(const struct config *config);
/* The file of the cache's copy on disk: 0 for none; four times its memory, at most 16 GiB, where nothing is
 * said. */
size_t assemble_warm_size(const struct config *config);
struct upstream_options assemble_upstream(const struct config *config);
struct server_options assemble_data(const struct config *config);
struct server_options assemble_webhooks(const struct config *config);
struct server_options assemble_admin(const struct config *config);
/* Reads the listeners' certificates now; NULL where a listener is plain. The fault names the field
 * ("listen.data.cert: …"). */
int assemble_tls(const struct config *config, struct server_tls **data, struct server_tls **webhooks,
                 struct fault *fault) MUST_CHECK;
struct limit_options assemble_limit(const struct config *config);
struct token_options assemble_token(const struct config *config, struct slice secret);
/* Reads the subscribers' secrets now. The fault names the field. */
int assemble_audience(const struct config *config, struct audience **out, struct fault *fault) MUST_CHECK;
struct outbox_bounds assemble_outbox(const struct config *config);
struct relay_settings assemble_relay(const struct config *config);
/* What is subscribed to. The fault names the field. */
int assemble_plan(const struct config *config, struct event_plan **out, struct fault *fault) MUST_CHECK;
struct subscribe_options assemble_subscribe(const struct config *config, struct event_plan *plan);
/* A new settings object for one worker. */
int assemble_pipeline(const struct config *config, struct event_plan *plan, struct pipeline_settings **out,
                      struct fault *fault) MUST_CHECK;
/* Calls use with options that live for the call. Returns what it returns. `previous`: empty for none. */
int assemble_webhook(const struct config *config, struct slice secret, struct slice previous, int first_table,
                     int (*use)(const struct webhook_options *options, void *arg), void *arg);
/* Likewise. */
int assemble_link(const struct config *config, int (*use)(const struct link_options *options, void *arg),
                  void *arg);

#endif
