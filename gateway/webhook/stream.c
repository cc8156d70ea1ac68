#include "stream.h"

#include <stdlib.h>

#include "base/log.h"
#include "event/event.h"
#include "http/url.h"

enum {
    BACKLOG = 64 * 1024, /* that on_drained is about */
    WALK = 256,          /* letters looked at in a turn, for those that are fed together and for one other */
    GLOBS = 16,
    HEARTBEAT_MS = 15 * 1000,
    SPILL_MAX = 1 << 30,
};

struct streams {
    struct loop *loop;
    struct outbox *outbox;
    struct store_view *view;
    struct outbox_listener listener; /* while there is a stream */
    struct list live, behind;
    uint64_t position; /* of the live ones */
    unsigned count;
    struct loop_task task;
    struct loop_timer heartbeat;
    struct buf spill;
    bool woken, draining;
    void *owner;
    bool (*admits)(void *owner, const struct server_exchange *x, struct slice tenant); /* or NULL */
};

/* In the exchange's arena. */
struct stream {
    struct list node; /* live or behind; none once it has ended */
    struct streams *streams;
    struct server_exchange *x;
    struct slice tenant;
    struct slice globs[GLOBS]; /* normalised; none: every event */
    size_t glob_count;
    uint64_t position; /* while behind: what it has */
    bool full;         /* its connection has enough */
    uint64_t sent;
};

/* --- what is written ------------------------------------------------------------------------------- */

/* Bytes that several streams may have in their queues. */
struct chunk {
    unsigned refs;
    size_t len;
    char text[];
};

static void release_chunk(void *object)
{
    struct chunk *chunk = object;
    if (--chunk->refs == 0)
        free(chunk);
}

static void write_chunk(struct stream *stream, struct chunk *chunk)
{
    chunk->refs++;
    server_write(stream->x, (struct server_piece){slice_of(chunk->text, chunk->len), release_chunk, chunk});
    server_flush(stream->x); /* it is not known when the next one comes */
    stream->full = server_backlog(stream->x) >= BACKLOG;
}

static void give_up(struct stream *stream)
{
    list_remove(&stream->node);
    server_abort(stream->x);
}

/* NULL: out of memory. The caller holds one reference. */
static struct chunk *chunk_of(struct slice text)
{
    struct chunk *chunk = malloc(sizeof *chunk + text.len);
    if (!chunk)
        return NULL;
    *chunk = (struct chunk){.refs = 1, .len = text.len};
    memcpy(chunk->text, text.ptr, text.len);
    return chunk;
}

static void write_text(struct stream *stream, struct slice text)
{
    struct chunk *chunk = chunk_of(text);
    if (!chunk) {
        give_up(stream);
        return;
    }
    write_chunk(stream, chunk);
    release_chunk(chunk);
}

/* --- feeding --------------------------------------------------------------------------------------- */

static void wake(struct streams *streams);

/* A walk through letters, in a view: for one stream, or for all live ones. */
struct walk {
    struct streams *streams;
    struct stream *one; /* NULL: the live ones */
    uint64_t until;
    unsigned seen;
    bool stopped; /* before `until` */
};

static bool wants(const struct stream *stream, const struct letter *letter, struct slice event)
{
    if (!slice_equal(stream->tenant, letter->tenant))
        return false;
    for (size_t i = 0; i < stream->glob_count; i++)
        if (slice_glob(stream->globs[i], event))
            return true;
    return stream->glob_count == 0;
}

/* The event's name is letters, digits and - _ . : alone, and the body is one line. One that cannot be read is
 * a gap. NULL: no memory. */
static struct chunk *format_event(struct streams *streams, const struct letter *letter)
{
    struct letter_place place = outbox_letters(streams->outbox, streams->view);
    struct letter whole = *letter;
    struct chunk *chunk = NULL;
    struct buf text;
    bool damaged = !whole.body.ptr && letter_read(&place, letter->number, &streams->spill, &whole);
    unsigned long long number = letter->number;
    buf_init(&text, SPILL_MAX);
    buf_append_format(&text, "id: %llu\nevent: %.*s\ndata: ", number,
                      SLICE_ARG(damaged ? SLICE("gap") : whole.name));
    if (damaged)
        buf_append_format(&text, "{\"first\":%llu,\"last\":%llu}", number, number);
    else
        buf_append_slice(&text, whole.body);
    buf_append_text(&text, "\n\n");
    if (!text.failed)
        chunk = chunk_of(buf_slice(&text));
    buf_deinit(&text);
    return chunk;
}

