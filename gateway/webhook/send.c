/* One delivery: the request that is signed and sent, the answer that is read and dropped. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "http/date.h"
#include "relay_internal.h"
#include "sign.h"

enum {
    ANSWER_MAX = 64 * 1024, /* more of it is not waited for */
    HEAD_MAX = 16 * 1024,
    PAUSE_MAX_S = 3600, /* of Retry-After */
};

struct send {
    struct lane *lane;
    struct upstream_transfer *transfer;
    struct send_result result;
    int status;
    size_t got, sent;
    size_t len;
    char body[];
};

static void finish(struct send *send)
{
    struct lane *lane = send->lane;
    struct send_result result = send->result;
    lane->send = NULL;
    free(send);
    lane_sent(lane, &result);
}

/* --- the answer ------------------------------------------------------------------------------------ */

/* RFC 9110 10.2.3; 0: there is none that can be read. */
static uint64_t pause_of(const struct http_response *head)
{
    struct slice value = http_value(&head->fields, FIELD_RETRY_AFTER);
    int64_t now = clock_wall_ms() / 1000, at;
    uint64_t seconds;
    if (!slice_to_u64(value, &seconds)) {
        if (!date_parse(value, now, &at))
            return 0;
        seconds = at > now ? (uint64_t)(at - now) : 1;
    }
    seconds = seconds < 1 ? 1 : seconds > PAUSE_MAX_S ? PAUSE_MAX_S : seconds;
    return seconds * 1000;
}

static enum send_outcome judge(int status, uint64_t pause_ms)
{
    if (status >= 200 && status < 300)
        return SEND_TAKEN;
    if (status == 410)
        return SEND_GONE;
    return (status == 429 || status == 503) && pause_ms > 0 ? SEND_BUSY : SEND_REFUSED;
}

static void on_head(void *user, const struct http_response *head)
{
    struct send *send = user;
    send->status = head->status;
    send->result.pause_ms = pause_of(head);
    send->result.outcome = judge(head->status, send->result.pause_ms);
    snprintf(send->result.why, sizeof send->result.why, "HTTP %d", head->status);
}

static void on_body(void *user, struct slice data)
{
    struct send *send = user;
    send->got += data.len;
    if (send->got <= ANSWER_MAX)
        return;
    upstream_cancel(send->transfer);
    finish(send);
}

static void on_end(void *user)
{
    finish(user);
}

static bool is_unreachable(enum upstream_failure failure)
{
    return failure == UPSTREAM_RESOLVE || failure == UPSTREAM_CONNECT ||
           failure == UPSTREAM_CONNECT_TIMEOUT || failure == UPSTREAM_TLS;
}

/* Once there was a head, that is the answer: how its body ended changes nothing. */
static void on_fail(void *user, enum upstream_failure failure, bool sent, const char *why)
{
    struct send *send = user;
    (void)sent;
    (void)why;
    if (send->status == 0) {
        send->result.outcome = is_unreachable(failure) ? SEND_UNREACHABLE : SEND_REFUSED;
        snprintf(send->result.why, sizeof send->result.why, "%s", upstream_failure_name(failure));
    }
    finish(send);
}

/* --- the request ----------------------------------------------------------------------------------- */

static void on_writable(void *user)
{
    struct send *send = user;
    struct slice rest = slice_of(send->body + send->sent, send->len - send->sent);
    if (rest.len > 0)
        send->sent += upstream_send(send->transfer, rest, true);
}

static const struct upstream_hooks hooks = {on_head, on_body, on_end, on_fail, on_writable, NULL};

static int write_head(const struct audience_member *member, const struct letter *letter, struct buf *out)
{
    struct sign_message message = {letter->id, clock_wall_ms() / 1000, letter->body};
    buf_append_format(out,
                      "POST %.*s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: rollout-gateway/%s\r\n"
                      "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                      SLICE_ARG(member->target), SLICE_ARG(member->origin.authority), GATEWAY_VERSION,
                      letter->body.len);
    int error = sign_fields(&message, member->key, member->previous, out);
    buf_append_text(out, "\r\n");
    return error ? error : out->failed ? ERR_NOMEM : 0;
}

int send_start(struct lane *lane, const struct letter *letter)
{
    const struct audience_member *member = lane->peer->member;
    struct send *send = malloc(sizeof *send + letter->body.len);
    struct buf head;
    if (!send)
        return ERR_NOMEM;
    *send = (struct send){.lane = lane, .len = letter->body.len};
    memcpy(send->body, letter->body.ptr, letter->body.len);
    buf_init(&head, HEAD_MAX);
    int error = write_head(member, letter, &head);
    struct upstream_request request = {.origin = &member->origin,
                                       .method = METHOD_POST,
                                       .head = buf_slice(&head),
                                       .framing = FRAMING_LENGTH,
                                       .length = send->len,
                                       .user = send,
                                       .hooks = &hooks};
    send->transfer = error ? NULL : upstream_start(lane->peer->upstream, &request);
    buf_deinit(&head);
    if (!send->transfer) {
        free(send);
        return ERR_NOMEM;
    }
    lane->send = send;
    on_writable(send);
    return 0;
}

void send_cancel(struct send *send)
{
    upstream_cancel(send->transfer);
    free(send);
}
