#include "limit/limit.h"

#include <assert.h>
#include <stdlib.h>

#include "limit_internal.h"

enum { KEYS_MAX = 262144, WAITING_MAX = 16384 };

const char *limit_scope_name(enum limit_scope scope)
{
    static const char *const names[] = {
#define NAME(id, name) name,
        LIMIT_SCOPES(NAME)
#undef NAME
    };
    return names[scope];
}

/* --- life ---------------------------------------------------------------------------------------------- */

static void set_rules(struct limit *limit, const struct limit_options *options)
{
    memcpy(limit->rules, options->rules, sizeof limit->rules);
    for (int i = 0; i < LIMIT_SCOPE_COUNT; i++)
        atomic_store_explicit(&limit->on[i], options->rules[i].rate > 0 || options->rules[i].concurrency > 0,
                              memory_order_relaxed);
}

static void shard_init(struct limit_shard *shard)
{
    pthread_mutex_init(&shard->lock, NULL);
    map_init(&shard->buckets);
    list_init(&shard->ages);
}

struct limit *limit_create(const struct limit_options *options)
{
    struct limit *limit = calloc(1, sizeof *limit);
    struct limit_bucket *client = calloc(1, sizeof *client);
    if (!limit || !client) {
        free(limit);
        free(client);
        return NULL;
    }
    for (int i = 0; i <= SHARDS; i++)
        shard_init(&limit->shards[i]);
    client->shard = &limit->shards[CLIENT_SHARD];
    client->scope = LIMIT_CLIENT;
    list_init(&client->age);
    limit->client = client;
    limit->shard_keys_max = (options->keys_max ? options->keys_max : KEYS_MAX) / SHARDS + 1;
    limit->waiting_max = options->waiting_max ? options->waiting_max : WAITING_MAX;
    pthread_mutex_init(&limit->queue.lock, NULL);
    list_init(&limit->queue.ring);
    for (int i = 0; i < LIMIT_SCOPE_COUNT; i++)
        list_init(&limit->queue.deadlines[i]);
    limit->queue.client_due_ns = NEVER;
    limit->queue.promised_ns = NEVER;
    set_rules(limit, options);
    return limit;
}

void limit_configure(struct limit *limit, const struct limit_options *options)
{
    pthread_mutex_lock(&limit->queue.lock);
    for (int i = 0; i <= SHARDS; i++)
        pthread_mutex_lock(&limit->shards[i].lock);
    set_rules(limit, options);
    for (int i = SHARDS; i >= 0; i--)
        pthread_mutex_unlock(&limit->shards[i].lock);
    queue_stir(limit, NULL, true);
    pthread_mutex_unlock(&limit->queue.lock);
}

void limit_destroy(struct limit *limit)
{
    if (!limit)
        return;
    assert(limit->queue.lanes == 0);
    for (int i = 0; i <= SHARDS; i++) {
        map_each(&limit->shards[i].buckets, bucket_free, NULL);
        map_deinit(&limit->shards[i].buckets);
        pthread_mutex_destroy(&limit->shards[i].lock);
    }
    pthread_mutex_destroy(&limit->queue.lock);
    free(limit->queue.heap);
    free(limit->client);
    free(limit);
}

/* --- taking -------------------------------------------------------------------------------------------- */

static const enum limit_scope order[] = {LIMIT_TENANT, LIMIT_CREDENTIAL, LIMIT_SERVICE, LIMIT_CLIENT};

struct verdict turn_verdict(const struct limit *limit, const struct limit_turn *turn,
                            const uint64_t ahead[LIMIT_SCOPE_COUNT], uint64_t now_ns)
{
    struct verdict latest = {0, LIMIT_TENANT};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        enum limit_scope scope = order[i];
        struct limit_bucket *bucket = turn->buckets[scope];
        if (!bucket || limit->rules[scope].shadow)
            continue;
        if (scope == LIMIT_CLIENT && !ahead && latest.ready_ns > now_ns)
            break; /* somebody else's turn it can be */
        bucket_settle(&limit->rules[scope], bucket, now_ns);
        struct effective e = bucket_effective(&limit->rules[scope], bucket, now_ns);
        if (ahead)
            e.concurrency = 0; /* nobody can tell when one is given back */
        uint64_t ready = bucket_ready(&e, bucket, ahead ? ahead[scope] : 0, now_ns);
        if (ready > latest.ready_ns)
            latest = (struct verdict){ready, scope};
    }
    return latest;
}

static void charge_all(struct limit *limit, struct limit_turn *turn, uint64_t now_ns)
{
    for (int i = 0; i < LIMIT_SCOPE_COUNT; i++) {
        struct limit_bucket *bucket = turn->buckets[i];
        if (!bucket)
            continue;
        struct effective e = bucket_effective(&limit->rules[i], bucket, now_ns);
        if (e.shadow && bucket_ready(&e, bucket, 0, now_ns) > now_ns)
            count(&limit->stats.shadow_refused[i]);
        else
            bucket_charge(&e, bucket, now_ns);
        bucket->in_flight += turn->counted ? 0 : 1;
    }
    turn->counted = true;
}

