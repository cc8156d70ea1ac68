/* Exchanges: taken from a short list of used ones, so that a hit allocates nothing. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/random.h"
#include "server/server_internal.h"

static struct exchange *take_free(struct server *server)
{
    struct exchange *e = server->free;
    if (!e)
        return malloc(sizeof *e);
    server->free = e->next_free;
    server->free_count--;
    return e;
}

/* A certificate tells more than a user id: it comes first. */
static struct slice peer_name(const struct server_connection *c)
{
    struct slice name = server_tls_peer_name(c);
    return name.len > 0 ? name : slice_of(c->uid, c->uid_len);
}

/* All but the pieces and the first block, which are written before they are read. */
struct exchange *server_exchange_create(struct server_connection *c)
{
    struct server *server = c->server;
    struct exchange *e = take_free(server);
    if (!e)
        return NULL;
    memset(e, 0, offsetof(struct exchange, line));
    e->connection = c;
    e->pieces = e->few;
    e->capacity = SERVER_PIECES;
    e->x.loop = server->loop;
    e->x.peer = c->peer;
    e->x.from = c->from;
    e->x.tls = c->tls != NULL;
    e->x.peer_name = peer_name(c);
    e->x.started_ns = clock_mono_ns();
    arena_init(&e->x.arena, e->block, sizeof e->block, server->options.head_max + SERVER_ARENA_MAX);
    return e;
}

void server_exchange_finish(struct exchange *e, enum server_outcome outcome)
{
    struct server *server = e->connection->server;
    server_answer_drop(e);
    if (e->x.on_done)
        e->x.on_done(&e->x, outcome);
    buf_deinit(&e->collected);
    arena_reset(&e->x.arena);
    if (server->free_count >= SERVER_FREE_MAX) {
        free(e);
        return;
    }
    e->next_free = server->free;
    server->free = e;
    server->free_count++;
}

static bool is_request_id(struct slice id)
{
    if (id.len == 0 || id.len > SERVER_REQUEST_ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i], lower = (char)(c | 0x20);
        bool letter = lower >= 'a' && lower <= 'z';
        if (!letter && !(c >= '0' && c <= ':') && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

void server_exchange_name(struct exchange *e)
{
    static const char digits[] = "0123456789abcdef";
    struct slice told = http_value(&e->x.request.fields, FIELD_X_REQUEST_ID);
    if (is_request_id(told)) {
        e->x.request_id = told;
        return;
    }
    for (int i = 0; i < SERVER_REQUEST_ID_OWN;) {
        uint64_t bits = random_u64();
        for (int k = 0; k < 16; k++, bits >>= 4)
            e->id[i++] = digits[bits & 15];
    }
    e->x.request_id = slice_of(e->id, sizeof e->id);
}
