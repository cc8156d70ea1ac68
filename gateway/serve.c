#include "serve.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "admin/admin.h"
#include "assemble.h"
#include "base/clock.h"
#include "base/pulse.h"
#include "callers.h"
#include "demo.h"
#include "handover.h"
#include "inherit.h"
#include "janitor.h"
#include "limit/limit.h"
#include "process.h"
#include "rooms.h"
#include "worker.h"

enum {
    WORKERS_MAX = INHERIT_WORKERS_MAX,
    HANDOVER_IDLE_MS = 2000, /* kept connections have it left for one more request, whose answer ends them */
};

struct gateway {
    const struct cli_serve *options;
    struct generation *generation;
    struct demo *demo; /* the stand-in of --sandbox, or NULL */
    struct rooms rooms;
    struct relay *relay;
    struct janitor janitor; /* from run() on */
    struct worker *workers;
    struct admin_worker *shown;
    unsigned worker_count; /* those with listeners; one more stands behind them, for what is in no hurry */
    unsigned stopped;
    struct admin *admin;
    struct server *admin_server;
    struct process_signals signals;
    struct loop_task all_stopped;
    bool draining, workers_stopped;
    bool relay_closing, relay_closed;
    bool refused;               /* at start, over what the configuration says */
    struct inheritance sockets; /* and what else came with us */
    struct handover_program program;
    struct handover handover;
    struct predecessor predecessor;
    struct pulse pulse;
    uint64_t watchdog_ms;
};

/* --- start
 * -------------------------------------------------------------------------------------------------------------
 */

static struct subscribe *subscriptions_of(const struct gateway *g)
{
    return g->workers[g->worker_count].subscribe;
}

static void on_deleted(void *owner)
{
    janitor_ask(&((struct gateway *)owner)->janitor);
}

static void on_changed(void *owner, struct slice tenant)
{
    struct subscribe *subscribe = subscriptions_of(owner);
    if (subscribe)
        subscribe_sync(subscribe, tenant);
}

static unsigned all_workers(const struct gateway *g)
{
    return g->worker_count + 1;
}

/* Whoever reads by a lease that nobody looks after tells the worker that does. */
static void on_watch(void *owner, struct slice tenant, struct slice credential_id, struct slice api)
{
    subscribe_want(owner, tenant, credential_id, api);
}

static int make_subscriptions(struct gateway *g, struct fault *fault)
{
    if (worker_subscribe(&g->workers[g->worker_count], &g->rooms, g->generation))
        return fault_set(fault, ERR_NOMEM, "out of memory at start");
    const struct pipeline_watcher watcher = {subscriptions_of(g), on_watch};
    for (unsigned i = 0; i < all_workers(g); i++)
        pipeline_watch(g->workers[i].pipeline, &watcher);
    return 0;
}

static int make_workers(struct gateway *g, struct fault *fault)
{
    g->workers = calloc(all_workers(g), sizeof *g->workers);
    g->shown = calloc(all_workers(g), sizeof *g->shown);
    if (!g->workers || !g->shown)
        return fault_set(fault, ERR_NOMEM, "out of memory at start");
    for (unsigned i = 0; i < all_workers(g); i++) {
        struct worker *worker = &g->workers[i];
        bool listens = i < g->worker_count;
        int error = worker_init(worker, &g->rooms, g->generation,
                                listens ? g->sockets.listeners[INHERIT_DATA].fds[i] : -1,
                                listens ? g->sockets.listeners[INHERIT_WEBHOOKS].fds[i] : -1, fault);
        if (error)
            return error;
        g->shown[i] = (struct admin_worker){worker->pipeline, worker->upstream, worker->webhook, worker->data,
                                            worker->loop};
    }
    return make_subscriptions(g, fault);
}

/* --- reload
 * ------------------------------------------------------------------------------------------------------------
 */

/* The command line's word counts, also after a reload. */
static enum log_format log_format_of(const struct cli_serve *options, enum log_format configured)
{
    if (!options->log_format)
        return configured;
    return strcmp(options->log_format, "text") == 0 ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON;
}