struct verdict turn_take(struct limit *limit, struct limit_turn *turn, uint64_t now_ns)
{
    turn_lock(turn);
    struct verdict verdict = turn_verdict(limit, turn, NULL, now_ns);
    if (verdict.ready_ns <= now_ns)
        charge_all(limit, turn, now_ns);
    turn_unlock(turn);
    return verdict;
}

/* --- asking -------------------------------------------------------------------------------------------- */

static void run_turn(struct loop_task *task)
{
    struct limit_turn *turn = container_of(task, struct limit_turn, task);
    turn->posted = false;
    turn->on_turn(turn);
}

static enum limit_answer granted(struct limit *limit, struct limit_turn *turn, uint64_t now_ms)
{
    turn->answer = LIMIT_GRANTED;
    turn->granted_ms = now_ms;
    count(&limit->stats.granted);
    return LIMIT_GRANTED;
}

/* Nobody of the tenant waits, nor do those who could go but for the client's bucket. */
static bool way_is_free(struct limit *limit, const struct limit_turn *turn)
{
    return atomic_load_explicit(&turn->buckets[LIMIT_TENANT]->waiting, memory_order_relaxed) == 0 &&
           !(turn->buckets[LIMIT_CLIENT] &&
             atomic_load_explicit(&limit->queue.client_blocked, memory_order_relaxed));
}

static bool has_spare(struct limit *limit, const struct limit_turn *turn, uint64_t now_ns)
{
    bool spare = true;
    turn_lock(turn);
    for (int i = 0; i < LIMIT_SCOPE_COUNT && spare; i++) {
        if (!turn->buckets[i] || limit->rules[i].shadow)
            continue;
        struct effective e = bucket_effective(&limit->rules[i], turn->buckets[i], now_ns);
        spare = bucket_has_spare(&e, turn->buckets[i], now_ns);
    }
    turn_unlock(turn);
    return spare;
}

static enum limit_answer ask_background(struct limit *limit, struct limit_turn *turn, uint64_t now_ms)
{
    uint64_t now_ns = now_ms * NS_PER_MS;
    if (way_is_free(limit, turn) && has_spare(limit, turn, now_ns) &&
        turn_take(limit, turn, now_ns).ready_ns <= now_ns)
        return granted(limit, turn, now_ms);
    count(&limit->stats.yielded);
    turn->by = LIMIT_TENANT;
    turn->retry_after_s = 1;
    return turn->answer = LIMIT_REFUSED;
}

static enum limit_answer ask_queue(struct limit *limit, struct limit_turn *turn, struct slice service,
                                   uint64_t now_ns)
{
    pthread_mutex_lock(&limit->queue.lock);
    struct verdict verdict = queue_estimate(limit, turn, service, now_ns);
    uint64_t latest = now_ns + limit->rules[verdict.by].max_wait_ms * NS_PER_MS;
    turn->by = verdict.by;
    if (verdict.ready_ns > latest || !queue_push(limit, turn, service, latest)) {
        turn_refuse(limit, turn, verdict, now_ns);
    } else {
        turn->answer = LIMIT_WAITING;
        queue_stir(limit, turn->buckets[LIMIT_TENANT], false);
        queue_pump(limit, turn, now_ns);
    }
    enum limit_answer answer = turn->answer; /* another worker may be at it from here on */
    pthread_mutex_unlock(&limit->queue.lock);
    return answer;
}

enum limit_answer limit_ask(struct limit *limit, struct limit_turn *turn, const struct limit_who *who,
                            uint64_t now_ms)
{
    uint64_t now_ns = now_ms * NS_PER_MS;
    turn->asked_ms = now_ms;
    turn->task.run = run_turn;
    if (!buckets_pin(limit, turn, who, now_ns)) {
        turn_refuse(limit, turn, (struct verdict){0, LIMIT_TENANT}, now_ns);
        return LIMIT_REFUSED;
    }
    if (who->background)
        return ask_background(limit, turn, now_ms);
    if (way_is_free(limit, turn) && turn_take(limit, turn, now_ns).ready_ns <= now_ns)
        return granted(limit, turn, now_ms);
    return ask_queue(limit, turn, who->service, now_ns);
}

void limit_charge(struct limit *limit, struct limit_turn *turn, uint64_t now_ms)
{
    if (!turn->counted)
        return;
    turn_lock(turn);
    charge_all(limit, turn, now_ms * NS_PER_MS);
    turn_unlock(turn);
    turn->granted_ms = now_ms;
}

/* --- giving back --------------------------------------------------------------------------------------- */

