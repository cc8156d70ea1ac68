/*
 * POST /link/credentials: what Link's success callback named is believed only when Rollout lists it for the
 * tenant's own token. DELETE /link/credentials/{id}: first at Rollout, then here; what has begun goes on when
 * the client leaves.
 */
#include <stdio.h>

#include "base/clock.h"
#include "http/json.h"
#include "http/url.h"
#include "internal.h"

enum { BODY_MAX = 16 * 1024, PATH_MAX_LEN = 512, ACCOUNT_MAX = 8 * 1024 };

static struct slice keep(struct errand *errand, struct slice text)
{
    char *at = errand->text + errand->tenant.len + errand->id.len;
    if (text.len > 0)
        memcpy(at, text.ptr, text.len);
    return slice_of(at, text.len);
}

static void submit(struct errand *errand, void (*on_stored)(struct store_change *change))
{
    errand->change.change.loop = errand->link->loop;
    errand->change.change.on_done = on_stored;
    store_submit(errand->link->shared->store, &errand->change.change);
}

/* --- connect
 * ------------------------------------------------------------------------------------------------------ */

static void on_put(struct store_change *change)
{
    struct credential_change *c = container_of(change, struct credential_change, change);
    struct errand *errand = container_of(c, struct errand, change);
    char storage[ACCOUNT_MAX];
    struct buf out;
    buf_init_fixed(&out, storage, sizeof storage);
    if (change->outcome)
        errand_store_failed(errand, change->outcome);
    else {
        const struct link_news *news = &errand->link->shared->news;
        account_write(&out, &c->result);
        buf_append_char(&out, '\n');
        news->on_changed(news->owner, errand->tenant);
        errand_reply(errand, c->created ? 201 : 200, buf_slice(&out));
    }
    errand_end(errand);
}

/* Which app it is, and what that serves, is Rollout's to say; the client's word counts where it is silent. */
static int prepare_put(struct errand *errand, struct listing *listing, const struct credential_listed *listed)
{
    struct credential_listed item = *listed;
    struct fault unwanted;
    if (item.app_key.len == 0) {
        item.app_key = errand->app_key;
        if (!connectors_apply(&errand->link->options, &listing->arena, &item))
            return ERR_NOMEM;
    }
    struct credential_patch patch = {.has_app_key = true,
                                     .app_key = item.app_key,
                                     .has_label = true,
                                     .label = item.label,
                                     .has_apis = item.known,
                                     .api_count = item.api_count,
                                     .found = true};
    memcpy(patch.apis, item.apis, item.api_count * sizeof *item.apis);
    return credential_change_put(&errand->change, errand->tenant, errand->id, &patch, clock_wall_ms(),
                                 &unwanted);
}

static void on_listed(struct listing *listing)
{
    struct errand *errand = listing->user;
    const struct credential_listed *listed = NULL;
    bool asked = listing->trouble.problem == PROBLEM_COUNT;
    if (asked)
        listed = listing_find(listing, errand->id);
    int error = listed ? prepare_put(errand, listing, listed) : 0;
    if (!asked)
        errand_trouble(errand, &listing->trouble);
    else if (!listed)
        errand_problem(errand, PROBLEM_CREDENTIAL_FORBIDDEN, 0,
                       "Rollout lists no such credential for this tenant; nothing was stored");
    else if (error)
        errand_problem(errand, error == ERR_NOMEM ? PROBLEM_OVERLOADED : PROBLEM_UPSTREAM_INVALID, 0,
                       "what Rollout says about the credential cannot be stored");
    listing_free(listing);
    if (listed && !error)
        submit(errand, on_put);
    else
        errand_end(errand);
}

/* NULL, or what is wrong. */
static const char *take_members(struct errand *errand, json_t *body)
{
    const char *key;
    json_t *value;
    struct slice id = {NULL, 0}, app_key = {NULL, 0};
    json_object_foreach(body, key, value)
    {
        struct slice text = slice_of(json_string_value(value), json_string_length(value));
        if (strcmp(key, "credential_id") == 0)
            id = text;
        else if (strcmp(key, "app_key") == 0)
            app_key = text;
        else
            return "the members are credential_id and app_key";
        if (!json_is_string(value))
            return "credential_id and app_key are texts";
    }
    const struct credential_patch patch = {.has_app_key = true, .app_key = app_key};
    if (!credential_id_valid(id))
        return "credential_id: expected 1 to 128 of A-Z a-z 0-9 . _ ~ : -";
    if (credential_validate(errand->tenant, id, &patch, NULL))
        return "app_key: expected at most 64 printable ASCII characters";
    errand->id = keep(errand, id);
    errand->app_key = keep(errand, app_key);
    return NULL;
}

