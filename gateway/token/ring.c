#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/digest.h"
#include "base/list.h"
#include "base/map.h"
#include "token/token_internal.h"

/*
 * The memory of minted tokens: shards by the tenant's hash, each with a lock, a signer of its own and a CLOCK
 * of entries (a used token survives one turn of the hand). A tenant's token is always in one shard, so its
 * mints queue there and the second one finds what the first one made.
 */

/* Few tokens are kept exactly, in one shard. */
enum { SHARDS = 32, SHARDS_FROM = 1024, REMEMBER_DEFAULT = 65536 };

/* Ten years: keeps the arithmetic far from its ends. */
static const int64_t ttl_max = 10 * 366 * (int64_t)86400;

/* Times in milliseconds. */
enum { SLACK = 5000, FRESH = 1000 };

struct entry {
    struct map_node node; /* in shard->map */
    size_t slot;          /* in shard->slots */
    bool used;            /* since the hand passed */
    bool fresh;           /* minted because of a 401 */
    uint64_t minted;      /* mono */
    uint64_t renew;       /* mono: from then on not reused */
    int64_t offset;       /* wall - mono when minted */
    int64_t iat_s;
    size_t tenant_len, token_len;
    char text[]; /* tenant, token */
};

struct shard {
    pthread_mutex_t lock;
    struct token_signer signer;
    int64_t ttl_s;
    struct map map;
    struct entry **slots;
    size_t slots_len; /* how many may be remembered */
    size_t count;     /* slots [0, count) are taken */
    size_t hand;
    _Atomic uint64_t minted, reused, remembered;
};

struct token_ring {
    _Atomic size_t shard_count; /* 1 or SHARDS; changes with all locks held */
    struct shard shards[SHARDS];
};

/* --- entries (lock held) ------------------------------------------------------------------------------ */

static void entry_free(struct entry *entry)
{
    digest_wipe(entry->text, entry->tenant_len + entry->token_len);
    free(entry);
}

static struct entry *entry_find(const struct shard *shard, uint64_t hash, struct slice tenant)
{
    for (struct map_node *node = map_find(&shard->map, hash); node; node = map_next(node)) {
        struct entry *entry = container_of(node, struct entry, node);
        if (slice_equal(slice_of(entry->text, entry->tenant_len), tenant))
            return entry;
    }
    return NULL;
}

static void entry_remove(struct shard *shard, struct entry *entry)
{
    struct entry *last = shard->slots[--shard->count];
    shard->slots[entry->slot] = last;
    last->slot = entry->slot;
    map_remove(&shard->map, &entry->node);
    entry_free(entry);
}

static void forget_all(struct shard *shard)
{
    while (shard->count > 0)
        entry_remove(shard, shard->slots[shard->count - 1]);
    shard->hand = 0;
}

/* When all are taken, the hand frees the first whose entry nobody used since it last came by, and moves on.
 */
static size_t take_slot(struct shard *shard)
{
    if (shard->count < shard->slots_len)
        return shard->count++;
    for (;; shard->hand++) {
        shard->hand = shard->hand < shard->count ? shard->hand : 0;
        struct entry *entry = shard->slots[shard->hand];
        if (!entry->used) {
            map_remove(&shard->map, &entry->node);
            entry_free(entry);
            return shard->hand++;
        }
        entry->used = false;
    }
}

/* Without memory the token is simply not remembered. */
static void remember(struct shard *shard, uint64_t hash, const struct entry *head, struct slice tenant,
                     struct slice token)
{
    struct entry *entry = malloc(sizeof *entry + tenant.len + token.len);
    if (!entry)
        return;
    *entry = *head;
    entry->tenant_len = tenant.len;
    entry->token_len = token.len;
    memcpy(entry->text, tenant.ptr, tenant.len);
    memcpy(entry->text + tenant.len, token.ptr, token.len);
    if (map_insert(&shard->map, &entry->node, hash) != 0) {
        entry_free(entry);
        return;
    }
    entry->slot = take_slot(shard);
    shard->slots[entry->slot] = entry;
}

/* --- reuse and minting (lock held) -------------------------------------------------------------------- */

