/* What the files of this room offer one another. */
#ifndef PIPELINE_INTERNAL_H
#define PIPELINE_INTERNAL_H

#include "pipeline/shapes.h"

/* settings.c */
const struct cache_policy *settings_policy(const struct pipeline_settings *settings, int api,
                                           struct slice entity);
/* Of what a subject names. */
const struct cache_policy *settings_policy_of(const struct pipeline_settings *settings,
                                              const struct cache_subject *subject);

/* flight.c */
void segment_release(void *segment);
/* A flight with one reference for the caller, not yet started. NULL: no memory. */
struct flight *flight_create(struct visit *visit);
void flight_retain(struct flight *flight);
void flight_release(struct flight *flight);
/* The visit stands on the flight from now on. False: no memory. The shard's or no lock is held. */
bool flight_attach(struct flight *flight, struct visit *visit);
/* The body is there from the beginning: it goes up as if it went for a second time. False: no memory. */
bool flight_load(struct flight *flight, struct slice body);
void flight_detach(struct visit *visit);
/* Wakes every waiter; the flight's lock is held, on the owner's loop. */
void flight_wake(struct flight *flight);
/* Appends body bytes. False: no memory. Takes the lock. */
bool flight_append(struct flight *flight, struct slice data);
/* Frees what every waiter has passed, resumes the transfer when there is room again. On the waiter's loop. */
void flight_consumed(struct waiter *waiter, uint64_t cursor);
/* Takes the flight out of the table, so that later requests open their own. */
void flight_unlist(struct flight *flight);
/* Finds a flight that this visit may join, or lists a new one of its own: *opened tells which. A cache hit
 * that came in between is left in *found instead and NULL is returned. NULL and found->decision other than
 * hit: no memory. */
struct flight *flight_join(struct visit *visit, struct cache_found *found, bool *opened);

/* fetch.c: the owner's side */
/* Sends the request upstream; failing is told to the waiters like any failure. */
void fetch_start(struct flight *flight);
/* Nobody waits any more, or the sender's body broke. */
void fetch_cancel(struct flight *flight);
/* Its turn has come. */
void fetch_go(struct flight *flight);
/* … will not come. */
void fetch_refused(struct flight *flight, const char *why);
/* The next try. */
void fetch_again(struct flight *flight);
/* Ends what is in the air. */
void fetch_abort(struct flight *flight, enum problem problem, const char *why);

/* The body so far in one run of bytes: the only segment, or a copy (*copied: to be freed). NULL: no memory.
 */
char *fetch_whole_body(const struct flight *flight, bool *copied);

/* strike.c */
enum { STRIKE_MAX = 1024 * 1024 };
/* Puts the struck body in the place of what came. False: it cannot be read, and is not passed on. */
bool strike_body(struct flight *flight);

/* upload.c */
/* The sender has (more) body. */
void fetch_upload(struct flight *flight);

/* retry.c: further tries */
/* Does this head call for another try, and may there be one? Then its body is passed over, and fetch_again
 * follows. */
bool retry_head(struct flight *flight, const struct http_response *head);
/* Likewise for a failure. */
bool retry_failure(struct flight *flight, enum upstream_failure failure, bool sent);
/* The transfer ended, one way or the other: was it one that is passed over? */
bool retry_passed_over(struct flight *flight);
/* Was the flight in the pause between two tries? It is not any more. */
bool retry_cancel(struct flight *flight);

/* turn.c: limit/ before and behind the transfer */
/* With the worker. False: no memory. */
bool turns_open(struct pipeline *pipeline);
void turns_close(struct pipeline *pipeline);
/* Lets go up who may by now: rules may have changed. */
void turns_pump(struct pipeline *pipeline);
/* The host has failed again: once its breaker is open, nobody has to wait for a turn to hear so. */
void turns_give_up(struct pipeline *pipeline, struct upstream_host *host);
/* Asks for the flight's turn; fetch_go or fetch_refused follows, now or later. */
void turn_ask(struct flight *flight);
/* Was the flight waiting for its turn? It is not any more. */
bool turn_cancel(struct flight *flight);
/* One more request of the same flight goes up. */
void turn_again(struct flight *flight);
/* What upstream thinks of our pace; notes the RateLimit lines. */
void turn_answered(struct flight *flight, const struct http_response *head);
/* The flight is over. */
void turn_end(struct flight *flight);