static void on_collected(struct server_exchange *x, enum problem problem, struct slice body)
{
    struct errand *errand = x->user;
    struct fault fault = {""};
    if (problem != PROBLEM_COUNT) {
        errand_problem(errand, problem, 0, "the body could not be taken");
        return;
    }
    json_t *value = json_read(body, BODY_MAX, &fault);
    const char *wrong = fault.text;
    if (value)
        wrong = json_is_object(value) ? take_members(errand, value) : "the body has to be a JSON object";
    json_decref(value);
    if (wrong) {
        errand_problem(errand, PROBLEM_BAD_REQUEST, 0, wrong);
        return;
    }
    errand->busy = listing_start(errand->link, errand->tenant, false, errand, on_listed) != NULL;
    if (!errand->busy)
        errand_problem(errand, PROBLEM_OVERLOADED, 0, "out of memory");
}

void serve_connect(struct errand *errand)
{
    server_collect(errand->x, BODY_MAX, on_collected);
}

/* --- disconnect
 * --------------------------------------------------------------------------------------------------- */

static void on_deleted(struct store_change *change)
{
    struct credential_change *c = container_of(change, struct credential_change, change);
    struct errand *errand = container_of(c, struct errand, change);
    const struct cache_subject subject = {.credential = errand->id};
    const struct link_news *news = &errand->link->shared->news;
    bool gone = change->outcome == 0 || change->outcome == ERR_NOTFOUND;
    if (gone) {
        cache_invalidate(errand->link->shared->cache, &subject);
        news->on_changed(news->owner, errand->tenant);
        news->on_deleted(news->owner);
        errand_reply(errand, 204, SLICE(""));
    } else {
        errand_store_failed(errand, change->outcome);
    }
    errand_end(errand);
}

/* 404: it is gone there already, and may still be mapped here. */
static void on_disconnected(void *user, const struct rollout_answer *answer)
{
    struct errand *errand = user;
    struct trouble trouble = trouble_of(answer, 404);
    if (trouble.problem == PROBLEM_COUNT &&
        credential_change_delete(&errand->change, errand->tenant, errand->id) == 0) {
        errand->disconnected = true;
        submit(errand, on_deleted);
        return;
    }
    if (!answer->own && answer->status == 403)
        errand_problem(errand, PROBLEM_CREDENTIAL_FORBIDDEN, 0,
                       "Rollout does not let this tenant disconnect that credential; nothing was changed");
    else
        errand_trouble(errand, &trouble);
    errand_end(errand);
}

static bool take_id(struct errand *errand)
{
    char storage[CREDENTIAL_ID_MAX];
    struct buf id;
    buf_init_fixed(&id, storage, sizeof storage);
    struct slice text = slice_skip(errand->path, sizeof "/credentials/" - 1);
    if (url_decode(&id, text) || !credential_id_valid(buf_slice(&id)))
        return false;
    errand->id = keep(errand, buf_slice(&id));
    return true;
}

/* Whether another tenant has it: Rollout is not asked then. An error counts as no. */
static bool is_foreign(const struct errand *errand)
{
    struct slice owner;
    struct store_view *view = errand->link->view;
    if (store_view_begin(view))
        return false;
    bool foreign = store_get(view, CREDENTIAL_TABLE_OWNERS, errand->id, &owner) == 0 &&
                   !slice_equal(owner, errand->tenant);
    store_view_end(view);
    return foreign;
}

void serve_disconnect(struct errand *errand)
{
    char storage[PATH_MAX_LEN];
    struct buf path;
    buf_init_fixed(&path, storage, sizeof storage);
    if (!take_id(errand)) {
        errand_problem(errand, PROBLEM_BAD_REQUEST, 0, "no credential can have that id");
        return;
    }
    if (is_foreign(errand)) {
        errand_problem(errand, PROBLEM_CREDENTIAL_FORBIDDEN, 0, "the credential is another tenant's");
        return;
    }
    const struct rollout_door *door = &errand->link->door;
    struct rollout_request request = {
        .method = METHOD_DELETE, .tenant = errand->tenant, .api = SLICE("core")};
    if (rollout_disconnect_path(&path, errand->id) == 0) {
        request.path = buf_slice(&path);
        errand->busy = door->start(door->owner, &request, errand, on_disconnected) != NULL;
    }
    if (!errand->busy)
        errand_problem(errand, PROBLEM_OVERLOADED, 0, "out of memory");
}
