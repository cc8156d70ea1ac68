/*
 * What an event costs the cache, and what it spares: CPU for each event by the number of entries, bytes of
 * overhead for each entry, the share of entries that stay fresh, and the hit ratio of a stream of reads and
 * events against purging the credential, or everything. One JSON line for each row.
 *
 *   events [EVENTS]      timed ones; default: 200000
 */
#include <string.h>
#include <time.h>

#include "desk.h"
#include "event/event.h"

enum { CREDENTIALS = 200, NAME_LEN = 48, BODY_LEN = 512, PROBED = 400, READS = 400000 };

/* What a credential has in the cache: a CRM of 300 contacts that somebody works with. */
static const struct share {
    const char *entity;
    unsigned records, lists;
} shares[] = {{"people", 300, 30},     {"notes", 40, 8},        {"tasks", 40, 8},     {"calls", 20, 4},
              {"textmessages", 20, 4}, {"appointments", 10, 2}, {"smartlists", 4, 4}, {"users", 4, 2}};
enum { SHARES = sizeof shares / sizeof *shares };

/* … and what happens in it, in per cent. There are no public figures: contacts are synchronised and edited
 * most. */
static const struct kind {
    const char *name, *entity;
    unsigned percent;
} kinds[] = {{"peopleUpdated", "people", 55}, {"peopleTagsCreated", "people", 8},
             {"peopleCreated", "people", 5},  {"tasksUpdated", "tasks", 10},
             {"tasksCreated", "tasks", 5},    {"notesCreated", "notes", 7},
             {"callsCreated", "calls", 5},    {"textMessagesCreated", "textmessages", 4},
             {"usersUpdated", "users", 1}};
enum { KINDS = sizeof kinds / sizeof *kinds };

struct place {
    char credential[NAME_LEN], id[NAME_LEN];
    struct cache_subject subject;
    struct cache_deps deps;
    uint64_t read_at[2]; /* the events that had been when it was fetched: the credential's, all */
    unsigned owner;
};

struct bench {
    struct desk desk;
    struct place *places;
    size_t count, own; /* own: bytes that are the answers' */
    uint64_t random;
    const struct event_rule *rules;
    size_t rule_count;
};

static void name_credential(char out[NAME_LEN], unsigned credential)
{
    snprintf(out, NAME_LEN, "0196a2e4-7d2c-7bb0-8f3a-%012u", credential);
}

static void name_record(char out[NAME_LEN], unsigned credential, unsigned number)
{
    snprintf(out, NAME_LEN, "0197%04x-11d0-7c4a-9a51-%012u", credential, number);
}

static void put(struct bench *bench, unsigned owner, const struct share *share, unsigned number)
{
    static char body[BODY_LEN];
    char path[2 * NAME_LEN];
    struct place *place = &bench->places[bench->count++];
    bool record = number < share->records;
    name_credential(place->credential, owner);
    name_record(place->id, owner, number);
    place->owner = owner;
    place->subject =
        (struct cache_subject){slice_from(place->credential), SLICE("crm"), slice_from(share->entity),
                               record ? slice_from(place->id) : (struct slice){NULL, 0}};
    if (record)
        snprintf(path, sizeof path, "/%s/%s", share->entity, place->id);
    else
        snprintf(path, sizeof path, "/%s/page/%u", share->entity, number);
    desk_point(&bench->desk, &place->subject, path);
    place->deps = bench->desk.query.deps;
    bench->own += desk_store(&bench->desk, slice_of(body, sizeof body));
}

static void fill(struct bench *bench, unsigned credentials)
{
    desk_open(&bench->desk, 512u << 20);
    bench->places = calloc((size_t)CREDENTIALS * 500, sizeof *bench->places);
    bench->rules = event_default_rules(&bench->rule_count);
    bench->random = 42;
    if (!bench->places)
        stop("out of memory");
    for (unsigned c = 0; c < credentials; c++)
        for (size_t s = 0; s < SHARES; s++)
            for (unsigned n = 0; n < shares[s].records + shares[s].lists; n++)
                put(bench, c, &shares[s], n);
}

