/*
 * The copy on disk: a queue of entries that were put in and of names that have to go, written in batches by
 * the store's own thread; and the lookup of what memory does not have.
 *
 * One change is under way at most. It takes what is queued, writes it in one transaction, and submits itself
 * again while there is more. When the file is nearly full it first sweeps a stretch of keys away; freed pages
 * can be used two transactions later, so a batch may have to come again. A batch that fails is dropped; after
 * a few in a row the copy pauses, so that a full disk costs next to nothing.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "base/random.h"
#include "cache/warm.h"

enum {
    QUEUE_MAX = 4096,
    QUEUE_PUTS = 3072, /* the rest is for names that have to go */
    BATCH_MAX = 128,
    ROUNDS_MAX = 8, /* of one batch, waiting for room */
    VIEWS = 64,
    FAILURES_MAX = 3,
    PAUSE_MS = 10000,
};

#define MIB         ((size_t)1 << 20)
#define QUEUE_BYTES (32 * MIB)
#define RECORD_MAX  (2 * MIB)

struct item {
    struct cache_entry *entry; /* retained; NULL: what has this id has to go */
    struct warm_id id;         /* of what goes */
    struct slice vary;         /* of what goes, in our memory; ptr NULL: all of the key */
    struct warm_times times;
    size_t weight;
};

/* A view, and whether somebody is using it. */
struct seat {
    _Alignas(64) atomic_bool taken;
    struct store_view *view;
};

/* 128 KiB; two keys that share a bit cost each other a restart's answer, never a wrong one. */
enum { ABSENT_WORDS = 16384 };

struct warm {
    struct cache *cache;
    struct store *store;
    struct digest_key salt;
    uint64_t boot;
    size_t size;
    struct seat seats[VIEWS];
    _Atomic uint64_t written, restored, dropped, evicted, damaged;
    _Atomic uint64_t absent[ABSENT_WORDS]; /* a bit for each hash whose key was looked for in vain */

    pthread_mutex_t lock; /* guards what follows, up to the change */
    pthread_cond_t idle;
    struct item *queue; /* a ring */
    size_t head, count, bytes;
    bool busy; /* the change is under way */
    int64_t paused_until_ms;

    struct store_change change; /* from here on the writer thread's */
    struct item batch[BATCH_MAX];
    size_t batch_count, batch_bytes, swept;
    int rounds, failures;
    bool postponed, force_sweep;
};

static void count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static _Atomic uint64_t *absent_word(struct warm *warm, uint64_t hash)
{
    return &warm->absent[(hash >> 6) % ABSENT_WORDS];
}

/* --- batches: on the writer thread ----------------------------------------------------------- */

static size_t batch_limit(const struct warm *warm)
{
    return warm->size / 32 < MIB ? warm->size / 32 : MIB;
}

/* Not so many that the leaves they touch fill a small file. */
static size_t batch_most(const struct warm *warm)
{
    const size_t most = warm->size / (128 * 1024);
    return most < BATCH_MAX ? most : BATCH_MAX;
}

static void take_batch(struct warm *warm)
{
    const size_t most = batch_most(warm);
    pthread_mutex_lock(&warm->lock);
    warm->batch_bytes = 0;
    while (warm->count > 0 && warm->batch_count < most &&
           (warm->batch_count == 0 || warm->batch_bytes < batch_limit(warm))) {
        struct item *item = &warm->queue[warm->head];
        warm->batch_bytes += item->weight;
        warm->batch[warm->batch_count++] = *item;
        warm->head = (warm->head + 1) % QUEUE_MAX;
        warm->count--;
    }
    pthread_mutex_unlock(&warm->lock);
}

static int write_item(struct warm *warm, struct store_txn *txn, const struct item *item)
{
    if (!item->entry)
        return item->vary.ptr ? warm_erase(txn, &item->id, item->vary) : warm_erase_key(txn, &item->id);
    const struct warm_id id = warm_id_of(&warm->salt, entry_key(item->entry), entry_vary(item->entry));
    return warm_write(txn, &id, item->entry, &item->times);
}

