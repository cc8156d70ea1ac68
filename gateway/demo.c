#include "demo.h"

#include <ftw.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/random.h"
#include "cli/cli.h"
#include "credential/credential.h"
#include "process.h"
#include "sandbox/sandbox.h"
#include "server/server.h"
#include "upstream/upstream.h"

static const char client_id[] = "sandbox-client";

struct demo {
    struct loop *loop;
    struct sandbox *sandbox;
    pthread_t thread;
    bool running;
    char secret[2 * 48 + 1];
    char base[128]; /* of the stand-in */
    char data_dir[256];
    char data[128]; /* address of the data listener */
    struct loop_task close_task;
};

/* --- life
 * ------------------------------------------------------------------------------------------------------------
 */

static bool make_secret(struct demo *demo)
{
    char bytes[48];
    struct buf text;
    buf_init_fixed(&text, demo->secret, sizeof demo->secret - 1);
    random_secret(bytes, sizeof bytes);
    bool good = digest_hex(&text, bytes, sizeof bytes) == 0;
    demo->secret[text.len] = '\0';
    return good;
}

static bool make_data_dir(struct demo *demo)
{
    const char *temp = getenv("TMPDIR");
    int len = snprintf(demo->data_dir, sizeof demo->data_dir, "%s/rollout-gateway-sandbox.XXXXXX",
                       temp && *temp ? temp : "/tmp");
    return len > 0 && (size_t)len < sizeof demo->data_dir && mkdtemp(demo->data_dir);
}

