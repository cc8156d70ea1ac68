/* Kept answers hold customers' data: what is a day old goes also where no new key comes to push it out. On
 * the loop of one worker, a few at a time. */
#include "base/clock.h"
#include "base/log.h"
#include "internal.h"

enum { CLEAN_MS = 10 * 60 * 1000 };

static void on_due(struct loop_timer *timer);

static void clean_later(struct once_table *table)
{
    struct loop *loop = table->cleaner->loop;
    if (loop_timer_set(loop, &table->clean, loop_now(loop) + CLEAN_MS, on_due))
        return; /* no memory for a timer: they go as new ones come */
}

static void clean(struct once_table *table)
{
    table->cleaning.now_ms = clock_wall_ms();
    store_submit(table->cleaner->shared->store, &table->cleaning.change);
}

static void on_cleaned(struct store_change *change)
{
    struct once_table *table = container_of(change, struct once_table, cleaning.change);
    if (!table->cleaner)
        return; /* the worker stops */
    if (change->outcome == 0 && table->cleaning.cleaned > 0)
        log_message(LOG_DEBUG, "idempotency-cleaned", "%llu keys of more than a day ago are forgotten",
                    (unsigned long long)table->cleaning.cleaned);
    if (change->outcome == 0 && table->cleaning.more)
        clean(table);
    else
        clean_later(table);
}

static void on_due(struct loop_timer *timer)
{
    clean(container_of(timer, struct once_table, clean));
}

void once_clean_start(struct pipeline *pipeline)
{
    struct once_table *table = &pipeline->shared->once;
    if (table->cleaner)
        return;
    table->cleaner = pipeline;
    pipeline->cleans = true;
    table->cleaning = (struct idempotency_change){
        .change = {.apply = idempotency_apply, .on_done = on_cleaned, .loop = pipeline->loop},
        .use = {.first_table = table->first_table},
        .verb = IDEMPOTENCY_CLEAN,
    };
    clean_later(table);
}

void once_clean_stop(struct pipeline *pipeline)
{
    struct once_table *table = &pipeline->shared->once;
    if (!pipeline->cleans)
        return;
    loop_timer_clear(pipeline->loop, &table->clean);
    table->cleaner = NULL;
}
