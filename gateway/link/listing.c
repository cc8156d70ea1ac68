/* One call for Rollout's list, and the mapping that follows it. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "internal.h"

/* --- the list
 * ------------------------------------------------------------------------------------------------------ */

/* An id that cannot be stored could not be sent either; a text that cannot be is left out. */
static bool take_account(const struct rollout_account *account, struct slice tenant,
                         struct credential_listed *out)
{
    struct credential_patch patch = {0};
    *out = (struct credential_listed){.id = account->id};
    if (credential_validate(tenant, account->id, &patch, NULL))
        return false;
    patch.has_app_key = true;
    patch.app_key = account->app_key;
    if (credential_validate(tenant, account->id, &patch, NULL) == 0)
        out->app_key = account->app_key;
    patch = (struct credential_patch){.has_label = true, .label = account->label};
    if (credential_validate(tenant, account->id, &patch, NULL) == 0)
        out->label = account->label;
    return true;
}

static int read_list(struct listing *listing, struct slice body)
{
    struct rollout_accounts accounts;
    int error = rollout_read_accounts(body, &listing->arena, &accounts);
    if (error)
        return error;
    listing->items = arena_alloc(&listing->arena, (accounts.count + 1) * sizeof *listing->items);
    if (!listing->items)
        return ERR_NOMEM;
    for (size_t i = 0; i < accounts.count; i++) {
        struct credential_listed *item = &listing->items[listing->count];
        if (!take_account(&accounts.at[i], listing->tenant, item))
            continue;
        if (!connectors_apply(&listing->link->options, &listing->arena, item))
            return ERR_NOMEM;
        listing->count++;
    }
    return 0;
}

/* Rollout's clients take a 404 for an empty list (rollout-facts 3). */
static void on_answer(void *user, const struct rollout_answer *answer)
{
    struct listing *listing = user;
    listing->trouble = trouble_of(answer, 404);
    listing->whole = listing->trouble.problem == PROBLEM_COUNT && answer->status == 200;
    if (listing->trouble.problem == PROBLEM_COUNT && answer->status != 200 && answer->status != 404)
        listing->trouble = trouble_from(PROBLEM_UPSTREAM_INVALID);
    int error = listing->whole ? read_list(listing, answer->body) : 0;
    if (error)
        listing->trouble = trouble_from(error == ERR_NOMEM ? PROBLEM_OVERLOADED : PROBLEM_UPSTREAM_INVALID);
    if (listing->trouble.problem != PROBLEM_COUNT)
        atomic_fetch_add_explicit(&listing->link->shared->stats.failed, 1, memory_order_relaxed);
    listing->on_listed(listing);
}

struct listing *listing_start(struct link *link, struct slice tenant, bool background, void *user,
                              void (*on_listed)(struct listing *listing))
{
    struct listing *listing = calloc(1, sizeof *listing);
    if (!listing)
        return NULL;
    arena_init(&listing->arena, NULL, 0, LINK_ARENA_MAX);
    listing->link = link;
    listing->user = user;
    listing->on_listed = on_listed;
    listing->sync.started_ms = clock_wall_ms();
    listing->tenant = arena_copy(&listing->arena, tenant);
    struct rollout_request request = {.method = METHOD_GET,
                                      .tenant = tenant,
                                      .api = SLICE("core"),
                                      .path = SLICE(ROLLOUT_ACCOUNTS_PATH),
                                      .background = background};
    if (listing->tenant.ptr && link->door.start(link->door.owner, &request, listing, on_answer)) {
        atomic_fetch_add_explicit(&link->shared->stats.look_ups, 1, memory_order_relaxed);
        return listing;
    }
    listing_free(listing);
    return NULL;
}

const struct credential_listed *listing_find(const struct listing *listing, struct slice id)
{
    for (size_t i = 0; i < listing->count; i++)
        if (slice_equal(listing->items[i].id, id))
            return &listing->items[i];
    return NULL;
}

void listing_free(struct listing *listing)
{
    arena_reset(&listing->arena);
    free(listing);
}

/* --- the mapping
 * --------------------------------------------------------------------------------------------------- */

static void tell(const struct listing *listing)
{
    const struct credential_sync *sync = &listing->sync;
    struct log_line line;
    bool odd = sync->foreign > 0 || sync->surplus > 0;
    if (!odd && sync->added + sync->returned + sync->gone == 0)
        return;
    if (!log_begin(&line, odd ? LOG_WARN : LOG_INFO, "credentials"))
        return;
    log_text(&line, "tenant", listing->tenant);
    log_int(&line, "added", sync->added);
    log_int(&line, "returned", sync->returned);
    log_int(&line, "gone", sync->gone);
    if (sync->foreign > 0)
        log_int(&line, "mapped_for_another_tenant", sync->foreign);
    if (sync->surplus > 0)
        log_int(&line, "over_the_maximum", sync->surplus);
    log_end(&line);
}

/* Nobody knows which APIs they serve: an operator can. */
static void tell_unknown(const struct listing *listing)
{
    struct log_line line;
    for (size_t i = 0; i < listing->count && listing->sync.added > 0; i++) {
        if (listing->items[i].known || !log_begin(&line, LOG_WARN, "connector-unknown"))
            continue;
        log_text(&line, "tenant", listing->tenant);
        log_text(&line, "app_key", listing->items[i].app_key);
        log_cstr(&line, "message", "taken to serve every API; name its APIs under \"connectors\"");
        log_end(&line);
    }
}

static void on_stored(struct store_change *change)
{
    struct credential_sync *sync = container_of(change, struct credential_sync, change);
    struct listing *listing = container_of(sync, struct listing, sync);
    struct link_shared *shared = listing->link->shared;
    for (unsigned i = 0; !change->outcome && i < sync->gone; i++) {
        const struct cache_subject subject = {.credential = sync->gone_ids[i]};
        cache_invalidate(shared->cache, &subject);
    }
    if (!change->outcome) {
        atomic_fetch_add_explicit(&shared->stats.found, sync->added, memory_order_relaxed);
        atomic_fetch_add_explicit(&shared->stats.gone, sync->gone, memory_order_relaxed);
        tell(listing);
        tell_unknown(listing);
        if (sync->added + sync->returned + sync->gone > 0)
            shared->news.on_changed(shared->news.owner, listing->tenant);
    }
    listing->on_synced(listing);
}

static bool copy_apis(struct listing *listing)
{
    const struct link_options *options = &listing->link->options;
    struct slice *apis = arena_alloc(&listing->arena, (options->api_count + 1) * sizeof *apis);
    for (size_t i = 0; apis && i < options->api_count; i++) {
        apis[i] = arena_copy(&listing->arena, options->apis[i]);
        if (!apis[i].ptr)
            return false;
    }
    listing->sync.apis = apis;
    listing->sync.api_count = options->api_count;
    return apis != NULL;
}

void listing_sync(struct listing *listing, const struct credential_lesson *lesson,
                  void (*on_synced)(struct listing *listing))
{
    struct credential_sync *sync = &listing->sync;
    listing->on_synced = on_synced;
    sync->tenant = listing->tenant;
    sync->listed = listing->items;
    sync->listed_count = listing->count;
    sync->whole = listing->whole;
    sync->now_ms = clock_wall_ms();
    if (lesson && copy_apis(listing))
        sync->lesson = *lesson; /* its texts live as long as the caller's */
    credential_sync_prepare(sync);
    sync->change.loop = listing->link->loop;
    sync->change.on_done = on_stored;
    store_submit(listing->link->shared->store, &sync->change);
}