struct demo *demo_create(struct fault *fault)
{
    struct demo *demo = calloc(1, sizeof *demo);
    if (!demo || !make_secret(demo) || !make_data_dir(demo) || !(demo->loop = loop_create())) {
        fault_set(fault, ERR_IO, "--sandbox: no temporary directory, memory or descriptors");
        free(demo);
        return NULL;
    }
    struct sandbox_options options = {
        .address = "127.0.0.1:0",
        .client_id = SLICE(client_id),
        .client_secret = slice_from(demo->secret),
        .people = 60,
    };
    demo->sandbox = sandbox_create(demo->loop, &options, fault);
    if (!demo->sandbox) {
        fault_prefix(fault, "--sandbox: ");
        demo_remove_data(demo);
        return NULL;
    }
    struct buf base;
    buf_init_fixed(&base, demo->base, sizeof demo->base - 1);
    sandbox_url(demo->sandbox, &base);
    demo->base[base.len] = '\0';
    return demo;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

void demo_remove_data(const struct demo *demo)
{
    nftw(demo->data_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void on_closed(void *arg)
{
    struct demo *demo = arg;
    loop_stop(demo->loop);
}

static void run_close(struct loop_task *task)
{
    struct demo *demo = container_of(task, struct demo, close_task);
    sandbox_close(demo->sandbox, on_closed, demo);
}

static void *run_thread(void *arg)
{
    struct demo *demo = arg;
    loop_run(demo->loop);
    return NULL;
}

void demo_destroy(struct demo *demo)
{
    if (!demo)
        return;
    demo->close_task.run = run_close;
    loop_post(demo->loop, &demo->close_task);
    if (demo->running)
        pthread_join(demo->thread, NULL);
    else
        loop_run(demo->loop);
    loop_destroy(demo->loop);
    demo_remove_data(demo);
    digest_wipe(demo->secret, sizeof demo->secret);
    free(demo);
}

const char *demo_data_dir(const struct demo *demo)
{
    return demo->data_dir;
}

/* --- configuration
 * ------------------------------------------------------------------------------------------------------ */

/* Beside those that the file names. */
static void allow_page(struct demo *demo, struct config *config)
{
    size_t count = config->link.allowed_origin_count;
    struct slice *origins = arena_alloc(&config->arena, (count + 1) * sizeof *origins);
    if (!origins)
        return;
    if (count > 0)
        memcpy(origins, config->link.allowed_origins, count * sizeof *origins);
    origins[count] = slice_from(demo->base);
    config->link.allowed_origins = origins;
    config->link.allowed_origin_count = count + 1;
}

void demo_override(struct demo *demo, struct config *config, struct buf *secret)
{
    allow_page(demo, config);
    struct config_upstream *upstreams =
        arena_zalloc(&config->arena, config->upstream_count * sizeof *upstreams);
    for (size_t i = 0; upstreams && i < config->upstream_count; i++) {
        upstreams[i].name = config->upstreams[i].name;
        upstreams[i].url =
            arena_format(&config->arena, "%s/%.*s/api", demo->base, SLICE_ARG(upstreams[i].name));
    }
    if (upstreams)
        config->upstreams = upstreams;
    config->rollout.client_id = SLICE(client_id);
    config->webhooks.public_url = NULL; /* the stand-in delivers to the listener itself: see map_account */
    buf_append_text(secret, demo->secret);
}

/* --- demo tenants
 * ------------------------------------------------------------------------------------------------------- */

static void patch_of(const struct sandbox_account *account, struct credential_patch *patch)
{
    struct slice rest = slice_from(account->apis), one;
    *patch = (struct credential_patch){
        .has_app_key = true, .has_apis = true, .app_key = slice_from(account->app_key)};
    bool more = rest.len > 0;
    while (more && patch->api_count < CREDENTIAL_API_MAX) {
        more = slice_cut(rest, ',', &one, &rest);
        patch->apis[patch->api_count++] = one;
    }
    /* A tenant's first account is its default. */
    patch->has_default = true;
    patch->is_default = account == sandbox_accounts || strcmp(account[-1].tenant, account->tenant) != 0;
}

static int map_account(struct demo *demo, struct store *store, const struct sandbox_account *account,
                       const char *webhooks, struct fault *fault)
{
    static struct credential_change change; /* about 4 KiB; start-up is one thread */
    struct credential_patch patch;
    patch_of(account, &patch);
    int error = credential_change_put(&change, slice_from(account->tenant),
                                      slice_from(account->credential_id), &patch, clock_wall_ms(), fault);
    if (!error)
        error = store_apply(store, &change.change);
    if (error)
        return fault_set(fault, error, "--sandbox: a demo tenant could not be mapped: %s", error_text(error));
    char url[512];
    int len = snprintf(url, sizeof url, "http://%s/webhooks/rollout/%.*s", webhooks,
                       SLICE_ARG(change.result.webhook_token));
    return sandbox_subscribe(demo->sandbox, slice_from(account->credential_id), slice_of(url, (size_t)len));
}

static void address_of(int fd, char *out, size_t size)
{
    struct buf buf;
    buf_init_fixed(&buf, out, size - 1);
    if (server_address(fd, &buf))
        buf_reset(&buf);
    out[buf.len] = '\0';
}

int demo_start(struct demo *demo, struct store *store, int data_fd, int webhooks_fd, struct fault *fault)
{
    char webhooks[128];
    address_of(data_fd, demo->data, sizeof demo->data);
    address_of(webhooks_fd, webhooks, sizeof webhooks);
    for (const struct sandbox_account *account = sandbox_accounts; account->tenant; account++) {
        if (!account->credential_id)
            continue;
        int error = map_account(demo, store, account, webhooks, fault);
        if (error)
            return error;
    }
    if (pthread_create(&demo->thread, NULL, run_thread, demo))
        return fault_set(fault, ERR_IO, "--sandbox: a thread could not be started");
    demo->running = true;
    return 0;
}

/* What curl has to be told besides the URL, and what the URL begins with. A certificate made for a trial is
 * rarely one that curl knows. */
static void greet_as(const struct demo *demo, bool tls, char *options, char *base, size_t size)
{
    const char *scheme = tls ? "https" : "http",
               *path = strncmp(demo->data, "unix:", 5) == 0 ? demo->data + 5 : NULL;
    snprintf(options, size, "%s%s%s%s", tls ? "-k " : "", path ? "--unix-socket " : "", path ? path : "",
             path ? " " : "");
    snprintf(base, size, "%s://%s", scheme, path ? "localhost" : demo->data);
}

void demo_greet(const struct demo *demo, bool tls)
{
    char with[sizeof demo->data + 64], at[sizeof demo->data + 64];
    greet_as(demo, tls, with, at, sizeof at);
    printf("\nA stand-in of Rollout runs at %s; the gateway is at %s\n"
           "Tenants acme, globex and initech have connected accounts. Try:\n\n"
           "  curl -i %s'%s/crm/people?limit=2' -H 'X-Tenant-Id: acme'\n"
           "  curl -i %s'%s/crm/people?limit=2' -H 'X-Tenant-Id: acme'          # again: Cache-Status "
           "says hit\n"
           "  curl -s %s'%s/t/globex/crm/people?limit=1&tags=Buyer'             # tenant in the path\n"
           "  curl -i -X POST %s%s/t/acme/crm/people -H 'Content-Type: application/json' \\\n"
           "       -d '{\"firstName\":\"Ada\",\"lastName\":\"Lovelace\"}'\n"
           "  curl -i %s%s/crm/people -H 'X-Tenant-Id: nobody'                   # a clear refusal\n\n",
           demo->base, at, with, at, with, at, with, at, with, at, with, at);
    if (strncmp(demo->data, "unix:", 5) != 0) /* no browser goes there */
        printf("Connect an account as a tenant's front end would, in a browser:\n\n"
               "  %s/_sandbox/link?gateway=%s&tenant=umbrella\n\n",
               demo->base, at);
    fflush(stdout);
}

/* --- alone
 * --------------------------------------------------------------------------------------------------------------
 */

struct alone {
    struct loop *loop;
    struct sandbox *sandbox;
    struct process_signals signals;
};

static void on_alone_closed(void *arg)
{
    struct alone *alone = arg;
    loop_stop(alone->loop);
}

static void on_alone_signal(void *owner, int number)
{
    struct alone *alone = owner;
    if (number == SIGHUP)
        return;
    process_signals_close(&alone->signals);
    sandbox_close(alone->sandbox, on_alone_closed, alone);
}

static int usage(FILE *out, int status)
{
    fputs("usage: rollout-gateway sandbox [--listen ADDRESS] [--people N] [--latency-ms N] [--lag-ms N] "
          "[--rate N] [--record]\n"
          "The client id is ROLLOUT_CLIENT_ID (default sandbox-client), the secret ROLLOUT_CLIENT_SECRET "
          "(needed).\n",
          out);
    return status;
}

static bool number_option(const char *text, uint64_t *out)
{
    return slice_to_u64(slice_from(text), out);
}

static bool parse_alone(int argc, char **argv, struct sandbox_options *options)
{
    static const struct option longs[] = {{"listen", required_argument, NULL, 'l'},
                                          {"people", required_argument, NULL, 'p'},
                                          {"latency-ms", required_argument, NULL, 'm'},
                                          {"lag-ms", required_argument, NULL, 'g'},
                                          {"rate", required_argument, NULL, 'r'},
                                          {"record", no_argument, NULL, 'c'},
                                          {NULL, 0, NULL, 0}};
    int option;
    uint64_t people = options->people;
    bool good = true;
    optind = 1;
    while (good && (option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (option == 'l')
            options->address = optarg;
        else if (option == 'p')
            good = number_option(optarg, &people) && people <= 1000000;
        else if (option == 'm')
            good = number_option(optarg, &options->latency_ms);
        else if (option == 'g')
            good = number_option(optarg, &options->lag_ms);
        else if (option == 'r')
            good = number_option(optarg, &options->rate);
        else if (option == 'c')
            options->record = true;
        else
            good = false;
    }
    options->people = (unsigned)people;
    return good && optind == argc;
}

int demo_run_alone(int argc, char **argv)
{
    const char *id = getenv("ROLLOUT_CLIENT_ID"), *secret = getenv("ROLLOUT_CLIENT_SECRET");
    struct sandbox_options options = {.address = "127.0.0.1:9900", .people = 60};
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
        return usage(stdout, CLI_OK);
    if (!parse_alone(argc, argv, &options) || !secret || !*secret)
        return usage(stderr, CLI_USAGE);
    options.client_id = slice_from(id && *id ? id : client_id);
    options.client_secret = slice_from(secret);
    struct alone alone = {.loop = NULL};
    struct fault fault = {""};
    process_harden();
    if (process_block_signals() || upstream_global_init() || !(alone.loop = loop_create()))
        return CLI_FAILED;
    alone.sandbox = sandbox_create(alone.loop, &options, &fault);
    if (!alone.sandbox || process_signals_open(&alone.signals, alone.loop, &alone, on_alone_signal)) {
        fprintf(stderr, "rollout-gateway sandbox: %s\n", fault.text);
        return CLI_FAILED;
    }
    char base[128];
    struct buf url;
    buf_init_fixed(&url, base, sizeof base);
    sandbox_url(alone.sandbox, &url);
    struct log_line line;
    if (log_begin(&line, LOG_INFO, "ready")) {
        log_text(&line, "url", buf_slice(&url));
        log_end(&line);
        log_flush();
    }
    loop_run(alone.loop);
    loop_destroy(alone.loop);
    upstream_global_deinit();
    return CLI_OK;
}
