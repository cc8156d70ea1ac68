/* /v1/relay/dead, and the relay's part of /v1/webhooks: what goes on, and what could not. */
#include <stdlib.h>

#include "admin_internal.h"
#include "webhook/dead.h"

enum { PAGE_USUAL = 100, PAGE_MAX = 1000 };

#define N(value) (json_int_t)(value)

static void add_subscriber(const struct relay_subscriber *s, void *arg)
{
    json_array_append_new(arg, json_pack("{s:s%, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "name", s->name.ptr,
                                         s->name.len, "state", relay_state_name(s->state), "backlog",
                                         N(s->backlog), "in_flight", N(s->in_flight), "delivered",
                                         N(s->stats.delivered), "failed", N(s->stats.failed), "dead",
                                         N(s->stats.dead), "missed", N(s->stats.missed)));
}

json_t *admin_json_relay(const struct admin *admin)
{
    struct outbox *outbox = admin->options.outbox;
    struct outbox_window window = {1, 0};
    struct relay_stats stats;
    uint64_t dead = 0;
    int error = store_view_begin(admin->view);
    if (!error) {
        error = outbox_window(outbox, admin->view, &window);
        if (!error)
            error = dead_count(outbox, admin->view, &dead);
        store_view_end(admin->view);
    }
    if (error)
        return NULL;
    json_t *subscribers = json_array();
    relay_each(admin->options.relay, add_subscriber, subscribers);
    relay_stats(admin->options.relay, &stats);
    return json_pack("{s:{s:I, s:I, s:I}, s:o, s:I, s:I, s:I}", "outbox", "first", N(window.first), "last",
                     N(window.last), "events", N(window.last + 1 - window.first), "subscribers", subscribers,
                     "dead_letters", N(dead), "dropped", N(stats.dropped), "streams",
                     N(outbox_streams(outbox)));
}

/* --- dead letters ---------------------------------------------------------------------------------- */

struct listing {
    json_t *list;
    struct slice subscriber; /* empty: all */
    uint64_t limit, seen, last;
};

static bool add_dead(const struct letter *d, void *arg)
{
    struct listing *listing = arg;
    if (listing->seen == listing->limit)
        return false;
    listing->last = d->number;
    if (listing->subscriber.len > 0 && !slice_equal(d->only, listing->subscriber))
        return true;
    listing->seen++;
    json_array_append_new(
        listing->list,
        json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o}", "id", N(d->number), "subscriber",
                  admin_json_text(d->only), "webhook_id", admin_json_text(d->id), "event",
                  admin_json_text(d->name), "tenant", admin_json_text(d->tenant), "credential_id",
                  admin_json_text(d->credential_id), "app_key", admin_json_text(d->app_key), "received_at",
                  admin_json_time(d->at_ms), "died_at", admin_json_time(d->died_ms), "attempts",
                  N(d->attempts), "reason", admin_json_text(d->reason)));
    return true;
}

void admin_list_dead(struct admin_request *r)
{
    struct admin *admin = r->admin;
    struct listing listing = {.limit = PAGE_USUAL};
    struct slice text;
    uint64_t after = 0;
    if ((admin_query(r, "limit", &text) && !slice_to_u64(text, &listing.limit)) || listing.limit < 1 ||
        listing.limit > PAGE_MAX || (admin_query(r, "cursor", &text) && !slice_to_u64(text, &after))) {
        server_problem(r->x, PROBLEM_BAD_REQUEST, "", "", "limit: 1 to %d; cursor: the next of a page",
                       PAGE_MAX);
        return;
    }
    admin_query(r, "subscriber", &listing.subscriber);
    listing.list = json_array();
    int error = store_view_begin(admin->view);
    if (!error) {
        error = dead_list(admin->options.outbox, admin->view, after, add_dead, &listing);
        store_view_end(admin->view);
    }
    if (error) {
        json_decref(listing.list);
        server_problem(r->x, PROBLEM_STORE_UNAVAILABLE, "", "", "dead letters cannot be read: %s",
                       error_text(error));
        return;
    }
    json_t *next =
        listing.seen == listing.limit ? json_sprintf("%llu", (unsigned long long)listing.last) : json_null();
    admin_reply_json(r, 200, json_pack("{s:o, s:o}", "dead", listing.list, "next", next));
}

struct admin_replay {
    struct dead_replay replay;
    struct admin_request *r; /* NULL: the client has left */
};

static void answer(struct admin_request *r, const struct admin_replay *job)
{
    int error = job->replay.change.outcome;
    if (error == ERR_NOTFOUND)
        server_problem(r->x, PROBLEM_NOT_FOUND, "", "", "no dead letter has this id");
    else if (error == ERR_CLOSED)
        server_problem(r->x, PROBLEM_CONFLICT, "", "", "its subscriber is not configured");
    else if (error)
        server_problem(r->x, PROBLEM_STORE_UNAVAILABLE, "", "", "%s", error_text(error));
    else
        admin_reply_json(
            r, 202, json_pack("{s:I, s:I}", "replayed", N(job->replay.id), "number", N(job->replay.number)));
}

static void on_replayed(struct store_change *change)
{
    struct dead_replay *replay = container_of(change, struct dead_replay, change);
    struct admin_replay *job = container_of(replay, struct admin_replay, replay);
    if (!change->outcome)
        outbox_announce(replay->outbox);
    if (job->r) {
        job->r->replay = NULL;
        answer(job->r, job);
    }
    free(job);
}

static void on_body(struct admin_request *r, json_t *body)
{
    struct admin *admin = r->admin;
    struct admin_replay *job = calloc(1, sizeof *job);
    uint64_t id;
    (void)body;
    if (!job || !slice_to_u64(r->segments[3], &id)) {
        free(job);
        server_problem(r->x, PROBLEM_NOT_FOUND, "", "", "no dead letter has this id");
        return;
    }
    dead_replay_init(&job->replay, admin->options.outbox, id);
    job->replay.change.on_done = on_replayed;
    job->replay.change.loop = admin->options.loop;
    job->r = r;
    r->replay = job;
    store_submit(admin->options.store, &job->replay.change);
}

void admin_replay_dead(struct admin_request *r)
{
    admin_take_body(r, true, on_body);
}

void admin_replay_orphan(struct admin_replay *replay)
{
    replay->r = NULL;
}