static int64_t clock_offset(uint64_t mono_ms, int64_t wall_ms)
{
    return wall_ms - (int64_t)mono_ms;
}

/* Callers' times come from several threads: one may be a little before the mint. */
static bool is_usable(const struct shard *shard, const struct entry *entry, bool fresh, uint64_t mono_ms,
                      int64_t wall_ms)
{
    int64_t step = clock_offset(mono_ms, wall_ms) - entry->offset;
    int64_t slack = shard->ttl_s < SLACK / 100 ? shard->ttl_s * 100 : SLACK;
    if (mono_ms >= entry->renew || step > slack || step < -slack)
        return false;
    return !fresh || (entry->fresh && mono_ms < entry->minted + FRESH);
}

/* iat is a whole second in the past: what it lies back counts as used. */
static uint64_t renew_time(int64_t ttl_s, int64_t iat_s, uint64_t mono_ms, int64_t wall_ms)
{
    int64_t left = ttl_s * 800 - (wall_ms - iat_s * 1000);
    return left > 0 ? mono_ms + (uint64_t)left : mono_ms;
}

/* The one that was refused has the same claims when it was minted in the same second: another one is issued
 * a second before. */
static int64_t issue_time(const struct shard *shard, const struct entry *refused, bool fresh, int64_t wall_ms)
{
    int64_t now_s = wall_ms / 1000;
    return fresh && refused && refused->iat_s == now_s && shard->ttl_s > 1 && now_s > 0 ? now_s - 1 : now_s;
}

static int mint(struct shard *shard, uint64_t hash, struct slice tenant, const struct entry *head,
                struct buf *out)
{
    char storage[TOKEN_MAX];
    struct buf token;
    int64_t wall_ms = head->offset + (int64_t)head->minted;
    if (wall_ms < 0)
        return ERR_INVALID;
    buf_init_fixed(&token, storage, sizeof storage);
    int rc = token_signer_mint(&shard->signer, tenant, head->iat_s, shard->ttl_s, &token);
    if (rc == 0) {
        atomic_fetch_add_explicit(&shard->minted, 1, memory_order_relaxed);
        remember(shard, hash, head, tenant, buf_slice(&token));
        rc = buf_append_slice(out, buf_slice(&token));
    }
    digest_wipe(storage, token.len);
    return rc;
}

static int get(struct shard *shard, uint64_t hash, struct slice tenant, const struct entry *head,
               struct buf *out)
{
    int64_t wall_ms = head->offset + (int64_t)head->minted;
    struct entry *entry = entry_find(shard, hash, tenant);
    if (entry && is_usable(shard, entry, head->fresh, head->minted, wall_ms)) {
        entry->used = true;
        atomic_fetch_add_explicit(&shard->reused, 1, memory_order_relaxed);
        return buf_append(out, entry->text + entry->tenant_len, entry->token_len);
    }
    struct entry made = *head;
    made.iat_s = issue_time(shard, entry, head->fresh, wall_ms);
    made.renew = renew_time(shard->ttl_s, made.iat_s, head->minted, wall_ms);
    if (entry)
        entry_remove(shard, entry);
    return mint(shard, hash, tenant, &made, out);
}

/* The shard of a hash, locked. */
static struct shard *lock_shard(struct token_ring *ring, uint64_t hash)
{
    for (;;) {
        size_t count = atomic_load(&ring->shard_count);
        struct shard *shard = &ring->shards[hash >> 32 & (count - 1)];
        pthread_mutex_lock(&shard->lock);
        if (atomic_load(&ring->shard_count) == count)
            return shard;
        pthread_mutex_unlock(&shard->lock);
    }
}

int token_get(struct token_ring *ring, struct slice tenant, bool fresh, uint64_t mono_ms, int64_t wall_ms,
              struct buf *out)
{
    const struct entry head = {.fresh = fresh, .minted = mono_ms, .offset = clock_offset(mono_ms, wall_ms)};
    uint64_t hash = digest_hash(tenant);
    struct shard *shard = lock_shard(ring, hash);
    int rc = get(shard, hash, tenant, &head, out);
    atomic_store_explicit(&shard->remembered, shard->count, memory_order_relaxed);
    pthread_mutex_unlock(&shard->lock);
    return rc;
}

