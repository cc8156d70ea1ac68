/* What a good file becomes. */
#include "fixture.h"

#define assert_slice(s, text) assert_true(slice_equal((s), slice_from(text)))

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

static void the_defaults(void **state)
{
    struct config *c;
    (void)state;
    assert_int_equal(config_default(&c), 0);
    assert_string_equal(c->listen.data.address, "127.0.0.1:8080");
    assert_string_equal(c->listen.webhooks.address, "127.0.0.1:8081");
    assert_string_equal(c->listen.admin.address, "127.0.0.1:9901");
    assert_null(c->listen.data.cert);
    assert_false(c->allow_anonymous);
    assert_int_equal(c->workers, 0);
    assert_string_equal(c->data_dir, "/var/lib/rollout-gateway");
    assert_int_equal(c->rollout.client_id.len, 0);
    assert_null(c->rollout.client_secret.env);
    assert_null(c->rollout.client_secret.file);
    assert_int_equal(c->rollout.token_ttl_ms, 15 * MINUTE);
    assert_int_equal(c->cache.memory, 256u << 20);
    assert_int_equal(c->cache.entry_max, 1u << 20);
    assert_true(c->cache.disk == CONFIG_ABSENT);
    assert_int_equal(c->cache.write_settle_ms, 3 * SECOND);
    assert_int_equal(c->cache.rule_count, 0);
    assert_int_equal(c->cache.dependency_count, 0);
    assert_int_equal(c->timeouts.connect, 3 * SECOND);
    assert_int_equal(c->timeouts.first_byte, 30 * SECOND);
    assert_int_equal(c->timeouts.idle, 30 * SECOND);
    assert_int_equal(c->timeouts.total, 120 * SECOND);
    assert_int_equal(c->timeouts.client_header, 10 * SECOND);
    assert_int_equal(c->timeouts.client_idle, 75 * SECOND);
    assert_int_equal(c->timeouts.fanout, 15 * SECOND);
    assert_int_equal(c->timeouts.drain, 30 * SECOND);
    assert_int_equal(c->sizes.request_head, 32u << 10);
    assert_int_equal(c->sizes.request_body, 10u << 20);
    assert_int_equal(c->sizes.webhook_body, 1u << 20);
    assert_null(c->webhooks.public_url);
    assert_slice(c->webhooks.signature, "auto");
    assert_int_equal(c->webhooks.coverage_ms, 24 * HOUR);
    assert_int_equal(c->webhooks.subscriber_count, 0);
    assert_null(c->admin.token.env);
    assert_int_equal(c->log.level, LOG_INFO);
    assert_int_equal(c->log.format, LOG_FORMAT_JSON);
    assert_true(c->log.access);
    assert_null(c->cluster.redis_url);
    assert_true(c->discovery.enabled);
    assert_int_equal(c->discovery.negative_ttl_ms, 30 * SECOND);
    assert_int_equal(c->link.allowed_origin_count, 0);
    assert_int_equal(c->connector_count, 0);
    config_release(c);
}

static void connectors_and_front_ends(void **state)
{
    struct config *c =
        load_good("{\"connectors\": {\"link\": {\"apis\": [\"crm\", \"los\"]}},"
                  " \"discovery\": {\"enabled\": false},"
                  " \"link\": {\"allowed_origins\": [\"https://a.example\", \"http://[::1]:3000\"]}}");
    (void)state;
    assert_int_equal(c->connector_count, 1);
    assert_slice(c->connectors[0].app_key, "link"); /* a name like another, here */
    assert_int_equal(c->connectors[0].api_count, 2);
    assert_slice(c->connectors[0].apis[1], "los");
    assert_false(c->discovery.enabled);
    assert_int_equal(c->link.allowed_origin_count, 2);
    config_release(c);
}

static void the_defaults_of_freshness_and_limits(void **state)
{
    struct config *c;
    (void)state;
    assert_int_equal(config_default(&c), 0);
    assert_int_equal(c->cache.defaults.ttl, 5 * MINUTE);
    assert_int_equal(c->cache.defaults.ttl_uncovered, 30 * SECOND);
    assert_int_equal(c->cache.defaults.stale_while_revalidate, 30 * SECOND);
    assert_int_equal(c->cache.defaults.stale_if_error, HOUR);
    assert_int_equal(c->cache.defaults.negative_ttl, 5 * SECOND);
    assert_false(c->cache.defaults.heuristic);
    assert_true(c->limits.tenant.rate == 50.0);
    assert_int_equal(c->limits.tenant.burst, 50);
    assert_int_equal(c->limits.tenant.concurrency, 32);
    assert_int_equal(c->limits.tenant.max_wait_ms, 5 * SECOND);
    assert_false(c->limits.tenant.shadow);
    assert_true(c->limits.client.rate == 0.0 && c->limits.service.rate == 0.0 &&
                c->limits.credential.rate == 0.0);
    assert_int_equal(c->limits.client.burst, 0);
    assert_int_equal(c->limits.client.concurrency, 0);
    config_release(c);
}