/* Written once, however many have it. False: it cannot be written, and the stream has ended. */
static bool feed(struct stream *stream, const struct letter *letter, struct chunk **chunk)
{
    if (!*chunk)
        *chunk = format_event(stream->streams, letter);
    if (!*chunk) {
        give_up(stream);
        return false;
    }
    write_chunk(stream, *chunk);
    stream->sent++;
    return true;
}

static void feed_live(struct streams *streams, const struct letter *letter, struct slice event,
                      struct chunk **chunk)
{
    list_each_safe (node, &streams->live) {
        struct stream *stream = container_of(node, struct stream, node);
        if (!wants(stream, letter, event) || !feed(stream, letter, chunk) || !stream->full)
            continue;
        stream->position = letter->number;
        list_remove(&stream->node);
        list_push_back(&streams->behind, &stream->node);
    }
}

static bool on_letter(const struct letter *letter, void *arg)
{
    struct walk *walk = arg;
    struct stream *one = walk->one;
    struct chunk *chunk = NULL;
    char storage[EVENT_TEXT_MAX];
    struct buf event;
    if (letter->number > walk->until)
        return false;
    buf_init_fixed(&event, storage, sizeof storage);
    bool shown = letter->only.len == 0 && !event_normalise(&event, letter->name);
    if (shown && !one)
        feed_live(walk->streams, letter, buf_slice(&event), &chunk);
    else if (shown && wants(one, letter, buf_slice(&event)))
        walk->stopped = !feed(one, letter, &chunk) || one->full;
    if (chunk)
        release_chunk(chunk);
    if (one)
        one->position = letter->number;
    else
        walk->streams->position = letter->number;
    walk->stopped = walk->stopped || (++walk->seen == WALK && letter->number < walk->until);
    return !walk->stopped;
}

static bool walk_on(struct walk *walk, uint64_t position)
{
    struct letter_place place = outbox_letters(walk->streams->outbox, walk->streams->view);
    if (position >= walk->until)
        return true;
    return letter_scan(&place, position + 1, on_letter, walk) == 0 && !walk->stopped;
}

static struct stream *first_hungry(struct streams *streams)
{
    list_each (node, &streams->behind) {
        struct stream *stream = container_of(node, struct stream, node);
        if (!stream->full)
            return stream;
    }
    return NULL;
}

/* Up to where the live ones are: then it is one of them. */
static void feed_behind(struct streams *streams, uint64_t last)
{
    struct stream *stream = first_hungry(streams);
    if (!stream)
        return;
    bool alone = list_empty(&streams->live);
    struct walk walk = {streams, stream, alone ? last : streams->position, 0, false};
    list_remove(&stream->node);
    list_push_back(&streams->behind, &stream->node);
    if (!walk_on(&walk, stream->position))
        return;
    list_remove(&stream->node);
    list_push_back(&streams->live, &stream->node);
    if (alone)
        streams->position = last;
}

static void run(struct loop_task *task)
{
    struct streams *streams = container_of(task, struct streams, task);
    struct outbox_window window;
    bool more = false;
    streams->woken = false;
    if (streams->count == 0 || store_view_begin(streams->view))
        return;
    if (outbox_window(streams->outbox, streams->view, &window) == 0) {
        struct walk walk = {streams, NULL, window.last, 0, false};
        bool done = list_empty(&streams->live) || walk_on(&walk, streams->position);
        feed_behind(streams, window.last);
        more = !done || first_hungry(streams);
    }
    store_view_end(streams->view);
    if (more)
        wake(streams);
}

static void wake(struct streams *streams)
{
    if (streams->woken)
        return;
    streams->woken = true;
    streams->task.run = run;
    loop_defer(streams->loop, &streams->task);
}

static void on_news(struct outbox_listener *listener)
{
    wake(container_of(listener, struct streams, listener));
}

/* Of callers whose key was revoked, say, since they came. */
static void part(struct streams *streams, struct list *list)
{
    list_each_safe (node, list) {
        struct stream *stream = container_of(node, struct stream, node);
        if (!streams->admits(streams->owner, stream->x, stream->tenant))
            give_up(stream);
    }
}

/* A comment, so that the connection is known to be alive, and how far the stream is: a tenant of few events
 * resumes from there, too. */
