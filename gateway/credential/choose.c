/* The choice among a tenant's credentials. Pure. */
#include "credential/credential_internal.h"

const char *credential_status_text(enum credential_status status)
{
    switch (status) {
    case CREDENTIAL_ACTIVE:
        return "active";
    case CREDENTIAL_GONE:
        return "gone";
    }
    return "unknown";
}

struct credential *set_find(struct credential_set *set, struct slice id)
{
    for (size_t i = 0; i < set->count; i++)
        if (slice_equal(set->items[i].id, id))
            return &set->items[i];
    return NULL;
}

/* The next byte that counts, in lower case; '\0' at the end. */
static char next_letter(struct slice *rest)
{
    while (rest->len) {
        char c = rest->ptr[0];
        *rest = slice_skip(*rest, 1);
        if (c == '-' || c == '_' || c == '.' || c == ' ')
            continue;
        return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    return '\0';
}

bool credential_app_key_equal(struct slice a, struct slice b)
{
    for (size_t matched = 0;; matched++) {
        char left = next_letter(&a), right = next_letter(&b);
        if (left != right)
            return false;
        if (left == '\0')
            return matched > 0 && a.len == 0 && b.len == 0;
    }
}

bool credential_serves(const struct credential *credential, struct slice api)
{
    if (credential->api_count == 0)
        return true;
    for (size_t i = 0; i < credential->api_count; i++)
        if (slice_equal(credential->apis[i], api))
            return true;
    return false;
}

bool credential_fits(const struct credential *credential, const struct credential_selector *selector)
{
    return credential->status == CREDENTIAL_ACTIVE && credential_serves(credential, selector->api) &&
           (selector->id.len == 0 || slice_equal(credential->id, selector->id)) &&
           (selector->app_key.len == 0 || credential_app_key_equal(credential->app_key, selector->app_key));
}

static bool owns(const struct credential_set *set, struct slice id)
{
    for (size_t i = 0; i < set->count; i++)
        if (slice_equal(set->items[i].id, id))
            return true;
    return false;
}

enum credential_outcome credential_choose(const struct credential_set *set,
                                          const struct credential_selector *selector, size_t *index)
{
    size_t fitting = 0, defaults = 0, last = 0, last_default = 0;
    if (selector->id.len && !owns(set, selector->id))
        return CREDENTIAL_FOREIGN;
    for (size_t i = 0; i < set->count; i++) {
        if (!credential_fits(&set->items[i], selector))
            continue;
        fitting++;
        last = i;
        if (set->items[i].is_default) {
            defaults++;
            last_default = i;
        }
    }
    if (fitting == 0)
        return CREDENTIAL_NONE;
    if (fitting > 1 && defaults != 1)
        return CREDENTIAL_AMBIGUOUS;
    *index = fitting == 1 ? last : last_default;
    return CREDENTIAL_CHOSEN;
}
