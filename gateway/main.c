/* rollout-gateway: picks the subcommand. `serve` and `sandbox` are built here from the rooms; the rest is
 * cli/. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "assemble.h"
#include "base/log.h"
#include "callers.h"
#include "cli/cli.h"
#include "config/config.h"
#include "demo.h"
#include "serve.h"

/* --- what config/ lends to cli/
 * ----------------------------------------------------------------------------------------- */

/* The files that the configuration names for TLS: a line in the errors. */
static int check_tls(const struct config *config, struct config_errors *errors)
{
    struct server_tls *data, *webhooks;
    struct fault fault = {""};
    int error = assemble_tls(config, &data, &webhooks, &fault);
    if (error) {
        buf_append_format(&errors->lines, "%s\n", fault.text);
        errors->count++;
        return error;
    }
    server_tls_release(data);
    server_tls_release(webhooks);
    return 0;
}

/* Would `serve`, on this machine, leave its data listener open to everybody? */
static int check_callers(const struct config *config, struct config_errors *errors)
{
    struct fault fault = {""};
    int error = callers_check_stored(config, &fault);
    if (error) {
        buf_append_format(&errors->lines, "%s\n", fault.text);
        errors->count++;
    }
    return error;
}

/* {"valid", "errors": [a line for each]} */
static void print_verdict(bool valid, struct slice lines)
{
    json_t *errors = json_array();
    while (lines.len > 0) {
        struct slice line;
        slice_cut(lines, '\n', &line, &lines);
        json_t *text = json_stringn(line.ptr, line.len);
        json_array_append_new(errors, text ? text : json_string("(a line that is not UTF-8)"));
    }
    json_t *verdict = json_pack("{s:b, s:o}", "valid", valid, "errors", errors);
    if (verdict)
        json_dumpf(verdict, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(verdict);
}

static int check(const char *path, bool json)
{
    struct config *config = NULL;
    struct config_errors errors;
    config_errors_init(&errors);
    int error = config_load(path, &config, &errors);
    if (!error)
        error = check_tls(config, &errors);
    if (!error)
        error = check_callers(config, &errors);
    if (json)
        print_verdict(!error, buf_slice(&errors.lines));
    else if (error)
        fwrite(errors.lines.ptr, 1, errors.lines.len, stderr);
    else
        printf("%s: valid\n", path);
    config_errors_deinit(&errors);
    config_release(config);
    return error ? CLI_CONFIG : CLI_OK;
}

static int print_made(int (*make)(struct buf *out))
{
    struct buf out;
    buf_init(&out, 4 * 1024 * 1024);
    int error = make(&out);
    if (!error)
        fwrite(out.ptr, 1, out.len, stdout);
    buf_deinit(&out);
    return error ? CLI_FAILED : CLI_OK;
}

static int schema(void)
{
    return print_made(config_schema);
}

static int manual(void)
{
    return print_made(config_manual);
}

static struct config *loaded; /* what the context's strings belong to */

static int load_secrets(const struct config *config, bool with_secret, struct cli_context *out,
                        struct fault *fault)
{
    int error = 0;
    if (config->admin.token.env || config->admin.token.file)
        error = config_secret_read(&config->admin.token, &out->admin_token, fault);
    if (error || !with_secret)
        return error;
    if (config->rollout.client_id.len == 0)
        return fault_set(fault, ERR_INVALID, "rollout.client_id is missing");
    return config_secret_read(&config->rollout.client_secret, &out->client_secret, fault);
}

static int cli_load(const char *path, bool with_secret, struct cli_context *out)
{
    struct config_errors errors;
    struct fault fault = {""};
    buf_init(&out->admin_token, 8192);
    buf_init(&out->client_id, 8192);
    buf_init(&out->client_secret, 8192);
    config_errors_init(&errors);
    int error = path ? config_load(path, &loaded, &errors) : config_default(&loaded);
    if (error)
        fwrite(errors.lines.ptr, 1, errors.lines.len, stderr);
    config_errors_deinit(&errors);
    if (error)
        return error;
    out->data_dir = loaded->data_dir;
    out->admin_address = loaded->listen.admin.address;
    out->token_ttl_s = (long)(loaded->rollout.token_ttl_ms / 1000);
    error = load_secrets(loaded, with_secret, out, &fault);
    if (!error && with_secret)
        error = buf_append_slice(&out->client_id, loaded->rollout.client_id);
    if (error)
        fprintf(stderr, "%s\n", fault.text);
    return error;
}

static void cli_unload(struct cli_context *context)
{
    buf_wipe(&context->admin_token);
    buf_wipe(&context->client_secret);
    buf_deinit(&context->client_id);
    config_release(loaded);
    loaded = NULL;
}

int main(int argc, char **argv)
{
    const struct cli_hooks hooks = {cli_load, cli_unload, check, schema, manual};
    if (argc >= 2 && strcmp(argv[1], "serve") == 0) {
        struct cli_serve options = {0};
        int status = cli_parse_serve(argc - 1, argv + 1, &options);
        return status == CLI_OK ? serve_run(&options, argv) : status < 0 ? CLI_OK : status;
    }
    if (argc >= 2 && strcmp(argv[1], "sandbox") == 0)
        return demo_run_alone(argc - 1, argv + 1);
    return cli_run(argc, argv, &hooks);
}