static void empty(struct bench *bench)
{
    desk_close(&bench->desk);
    free(bench->places);
    *bench = (struct bench){0};
}

/* --- one event, as webhook/ acts on it ------------------------------------------------------- */

struct touch {
    struct cache *cache;
    struct cache_subject subject;
};

static void on_touch(struct slice entity, void *arg)
{
    struct touch *touch = arg;
    struct cache_subject subject = touch->subject;
    subject.entity = entity;
    subject.id = (struct slice){NULL, 0};
    cache_invalidate(touch->cache, &subject);
}

static void happen(struct bench *bench, unsigned owner, const struct kind *kind)
{
    char credential[NAME_LEN], id[NAME_LEN], name[NAME_LEN];
    name_credential(credential, owner);
    name_record(id, owner, (unsigned)(next_random(&bench->random) % 300));
    struct buf normal;
    buf_init_fixed(&normal, name, sizeof name);
    if (event_normalise(&normal, slice_from(kind->name)))
        stop("a name is too long");
    struct touch touch = {bench->desk.cache,
                          {slice_from(credential), SLICE("crm"), slice_from(kind->entity), slice_from(id)}};
    cache_invalidate(bench->desk.cache, &touch.subject);
    event_dependants(bench->rules, bench->rule_count, SLICE("crm"), buf_slice(&normal), on_touch, &touch);
}

static const struct kind *any_kind(struct bench *bench)
{
    unsigned at = (unsigned)(next_random(&bench->random) % 100), k = 0;
    while (k + 1 < KINDS && at >= kinds[k].percent)
        at -= kinds[k++].percent;
    return &kinds[k];
}

/* --- what it costs --------------------------------------------------------------------------- */

static uint64_t cpu_ns(void)
{
    struct timespec spent;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return (uint64_t)spent.tv_sec * 1000000000u + (uint64_t)spent.tv_nsec;
}

static void time_events(struct bench *bench, unsigned events)
{
    uint64_t start = cpu_ns();
    for (unsigned i = 0; i < events; i++)
        happen(bench, (unsigned)(next_random(&bench->random) % CREDENTIALS), any_kind(bench));
    double whole = (double)(cpu_ns() - start) / events;
    start = cpu_ns();
    for (unsigned i = 0; i < events; i++)
        cache_invalidate(bench->desk.cache,
                         &bench->places[next_random(&bench->random) % bench->count].subject);
    double one = (double)(cpu_ns() - start) / events;
    printf("{\"bench\":\"event-cost\",\"entries\":%zu,\"event_ns\":%.0f,\"invalidate_ns\":%.0f}\n",
           bench->count, whole, one);
}

static void tell_overhead(const struct bench *bench)
{
    struct cache_stats stats;
    cache_stats(bench->desk.cache, &stats);
    struct desk none;
    struct cache_stats bare;
    desk_open(&none, 512u << 20);
    cache_stats(none.cache, &bare);
    desk_close(&none);
    double each = (double)(stats.bytes - bare.bytes - bench->own) / (double)bench->count;
    printf("{\"bench\":\"overhead\",\"entries\":%zu,\"bytes_each\":%.1f,\"index_bytes\":%llu}\n",
           bench->count, each, (unsigned long long)bare.bytes);
}

/* --- what it spares -------------------------------------------------------------------------- */

static void refresh(struct bench *bench)
{
    for (size_t i = 0; i < bench->count; i++)
        bench->places[i].deps = cache_deps_of(bench->desk.cache, &bench->places[i].subject);
}

/* The credential's own entries that are fresh, and those of others that are not. */
static size_t count_own(const struct bench *bench, unsigned owner, size_t *others_lost)
{
    size_t own = 0;
    *others_lost = 0;
    for (size_t i = 0; i < bench->count; i++) {
        const struct place *place = &bench->places[i];
        bool holds = cache_deps_hold(bench->desk.cache, &place->deps);
        own += place->owner == owner && holds;
        *others_lost += place->owner != owner && !holds;
    }
    return own;
}

