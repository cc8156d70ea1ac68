/* Reading: the request path, and the lists. */
#include "credential/credential_internal.h"

int credential_lookup(struct store_view *view, struct slice tenant, struct credential_set *out)
{
    struct slice record;
    out->count = 0;
    int rc = store_get(view, CREDENTIAL_TABLE_TENANTS, tenant, &record);
    if (rc)
        return rc == ERR_NOTFOUND ? 0 : rc;
    return codec_read_set(record, tenant, out);
}

int credential_find(struct store_view *view, struct slice tenant, struct slice id, struct credential *out)
{
    struct credential_set set;
    int rc = credential_lookup(view, tenant, &set);
    const struct credential *found = rc ? NULL : set_find(&set, id);
    if (found == NULL)
        return rc ? rc : ERR_NOTFOUND;
    *out = *found;
    return 0;
}

int credential_by_token(struct store_view *view, struct slice token, struct credential *out)
{
    struct slice record, tenant, id;
    int rc = token.len == CREDENTIAL_TOKEN_LEN ? store_get(view, CREDENTIAL_TABLE_TOKENS, token, &record)
                                               : ERR_NOTFOUND;
    if (rc || (rc = codec_read_holder(record, &tenant, &id)) || (rc = credential_find(view, tenant, id, out)))
        return rc;
    /* An entry that outlived its credential (whose record was damaged and made anew) opens nothing. */
    return slice_equal(out->webhook_token, token) ? 0 : ERR_NOTFOUND;
}

/* --- lists
 * ----------------------------------------------------------------------------------------------------- */

struct listing {
    const struct credential_page *page;
    void (*visit)(struct slice tenant, size_t count, void *arg);
    void *arg;
    size_t shown;
    struct slice last;
    bool more;
};

static bool on_tenant(struct slice key, struct slice value, void *arg)
{
    struct listing *listing = arg;
    if (!slice_starts(key, listing->page->prefix))
        return false;
    if (slice_equal(key, listing->page->cursor))
        return true;
    if (listing->shown == listing->page->limit) {
        listing->more = true;
        return false;
    }
    listing->shown++;
    listing->last = key;
    listing->visit(key, codec_read_count(value), listing->arg);
    return true;
}

static bool is_after(struct slice a, struct slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common ? memcmp(a.ptr, b.ptr, common) : 0;
    return order ? order > 0 : a.len > b.len;
}

int credential_list_tenants(struct store_view *view, const struct credential_page *page,
                            void (*visit)(struct slice tenant, size_t count, void *arg), void *arg,
                            struct slice *next)
{
    struct listing listing = {.page = page, .visit = visit, .arg = arg};
    struct slice from = is_after(page->cursor, page->prefix) ? page->cursor : page->prefix;
    int rc = store_scan(view, CREDENTIAL_TABLE_TENANTS, from, on_tenant, &listing, NULL);
    *next = listing.more ? listing.last : (struct slice){0};
    return rc;
}

struct walk {
    bool (*visit)(const struct credential *credential, void *arg);
    void *arg;
    size_t damaged;
};

static bool on_record(struct slice key, struct slice value, void *arg)
{
    struct walk *walk = arg;
    struct credential_set set;
    if (codec_read_set(value, key, &set)) {
        walk->damaged++;
        return true;
    }
    for (size_t i = 0; i < set.count; i++)
        if (!walk->visit(&set.items[i], walk->arg))
            return false;
    return true;
}

int credential_each(struct store_view *view, bool (*visit)(const struct credential *credential, void *arg),
                    void *arg, size_t *damaged)
{
    struct walk walk = {.visit = visit, .arg = arg};
    size_t unreadable = 0;
    int rc = store_scan(view, CREDENTIAL_TABLE_TENANTS, (struct slice){0}, on_record, &walk, &unreadable);
    if (damaged)
        *damaged = unreadable + walk.damaged;
    return rc;
}