/* Room for the batch: its bytes on pages that are half full, and a page for each leaf that it touches. */
static uint64_t room_for(const struct warm *warm)
{
    return 2 * (uint64_t)warm->batch_bytes + 8192 * (uint64_t)warm->batch_count;
}

/* What the store keeps for deletes: with less than that it refuses to put. */
static uint64_t reserve_of(const struct warm *warm)
{
    return warm->size / 8 < MIB ? warm->size / 8 : MIB;
}

static int on_apply(struct store_change *change, struct store_txn *txn)
{
    struct warm *warm = container_of(change, struct warm, change);
    const uint64_t room = store_txn_room(txn);
    int rc = 0;
    bool short_of_room = warm->force_sweep;
    warm->swept = 0;
    if (warm->batch_count == 0)
        take_batch(warm);
    if (short_of_room || room < 2 * (reserve_of(warm) + room_for(warm)))
        rc = warm_evict(txn, 2 * batch_limit(warm) + 65536, &warm->swept);
    short_of_room = short_of_room || room < reserve_of(warm) + room_for(warm);
    warm->postponed = rc == 0 && short_of_room;
    for (size_t i = 0; rc == 0 && !warm->postponed && i < warm->batch_count; i++)
        rc = write_item(warm, txn, &warm->batch[i]);
    return rc;
}

static void forget_batch(struct warm *warm)
{
    size_t bytes = 0;
    for (size_t i = 0; i < warm->batch_count; i++) {
        bytes += warm->batch[i].weight;
        cache_release(warm->batch[i].entry);
        free((void *)(uintptr_t)warm->batch[i].vary.ptr);
    }
    warm->batch_count = 0;
    warm->rounds = 0;
    pthread_mutex_lock(&warm->lock);
    warm->bytes -= bytes;
    pthread_mutex_unlock(&warm->lock);
}

static void note_failure(struct warm *warm, int outcome)
{
    if (++warm->failures < FAILURES_MAX || warm->batch_count == 0)
        return;
    if (warm->failures == FAILURES_MAX)
        log_message(LOG_WARN, "cache_copy_paused", "the cache's copy on disk can't be written: %s",
                    error_text(outcome));
    pthread_mutex_lock(&warm->lock);
    warm->paused_until_ms = warm->batch[warm->batch_count - 1].times.mono_ms + PAUSE_MS;
    pthread_mutex_unlock(&warm->lock);
}

/* What became of the batch. True: it comes again. */
static bool settle_batch(struct warm *warm, int outcome)
{
    size_t puts = 0;
    for (size_t i = 0; i < warm->batch_count; i++)
        puts += warm->batch[i].entry != NULL;
    warm->force_sweep = outcome == ERR_FULL && !warm->force_sweep;
    if (outcome == 0)
        count(&warm->evicted, warm->swept);
    if ((outcome == ERR_FULL || (outcome == 0 && warm->postponed)) && ++warm->rounds < ROUNDS_MAX)
        return true;
    if (outcome || warm->postponed) {
        note_failure(warm, outcome ? outcome : ERR_FULL);
        count(&warm->dropped, puts);
    } else {
        warm->failures = 0;
        count(&warm->written, puts);
    }
    return false;
}

static void on_done(struct store_change *change)
{
    struct warm *warm = container_of(change, struct warm, change);
    if (!settle_batch(warm, change->outcome))
        forget_batch(warm);
    pthread_mutex_lock(&warm->lock);
    warm->busy = warm->count > 0 || warm->batch_count > 0;
    const bool again = warm->busy;
    if (!again)
        pthread_cond_signal(&warm->idle);
    pthread_mutex_unlock(&warm->lock);
    if (again) /* else the copy may be gone already */
        store_submit(warm->store, &warm->change);
}

/* --- the queue: any thread ------------------------------------------------------------------- */

