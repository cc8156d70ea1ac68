/*
 * The finder: requests of tenants that nothing is mapped for wait here while one of them, on whatever worker,
 * has asked Rollout. A look-up stands in the shared table while it is under way, and behind that as the
 * memory that it took place. Those who wait on one worker are a party: the look-up's end posts each party to
 * its loop, and only there its waits are touched.
 */
#include <stdlib.h>

#include "base/digest.h"
#include "internal.h"

#define NOTHING_THERE "the tenant has no credential that serves this API, neither here nor at Rollout"
#define TOO_MANY      "nothing is mapped that serves this API; too many other tenants are being looked up"
#define NO_MEMORY     "nothing is mapped that serves this API; there is no memory to look it up"

struct look_up {
    struct map_node node;
    struct list rest;    /* in shared->rested, unless it is under way */
    struct list parties; /* while it is */
    bool flying;
    uint64_t until_ms;   /* what came out of it is believed so long */
    uint64_t recheck_ms; /* no doubt starts another before */
    const char *why;     /* for those who ask until then */
    size_t len;
    char tenant[CREDENTIAL_TENANT_MAX];
};

/* Of one worker, for one look-up. */
struct party {
    struct list node; /* in the look-up's parties, then in shared->landing */
    struct loop_task task;
    struct link *link;
    struct list waits; /* rollout_wait, the worker's own */
    const char *why;
};

/* Of the worker that asks. */
struct search {
    struct link *link;
    struct look_up *look_up;
    struct listing *listing;
    bool doubted; /* because of an answer, which takes the list's word for what is missing */
    struct credential_lesson lesson;
    char text[CREDENTIAL_ID_MAX + CREDENTIAL_API_NAME_MAX];
};

/* --- the table (under the lock)
 * ------------------------------------------------------------------------------------ */

static struct look_up *table_find(const struct link_shared *shared, struct slice tenant)
{
    struct map_node *node = map_find(&shared->look_ups, digest_hash(tenant));
    for (; node; node = map_next(node)) {
        struct look_up *look_up = container_of(node, struct look_up, node);
        if (slice_equal(slice_of(look_up->tenant, look_up->len), tenant))
            return look_up;
    }
    return NULL;
}

static void table_drop(struct link_shared *shared, struct look_up *look_up)
{
    map_remove(&shared->look_ups, &look_up->node);
    list_remove(&look_up->rest);
    free(look_up);
}

/* Forgets what nobody would ask for any more, and the oldest when the table is full. */
static void table_tidy(struct link_shared *shared, uint64_t now)
{
    while (!list_empty(&shared->rested)) {
        struct look_up *oldest = container_of(shared->rested.next, struct look_up, rest);
        bool over = now >= oldest->until_ms && now >= oldest->recheck_ms;
        if (!over && shared->look_ups.count < LINK_REMEMBERED_MAX)
            return;
        table_drop(shared, oldest);
    }
}

/* NULL: out of memory. A new one counts as one that ended long ago. */
static struct look_up *table_take(struct link_shared *shared, struct slice tenant, uint64_t now)
{
    struct look_up *look_up = table_find(shared, tenant);
    if (look_up)
        return look_up;
    table_tidy(shared, now);
    look_up = calloc(1, sizeof *look_up);
    if (!look_up || tenant.len > sizeof look_up->tenant ||
        map_insert(&shared->look_ups, &look_up->node, digest_hash(tenant))) {
        free(look_up);
        return NULL;
    }
    list_init(&look_up->parties);
    list_push_back(&shared->rested, &look_up->rest);
    memcpy(look_up->tenant, tenant.ptr, tenant.len);
    look_up->len = tenant.len;
    return look_up;
}

static void table_fly(struct link_shared *shared, struct look_up *look_up)
{
    look_up->flying = true;
    shared->flying++;
    list_remove(&look_up->rest);
}

/* --- those who wait
 * ----------------------------------------------------------------------------------------------- */

static void run_party(struct loop_task *task)
{
    struct party *party = container_of(task, struct party, task);
    struct link_shared *shared = party->link->shared;
    struct list *node;
    pthread_mutex_lock(&shared->lock);
    list_remove(&party->node);
    pthread_mutex_unlock(&shared->lock);
    while ((node = list_pop(&party->waits))) {
        struct rollout_wait *wait = container_of(node, struct rollout_wait, node);
        wait->why = party->why;
        wait->on_found(wait);
    }
    free(party);
}

