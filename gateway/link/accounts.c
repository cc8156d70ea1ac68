/* GET /link/credentials: the accounts that the tenant has connected, as far as they are mapped. */
#include <time.h>

#include "internal.h"

enum { LIST_MAX = 256 * 1024 };

static void put_text(struct buf *out, const char *key, struct slice value)
{
    buf_append_format(out, ",\"%s\":\"", key);
    buf_append_json(out, value);
    buf_append_char(out, '"');
}

static void put_time(struct buf *out, const char *key, int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;
    char text[40];
    if (ms > 0 && gmtime_r(&seconds, &parts) && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts))
        buf_append_format(out, ",\"%s\":\"%s\"", key, text);
    else
        buf_append_format(out, ",\"%s\":null", key);
}

void account_write(struct buf *out, const struct credential *c)
{
    buf_append_text(out, "{\"tenant\":\"");
    buf_append_json(out, c->tenant);
    buf_append_char(out, '"');
    put_text(out, "credential_id", c->id);
    put_text(out, "app_key", c->app_key);
    buf_append_text(out, ",\"apis\":[");
    for (size_t i = 0; i < c->api_count; i++) {
        buf_append_text(out, i > 0 ? ",\"" : "\"");
        buf_append_json(out, c->apis[i]);
        buf_append_char(out, '"');
    }
    buf_append_char(out, ']');
    put_text(out, "label", c->label);
    buf_append_format(out, ",\"default\":%s", c->is_default ? "true" : "false");
    put_text(out, "status", slice_from(credential_status_text(c->status)));
    put_time(out, "created_at", c->created_at);
    put_time(out, "updated_at", c->updated_at);
    buf_append_format(out, ",\"discovered\":%s", c->found ? "true" : "false");
    put_time(out, "last_checked", c->checked_at);
    buf_append_char(out, '}');
}

static int write_list(const struct errand *errand, struct buf *out)
{
    struct credential_set set;
    struct store_view *view = errand->link->view;
    int error = store_view_begin(view);
    if (error)
        return error;
    error = credential_lookup(view, errand->tenant, &set);
    buf_append_text(out, "{\"tenant\":\"");
    buf_append_json(out, errand->tenant);
    buf_append_text(out, "\",\"credentials\":[");
    for (size_t i = 0; !error && i < set.count; i++) {
        buf_append_text(out, i > 0 ? "," : "");
        account_write(out, &set.items[i]);
    }
    buf_append_text(out, "]}\n");
    store_view_end(view);
    return error ? error : out->failed ? ERR_NOMEM : 0;
}

void serve_list(struct errand *errand)
{
    struct buf out;
    buf_init(&out, LIST_MAX);
    int error = write_list(errand, &out);
    if (error)
        errand_problem(errand, error == ERR_NOMEM ? PROBLEM_OVERLOADED : PROBLEM_STORE_UNAVAILABLE, 0,
                       "the mapping cannot be read");
    else
        errand_reply(errand, 200, buf_slice(&out));
    buf_deinit(&out);
}
