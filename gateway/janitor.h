/*
 * Sweeps the cache of what belongs to credentials that are no more: once after the start (the command line
 * may have deleted some meanwhile), when it is asked, and every hour. A thread of its own, in bounded steps.
 */
#ifndef JANITOR_H
#define JANITOR_H

#include <pthread.h>
#include <stdbool.h>

#include "cache/cache.h"
#include "store/store.h"

struct janitor {
    struct cache *cache;
    struct store_view *view;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool runs, asked, stop;
};

/* Cache and store outlive it. False: no memory or no thread; nothing is swept then. */
bool janitor_start(struct janitor *janitor, struct cache *cache, struct store *store);
/* A credential has been deleted. Any thread. */
void janitor_ask(struct janitor *janitor);
/* Before the cache is closed. */
void janitor_stop(struct janitor *janitor);

#endif
