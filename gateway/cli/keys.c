/* `keys create`, `list` and `revoke`: service keys, in the store itself, beside a gateway that may be
 * running. */
#include <time.h>

#include "base/clock.h"
#include "caller/caller.h"
#include "cli/cli_internal.h"

enum { PAGE_SIZE = 1000, PAGE_MAX = 16 * 1024 * 1024, TIME_LEN = 40 };

/* RFC 3339, whole seconds. */
static const char *time_text(int64_t ms, char text[TIME_LEN])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;
    if (ms == 0 || !gmtime_r(&seconds, &parts) || strftime(text, TIME_LEN, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        return "-";
    return text;
}

static json_t *text_of(struct slice s)
{
    return json_stringn(s.ptr ? s.ptr : "", s.len);
}

static json_t *json_of_words(const struct caller_words *words)
{
    json_t *array = json_array();
    for (size_t i = 0; i < words->count; i++)
        json_array_append_new(array, text_of(words->at[i]));
    return array;
}

static json_t *json_of_time(int64_t ms)
{
    char text[TIME_LEN];
    return ms ? json_string(time_text(ms, text)) : json_null();
}

/* As the admin listener shows it. */
static json_t *json_of(const struct caller *c)
{
    const struct caller_spec *spec = &c->spec;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o}", "id",
                     text_of(slice_of(c->id, sizeof c->id)), "name", text_of(spec->name), "tenants",
                     json_of_words(&spec->tenants), "apis", json_of_words(&spec->apis), "methods",
                     json_of_words(&spec->methods), "peers", json_of_words(&spec->peers), "rate",
                     spec->rate.len > 0 ? text_of(spec->rate) : json_null(), "status",
                     caller_status_text(c->status), "created_at", json_of_time(c->created_at), "last_used_at",
                     json_of_time(c->last_used_at), "revoked_at", json_of_time(c->revoked_at));
}

static const char *reason(int outcome)
{
    switch (outcome) {
    case ERR_NOTFOUND:
        return "no such key, or it was revoked already";
    case ERR_EXISTS:
        return "another key has this name, or one of these peers";
    case ERR_FULL:
        return "the store or the disk is full";
    default:
        return error_text(outcome);
    }
}

/* --- create ----------------------------------------------------------------------------------------------
 */

/* An empty text is one empty word, which is refused: "nothing" must not come to mean "everything". */
static void take_words(struct caller_words *words, const char *text)
{
    struct slice rest = slice_from(text), one;
    for (bool more = text != NULL; more; words->count++) {
        more = slice_cut(rest, ',', &one, &rest);
        if (words->count < CALLER_WORDS_MAX)
            words->at[words->count] = slice_trim(one);
    }
}

static int show_made(const struct cli_call *call, const struct caller_change *change)
{
    if (call->values[OPTION_JSON]) {
        json_t *value = json_of(&change->result);
        if (value)
            json_object_set_new(value, "key", json_stringn(change->key, sizeof change->key));
        return cli_print_json(call, value);
    }
    printf("%.*s\n", CALLER_KEY_LEN, change->key);
    fprintf(stderr, "This is the key of %.*s (id %.*s). It is shown this once; keep it safe.\n",
            SLICE_ARG(change->result.spec.name), CALLER_ID_LEN, change->result.id);
    return CLI_OK;
}

int cli_keys_create(struct cli_call *call)
{
    static struct caller_change change;
    struct caller_spec spec = {.name = slice_from(call->values[OPTION_NAME]),
                               .rate = slice_from(call->values[OPTION_RATE])};
    struct fault fault = {""};
    if (!call->values[OPTION_NAME])
        return cli_usage(call->command, "--name is needed: who will call with it?");
    if (call->values[OPTION_RATE] && spec.rate.len == 0)
        return cli_usage(call->command, "--rate is a whole number and /s, /m or /h, such as 100/s");
    take_words(&spec.tenants, call->values[OPTION_TENANTS]);
    take_words(&spec.apis, call->values[OPTION_APIS]);
    take_words(&spec.methods, call->values[OPTION_METHODS]);
    take_words(&spec.peers, call->values[OPTION_PEERS]);
    int error = caller_change_create(&change, CLI_CALLER_TABLE, &spec, clock_wall_ms(), &fault);
    if (error)
        return error == ERR_INVALID ? cli_usage(call->command, "%s", fault.text)
                                    : cli_fail(call->command, "%s", fault.text);
    int status = cli_mapping_apply(call, &change.change, reason);
    if (status == CLI_OK)
        status = show_made(call, &change);
    caller_change_wipe(&change);
    return status;
}

/* --- revoke ----------------------------------------------------------------------------------------------
 */

