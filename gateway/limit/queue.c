/*
 * Who waits, and who is next. Tenants stand in a ring and take turns; within a tenant its services do. Every
 * request costs one, so deficit round robin comes down to this. A tenant whose own bucket is empty leaves the
 * ring until that has a token; when the client's bucket is empty the ring stands still.
 */
#include <stdlib.h>

#include "limit_internal.h"

enum {
    FLOW_LOOK = 32
}; /* turns of one service that are looked at past those whose credential is at its limit */

/* --- places -------------------------------------------------------------------------------------------- */

static struct limit_flow *flow_find(const struct limit_lane *lane, struct slice service)
{
    list_each (node, &lane->flows) {
        struct limit_flow *flow = container_of(node, struct limit_flow, in_lane);
        if (slice_equal(flow->service, service))
            return flow;
    }
    return NULL;
}

static bool heap_reserve(struct queue *queue)
{
    if (queue->lanes < queue->heap_cap)
        return true;
    size_t cap = queue->heap_cap > 0 ? queue->heap_cap * 2 : 64;
    struct limit_lane **heap = realloc(queue->heap, cap * sizeof *heap);
    if (!heap)
        return false;
    queue->heap = heap;
    queue->heap_cap = cap;
    return true;
}

static struct limit_lane *lane_create(struct queue *queue, struct limit_bucket *tenant)
{
    struct limit_lane *lane = heap_reserve(queue) ? calloc(1, sizeof *lane) : NULL;
    if (!lane)
        return NULL;
    lane->tenant = tenant;
    list_init(&lane->flows);
    list_init(&lane->in_ring);
    list_push_back(&queue->ring, &lane->in_ring);
    tenant->lane = lane;
    queue->lanes++;
    return lane;
}

static void lane_destroy(struct queue *queue, struct limit_lane *lane)
{
    list_remove(&lane->in_ring);
    if (lane->heap_at > 0)
        heap_take(queue, lane);
    lane->tenant->lane = NULL;
    queue->lanes--;
    free(lane);
}

static struct limit_flow *flow_create(struct limit_lane *lane, struct slice service)
{
    struct limit_flow *flow = calloc(1, sizeof *flow + service.len);
    if (!flow)
        return NULL;
    char *bytes = (char *)(flow + 1);
    if (service.len > 0)
        memcpy(bytes, service.ptr, service.len);
    flow->service = slice_of(bytes, service.len);
    flow->lane = lane;
    list_init(&flow->turns);
    list_push_back(&lane->flows, &flow->in_lane);
    lane->flow_count++;
    return flow;
}

static void flow_destroy(struct limit_flow *flow)
{
    list_remove(&flow->in_lane);
    flow->lane->flow_count--;
    free(flow);
}

/* The last places are for tenants that have few: the fuller the queue, the shorter each one's part (dynamic
 * thresholds, Choudhury and Hahne). */
static bool is_full(const struct limit *limit, const struct limit_lane *lane)
{
    uint64_t waiting = atomic_load_explicit(&limit->queue.waiting, memory_order_relaxed);
    size_t own = lane ? lane->len : 0;
    return waiting >= limit->waiting_max || own >= LANE_MAX || own > limit->waiting_max - waiting;
}

bool queue_push(struct limit *limit, struct limit_turn *turn, struct slice service, uint64_t deadline_ns)
{
    struct queue *queue = &limit->queue;
    struct limit_bucket *tenant = turn->buckets[LIMIT_TENANT];
    struct limit_lane *lane = tenant->lane;
    if (is_full(limit, lane))
        return false;
    if (!lane && !(lane = lane_create(queue, tenant)))
        return false;
    struct limit_flow *flow = flow_find(lane, service);
    if (!flow && !(flow = flow_create(lane, service))) {
        if (lane->len == 0)
            lane_destroy(queue, lane);
        return false;
    }
    turn->flow = flow;
    turn->deadline_ns = deadline_ns;
    list_push_back(&flow->turns, &turn->in_flow);
    list_push_back(&queue->deadlines[turn->by], &turn->in_deadlines);
    flow->len++;
    queue->longer[++lane->len]++;
    for (int i = 0; i < LIMIT_SCOPE_COUNT; i++)
        if (turn->buckets[i])
            count(&turn->buckets[i]->waiting);
    atomic_fetch_add(&queue->waiting, 1);
    return true;
}

