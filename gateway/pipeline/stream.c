/* A visit's side of a flight: opens or joins one, waits, answers from what it brings. On the visit's own
 * worker. */
#include "internal.h"

/* --- opening
 * ---------------------------------------------------------------------------------------------------- */

static void take_entry(struct visit *visit, struct cache_entry *entry)
{
    if (visit->entry)
        cache_release(visit->entry);
    visit->entry = entry;
}

static struct cache_entry *retained(struct cache_entry *entry)
{
    if (entry)
        cache_retain(entry);
    return entry;
}

/* Is there a known answer that may stand in for a failure? */
static bool has_stale(const struct visit *visit)
{
    return visit->entry && cache_stale_if_error(visit->entry, &visit->query, loop_now(visit->pipeline->loop));
}

void visit_launch(struct visit *visit, struct flight *flight, struct cache_entry *validating)
{
    flight->validating = retained(validating); /* the flight's */
    flight->strike = visit->api->is_core && slice_equal(visit->subject.entity, SLICE("credentials"));
    flight->background = flight->background || (visit->insider && visit->insider->background);
    flight->service = visit->caller ? visit->caller->spec.name : SLICE(""); /* borrowed for this call */
    flight->service_rate = caller_rate(visit->caller);
    forward_head(flight, visit, validating);
    fetch_start(flight);
    flight->service = SLICE("");
    if (flight->upload_framing != FRAMING_NONE && !flight->upload_done &&
        (flight->transfer || flight->queued)) {
        flight->sender = visit;
        fetch_upload(flight);
    }
    flight_release(flight);
}

static void fetch_alone(struct visit *visit)
{
    visit->opener = true;
    struct flight *flight = flight_create(visit);
    struct slice again = ready_upload(visit);
    bool good = flight && (!again.ptr || flight_load(flight, again)) && flight_attach(flight, visit);
    if (!good) {
        if (flight)
            flight_release(flight);
        answer_problem(visit, PROBLEM_OVERLOADED, "out of memory");
        return;
    }
    visit_launch(visit, flight, NULL);
}

static void answer_found(struct visit *visit, struct cache_found *found)
{
    visit->fwd = NULL;
    visit->outcome = PIPELINE_HIT;
    visit->ttl_ms = found->ttl_ms;
    visit->detail = found->detail;
    answer_entry(visit, found->entry, found->age_ms);
    cache_release(found->entry);
}

/* A host in trouble may take its time over a probe: whoever can do with a stale answer has it now, the probe
 * goes on. */
static void spare_probe(struct visit *visit)
{
    if (!visit->waiter || upstream_host_circuit(visit->api->host) == UPSTREAM_CLOSED || !has_stale(visit))
        return;
    patience_let_go(visit);
    visit_answer_stale(visit, "stale-if-error");
}

/* Joins the flight in the air for this key, or opens one. */
static void fetch_shared(struct visit *visit)
{
    struct cache_found found = {0};
    bool opened = false;
    struct flight *flight = flight_join(visit, &found, &opened);
    if (!flight && found.decision == CACHE_HIT) {
        answer_found(visit, &found);
        return;
    }
    if (!flight) {
        if (found.entry)
            cache_release(found.entry);
        answer_problem(visit, PROBLEM_OVERLOADED, "out of memory");
        return;
    }
    visit->opener = opened;
    visit->collapsed = !opened;
    if (!opened) {
        visit->outcome = PIPELINE_COLLAPSED;
        spare_probe(visit);
        return;
    }
    take_entry(visit, found.entry);
    if (!flight_attach(flight, visit)) {
        flight_unlist(flight);
        flight_release(flight);
        answer_problem(visit, PROBLEM_OVERLOADED, "out of memory");
        return;
    }
    visit_launch(visit, flight, found.decision == CACHE_REVALIDATE ? visit->entry : NULL);
    spare_probe(visit);
}

void visit_fetch(struct visit *visit)
{
    patience_start(visit);
    if (visit->cacheable && visit->x->request.method == METHOD_GET)
        fetch_shared(visit);
    else
        fetch_alone(visit);
}

void visit_refresh(struct visit *visit)
{
    struct cache_found found = {0};
    bool opened = false;
    struct flight *flight = flight_join(visit, &found, &opened);
    if (!flight) {
        if (found.entry)
            cache_release(found.entry);
        return;
    }
    if (!opened) {
        flight_detach(visit); /* somebody is at it already */
        return;
    }
    flight->background = true;
    pthread_mutex_lock(&flight->lock);
    flight->outlives = true; /* also those who look in and leave again: nobody has to wait for it */
    pthread_mutex_unlock(&flight->lock);
    if (found.entry) {
        visit_launch(visit, flight, found.entry);
        cache_release(found.entry);
    } else {
        visit_launch(visit, flight, NULL);
    }
}

/* --- progress
 * ----------------------------------------------------------------------------------------------------- */

/* A copy of what the flight says now. */
struct glance {
    enum flight_phase phase;
    bool keeps, scan_over, shareable, withheld;
    unsigned tries;
    const char *store_why;
    uint64_t produced, settled, splice_at;
    size_t splice_len;
    struct cache_entry *entry; /* borrowed: the flight keeps it */
};

