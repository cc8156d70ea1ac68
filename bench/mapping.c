/*
 * The cost of finding a tenant's credential as the request path does it (view, look-up, choice), by the
 * number of tenants in the store, and the rate at which they are imported. One JSON line for each size.
 *
 *   mapping [DIRECTORY [SIZE...]]      default: a new directory under /tmp, and 100 10000 1000000
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "credential/credential.h"

enum { BATCH = 8192, PROBES = 1 << 16, ROUNDS = 9, NAME_LEN = 24 };

struct bench {
    struct store *store;
    struct store_view *view;
    unsigned tenants;
    struct credential_change *changes; /* BATCH */
    char (*probes)[NAME_LEN];          /* PROBES tenants in random order */
};

static void stop(const char *what)
{
    fprintf(stderr, "mapping: %s\n", what);
    exit(1);
}

/* Spread over the key space, as the ids of real tenants are. */
static struct slice tenant_name(char out[NAME_LEN], unsigned number)
{
    uint32_t mixed = number * 2654435761u;
    return slice_of(out, (size_t)snprintf(out, NAME_LEN, "t-%08x", mixed));
}

static void import_batch(struct bench *bench, unsigned first, unsigned count)
{
    static const struct credential_patch patch = {.has_app_key = true,
                                                  .app_key = {"followupboss", 12},
                                                  .has_apis = true,
                                                  .apis = {{"crm", 3}, {"email", 5}},
                                                  .api_count = 2,
                                                  .has_default = true,
                                                  .is_default = true,
                                                  .has_label = true,
                                                  .label = {"Main office", 11}};
    struct store_change *changes[BATCH];
    for (unsigned i = 0; i < count; i++) {
        char tenant[NAME_LEN], id[40];
        snprintf(id, sizeof(id), "0196a2e4-7d2c-7bb0-8f3a-%012u", first + i);
        if (credential_change_put(&bench->changes[i], tenant_name(tenant, first + i), slice_from(id), &patch,
                                  clock_wall_ms(), NULL))
            stop("a tenant is not valid");
        changes[i] = &bench->changes[i].change;
    }
    if (store_apply_all(bench->store, changes, count))
        stop("the store refuses a tenant");
}

static double import_all(struct bench *bench)
{
    uint64_t start = clock_mono_ns();
    for (unsigned first = 0; first < bench->tenants; first += BATCH)
        import_batch(bench, first, bench->tenants - first < BATCH ? bench->tenants - first : BATCH);
    return (double)bench->tenants * 1e9 / (double)(clock_mono_ns() - start);
}

static uint64_t look_up_all(struct bench *bench)
{
    const struct credential_selector selector = {.api = SLICE("crm")};
    struct credential_set set;
    size_t index;
    uint64_t start = clock_mono_ns();
    for (size_t i = 0; i < PROBES; i++) {
        if (store_view_begin(bench->view) ||
            credential_lookup(bench->view, slice_from(bench->probes[i]), &set) ||
            credential_choose(&set, &selector, &index) != CREDENTIAL_CHOSEN)
            stop("a tenant is not found");
        store_view_end(bench->view);
    }
    return clock_mono_ns() - start;
}

static int by_size(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void measure(struct bench *bench)
{
    uint64_t times[ROUNDS], seed = 88172645463325252u;
    for (size_t i = 0; i < PROBES; i++) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        tenant_name(bench->probes[i], (unsigned)(seed % bench->tenants));
    }
    for (size_t i = 0; i < ROUNDS; i++)
        times[i] = look_up_all(bench);
    qsort(times, ROUNDS, sizeof(*times), by_size);
    struct store_stats stats;
    store_stats(bench->store, &stats);
    printf("\"lookup_ns\":%.0f,\"lookup_ns_min\":%.0f,\"file_mib\":%.1f}\n",
           (double)times[ROUNDS / 2] / PROBES, (double)times[0] / PROBES,
           (double)stats.used_bytes / (1 << 20));
    fflush(stdout);
}

static void run(struct bench *bench, const char *directory)
{
    static const char *const tables[] = {CREDENTIAL_TABLES, NULL};
    char path[512], name[540];
    snprintf(path, sizeof(path), "%s/%u", directory, bench->tenants);
    struct store_options options = {.path = path, .tables = tables};
    struct fault fault;
    if (store_open(&bench->store, &options, &fault))
        stop(fault.text);
    bench->view = store_view_create(bench->store);
    if (bench->view == NULL)
        stop("out of memory");
    printf("{\"bench\":\"mapping\",\"tenants\":%u,\"import_per_s\":%.0f,", bench->tenants, import_all(bench));
    measure(bench);
    store_view_destroy(bench->view);
    store_close(bench->store);
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof(name), "%s/%s.mdb", path, i ? "lock" : "data");
        unlink(name);
    }
    rmdir(path);
}

int main(int argc, char **argv)
{
    char own[] = "/tmp/mapping-bench-XXXXXX";
    const unsigned usual[] = {100, 10000, 1000000};
    const char *directory = argc > 1 ? argv[1] : mkdtemp(own);
    size_t sizes = argc > 2 ? (size_t)argc - 2 : 3;
    struct bench bench = {.changes = calloc(BATCH, sizeof(*bench.changes)),
                          .probes = calloc(PROBES, sizeof(*bench.probes))};
    if (directory == NULL || bench.changes == NULL || bench.probes == NULL)
        stop("no directory, or out of memory");
    for (size_t i = 0; i < sizes; i++) {
        bench.tenants = argc > 2 ? (unsigned)strtoul(argv[i + 2], NULL, 10) : usual[i];
        if (bench.tenants == 0)
            stop("a size must be a number above 0");
        run(&bench, directory);
    }
    if (argc < 2)
        rmdir(directory);
    free(bench.changes);
    free(bench.probes);
    return 0;
}
