/*
 * `credentials list` and `credentials export`: all tenants, or some. In pages: a page is written to memory
 * inside a short read transaction and printed after it, since a reader that waits for its terminal would keep
 * the running gateway's store growing.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/cli_internal.h"

enum { PAGE_SIZE = 256 * 1024, PAGE_MAX = 8 * 1024 * 1024 };

struct listing {
    struct store_view *view;
    int (*write)(struct buf *out, const struct credential *credential);
    struct slice prefix;
    struct buf out;
    char from[CREDENTIAL_TENANT_MAX + 1]; /* where the next page begins */
    size_t from_len;
    size_t damaged;
    bool more, failed;
};

/* --- how a credential is written ----------------------------------------------------------------------- */

static int write_full(struct buf *out, const struct credential *credential)
{
    json_t *value = cli_mapping_json(credential);
    int error = value ? json_write(out, value) : ERR_NOMEM;
    json_decref(value);
    return error ? error : buf_append_char(out, '\n');
}

static void append_member(struct buf *out, const char *key, struct slice value)
{
    buf_append_format(out, "\"%s\":\"", key);
    buf_append_json(out, value);
    buf_append_text(out, "\",");
}

/* What `import` reads. */
static int write_export(struct buf *out, const struct credential *c)
{
    buf_append_char(out, '{');
    append_member(out, "tenant", c->tenant);
    append_member(out, "credential_id", c->id);
    append_member(out, "app_key", c->app_key);
    buf_append_text(out, "\"apis\":[");
    for (size_t i = 0; i < c->api_count; i++)
        buf_append_format(out, "%s\"%.*s\"", i > 0 ? "," : "", SLICE_ARG(c->apis[i]));
    buf_append_text(out, "],");
    append_member(out, "label", c->label);
    return buf_append_format(out, "\"default\":%s}\n", c->is_default ? "true" : "false");
}

/* At least two spaces between columns, however long the text is. */
static void append_column(struct buf *out, struct slice text, size_t width)
{
    buf_append_slice(out, text);
    for (size_t i = text.len; i < width; i++)
        buf_append_char(out, ' ');
    buf_append_text(out, "  ");
}

static int write_row(struct buf *out, const struct credential *c)
{
    char storage[CREDENTIAL_API_MAX * (CREDENTIAL_API_NAME_MAX + 1)];
    struct buf apis;
    buf_init_fixed(&apis, storage, sizeof storage);
    for (size_t i = 0; i < c->api_count; i++)
        buf_append_format(&apis, "%s%.*s", i > 0 ? "," : "", SLICE_ARG(c->apis[i]));
    append_column(out, c->tenant, 20);
    append_column(out, c->id, 36);
    append_column(out, c->app_key.len > 0 ? c->app_key : SLICE("-"), 14);
    append_column(out, apis.len > 0 ? buf_slice(&apis) : SLICE("*"), 14);
    append_column(out, c->is_default ? SLICE("yes") : SLICE("-"), 7);
    append_column(out, slice_from(credential_status_text(c->status)), 6);
    buf_append_slice(out, c->label.len > 0 ? c->label : SLICE("-"));
    return buf_append_char(out, '\n');
}

/* --- pages --------------------------------------------------------------------------------------------- */

static void write_tenant(struct listing *listing, struct slice tenant)
{
    struct credential_set set;
    if (credential_lookup(listing->view, tenant, &set)) {
        listing->damaged++;
        return;
    }
    for (size_t i = 0; i < set.count && !listing->failed; i++)
        listing->failed = listing->write(&listing->out, &set.items[i]) != 0;
}

static bool on_tenant(struct slice tenant, struct slice record, void *arg)
{
    struct listing *listing = arg;
    (void)record;
    if (!slice_starts(tenant, listing->prefix) || tenant.len > CREDENTIAL_TENANT_MAX)
        return false;
    write_tenant(listing, tenant);
    if (listing->out.len < PAGE_SIZE && !listing->failed)
        return true;
    /* The first key after this one. */
    memcpy(listing->from, tenant.ptr, tenant.len);
    listing->from[tenant.len] = '\0';
    listing->from_len = tenant.len + 1;
    listing->more = !listing->failed;
    return false;
}

static int write_page(struct listing *listing)
{
    size_t damaged = 0;
    int error = store_view_begin(listing->view);
    if (error)
        return error;
    struct slice from = listing->from_len > 0 ? slice_of(listing->from, listing->from_len) : listing->prefix;
    listing->more = false;
    error = store_scan(listing->view, CREDENTIAL_TABLE_TENANTS, from, on_tenant, listing, &damaged);
    store_view_end(listing->view);
    listing->damaged += damaged;
    return error ? error : listing->failed ? ERR_NOMEM : 0;
}

static void print_written(struct listing *listing)
{
    if (listing->out.len > 0)
        fwrite(listing->out.ptr, 1, listing->out.len, stdout);
    buf_reset(&listing->out);
}

static int print_pages(struct listing *listing)
{
    int error;
    do {
        error = write_page(listing);
        print_written(listing);
    } while (!error && listing->more && !ferror(stdout));
    return error;
}

static int print_tenant(struct listing *listing, struct slice tenant)
{
    int error = store_view_begin(listing->view);
    if (error)
        return error;
    write_tenant(listing, tenant);
    store_view_end(listing->view);
    print_written(listing);
    return listing->failed ? ERR_NOMEM : 0;
}

static int run(struct cli_call *call, struct listing *listing, const char *tenant)
{
    struct cli_mapping mapping;
    int status = cli_mapping_open(&mapping, call, true);
    if (status != CLI_OK)
        return status;
    listing->view = mapping.view;
    buf_init(&listing->out, PAGE_MAX);
    if (listing->write == write_row)
        puts("TENANT                CREDENTIAL ID                         APP KEY         APIS            "
             "DEFAULT  STATUS  LABEL");
    int error = tenant ? print_tenant(listing, slice_from(tenant)) : print_pages(listing);
    buf_deinit(&listing->out);
    cli_mapping_close(&mapping);
    if (error)
        return cli_fail(call->command, "the mapping cannot be read to its end: %s", error_text(error));
    if (listing->damaged > 0)
        return cli_fail(call->command, "%zu damaged record%s passed over", listing->damaged,
                        listing->damaged == 1 ? " was" : "s were");
    return CLI_OK;
}

int cli_credentials_list(struct cli_call *call)
{
    const char *tenant = call->values[OPTION_TENANT], *prefix = call->values[OPTION_PREFIX];
    struct listing listing = {.write = call->values[OPTION_JSON] ? write_full : write_row,
                              .prefix = slice_from(prefix)};
    if (tenant && prefix)
        return cli_usage(call->command, "--tenant or --prefix, not both");
    if (tenant && !credential_tenant_valid(slice_from(tenant)))
        return cli_usage(call->command, "a tenant is 1 to %d of A-Z a-z 0-9 . _ : @ -",
                         CREDENTIAL_TENANT_MAX);
    return run(call, &listing, tenant);
}

int cli_credentials_export(struct cli_call *call)
{
    struct listing listing = {.write = write_export};
    return run(call, &listing, NULL);
}
