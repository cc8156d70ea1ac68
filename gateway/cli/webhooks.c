/* `webhooks list`, `webhooks sync`: the running gateway's subscriptions. */
#include "cli/cli_internal.h"
#include "http/url.h"

enum { PATH_SIZE = 2048, PAGE = 1000 };

static struct slice text_of(const json_t *object, const char *key)
{
    return json_text(object, key);
}

/* --- list -------------------------------------------------------------------------------------------------
 */

static void print_names(const json_t *names)
{
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
    {
        fputs(i ? ", " : "", stdout);
        cli_print_text(stdout, slice_of(json_string_value(name), json_string_length(name)));
    }
}

static void print_credential(const json_t *credential)
{
    const char *api;
    json_t *state;
    cli_print_text(stdout, text_of(credential, "tenant"));
    putchar(' ');
    cli_print_text(stdout, text_of(credential, "credential_id"));
    putchar(' ');
    cli_print_text(stdout, text_of(credential, "app_key"));
    fputs(" (", stdout);
    cli_print_text(stdout, text_of(credential, "status"));
    puts(")");
    json_object_foreach(json_object_get(credential, "apis"), api, state)
    {
        const json_t *missing = json_object_get(state, "uncovered");
        fputs("  ", stdout);
        cli_print_text(stdout, slice_from(api));
        fputs(": ", stdout);
        cli_print_text(stdout, text_of(state, "state"));
        if (json_array_size(missing) > 0 && slice_equal(text_of(state, "state"), SLICE("partial"))) {
            fputs(", without ", stdout);
            print_names(missing);
        }
        putchar('\n');
    }
}

static void print_page(const json_t *answer)
{
    const json_t *credentials = json_object_get(answer, "credentials");
    size_t i;
    json_t *credential;
    json_array_foreach(credentials, i, credential) print_credential(credential);
}

static int put_path(struct buf *path, const struct cli_call *call, struct slice cursor)
{
    const char *prefix = call->values[OPTION_PREFIX];
    buf_append_format(path, "/v1/webhooks?limit=%d", PAGE);
    if (prefix) {
        buf_append_text(path, "&prefix=");
        url_encode(path, slice_from(prefix));
    }
    if (cursor.len > 0) {
        buf_append_text(path, "&cursor=");
        url_encode(path, cursor);
    }
    return buf_append_char(path, '\0');
}

/* One page; *next is the cursor, in the answer. */
static int ask_page(struct cli_call *call, struct slice cursor, json_t **answer)
{
    char storage[PATH_SIZE];
    struct buf path;
    buf_init_fixed(&path, storage, sizeof storage);
    if (put_path(&path, call, cursor))
        return cli_usage(call->command, "the prefix is too long");
    return cli_ask(call, "GET", path.ptr, NULL, answer);
}

int cli_webhooks_list(struct cli_call *call)
{
    json_t *all = json_array(), *page = NULL, *last = NULL;
    struct slice cursor = SLICE("");
    int status;
    do {
        status = ask_page(call, cursor, &page);
        json_decref(last);
        last = status == CLI_OK ? page : NULL;
        if (status != CLI_OK)
            break;
        if (call->values[OPTION_JSON])
            json_array_extend(all, json_object_get(page, "credentials"));
        else
            print_page(page);
        cursor = text_of(page, "next");
    } while (cursor.len > 0);
    const json_t *subscriptions = json_object_get(last, "subscriptions");
    if (json_is_false(json_object_get(subscriptions, "managed")))
        fputs("The gateway does not subscribe: webhooks.public_url is not set.\n", stderr);
    if (status == CLI_OK && call->values[OPTION_JSON]) {
        json_object_set(last, "credentials", all);
        status = cli_print_json(call, json_incref(last));
    }
    json_decref(last);
    json_decref(all);
    return status;
}

/* --- sync -------------------------------------------------------------------------------------------------
 */

int cli_webhooks_sync(struct cli_call *call)
{
    const char *tenant = call->values[OPTION_TENANT];
    json_t *answer, *body = json_object();
    if (tenant && json_object_set_new(body, "tenant", json_string(tenant))) {
        json_decref(body);
        return cli_usage(call->command, "the tenant has to be valid UTF-8");
    }
    int status = cli_ask(call, "POST", "/v1/webhooks/sync", body, &answer);
    if (status != CLI_OK)
        return status;
    if (call->values[OPTION_JSON])
        return cli_print_json(call, answer);
    puts("started");
    json_decref(answer);
    return CLI_OK;
}
