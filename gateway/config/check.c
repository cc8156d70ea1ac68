/* What two values must agree on. One value alone is judged where it is read. */
#include "config/config_internal.h"
#include "http/url.h"

enum { DISK_MIN = 1 << 20 };

static void report_at(struct parser *p, const char *path, const char *why)
{
    const size_t mark = p->path.len;
    buf_append_text(&p->path, path);
    parser_report(p, "%s", why);
    parser_pop(p, mark);
}

/* --- listeners -------------------------------------------------------------------------------- */

static void check_tls(struct parser *p, const char *path, const struct config_listener *listener)
{
    if (listener->cert && !listener->key)
        report_at(p, path, "found \"cert\" without \"key\", expected both or neither");
    if (listener->key && !listener->cert)
        report_at(p, path, "found \"key\" without \"cert\", expected both or neither");
    if (listener->client_ca && !listener->cert)
        report_at(p, path, "found \"client_ca\" without \"cert\" and \"key\", expected TLS for mutual TLS");
}

/* Port 0 is another one each time. */
static bool is_same_address(const char *a, const char *b)
{
    const struct slice one = slice_from(a), other = slice_from(b);
    if (!slice_equal_nocase(one, other))
        return false;
    return one.len < 2 || memcmp(one.ptr + one.len - 2, ":0", 2) != 0;
}

static void check_distinct(struct parser *p)
{
    const struct config *c = p->config;
    if (is_same_address(c->listen.webhooks.address, c->listen.data.address))
        report_at(p, "listen.webhooks", "the same address as listen.data, expected one of its own");
    if (is_same_address(c->listen.admin.address, c->listen.data.address))
        report_at(p, "listen.admin", "the same address as listen.data, expected one of its own");
    if (is_same_address(c->listen.admin.address, c->listen.webhooks.address))
        report_at(p, "listen.admin", "the same address as listen.webhooks, expected one of its own");
}

static void check_listeners(struct parser *p)
{
    const struct config *c = p->config;
    const bool token = c->admin.token.env || c->admin.token.file;
    check_tls(p, "listen.data", &c->listen.data);
    check_tls(p, "listen.webhooks", &c->listen.webhooks);
    check_distinct(p);
    /* Who may call the data listener depends on the service keys, too: the program asks the store. */
    if (c->allow_anonymous)
        return;
    if (!listener_is_local(slice_from(c->listen.admin.address)) && !token)
        report_at(p, "listen.admin",
                  "other machines can reach this address and are not asked who they are, expected \"admin\": "
                  "{ \"token\": … }, "
                  "a loopback address, unix:/path, or \"allow_anonymous\": true");
}

/* --- upstreams and what names them ------------------------------------------------------------ */

static void check_upstreams(struct parser *p)
{
    for (size_t i = 0; i < p->config->upstream_count; i++) {
        const struct config_upstream *upstream = &p->config->upstreams[i];
        if (!upstream->ca || upstream->url.len < 5 ||
            slice_equal_nocase(slice_of(upstream->url.ptr, 5), SLICE("https")))
            continue;
        const size_t mark = parser_push(p, SLICE("upstreams"));
        parser_push(p, upstream->name);
        parser_push(p, SLICE("ca"));
        parser_report(p, "nothing is verified with an http URL, expected an https URL beside \"ca\"");
        parser_pop(p, mark);
    }
}

/* Empty: not given, or already reported. The path is the name's. */
static void check_api_name(struct parser *p, struct slice api)
{
    struct suggestion near = {NULL, 0};
    bool found = api.len == 0;
    for (size_t i = 0; i < p->config->upstream_count && !found; i++) {
        const struct slice name = p->config->upstreams[i].name;
        found = slice_equal(api, name);
        if (name.ptr)
            suggest_offer(&near, api, name.ptr);
    }
    if (!found && near.best)
        parser_report(p, "found \"%.*s\", expected a name under \"upstreams\"; did you mean \"%s\"?",
                      SLICE_ARG(api), near.best);
    else if (!found)
        parser_report(p, "found \"%.*s\", expected a name under \"upstreams\"", SLICE_ARG(api));
}

