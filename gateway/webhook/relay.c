#include <stdlib.h>

#include "base/log.h"
#include "relay_internal.h"

enum {
    LOOK = 1024, /* letters looked at in a turn */
    TRIM_MS = 10 * 60 * 1000,
    TRIM = 1000, /* letters in a transaction */
    SPILL_MAX = 1 << 30,
};

void relay_count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

void relay_release(struct relay *relay)
{
    if (--relay->pending == 0)
        relay->on_closed(relay->arg);
}

/* --- news ------------------------------------------------------------------------------------------ */

struct look {
    struct relay *relay;
    unsigned seen;
};

static bool has_row(const struct relay *relay, const struct peer *peer, const struct letter *letter)
{
    struct outbox_row row = {peer->name, letter->credential_id, letter->number};
    char storage[OUTBOX_KEY_MAX];
    struct slice value;
    struct buf key;
    buf_init_fixed(&key, storage, sizeof storage);
    return !outbox_row_write(&key, &row) &&
           !store_get(relay->view, outbox_table(relay->outbox, OUTBOX_ROWS), buf_slice(&key), &value);
}

static bool on_letter(const struct letter *letter, void *arg)
{
    struct look *look = arg;
    struct relay *relay = look->relay;
    list_each (node, &relay->peers) {
        struct peer *peer = container_of(node, struct peer, node);
        if (!has_row(relay, peer, letter))
            continue;
        atomic_fetch_add(&peer->backlog, 1);
        peer_notice(peer, letter->credential_id);
    }
    relay->position = letter->number;
    return ++look->seen < LOOK;
}

/* Letters that left the window unseen (this loop had stood still for long): their rows are still there. */
static void catch_up(struct relay *relay, const struct outbox_window *window)
{
    relay->position = window->first - 1;
    list_each (node, &relay->peers)
        peer_recount(container_of(node, struct peer, node));
}

static void look_later(struct relay *relay);

static void run_look(struct loop_task *task)
{
    struct relay *relay = container_of(task, struct relay, look_task);
    struct letter_place place = outbox_letters(relay->outbox, relay->view);
    struct outbox_window window = {1, 0};
    struct look look = {relay, 0};
    relay->looking = false;
    if (relay->closing || store_view_begin(relay->view))
        return;
    int error = outbox_window(relay->outbox, relay->view, &window);
    bool behind = !error && relay->position > 0 && relay->position + 1 < window.first;
    if (!error && !behind)
        error = letter_scan(&place, relay->position + 1, on_letter, &look);
    store_view_end(relay->view);
    if (behind)
        catch_up(relay, &window);
    if (behind || look.seen == LOOK)
        look_later(relay);
    if (error)
        log_message(LOG_ERROR, "outbox-unreadable", "the relay cannot read the outbox: %s",
                    error_text(error));
}

static void look_later(struct relay *relay)
{
    if (relay->looking)
        return;
    relay->looking = true;
    relay->look_task.run = run_look;
    loop_defer(relay->loop, &relay->look_task);
}

static void on_news(struct outbox_listener *listener)
{
    look_later(container_of(listener, struct relay, listener));
}

/* --- the window, also while nothing comes ---------------------------------------------------------- */

struct trim {
    struct store_change change;
    struct relay *relay;
};

static int apply_trim(struct store_change *change, struct store_txn *txn)
{
    return outbox_trim(container_of(change, struct trim, change)->relay->outbox, txn, TRIM);
}

static void on_trimmed(struct store_change *change)
{
    struct trim *trim = container_of(change, struct trim, change);
    struct relay *relay = trim->relay;
    free(trim);
    relay_release(relay);
}