/* False: full. What the item holds is the queue's then. */
static bool enqueue(struct warm *warm, const struct item *item)
{
    const size_t max = atomic_load_explicit(&warm->cache->budget, memory_order_relaxed) / 8;
    bool wake = false;
    pthread_mutex_lock(&warm->lock);
    bool fits = warm->count < QUEUE_MAX;
    if (item->entry)
        fits = warm->count < QUEUE_PUTS && warm->bytes + item->weight <= QUEUE_BYTES &&
               warm->bytes + item->weight <= max && item->times.mono_ms >= warm->paused_until_ms;
    if (fits) {
        warm->queue[(warm->head + warm->count++) % QUEUE_MAX] = *item;
        warm->bytes += item->weight;
        wake = !warm->busy;
        warm->busy = true;
    }
    pthread_mutex_unlock(&warm->lock);
    if (wake)
        store_submit(warm->store, &warm->change);
    return fits;
}

/* A name that goes: vary as in warm_id_of, NULL for all of the key. */
static void forget(struct warm *warm, struct slice key, const struct slice *vary)
{
    struct item item = {.id = warm_id_of(&warm->salt, key, vary ? *vary : SLICE(""))};
    if (vary) {
        char *copy = malloc(vary->len + 1);
        if (!copy)
            return;
        if (vary->len > 0)
            memcpy(copy, vary->ptr, vary->len);
        item.vary = slice_of(copy, vary->len);
    }
    if (enqueue(warm, &item))
        return;
    free((void *)(uintptr_t)item.vary.ptr);
    count(&warm->dropped, 1);
}

void warm_forget(struct cache *cache, const struct cache_entry *entry)
{
    const struct slice vary = entry_vary(entry);
    if (cache->warm)
        forget(cache->warm, entry_key(entry), &vary);
}

void warm_forget_key(struct cache *cache, struct cache_key key)
{
    if (cache->warm)
        forget(cache->warm, key.bytes, NULL);
}

void warm_keep(struct cache *cache, struct cache_entry *entry, const struct cache_answer *answer)
{
    struct warm *warm = cache->warm;
    if (!warm)
        return;
    struct item item = {
        .entry = entry,
        .times = {warm->boot, (int64_t)answer->response_ms, answer->response_wall_s * 1000},
        .weight = entry_weight(entry),
    };
    if (warm_fits(entry, warm->size / 16 < RECORD_MAX ? warm->size / 16 : RECORD_MAX)) {
        cache_retain(entry); /* the queue's */
        atomic_fetch_and_explicit(absent_word(warm, entry->hash), ~(1ull << (entry->hash & 63)),
                                  memory_order_relaxed);
        if (enqueue(warm, &item))
            return;
        cache_release(entry);
    }
    /* What it would have overwritten is no longer the latest. */
    warm_forget(cache, entry);
    count(&warm->dropped, 1);
}

/* --- lookup ---------------------------------------------------------------------------------- */

/* Any free view, beginning with the thread's usual one. */
static struct seat *take_seat(struct warm *warm)
{
    const size_t first = (size_t)((uintptr_t)pthread_self() >> 12);
    for (size_t i = 0; i < VIEWS; i++) {
        struct seat *seat = &warm->seats[(first + i) % VIEWS];
        if (atomic_exchange_explicit(&seat->taken, true, memory_order_acquire))
            continue;
        if (!seat->view)
            seat->view = store_view_create(warm->store);
        if (seat->view)
            return seat;
        atomic_store_explicit(&seat->taken, false, memory_order_release);
        return NULL;
    }
    return NULL;
}