void limit_done(struct limit *limit, struct limit_turn *turn, uint64_t now_ms)
{
    if (!turn->buckets[LIMIT_TENANT] || buckets_give_back(limit, turn))
        return;
    pthread_mutex_lock(&limit->queue.lock);
    queue_stir(limit, turn->buckets[LIMIT_TENANT],
               turn->buckets[LIMIT_SERVICE] && limit->rules[LIMIT_SERVICE].concurrency > 0);
    buckets_unpin(limit, turn);
    queue_pump(limit, NULL, now_ms * NS_PER_MS);
    pthread_mutex_unlock(&limit->queue.lock);
}

bool limit_leave(struct limit *limit, struct limit_turn *turn, uint64_t now_ms)
{
    pthread_mutex_lock(&limit->queue.lock);
    bool waits = turn->flow != NULL;
    if (waits) {
        queue_remove(limit, turn);
        count(&limit->stats.left);
    }
    pthread_mutex_unlock(&limit->queue.lock);
    if (!waits)
        return true;
    limit_done(limit, turn, now_ms);
    return false;
}

/* --- time ---------------------------------------------------------------------------------------------- */

void limit_pump(struct limit *limit, uint64_t now_ms)
{
    pthread_mutex_lock(&limit->queue.lock);
    limit->queue.promised_ns = NEVER; /* who promised is here, or asks again when it comes */
    queue_pump(limit, NULL, now_ms * NS_PER_MS);
    pthread_mutex_unlock(&limit->queue.lock);
}

static uint64_t due_ns(const struct queue *queue)
{
    uint64_t due = list_empty(&queue->ring) ? NEVER : queue->client_due_ns;
    if (queue->heap_len > 0 && queue->heap[0]->due_ns < due)
        due = queue->heap[0]->due_ns;
    for (int i = 0; i < LIMIT_SCOPE_COUNT; i++) {
        if (list_empty(&queue->deadlines[i]))
            continue;
        const struct limit_turn *first =
            container_of(queue->deadlines[i].next, struct limit_turn, in_deadlines);
        due = first->deadline_ns < due ? first->deadline_ns : due;
    }
    return due;
}

uint64_t limit_due_ms(struct limit *limit)
{
    if (atomic_load(&limit->queue.waiting) == 0)
        return NEVER;
    pthread_mutex_lock(&limit->queue.lock);
    uint64_t due = due_ns(&limit->queue);
    bool news = due < limit->queue.promised_ns;
    if (news)
        limit->queue.promised_ns = due;
    pthread_mutex_unlock(&limit->queue.lock);
    return news ? (due + NS_PER_MS - 1) / NS_PER_MS : NEVER;
}

/* --- learning ------------------------------------------------------------------------------------------ */

static void object(struct limit *limit, struct limit_bucket *bucket, struct objection objection)
{
    const struct limit_rule *rule = &limit->rules[bucket->scope];
    uint64_t now_ns = objection.now_ns, wait_ns;
    objection.rate = bucket_effective(rule, bucket, now_ns).rate;
    enum lesson lesson = learn_objection(&bucket->learned, &objection, &wait_ns);
    uint64_t until = now_ns + (objection.pause_ns > wait_ns ? objection.pause_ns : wait_ns);
    if (until > now_ns && until > bucket->pause_ns)
        bucket->pause_ns = until;
    if (lesson == LESSON_KNOWN)
        return;
    count(&limit->stats.cuts);
    /* No burst straight after: tokens come one by one, from the end of the pause. What was owed before was
     * owed at another rate. */
    struct effective e = bucket_effective(rule, bucket, now_ns);
    uint64_t full = until + e.tolerance_ns + (until > now_ns ? 0 : e.interval_ns);
    bucket->tat_ns = lesson == LESSON_CUT || bucket->tat_ns < full ? full : bucket->tat_ns;
}

void limit_learn(struct limit *limit, struct limit_turn *turn, int status, uint64_t retry_after_ms,
                 uint64_t now_ms)
{
    struct limit_bucket *tenant = turn->buckets[LIMIT_TENANT], *credential = turn->buckets[LIMIT_CREDENTIAL];
    if (!tenant)
        return;
    uint64_t pause_ms = retry_after_ms == UINT64_MAX          ? 0
                        : retry_after_ms < LIMIT_PAUSE_MAX_MS ? retry_after_ms
                                                              : LIMIT_PAUSE_MAX_MS;
    uint64_t now_ns = now_ms * NS_PER_MS;
    struct objection objection = {0, turn->granted_ms * NS_PER_MS, now_ns, pause_ms * NS_PER_MS,
                                  status == 503};
    turn_lock(turn);
    if (status == 429 || status == 503) {
        object(limit, status == 503 && credential ? credential : tenant, objection);
    } else {
        learn_accept(&tenant->learned, now_ns);
        if (credential)
            learn_accept(&credential->learned, now_ns);
    }
    turn_unlock(turn);
}
