#include "webhook/outbox.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "bytes.h"
#include "event/event.h"

enum { TRIM = 4 }; /* for each letter that comes: so that the window shrinks to its bounds */

static const char window_key[] = "#window"; /* no subscriber's name has '#' */

struct outbox {
    struct store *store;
    int first_table;
    pthread_mutex_t lock;      /* of what follows */
    struct audience *audience; /* retained */
    struct outbox_bounds bounds;
    struct list listeners;
    atomic_uint streams;
};

struct outbox *outbox_create(struct store *store, int first_table)
{
    struct outbox *outbox = calloc(1, sizeof *outbox);
    if (!outbox)
        return NULL;
    outbox->store = store;
    outbox->first_table = first_table;
    pthread_mutex_init(&outbox->lock, NULL);
    list_init(&outbox->listeners);
    return outbox;
}

void outbox_destroy(struct outbox *outbox)
{
    if (!outbox)
        return;
    audience_release(outbox->audience);
    pthread_mutex_destroy(&outbox->lock);
    free(outbox);
}

void outbox_configure(struct outbox *outbox, struct audience *audience, const struct outbox_bounds *bounds)
{
    audience_retain(audience);
    pthread_mutex_lock(&outbox->lock);
    struct audience *before = outbox->audience;
    outbox->audience = audience;
    outbox->bounds = *bounds;
    pthread_mutex_unlock(&outbox->lock);
    audience_release(before);
}

struct outbox_bounds outbox_bounds(struct outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    struct outbox_bounds bounds = outbox->bounds;
    pthread_mutex_unlock(&outbox->lock);
    return bounds;
}

int outbox_table(const struct outbox *outbox, int which)
{
    return outbox->first_table + which;
}

struct store *outbox_store(const struct outbox *outbox)
{
    return outbox->store;
}

/* --- the window ------------------------------------------------------------------------------------ */

static bool window_read(struct slice value, struct outbox_window *out)
{
    if (value.len != 16)
        return false;
    *out = (struct outbox_window){bytes_get(value.ptr, 8), bytes_get(value.ptr + 8, 8)};
    return out->first <= out->last + 1;
}

int outbox_window(struct outbox *outbox, struct store_view *view, struct outbox_window *out)
{
    struct slice value;
    *out = (struct outbox_window){1, 0};
    int error = store_get(view, outbox_table(outbox, OUTBOX_ROWS), SLICE(window_key), &value);
    if (error == ERR_NOTFOUND)
        return 0;
    return error ? error : window_read(value, out) ? 0 : ERR_CORRUPT;
}

/* A new store, or a damaged one: numbers go on behind all that were ever given. */
int outbox_txn_window(struct outbox *outbox, struct store_txn *txn, struct outbox_window *out)
{
    struct slice value;
    int error = store_txn_get(txn, outbox_table(outbox, OUTBOX_ROWS), SLICE(window_key), &value);
    if (!error && window_read(value, out))
        return 0;
    if (error && error != ERR_NOTFOUND && error != ERR_CORRUPT)
        return error;
    uint64_t last = (uint64_t)clock_wall_ms() * 1000;
    *out = (struct outbox_window){last + 1, last};
    return 0;
}

static int window_write(struct outbox *outbox, struct store_txn *txn, const struct outbox_window *window)
{
    char text[16];
    bytes_put(text, 8, window->first);
    bytes_put(text + 8, 8, window->last);
    return store_txn_put(txn, outbox_table(outbox, OUTBOX_ROWS), SLICE(window_key),
                         slice_of(text, sizeof text));
}

struct beginning {
    struct store_change change;
    struct outbox *outbox;
};

static int apply_beginning(struct store_change *change, struct store_txn *txn)
{
    struct outbox *outbox = container_of(change, struct beginning, change)->outbox;
    struct outbox_window window;
    int error = outbox_txn_window(outbox, txn, &window);
    return error ? error : window_write(outbox, txn, &window);
}

int outbox_begin(struct outbox *outbox)
{
    struct beginning beginning = {.change = {.apply = apply_beginning}, .outbox = outbox};
    return store_apply(outbox->store, &beginning.change);
}

static int trim(struct outbox *outbox, struct store_txn *txn, struct outbox_window *window, unsigned most)
{
    struct outbox_bounds bounds = outbox_bounds(outbox);
    struct letter_place place = {.txn = txn, .table = outbox_table(outbox, OUTBOX_LETTERS)};
    int64_t oldest = clock_wall_ms() - (int64_t)bounds.keep_ms;
    int64_t at_ms;
    int error = 0;
    for (; most > 0 && window->first <= window->last && !error; most--) {
        bool many = window->last - window->first >= bounds.count_max;
        error = many ? 0 : letter_time(&place, window->first, &at_ms);
        if (error == 0 && !many && at_ms > oldest)
            break;
        error = letter_delete(&place, window->first);
        if (error == ERR_NOTFOUND)
            error = 0;
        window->first++;
    }
    return error;
}

int outbox_trim(struct outbox *outbox, struct store_txn *txn, unsigned most)
{
    struct outbox_window window;
    int error = outbox_txn_window(outbox, txn, &window);
    uint64_t first = window.first;
    if (!error)
        error = trim(outbox, txn, &window, most);
    return error || window.first == first ? error : window_write(outbox, txn, &window);
}

struct letter_place outbox_letters(struct outbox *outbox, struct store_view *view)
{
    return (struct letter_place){.view = view, .table = outbox_table(outbox, OUTBOX_LETTERS)};
}