static int put_in_force(struct gateway *g, struct generation *next, struct fault *fault)
{
    struct pipeline_settings *settings[WORKERS_MAX + 1] = {NULL};
    struct token_options token = assemble_token(next->config, buf_slice(&next->client_secret));
    struct cache_options cache = assemble_cache(next->config);
    struct limit_options limit = assemble_limit(next->config);
    struct relay_settings relay = assemble_relay(next->config);
    int error = 0;
    for (unsigned i = 0; i < all_workers(g) && !error; i++)
        error = assemble_pipeline(next->config, next->plan, &settings[i], fault);
    if (!error)
        error = token_ring_configure(g->rooms.tokens, &token); /* tokens of the old secret are gone */
    if (error) {
        for (unsigned i = 0; i < all_workers(g); i++)
            pipeline_settings_release(settings[i]);
        return error;
    }
    limit_configure(g->rooms.limit, &limit); /* before the workers hear of it: they look who may go now */
    for (unsigned i = 0; i < all_workers(g); i++)
        if (!worker_reload(&g->workers[i], next, settings[i]))
            log_message(LOG_ERROR, "reload", "out of memory: a worker keeps its old configuration");
    rooms_configure_outbox(&g->rooms, next);
    if (relay_configure(g->relay, next->audience, &relay))
        log_message(LOG_ERROR, "reload", "out of memory: the relay keeps its old configuration");
    cache_configure(g->rooms.cache, &cache);
    log_setup(next->config->log.level, log_format_of(g->options, next->config->log.format));
    return admin_set_token(g->admin, buf_slice(&next->admin_token));
}

static int reload(void *owner, struct fault *fault)
{
    struct gateway *g = owner;
    int status;
    if (g->draining) { /* what has ended takes nothing any more */
        log_message(LOG_WARN, "reload-refused", "this process is ending");
        return fault_set(fault, ERR_CLOSED, "this process is ending");
    }
    process_notify_reloading();
    struct generation *next = generation_load(g->options->config, g->demo, &status, fault);
    int error = next ? 0 : ERR_INVALID;
    if (next && !config_reloadable(g->generation->config, next->config, fault))
        error = ERR_INVALID;
    if (!error)
        error = callers_check(next->config, &g->sockets, g->rooms.store, ROOMS_CALLER_TABLE, fault);
    if (!error)
        error = put_in_force(g, next, fault);
    process_notify("READY=1");
    if (error) {
        log_message(LOG_ERROR, "reload-refused", "the old configuration stays: %s", fault->text);
        generation_release(next);
        return error;
    }
    generation_release(g->generation);
    g->generation = next;
    log_message(LOG_INFO, "reloaded", "the new configuration is in force");
    return 0;
}

/* --- stop
 * --------------------------------------------------------------------------------------------------------------
 */

static int nothing(struct store_change *change, struct store_txn *txn)
{
    (void)change;
    (void)txn;
    return 0;
}

/* Everything is closed: what was acknowledged is committed, what was posted to the loops runs before they
 * stop. */
static void run_all_closed(struct loop_task *task)
{
    struct gateway *g = container_of(task, struct gateway, all_stopped);
    struct store_change last = {.apply = nothing};
    store_apply(g->rooms.store, &last);
    for (unsigned i = 0; i < all_workers(g); i++)
        loop_stop(g->workers[i].loop);
}

