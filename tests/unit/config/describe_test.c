/* The way back: description, reload, secrets, and the generated files of conf/. */
#include <errno.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"
#include "http/json.h"

static struct buf describe(const struct config *config)
{
    struct buf out;
    buf_init(&out, 1024 * 1024);
    assert_int_equal(config_describe(config, &out), 0);
    buf_append_char(&out, '\0');
    assert_false(out.failed);
    return out;
}

/* A configuration with everything set, to something other than the default. */
static const char everything[] =
    "{ \"listen\": { \"data\": {\"address\": \"0.0.0.0:1\", \"cert\": \"/c\", \"key\": \"/k\", "
    "\"client_ca\": \"/a\"},"
    " \"webhooks\": \"[::1]:2\", \"admin\": {\"address\": \"unix:/s\"} }, \"allow_anonymous\": true,"
    " \"workers\": 7, \"data_dir\": \"/d $${x}\","
    " \"rollout\": { \"client_id\": \"me\", \"client_secret\": { \"env\": \"SECRET_A\" },"
    " \"client_secret_previous\": { \"file\": \"/p\" }, \"token_ttl\": \"90s\" },"
    " \"upstreams\": { \"crm\": { \"url\": \"https://h:9000/api\", \"ca\": \"/u\" }, \"b.c\": {\"url\": "
    "\"http://h\"} },"
    " \"cache\": { \"memory\": \"3MiB\", \"entry_max\": \"1025B\", \"disk\": \"5MiB\", \"write_settle\": "
    "\"1ms\","
    " \"default\": { \"ttl\": \"1d\", \"ttl_uncovered\": \"2d\", \"stale_while_revalidate\": \"0s\","
    " \"stale_if_error\": \"1500ms\", \"negative_ttl\": \"1s\", \"heuristic\": true },"
    " \"rules\": [ { \"api\": \"crm\", \"entity\": \"people\", \"ttl\": \"1h\", \"override\": [\"private\", "
    "\"expires\"] },"
    " {\"api\": \"b.c\", \"heuristic\": false} ],"
    " \"dependencies\": [ { \"event\": \"notes*\", \"stale\": [\"people\", \"smart-lists\"] } ] },"
    " \"limits\": { \"tenant\": { \"rate\": \"7/m\", \"burst\": 1, \"concurrency\": 2, \"max_wait\": \"0s\","
    " \"shadow\": true }, \"client\": {\"rate\": \"1/h\"} },"
    " \"timeouts\": { \"connect\": \"1s\", \"first_byte\": \"2s\", \"idle\": \"3s\", \"total\": \"4s\","
    " \"client_header\": \"5s\", \"client_idle\": \"6s\", \"fanout\": \"8s\", \"drain\": \"7s\" },"
    " \"sizes\": { \"request_head\": \"2KiB\", \"request_body\": \"3B\", \"webhook_body\": \"4KiB\" },"
    " \"webhooks\": { \"public_url\": \"https://hooks.example.com\", \"signature\": \"body-hex\", "
    "\"coverage\": \"1h\","
    " \"subscribers\": [ { \"name\": \"s\", \"url\": \"http://h/hook\", \"tenants\": [\"a@b\"],"
    " \"secret\": { \"file\": \"/f\" } } ] },"
    " \"admin\": { \"token\": { \"file\": \"/t\" } },"
    " \"log\": { \"level\": \"error\", \"format\": \"text\", \"access\": false },"
    " \"cluster\": { \"redis_url\": \"rediss://h:6380/1\" } }";

static void a_description_can_be_loaded(void **state)
{
    static const char *const texts[] = {"{}", everything};
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct config *first = load_good(texts[i]);
        struct buf one = describe(first);
        struct config *second = load_good(one.ptr);
        struct buf two = describe(second);
        assert_string_equal(one.ptr, two.ptr);
        config_release(first);
        config_release(second);
        buf_deinit(&one);
        buf_deinit(&two);
    }
}

/* Every key that the file has stands in the description with the same value; objects may have more. */
static void assert_contains(json_t *whole, json_t *part)
{
    const char *key;
    json_t *value;
    if (!json_is_object(part)) {
        assert_true(json_equal(whole, part));
        return;
    }
    json_object_foreach(part, key, value)
    {
        if (!json_object_get(whole, key))
            fail_msg("%s is missing", key);
        assert_contains(json_object_get(whole, key), value);
    }
}