void queue_remove(struct limit *limit, struct limit_turn *turn)
{
    struct limit_flow *flow = turn->flow;
    struct limit_lane *lane = flow->lane;
    turn->flow = NULL;
    list_remove(&turn->in_flow);
    list_remove(&turn->in_deadlines);
    limit->queue.longer[lane->len--]--;
    if (--flow->len == 0)
        flow_destroy(flow);
    if (lane->len == 0)
        lane_destroy(&limit->queue, lane);
    for (int i = 0; i < LIMIT_SCOPE_COUNT; i++)
        if (turn->buckets[i])
            atomic_fetch_sub_explicit(&turn->buckets[i]->waiting, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&limit->queue.waiting, 1, memory_order_relaxed);
}

static void unpark(struct queue *queue, struct limit_lane *lane)
{
    if (lane->heap_at == 0)
        return;
    heap_take(queue, lane);
    list_push_back(&queue->ring, &lane->in_ring);
}

void queue_stir(struct limit *limit, struct limit_bucket *tenant, bool all)
{
    struct queue *queue = &limit->queue;
    if (tenant && tenant->lane)
        unpark(queue, tenant->lane);
    while (all && queue->heap_len > 0)
        unpark(queue, queue->heap[0]);
}

/* --- how long it would take ---------------------------------------------------------------------------- */

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Turns of the tenant that come before the next one of `service`: its own, and of each other service one more
 * than those at most. */
static uint64_t ahead_in_lane(const struct limit_lane *lane, const struct limit_flow *own, bool leaving)
{
    uint64_t before = own ? own->len - leaving : 0, ahead = before;
    list_each (node, &lane->flows) {
        const struct limit_flow *flow = container_of(node, struct limit_flow, in_lane);
        if (flow != own)
            ahead += smaller(flow->len, before + 1);
    }
    return ahead;
}

/* … and of every other tenant likewise. */
static uint64_t ahead_in_ring(const struct queue *queue, const struct limit_lane *own, uint64_t in_lane)
{
    uint64_t ahead = in_lane, most = smaller(in_lane + 1, LANE_MAX);
    for (uint64_t k = 1; k <= most && queue->longer[k] > 0; k++)
        ahead += queue->longer[k];
    return own ? ahead - smaller(own->len, most) : ahead;
}

struct verdict queue_estimate(struct limit *limit, const struct limit_turn *turn, struct slice service,
                              uint64_t now_ns)
{
    const struct limit_lane *lane = turn->buckets[LIMIT_TENANT]->lane;
    const struct limit_flow *flow = lane ? flow_find(lane, service) : NULL;
    uint64_t ahead[LIMIT_SCOPE_COUNT] = {0};
    bool leaving = turn->flow != NULL; /* it waits itself, and would ask again */
    ahead[LIMIT_TENANT] = lane ? ahead_in_lane(lane, flow, leaving) : 0;
    ahead[LIMIT_CLIENT] = ahead_in_ring(&limit->queue, lane, ahead[LIMIT_TENANT]);
    if (turn->buckets[LIMIT_CREDENTIAL])
        ahead[LIMIT_CREDENTIAL] = smaller(turn->buckets[LIMIT_CREDENTIAL]->waiting, ahead[LIMIT_TENANT]);
    if (turn->buckets[LIMIT_SERVICE])
        ahead[LIMIT_SERVICE] = smaller(turn->buckets[LIMIT_SERVICE]->waiting, ahead[LIMIT_CLIENT]);
    turn_lock(turn);
    struct verdict verdict = turn_verdict(limit, turn, ahead, now_ns);
    turn_unlock(turn);
    return verdict;
}

/* --- granting ------------------------------------------------------------------------------------------ */

static void tell(struct limit_turn *turn, const struct limit_turn *asking)
{
    if (turn == asking)
        return;
    turn->posted = true;
    loop_post(turn->loop, &turn->task);
}

static void grant(struct limit *limit, struct limit_turn *turn, const struct limit_turn *asking,
                  uint64_t now_ns)
{
    struct limit_flow *flow = turn->flow;
    struct limit_lane *lane = flow->lane;
    bool last = flow->len == 1;
    if (!last) { /* the next service's turn */
        list_remove(&flow->in_lane);
        list_push_back(&lane->flows, &flow->in_lane);
    }
    queue_remove(limit, turn);
    turn->answer = LIMIT_GRANTED;
    turn->granted_ms = now_ns / NS_PER_MS;
    count(&limit->stats.granted);
    if (turn != asking) {
        count(&limit->stats.waited);
        atomic_fetch_add_explicit(&limit->stats.wait_ms, turn->granted_ms - turn->asked_ms,
                                  memory_order_relaxed);
    }
    tell(turn, asking);
}

