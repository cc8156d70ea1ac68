#include <stdlib.h>

#include "internal.h"

static int copy_api(struct pipeline_settings *s, struct pipeline_api *api,
                    const struct pipeline_api_options *from, struct fault *fault)
{
    struct slice url = from->url;
    while (url.len > 0 && url.ptr[url.len - 1] == '/')
        url.len--;
    api->name = arena_copy(&s->arena, from->name);
    api->base_url = arena_copy(&s->arena, url);
    if (!api->name.ptr || !api->base_url.ptr)
        return fault_set(fault, ERR_NOMEM, "out of memory");
    struct url parsed;
    if (!url_parse(api->base_url, &parsed) || parsed.query.len > 0)
        return fault_set(fault, ERR_SYNTAX, "upstreams.%.*s.url: not an http(s) URL without query",
                         SLICE_ARG(from->name));
    /* url_parse gives "/" for a URL without a path; then the base path is empty. */
    bool has_path =
        parsed.path.ptr >= api->base_url.ptr && parsed.path.ptr < api->base_url.ptr + api->base_url.len;
    api->base_path = has_path ? parsed.path : SLICE("");
    api->is_core = slice_equal(api->name, SLICE("core"));
    api->client_authorization = from->client_authorization;
    int error = upstream_origin_init(&api->origin, api->base_url, from->ca);
    if (error)
        return fault_set(fault, error, "upstreams.%.*s.url: %s", SLICE_ARG(from->name), error_text(error));
    return 0;
}

static int copy_apis(struct pipeline_settings *s, const struct pipeline_options *o, struct fault *fault)
{
    s->apis = arena_zalloc(&s->arena, (o->api_count + 1) * sizeof *s->apis);
    s->names = arena_zalloc(&s->arena, (o->api_count + 1) * sizeof *s->names);
    if (!s->apis || !s->names)
        return fault_set(fault, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < o->api_count; i++) {
        int error = copy_api(s, &s->apis[i], &o->apis[i], fault);
        if (error)
            return error;
        s->names[i] = s->apis[i].name;
        s->api_count++;
    }
    return 0;
}

static struct slice copy_normalised(struct arena *arena, struct slice name)
{
    char text[ROUTE_ENTITY_MAX * 2];
    struct buf buf;
    buf_init_fixed(&buf, text, sizeof text);
    if (event_normalise(&buf, name))
        return (struct slice){NULL, 0};
    return arena_copy(arena, buf_slice(&buf));
}

static int api_index(const struct pipeline_settings *s, struct slice name)
{
    for (size_t i = 0; i < s->api_count; i++)
        if (slice_equal(s->names[i], name))
            return (int)i;
    return -1;
}

static int copy_rules(struct pipeline_settings *s, const struct pipeline_options *o, struct fault *fault)
{
    s->rules = arena_zalloc(&s->arena, (o->rule_count + 1) * sizeof *s->rules);
    s->dependencies = arena_zalloc(&s->arena, (o->dependency_count + 1) * sizeof *s->dependencies);
    if (!s->rules || !s->dependencies)
        return fault_set(fault, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < o->rule_count; i++) {
        struct pipeline_rule *rule = &s->rules[i];
        rule->api = api_index(s, o->rules[i].api);
        rule->entity = copy_normalised(&s->arena, o->rules[i].entity);
        rule->policy = o->rules[i].policy;
        if (!rule->entity.ptr)
            return fault_set(fault, ERR_INVALID, "cache.rules[%zu].entity: too long", i);
    }
    for (size_t i = 0; i < o->dependency_count; i++) {
        s->dependencies[i] = o->dependencies[i];
        s->dependencies[i].api = arena_copy(&s->arena, o->dependencies[i].api);
        s->dependencies[i].pattern = copy_normalised(&s->arena, o->dependencies[i].pattern);
        for (size_t j = 0; j < o->dependencies[i].stale_count; j++)
            s->dependencies[i].stale[j] = copy_normalised(&s->arena, o->dependencies[i].stale[j]);
    }
    s->rule_count = o->rule_count;
    s->dependency_count = o->dependency_count;
    return 0;
}

int pipeline_settings_create(const struct pipeline_options *options, struct pipeline_settings **out,
                             struct fault *fault)
{
    struct pipeline_settings *s = calloc(1, sizeof *s);
    if (!s)
        return fault_set(fault, ERR_NOMEM, "out of memory");
    s->refs = 1;
    arena_init(&s->arena, NULL, 0, 16 * 1024 * 1024);
    s->default_policy = options->default_policy;
    s->write_settle_ms = options->write_settle_ms;
    s->coverage_ms = options->coverage_ms;
    s->plan = event_plan_retain(options->plan);
    s->canary_ms = options->plan && options->canary > 0 ? (uint64_t)(1000 / options->canary) + 1 : 0;
    s->body_max = options->body_max;
    s->leg_ms = options->leg_ms;
    s->entry_max = options->entry_max;
    s->access_log = options->access_log;
    s->discovery = options->discovery;
    s->allow_anonymous = options->allow_anonymous;
    int error = copy_apis(s, options, fault);
    if (!error)
        error = copy_rules(s, options, fault);
    if (error) {
        pipeline_settings_release(s);
        return error;
    }
    *out = s;
    return 0;
}

void pipeline_settings_release(struct pipeline_settings *s)
{
    if (!s || --s->refs > 0)
        return;
    for (size_t i = 0; i < s->api_count; i++)
        upstream_origin_deinit(&s->apis[i].origin);
    event_plan_release(s->plan);
    arena_reset(&s->arena);
    free(s);
}

const struct cache_policy *settings_policy(const struct pipeline_settings *s, int api, struct slice entity)
{
    const struct cache_policy *policy = &s->default_policy;
    for (size_t i = 0; i < s->rule_count; i++) {
        const struct pipeline_rule *rule = &s->rules[i];
        if (rule->api != api)
            continue;
        if (slice_equal(rule->entity, entity))
            return &rule->policy;
        if (rule->entity.len == 0)
            policy = &rule->policy;
    }
    return policy;
}

const struct cache_policy *settings_policy_of(const struct pipeline_settings *s,
                                              const struct cache_subject *subject)
{
    return settings_policy(s, api_index(s, subject->api), subject->entity);
}