int cli_keys_revoke(struct cli_call *call)
{
    static struct caller_change change;
    if (caller_change_revoke(&change, CLI_CALLER_TABLE, slice_from(call->args[0]), clock_wall_ms()))
        return cli_usage(call->command, "an id is %d characters of 0-9 a-f ('keys list' shows them)",
                         CALLER_ID_LEN);
    int status = cli_mapping_apply(call, &change.change, reason);
    if (status != CLI_OK)
        return status;
    if (call->values[OPTION_JSON])
        return cli_print_json(call, json_pack("{s:s, s:b}", "id", call->args[0], "revoked", 1));
    puts("revoked");
    return CLI_OK;
}

/* --- list: in pages, since a reader that waits for its terminal keeps the gateway's store growing
 * ----------- */

struct listing {
    const struct cli_call *call;
    struct buf out;
    char cursor[CALLER_ID_LEN];
    size_t cursor_len, count;
    bool more, failed;
};

static void append_column(struct buf *out, struct slice text, size_t width)
{
    buf_append_slice(out, text);
    for (size_t i = text.len; i < width; i++)
        buf_append_char(out, ' ');
    buf_append_text(out, "  ");
}

static void append_words(struct buf *out, const struct caller_words *words, size_t width)
{
    size_t before = out->len;
    for (size_t i = 0; i < words->count; i++)
        buf_append_format(out, "%s%.*s", i > 0 ? "," : "", SLICE_ARG(words->at[i]));
    size_t len = out->len - before;
    append_column(out, SLICE(""), width > len ? width - len : 0);
}

static void write_row(struct buf *out, const struct caller *c)
{
    char used[TIME_LEN];
    append_column(out, slice_of(c->id, sizeof c->id), 16);
    append_column(out, c->spec.name, 16);
    append_column(out, slice_from(caller_status_text(c->status)), 7);
    append_column(out, slice_from(time_text(c->last_used_at, used)), 20);
    append_column(out, c->spec.rate.len > 0 ? c->spec.rate : SLICE("-"), 7);
    append_words(out, &c->spec.tenants, 16);
    append_words(out, &c->spec.apis, 10);
    append_words(out, &c->spec.methods, 8);
    append_words(out, &c->spec.peers, 0);
    while (out->len > 0 && out->ptr[out->len - 1] == ' ')
        out->len--;
    buf_append_char(out, '\n');
}

static bool on_key(const struct caller *caller, void *arg)
{
    struct listing *listing = arg;
    listing->more = listing->count == PAGE_SIZE;
    if (listing->more)
        return false;
    if (listing->call->values[OPTION_JSON]) {
        json_t *value = json_of(caller);
        listing->failed |= !value || json_write(&listing->out, value) != 0;
        json_decref(value);
        buf_append_char(&listing->out, '\n');
    } else {
        write_row(&listing->out, caller);
    }
    listing->failed |= listing->out.failed;
    memcpy(listing->cursor, caller->id, sizeof listing->cursor);
    listing->cursor_len = sizeof listing->cursor;
    listing->count++;
    return !listing->failed;
}

static int print_page(struct listing *listing, struct store_view *view, size_t *damaged)
{
    size_t here = 0;
    int error = store_view_begin(view);
    if (error)
        return error;
    listing->count = 0;
    listing->more = false;
    error = caller_each(view, CLI_CALLER_TABLE, slice_of(listing->cursor, listing->cursor_len), on_key,
                        listing, &here);
    store_view_end(view);
    *damaged += here;
    if (listing->out.len > 0)
        fwrite(listing->out.ptr, 1, listing->out.len, stdout);
    buf_reset(&listing->out);
    return error ? error : listing->failed ? ERR_NOMEM : 0;
}

int cli_keys_list(struct cli_call *call)
{
    struct listing listing = {.call = call};
    struct cli_mapping mapping;
    size_t damaged = 0;
    int error, status = cli_mapping_open(&mapping, call, true);
    if (status != CLI_OK)
        return status;
    if (!call->values[OPTION_JSON])
        puts("ID                NAME              STATUS   LAST USED             RATE     TENANTS           "
             "APIS        METHODS   PEERS");
    buf_init(&listing.out, PAGE_MAX);
    do {
        error = print_page(&listing, mapping.view, &damaged);
    } while (!error && listing.more && !ferror(stdout));
    buf_deinit(&listing.out);
    cli_mapping_close(&mapping);
    if (error)
        return cli_fail(call->command, "the keys cannot be read to their end: %s", error_text(error));
    if (damaged > 0)
        return cli_fail(call->command, "%zu damaged record%s passed over", damaged,
                        damaged == 1 ? " was" : "s were");
    return CLI_OK;
}
