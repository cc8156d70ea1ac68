#include "worker.h"

#include <stdlib.h>
#include <unistd.h>

#include "assemble.h"
#include "process.h"

enum { STOP_LOOK_MS = 20 };

/* --- building
 * ------------------------------------------------------------------------------------------------------ */

struct making {
    struct worker *worker;
    const struct rooms *rooms;
};

static int make_webhook(const struct webhook_options *options, void *arg)
{
    struct making *making = arg;
    making->worker->webhook =
        webhook_create(making->worker->loop, making->rooms->outbox, making->rooms->cache, options);
    return making->worker->webhook ? 0 : ERR_NOMEM;
}

static int make_link(const struct link_options *options, void *arg)
{
    struct making *making = arg;
    struct worker *worker = making->worker;
    struct rollout_door door = pipeline_door(worker->pipeline);
    worker->link = link_create(worker->loop, making->rooms->link_shared, &door, options);
    return worker->link ? 0 : ERR_NOMEM;
}

/* What the pipeline hands over. */
static void on_link(void *owner, struct server_exchange *x, struct slice tenant, struct slice path,
                    struct slice caller)
{
    link_serve(((struct worker *)owner)->link, x, tenant, path, caller);
}

static bool on_preflight(void *owner, struct server_exchange *x)
{
    return link_preflight(((struct worker *)owner)->link, x);
}

static void on_events(void *owner, struct server_exchange *x, struct slice tenant)
{
    webhook_stream_open(((struct worker *)owner)->webhook, x, tenant);
}

static bool on_admit(void *owner, const struct server_exchange *x, struct slice tenant)
{
    return pipeline_admits(owner, x, tenant);
}

static int build(struct worker *worker, const struct rooms *rooms, const struct generation *generation,
                 struct fault *fault)
{
    const struct config *config = generation->config;
    struct upstream_options upstream = assemble_upstream(config);
    struct pipeline_settings *settings;
    worker->loop = loop_create();
    worker->upstream = worker->loop ? upstream_create(worker->loop, &upstream) : NULL;
    if (!worker->upstream)
        return fault_set(fault, ERR_NOMEM, "a worker could not be made: out of memory or descriptors");
    int error = assemble_pipeline(config, generation->plan, &settings, fault);
    if (error)
        return error;
    worker->pipeline = pipeline_create(worker->loop, rooms->shared, worker->upstream, settings);
    if (!worker->pipeline) {
        pipeline_settings_release(settings);
        return fault_set(fault, ERR_NOMEM, "a worker could not be made: out of memory");
    }
    struct making making = {worker, rooms};
    error =
        assemble_webhook(config, buf_slice(&generation->client_secret),
                         buf_slice(&generation->previous_secret), ROOMS_WEBHOOK_TABLE, make_webhook, &making);
    if (!error)
        error = assemble_link(config, make_link, &making);
    return error ? fault_set(fault, error, "a worker could not be made: %s", error_text(error)) : 0;
}

static void on_ready(void *owner, struct slice credential_id)
{
    pipeline_ready(owner, credential_id);
}

int worker_init(struct worker *worker, const struct rooms *rooms, const struct generation *generation,
                int data_fd, int webhooks_fd, struct fault *fault)
{
    memset(worker, 0, sizeof *worker);
    int error = build(worker, rooms, generation, fault);
    if (error) {
        if (data_fd >= 0)
            close(data_fd);
        if (webhooks_fd >= 0)
            close(webhooks_fd);
        return error;
    }
    struct server_options data = assemble_data(generation->config);
    struct server_options webhooks = assemble_webhooks(generation->config);
    data.tls = generation->data_tls;
    webhooks.tls = generation->webhooks_tls;
    struct server_handler on_data = pipeline_handler(worker->pipeline);
    struct server_handler on_webhook = webhook_handler(worker->webhook);
    webhook_on_ready(worker->webhook, rooms->shared, on_ready);
    webhook_on_admit(worker->webhook, worker->pipeline, on_admit);
    worker->data = server_open(worker->loop, data_fd, &data, &on_data);
    worker->webhooks = server_open(worker->loop, webhooks_fd, &webhooks, &on_webhook);
    if (!worker->data || !worker->webhooks)
        return fault_set(fault, ERR_NOMEM, "a listener could not be made: out of memory");
    const struct pipeline_hooks hooks = {.owner = worker,
                                         .on_link = on_link,
                                         .on_events = on_events,
                                         .on_preflight = on_preflight,
                                         .finder = link_finder(worker->link)};
    pipeline_attach(worker->pipeline, worker->data);
    pipeline_serve(worker->pipeline, &hooks);
    return 0;
}

int worker_subscribe(struct worker *worker, const struct rooms *rooms, const struct generation *generation)
{
    struct rollout_door door = pipeline_door(worker->pipeline);
    struct subscribe_options options = assemble_subscribe(generation->config, generation->plan);
    worker->subscribe = subscribe_create(worker->loop, rooms->store, rooms->cache, &door, &options);
    return worker->subscribe ? 0 : ERR_NOMEM;
}

void worker_deinit(struct worker *worker)
{
    subscribe_destroy(worker->subscribe);
    pipeline_destroy(worker->pipeline);
    webhook_destroy(worker->webhook);
    link_destroy(worker->link);
    if (worker->loop)
        loop_destroy(worker->loop);
}