/* What stands in this service's way: ready_ns <= now_ns when one of its turns was granted. */
static struct verdict serve_flow(struct limit *limit, struct limit_flow *flow,
                                 const struct limit_turn *asking, uint64_t now_ns)
{
    struct verdict soonest = {NEVER, LIMIT_CREDENTIAL};
    int looked = 0;
    list_each (node, &flow->turns) {
        struct limit_turn *turn = container_of(node, struct limit_turn, in_flow);
        struct verdict verdict = turn_take(limit, turn, now_ns);
        if (verdict.ready_ns <= now_ns) {
            grant(limit, turn, asking, now_ns);
            return verdict;
        }
        if (verdict.by != LIMIT_CREDENTIAL)
            return verdict;
        soonest.ready_ns = smaller(soonest.ready_ns, verdict.ready_ns);
        if (++looked == FLOW_LOOK)
            break;
    }
    return soonest;
}

/* Gives the tenant one turn. Its flows move to the end as they are served, the blocked ones keep their place.
 */
static struct verdict serve_lane(struct limit *limit, struct limit_lane *lane,
                                 const struct limit_turn *asking, uint64_t now_ns)
{
    struct verdict soonest = {NEVER, LIMIT_TENANT};
    list_each (node, &lane->flows) {
        struct verdict verdict =
            serve_flow(limit, container_of(node, struct limit_flow, in_lane), asking, now_ns);
        if (verdict.ready_ns <= now_ns || verdict.by == LIMIT_TENANT || verdict.by == LIMIT_CLIENT)
            return verdict;
        if (verdict.ready_ns < soonest.ready_ns)
            soonest = verdict;
    }
    return soonest;
}

static void serve_ring(struct limit *limit, const struct limit_turn *asking, uint64_t now_ns)
{
    struct queue *queue = &limit->queue;
    queue->client_due_ns = NEVER;
    while (!list_empty(&queue->ring)) {
        struct limit_lane *lane = container_of(queue->ring.next, struct limit_lane, in_ring);
        size_t len = lane->len;
        struct verdict verdict = serve_lane(limit, lane, asking, now_ns);
        if (verdict.ready_ns <= now_ns) {
            if (len > 1) { /* else it is gone */
                list_remove(&lane->in_ring);
                list_push_back(&queue->ring, &lane->in_ring);
            }
        } else if (verdict.by == LIMIT_CLIENT) {
            queue->client_due_ns = verdict.ready_ns;
            break;
        } else {
            list_remove(&lane->in_ring);
            lane->due_ns = verdict.ready_ns;
            heap_put(queue, lane);
        }
    }
    atomic_store_explicit(&queue->client_blocked, !list_empty(&queue->ring), memory_order_relaxed);
}

void turn_refuse(struct limit *limit, struct limit_turn *turn, struct verdict verdict, uint64_t now_ns)
{
    uint64_t wait = verdict.ready_ns != NEVER && verdict.ready_ns > now_ns ? verdict.ready_ns - now_ns : 0;
    turn->answer = LIMIT_REFUSED;
    turn->by = verdict.by;
    turn->retry_after_s = wait > NS_PER_S ? (wait + NS_PER_S - 1) / NS_PER_S : 1;
    count(&limit->stats.refused[verdict.by]);
}

static void expire(struct limit *limit, const struct limit_turn *asking, uint64_t now_ns)
{
    for (int i = 0; i < LIMIT_SCOPE_COUNT; i++) {
        struct list *line = &limit->queue.deadlines[i];
        while (!list_empty(line)) {
            struct limit_turn *turn = container_of(line->next, struct limit_turn, in_deadlines);
            if (turn->deadline_ns > now_ns)
                break;
            struct verdict verdict = queue_estimate(limit, turn, turn->flow->service, now_ns);
            queue_remove(limit, turn);
            turn_refuse(limit, turn, verdict, now_ns);
            tell(turn, asking);
        }
    }
}

void queue_pump(struct limit *limit, struct limit_turn *asking, uint64_t now_ns)
{
    struct queue *queue = &limit->queue;
    while (queue->heap_len > 0 && queue->heap[0]->due_ns <= now_ns)
        unpark(queue, queue->heap[0]);
    serve_ring(limit, asking, now_ns);
    expire(limit, asking, now_ns);
    atomic_store_explicit(&queue->client_blocked, !list_empty(&queue->ring), memory_order_relaxed);
}