static void on_trim(struct loop_timer *timer)
{
    struct relay *relay = container_of(timer, struct relay, trim_timer);
    struct trim *trim = calloc(1, sizeof *trim);
    if (trim) {
        trim->relay = relay;
        trim->change = (struct store_change){.apply = apply_trim, .on_done = on_trimmed, .loop = relay->loop};
        relay->pending++;
        store_submit(outbox_store(relay->outbox), &trim->change);
    }
    list_each (node, &relay->peers) {
        struct peer *peer = container_of(node, struct peer, node);
        if (peer->failures > 0 || atomic_load(&peer->state) != RELAY_ACTIVE)
            missed_start(peer);
    }
    loop_timer_set(relay->loop, timer, loop_now(relay->loop) + TRIM_MS, on_trim);
}

/* --- start ----------------------------------------------------------------------------------------- */

struct survey {
    struct relay *relay;
    struct peer *peer;
    char name[AUDIENCE_NAME_MAX]; /* the last one that is not configured */
    size_t name_len;
};

/* Rows of one subscriber stand together. */
static bool on_row(struct slice key, struct slice value, void *arg)
{
    struct survey *survey = arg;
    struct relay *relay = survey->relay;
    struct outbox_row row;
    (void)value;
    if (!outbox_row_read(key, &row) || row.name.len > sizeof survey->name)
        return true;
    if (!survey->peer || !slice_equal(survey->peer->name, row.name))
        survey->peer = peer_find(relay, row.name);
    if (survey->peer) {
        atomic_fetch_add(&survey->peer->backlog, 1);
    } else if (!slice_equal(slice_of(survey->name, survey->name_len), row.name)) {
        memcpy(survey->name, row.name.ptr, row.name.len);
        survey->name_len = row.name.len;
        drop_start(relay, row.name);
    }
    return true;
}

static int take_stock(struct relay *relay)
{
    struct survey survey = {.relay = relay};
    struct outbox_window window;
    int error = store_view_begin(relay->view);
    if (error)
        return error;
    error = outbox_window(relay->outbox, relay->view, &window);
    relay->position = window.last;
    if (!error || error == ERR_CORRUPT)
        error = store_scan(relay->view, outbox_table(relay->outbox, OUTBOX_ROWS), SLICE(""), on_row, &survey,
                           NULL);
    store_view_end(relay->view);
    list_each (node, &relay->peers) {
        struct peer *peer = container_of(node, struct peer, node);
        if (atomic_load(&peer->backlog) > 0)
            peer_walk(peer);
    }
    return error;
}

static int make_peers(struct relay *relay)
{
    for (size_t i = 0; i < audience_count(relay->audience); i++)
        if (!peer_create(relay, audience_at(relay->audience, i)))
            return ERR_NOMEM;
    return 0;
}

struct relay *relay_create(struct loop *loop, struct outbox *outbox, struct audience *audience,
                           const struct relay_settings *settings)
{
    struct relay *relay = calloc(1, sizeof *relay);
    if (!relay)
        return NULL;
    relay->loop = loop;
    relay->outbox = outbox;
    relay->settings = *settings;
    relay->audience = audience_retain(audience);
    relay->pending = 1; /* until it is closed */
    relay->listener.loop = loop;
    relay->listener.on_news = on_news;
    pthread_mutex_init(&relay->lock, NULL);
    list_init(&relay->peers);
    buf_init(&relay->spill, SPILL_MAX);
    relay->view = store_view_create(outbox_store(outbox));
    outbox_listen(outbox, &relay->listener); /* before it looks: nothing falls in between */
    if (!relay->view || make_peers(relay) || take_stock(relay))
        return NULL; /* the process ends */
    look_later(relay);
    loop_timer_set(loop, &relay->trim_timer, loop_now(loop) + TRIM_MS, on_trim);
    return relay;
}

/* --- reload ---------------------------------------------------------------------------------------- */

struct update {
    struct loop_task task;
    struct relay *relay;
    struct audience *audience; /* retained */
    struct relay_settings settings;
};