static void a_description_says_what_the_file_said(void **state)
{
    struct fault fault;
    struct config *config = load_good(everything);
    struct buf text = describe(config);
    json_t *said = json_read(slice_from(text.ptr), 1024 * 1024, &fault);
    json_t *file = json_read(slice_from(everything), 1024 * 1024, &fault);
    (void)state;
    /* These are filled in or written in their short form. */
    json_object_del(json_object_get(file, "listen"), "admin");
    json_object_del(json_object_get(file, "cache"), "rules");
    json_object_del(json_object_get(file, "webhooks"), "subscribers");
    assert_contains(said, file);
    json_decref(said);
    json_decref(file);
    buf_deinit(&text);
    config_release(config);
}

static void a_description_has_no_secret(void **state)
{
    (void)state;
    setenv("CONFIG_TEST_SECRET", "hunter2", 1);
    struct config *config =
        load_good("{\"rollout\": {\"client_secret\": {\"env\": \"CONFIG_TEST_SECRET\"}},"
                  " \"webhooks\": {\"subscribers\": [{\"name\": \"s\", \"url\": \"http://h/?key=hunter2\","
                  " \"secret\": {\"env\": \"CONFIG_TEST_SECRET\"}}]}}");
    struct buf text = describe(config);
    assert_null(strstr(text.ptr, "hunter2"));
    assert_non_null(strstr(text.ptr, "\"client_secret\":{\"env\":\"CONFIG_TEST_SECRET\"}"));
    assert_non_null(strstr(text.ptr, "\"url\":\"http://h/?***\""));
    buf_deinit(&text);
    config_release(config);
}

static void only_a_restart_changes_some_things(void **state)
{
    static const struct {
        const char *now, *why;
    } rows[] = {
        {"{}", NULL},
        {"{\"log\": {\"level\": \"debug\"}, \"cache\": {\"memory\": \"2MiB\"}, \"upstreams\": {\"crm\": "
         "{\"url\": "
         "\"http://h\"}}, \"limits\": {\"tenant\": {\"rate\": \"none\"}}, \"admin\": {\"token\": {\"env\": "
         "\"A\"}}}",
         NULL},
        {"{\"listen\": {\"data\": {\"address\": \"127.0.0.1:8080\"}}}", NULL},
        {"{\"listen\": {\"data\": \"127.0.0.1:1\"}}", "listen.data"},
        {"{\"listen\": {\"data\": {\"cert\": \"a\", \"key\": \"b\"}}, \"workers\": 2}",
         "listen.data, workers"},
        {"{\"data_dir\": \"/x\", \"cluster\": {\"redis_url\": \"redis://h\"}}",
         "data_dir, cluster.redis_url"},
        {"{\"cache\": {\"disk\": \"0B\"}}", "cache.disk"},
    };
    struct config *then = load_good("{}");
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct config *now = load_good(rows[i].now);
        struct fault fault = {""};
        char want[200];
        assert_int_equal(config_reloadable(then, now, &fault), rows[i].why == NULL);
        if (rows[i].why) {
            snprintf(want, sizeof want, "%s: changed, and only a restart can change that", rows[i].why);
            assert_string_equal(fault.text, want);
        }
        config_release(now);
    }
    config_release(then);
}

/* --- secrets
 * ------------------------------------------------------------------------------------------------ */

static void check_secret(const struct config_secret *secret, int error, const char *want)
{
    struct fault fault = {""};
    struct buf out;
    buf_init(&out, 8192);
    assert_int_equal(config_secret_read(secret, &out, &fault), error);
    if (error)
        assert_string_equal(fault.text, want);
    else
        assert_true(slice_equal(buf_slice(&out), slice_from(want)));
    assert_true(!error || out.len == 0);
    buf_wipe(&out);
}

static void secrets_come_from_the_environment(void **state)
{
    char longer[4098];
    (void)state;
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    setenv("CONFIG_TEST_SECRET", "hunter2\n", 1);
    setenv("CONFIG_TEST_EMPTY", "", 1);
    setenv("CONFIG_TEST_LONG", longer, 1);
    unsetenv("CONFIG_TEST_NONE");
    check_secret(&(struct config_secret){.env = "CONFIG_TEST_SECRET"}, 0, "hunter2\n");
    check_secret(&(struct config_secret){.env = "CONFIG_TEST_NONE"}, ERR_NOTFOUND,
                 "the environment variable CONFIG_TEST_NONE is not set");
    check_secret(&(struct config_secret){.env = "CONFIG_TEST_EMPTY"}, ERR_INVALID,
                 "the environment variable CONFIG_TEST_EMPTY is empty, expected a secret");
    check_secret(
        &(struct config_secret){.env = "CONFIG_TEST_LONG"}, ERR_INVALID,
        "the environment variable CONFIG_TEST_LONG is longer than 4096 bytes, too long for a secret");
    check_secret(&(struct config_secret){NULL, NULL}, ERR_NOTFOUND, "no secret is configured");
}