/* inquiry.c: what a request asks of the cache. */
struct inquiry {
    const struct http_request *request;
    const struct route *route;
    const struct pipeline_api *api;
    struct slice credential_id;
    bool silent; /* nobody is told of a lease that nobody looks after */

    /* made */
    struct cache_subject subject;
    struct cache_query query;
    bool settling, cacheable; /* cacheable: GET or HEAD that the cache may answer */
};
/* False: no memory, or a key that is too long. What is made lives as long as the arena and what was given. */
bool inquiry_make(struct pipeline *pipeline, const struct pipeline_settings *settings, struct arena *arena,
                  struct inquiry *inquiry);
/* core/credentials carries upstream secrets: its answers are struck, and never kept. */
bool inquiry_is_struck(const struct pipeline_api *api, const struct route *route);

/* forward.c */
/* Writes the request head for upstream up to where Authorization comes, into the flight's arena; ptr is NULL
 * when it does not fit, and fetch_start fails then. */
void forward_head(struct flight *flight, const struct visit *visit, struct cache_entry *validating);
/* Appends what of the client's fields is part of the cache key, since it goes up and an upstream may repeat
 * it: one line for each, begun by LF, which no query holds. False: they do not fit into `out`. */
bool forward_put_keyed(struct buf *out, const struct http_fields *fields);
/* Appends, as lines, what of the client's fields goes up with a request whose answer others may get. */
void forward_put_shared(struct buf *out, const struct http_fields *fields);
/* The client's Authorization when it is to go up as it is; NULL: the gateway's token goes. */
const struct http_field *forward_authorization(const struct visit *visit);

/* answer.c */
/* Appends what of an answer's fields is neither about the connection nor the gateway's own to say. */
void answer_put_end_to_end(struct buf *out, const struct http_fields *fields,
                           const struct cache_policy *policy);
/* Appends an answer's end-to-end fields as lines for clients. */
void answer_put_fields(struct buf *out, const struct http_fields *fields, const struct flight *flight);
/* Answers from an entry: conditions, ranges, splice and all. age_ms is the entry's present age. */
void answer_entry(struct visit *visit, struct cache_entry *entry, uint64_t age_ms);
/* Answers with what was kept for a repetition; what it consists of lives until on_done. */
void answer_kept(struct visit *visit, const struct idempotency_answer *kept);
/* Begins the answer of a flight whose head is known; `length` is the body's as the client will see it. */
void answer_flight(struct visit *visit, struct flight *flight, uint64_t length);
/* The link as this visit's client must see it; the raw one when it does not point at upstream. */
struct slice answer_link(struct visit *visit, struct slice link);
/* Begins an answer of our own making with these field lines, beside those that every answer carries. False:
 * no memory, and there will be no answer. */
bool answer_begin(struct visit *visit, int status, const char *fields, uint64_t length);
/* Answers with upstream_status from copies in the arena of what a flight brought. */
void answer_copy(struct visit *visit, struct slice block, bool has_date, uint64_t length, struct slice body);
/* Our own error. */
void answer_problem(struct visit *visit, enum problem problem, const char *detail);
/* `extra`: further members, as problem_body's. */
void answer_problem_with(struct visit *visit, enum problem problem, const char *extra, const char *detail);

/* stream.c: the visit's side of a flight */
/* Opens or joins a flight for what the cache cannot answer. */
void visit_fetch(struct visit *visit);
/* The flight moved. */
void visit_progress(struct visit *visit);
/* Starts a flight that the visit stands on. Consumes one reference. */
void visit_launch(struct visit *visit, struct flight *flight, struct cache_entry *validating);
/* A revalidation that nobody waits for. */
void visit_refresh(struct visit *visit);
/* Sends what is there, as far as the client takes it. */
void visit_stream(struct visit *visit);
/* The known answer instead of a failure (RFC 5861 4). False: there is none. */
bool visit_answer_stale(struct visit *visit, const char *detail);

/* patience.c: Prefer: wait=N (RFC 7240 4.3) */
/* From now on the client waits for N seconds; without the preference nothing happens. on_done clears the
 * timer. */
void patience_start(struct visit *visit);
/* … as it says itself. False: it does not. */
bool patience_seconds(const struct visit *visit, uint64_t *seconds);
/* Does a Prefer field say nothing but that? */
bool patience_is_all(struct slice prefer);
/* The visit is about to leave its flight, which goes on if it may be of use. */
void patience_let_go(struct visit *visit);

/* Has the client said how long it would wait? */
bool patience_given(const struct visit *visit);

