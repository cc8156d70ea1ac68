#include <assert.h>
#include <stdlib.h>

#include "upstream/upstream_internal.h"

int upstream_global_init(void)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : ERR_NOMEM;
}

void upstream_global_deinit(void)
{
    curl_global_cleanup();
}

void upstream_defer(struct upstream *upstream, struct loop_task *task)
{
    upstream->pending++;
    loop_defer(upstream->loop, task);
}

struct upstream *upstream_create(struct loop *loop, const struct upstream_options *options)
{
    struct upstream *upstream = calloc(1, sizeof *upstream);

    if (!upstream)
        return NULL;
    upstream->loop = loop;
    upstream->options = *options;
    list_init(&upstream->pools);
    list_init(&upstream->free_transfers);
    arena_init(&upstream->heads, upstream->heads_first, sizeof upstream->heads_first,
               sizeof upstream->heads_first);
    if (connect_init(upstream) == 0)
        return upstream;
    connect_deinit(upstream);
    free(upstream);
    return NULL;
}

void upstream_configure(struct upstream *upstream, const struct upstream_options *options)
{
    upstream->options = *options;
    pool_drop_unused(upstream);
}

uint64_t upstream_deadline(const struct upstream *upstream)
{
    uint64_t total = upstream->options.times.total_ms;
    return total > 0 ? loop_now(upstream->loop) + total : UINT64_MAX;
}

void upstream_stats(const struct upstream *upstream, struct upstream_stats *out)
{
    *out = (struct upstream_stats){
        .connects = atomic_load_explicit(&upstream->connects, memory_order_relaxed),
        .connect_failures = atomic_load_explicit(&upstream->connect_failures, memory_order_relaxed),
        .reuses = atomic_load_explicit(&upstream->reuses, memory_order_relaxed),
        .transfers = atomic_load_explicit(&upstream->transfers, memory_order_relaxed),
        .failures = atomic_load_explicit(&upstream->failures, memory_order_relaxed),
        .open = atomic_load_explicit(&upstream->open, memory_order_relaxed),
        .idle = atomic_load_explicit(&upstream->idle, memory_order_relaxed),
        .waiting = atomic_load_explicit(&upstream->waiting, memory_order_relaxed),
    };
}

/* --- closing ------------------------------------------------------------------------- */

static void close_pool(struct pool *pool)
{
    while (!list_empty(&pool->waiting)) {
        struct upstream_transfer *t = container_of(pool->waiting.next, struct upstream_transfer, node);
        pool_unwait(t);
        transfer_release(t);
    }
    while (!list_empty(&pool->idle))
        pool_drop_idle(container_of(pool->idle.next, struct connection, node));
    while (!list_empty(&pool->busy)) {
        struct connection *conn = container_of(pool->busy.next, struct connection, node);
        struct upstream_transfer *t = conn->transfer;
        if (t) {
            transfer_detach(t);
            transfer_release(t);
        }
        connection_close(conn);
    }
}

static void destroy(struct upstream *upstream)
{
    void (*on_closed)(void *arg) = upstream->on_closed;
    void *arg = upstream->closed_arg;
    struct list *node;

    pool_drop_unused(upstream);
    assert(list_empty(&upstream->pools));
    while ((node = list_pop(&upstream->free_transfers))) {
        struct upstream_transfer *t = container_of(node, struct upstream_transfer, node);
        buf_wipe(&t->out);
        free(t);
    }
    arena_reset(&upstream->heads);
    free(upstream);
    on_closed(arg);
}

void upstream_settled(struct upstream *upstream)
{
    if (--upstream->pending == 0 && upstream->closing)
        destroy(upstream);
}

/* We may be in the middle of libcurl's messages: its handle goes in a turn of its own. */
static void on_close_task(struct loop_task *task)
{
    struct upstream *upstream = container_of(task, struct upstream, close_task);

    connect_deinit(upstream);
    upstream_settled(upstream);
}

void upstream_close(struct upstream *upstream, void (*on_closed)(void *arg), void *arg)
{
    assert(!upstream->closing);
    upstream->closing = true;
    upstream->on_closed = on_closed;
    upstream->closed_arg = arg;
    list_each (node, &upstream->pools)
        close_pool(container_of(node, struct pool, node));
    upstream->close_task.run = on_close_task;
    upstream_defer(upstream, &upstream->close_task);
}