/* --- the ring ----------------------------------------------------------------------------------------- */

/* What of a shard comes from the options. */
struct parts {
    struct token_signer signer;
    struct entry **slots;
};

static void free_parts(struct parts parts[SHARDS])
{
    for (size_t i = 0; i < SHARDS; i++) {
        token_signer_deinit(&parts[i].signer);
        free(parts[i].slots);
    }
}

/* Parts for all shards, also those that are not in use: then the next reload finds them all alike. */
static int make_parts(struct parts parts[SHARDS], const struct token_options *options, size_t slots_len)
{
    memset(parts, 0, sizeof(struct parts) * SHARDS);
    if (options->ttl_s < 1 || options->ttl_s > ttl_max)
        return ERR_INVALID;
    int rc = token_signer_init(&parts[0].signer, options->client_id, options->secret);
    for (size_t i = 0; i < SHARDS && rc == 0; i++) {
        if (i > 0)
            rc = token_signer_copy(&parts[i].signer, &parts[0].signer);
        parts[i].slots = rc == 0 ? calloc(slots_len, sizeof(struct entry *)) : NULL;
        if (!parts[i].slots && rc == 0)
            rc = ERR_NOMEM;
    }
    if (rc != 0)
        free_parts(parts);
    return rc;
}

/* Lock held. What the shard had is in *parts afterwards. */
static void swap_parts(struct shard *shard, struct parts *parts, int64_t ttl_s, size_t slots_len)
{
    struct parts old = {shard->signer, shard->slots};
    forget_all(shard);
    shard->signer = parts->signer;
    shard->slots = parts->slots;
    shard->slots_len = slots_len;
    shard->ttl_s = ttl_s;
    atomic_store_explicit(&shard->remembered, 0, memory_order_relaxed);
    *parts = old;
}

int token_ring_configure(struct token_ring *ring, const struct token_options *options)
{
    struct parts parts[SHARDS];
    size_t keep = options->remember > 0 ? options->remember : REMEMBER_DEFAULT;
    size_t count = keep < SHARDS_FROM ? 1 : SHARDS, slots_len = keep / count;
    int rc = make_parts(parts, options, slots_len);
    if (rc != 0)
        return rc;
    /* All at once, so that no token of the old secret is given out after one of the new. token_get holds one
     * lock only. */
    for (size_t i = 0; i < SHARDS; i++)
        pthread_mutex_lock(&ring->shards[i].lock);
    atomic_store(&ring->shard_count, count);
    for (size_t i = 0; i < SHARDS; i++)
        swap_parts(&ring->shards[i], &parts[i], options->ttl_s, slots_len);
    for (size_t i = 0; i < SHARDS; i++)
        pthread_mutex_unlock(&ring->shards[i].lock);
    free_parts(parts);
    return 0;
}

struct token_ring *token_ring_create(const struct token_options *options)
{
    struct token_ring *ring = calloc(1, sizeof *ring);
    if (!ring)
        return NULL;
    atomic_init(&ring->shard_count, 1);
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&ring->shards[i].lock, NULL);
        map_init(&ring->shards[i].map);
    }
    if (token_ring_configure(ring, options) != 0) {
        token_ring_destroy(ring);
        return NULL;
    }
    return ring;
}

void token_ring_destroy(struct token_ring *ring)
{
    if (!ring)
        return;
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &ring->shards[i];
        forget_all(shard);
        token_signer_deinit(&shard->signer);
        free(shard->slots);
        map_deinit(&shard->map);
        pthread_mutex_destroy(&shard->lock);
    }
    free(ring);
}

void token_stats(const struct token_ring *ring, struct token_stats *out)
{
    *out = (struct token_stats){0};
    for (size_t i = 0; i < SHARDS; i++) {
        const struct shard *shard = &ring->shards[i];
        out->minted += atomic_load_explicit(&shard->minted, memory_order_relaxed);
        out->reused += atomic_load_explicit(&shard->reused, memory_order_relaxed);
        out->remembered += atomic_load_explicit(&shard->remembered, memory_order_relaxed);
    }
}
