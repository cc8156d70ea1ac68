/* Which APIs an account serves: the configuration's table, then the shipped one, both by app key in any
 * spelling. */
#include "internal.h"

static bool take_api(struct credential_listed *out, struct slice api)
{
    if (out->api_count == CREDENTIAL_API_MAX || api.len > CREDENTIAL_API_NAME_MAX)
        return false;
    out->apis[out->api_count++] = api;
    return true;
}

static bool take_configured(const struct link_options *options, struct arena *arena,
                            struct credential_listed *out)
{
    for (size_t i = 0; i < options->connector_count; i++) {
        const struct link_connector *connector = &options->connectors[i];
        if (!credential_app_key_equal(connector->app_key, out->app_key))
            continue;
        out->known = true;
        for (size_t j = 0; j < connector->api_count; j++) {
            struct slice api = arena_copy(arena, connector->apis[j]); /* a reload may come */
            if (!api.ptr)
                return false;
            out->known = take_api(out, api) && out->known;
        }
        return true;
    }
    return true;
}

bool connectors_apply(const struct link_options *options, struct arena *arena, struct credential_listed *out)
{
    size_t count;
    const struct rollout_connector *shipped = rollout_connectors(&count);
    out->known = false;
    out->api_count = 0;
    if (!take_configured(options, arena, out))
        return false;
    for (size_t i = 0; i < count && !out->known; i++) {
        if (!credential_app_key_equal(slice_from(shipped[i].app_key), out->app_key))
            continue;
        out->known = true;
        for (const char *const *api = shipped[i].apis; *api; api++)
            take_api(out, slice_from(*api));
    }
    return true;
}