static void check_api(struct parser *p, struct slice api)
{
    const size_t mark = parser_push(p, SLICE("api"));
    check_api_name(p, api);
    parser_pop(p, mark);
}

static void check_connectors(struct parser *p)
{
    for (size_t i = 0; i < p->config->connector_count; i++) {
        const struct config_connector *connector = &p->config->connectors[i];
        const size_t mark = parser_push(p, SLICE("connectors"));
        parser_push(p, connector->app_key);
        parser_push(p, SLICE("apis"));
        for (size_t j = 0; j < connector->api_count; j++) {
            const size_t item = parser_push_index(p, j);
            check_api_name(p, connector->apis[j]);
            parser_pop(p, item);
        }
        parser_pop(p, mark);
    }
}

/* --- front ends ------------------------------------------------------------------------------- */

/* As a browser writes it (RFC 6454 6.2): in lower case, without a path and without the usual port. */
static bool is_origin(struct slice text)
{
    struct url url;
    if (!url_parse(text, &url) || url.authority.ptr + url.authority.len != text.ptr + text.len)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] >= 'A' && text.ptr[i] <= 'Z')
            return false;
    return url.authority.len == url.host.len || url.port != (url.https ? 443 : 80);
}

static void check_origins(struct parser *p)
{
    for (size_t i = 0; i < p->config->link.allowed_origin_count; i++) {
        const struct slice origin = p->config->link.allowed_origins[i];
        if (origin.len == 0 || is_origin(origin))
            continue;
        const size_t mark = p->path.len;
        buf_append_format(&p->path, "link.allowed_origins[%zu]", i);
        parser_report(p,
                      "found \"%.*s\", expected an origin as browsers write it: "
                      "\"https://app.example.com\", in lower case, no path, no usual port",
                      SLICE_ARG(origin));
        parser_pop(p, mark);
    }
}

/* --- cache ------------------------------------------------------------------------------------ */

/* Whoever shortens ttl does not expect answers to live longer without webhooks. */
static void limit_uncovered(json_t *given, struct config_freshness *freshness)
{
    const bool only_ttl = json_object_get(given, "ttl") && !json_object_get(given, "ttl_uncovered");
    if (only_ttl && freshness->ttl_uncovered > freshness->ttl)
        freshness->ttl_uncovered = freshness->ttl;
}

void check_freshness(struct parser *p, json_t *given, void *object)
{
    (void)p;
    limit_uncovered(given, object);
}

void check_rule_freshness(struct parser *p, json_t *given, void *item)
{
    struct config_rule *rule = item;
    (void)p;
    limit_uncovered(given, &rule->freshness);
}

static size_t skip_hyphens(struct slice s, size_t at)
{
    while (at < s.len && s.ptr[at] == '-')
        at++;
    return at;
}

/* Without case and hyphens (contract 12). */
static bool is_same_entity(struct slice a, struct slice b)
{
    size_t i = skip_hyphens(a, 0), j = skip_hyphens(b, 0);
    while (i < a.len && j < b.len) {
        if (!slice_equal_nocase(slice_of(a.ptr + i, 1), slice_of(b.ptr + j, 1)))
            return false;
        i = skip_hyphens(a, i + 1);
        j = skip_hyphens(b, j + 1);
    }
    return i >= a.len && j >= b.len;
}

static void check_rule(struct parser *p, size_t at)
{
    const struct config_rule *rules = p->config->cache.rules, *rule = &rules[at];
    check_api(p, rule->api);
    for (size_t i = 0; i < at && rule->api.len > 0; i++) {
        if (!slice_equal(rule->api, rules[i].api) || !is_same_entity(rule->entity, rules[i].entity))
            continue;
        parser_report(p, "about the same api and entity as cache.rules[%zu], expected one rule for each", i);
        return;
    }
}

