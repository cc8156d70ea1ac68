/* What the desk tells: fields for clients, states and counters for operators. */
#include "limit_internal.h"

/* --- RateLimit ----------------------------------------------------------------------------------------- */

static uint64_t seconds_up(uint64_t ns)
{
    uint64_t seconds = (ns + NS_PER_S - 1) / NS_PER_S;
    return seconds > 0 ? seconds : 1;
}

/* The quota as whole requests in whole seconds: the burst's time, at least one second or as long as one
 * request takes. */
static void put_policy(struct buf *out, enum limit_scope scope, const struct effective *e)
{
    uint64_t window = seconds_up(e->burst * e->interval_ns);
    if ((double)window * e->rate < 1)
        window = seconds_up(e->interval_ns);
    uint64_t quota = (uint64_t)((double)window * e->rate + 1e-6);
    buf_append_format(out, "\"%s\";q=%llu;w=%llu", limit_scope_name(scope),
                      (unsigned long long)(quota > 0 ? quota : 1), (unsigned long long)window);
}

struct told {
    struct effective e;
    uint64_t remaining, full_ns;
};

/* r requests may go at once; t: when the bucket is full again, or for a refused turn when to come again. */
static void put_state(struct buf *out, enum limit_scope scope, const struct limit_turn *turn,
                      const struct told *told)
{
    bool refused = turn->answer == LIMIT_REFUSED && turn->by == scope;
    uint64_t t = refused ? turn->retry_after_s : seconds_up(told->full_ns);
    buf_append_format(out, "\"%s\";r=%llu;t=%llu", limit_scope_name(scope),
                      (unsigned long long)(refused ? 0 : told->remaining), (unsigned long long)t);
}

static struct told tell(const struct limit *limit, enum limit_scope scope, const struct limit_bucket *bucket,
                        uint64_t now_ns)
{
    struct told told = {.e = bucket_effective(&limit->rules[scope], bucket, now_ns)};
    uint64_t until = bucket->tat_ns > bucket->pause_ns ? bucket->tat_ns : bucket->pause_ns;
    told.remaining = bucket_remaining(&told.e, bucket, now_ns);
    told.full_ns = until > now_ns ? until - now_ns : 0;
    return told;
}

void limit_put_fields(struct limit *limit, const struct limit_turn *turn, uint64_t now_ms, struct buf *out)
{
    struct told told[LIMIT_SCOPE_COUNT] = {0};
    turn_lock(turn);
    for (int i = 0; i < LIMIT_SCOPE_COUNT; i++)
        if (turn->buckets[i])
            told[i] = tell(limit, (enum limit_scope)i, turn->buckets[i], now_ms * NS_PER_MS);
    turn_unlock(turn);
    const char *before = "RateLimit-Policy: ";
    for (int i = 0; i < LIMIT_SCOPE_COUNT; i++) {
        if (told[i].e.rate <= 0 || told[i].e.shadow)
            continue;
        buf_append_text(out, before);
        put_policy(out, (enum limit_scope)i, &told[i].e);
        before = ", ";
    }
    if (before[0] == 'R')
        return;
    before = "\r\nRateLimit: ";
    for (int i = 0; i < LIMIT_SCOPE_COUNT; i++) {
        if (told[i].e.rate <= 0 || told[i].e.shadow)
            continue;
        buf_append_text(out, before);
        put_state(out, (enum limit_scope)i, turn, &told[i]);
        before = ", ";
    }
    buf_append_text(out, "\r\n");
}

/* --- states -------------------------------------------------------------------------------------------- */

struct look {
    struct limit *limit;
    struct slice tenant;
    uint64_t now_ns;
    void (*fn)(const struct limit_state *state, void *arg);
    void *arg;
};

static void show(const struct look *look, struct limit_bucket *bucket, struct slice key)
{
    const struct limit_rule *rule = &look->limit->rules[bucket->scope];
    bucket_settle(rule, bucket, look->now_ns);
    struct told told = tell(look->limit, bucket->scope, bucket, look->now_ns);
    struct limit_state state = {
        .scope = bucket->scope,
        .key = key,
        .rate = told.e.rate,
        .configured_rate = bucket->own_rate > 0 ? bucket->own_rate : rule->rate,
        .burst = told.e.burst,
        .remaining = told.remaining,
        .concurrency = rule->concurrency,
        .in_flight = bucket->in_flight,
        .waiting = atomic_load_explicit(&bucket->waiting, memory_order_relaxed),
        .paused_ms = bucket->pause_ns > look->now_ns ? (bucket->pause_ns - look->now_ns) / NS_PER_MS : 0,
        .learned = told.e.learned,
        .shadow = rule->shadow,
    };
    look->fn(&state, look->arg);
}

static bool is_wanted(const struct look *look, const struct limit_bucket *bucket)
{
    struct slice key = slice_of(bucket->key, bucket->key_len);
    if (look->tenant.len > 0)
        return bucket->scope == LIMIT_TENANT
                   ? slice_equal(key, look->tenant)
                   : bucket->scope == LIMIT_CREDENTIAL &&
                         slice_equal(slice_of(bucket->key, bucket->owner_len), look->tenant);
    double rate = look->limit->rules[bucket->scope].rate,
           learned = learn_rate(&bucket->learned, rate, look->now_ns);
    return atomic_load_explicit(&bucket->waiting, memory_order_relaxed) > 0 ||
           (learned > 0 && (rate <= 0 || learned < rate));
}

void limit_each(struct limit *limit, struct slice tenant, uint64_t now_ms,
                void (*fn)(const struct limit_state *state, void *arg), void *arg)
{
    struct look look = {limit, tenant, now_ms * NS_PER_MS, fn, arg};
    struct limit_bucket unused = {.scope = LIMIT_TENANT};
    bool seen = tenant.len == 0;
    pthread_mutex_lock(&limit->shards[CLIENT_SHARD].lock);
    show(&look, limit->client, SLICE(""));
    pthread_mutex_unlock(&limit->shards[CLIENT_SHARD].lock);
    for (int i = 0; i < SHARDS; i++) {
        struct limit_shard *shard = &limit->shards[i];
        pthread_mutex_lock(&shard->lock);
        list_each (node, &shard->ages) {
            struct limit_bucket *bucket = container_of(node, struct limit_bucket, age);
            if (!is_wanted(&look, bucket))
                continue;
            seen = seen || bucket->scope == LIMIT_TENANT;
            show(&look, bucket,
                 slice_of(bucket->key + bucket->owner_len, bucket->key_len - bucket->owner_len));
        }
        pthread_mutex_unlock(&shard->lock);
    }
    if (!seen)
        show(&look, &unused, tenant);
}

void limit_stats(struct limit *limit, struct limit_stats *out)
{
#define TAKE(field) out->field = atomic_load_explicit(&limit->stats.field, memory_order_relaxed)
    TAKE(granted);
    TAKE(waited);
    TAKE(wait_ms);
    TAKE(left);
    TAKE(yielded);
    TAKE(cuts);
    TAKE(keys);
    for (int i = 0; i < LIMIT_SCOPE_COUNT; i++) {
        TAKE(refused[i]);
        TAKE(shadow_refused[i]);
    }
#undef TAKE
    out->waiting = atomic_load_explicit(&limit->queue.waiting, memory_order_relaxed);
}
