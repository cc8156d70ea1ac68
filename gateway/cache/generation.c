/*
 * Generations (house.md): a fixed table of counters that only grow. What is not told apart in a subject
 * hashes to a constant, so each width of subject has a slot of its own; two subjects that share a slot by
 * accident become stale together, too early, never too late.
 *
 * Order: a sum is read before the upstream request is sent, and a change raises its counters before anybody
 * is told about it. All of it is sequentially consistent, so whoever was told sees the raised counter.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/random.h"
#include "cache/cache_internal.h"

enum { SLOT_BITS = 19 };

enum kind {
    KIND_API = 1,
    KIND_API_ENTITY,
    KIND_CREDENTIAL,
    KIND_CREDENTIAL_API,
    KIND_ENTITY, /* of one credential and api: all its records and lists */
    KIND_RECORD,
    KIND_LIST,
};

/* Places in cache_deps.slot. */
enum { DEP_API, DEP_API_ENTITY, DEP_CREDENTIAL, DEP_CREDENTIAL_API, DEP_ENTITY, DEP_ITEM };

/*
 * In memory that has a descriptor: a process that hands its listeners over hands this over, too, and for as
 * long as both are there, what makes something stale in one does in the other. Whoever changes the layout or
 * what is hashed changes the mark.
 */
#define SLOTS ((size_t)1 << SLOT_BITS)
static const char table_mark[16] = "generations 1";

struct generation_table {
    char mark[sizeof table_mark];
    struct digest_key key;             /* of the hashes: strangers can't aim at a slot */
    _Alignas(64) _Atomic uint64_t all; /* part of every sum */
    _Alignas(64) _Atomic uint64_t counters[SLOTS];
    _Atomic uint64_t settled[SLOTS]; /* until when, by the slot of (credential, api, entity) */
};

static int map_table(struct generations *generations, int fd)
{
    const size_t size = sizeof *generations->table;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return ERR_NOMEM;
    generations->table = memory;
    generations->fd = fd;
    return 0;
}

/* Pages that nobody touches are never there. */
int generations_init(struct generations *generations)
{
    const int fd = memfd_create("rollout-gateway generations", MFD_CLOEXEC);
    *generations = (struct generations){NULL, -1};
    if (fd < 0 || ftruncate(fd, sizeof *generations->table) || map_table(generations, fd)) {
        if (fd >= 0)
            close(fd);
        return ERR_NOMEM;
    }
    struct generation_table *table = generations->table;
    memcpy(table->mark, table_mark, sizeof table_mark);
    random_secret(&table->key, sizeof table->key);
    atomic_init(&table->all, 1); /* no sum is ever 0: what has that one never holds */
    return 0;
}

int generations_join(struct generations *generations, int fd)
{
    struct generations theirs = {NULL, -1};
    struct stat file;
    bool good =
        fstat(fd, &file) == 0 && file.st_size == (off_t)sizeof *theirs.table && map_table(&theirs, fd) == 0;
    if (good && memcmp(theirs.table->mark, table_mark, sizeof table_mark) == 0) {
        generations_deinit(generations);
        *generations = theirs;
        return 0;
    }
    if (theirs.table)
        munmap(theirs.table, sizeof *theirs.table);
    close(fd);
    return ERR_INVALID;
}

void generations_deinit(struct generations *generations)
{
    if (!generations->table)
        return;
    munmap(generations->table, sizeof *generations->table);
    close(generations->fd);
    *generations = (struct generations){NULL, -1};
}

/* --- slots ----------------------------------------------------------------------------------- */

/* Hashes of the parts, made once. */
struct hashed {
    uint64_t credential, api, entity, id;
};

static struct hashed hash_subject(const struct cache *cache, const struct cache_subject *subject)
{
    const struct digest_key *key = &cache->generations.table->key;
    const struct slice credential = subject->credential.len > 0 ? subject->credential : CACHE_NO_CREDENTIAL;
    return (struct hashed){
        .credential = digest_hash_with(key, credential),
        .api = digest_hash_with(key, subject->api),
        .entity = digest_hash_with(key, subject->entity),
        .id = subject->id.len > 0 ? digest_hash_with(key, subject->id) : 0,
    };
}

/* The parts are keyed hashes already; this only has to spread them. */
static uint64_t mix(uint64_t h, uint64_t part)
{
    h = (h ^ part) * 0x9e3779b97f4a7c15u;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return h ^ (h >> 29);
}