static void check_cache(struct parser *p)
{
    const struct config *c = p->config;
    if (c->cache.entry_max > c->cache.memory)
        report_at(p, "cache.entry_max", "larger than cache.memory, expected an entry to fit");
    if (c->cache.disk > 0 && c->cache.disk < DISK_MIN)
        report_at(p, "cache.disk", "found less than \"1MiB\", expected that or more, or \"0B\" for no copy");
    for (size_t i = 0; i < c->cache.rule_count; i++) {
        const size_t mark = parser_push(p, SLICE("cache"));
        parser_push(p, SLICE("rules"));
        parser_push_index(p, i);
        check_rule(p, i);
        parser_pop(p, mark);
    }
    for (size_t i = 0; i < c->cache.dependency_count; i++) {
        const size_t mark = parser_push(p, SLICE("cache"));
        parser_push(p, SLICE("dependencies"));
        parser_push_index(p, i);
        check_api(p, c->cache.dependencies[i].api);
        parser_pop(p, mark);
    }
}

/* --- limits and webhooks ---------------------------------------------------------------------- */

/* "rate": "none" switches off what the default says, burst included; a burst of one's own needs a rate. */
void check_limit(struct parser *p, json_t *given, void *object)
{
    struct config_limit *limit = object;
    json_t *rate = json_object_get(given, "rate");
    if (limit->rate > 0)
        return;
    if (!json_object_get(given, "burst"))
        limit->burst = 0;
    const bool none = !rate || (json_is_string(rate) && strcmp(json_string_value(rate), "none") == 0);
    if (limit->burst > 0 && none)
        parser_report(p, "found \"burst\" without a \"rate\", expected both or neither");
}

static void check_events(struct parser *p)
{
    for (size_t i = 0; i < p->config->webhooks.event_count; i++) {
        const size_t mark = parser_push(p, SLICE("webhooks"));
        parser_push(p, SLICE("events"));
        parser_push_index(p, i);
        check_api(p, p->config->webhooks.events[i].api);
        parser_pop(p, mark);
    }
}

static void check_subscribers(struct parser *p)
{
    const struct config_subscriber *all = p->config->webhooks.subscribers;
    for (size_t i = 0; i < p->config->webhooks.subscriber_count; i++)
        for (size_t j = 0; j < i && all[i].name.len > 0; j++) {
            if (!slice_equal(all[i].name, all[j].name))
                continue;
            const size_t mark = p->path.len;
            buf_append_format(&p->path, "webhooks.subscribers[%zu].name", i);
            parser_report(p, "the same name as webhooks.subscribers[%zu], expected one of its own", j);
            parser_pop(p, mark);
            break;
        }
}

void check_config(struct parser *p)
{
    check_listeners(p);
    check_upstreams(p);
    check_connectors(p);
    check_origins(p);
    check_cache(p);
    check_events(p);
    check_subscribers(p);
}

int config_require_rollout(const struct config *config, struct config_errors *errors)
{
    static const char when[] = "(or --sandbox, which needs no account)";
    const struct config_secret *secret = &config->rollout.client_secret;
    const unsigned before = errors->count;
    struct parser p;
    parser_init(&p, NULL, errors);
    if (config->rollout.client_id.len == 0) {
        parser_push(&p, SLICE("rollout"));
        parser_push(&p, SLICE("client_id"));
        parser_report(&p, "missing, expected the client id that Rollout gave you %s", when);
        parser_pop(&p, 0);
    }
    if (!secret->env && !secret->file) {
        parser_push(&p, SLICE("rollout"));
        parser_push(&p, SLICE("client_secret"));
        parser_report(&p, "missing, expected { \"env\": NAME } or { \"file\": PATH } %s", when);
    }
    return errors->count > before ? ERR_INVALID : 0;
}