static struct cache_entry *restore(struct warm *warm, const struct cache_query *query, int64_t wall_ms)
{
    const struct warm_times now = {warm->boot, (int64_t)query->now_ms, wall_ms};
    struct cache_entry *entry = NULL;
    struct seat *seat = take_seat(warm);
    bool known = true;
    if (!seat)
        return NULL;
    int rc = store_view_begin(seat->view);
    if (rc == 0) {
        rc = warm_read(seat->view, warm->cache, &warm->salt, query, &now, &known, &entry);
        store_view_end(seat->view);
    }
    atomic_store_explicit(&seat->taken, false, memory_order_release);
    if (!known)
        atomic_fetch_or_explicit(absent_word(warm, query->key.hash), 1ull << (query->key.hash & 63),
                                 memory_order_relaxed);
    if (rc == ERR_CORRUPT) {
        count(&warm->damaged, 1);
        forget(warm, query->key.bytes, NULL);
    }
    return entry;
}

void cache_warm_find(struct cache *cache, const struct cache_query *query, int64_t wall_ms,
                     struct cache_found *out)
{
    struct warm *warm = cache->warm;
    if (!warm || out->entry || (query->method != METHOD_GET && query->method != METHOD_HEAD) ||
        (query->control.flags & CC_NO_STORE))
        return;
    if (atomic_load_explicit(absent_word(warm, query->key.hash), memory_order_relaxed) >>
            (query->key.hash & 63) &
        1)
        return;
    struct cache_entry *entry = restore(warm, query, wall_ms);
    if (!entry)
        return;
    if (index_insert(cache, entry, NULL))
        count(&warm->restored, 1);
    cache_release(entry);
    cache_find(cache, query, out);
}

/* --- sweeping: on a thread of its own --------------------------------------------------------- */

enum { SWEEP_VISITS = 256 };

struct sweeping {
    struct store_change change;
    struct cache_sweep *sweep;
    struct warm_id ids[SWEEP_VISITS]; /* of keys that have to go */
    size_t count, visits;
};

static bool on_met(struct slice name, struct slice record, void *arg)
{
    struct sweeping *sweeping = arg;
    struct cache_sweep *sweep = sweeping->sweep;
    struct warm_head head;
    if (name.len <= WARM_NAME_MAX) { /* the next one begins behind it */
        memcpy(sweep->from, name.ptr, name.len);
        sweep->from[name.len] = '\0';
        sweep->from_len = name.len + 1;
    }
    if (name.len >= WARM_ID && name.len < WARM_NAME_MAX && warm_head_read(record, &head)) {
        const struct slice data = slice_skip(record, WARM_HEAD);
        if (sweep_is_over(sweep, slice_of(data.ptr, head.key_len < data.len ? head.key_len : data.len)))
            sweeping->ids[sweeping->count++] =
                (struct warm_id){.key = {warm_get_number(name.ptr, 8), warm_get_number(name.ptr + 8, 8)}};
    }
    return ++sweeping->visits < SWEEP_VISITS;
}

static int on_sweep(struct store_change *change, struct store_txn *txn)
{
    const struct sweeping *sweeping = container_of(change, struct sweeping, change);
    int rc = 0;
    for (size_t i = 0; i < sweeping->count && rc == 0; i++)
        rc = warm_erase_key(txn, &sweeping->ids[i]);
    return rc;
}

bool warm_sweep(struct cache *cache, struct cache_sweep *sweep)
{
    struct warm *warm = cache->warm;
    struct sweeping sweeping = {.change.apply = on_sweep, .sweep = sweep};
    struct seat *seat = warm ? take_seat(warm) : NULL;
    if (!seat)
        return false;
    int rc = store_view_begin(seat->view);
    if (rc == 0) {
        rc = store_scan(seat->view, WARM_TABLE, slice_of(sweep->from, sweep->from_len), on_met, &sweeping,
                        NULL);
        store_view_end(seat->view);
    }
    atomic_store_explicit(&seat->taken, false, memory_order_release);
    if (rc == 0 && sweeping.count > 0)
        rc = store_apply(warm->store, &sweeping.change);
    if (rc == 0)
        sweep->removed += sweeping.count;
    return rc == 0 && sweeping.visits == SWEEP_VISITS;
}

/* --- life ------------------------------------------------------------------------------------ */

struct salting {
    struct store_change change;
    struct digest_key salt;
};