static struct glance glance_at(struct flight *flight)
{
    pthread_mutex_lock(&flight->lock);
    struct glance glance = {
        .phase = flight->phase,
        .tries = flight->phase == FLIGHT_WAITING ? 0 : flight->tries, /* the owner's until then */
        .keeps = flight->keeps,
        .withheld = flight->withheld,
        .scan_over = flight->scan_over,
        .shareable = flight->shareable,
        .store_why = flight->store_why,
        .produced = flight->produced,
        .settled = flight->settled,
        .splice_at = flight->splice_at,
        .splice_len = flight->splice_len,
        .entry = flight->entry,
    };
    pthread_mutex_unlock(&flight->lock);
    return glance;
}

bool visit_answer_stale(struct visit *visit, const char *detail)
{
    uint64_t now = loop_now(visit->pipeline->loop);
    if (!has_stale(visit))
        return false;
    flight_detach(visit);
    visit->fwd = NULL;
    visit->detail = detail;
    visit->outcome = PIPELINE_STALE;
    visit->collapsed = false;
    uint64_t age = cache_entry_age_ms(visit->entry, now);
    struct cache_found found;
    cache_find(visit->pipeline->shared->cache, &visit->query, &found);
    visit->ttl_ms = found.entry == visit->entry && found.ttl_ms < 0 ? found.ttl_ms : -1000;
    if (found.entry)
        cache_release(found.entry);
    answer_entry(visit, visit->entry, age);
    return true;
}

static void progress_failed(struct visit *visit, struct flight *flight)
{
    enum problem problem = flight->problem;
    const char *why = flight->why ? flight->why : "upstream failed";
    if (visit->begun) {
        flight_detach(visit);
        server_abort(visit->x);
        return;
    }
    if (visit_answer_stale(visit, "stale-if-error"))
        return;
    if (problem == PROBLEM_RATE_LIMITED && flight->background &&
        !visit->insider) { /* which this visit is not */
        flight_detach(visit);
        visit->collapsed = false;
        visit->outcome = PIPELINE_MISS;
        visit_fetch(visit);
        return;
    }
    visit->outcome = problem == PROBLEM_RATE_LIMITED ? PIPELINE_REFUSED : PIPELINE_FAILED;
    visit->retry_after_s = flight->retry_after_s;
    flight_detach(visit);
    answer_problem(visit, problem, why);
}

/* The answer is not for sharing: each waiter goes its own way, all at once. */
static void go_alone(struct visit *visit)
{
    flight_detach(visit);
    visit->collapsed = false;
    visit->outcome = PIPELINE_MISS;
    fetch_alone(visit);
}

static void note_entry(struct visit *visit, const struct flight *flight)
{
    struct cache_found found;
    cache_find(visit->pipeline->shared->cache, &visit->query, &found);
    visit->stored = found.entry != NULL;
    visit->ttl_ms = found.ttl_ms;
    if (found.entry)
        cache_release(found.entry);
    visit->upstream_status = flight->not_modified ? 304 : flight->status;
    if (flight->not_modified && !visit->collapsed)
        visit->outcome = PIPELINE_REVALIDATED;
}

static bool is_mine(struct visit *visit, const struct cache_entry *entry)
{
    struct cache_found found;
    cache_find(visit->pipeline->shared->cache, &visit->query, &found);
    bool same = found.entry == entry;
    if (found.entry)
        cache_release(found.entry);
    return same;
}

static void progress_landed_entry(struct visit *visit, struct flight *flight, const struct glance *glance)
{
    struct cache_entry *entry = glance->entry;
    bool varies = flight->varies || cache_entry_varies(entry); /* a 304 need not say so again */
    if (!visit->opener && (!glance->shareable || (varies && !is_mine(visit, entry)))) {
        go_alone(visit);
        return;
    }
    note_entry(visit, flight);
    cache_retain(entry); /* over the detaching */
    flight_detach(visit);
    answer_entry(visit, entry, cache_entry_age_ms(entry, loop_now(visit->pipeline->loop)));
    cache_release(entry);
}

static bool is_conditional(const struct visit *visit)
{
    const struct http_fields *fields = &visit->x->request.fields;
    for (size_t i = 0; i < fields->count; i++)
        if (field_flags(fields->at[i].id) & FIELD_PRECONDITION)
            return true;
    return false;
}

/* The length as the client will see it, once it can be told. */
static uint64_t told_length(struct visit *visit, const struct flight *flight, const struct glance *glance,
                            struct slice link)
{
    uint64_t length = glance->phase == FLIGHT_LANDED ? glance->produced : flight->length;
    if (visit->head_only)
        return flight->length;
    if (length == SERVER_LENGTH_UNKNOWN || !glance->scan_over)
        return SERVER_LENGTH_UNKNOWN;
    return glance->splice_len > 0 ? length - glance->splice_len + link.len : length;
}

static struct slice link_of(struct visit *visit, struct flight *flight, const struct glance *glance)
{
    if (glance->splice_len == 0)
        return (struct slice){NULL, 0};
    if (!visit->link.ptr)
        visit->link = answer_link(visit, slice_of(flight->splice, glance->splice_len));
    return visit->link;
}

