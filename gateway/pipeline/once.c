/*
 * Writes with an Idempotency-Key (contract 8): the visit's side. once_flight.c has the other one.
 *
 *   once_start: body gathered -> decide: known from before? -> replay, conflict, mismatch, unknown
 *      | new
 *   once_board: stands in the table as under way -> intent submitted -> on_begun: launched
 *      |
 *   once_landed, once_failed -> outcome submitted -> on_settled -> whoever is withheld goes on
 */
#include <stdlib.h>

#include "base/clock.h"
#include "once.h"

enum { BODY_MAX = 1024 * 1024 };

/* --- answers that end it
 * ---------------------------------------------------------------------------------------- */

const char *pipeline_once_name(enum pipeline_once once)
{
    static const char *const names[] = {
#define NAME(id, name) name,
        PIPELINE_ONCES(NAME)
#undef NAME
    };
    return once < PIPELINE_ONCE_COUNT ? names[once] : "unknown";
}

void once_note(struct visit *visit, enum pipeline_once what)
{
    visit->ask->word = pipeline_once_name(what);
    count_add(&visit->pipeline->stats.once[what], 1);
}

/* Nothing is forwarded for this visit. */
static void refuse(struct visit *visit, enum problem problem, const char *extra, const char *detail)
{
    visit->fwd = NULL;
    visit->detail = NULL;
    visit->outcome = PIPELINE_REFUSED;
    answer_problem_with(visit, problem, extra, detail);
}

static void refuse_conflict(struct visit *visit)
{
    once_note(visit, PIPELINE_ONCE_CONFLICT);
    visit->retry_after_s = 1;
    refuse(
        visit, PROBLEM_IDEMPOTENCY_CONFLICT, "",
        "the first request with this Idempotency-Key is still under way: repeat later, or wait with Prefer: "
        "wait=N");
}

static void refuse_mismatch(struct visit *visit)
{
    once_note(visit, PIPELINE_ONCE_MISMATCH);
    refuse(
        visit, PROBLEM_IDEMPOTENCY_MISMATCH, "",
        "this Idempotency-Key was used for another request: method, path, query, credential or body differ");
}

/* `status`: of the answer, as far as it came; 0: none did. */
static void refuse_unknown(struct visit *visit, int status, const char *detail)
{
    char extra[48] = "";
    once_note(visit, PIPELINE_ONCE_UNKNOWN);
    if (status > 0)
        snprintf(extra, sizeof extra, ",\"upstream_status\":%d", status);
    refuse(visit, PROBLEM_OUTCOME_UNKNOWN, extra, detail);
}

static void refuse_lost(struct visit *visit, int status)
{
    refuse_unknown(visit, status,
                   "a request with this Idempotency-Key was sent before and its answer was lost: whether the "
                   "write happened is not known, and it is not sent again");
}

/* The answer's bytes die with the store's view: copied. False: no memory. */
static bool keep(struct visit *visit, struct idempotency_answer *answer)
{
    size_t fields = answer->fields.len, body = answer->body.len;
    char *kept = malloc(fields + body + 1);
    if (!kept)
        return false;
    visit->ask->kept = kept;
    if (fields > 0)
        memcpy(kept, answer->fields.ptr, fields);
    if (body > 0)
        memcpy(kept + fields, answer->body.ptr, body);
    answer->fields.ptr = kept;
    answer->body.ptr = kept + fields;
    return true;
}

static void replay(struct visit *visit, const struct idempotency_answer *answer)
{
    if (!answer->whole) {
        refuse_unknown(
            visit, answer->status,
            "the first request with this Idempotency-Key was answered (upstream_status), but its answer "
            "was too large to be kept; it is not sent again");
        return;
    }
    once_note(visit, PIPELINE_ONCE_REPLAYED);
    visit->fwd = NULL;
    visit->detail = "idempotent-replay";
    visit->ask->replays = true;
    answer_kept(visit, answer);
}

void once_refuse_unstored(struct visit *visit, int error)
{
    flight_detach(visit);
    refuse(visit, PROBLEM_STORE_UNAVAILABLE, "",
           error == ERR_LIMIT ? "too many Idempotency-Keys are remembered: nothing was sent"
           : error == ERR_FULL
               ? "the disk is full, so the intent of this write cannot be stored: nothing was sent"
               : "the intent of this write could not be stored: nothing was sent");
}

/* --- what is known already
 * -------------------------------------------------------------------------------------- */

static int look_up(struct visit *visit, struct idempotency_found *found)
{
    struct store_view *view = visit->pipeline->view;
    int error = store_view_begin(view);
    if (error)
        return error;
    error = idempotency_find(view, &visit->ask->use, clock_wall_ms(), found);
    if (!error && found->state == IDEMPOTENCY_ANSWERED && !keep(visit, &found->answer))
        error = ERR_NOMEM;
    store_view_end(view);
    return error;
}

