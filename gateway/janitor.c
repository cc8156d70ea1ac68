#include "janitor.h"

#include <time.h>

#include "base/log.h"
#include "credential/credential.h"

enum { EVERY_S = 3600, PAUSE_MS = 2 };

static bool on_keeps(struct slice tenant, struct slice credential, void *arg)
{
    struct janitor *janitor = arg;
    struct credential found;
    if (store_view_begin(janitor->view))
        return true;
    const int rc = credential_find(janitor->view, tenant, credential, &found);
    store_view_end(janitor->view);
    return rc != ERR_NOTFOUND; /* what can't be read may be there */
}

/* With the lock. Waits for so long, or until something is to be done. */
static void wait_ms(struct janitor *janitor, unsigned ms, bool for_asking)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    until.tv_sec += ms / 1000 + (unsigned)(until.tv_nsec / 1000000000);
    until.tv_nsec %= 1000000000;
    while (!janitor->stop && !(for_asking && janitor->asked))
        if (pthread_cond_timedwait(&janitor->wake, &janitor->lock, &until))
            return;
}

/* With the lock, which is free during the steps. */
static void sweep(struct janitor *janitor)
{
    struct cache_sweep walk = {.keeps = on_keeps, .arg = janitor};
    bool more = true;
    while (more && !janitor->stop) {
        pthread_mutex_unlock(&janitor->lock);
        more = cache_sweep_step(janitor->cache, &walk);
        pthread_mutex_lock(&janitor->lock);
        wait_ms(janitor, PAUSE_MS, false);
    }
    if (walk.removed > 0)
        log_message(LOG_INFO, "cache_swept",
                    "%zu answers of credentials that are no more have left the cache", walk.removed);
}

static void *run(void *arg)
{
    struct janitor *janitor = arg;
    pthread_mutex_lock(&janitor->lock);
    while (!janitor->stop) {
        janitor->asked = false;
        sweep(janitor);
        wait_ms(janitor, EVERY_S * 1000, true);
    }
    pthread_mutex_unlock(&janitor->lock);
    return NULL;
}

bool janitor_start(struct janitor *janitor, struct cache *cache, struct store *store)
{
    pthread_condattr_t monotonic;
    *janitor = (struct janitor){.cache = cache, .view = store_view_create(store)};
    if (!janitor->view)
        return false;
    pthread_mutex_init(&janitor->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&janitor->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    janitor->runs = pthread_create(&janitor->thread, NULL, run, janitor) == 0;
    return janitor->runs;
}

void janitor_ask(struct janitor *janitor)
{
    if (!janitor->runs)
        return;
    pthread_mutex_lock(&janitor->lock);
    janitor->asked = true;
    pthread_cond_signal(&janitor->wake);
    pthread_mutex_unlock(&janitor->lock);
}

void janitor_stop(struct janitor *janitor)
{
    if (janitor->runs) {
        pthread_mutex_lock(&janitor->lock);
        janitor->stop = true;
        pthread_cond_signal(&janitor->wake);
        pthread_mutex_unlock(&janitor->lock);
        pthread_join(janitor->thread, NULL);
    }
    if (janitor->view) {
        pthread_cond_destroy(&janitor->wake);
        pthread_mutex_destroy(&janitor->lock);
    }
    store_view_destroy(janitor->view);
    *janitor = (struct janitor){0};
}