static void the_default_upstreams(void **state)
{
    static const char *const want[][2] = {
        {"core", "https://universal.rollout.com/api"},
        {"crm", "https://crm.universal.rollout.com/api"},
        {"tms", "https://tms.universal.rollout.com/api"},
        {"los", "https://los.universal.rollout.com/api"},
        {"mortgage-crm", "https://mortgage-crm.universal.rollout.com/api"},
        {"email", "https://email.universal.rollout.com/api"},
        {"calendar", "https://calendar.universal.rollout.com/api"},
    };
    struct config *c = load_good("{}");
    (void)state;
    assert_int_equal(c->upstream_count, COUNT(want));
    for (size_t i = 0; i < COUNT(want); i++) {
        assert_slice(c->upstreams[i].name, want[i][0]);
        assert_slice(c->upstreams[i].url, want[i][1]);
        assert_null(c->upstreams[i].ca);
    }
    config_release(c);
}

/* Nothing goes to a host that the file does not name. */
static void given_upstreams_replace_the_default(void **state)
{
    struct config *c = load_good(
        "{\"upstreams\": {\"$comment\": 1, \"crm\": {\"url\": \"https://h:9/\", \"ca\": \"/ca\"}}}");
    (void)state;
    assert_int_equal(c->upstream_count, 1);
    assert_slice(c->upstreams[0].name, "crm");
    assert_slice(c->upstreams[0].url, "https://h:9/");
    assert_string_equal(c->upstreams[0].ca, "/ca");
    config_release(c);
}

static const char example[] =
    "{ \"listen\": { \"data\": \"127.0.0.1:8080\", \"webhooks\": \"127.0.0.1:8081\", \"admin\": "
    "\"127.0.0.1:9901\" },"
    " \"workers\": 1, \"data_dir\": \"/var/lib/rollout-gateway\","
    " \"rollout\": { \"client_id\": \"my-client\", \"client_secret\": { \"env\": \"ROLLOUT_CLIENT_SECRET\" },"
    " \"token_ttl\": \"15m\" },"
    " \"upstreams\": { \"crm\": { \"url\": \"http://127.0.0.1:9000/api\" } },"
    " \"cache\": { \"memory\": \"256MiB\", \"entry_max\": \"1MiB\", \"write_settle\": \"3s\","
    " \"default\": { \"ttl\": \"5m\", \"ttl_uncovered\": \"30s\", \"stale_while_revalidate\": \"30s\","
    " \"stale_if_error\": \"1h\" },"
    " \"rules\": [ { \"api\": \"crm\", \"entity\": \"people\", \"ttl\": \"1h\" } ],"
    " \"dependencies\": [ { \"api\": \"crm\", \"event\": \"notes*\", \"stale\": [\"people\"] } ] },"
    " \"limits\": { \"tenant\": { \"rate\": \"50/s\", \"burst\": 50, \"concurrency\": 32, \"max_wait\": "
    "\"5s\" },"
    " \"credential\": {}, \"service\": {}, \"client\": {} },"
    " \"timeouts\": { \"connect\": \"3s\", \"first_byte\": \"30s\", \"idle\": \"30s\", \"total\": \"120s\","
    " \"client_header\": \"10s\", \"client_idle\": \"75s\", \"drain\": \"30s\" },"
    " \"sizes\": { \"request_head\": \"32KiB\", \"request_body\": \"10MiB\", \"webhook_body\": \"1MiB\" },"
    " \"webhooks\": { \"public_url\": \"https://hooks.example.com\", \"signature\": \"auto\","
    " \"subscribers\": [ { \"name\": \"search\", \"url\": \"http://127.0.0.1:7000/hook\", \"events\": "
    "[\"people*\"],"
    " \"secret\": { \"env\": \"SEARCH_SECRET\" } } ] },"
    " \"admin\": { \"token\": { \"file\": \"/run/secrets/admin-token\" } },"
    " \"log\": { \"level\": \"info\", \"format\": \"json\", \"access\": true } }";

