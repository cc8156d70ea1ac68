/*
 * What a token costs: minted (every call another tenant, so that nothing is found), minted without a ring,
 * and reused. Nanoseconds per call, the median of the rounds, one JSON line.
 *
 *   mint [CALLS]      default: 200000 for each row and round
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "token/token.h"

enum { ROUNDS = 7, KNOWN = 1024, CALLS_MAX = 100000000 };

struct bench {
    struct token_ring *ring;
    struct token_options options;
    uint64_t next; /* number of the next new tenant */
    unsigned calls;
};

static void stop(const char *what)
{
    fprintf(stderr, "mint: %s\n", what);
    exit(1);
}

static void ask(struct bench *bench, uint64_t tenant)
{
    char name[32], storage[TOKEN_MAX];
    struct buf text, out;
    buf_init_fixed(&text, name, sizeof name);
    buf_init_fixed(&out, storage, sizeof storage);
    buf_append_text(&text, "tenant-");
    buf_append_u64(&text, tenant);
    if (token_get(bench->ring, buf_slice(&text), false, 1000, 1700000000000, &out) != 0)
        stop("no token");
}

static void run_mints(struct bench *bench)
{
    for (unsigned i = 0; i < bench->calls; i++)
        ask(bench, bench->next++);
}

static void run_reuses(struct bench *bench)
{
    for (unsigned i = 0; i < bench->calls; i++)
        ask(bench, i % KNOWN);
}

static void run_single(struct bench *bench)
{
    char storage[TOKEN_MAX];
    for (unsigned i = 0; i < bench->calls / 10; i++) {
        struct buf out;
        buf_init_fixed(&out, storage, sizeof storage);
        if (token_mint(bench->options.client_id, bench->options.secret, SLICE("tenant-1"), 1700000000, 900,
                       &out) != 0)
            stop("no token");
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double measure(struct bench *bench, void (*run)(struct bench *bench), unsigned calls)
{
    double ns[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t start = clock_mono_ns();
        run(bench);
        ns[i] = (double)(clock_mono_ns() - start) / calls;
    }
    qsort(ns, ROUNDS, sizeof ns[0], compare);
    return ns[ROUNDS / 2];
}

int main(int argc, char **argv)
{
    uint64_t calls = 200000;
    struct bench bench = {.next = KNOWN};
    if (argc > 1 && (!slice_to_u64(slice_from(argv[1]), &calls) || calls < 10 || calls > CALLS_MAX))
        stop("usage: mint [CALLS]");
    bench.calls = (unsigned)calls;
    bench.options = (struct token_options){
        SLICE("my-client"), SLICE("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"), 900,
        0};
    bench.ring = token_ring_create(&bench.options);
    if (!bench.ring)
        stop("no ring");
    double mint = measure(&bench, run_mints, bench.calls);
    double reuse = measure(&bench, run_reuses, bench.calls);
    double single = measure(&bench, run_single, bench.calls / 10);
    printf("{\"bench\":\"mint\",\"calls\":%u,\"mint_ns\":%.0f,\"reuse_ns\":%.0f,\"mint_without_ring_ns\":%."
           "0f}\n",
           bench.calls, mint, reuse, single);
    token_ring_destroy(bench.ring);
    return 0;
}
