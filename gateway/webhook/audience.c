#include "audience.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/digest.h"
#include "event/event.h"
#include "sign.h"

enum { ARENA_MAX = 64 * 1024 * 1024 };

struct audience {
    atomic_uint refs;
    struct arena arena; /* wiped: keys stand in it */
    size_t count;
    struct audience_member members[];
};

static int copy_key(struct arena *arena, struct slice secret, struct slice *out)
{
    char *storage = arena_alloc(arena, secret.len + 1);
    struct buf key;
    if (!storage)
        return ERR_NOMEM;
    buf_init_fixed(&key, storage, secret.len + 1);
    int error = secret.len > 0 ? sign_key(secret, &key) : 0;
    *out = buf_slice(&key);
    return error;
}

static int copy_globs(struct arena *arena, const struct slice *from, size_t count, bool normal,
                      struct slice **out)
{
    *out = arena_zalloc(arena, (count + 1) * sizeof **out);
    for (size_t i = 0; *out && i < count; i++) {
        struct buf text;
        char *storage = arena_alloc(arena, from[i].len + 1);
        if (!storage)
            return ERR_NOMEM;
        buf_init_fixed(&text, storage, from[i].len + 1);
        int error = normal ? event_normalise(&text, from[i]) : buf_append_slice(&text, from[i]);
        if (error)
            return error;
        (*out)[i] = buf_slice(&text);
    }
    return *out ? 0 : ERR_NOMEM;
}

static int copy_url(struct arena *arena, const struct audience_entry *entry, struct audience_member *to)
{
    struct url url;
    if (!url_parse(entry->url, &url))
        return ERR_SYNTAX;
    to->target = arena_format(arena, "%.*s%s%.*s", SLICE_ARG(url.path), url.query.len > 0 ? "?" : "",
                              SLICE_ARG(url.query));
    if (!to->target.ptr)
        return ERR_NOMEM;
    return upstream_origin_init(&to->origin, entry->url, entry->ca);
}

static int copy_member(struct arena *arena, const struct audience_entry *entry, struct audience_member *to,
                       struct fault *fault)
{
    to->name = arena_copy(arena, entry->name);
    int error = to->name.ptr ? copy_url(arena, entry, to) : ERR_NOMEM;
    if (error)
        return fault_set(fault, error, ".url: %s", error_text(error));
    to->event_count = entry->event_count;
    to->tenant_count = entry->tenant_count;
    error = copy_globs(arena, entry->events, entry->event_count, true, &to->events);
    if (!error)
        error = copy_globs(arena, entry->tenants, entry->tenant_count, false, &to->tenants);
    if (error)
        return fault_set(fault, error, ": %s", error_text(error));
    if ((error = copy_key(arena, entry->secret, &to->key)))
        return fault_set(fault, error, ".secret: what stands behind \"whsec_\" has to be base64");
    if ((error = copy_key(arena, entry->previous_secret, &to->previous)))
        return fault_set(fault, error, ".previous_secret: what stands behind \"whsec_\" has to be base64");
    return 0;
}

int audience_create(const struct audience_entry *entries, size_t count, struct audience **out,
                    struct fault *fault)
{
    struct audience *audience = calloc(1, sizeof *audience + count * sizeof *audience->members);
    *out = NULL;
    if (!audience)
        return fault_set(fault, ERR_NOMEM, ": %s", error_text(ERR_NOMEM));
    atomic_init(&audience->refs, 1);
    arena_init(&audience->arena, NULL, 0, ARENA_MAX);
    for (; audience->count < count; audience->count++) {
        size_t i = audience->count;
        int error = copy_member(&audience->arena, &entries[i], &audience->members[i], fault);
        if (!error)
            continue;
        fault_prefix(fault, "[%zu]", i);
        audience->count++;
        audience_release(audience);
        return error == ERR_NOMEM ? ERR_NOMEM : ERR_INVALID;
    }
    *out = audience;
    return 0;
}

struct audience *audience_retain(struct audience *audience)
{
    if (audience)
        atomic_fetch_add(&audience->refs, 1);
    return audience;
}

static void wipe(struct slice key)
{
    if (key.ptr)
        digest_wipe((char *)(uintptr_t)key.ptr, key.len);
}

void audience_release(struct audience *audience)
{
    if (!audience || atomic_fetch_sub(&audience->refs, 1) != 1)
        return;
    for (size_t i = 0; i < audience->count; i++) {
        wipe(audience->members[i].key);
        wipe(audience->members[i].previous);
        upstream_origin_deinit(&audience->members[i].origin);
    }
    arena_reset(&audience->arena);
    free(audience);
}

size_t audience_count(const struct audience *audience)
{
    return audience->count;
}

const struct audience_member *audience_at(const struct audience *audience, size_t i)
{
    return &audience->members[i];
}

const struct audience_member *audience_find(const struct audience *audience, struct slice name)
{
    for (size_t i = 0; i < audience->count; i++)
        if (slice_equal(audience->members[i].name, name))
            return &audience->members[i];
    return NULL;
}

static bool fits(const struct slice *globs, size_t count, struct slice text)
{
    for (size_t i = 0; i < count; i++)
        if (slice_glob(globs[i], text))
            return true;
    return count == 0;
}

bool audience_wants(const struct audience_member *member, struct slice event, struct slice tenant)
{
    return fits(member->events, member->event_count, event) &&
           fits(member->tenants, member->tenant_count, tenant);
}