static void progress_streaming(struct visit *visit, struct flight *flight, const struct glance *glance)
{
    if (!visit->begun) {
        visit->upstream_status = flight->status;
        if (!visit->detail)
            visit->detail = glance->store_why;
        answer_flight(visit, flight, told_length(visit, flight, glance, link_of(visit, flight, glance)));
    }
    visit_stream(visit);
}

static bool serves_stale_on(int status)
{
    return status == 500 || status == 502 || status == 503 || status == 504;
}

void visit_progress(struct visit *visit)
{
    struct flight *flight = visit->waiter->flight;
    struct glance glance = glance_at(flight);
    if (glance.withheld)
        return;
    if (once_waits(visit)) {
        once_again(visit);
        return;
    }
    if (glance.phase == FLIGHT_WAITING)
        return;
    visit->tries = glance.tries;
    if (glance.phase != FLIGHT_WAITING && flight->limits.len > 0 && visit->limits.len == 0)
        visit->limits = arena_copy(&visit->x->arena, flight->limits);
    if (glance.phase == FLIGHT_FAILED) {
        progress_failed(visit, flight);
        return;
    }
    if (visit->begun) {
        progress_streaming(visit, flight, &glance);
        return;
    }
    if (serves_stale_on(flight->status) && visit_answer_stale(visit, "stale-if-error"))
        return;
    if (glance.phase == FLIGHT_LANDED && glance.entry && visit->cacheable) {
        progress_landed_entry(visit, flight, &glance);
        return;
    }
    bool mine = visit->opener || (glance.shareable && !flight->varies);
    if (!mine && !glance.keeps) {
        go_alone(visit);
        return;
    }
    if (ready_holds(visit, flight, glance.phase, glance.produced))
        return;
    /* While the cache gathers the body, only the opener is answered piece by piece; a condition or a range is
     * decided on the whole. */
    if (glance.phase == FLIGHT_STREAMING && glance.keeps && (!visit->opener || is_conditional(visit)))
        return;
    if (glance.phase == FLIGHT_STREAMING && !glance.scan_over && flight->length <= VISIT_HOLD)
        return; /* a small body is awaited, so that its length can be told although a link may be rewritten */
    progress_streaming(visit, flight, &glance);
}

/* --- streaming
 * ---------------------------------------------------------------------------------------------------- */

/* The next run of bytes at the cursor, up to `settled`: held for the piece. NULL when there is none. */
static struct segment *next_segment(struct flight *flight, uint64_t cursor)
{
    pthread_mutex_lock(&flight->lock);
    struct segment *segment = flight->first;
    while (segment && segment->at + segment->len <= cursor)
        segment = segment->next;
    if (segment)
        atomic_fetch_add_explicit(&segment->refs, 1, memory_order_relaxed); /* the piece's */
    pthread_mutex_unlock(&flight->lock);
    return segment;
}

static void write_run(struct visit *visit, struct segment *segment, uint64_t end)
{
    size_t from = (size_t)(visit->cursor - segment->at);
    uint64_t stop = segment->at + segment->len < end ? segment->at + segment->len : end;
    size_t len = (size_t)(stop - visit->cursor);
    visit->cursor = stop;
    server_write(visit->x,
                 (struct server_piece){slice_of(segment->data + from, len), segment_release, segment});
}

/* Sends from the cursor to `end`, or until the client's backlog is full. */
static void send_until(struct visit *visit, struct flight *flight, uint64_t end)
{
    while (visit->cursor < end && server_backlog(visit->x) < VISIT_BACKLOG) {
        struct segment *segment = next_segment(flight, visit->cursor);
        if (!segment)
            return;
        write_run(visit, segment, end);
    }
}

static void send_settled(struct visit *visit, struct flight *flight, const struct glance *glance)
{
    if (glance->splice_len > 0 && visit->cursor <= glance->splice_at && !visit->linked) {
        send_until(visit, flight, glance->splice_at < glance->settled ? glance->splice_at : glance->settled);
        if (visit->cursor != glance->splice_at || glance->settled < glance->splice_at + glance->splice_len)
            return;
        struct slice link = link_of(visit, flight, glance);
        if (link.ptr == flight->splice) { /* unchanged: goes as it came */
            visit->linked = true;
        } else {
            server_write(visit->x, (struct server_piece){link, NULL, NULL});
            visit->linked = true;
            visit->cursor += glance->splice_len;
        }
    }
    send_until(visit, flight, glance->settled);
}

void visit_stream(struct visit *visit)
{
    struct waiter *waiter = visit->waiter;
    struct flight *flight = waiter->flight;
    struct glance glance = glance_at(flight);
    if (visit->head_only)
        visit->cursor = glance.settled;
    else
        send_settled(visit, flight, &glance);
    if (glance.phase == FLIGHT_LANDED && visit->cursor == glance.produced) {
        flight_detach(visit);
        server_end(visit->x);
        return;
    }
    flight_consumed(waiter, visit->cursor);
    server_flush(visit->x);
}