/* --- rows ------------------------------------------------------------------------------------------ */

int outbox_row_write(struct buf *out, const struct outbox_row *row)
{
    char number[8];
    bytes_put(number, 8, row->number);
    buf_append_slice(out, row->name);
    buf_append_char(out, '\0');
    buf_append_slice(out, row->credential_id);
    buf_append_char(out, '\0');
    return buf_append(out, number, sizeof number);
}

bool outbox_row_read(struct slice key, struct outbox_row *out)
{
    struct slice rest;
    if (!slice_cut(key, '\0', &out->name, &rest) || out->name.len == 0)
        return false;
    if (!slice_cut(rest, '\0', &out->credential_id, &rest) || rest.len != 8)
        return false;
    out->number = bytes_get(rest.ptr, 8);
    return true;
}

void outbox_state_write(char out[OUTBOX_STATE], const struct outbox_state *state)
{
    bytes_put(out, 4, state->attempts);
    bytes_put(out + 4, 8, (uint64_t)state->next_ms);
}

struct outbox_state outbox_state_read(struct slice value)
{
    struct outbox_state state = {0, 0};
    if (value.len != OUTBOX_STATE)
        return state;
    state.attempts = (uint32_t)bytes_get(value.ptr, 4);
    state.next_ms = (int64_t)bytes_get(value.ptr + 4, 8);
    return state;
}

/* --- taking a letter in ---------------------------------------------------------------------------- */

static int put_row(struct outbox *outbox, struct store_txn *txn, const struct letter *letter,
                   struct slice name)
{
    char storage[OUTBOX_KEY_MAX], value[OUTBOX_STATE];
    struct outbox_row row = {name, letter->credential_id, letter->number};
    struct buf key;
    buf_init_fixed(&key, storage, sizeof storage);
    int error = outbox_row_write(&key, &row);
    if (error)
        return ERR_INVALID;
    outbox_state_write(value, &(struct outbox_state){0, 0});
    return store_txn_put(txn, outbox_table(outbox, OUTBOX_ROWS), buf_slice(&key),
                         slice_of(value, sizeof value));
}

static int put_rows(struct outbox *outbox, struct store_txn *txn, const struct letter *letter,
                    const struct audience *audience)
{
    char storage[EVENT_TEXT_MAX];
    struct buf event;
    size_t count = audience ? audience_count(audience) : 0;
    buf_init_fixed(&event, storage, sizeof storage);
    int error = event_normalise(&event, letter->name);
    if (letter->only.len > 0)
        return audience && audience_find(audience, letter->only) ? put_row(outbox, txn, letter, letter->only)
                                                                 : ERR_NOTFOUND;
    for (size_t i = 0; i < count && !error; i++) {
        const struct audience_member *member = audience_at(audience, i);
        if (audience_wants(member, buf_slice(&event), letter->tenant))
            error = put_row(outbox, txn, letter, member->name);
    }
    return error;
}

int outbox_put(struct outbox *outbox, struct store_txn *txn, const struct letter *letter, uint64_t *number)
{
    struct letter_place place = {.txn = txn, .table = outbox_table(outbox, OUTBOX_LETTERS)};
    struct letter numbered = *letter;
    struct outbox_window window;
    int error = outbox_txn_window(outbox, txn, &window);
    if (error)
        return error;
    pthread_mutex_lock(&outbox->lock);
    struct audience *audience = audience_retain(outbox->audience);
    pthread_mutex_unlock(&outbox->lock);
    numbered.number = ++window.last;
    error = put_rows(outbox, txn, &numbered, audience);
    audience_release(audience);
    if (!error)
        error = letter_write(&place, &numbered);
    if (!error)
        error = trim(outbox, txn, &window, TRIM);
    if (!error)
        error = window_write(outbox, txn, &window);
    if (number)
        *number = numbered.number;
    return error;
}

/* --- news ------------------------------------------------------------------------------------------ */

static void run_news(struct loop_task *task)
{
    struct outbox_listener *listener = container_of(task, struct outbox_listener, task);
    atomic_store(&listener->posted, false); /* before it looks: what comes later is told again */
    listener->on_news(listener);
}

void outbox_listen(struct outbox *outbox, struct outbox_listener *listener)
{
    listener->task.run = run_news;
    pthread_mutex_lock(&outbox->lock);
    list_push_back(&outbox->listeners, &listener->node);
    pthread_mutex_unlock(&outbox->lock);
}

void outbox_unlisten(struct outbox *outbox, struct outbox_listener *listener)
{
    pthread_mutex_lock(&outbox->lock);
    list_remove(&listener->node);
    pthread_mutex_unlock(&outbox->lock);
}

void outbox_announce(struct outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    list_each (node, &outbox->listeners) {
        struct outbox_listener *listener = container_of(node, struct outbox_listener, node);
        if (!atomic_exchange(&listener->posted, true))
            loop_post(listener->loop, &listener->task);
    }
    pthread_mutex_unlock(&outbox->lock);
}

/* --- streams --------------------------------------------------------------------------------------- */

bool outbox_stream_open(struct outbox *outbox)
{
    unsigned most = outbox_bounds(outbox).streams_max;
    if (atomic_fetch_add(&outbox->streams, 1) < most)
        return true;
    atomic_fetch_sub(&outbox->streams, 1);
    return false;
}

void outbox_stream_close(struct outbox *outbox)
{
    atomic_fetch_sub(&outbox->streams, 1);
}

unsigned outbox_streams(struct outbox *outbox)
{
    return atomic_load(&outbox->streams);
}