/* The salt of the file, made with it: who chooses keys must not choose their places. */
static int on_salt(struct store_change *change, struct store_txn *txn)
{
    struct salting *salting = container_of(change, struct salting, change);
    struct slice value;
    int rc = store_txn_get(txn, WARM_ABOUT, SLICE("salt"), &value);
    if (rc == 0 && value.len == sizeof salting->salt) {
        memcpy(&salting->salt, value.ptr, sizeof salting->salt);
        return 0;
    }
    random_secret(&salting->salt, sizeof salting->salt);
    return store_txn_put(txn, WARM_ABOUT, SLICE("salt"),
                         slice_of((const char *)&salting->salt, sizeof salting->salt));
}

static int open_store(struct warm *warm, const struct cache_warm_options *options, struct fault *fault)
{
    static const char *const tables[] = {"entries", "about", NULL};
    const struct store_options store = {.path = options->path,
                                        .tables = tables,
                                        .map_size = warm->size,
                                        .contents = "cache 1",
                                        .disposable = true};
    int rc = store_open(&warm->store, &store, fault);
    if (rc)
        return rc;
    struct salting salting = {.change.apply = on_salt};
    rc = store_apply(warm->store, &salting.change);
    warm->salt = salting.salt;
    return rc ? fault_set(fault, rc, "%s can't be written: %s", options->path, error_text(rc)) : 0;
}

static void destroy(struct warm *warm)
{
    for (size_t i = 0; i < VIEWS; i++)
        store_view_destroy(warm->seats[i].view);
    store_close(warm->store);
    pthread_cond_destroy(&warm->idle);
    pthread_mutex_destroy(&warm->lock);
    free(warm->queue);
    free(warm);
}

int cache_warm_open(struct cache *cache, const struct cache_warm_options *options, struct fault *fault)
{
    struct warm *warm = aligned_alloc(_Alignof(struct warm), sizeof *warm);
    assert(!cache->warm);
    if (!warm)
        return fault_set(fault, ERR_NOMEM, "%s: out of memory", options->path);
    memset(warm, 0, sizeof *warm);
    pthread_mutex_init(&warm->lock, NULL);
    pthread_cond_init(&warm->idle, NULL);
    warm->cache = cache;
    warm->boot = store_boot();
    warm->size = options->size > MIB ? options->size / MIB * MIB : MIB;
    warm->change.apply = on_apply;
    warm->change.on_done = on_done;
    warm->queue = calloc(QUEUE_MAX, sizeof *warm->queue);
    int rc = warm->queue ? open_store(warm, options, fault)
                         : fault_set(fault, ERR_NOMEM, "%s: out of memory", options->path);
    if (rc) {
        destroy(warm);
        return rc;
    }
    cache->warm = warm;
    return 0;
}

void cache_warm_close(struct cache *cache)
{
    struct warm *warm = cache->warm;
    if (!warm)
        return;
    cache->warm = NULL;
    pthread_mutex_lock(&warm->lock);
    while (warm->busy)
        pthread_cond_wait(&warm->idle, &warm->lock);
    pthread_mutex_unlock(&warm->lock);
    destroy(warm);
}

void warm_stats(const struct cache *cache, struct cache_warm_stats *out)
{
    const struct warm *warm = cache->warm;
    struct store_stats store;
    *out = (struct cache_warm_stats){0};
    if (!warm)
        return;
    store_stats(warm->store, &store);
    out->bytes = store.used_bytes;
    out->limit = warm->size;
    out->written = atomic_load_explicit(&warm->written, memory_order_relaxed);
    out->restored = atomic_load_explicit(&warm->restored, memory_order_relaxed);
    out->dropped = atomic_load_explicit(&warm->dropped, memory_order_relaxed);
    out->evicted = atomic_load_explicit(&warm->evicted, memory_order_relaxed);
    out->damaged = atomic_load_explicit(&warm->damaged, memory_order_relaxed);
}
