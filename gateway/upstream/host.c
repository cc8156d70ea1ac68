/* Hosts as all workers see them: each a breaker and a budget behind one lock, held for a few dozen
 * instructions. */
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/random.h"
#include "upstream/breaker.h"

enum { HOSTS_MAX = 256 };

struct upstream_host {
    struct list node;
    pthread_mutex_t lock;
    struct breaker breaker;
    struct budget budget;
    uint64_t opened, refused, bad, repeated, unpaid;
    struct slice url; /* scheme and authority, in text */
    size_t scheme_len;
    char text[];
};

struct upstream_hosts {
    pthread_mutex_t lock; /* of the list */
    struct list list;
    unsigned count;
};

/* --- the register -------------------------------------------------------------------- */

struct upstream_hosts *upstream_hosts_create(void)
{
    struct upstream_hosts *hosts = calloc(1, sizeof *hosts);
    if (!hosts)
        return NULL;
    pthread_mutex_init(&hosts->lock, NULL);
    list_init(&hosts->list);
    return hosts;
}

void upstream_hosts_destroy(struct upstream_hosts *hosts)
{
    struct list *node;

    if (!hosts)
        return;
    while ((node = list_pop(&hosts->list))) {
        struct upstream_host *host = container_of(node, struct upstream_host, node);
        pthread_mutex_destroy(&host->lock);
        free(host);
    }
    pthread_mutex_destroy(&hosts->lock);
    free(hosts);
}

static struct slice url_of(const struct upstream_origin *origin)
{
    return slice_of(origin->url, (size_t)(origin->authority.ptr - origin->url) + origin->authority.len);
}

static struct upstream_host *add(struct upstream_hosts *hosts, const struct upstream_origin *origin)
{
    struct slice url = url_of(origin);
    struct upstream_host *host = hosts->count < HOSTS_MAX ? calloc(1, sizeof *host + url.len) : NULL;

    if (!host)
        return NULL;
    memcpy(host->text, url.ptr, url.len);
    host->url = slice_of(host->text, url.len);
    host->scheme_len = (size_t)(origin->authority.ptr - origin->url);
    pthread_mutex_init(&host->lock, NULL);
    budget_init(&host->budget, clock_mono_ms());
    list_push_back(&hosts->list, &host->node);
    hosts->count++;
    return host;
}

struct upstream_host *upstream_host_find(struct upstream_hosts *hosts, const struct upstream_origin *origin)
{
    struct upstream_host *found = NULL;

    pthread_mutex_lock(&hosts->lock);
    list_each (node, &hosts->list) {
        struct upstream_host *host = container_of(node, struct upstream_host, node);
        if (slice_equal(host->url, url_of(origin)))
            found = host;
    }
    if (!found)
        found = add(hosts, origin);
    pthread_mutex_unlock(&hosts->lock);
    return found;
}

/* --- for transfers ------------------------------------------------------------------- */

bool host_admit(struct upstream_host *host, uint64_t caller, uint64_t now_ms, struct breaker_ticket *ticket)
{
    *ticket = (struct breaker_ticket){0};
    if (!host)
        return true;
    pthread_mutex_lock(&host->lock);
    bool good = breaker_admit(&host->breaker, caller, now_ms, ticket);
    host->refused += !good;
    pthread_mutex_unlock(&host->lock);
    return good;
}

void host_settle(struct upstream_host *host, struct breaker_ticket *ticket, enum breaker_outcome outcome,
                 uint64_t now_ms)
{
    if (!ticket->held)
        return;
    ticket->held = false;
    pthread_mutex_lock(&host->lock);
    enum upstream_circuit before = host->breaker.state;
    breaker_settle(&host->breaker, ticket, outcome, now_ms, random_u64());
    host->opened += before != UPSTREAM_CIRCUIT_OPEN && host->breaker.state == UPSTREAM_CIRCUIT_OPEN;
    host->bad += outcome != BREAKER_GOOD && outcome != BREAKER_UNKNOWN;
    pthread_mutex_unlock(&host->lock);
}

/* --- for the user -------------------------------------------------------------------- */

bool upstream_host_refuses(struct upstream_host *host, uint64_t now_ms)
{
    if (!host)
        return false;
    pthread_mutex_lock(&host->lock);
    bool refuses = breaker_refuses(&host->breaker, now_ms);
    host->refused += refuses;
    pthread_mutex_unlock(&host->lock);
    return refuses;
}

bool upstream_host_allows_retries(struct upstream_host *host)
{
    if (!host)
        return true;
    pthread_mutex_lock(&host->lock);
    bool allows = host->breaker.state == UPSTREAM_CLOSED && !host->breaker.mute;
    pthread_mutex_unlock(&host->lock);
    return allows;
}

enum upstream_circuit upstream_host_circuit(struct upstream_host *host)
{
    if (!host)
        return UPSTREAM_CLOSED;
    pthread_mutex_lock(&host->lock);
    enum upstream_circuit state = host->breaker.state;
    pthread_mutex_unlock(&host->lock);
    return state;
}

unsigned upstream_host_retry_after(struct upstream_host *host, uint64_t now_ms)
{
    if (!host)
        return 1;
    pthread_mutex_lock(&host->lock);
    uint64_t seconds = (breaker_wait_ms(&host->breaker, now_ms) + 999) / 1000;
    pthread_mutex_unlock(&host->lock);
    return seconds > 0 ? (unsigned)seconds : 1;
}

void upstream_host_deposit(struct upstream_host *host)
{
    if (!host)
        return;
    pthread_mutex_lock(&host->lock);
    budget_deposit(&host->budget);
    pthread_mutex_unlock(&host->lock);
}

bool upstream_host_withdraw(struct upstream_host *host, uint64_t now_ms)
{
    if (!host)
        return false;
    pthread_mutex_lock(&host->lock);
    bool paid = budget_withdraw(&host->budget, now_ms);
    host->repeated += paid;
    host->unpaid += !paid;
    pthread_mutex_unlock(&host->lock);
    return paid;
}

static void show(struct upstream_host *host, struct upstream_host_stats *out)
{
    pthread_mutex_lock(&host->lock);
    *out = (struct upstream_host_stats){
        .host = slice_skip(host->url, host->scheme_len),
        .https = host->scheme_len == strlen("https://"),
        .circuit = host->breaker.state,
        .wait_ms = breaker_wait_ms(&host->breaker, clock_mono_ms()),
        .opened = host->opened,
        .refused = host->refused,
        .failures = host->bad,
        .retries = host->repeated,
        .retries_unpaid = host->unpaid,
    };
    pthread_mutex_unlock(&host->lock);
}

size_t upstream_hosts_stats(struct upstream_hosts *hosts, struct upstream_host_stats *out, size_t max)
{
    size_t count = 0;

    pthread_mutex_lock(&hosts->lock);
    list_each (node, &hosts->list) {
        if (count == max)
            break;
        show(container_of(node, struct upstream_host, node), &out[count++]);
    }
    pthread_mutex_unlock(&hosts->lock);
    return count;
}

const char *upstream_circuit_name(enum upstream_circuit circuit)
{
    switch (circuit) {
    case UPSTREAM_CLOSED:
        return "closed";
    case UPSTREAM_CIRCUIT_OPEN:
        return "open";
    case UPSTREAM_HALF_OPEN:
        return "half-open";
    }
    return "unknown";
}