static void the_documented_example(void **state)
{
    struct config *c = load_good(example);
    (void)state;
    assert_int_equal(c->workers, 1);
    assert_slice(c->rollout.client_id, "my-client");
    assert_string_equal(c->rollout.client_secret.env, "ROLLOUT_CLIENT_SECRET");
    assert_null(c->rollout.client_secret.file);
    assert_int_equal(c->cache.rule_count, 1);
    assert_slice(c->cache.rules[0].api, "crm");
    assert_slice(c->cache.rules[0].entity, "people");
    assert_int_equal(c->cache.rules[0].freshness.ttl, HOUR);
    assert_int_equal(c->cache.rules[0].freshness.ttl_uncovered, 30 * SECOND);
    assert_int_equal(c->cache.rules[0].freshness.negative_ttl, 5 * SECOND);
    assert_int_equal(c->cache.dependency_count, 1);
    assert_slice(c->cache.dependencies[0].event, "notes*");
    assert_int_equal(c->cache.dependencies[0].stale_count, 1);
    assert_slice(c->cache.dependencies[0].stale[0], "people");
    assert_string_equal(c->webhooks.public_url, "https://hooks.example.com");
    assert_int_equal(c->webhooks.subscriber_count, 1);
    assert_slice(c->webhooks.subscribers[0].events[0], "people*");
    assert_int_equal(c->webhooks.subscribers[0].tenant_count, 0);
    assert_string_equal(c->webhooks.subscribers[0].secret.env, "SEARCH_SECRET");
    assert_string_equal(c->admin.token.file, "/run/secrets/admin-token");
    config_release(c);
}

/* ttl, ttl_uncovered of cache.default and of the first rule, in ms. */
static void freshness_is_inherited(void **state)
{
    static const struct {
        const char *text;
        uint64_t ttl, uncovered, rule_ttl, rule_uncovered;
    } rows[] = {
        {"{\"cache\": {\"rules\": [{\"api\": \"crm\"}]}}", 5 * MINUTE, 30 * SECOND, 5 * MINUTE, 30 * SECOND},
        /* The order in the file does not matter. */
        {"{\"cache\": {\"rules\": [{\"api\": \"crm\"}], \"default\": {\"ttl\": \"2m\"}}}", 2 * MINUTE,
         30 * SECOND, 2 * MINUTE, 30 * SECOND},
        /* 0s adds no freshness of its own, covered or not. */
        {"{\"cache\": {\"default\": {\"ttl\": \"0s\"}, \"rules\": [{\"api\": \"crm\"}]}}", 0, 0, 0, 0},
        {"{\"cache\": {\"rules\": [{\"api\": \"crm\", \"ttl\": \"0s\"}]}}", 5 * MINUTE, 30 * SECOND, 0, 0},
        {"{\"cache\": {\"rules\": [{\"api\": \"crm\", \"ttl\": \"10s\"}]}}", 5 * MINUTE, 30 * SECOND,
         10 * SECOND, 10 * SECOND},
        /* Said in so many words, it is so. */
        {"{\"cache\": {\"rules\": [{\"api\": \"crm\", \"ttl\": \"0s\", \"ttl_uncovered\": \"1m\"}]}}",
         5 * MINUTE, 30 * SECOND, 0, MINUTE},
        {"{\"cache\": {\"rules\": [{\"api\": \"crm\", \"ttl\": \"1h\"}]}}", 5 * MINUTE, 30 * SECOND, HOUR,
         30 * SECOND},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct config *c = load_good(rows[i].text);
        assert_int_equal(c->cache.defaults.ttl, rows[i].ttl);
        assert_int_equal(c->cache.defaults.ttl_uncovered, rows[i].uncovered);
        assert_int_equal(c->cache.rules[0].freshness.ttl, rows[i].rule_ttl);
        assert_int_equal(c->cache.rules[0].freshness.ttl_uncovered, rows[i].rule_uncovered);
        config_release(c);
    }
}

static void a_rate_can_be_switched_off(void **state)
{
    struct config *c =
        load_good("{\"limits\": {\"tenant\": {\"rate\": \"none\"}, \"client\": {\"rate\": \"600/m\", "
                  "\"shadow\": true}}}");
    (void)state;
    assert_true(c->limits.tenant.rate == 0.0);
    assert_int_equal(c->limits.tenant.burst, 0);
    assert_int_equal(c->limits.tenant.concurrency, 32);
    assert_true(c->limits.client.rate == 10.0);
    assert_true(c->limits.client.shadow);
    config_release(c);
}