static uint32_t slot_of(enum kind kind, const struct hashed *parts)
{
    uint64_t h = (uint64_t)kind;
    if (kind != KIND_API && kind != KIND_API_ENTITY)
        h = mix(h, parts->credential);
    if (kind != KIND_CREDENTIAL)
        h = mix(h, parts->api);
    if (kind == KIND_API_ENTITY || kind >= KIND_ENTITY)
        h = mix(h, parts->entity);
    if (kind == KIND_RECORD)
        h = mix(h, parts->id);
    return (uint32_t)(mix(h, 0) >> (64 - SLOT_BITS));
}

/* --- reading --------------------------------------------------------------------------------- */

static uint64_t sum_of(const struct cache *cache, const uint32_t slot[CACHE_DEPS])
{
    const struct generation_table *table = cache->generations.table;
    uint64_t sum = atomic_load(&table->all);
    for (size_t i = 0; i < CACHE_DEPS; i++)
        sum += atomic_load(&table->counters[slot[i]]);
    return sum;
}

struct cache_deps cache_deps_of(const struct cache *cache, const struct cache_subject *subject)
{
    const struct hashed parts = hash_subject(cache, subject);
    struct cache_deps deps;
    deps.slot[DEP_API] = slot_of(KIND_API, &parts);
    deps.slot[DEP_API_ENTITY] = slot_of(KIND_API_ENTITY, &parts);
    deps.slot[DEP_CREDENTIAL] = slot_of(KIND_CREDENTIAL, &parts);
    deps.slot[DEP_CREDENTIAL_API] = slot_of(KIND_CREDENTIAL_API, &parts);
    deps.slot[DEP_ENTITY] = slot_of(KIND_ENTITY, &parts);
    deps.slot[DEP_ITEM] = slot_of(subject->id.len > 0 ? KIND_RECORD : KIND_LIST, &parts);
    deps.sum = sum_of(cache, deps.slot);
    return deps;
}

bool cache_deps_hold(const struct cache *cache, const struct cache_deps *deps)
{
    return sum_of(cache, deps->slot) == deps->sum;
}

/* --- sharing --------------------------------------------------------------------------------- */

int cache_share(const struct cache *cache)
{
    return cache->generations.fd;
}

int cache_join(struct cache *cache, int fd)
{
    return generations_join(&cache->generations, fd);
}

/* --- raising --------------------------------------------------------------------------------- */

/* deps (may be NULL) counts a slot as often as it names it. */
static void raise_slot(struct cache *cache, enum kind kind, const struct hashed *parts,
                       struct cache_deps *deps)
{
    const uint32_t slot = slot_of(kind, parts);
    atomic_fetch_add(&cache->generations.table->counters[slot], 1);
    for (size_t i = 0; deps && i < CACHE_DEPS; i++)
        deps->sum += deps->slot[i] == slot;
}

/* The narrowest width that has a counter of its own and covers the subject. */
static enum kind width_of(const struct cache_subject *subject)
{
    if (subject->credential.len == 0)
        return subject->entity.len > 0 ? KIND_API_ENTITY : KIND_API;
    if (subject->api.len == 0)
        return KIND_CREDENTIAL;
    if (subject->entity.len == 0)
        return KIND_CREDENTIAL_API;
    return subject->id.len > 0 ? KIND_RECORD : KIND_ENTITY;
}

unsigned cache_invalidate_around(struct cache *cache, const struct cache_subject *subject,
                                 struct cache_deps *deps)
{
    atomic_fetch_add_explicit(&cache->invalidations, 1, memory_order_relaxed);
    if (subject->credential.len == 0 && subject->api.len == 0) {
        atomic_fetch_add(&cache->generations.table->all, 1);
        if (deps)
            deps->sum++;
        return 1;
    }
    const struct hashed parts = hash_subject(cache, subject);
    const enum kind kind = width_of(subject);
    raise_slot(cache, kind, &parts, deps);
    if (kind != KIND_RECORD)
        return 1;
    raise_slot(cache, KIND_LIST, &parts, deps);
    return 2;
}

unsigned cache_invalidate(struct cache *cache, const struct cache_subject *subject)
{
    return cache_invalidate_around(cache, subject, NULL);
}

/* --- settling after writes ------------------------------------------------------------------- */

void cache_settle(struct cache *cache, const struct cache_subject *subject, uint64_t until_ms)
{
    const struct hashed parts = hash_subject(cache, subject);
    _Atomic uint64_t *until = &cache->generations.table->settled[slot_of(KIND_ENTITY, &parts)];
    uint64_t seen = atomic_load(until);
    while (seen < until_ms && !atomic_compare_exchange_weak(until, &seen, until_ms))
        ;
}

bool cache_settling(const struct cache *cache, const struct cache_deps *deps, uint64_t now_ms)
{
    return atomic_load(&cache->generations.table->settled[deps->slot[DEP_ENTITY]]) > now_ms;
}