static void on_worker_closed(void *owner, struct worker *worker)
{
    struct gateway *g = owner;
    (void)worker;
    if (__atomic_sub_fetch(&g->stopped, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    g->all_stopped.run = run_all_closed;
    loop_post(g->workers[0].loop, &g->all_stopped);
}

/* The operator's listener, which shows what the workers have, is closed. */
static void close_workers(void *arg)
{
    struct gateway *g = arg;
    for (unsigned i = 0; i < all_workers(g); i++)
        worker_close(&g->workers[i], on_worker_closed);
}

static void on_relay_closed(void *arg)
{
    struct gateway *g = arg;
    g->relay_closed = true;
    if (g->workers_stopped)
        server_close(g->admin_server, close_workers, g);
}

static void close_relay(struct gateway *g)
{
    g->relay_closing = true;
    relay_close(g->relay, on_relay_closed, g);
}

static void run_all_stopped(struct loop_task *task)
{
    struct gateway *g = container_of(task, struct gateway, all_stopped);
    process_signals_close(&g->signals);
    predecessor_close(&g->predecessor);
    pulse_stop(&g->pulse);
    g->workers_stopped = true;
    if (!g->relay_closing)
        close_relay(g);
    else if (g->relay_closed)
        server_close(g->admin_server, close_workers, g);
}

static void on_worker_stopped(void *owner, struct worker *worker)
{
    struct gateway *g = owner;
    (void)worker;
    if (__atomic_add_fetch(&g->stopped, 1, __ATOMIC_ACQ_REL) < all_workers(g))
        return;
    g->all_stopped.run = run_all_stopped;
    loop_post(g->workers[0].loop, &g->all_stopped);
}

static void stop_workers(struct gateway *g, uint64_t idle_ms)
{
    g->draining = true;
    for (unsigned i = 0; i < all_workers(g); i++)
        worker_stop(&g->workers[i], g->generation->config->timeouts.drain, idle_ms, g, on_worker_stopped);
}

static void drain(void *owner)
{
    struct gateway *g = owner;
    if (g->draining)
        return;
    handover_cancel(&g->handover);
    process_notify("STOPPING=1");
    log_message(LOG_INFO, "draining", "no new connections; requests in flight are answered");
    stop_workers(g, 0);
}

static bool is_draining(void *owner)
{
    return ((struct gateway *)owner)->draining;
}

static struct event_plan *plan_of(void *owner)
{
    const struct generation *generation = ((struct gateway *)owner)->generation;
    return generation->config->webhooks.public_url ? generation->plan : NULL;
}

static int describe(void *owner, struct buf *out)
{
    return config_describe(((struct gateway *)owner)->generation->config, out);
}

/* --- handing over ----------------------------------------------------------------------------------------
 */

static void on_handover_end(void *owner, pid_t child, const char *why)
{
    struct gateway *g = owner;
    char state[32];
    if (why) {
        log_message(LOG_ERROR, "handover-failed", "%s; this process goes on", why);
        return;
    }
    snprintf(state, sizeof state, "MAINPID=%ld", (long)child);
    process_notify(state); /* from here on the service manager listens to the other process */
    pulse_stop(&g->pulse);
    log_message(LOG_INFO, "handed-over", "process %ld has the listeners; requests in flight are answered",
                (long)child);
    server_drain(g->admin_server, 0);
    close_relay(g); /* that of the other process is at it already */
    stop_workers(g, HANDOVER_IDLE_MS);
}

static void hand_over(struct gateway *g)
{
    struct fault fault = {""};
    g->sockets.generations = cache_share(g->rooms.cache);
    g->handover.owner = g;
    g->handover.on_end = on_handover_end;
    if (g->draining)
        fault_set(&fault, ERR_CLOSED, "this process is ending");
    else if (g->demo)
        fault_set(&fault, ERR_INVALID, "a sandbox ends with its process");
    else if (getpid() == 1)
        fault_set(&fault, ERR_INVALID, "this is process 1, with which the container ends");
    else if (handover_start(&g->handover, g->workers[0].loop, &g->program, &g->sockets, &fault) == 0)
        log_message(LOG_INFO, "handing-over", "process %ld was started", (long)g->handover.child);
    if (fault.text[0])
        log_message(LOG_ERROR, "handover-failed", "%s; this process goes on", fault.text);
}

/* What only one process can have is ours now. */
static void on_predecessor_gone(void *owner)
{
    struct gateway *g = owner;
    if (g->draining)
        return;
    rooms_open_warm(&g->rooms, g->generation->config);
    janitor_ask(&g->janitor);         /* what of it has to go */
    outbox_announce(g->rooms.outbox); /* what the other took in last */
    log_message(LOG_INFO, "handover-complete", "the old process has ended");
}

static void on_signal(void *owner, int number)
{
    struct gateway *g = owner;
    struct fault fault = {""};
    if (number == SIGHUP) {
        if (g->options->config || g->demo)
            reload(g, &fault);
        return;
    }
    if (number == SIGUSR2) {
        hand_over(g);
        return;
    }
    if (g->draining) {
        log_message(LOG_WARN, "stopped", "a second signal: ended without draining");
        log_flush();
        if (g->demo)
            demo_remove_data(g->demo);
        _exit(0);
    }
    drain(g);
}

/* --- the whole
 * ----------------------------------------------------------------------------------------------------------
 */

static int make_relay(struct gateway *g, struct fault *fault)
{
    struct relay_settings settings = assemble_relay(g->generation->config);
    g->relay = relay_create(g->workers[0].loop, g->rooms.outbox, g->generation->audience, &settings);
    return g->relay ? 0 : fault_set(fault, ERR_NOMEM, "the outbox cannot be read, or out of memory");
}

static int make_admin(struct gateway *g, struct fault *fault)
{
    struct admin_options options = {
        .loop = g->workers[0].loop,
        .store = g->rooms.store,
        .caller_table = ROOMS_CALLER_TABLE,
        .cache = g->rooms.cache,
        .tokens = g->rooms.tokens,
        .limit = g->rooms.limit,
        .link = g->workers[0].link,
        .link_shared = g->rooms.link_shared,
        .outbox = g->rooms.outbox,
        .relay = g->relay,
        .workers = g->shown,
        .worker_count = g->worker_count,
        .helper_count = 1,
        .subscribe = subscriptions_of(g),
        .hooks = {g, reload, drain, is_draining, describe, plan_of, on_deleted},
        .token = buf_slice(&g->generation->admin_token),
        .started_wall_ms = clock_wall_ms(),
    };
    struct server_options listener = assemble_admin(g->generation->config);
    g->admin = admin_create(&options);
    if (!g->admin)
        return fault_set(fault, ERR_NOMEM, "out of memory at start");
    struct server_handler handler = admin_handler(g->admin);
    g->admin_server =
        server_open(g->workers[0].loop, g->sockets.listeners[INHERIT_ADMIN].fds[0], &listener, &handler);
    if (!g->admin_server || process_signals_open(&g->signals, g->workers[0].loop, g, on_signal))
        return fault_set(fault, ERR_NOMEM, "out of memory or descriptors at start");
    return 0;
}

/* Who waits for nobody gives way to those that are waited for. */
enum { HELPER_NICE = 10 };

static void *run_worker(void *arg)
{
    struct worker *worker = arg;
    if (worker->subscribe)
        (void)setpriority(PRIO_PROCESS, (id_t)gettid(), HELPER_NICE);
    loop_run(worker->loop);
    return NULL;
}

static void log_ready(const struct gateway *g)
{
    struct log_line line;
    if (!log_begin(&line, LOG_INFO, "ready"))
        return;
    log_cstr(&line, "version", GATEWAY_VERSION);
    inherit_tell(&g->sockets, &line);
    log_int(&line, "pid", getpid());
    log_int(&line, "workers", g->worker_count);
    log_end(&line);
    log_flush();
}

static int start(struct gateway *g, struct fault *fault)
{
    const struct link_news news = {g, on_changed, on_deleted};
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned wanted = g->generation->config->workers;
    g->worker_count = wanted ? wanted : cores > 0 ? (unsigned)cores : 1;
    if (g->worker_count > WORKERS_MAX)
        g->worker_count = WORKERS_MAX;
    if (inherit_workers(&g->sockets, g->worker_count) > g->worker_count) {
        g->worker_count = inherit_workers(&g->sockets, g->worker_count);
        log_message(LOG_WARN, "workers", "%u, as many as sockets were inherited", g->worker_count);
    }
    int error = inherit_open(&g->sockets, g->generation->config, g->worker_count, fault);
    if (!error)
        error = rooms_open(&g->rooms, g->generation, g->demo, &g->sockets, &news, fault);
    if (!error) {
        error = callers_check(g->generation->config, &g->sockets, g->rooms.store, ROOMS_CALLER_TABLE, fault);
        g->refused = error == ERR_DENIED;
    }
    if (!error)
        error = make_workers(g, fault);
    if (!error)
        error = make_relay(g, fault);
    if (!error)
        error = make_admin(g, fault);
    if (!error && workers_watch(&g->pulse, g->watchdog_ms, g->workers, all_workers(g)))
        error = fault_set(fault, ERR_NOMEM, "out of memory at start");
    if (!error && g->demo)
        error = demo_start(g->demo, g->rooms.store, g->sockets.listeners[INHERIT_DATA].fds[0],
                           g->sockets.listeners[INHERIT_WEBHOOKS].fds[0], fault);
    return error;
}

static void take_down(struct gateway *g)
{
    admin_destroy(g->admin);
    relay_destroy(g->relay);
    pulse_deinit(&g->pulse);
    for (unsigned i = 0; i < all_workers(g); i++)
        worker_deinit(&g->workers[i]);
    rooms_close(&g->rooms);
    demo_destroy(g->demo);
    upstream_global_deinit();
    generation_release(g->generation);
    free(g->workers);
    free(g->shown);
}

static int relieve(struct gateway *g)
{
    g->predecessor.owner = g;
    g->predecessor.on_gone = on_predecessor_gone;
    return predecessor_relieve(&g->predecessor, g->workers[0].loop, g->sockets.channel);
}

static int run(struct gateway *g)
{
    /* Before the workers: they ask it. */
    if (!janitor_start(&g->janitor, g->rooms.cache, g->rooms.store))
        log_message(LOG_WARN, "cache_not_swept",
                    "out of memory or threads: what the cache keeps of a deleted credential stays");
    for (unsigned i = 1; i < all_workers(g); i++)
        if (pthread_create(&g->workers[i].thread, NULL, run_worker, &g->workers[i])) {
            log_message(LOG_ERROR, "start-failed", "a thread could not be started");
            _exit(CLI_FAILED);
        }
    log_ready(g);
    if (g->sockets.channel < 0)
        process_notify("READY=1");
    else if (relieve(g)) {
        log_message(LOG_ERROR, "start-failed", "the old process is not there any more");
        _exit(CLI_FAILED);
    }
    if (g->demo)
        demo_greet(g->demo, g->generation->data_tls != NULL);
    loop_run(g->workers[0].loop);
    for (unsigned i = 1; i < all_workers(g); i++)
        pthread_join(g->workers[i].thread, NULL);
    janitor_stop(&g->janitor);
    log_message(LOG_INFO, "stopped", "all requests were answered or their time was over");
    take_down(g);
    return CLI_OK;
}

/* Nothing runs yet: the process ends with one clear line, and takes its half-built rooms with it. */
static int refuse_start(const struct gateway *g, int status, const struct fault *fault)
{
    if (fault->text[0])
        log_message(LOG_ERROR, "start-failed", "%s", fault->text);
    log_flush();
    fflush(NULL);
    if (g->demo)
        demo_remove_data(g->demo);
    _exit(status);
}

int serve_run(const struct cli_serve *options, char **argv)
{
    struct gateway g = {.options = options};
    struct fault fault = {""};
    int status = CLI_FAILED;
    handover_remember(&g.program, argv);
    process_harden();
    g.watchdog_ms = process_watchdog_ms();
    if (inherit_take(&g.sockets, &fault))
        return refuse_start(&g, CLI_FAILED, &fault);
    if (process_block_signals() || upstream_global_init())
        return CLI_FAILED;
    if (options->sandbox && !(g.demo = demo_create(&fault)))
        return refuse_start(&g, CLI_FAILED, &fault);
    log_setup(LOG_INFO, log_format_of(options, LOG_FORMAT_JSON));
    g.generation = generation_load(options->config, g.demo, &status, &fault);
    if (!g.generation)
        return refuse_start(&g, status, &fault);
    const struct config *config = g.generation->config;
    log_setup(config->log.level, log_format_of(options, config->log.format));
    if (start(&g, &fault))
        return refuse_start(&g, g.refused ? CLI_CONFIG : CLI_FAILED, &fault);
    generation_warn(g.generation, g.demo != NULL);
    return run(&g);
}