static void tell_kept(struct bench *bench)
{
    double sum = 0, all = 0, most = 0, weight = 0, lost = 0;
    size_t each = bench->count / CREDENTIALS;
    printf("{\"bench\":\"kept\",\"entries\":%zu,\"kinds\":{", bench->count);
    for (size_t k = 0; k < KINDS; k++) {
        double kept = 0;
        for (unsigned i = 0; i < PROBED / KINDS; i++) {
            size_t others;
            unsigned owner = (unsigned)(next_random(&bench->random) % CREDENTIALS);
            refresh(bench);
            happen(bench, owner, &kinds[k]);
            kept += (double)count_own(bench, owner, &others) / (double)each;
            lost += (double)others;
        }
        kept /= PROBED / KINDS;
        printf("%s\"%s\":%.4f", k ? "," : "", kinds[k].name, kept);
        sum += kept * kinds[k].percent;
        weight += kinds[k].percent;
        most = kept > most ? kept : most;
    }
    sum /= weight;
    lost /= PROBED / KINDS * KINDS;
    all = 1 - ((1 - sum) * (double)each + lost) / (double)bench->count;
    printf("},\"own\":%.4f,\"all\":%.6f,\"others_lost\":%.3f}\n", sum, all, lost);
}

/* Reads of some credentials and records more than of others; an event after every `per_event` of them. */
static void tell_stream(struct bench *bench, unsigned per_event)
{
    struct zipf zipf;
    uint64_t all = 0, *own = calloc(CREDENTIALS, sizeof *own);
    size_t hits[3] = {0};
    if (!own)
        stop("out of memory");
    zipf_init(&zipf, bench->count, 0.9);
    refresh(bench);
    for (unsigned i = 0; i < READS; i++) {
        /* 61 has no divisor in common with the count: neighbours in rank are of different credentials */
        struct place *place = &bench->places[zipf_next(&zipf, &bench->random) * 61 % bench->count];
        bool fresh[3] = {cache_deps_hold(bench->desk.cache, &place->deps),
                         place->read_at[0] == own[place->owner], place->read_at[1] == all};
        for (int s = 0; s < 3; s++)
            hits[s] += fresh[s];
        place->deps = cache_deps_of(bench->desk.cache, &place->subject);
        place->read_at[0] = own[place->owner];
        place->read_at[1] = all;
        if (i % per_event == 0) {
            unsigned owner = (unsigned)(next_random(&bench->random) % CREDENTIALS);
            happen(bench, owner, any_kind(bench));
            own[owner]++;
            all++;
        }
    }
    printf(
        "{\"bench\":\"stream\",\"reads_per_event\":%u,\"precise\":%.4f,\"credential\":%.4f,\"everything\":%."
        "4f}\n",
        per_event, (double)hits[0] / READS, (double)hits[1] / READS, (double)hits[2] / READS);
    for (size_t i = 0; i < bench->count; i++)
        bench->places[i].read_at[0] = bench->places[i].read_at[1] = 0;
    free(zipf.cumulated);
    free(own);
}

int main(int argc, char **argv)
{
    struct bench bench = {0};
    uint64_t events = 200000;
    if (argc > 1 && (!slice_to_u64(slice_from(argv[1]), &events) || events == 0 || events > 100000000))
        stop("usage: events [EVENTS]");
    static const unsigned sizes[] = {2, 20, CREDENTIALS};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        fill(&bench, sizes[i]);
        time_events(&bench, (unsigned)events);
        if (sizes[i] < CREDENTIALS)
            empty(&bench);
    }
    tell_overhead(&bench);
    tell_kept(&bench);
    tell_stream(&bench, 10);
    tell_stream(&bench, 100);
    tell_stream(&bench, 1000);
    empty(&bench);
    return 0;
}