static void on_heartbeat(struct loop_timer *timer)
{
    struct streams *streams = container_of(timer, struct streams, heartbeat);
    char storage[64];
    struct buf text;
    if (streams->admits) {
        part(streams, &streams->live);
        part(streams, &streams->behind);
    }
    buf_init_fixed(&text, storage, sizeof storage);
    buf_append_format(&text, ": still here\nid: %llu\n\n", (unsigned long long)streams->position);
    list_each_safe (node, &streams->live) {
        struct stream *stream = container_of(node, struct stream, node);
        if (server_backlog(stream->x) == 0)
            write_text(stream, buf_slice(&text));
    }
    if (streams->count > 0)
        loop_timer_set(streams->loop, timer, loop_now(streams->loop) + HEARTBEAT_MS, on_heartbeat);
}

/* --- one stream ------------------------------------------------------------------------------------ */

static void on_drained(struct server_exchange *x)
{
    struct stream *stream = x->user;
    stream->full = false;
    wake(stream->streams);
}

static void on_done(struct server_exchange *x, enum server_outcome outcome)
{
    struct stream *stream = x->user;
    struct streams *streams = stream->streams;
    struct log_line line;
    list_remove(&stream->node);
    outbox_stream_close(streams->outbox);
    if (--streams->count == 0)
        outbox_unlisten(streams->outbox, &streams->listener);
    if (!log_begin(&line, LOG_INFO, "stream"))
        return;
    log_text(&line, "request_id", x->request_id);
    log_text(&line, "tenant", stream->tenant);
    log_int(&line, "events", (int64_t)stream->sent);
    log_cstr(&line, "end", outcome == SERVER_SENT ? "ended" : outcome == SERVER_CUT ? "cut" : "client left");
    log_end(&line);
}

static bool query_value(struct server_exchange *x, struct slice name, struct slice *out)
{
    struct slice path, query, raw;
    struct buf text;
    slice_cut(x->request.target, '?', &path, &query);
    if (!url_query_find(query, name, &raw))
        return false;
    char *storage = arena_alloc(&x->arena, raw.len + 1);
    if (!storage)
        return false;
    buf_init_fixed(&text, storage, raw.len + 1);
    bool good = !url_decode(&text, raw);
    *out = buf_slice(&text);
    return good;
}

/* "people*,notesCreated". False: malformed, or too many. */
static bool take_globs(struct stream *stream)
{
    struct slice rest, one;
    if (!query_value(stream->x, SLICE("events"), &rest))
        return true;
    for (bool more = true; more;) {
        struct buf text;
        more = slice_cut(rest, ',', &one, &rest);
        char *storage =
            slice_is_name(one, EVENT_TEXT_MAX, "*-_.:") ? arena_alloc(&stream->x->arena, one.len) : NULL;
        if (!storage || stream->glob_count == GLOBS)
            return false;
        buf_init_fixed(&text, storage, one.len);
        if (event_normalise(&text, one))
            return false;
        stream->globs[stream->glob_count++] = buf_slice(&text);
    }
    return true;
}

/* Where it begins. True: the consumer asked for more than the window has, and has to be told. */
static bool take_position(struct stream *stream, const struct outbox_window *window)
{
    const struct http_field *field = http_find_name(&stream->x->request.fields, SLICE("Last-Event-ID"));
    struct slice asked = field ? field->value : (struct slice){NULL, 0};
    uint64_t number;
    stream->position = window->last;
    if (asked.len == 0 && !query_value(stream->x, SLICE("lastEventId"), &asked))
        return false;
    if (asked.len == 0)
        return false;
    if (!slice_to_u64(asked, &number) || number + 1 < window->first || number > window->last)
        return true;
    stream->position = number;
    return false;
}

static void begin(struct stream *stream, bool gap, const struct outbox_window *window)
{
    struct server_exchange *x = stream->x;
    struct slice date = server_date();
    char storage[256];
    struct buf text;
    struct slice fields = arena_format(
        &x->arena,
        "Date: %.*s\r\nX-Request-Id: %.*s\r\nContent-Type: text/event-stream\r\n"
        "Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n"
        "Cache-Status: rollout-gateway; fwd=bypass; detail=not-forwarded\r\nVia: 1.1 rollout-gateway\r\n",
        SLICE_ARG(date), SLICE_ARG(x->request_id));
    if (!fields.ptr) {
        give_up(stream);
        return;
    }
    buf_init_fixed(&text, storage, sizeof storage);
    buf_append_text(&text, "retry: 2000\n");
    if (gap)
        buf_append_format(&text, "event: gap\ndata: {\"first\":%llu,\"last\":%llu}\n",
                          (unsigned long long)window->first, (unsigned long long)window->last);
    buf_append_format(&text, "id: %llu\n\n", (unsigned long long)stream->position);
    server_begin(x, 200, fields, SERVER_LENGTH_UNKNOWN);
    write_text(stream, buf_slice(&text));
}

