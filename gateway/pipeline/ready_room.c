/*
 * Rooms: one for each credential and API whose data is not there yet while somebody waits for it. One of
 * those who wait asks now and then, however many they are; once it is answered all go. Shared by the workers.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/digest.h"
#include "base/random.h"
#include "ready.h"

enum { PAUSE_MS = 2000, PAUSE_MAX_MS = 10000, ASKED_MAX_MS = 60000 };

struct ready_room {
    struct map_node node; /* by the credential */
    struct list waiting;
    struct ready_waiting *prober; /* in `waiting` during its pause */
    unsigned polls;
    uint64_t due_ms, asked_ms;
    size_t credential_len;
    size_t len;
    char key[]; /* credential, API */
};

bool ready_open(struct ready_table *table)
{
    map_init(&table->rooms);
    return pthread_mutex_init(&table->lock, NULL) == 0;
}

void ready_close(struct ready_table *table)
{
    assert(table->rooms.count == 0);
    map_deinit(&table->rooms);
    pthread_mutex_destroy(&table->lock);
}

/* --- rooms; the table is locked
 * ---------------------------------------------------------------------------------- */

static struct slice credential_of(const struct ready_room *room)
{
    return slice_of(room->key, room->credential_len);
}

static struct ready_room *find(const struct ready_table *table, const struct cache_subject *subject)
{
    uint64_t hash = digest_hash(subject->credential);
    for (struct map_node *node = map_find(&table->rooms, hash); node; node = map_next(node)) {
        struct ready_room *room = container_of(node, struct ready_room, node);
        struct slice api = slice_of(room->key + room->credential_len, room->len - room->credential_len);
        if (slice_equal(credential_of(room), subject->credential) && slice_equal(api, subject->api))
            return room;
    }
    return NULL;
}

static struct ready_room *make(struct ready_table *table, const struct cache_subject *subject)
{
    struct ready_room *room = malloc(sizeof *room + subject->credential.len + subject->api.len);
    if (!room)
        return NULL;
    memset(room, 0, sizeof *room);
    list_init(&room->waiting);
    room->credential_len = subject->credential.len;
    room->len = subject->credential.len + subject->api.len;
    memcpy(room->key, subject->credential.ptr, subject->credential.len);
    memcpy(room->key + subject->credential.len, subject->api.ptr, subject->api.len);
    if (map_insert(&table->rooms, &room->node, digest_hash(subject->credential)) == 0)
        return room;
    free(room);
    return NULL;
}

static void destroy(struct ready_table *table, struct ready_room *room)
{
    map_remove(&table->rooms, &room->node);
    free(room);
}

static void order(struct ready_waiting *waiting, enum ready_order order)
{
    waiting->order = order;
    if (waiting->posted)
        return;
    waiting->posted = true;
    loop_post(waiting->loop, &waiting->task);
}

static void open_room(struct ready_table *table, struct ready_room *room)
{
    list_each_safe (node, &room->waiting) {
        struct ready_waiting *waiting = container_of(node, struct ready_waiting, node);
        list_remove(node);
        waiting->room = NULL;
        order(waiting, READY_GO);
    }
    if (room->prober && room->prober->room) { /* it is asking */
        room->prober->room = NULL;
        room->prober->told = true;
    }
    destroy(table, room);
}

/* The next one asks; without one the room is not needed. */
static void hand_over(struct ready_table *table, struct ready_room *room)
{
    if (list_empty(&room->waiting)) {
        destroy(table, room);
        return;
    }
    room->prober = container_of(room->waiting.next, struct ready_waiting, node);
    order(room->prober, READY_PROBE);
}

/* 2 s, 3 s, 4.5 s … 10 s, up to a fifth less, so that many rooms do not ask at once. */
static void plan(struct ready_room *room, uint64_t now_ms)
{
    uint64_t pause = PAUSE_MS;
    for (unsigned i = 0; i < room->polls && pause < PAUSE_MAX_MS; i++)
        pause += pause / 2;
    room->polls++;
    pause = pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS;
    pause -= random_u64() % (pause / 5);
    room->due_ms = now_ms + (pause > room->asked_ms ? pause : room->asked_ms);
}