static void keep_or_leave(struct relay *relay)
{
    list_each_safe (node, &relay->peers) {
        struct peer *peer = container_of(node, struct peer, node);
        const struct audience_member *member = audience_find(relay->audience, peer->name);
        if (member) {
            peer_configure(peer, member);
            continue;
        }
        drop_start(relay, peer->name);
        peer_leave(peer);
    }
}

static void add_new(struct relay *relay)
{
    for (size_t i = 0; i < audience_count(relay->audience); i++) {
        const struct audience_member *member = audience_at(relay->audience, i);
        struct peer *peer = peer_find(relay, member->name);
        if (peer)
            continue;
        peer = peer_create(relay, member);
        if (peer)
            peer_recount(peer);
        else
            log_message(LOG_ERROR, "reload", "out of memory: %.*s gets its events after the next reload",
                        SLICE_ARG(member->name));
    }
}

static void run_update(struct loop_task *task)
{
    struct update *update = container_of(task, struct update, task);
    struct relay *relay = update->relay;
    struct audience *before = relay->audience;
    if (relay->closing) {
        audience_release(update->audience);
    } else {
        relay->audience = update->audience;
        relay->settings = update->settings;
        keep_or_leave(relay);
        add_new(relay);
        audience_release(before);
    }
    free(update);
}

int relay_configure(struct relay *relay, struct audience *audience, const struct relay_settings *settings)
{
    struct update *update = calloc(1, sizeof *update);
    if (!update)
        return ERR_NOMEM;
    update->relay = relay;
    update->audience = audience_retain(audience);
    update->settings = *settings;
    update->task.run = run_update;
    loop_post(relay->loop, &update->task);
    return 0;
}

/* --- end ------------------------------------------------------------------------------------------- */

static void run_close(struct loop_task *task)
{
    relay_release(container_of(task, struct relay, close_task));
}

void relay_close(struct relay *relay, void (*on_closed)(void *arg), void *arg)
{
    relay->closing = true;
    relay->on_closed = on_closed;
    relay->arg = arg;
    outbox_unlisten(relay->outbox, &relay->listener);
    loop_timer_clear(relay->loop, &relay->trim_timer);
    list_each_safe (node, &relay->peers)
        peer_leave(container_of(node, struct peer, node));
    relay->close_task.run = run_close;
    loop_defer(relay->loop, &relay->close_task);
}

void relay_destroy(struct relay *relay)
{
    if (!relay)
        return;
    audience_release(relay->audience);
    store_view_destroy(relay->view);
    buf_deinit(&relay->spill);
    pthread_mutex_destroy(&relay->lock);
    free(relay);
}

/* --- what it shows --------------------------------------------------------------------------------- */

static void take(const struct relay_counters *counters, struct relay_stats *out)
{
#define TAKE(name) out->name = atomic_load_explicit(&counters->name, memory_order_relaxed)
    TAKE(delivered);
    TAKE(failed);
    TAKE(dead);
    TAKE(missed);
    TAKE(dropped);
#undef TAKE
}

void relay_stats(const struct relay *relay, struct relay_stats *out)
{
    take(&relay->counters, out);
}

const char *relay_state_name(enum relay_state state)
{
    switch (state) {
    case RELAY_ACTIVE:
        return "active";
    case RELAY_PAUSED:
        return "paused";
    case RELAY_DISABLED:
        return "disabled";
    }
    return "unknown";
}

void relay_each(struct relay *relay, void (*visit)(const struct relay_subscriber *subscriber, void *arg),
                void *arg)
{
    pthread_mutex_lock(&relay->lock);
    list_each (node, &relay->peers) {
        struct peer *peer = container_of(node, struct peer, node);
        struct relay_subscriber shown = {.name = peer->name,
                                         .state = (enum relay_state)atomic_load(&peer->state),
                                         .backlog = atomic_load(&peer->backlog),
                                         .in_flight = atomic_load(&peer->shown_in_flight)};
        take(&peer->counters, &shown.stats);
        visit(&shown, arg);
    }
    pthread_mutex_unlock(&relay->lock);
}