static void board(struct visit *visit)
{
    switch (once_board(visit)) {
    case ONCE_BEGUN:
        return;
    case ONCE_WAITS:
        patience_start(visit);
        return;
    case ONCE_BUSY:
        refuse_conflict(visit);
        return;
    case ONCE_MISMATCH:
        refuse_mismatch(visit);
        return;
    case ONCE_NOMEM:
        refuse(visit, PROBLEM_OVERLOADED, "", "out of memory");
        return;
    }
}

static void decide(struct visit *visit)
{
    struct idempotency_found found;
    if (look_up(visit, &found)) {
        refuse(visit, PROBLEM_STORE_UNAVAILABLE, "", "what is known of the Idempotency-Key cannot be read");
        return;
    }
    switch (found.state) {
    case IDEMPOTENCY_MINE:
        if (visit->ask->orphan) {
            refuse_lost(visit, 0);
            return;
        }
        board(visit);
        return;
    case IDEMPOTENCY_NEW:
        board(visit);
        return;
    case IDEMPOTENCY_ELSEWHERE:
        refuse_conflict(visit);
        return;
    case IDEMPOTENCY_ANSWERED:
        replay(visit, &found.answer);
        return;
    case IDEMPOTENCY_LOST:
        refuse_lost(visit, found.answer.status);
        return;
    case IDEMPOTENCY_MISMATCH:
        refuse_mismatch(visit);
        return;
    }
}

bool once_waits(const struct visit *visit)
{
    return visit->ask && visit->ask->waits;
}

void once_again(struct visit *visit)
{
    visit->ask->waits = false;
    flight_detach(visit);
    decide(visit);
}

void once_give_up(struct visit *visit)
{
    visit->ask->waits = false;
    flight_detach(visit);
    refuse_conflict(visit);
}

/* --- the request
 * ------------------------------------------------------------------------------------------------------- */

bool once_asked(const struct visit *visit)
{
    switch ((int)visit->x->request.method) {
    case METHOD_POST:
    case METHOD_PUT:
    case METHOD_PATCH:
    case METHOD_DELETE:
        return http_find(&visit->x->request.fields, FIELD_IDEMPOTENCY_KEY) != NULL;
    default:
        return false;
    }
}

/* Whose key: callers do not meet, nor do tenants. */
static int name_use(struct visit *visit, struct slice key)
{
    const struct caller *caller = visit->caller;
    struct slice peer = visit->x->peer_name;
    const struct slice who[] = {visit->route.tenant,
                                caller         ? SLICE("key")
                                : peer.len > 0 ? SLICE("peer")
                                               : SLICE("anonymous"),
                                caller ? slice_of(caller->id, sizeof caller->id) : peer, key};
    visit->ask->use.first_table = visit->pipeline->shared->once.first_table;
    visit->ask->use.self = visit->pipeline->shared->once.self;
    return idempotency_hash(visit->ask->use.id, who, sizeof who / sizeof *who);
}

/* An Authorization that goes up as it is stands for a credential, too. */
static void take_body(struct visit *visit, struct slice body)
{
    const struct route *route = &visit->route;
    const struct http_field *own = forward_authorization(visit);
    const struct slice what[] = {
        visit->x->request.method_name,
        visit->api->name,
        route->path,
        route->has_query ? SLICE("?") : SLICE(""),
        route->query,
        visit->credential_id,
        own ? own->value : SLICE(""),
        body,
    };
    visit->ask->body = body;
    if (idempotency_hash(visit->ask->use.digest, what, sizeof what / sizeof *what))
        refuse(visit, PROBLEM_OVERLOADED, "", "out of memory");
    else
        decide(visit);
}

static void on_collected(struct server_exchange *x, enum problem problem, struct slice body)
{
    struct visit *visit = x->user;
    if (problem == PROBLEM_COUNT)
        take_body(visit, body);
    else
        refuse(visit, problem, "",
               problem == PROBLEM_PAYLOAD_TOO_LARGE
                   ? "with an Idempotency-Key a body may have 1 MiB, and never more than sizes.request_body"
                   : "the body could not be taken");
}

void once_start(struct visit *visit)
{
    char storage[IDEMPOTENCY_KEY_MAX + 1];
    struct buf key;
    buf_init_fixed(&key, storage, sizeof storage);
    if (idempotency_read(&visit->x->request.fields, &key)) {
        refuse(visit, PROBLEM_BAD_REQUEST, "",
               "Idempotency-Key: one value of 1 to 255 visible characters, as a \"string\" or bare");
        return;
    }
    visit->ask = arena_zalloc(&visit->x->arena, sizeof *visit->ask);
    if (!visit->ask || name_use(visit, buf_slice(&key)))
        refuse(visit, PROBLEM_OVERLOADED, "", "out of memory");
    else if (visit->x->request.framing == FRAMING_NONE)
        take_body(visit, SLICE(""));
    else
        server_collect(visit->x, BODY_MAX, on_collected);
}

const char *once_word(const struct visit *visit)
{
    return visit->ask ? visit->ask->word : NULL;
}

bool once_replays(const struct visit *visit)
{
    return visit->ask && visit->ask->replays;
}

void once_done(struct visit *visit)
{
    if (visit->ask)
        free(visit->ask->kept);
}