/* --- reload
 * -------------------------------------------------------------------------------------------------------- */

struct update {
    struct loop_task task;
    struct worker *worker;
    struct generation *generation; /* retained */
    struct pipeline_settings *settings;
};

static int use_webhook(const struct webhook_options *options, void *arg)
{
    return webhook_configure(arg, options);
}

static int use_link(const struct link_options *options, void *arg)
{
    return link_configure(arg, options);
}

static void run_update(struct loop_task *task)
{
    struct update *update = container_of(task, struct update, task);
    struct worker *worker = update->worker;
    const struct config *config = update->generation->config;
    struct upstream_options upstream = assemble_upstream(config);
    struct server_options data = assemble_data(config), webhooks = assemble_webhooks(config);
    data.tls = update->generation->data_tls;
    webhooks.tls = update->generation->webhooks_tls;
    pipeline_configure(worker->pipeline, update->settings);
    upstream_configure(worker->upstream, &upstream);
    server_configure(worker->data, &data);
    server_configure(worker->webhooks, &webhooks);
    if (assemble_webhook(config, buf_slice(&update->generation->client_secret),
                         buf_slice(&update->generation->previous_secret), ROOMS_WEBHOOK_TABLE, use_webhook,
                         worker->webhook))
        log_message(LOG_ERROR, "reload", "out of memory: the webhook receiver keeps its old configuration");
    if (assemble_link(config, use_link, worker->link))
        log_message(LOG_ERROR, "reload", "out of memory: Rollout Link keeps its old configuration");
    struct subscribe_options subscribe = assemble_subscribe(config, update->generation->plan);
    if (worker->subscribe && subscribe_configure(worker->subscribe, &subscribe))
        log_message(LOG_ERROR, "reload", "out of memory: subscriptions keep their old configuration");
    generation_release(update->generation);
    free(update);
}

bool worker_reload(struct worker *worker, struct generation *generation, struct pipeline_settings *settings)
{
    struct update *update = calloc(1, sizeof *update);
    if (!update) {
        pipeline_settings_release(settings);
        return false;
    }
    update->worker = worker;
    update->generation = generation;
    update->settings = settings;
    update->task.run = run_update;
    generation_retain(generation);
    loop_post(worker->loop, &update->task);
    return true;
}

/* --- stopping
 * ------------------------------------------------------------------------------------------------------ */

static void on_server_closed(void *arg)
{
    struct worker *worker = arg;
    if (--worker->closing > 0)
        return;
    pipeline_attach(worker->pipeline, NULL);
    pipeline_stop(worker->pipeline);
    worker->on_stopped(worker->owner, worker);
}

static void look(struct loop_timer *timer)
{
    struct worker *worker = container_of(timer, struct worker, timer);
    uint64_t now = loop_now(worker->loop);
    bool idle = server_connections(worker->data) == 0 && server_connections(worker->webhooks) == 0 &&
                pipeline_active(worker->pipeline) == 0;
    if (!idle && now < worker->deadline_ms) {
        loop_timer_set(worker->loop, timer, now + STOP_LOOK_MS, look);
        return;
    }
    worker->closing = 2;
    server_close(worker->data, on_server_closed, worker);
    server_close(worker->webhooks, on_server_closed, worker);
}

static void run_stop(struct loop_task *task)
{
    struct worker *worker = container_of(task, struct worker, stop_task);
    worker->deadline_ms += loop_now(worker->loop);
    if (worker->subscribe)
        subscribe_stop(worker->subscribe);
    server_drain(worker->data, worker->idle_ms);
    server_drain(worker->webhooks, worker->idle_ms);
    webhook_drain(worker->webhook);
    look(&worker->timer);
}

void worker_stop(struct worker *worker, uint64_t within_ms, uint64_t idle_ms, void *owner,
                 void (*on_stopped)(void *owner, struct worker *worker))
{
    worker->owner = owner;
    worker->on_stopped = on_stopped;
    worker->deadline_ms = within_ms;
    worker->idle_ms = idle_ms;
    worker->stop_task.run = run_stop;
    loop_post(worker->loop, &worker->stop_task);
}

static void on_upstream_closed(void *arg)
{
    struct worker *worker = arg;
    worker->on_closed(worker->owner, worker);
}

static void run_close(struct loop_task *task)
{
    struct worker *worker = container_of(task, struct worker, stop_task);
    upstream_close(worker->upstream, on_upstream_closed, worker);
}

void worker_close(struct worker *worker, void (*on_closed)(void *owner, struct worker *worker))
{
    worker->on_closed = on_closed;
    worker->stop_task.run = run_close;
    loop_post(worker->loop, &worker->stop_task);
}

/* --- the watchdog ----------------------------------------------------------------------------------------
 */

static void on_pulse(void *owner)
{
    (void)owner;
    process_notify("WATCHDOG=1");
}

int workers_watch(struct pulse *pulse, uint64_t every_ms, const struct worker *workers, unsigned count)
{
    if (every_ms == 0)
        return 0;
    struct loop **loops = calloc(count, sizeof *loops);
    if (!loops)
        return ERR_NOMEM;
    for (unsigned i = 0; i < count; i++)
        loops[i] = workers[i].loop;
    pulse->on_pulse = on_pulse;
    int error = pulse_start(pulse, loops[0], every_ms, loops, count);
    free(loops);
    return error;
}