/* Under the lock. False: out of memory. */
static bool join(struct link *link, struct look_up *look_up, struct rollout_wait *wait)
{
    struct party *party = NULL;
    list_each (node, &look_up->parties) {
        party = container_of(node, struct party, node);
        if (party->link == link)
            break;
        party = NULL;
    }
    if (!party) {
        party = calloc(1, sizeof *party);
        if (!party)
            return false;
        party->link = link;
        party->task.run = run_party;
        list_init(&party->waits);
        list_push_back(&look_up->parties, &party->node);
    }
    list_push_back(&party->waits, &wait->node);
    return true;
}

static void cancel(void *owner, struct rollout_wait *wait)
{
    (void)owner;
    list_remove(&wait->node);
}

/* --- the search
 * --------------------------------------------------------------------------------------------------- */

static uint64_t believed_ms(const struct link *link, const struct trouble *trouble)
{
    uint64_t most = link->options.negative_ms;
    if (trouble->problem == PROBLEM_COUNT)
        return most;
    uint64_t told = trouble->retry_after_s < most / 1000 ? trouble->retry_after_s * 1000 : most;
    return told > LINK_FAILED_MS ? told : LINK_FAILED_MS;
}

/* The look-up is over: every party hears of it on its own loop. */
static void finish(struct link *link, struct look_up *look_up, const struct trouble *trouble)
{
    struct link_shared *shared = link->shared;
    uint64_t now = loop_now(link->loop);
    pthread_mutex_lock(&shared->lock);
    look_up->flying = false;
    shared->flying--;
    look_up->until_ms = now + believed_ms(link, trouble);
    look_up->recheck_ms = now + LINK_RECHECK_MS;
    look_up->why = trouble->problem == PROBLEM_COUNT ? NOTHING_THERE : trouble->unknown;
    list_push_back(&shared->rested, &look_up->rest);
    list_each (node, &look_up->parties) {
        struct party *party = container_of(node, struct party, node);
        party->why = look_up->why;
        loop_post(party->link->loop, &party->task); /* takes the lock first thing */
    }
    list_splice(&shared->landing, &look_up->parties);
    pthread_mutex_unlock(&shared->lock);
}

static void search_end(struct search *search, const struct trouble *trouble)
{
    finish(search->link, search->look_up, trouble);
    if (search->listing)
        listing_free(search->listing);
    free(search);
}

static void on_synced(struct listing *listing)
{
    struct trouble trouble = {.problem = PROBLEM_COUNT};
    if (listing->sync.change.outcome)
        trouble = trouble_from(PROBLEM_STORE_UNAVAILABLE);
    search_end(listing->user, &trouble);
}

static void on_listed(struct listing *listing)
{
    struct search *search = listing->user;
    /* Nobody has doubted what an operator has mapped: who only looks for more takes nothing of that away. */
    listing->whole = listing->whole && search->doubted;
    if (listing->trouble.problem == PROBLEM_COUNT)
        listing_sync(listing, &search->lesson, on_synced);
    else
        search_end(search, &listing->trouble);
}

static void keep_lesson(struct search *search, const struct credential_lesson *lesson)
{
    if (lesson->api.len > CREDENTIAL_API_NAME_MAX || lesson->id.len > CREDENTIAL_ID_MAX)
        return;
    memcpy(search->text, lesson->api.ptr, lesson->api.len);
    search->lesson.api = slice_of(search->text, lesson->api.len);
    if (lesson->id.len > 0)
        memcpy(search->text + lesson->api.len, lesson->id.ptr, lesson->id.len);
    search->lesson.id = slice_of(search->text + lesson->api.len, lesson->id.len);
}

/* The look-up is flying already. */
static void ask(struct link *link, struct look_up *look_up, bool doubted,
                const struct credential_lesson *lesson)
{
    const struct trouble none = trouble_from(PROBLEM_OVERLOADED);
    struct search *search = calloc(1, sizeof *search);
    if (!search) {
        finish(link, look_up, &none);
        return;
    }
    search->link = link;
    search->look_up = look_up;
    search->doubted = doubted;
    keep_lesson(search, lesson);
    search->listing =
        listing_start(link, slice_of(look_up->tenant, look_up->len), doubted, search, on_listed);
    if (!search->listing)
        search_end(search, &none);
}

/* --- what is asked of the finder
 * ----------------------------------------------------------------------------------- */

enum answer { WAIT, ASK_AND_WAIT, KNOWN };