static void write_file(const char *path, const char *text, size_t len)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static void secrets_come_from_files(void **state)
{
    static const struct {
        const char *content, *secret;
    } rows[] = {
        {"hunter2", "hunter2"},       {"hunter2\n", "hunter2"},       {"hunter2\r\n", "hunter2"},
        {"hunter2\n\n", "hunter2\n"}, {"two\nlines\n", "two\nlines"},
    };
    char path[] = "/tmp/config-secret-XXXXXX", line[200], longer[4097];
    const int fd = mkstemp(path);
    const struct config_secret secret = {.file = path};
    (void)state;
    assert_true(fd >= 0);
    close(fd);
    for (size_t i = 0; i < COUNT(rows); i++) {
        write_file(path, rows[i].content, strlen(rows[i].content));
        check_secret(&secret, 0, rows[i].secret);
    }
    memset(longer, 'x', sizeof longer);
    write_file(path, longer, sizeof longer - 1);
    struct buf out;
    struct fault fault;
    buf_init(&out, 8192);
    assert_int_equal(config_secret_read(&secret, &out, &fault), 0);
    assert_int_equal(out.len, 4096);
    buf_wipe(&out);
    write_file(path, longer, sizeof longer);
    snprintf(line, sizeof line, "the file %s is longer than 4096 bytes, too long for a secret", path);
    check_secret(&secret, ERR_INVALID, line);
    write_file(path, "\n", 1);
    snprintf(line, sizeof line, "the file %s is empty, expected a secret", path);
    check_secret(&secret, ERR_INVALID, line);
    assert_int_equal(chmod(path, 0), 0);
    snprintf(line, sizeof line, "no permission to read the file %s", path);
    if (geteuid() != 0)
        check_secret(&secret, ERR_DENIED, line);
    unlink(path);
    snprintf(line, sizeof line, "the file %s does not exist", path);
    check_secret(&secret, ERR_NOTFOUND, line);
    check_secret(&(struct config_secret){.file = "/"}, ERR_IO, "cannot read the file /: Is a directory");
}

/* --- conf/
 * -------------------------------------------------------------------------------------------------- */

static void check_generated(const char *path, int (*generate)(struct buf *out), const char *how)
{
    struct buf want, have;
    size_t got;
    buf_init(&want, 1024 * 1024);
    buf_init(&have, 1024 * 1024);
    assert_int_equal(generate(&want), 0);
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("%s: %s (tests run in the root of the repository)", path, strerror(errno));
    while (buf_reserve(&have, 4096) == 0 && (got = fread(have.ptr + have.len, 1, 4096, file)) > 0)
        buf_grow(&have, got);
    fclose(file);
    if (!slice_equal(buf_slice(&want), buf_slice(&have)))
        fail_msg("%s is not what the table of fields gives; regenerate it: %s", path, how);
    buf_deinit(&want);
    buf_deinit(&have);
}

static void the_schema_in_the_repository_is_current(void **state)
{
    (void)state;
    check_generated("conf/gateway.schema.json", config_schema,
                    "rollout-gateway check --schema > conf/gateway.schema.json");
}

static void the_manual_in_the_repository_is_current(void **state)
{
    (void)state;
    check_generated("conf/README.md", config_manual, "rollout-gateway check --manual > conf/README.md");
}

static void check_example(const char *path)
{
    struct config *config = NULL;
    struct config_errors errors;
    config_errors_init(&errors);
    if (config_load(path, &config, &errors) || config_require_rollout(config, &errors))
        fail_msg("%s: %.*s", path, SLICE_ARG(buf_slice(&errors.lines)));
    config_errors_deinit(&errors);
    config_release(config);
}

static void the_examples_are_right(void **state)
{
    unsigned count = 0;
    glob_t found;
    (void)state;
    setenv("ROLLOUT_CLIENT_ID", "test", 1);
    setenv("WEBHOOKS_HOST", "hooks.example.com", 1);
    assert_int_equal(glob("conf/*.json", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        if (strstr(found.gl_pathv[i], ".schema.json"))
            continue;
        check_example(found.gl_pathv[i]);
        count++;
    }
    globfree(&found);
    assert_true(count >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_description_can_be_loaded),
        cmocka_unit_test(a_description_says_what_the_file_said),
        cmocka_unit_test(a_description_has_no_secret),
        cmocka_unit_test(only_a_restart_changes_some_things),
        cmocka_unit_test(secrets_come_from_the_environment),
        cmocka_unit_test(secrets_come_from_files),
        cmocka_unit_test(the_schema_in_the_repository_is_current),
        cmocka_unit_test(the_manual_in_the_repository_is_current),
        cmocka_unit_test(the_examples_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
