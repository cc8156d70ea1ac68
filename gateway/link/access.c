/* The access line of what pipeline/ has handed over: in its form. */
#include "base/clock.h"
#include "base/log.h"
#include "internal.h"

/* Behind /credentials/ stands a whole credential id, which no log may hold. */
static struct slice shown_path(struct slice path)
{
    size_t first = path.len > 0 ? 1 + slice_find(slice_skip(path, 1), '/') : 0;
    return first < path.len ? slice_of(path.ptr, first + 1) : path;
}

void access_write(const struct errand *errand, enum server_outcome outcome)
{
    const struct server_exchange *x = errand->x;
    struct log_line line;
    if (!errand->link->options.access_log || !log_begin(&line, LOG_INFO, "request"))
        return;
    log_text(&line, "request_id", x->request_id);
    if (errand->caller.len > 0)
        log_text(&line, "caller", errand->caller);
    if (x->peer_name.len > 0)
        log_text(&line, "peer", x->peer_name);
    log_text(&line, "method", x->request.method_name);
    log_cstr(&line, "api", "link");
    if (errand->tenant.len > 0)
        log_text(&line, "tenant", errand->tenant);
    if (errand->path.len > 0)
        log_text(&line, "path", shown_path(errand->path));
    if (errand->id.len > 0)
        log_id(&line, "credential", errand->id);
    log_int(&line, "status", x->status);
    log_int(&line, "bytes", (int64_t)x->sent_bytes);
    log_int(&line, "duration_us", (int64_t)((clock_mono_ns() - x->started_ns) / 1000));
    if (outcome != SERVER_SENT)
        log_cstr(&line, "end", outcome == SERVER_CUT ? "cut" : "client-gone");
    log_end(&line);
}