static void who_may_listen_where(void **state)
{
    static const char *const texts[] = {
        "{\"listen\": {\"data\": \"127.9.9.9:0\", \"admin\": \"127.9.9.9:0\"}}",
        "{\"listen\": {\"data\": \"[::1]:80\", \"admin\": \"LocalHost:80\"}}",
        "{\"listen\": {\"data\": \"[::ffff:127.0.0.1]:80\"}}",
        "{\"listen\": {\"data\": \"unix:/run/a\", \"admin\": \"unix:/run/b\"}}",
        "{\"listen\": {\"webhooks\": \"0.0.0.0:80\"}}",
        "{\"listen\": {\"data\": \"0.0.0.0:80\"}}", /* whether there are service keys is asked elsewhere */
        "{\"listen\": {\"data\": {\"address\": \"0.0.0.0:80\", \"cert\": \"a\", \"key\": \"b\", "
        "\"client_ca\": \"c\"}}}",
        "{\"listen\": {\"admin\": \"0.0.0.0:80\"}, \"admin\": {\"token\": {\"env\": \"A\"}}}",
        "{\"listen\": {\"data\": \"0.0.0.0:80\", \"admin\": \"[::]:81\"}, \"allow_anonymous\": true}",
        "{\"listen\": {\"data\": {\"cert\": \"a\", \"key\": \"b\"}}}",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++)
        config_release(load_good(texts[i]));
}

static void texts_come_from_the_environment(void **state)
{
    (void)state;
    setenv("CONFIG_TEST_HOST", "127.0.0.1", 1);
    setenv("CONFIG_TEST_PORT", "81", 1);
    setenv("CONFIG_TEST_NUMBER", "3", 1);
    setenv("CONFIG_TEST_FLAG", "false", 1);
    setenv("CONFIG_TEST_AGAIN", "${CONFIG_TEST_PORT}", 1);
    struct config *c =
        load_good("{\"listen\": {\"data\": \"${CONFIG_TEST_HOST}:${CONFIG_TEST_PORT}\"},"
                  " \"workers\": \"${CONFIG_TEST_NUMBER}\", \"log\": {\"access\": \"${CONFIG_TEST_FLAG}\"},"
                  " \"timeouts\": {\"idle\": \"${CONFIG_TEST_NUMBER}m\"},"
                  " \"rollout\": {\"client_id\": \"$${x}$ ${CONFIG_TEST_AGAIN}\"},"
                  " \"admin\": {\"token\": {\"file\": \"/run/${CONFIG_TEST_PORT}/token\"}}}");
    assert_string_equal(c->listen.data.address, "127.0.0.1:81");
    assert_int_equal(c->workers, 3);
    assert_false(c->log.access);
    assert_int_equal(c->timeouts.idle, 3 * MINUTE);
    assert_slice(c->rollout.client_id, "${x}$ ${CONFIG_TEST_PORT}");
    assert_string_equal(c->admin.token.file, "/run/81/token");
    config_release(c);
}

static void comments_are_overlooked(void **state)
{
    struct config *c =
        load_good("{\"$schema\": \"x\", \"$comment\": [1], \"log\": {\"$comment\": {\"level\": 5}},"
                  " \"admin\": {\"token\": {\"$comment\": \"\", \"env\": \"A\"}},"
                  " \"listen\": {\"data\": {\"$comment\": \"x\"}},"
                  " \"cache\": {\"rules\": [{\"$comment\": null, \"api\": \"crm\"}]}}");
    (void)state;
    assert_int_equal(c->cache.rule_count, 1);
    assert_string_equal(c->listen.data.address, "127.0.0.1:8080");
    config_release(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults),
        cmocka_unit_test(the_defaults_of_freshness_and_limits),
        cmocka_unit_test(the_default_upstreams),
        cmocka_unit_test(given_upstreams_replace_the_default),
        cmocka_unit_test(the_documented_example),
        cmocka_unit_test(freshness_is_inherited),
        cmocka_unit_test(a_rate_can_be_switched_off),
        cmocka_unit_test(who_may_listen_where),
        cmocka_unit_test(texts_come_from_the_environment),
        cmocka_unit_test(connectors_and_front_ends),
        cmocka_unit_test(comments_are_overlooked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
