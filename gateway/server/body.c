/* Request bodies: pulled by the handler out of what the connection has read. */
#include "server/server_internal.h"

enum wire_progress server_body_ahead(const struct server_connection *c)
{
    struct wire_body body = c->body;
    struct slice in = c->in, data;
    enum wire_progress progress = WIRE_DONE;
    if (c->body_done)
        return WIRE_DONE;
    do
        progress = wire_body_next(&body, &in, &data);
    while (progress == WIRE_DATA);
    return progress;
}

/* RFC 9110 10.1.1: not owed any more once the client has begun to send. */
static void first_call(struct exchange *e)
{
    struct server_connection *c = e->connection;
    const struct http_request *request = &e->x.request;
    e->asked = true;
    if (request->framing == FRAMING_LENGTH && request->length > c->server->options.body_max) {
        e->verdict = SERVER_BODY_TOO_LARGE;
        return;
    }
    if (e->continued || e->begun)
        return;
    e->continued = true;
    if (c->in.len == 0)
        server_answer_continue(e);
}

static enum server_body on_data(struct exchange *e, size_t len)
{
    struct server_connection *c = e->connection;
    e->taken += len;
    if (e->taken > c->server->options.body_max) {
        e->verdict = SERVER_BODY_TOO_LARGE;
        return e->verdict;
    }
    if (!(c->io.events & LOOP_READ))
        server_connection_schedule(c); /* there is room again */
    return SERVER_BODY_DATA;
}

static enum server_body on_more(struct exchange *e)
{
    struct server_connection *c = e->connection;
    e->wants_body = true;
    c->read_deadline = loop_now(e->x.loop) + c->server->options.body_ms;
    server_connection_schedule(c);
    return SERVER_BODY_MORE;
}

enum server_body server_body_next(struct server_exchange *x, struct slice *data)
{
    struct exchange *e = server_exchange_of(x);
    struct server_connection *c = e->connection;
    *data = slice_of(NULL, 0);
    if (!e->asked && e->verdict == SERVER_BODY_DATA)
        first_call(e);
    if (e->verdict != SERVER_BODY_DATA)
        return e->verdict;
    if (!c->body_done) {
        switch (wire_body_next(&c->body, &c->in, data)) {
        case WIRE_DATA:
            return on_data(e, data->len);
        case WIRE_MORE:
            return on_more(e);
        case WIRE_DAMAGED:
            e->verdict = SERVER_BODY_BROKEN; /* no end can be found: seal will close */
            return e->verdict;
        case WIRE_DONE:
            c->body_done = true;
        }
    }
    e->verdict = SERVER_BODY_END;
    return e->verdict;
}

/* --- the whole body at once ---------------------------------------------------------------------- */

void server_collect(struct server_exchange *x, size_t max,
                    void (*on_collected)(struct server_exchange *x, enum problem problem, struct slice body))
{
    struct exchange *e = server_exchange_of(x);
    const struct http_request *request = &x->request;
    e->collecting = true;
    e->collect_max = max;
    e->on_collected = on_collected;
    buf_init(&e->collected, max);
    if (request->framing == FRAMING_LENGTH && request->length > max)
        e->verdict = SERVER_BODY_TOO_LARGE;
    server_connection_schedule(e->connection);
}

static bool collected(struct exchange *e, enum problem problem)
{
    e->collecting = false;
    e->wants_body = false;
    e->on_collected(&e->x, problem, problem == PROBLEM_COUNT ? buf_slice(&e->collected) : slice_of(NULL, 0));
    return true;
}

bool server_body_collect(struct exchange *e)
{
    struct slice data;
    if (e->wants_body && e->connection->in.len == 0)
        return false;
    e->wants_body = false;
    e->connection->read_deadline = 0;
    for (;;) {
        switch (server_body_next(&e->x, &data)) {
        case SERVER_BODY_DATA:
            switch (buf_append_slice(&e->collected, data)) {
            case 0:
                break;
            case ERR_LIMIT:
                return collected(e, PROBLEM_PAYLOAD_TOO_LARGE);
            default:
                return collected(e, PROBLEM_OVERLOADED);
            }
            break;
        case SERVER_BODY_MORE:
            return false;
        case SERVER_BODY_END:
            return collected(e, PROBLEM_COUNT);
        case SERVER_BODY_TOO_LARGE:
            return collected(e, PROBLEM_PAYLOAD_TOO_LARGE);
        case SERVER_BODY_BROKEN:
            return collected(e, PROBLEM_BAD_REQUEST);
        }
    }
}