static bool is_allowed(struct streams *streams, struct server_exchange *x)
{
    if (x->request.method != METHOD_GET)
        server_problem(x, PROBLEM_METHOD_NOT_ALLOWED, "Allow: GET\r\n", "",
                       "event streams are read with GET");
    else if (streams->draining)
        server_problem(x, PROBLEM_OVERLOADED, "Retry-After: 1\r\n", "", "the gateway is about to stop");
    else if (!outbox_stream_open(streams->outbox))
        server_problem(x, PROBLEM_OVERLOADED, "Retry-After: 10\r\n", "",
                       "as many event streams are open as may be (webhooks.outbox.streams)");
    else
        return true;
    return false;
}

/* From here on on_done lets go of it. */
static struct stream *admit(struct streams *streams, struct server_exchange *x, struct slice tenant)
{
    struct stream *stream = arena_zalloc(&x->arena, sizeof *stream);
    if (!stream) {
        outbox_stream_close(streams->outbox);
        server_problem(x, PROBLEM_OVERLOADED, "", "", "out of memory");
        return NULL;
    }
    *stream = (struct stream){.streams = streams, .x = x, .tenant = tenant};
    list_init(&stream->node);
    x->user = stream;
    x->on_drained = on_drained;
    x->on_done = on_done;
    if (streams->count++ == 0) {
        outbox_listen(streams->outbox, &streams->listener);
        loop_timer_set(streams->loop, &streams->heartbeat, loop_now(streams->loop) + HEARTBEAT_MS,
                       on_heartbeat);
    }
    return stream;
}

void streams_open(struct streams *streams, struct server_exchange *x, struct slice tenant)
{
    struct outbox_window window = {1, 0};
    if (!is_allowed(streams, x))
        return;
    struct stream *stream = admit(streams, x, tenant);
    if (!stream)
        return;
    if (!take_globs(stream)) {
        server_problem(x, PROBLEM_BAD_REQUEST, "", "", "events: up to %d names or patterns, like people*",
                       GLOBS);
        return;
    }
    int error = store_view_begin(streams->view);
    if (!error) {
        error = outbox_window(streams->outbox, streams->view, &window);
        store_view_end(streams->view);
    }
    if (error) {
        server_problem(x, PROBLEM_STORE_UNAVAILABLE, "Retry-After: 5\r\n", "", "the outbox cannot be read");
        return;
    }
    list_push_back(&streams->behind, &stream->node);
    begin(stream, take_position(stream, &window), &window);
    wake(streams);
}

/* --- all of them ----------------------------------------------------------------------------------- */

struct streams *streams_create(struct loop *loop, struct outbox *outbox, struct store_view *view)
{
    struct streams *streams = calloc(1, sizeof *streams);
    if (!streams)
        return NULL;
    streams->loop = loop;
    streams->outbox = outbox;
    streams->view = view;
    streams->listener.loop = loop;
    streams->listener.on_news = on_news;
    list_init(&streams->live);
    list_init(&streams->behind);
    buf_init(&streams->spill, SPILL_MAX);
    return streams;
}

/* One whose reader is slow is cut: it would hold up the end. */
static void end_all(struct list *list)
{
    list_each_safe (node, list) {
        struct stream *stream = container_of(node, struct stream, node);
        list_remove(&stream->node);
        if (server_backlog(stream->x) > 0)
            server_abort(stream->x);
        else
            server_end(stream->x);
    }
}

void streams_drain(struct streams *streams)
{
    streams->draining = true;
    loop_timer_clear(streams->loop, &streams->heartbeat);
    end_all(&streams->live);
    end_all(&streams->behind);
}

void streams_on_admit(struct streams *streams, void *owner,
                      bool (*admits)(void *owner, const struct server_exchange *x, struct slice tenant))
{
    streams->owner = owner;
    streams->admits = admits;
}

void streams_destroy(struct streams *streams)
{
    if (!streams)
        return;
    buf_deinit(&streams->spill);
    free(streams);
}