/* --- those who wait
 * ------------------------------------------------------------------------------------------------ */

static uint64_t stand(struct ready_room *room, struct ready_waiting *waiting, uint64_t asked_ms,
                      uint64_t now_ms)
{
    list_push_back(&room->waiting, &waiting->node);
    waiting->room = room;
    if (!room->prober)
        room->prober = waiting;
    if (room->prober != waiting)
        return READY_NEVER;
    room->asked_ms = asked_ms < ASKED_MAX_MS ? asked_ms : ASKED_MAX_MS;
    plan(room, now_ms);
    return waiting->told ? now_ms : room->due_ms;
}

int ready_enter(struct ready_table *table, struct ready_waiting *waiting, const struct cache_subject *subject,
                uint64_t asked_ms, uint64_t now_ms, uint64_t *due_ms)
{
    pthread_mutex_lock(&table->lock);
    struct ready_room *room = waiting->room ? waiting->room : find(table, subject);
    if (!room)
        room = make(table, subject);
    if (room)
        *due_ms = stand(room, waiting, asked_ms, now_ms);
    waiting->told = false;
    pthread_mutex_unlock(&table->lock);
    return room ? 0 : ERR_NOMEM;
}

void ready_depart(struct ready_table *table, struct ready_waiting *waiting)
{
    pthread_mutex_lock(&table->lock);
    list_remove(&waiting->node);
    pthread_mutex_unlock(&table->lock);
}

static void leave(struct ready_table *table, struct ready_waiting *waiting, bool good)
{
    struct ready_room *room = waiting->room;
    if (!room)
        return;
    list_remove(&waiting->node);
    waiting->room = NULL;
    if (room->prober != waiting)
        return;
    room->prober = NULL;
    if (good)
        open_room(table, room);
    else
        hand_over(table, room);
}

void ready_leave(struct ready_table *table, struct ready_waiting *waiting, bool good)
{
    pthread_mutex_lock(&table->lock);
    leave(table, waiting, good);
    pthread_mutex_unlock(&table->lock);
}

enum ready_order ready_take(struct ready_table *table, struct ready_waiting *waiting, uint64_t now_ms,
                            uint64_t *due_ms)
{
    pthread_mutex_lock(&table->lock);
    enum ready_order taken = waiting->order;
    waiting->order = READY_NOTHING;
    waiting->posted = false;
    struct ready_room *room = waiting->room;
    if (taken == READY_PROBE && !room)
        taken = READY_NOTHING; /* it has left meanwhile */
    if (taken == READY_PROBE && room->due_ms <= now_ms)
        plan(room, now_ms); /* who asked came to nothing */
    if (taken == READY_PROBE)
        *due_ms = room->due_ms;
    pthread_mutex_unlock(&table->lock);
    return taken;
}

void ready_end(struct ready_table *table, struct ready_waiting *waiting)
{
    pthread_mutex_lock(&table->lock);
    leave(table, waiting, false);
    waiting->visit = NULL;
    bool posted = waiting->posted;
    pthread_mutex_unlock(&table->lock);
    if (!posted)
        free(waiting);
}

/* --- who knows better
 * ---------------------------------------------------------------------------------------------- */

void pipeline_ready(struct pipeline_shared *shared, struct slice credential_id)
{
    struct ready_table *table = &shared->ready;
    uint64_t hash = digest_hash(credential_id);
    pthread_mutex_lock(&table->lock);
    for (struct map_node *node = map_find(&table->rooms, hash), *next; node; node = next) {
        struct ready_room *room = container_of(node, struct ready_room, node);
        next = map_next(node);
        if (slice_equal(credential_of(room), credential_id))
            open_room(table, room);
    }
    pthread_mutex_unlock(&table->lock);
}