/* The client does not wait longer than until then. */
void patience_shorten(struct visit *visit, uint64_t deadline_ms);

/* ready.c: a credential without data yet */
bool ready_open(struct ready_table *table);
void ready_close(struct ready_table *table);
/* A head has come (the flight's lock is not held). True: nothing is answered now: its end is awaited, or the
 * visit waits for a better answer, and has left the flight. */
bool ready_holds(struct visit *visit, struct flight *flight, enum flight_phase phase, uint64_t produced);
/* The client waits no longer: it has the answer that was withheld. False: that is not how it waits. */
bool ready_give_up(struct visit *visit);
/* The body of the request, when it is sent once more; ptr is NULL when it is not. */
struct slice ready_upload(const struct visit *visit);
/* The visit ends. */
void ready_clear(struct visit *visit);

/* once.c: Idempotency-Key (contract 8) */
bool once_open(struct once_table *table, int first_table);
void once_close(struct once_table *table);
/* The first worker that starts forgets what is too old, from time to time. Before the threads run. */
void once_clean_start(struct pipeline *pipeline);
void once_clean_stop(struct pipeline *pipeline);
/* Is this a write with a key? */
bool once_asked(const struct visit *visit);
/* Answers a repetition; or sends the write, once its intent is durable. */
void once_start(struct visit *visit);
/* The visit waited for the outcome of another one's use of its key: it is there. */
bool once_waits(const struct visit *visit);
void once_again(struct visit *visit);
/* … and does not wait any longer. */
void once_give_up(struct visit *visit);
/* "replayed" …, or NULL. */
const char *once_word(const struct visit *visit);
/* Was this answer kept from an earlier request? */
bool once_replays(const struct visit *visit);
/* The visit is over. */
void once_done(struct visit *visit);
/* The flight's side, on the owner's loop, for a flight with `once`. More of the body came: must all of it be
 * gathered still, although nobody may be waiting? */
bool once_gathers(struct flight *flight);
/* The answer is complete. */
void once_landed(struct flight *flight);
/* It failed; says as which problem. */
void once_failed(struct flight *flight, enum problem *problem, const char **why);

/* fanout.c: X-Fanout (contract 7) */
/* Does the request ask for it? Then it is walked on from here. */
bool fanout_takes(struct visit *visit);
/* The visit ends. */
void fanout_clear(struct visit *visit);

/* invalidate.c */
/* An unsafe request by the gateway's own clients is about to go up. */
void invalidate_write(const struct pipeline *pipeline, const struct pipeline_settings *settings,
                      const struct cache_subject *subject, enum method method);
/* … was answered, or nobody will know. */
void invalidate_answered(struct flight *flight);

/* location.c: URLs in an answer's fields, as the gateway's own requests */
/* What of the flight's tenant and API a Location names. False: nothing, or it is not on the same origin. */
bool location_route(struct flight *flight, struct slice reference, struct route *route);
/* Does Content-Location name what the flight asked for? */
bool location_is_target(struct flight *flight);

/* caller.c: both answer themselves when they are false */
/* Who is calling? Before anything is said about the request. */
bool step_caller(struct visit *visit);
/* May they, for this tenant, API and method? After the route is known. */
bool step_allowed(struct visit *visit, struct slice api);

/* discover.c */
/* No credential fits: is the tenant looked up first? Then visit_walk_on follows, or its end. */
bool discover_start(struct visit *visit);
/* The visit ends. */
void discover_clear(struct visit *visit);
/* Why there is nothing, for the refusal; static. */
const char *discover_outcome(const struct visit *visit);
/* What an answer says of the credential that it was given to. */
void discover_doubt(const struct flight *flight, int status);

/* coverage.c */
/* Do webhooks cover what the route reads by that credential? `tell`: the watcher, if nobody looks after it.
 */
bool coverage_of(const struct pipeline *pipeline, const struct pipeline_settings *settings,
                 const struct route *route, struct slice credential, bool tell);

/* canary.c */
/* A hit is about to be answered from the entry: it may be one that is read again. */
void canary_hit(struct visit *visit, const struct cache_found *found);
/* The worker stops. */
void canary_stop(struct pipeline *pipeline);

/* pipeline.c */
/* The walk from the credential on. */
void visit_walk_on(struct visit *visit);
/* … once more, as if nothing had been asked yet. */
void visit_walk_again(struct visit *visit);

/* access.c */
void access_done(struct visit *visit, enum server_outcome outcome);

#endif
