/* One worker: a thread, its loop, its listeners, its way upstream, its pipeline. */
#ifndef WORKER_H
#define WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/pulse.h"
#include "generation.h"
#include "link/link.h"
#include "pipeline/pipeline.h"
#include "rooms.h"
#include "server/server.h"
#include "upstream/upstream.h"
#include "webhook/subscribe.h"
#include "webhook/webhook.h"

struct worker {
    pthread_t thread;
    struct loop *loop;
    struct upstream *upstream;
    struct pipeline *pipeline;
    struct webhook *webhook;
    struct link *link;
    struct subscribe *subscribe; /* NULL: it is another worker's */
    struct server *data, *webhooks;

    /* stopping */
    struct loop_task stop_task;
    struct loop_timer timer;
    uint64_t deadline_ms, idle_ms;
    unsigned closing;
    void *owner;
    void (*on_stopped)(void *owner, struct worker *worker); /* both on the worker's loop */
    void (*on_closed)(void *owner, struct worker *worker);
};

/* Builds what belongs to the worker. Descriptors of -1: nobody comes from outside. On an error nothing has to
 * be undone but worker_deinit. The descriptors are taken over. */
int worker_init(struct worker *worker, const struct rooms *rooms, const struct generation *generation,
                int data_fd, int webhooks_fd, struct fault *fault) MUST_CHECK;
/* The reconciler of the gateway's subscriptions runs on this worker. ERR_NOMEM. */
int worker_subscribe(struct worker *worker, const struct rooms *rooms,
                     const struct generation *generation) MUST_CHECK;
/* After its loop has ended, or was never run. */
void worker_deinit(struct worker *worker);

/* Any thread, before worker_stop: a new configuration, prepared with `settings` (taken over). False: no
 * memory, nothing happens. */
bool worker_reload(struct worker *worker, struct generation *generation, struct pipeline_settings *settings);
/* Any thread, once: no new connections, idle ones have `idle_ms` left (server_drain); ends when the last
 * request is answered or after `within_ms`; then on_stopped. */
void worker_stop(struct worker *worker, uint64_t within_ms, uint64_t idle_ms, void *owner,
                 void (*on_stopped)(void *owner, struct worker *worker));
/* Any thread, once, after on_stopped, and when nobody looks at the worker's figures any more. */
void worker_close(struct worker *worker, void (*on_closed)(void *owner, struct worker *worker));

/* Tells systemd every `every_ms` (0: never) that all of them still turn, on the first one's loop. ERR_NOMEM.
 */
int workers_watch(struct pulse *pulse, uint64_t every_ms, const struct worker *workers,
                  unsigned count) MUST_CHECK;

#endif
