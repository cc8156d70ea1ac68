/* A request's body on its way up, piece by piece as the client sends it and upstream takes it. On the owner's
 * loop. */
#include "internal.h"

/* What went up before goes up again. True when all of it has. */
static bool upload_again(struct flight *flight)
{
    struct slice rest = slice_skip(buf_slice(&flight->replay), flight->replayed);
    if (rest.len == 0 && !flight->upload_done)
        return true;
    size_t taken = upstream_send(flight->transfer, rest, flight->upload_done);
    flight->replayed += taken;
    return taken == rest.len;
}

/* What upstream did not take now waits in our own copy: the server's piece does not live over the return to
 * the loop. */
static void hold(struct flight *flight, struct visit *visit)
{
    if (visit->upload.ptr >= flight->held.ptr && visit->upload.ptr < flight->held.ptr + flight->held.len)
        return;
    buf_reset(&flight->held);
    if (buf_append_slice(&flight->held, visit->upload)) {
        fetch_abort(flight, PROBLEM_OVERLOADED, "out of memory");
        return;
    }
    visit->upload = buf_slice(&flight->held);
}

/* Takes the sender's next piece. False: nothing now, or the body broke and the flight is over. */
static bool upload_next(struct flight *flight, bool *last)
{
    struct visit *visit = flight->sender;
    *last = false;
    if (visit->upload.len > 0)
        return true;
    switch (server_body_next(visit->x, &visit->upload)) {
    case SERVER_BODY_DATA:
        return true;
    case SERVER_BODY_END:
        *last = true;
        return true;
    case SERVER_BODY_MORE:
        return false;
    case SERVER_BODY_TOO_LARGE:
        fetch_abort(flight, PROBLEM_PAYLOAD_TOO_LARGE, "the body is larger than sizes.request_body");
        return false;
    case SERVER_BODY_BROKEN:
        fetch_abort(flight, PROBLEM_BAD_REQUEST, "the body's framing is malformed");
        return false;
    }
    return false;
}

/* For a further try, which has sent it, too, if this is one. */
static void remember(struct flight *flight, struct slice piece)
{
    if (buf_append_slice(&flight->replay, piece) == 0)
        flight->replayed += piece.len;
}

void fetch_upload(struct flight *flight)
{
    if (!flight->transfer || flight->upload_framing == FRAMING_NONE)
        return;
    if (flight->resending && !upload_again(flight))
        return;
    bool last;
    while (flight->sender && !flight->upload_done && upload_next(flight, &last)) {
        struct visit *visit = flight->sender;
        size_t taken = upstream_send(flight->transfer, visit->upload, last);
        if (taken > 0)
            remember(flight, slice_of(visit->upload.ptr, taken));
        visit->upload = slice_skip(visit->upload, taken);
        flight->upload_done = last;
        if (visit->upload.len > 0) {
            hold(flight, visit); /* on_writable goes on */
            return;
        }
    }
}