/* Under the lock. */
static enum answer decide(struct link *link, struct look_up *look_up, struct rollout_wait *wait)
{
    struct link_shared *shared = link->shared;
    bool flying = look_up && look_up->flying;
    wait->why = NO_MEMORY;
    if (!look_up)
        return KNOWN;
    if (!flying && loop_now(link->loop) < look_up->until_ms) {
        wait->why = look_up->why;
        return KNOWN;
    }
    if (!flying && shared->flying >= LINK_FLYING_MAX) {
        wait->why = TOO_MANY;
        return KNOWN;
    }
    if (!join(link, look_up, wait))
        return KNOWN;
    if (flying)
        return WAIT;
    table_fly(shared, look_up);
    return ASK_AND_WAIT;
}

static bool discover(void *owner, struct slice tenant, struct slice api, struct rollout_wait *wait)
{
    struct link *link = owner;
    struct link_shared *shared = link->shared;
    if (!link->options.discovery)
        return false;
    pthread_mutex_lock(&shared->lock);
    struct look_up *look_up = table_take(shared, tenant, loop_now(link->loop));
    enum answer answer = decide(link, look_up, wait);
    pthread_mutex_unlock(&shared->lock);
    const struct credential_lesson lesson = {.api = api}; /* what was learned has left nothing: try again */
    if (answer == ASK_AND_WAIT)
        ask(link, look_up, false, &lesson);
    return answer != KNOWN;
}

static void doubt(void *owner, const struct rollout_doubt *doubted)
{
    struct link *link = owner;
    struct link_shared *shared = link->shared;
    uint64_t now = loop_now(link->loop);
    if (!link->options.discovery)
        return;
    pthread_mutex_lock(&shared->lock);
    struct look_up *look_up = table_take(shared, doubted->tenant, now);
    bool wanted =
        look_up && !look_up->flying && now >= look_up->recheck_ms && shared->flying < LINK_FLYING_MAX;
    if (wanted)
        table_fly(shared, look_up);
    pthread_mutex_unlock(&shared->lock);
    /* Only 403 may be about the API alone; it is, when the list still has the credential. */
    const struct credential_lesson refused = {doubted->credential_id, doubted->api},
                                   nothing = {{NULL, 0}, {"", 0}};
    if (wanted)
        ask(link, look_up, true, doubted->status == 403 ? &refused : &nothing);
}

struct rollout_finder link_finder(struct link *link)
{
    return (struct rollout_finder){link, discover, cancel, doubt};
}

static void drop_node(struct map_node *node, void *arg)
{
    struct look_up *look_up = container_of(node, struct look_up, node);
    (void)arg;
    list_each_safe (party, &look_up->parties)
        free(container_of(party, struct party, node));
    free(look_up);
}

void link_shared_destroy(struct link_shared *shared)
{
    if (!shared)
        return;
    list_each_safe (party, &shared->landing)
        free(container_of(party, struct party, node));
    map_each(&shared->look_ups, drop_node, NULL);
    map_deinit(&shared->look_ups);
    pthread_mutex_destroy(&shared->lock);
    free(shared);
}

/* --- an operator's
 * ------------------------------------------------------------------------------------------------ */

static void operator_told(struct listing *listing, const struct trouble *trouble)
{
    struct link_search *search = listing->user;
    search->problem = trouble->problem;
    search->why = trouble->why;
    listing_free(listing);
    search->on_done(search);
}

static void on_operator_synced(struct listing *listing)
{
    struct link_search *search = listing->user;
    const struct credential_sync *sync = &listing->sync;
    struct trouble trouble = {.problem = PROBLEM_COUNT};
    if (sync->change.outcome)
        trouble = trouble_from(PROBLEM_STORE_UNAVAILABLE);
    search->added = sync->added;
    search->returned = sync->returned;
    search->gone = sync->gone;
    search->foreign = sync->foreign;
    search->surplus = sync->surplus;
    operator_told(listing, &trouble);
}

static void on_operator_listed(struct listing *listing)
{
    if (listing->trouble.problem == PROBLEM_COUNT)
        listing_sync(listing, NULL, on_operator_synced);
    else
        operator_told(listing, &listing->trouble);
}

int link_search(struct link *link, struct slice tenant, struct link_search *search)
{
    search->added = search->returned = search->gone = search->foreign = search->surplus = 0;
    return listing_start(link, tenant, false, search, on_operator_listed) ? 0 : ERR_CLOSED;
}
