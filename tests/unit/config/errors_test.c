/* Files that are wrong, and exactly what is said of them. */
#include "fixture.h"

#define DURATION ": a whole number and ms, s, m, h or d\n"
#define SIZE     ": a whole number and B, KiB, MiB, GiB or TiB\n"
#define RATE                                                                                                 \
    "a rate such as \"50/s\" or \"600/m\" (a whole number from 1 to 1000000000 and /s, /m or /h), or "       \
    "\"none\"\n"
#define SECRET "{ \"env\": NAME } or { \"file\": PATH }: a secret never stands in the configuration itself\n"
#define KEYS                                                                                                 \
    "unknown key, expected \"listen\", \"allow_anonymous\", \"workers\", \"data_dir\", \"rollout\", "        \
    "\"upstreams\", \"connectors\", \"discovery\", \"link\", \"cache\", \"limits\", \"timeouts\", "          \
    "\"sizes\", "                                                                                            \
    "\"webhooks\", \"admin\", \"log\" or \"cluster\"\n"
#define ADDRESS  "expected \"host:port\", \"[v6]:port\" or \"unix:/path\"\n"
#define URL      "an absolute http:// or https:// URL without user name, query or fragment\n"
#define REDIS    "a redis:// or rediss:// URL without user name or password\n"
#define TLS_ONLY "found \"client_ca\" without \"cert\" and \"key\", expected TLS for mutual TLS\n"
#define OPEN_ADMIN                                                                                           \
    "listen.admin: other machines can reach this address and are not asked who they are, expected "          \
    "\"admin\": { \"token\": … }, a loopback address, unix:/path, or \"allow_anonymous\": true\n"
#define EVENT "a text of 1 to 64 bytes: letters, digits and \"_*-\"\n"

struct row {
    const char *text, *lines;
};

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect_lines(rows[i].text, rows[i].lines);
}

static void text_that_is_not_json(void **state)
{
    static const struct row rows[] = {
        {"", "line 1, column 0: ends too early\n"},
        {"{\n  \"log\" {}}", "line 2, column 9: not valid JSON\n"},
        {"{\"log\": {}} x", "line 1, column 13: something follows the value\n"},
        {"{\"log\": {},\n\"log\": {}}", "line 2, column 5: a member stands twice in an object\n"},
        /* The rest is told nevertheless. */
        {"{\"log\": {}, \"logg\": 1,\n\"log\": {}}", "line 2, column 5: a member stands twice in an object\n"
                                                     "logg: unknown key; did you mean \"log\"?\n"},
        {"[]", "the configuration: found an array, expected an object\n"},
        {"\"secret\"", "the configuration: found a text, expected an object\n"},
        {"null", "the configuration: found null, expected an object\n"},
    };
    (void)state;
    check_rows(rows, COUNT(rows));
}

static void keys_that_are_unknown(void **state)
{
    static const struct row rows[] = {
        {"{\"wrkers\": 1}", "wrkers: unknown key; did you mean \"workers\"?\n"},
        {"{\"zzz\": 1}", "zzz: " KEYS},
        {"{\"memory\": 1}", "memory: unknown key here; did you mean the one inside \"cache\"?\n"},
        {"{\"ttl\": 1}", "ttl: unknown key here; did you mean the one inside \"cache.default\"?\n"},
        {"{\"cache\": {\"log\": {}}}",
         "cache.log: unknown key here; did you mean the one at the root of the file?\n"},
        {"{\"cache\": {\"default\": {\"tll\": \"5m\"}}}",
         "cache.default.tll: unknown key; did you mean \"ttl\"?\n"},
        {"{\"cache\": {\"rules\": [{\"api\": \"crm\", \"entitiy\": \"people\"}]}}",
         "cache.rules[0].entitiy: unknown key; did you mean \"entity\"?\n"},
        {"{\"upstreams\": {\"crm\": {\"url\": \"http://h/api\", \"uri\": 1}}}",
         "upstreams.crm.uri: unknown key; did you mean \"url\"?\n"},
        {"{\"listen\": {\"data\": {\"adress\": \"127.0.0.1:1\"}}}",
         "listen.data.adress: unknown key; did you mean \"address\"?\n"},
        {"{\"listen\": {\"admin\": {\"cert\": \"x\"}}}",
         "listen.admin.cert: unknown key, expected \"address\"\n"},
        {"{\"log\": {\"$schema\": \"x\"}}",
         "log.$schema: unknown key, expected \"level\", \"format\" or \"access\"\n"},
        {"{\"a b\\u0007\": 1}", "[\"a b\\u0007\"]: " KEYS},
        {"{\"\": 1}", "[\"\"]: " KEYS},
    };
    (void)state;
    check_rows(rows, COUNT(rows));
}

static void values_of_another_type(void **state)
{
    static const struct row rows[] = {
        {"{\"listen\": []}", "listen: found an array, expected an object\n"},
        {"{\"listen\": {\"data\": 8080}}",
         "listen.data: found the number 8080, expected an address as text, or an "
         "object with \"address\"\n"},
        {"{\"allow_anonymous\": 1}", "allow_anonymous: found the number 1, expected true or false\n"},
        {"{\"workers\": \"4\"}", "workers: found \"4\", expected a whole number from 0 to 1024\n"},
        {"{\"workers\": 1.5}",
         "workers: found a number with a fraction or exponent, expected a whole number from 0 to 1024\n"},
        {"{\"workers\": -1}", "workers: found the number -1, expected a whole number from 0 to 1024\n"},
        {"{\"workers\": 1025}", "workers: found the number 1025, expected a whole number from 0 to 1024\n"},
        {"{\"workers\": null}", "workers: found null, expected a whole number from 0 to 1024\n"},
        {"{\"data_dir\": true}",
         "data_dir: found true, expected a text of 1 to 4096 bytes without control characters\n"},
        {"{\"data_dir\": \"\"}",
         "data_dir: found \"\", expected a text of 1 to 4096 bytes without control characters\n"},
        {"{\"data_dir\": \"a\\nb\"}",
         "data_dir: found \"a\\nb\", expected a text of 1 to 4096 bytes without control characters\n"},
        {"{\"cache\": {\"rules\": {}}}", "cache.rules: found an object, expected an array of objects\n"},
        {"{\"cache\": {\"rules\": [5]}}", "cache.rules[0]: found a number, expected an object\n"},
        {"{\"cache\": {\"rules\": [{\"api\": \"crm\", \"override\": \"private\"}]}}",
         "cache.rules[0].override: found \"private\", expected an array of texts\n"},
        {"{\"upstreams\": []}", "upstreams: found an array, expected an object\n"},
        {"{\"upstreams\": {\"crm\": \"http://h/api\"}}", "upstreams.crm: found a text, expected an object\n"},
        {"{\"log\": {\"access\": \"yes\"}}", "log.access: found \"yes\", expected true or false\n"},
    };
    (void)state;
    check_rows(rows, COUNT(rows));
}

static void quantities_that_are_impossible(void **state)
{
    static const struct row rows[] = {
        {"{\"timeouts\": {\"idle\": 30}}",
         "timeouts.idle: found the number 30, expected a duration from \"1ms\" to \"1d\"" DURATION},
        {"{\"timeouts\": {\"idle\": \"1.5h\"}}",
         "timeouts.idle: found \"1.5h\", expected a duration from \"1ms\" to \"1d\"" DURATION},
        {"{\"timeouts\": {\"idle\": \"-1s\"}}",
         "timeouts.idle: found \"-1s\", expected a duration from \"1ms\" to \"1d\"" DURATION},
        {"{\"timeouts\": {\"idle\": \"0s\"}}",
         "timeouts.idle: found \"0s\", expected a duration from \"1ms\" to \"1d\"" DURATION},
        {"{\"timeouts\": {\"idle\": \"2d\"}}",
         "timeouts.idle: found \"2d\", expected a duration from \"1ms\" to \"1d\"" DURATION},
        {"{\"timeouts\": {\"idle\": \"99999999999999999999s\"}}",
         "timeouts.idle: found \"99999999999999999999s\", expected a duration from \"1ms\" to "
         "\"1d\"" DURATION},
        {"{\"sizes\": {\"request_head\": \"64KB\"}}",
         "sizes.request_head: found \"64KB\", expected a size from \"1KiB\" to \"1MiB\"" SIZE},
        {"{\"sizes\": {\"request_head\": \"2MiB\"}}",
         "sizes.request_head: found \"2MiB\", expected a size from \"1KiB\" to \"1MiB\"" SIZE},
        {"{\"limits\": {\"tenant\": {\"rate\": 50}}}",
         "limits.tenant.rate: found the number 50, expected " RATE},
        {"{\"limits\": {\"tenant\": {\"rate\": \"0/s\"}}}",
         "limits.tenant.rate: found \"0/s\", expected " RATE},
        {"{\"limits\": {\"tenant\": {\"rate\": \"50\"}}}",
         "limits.tenant.rate: found \"50\", expected " RATE},
        {"{\"limits\": {\"credential\": {\"burst\": 5}}}",
         "limits.credential: found \"burst\" without a \"rate\", expected both or neither\n"},
        /* One line for one mistake. */
        {"{\"limits\": {\"credential\": {\"rate\": \"5\", \"burst\": 5}}}",
         "limits.credential.rate: found \"5\", expected " RATE},
        {"{\"cache\": {\"memory\": \"1MiB\", \"entry_max\": \"2MiB\"}}",
         "cache.entry_max: larger than cache.memory, expected an entry to fit\n"},
        {"{\"cache\": {\"disk\": \"1023KiB\"}}",
         "cache.disk: found less than \"1MiB\", expected that or more, or \"0B\" for no copy\n"},
        {"{\"cache\": {\"disk\": \"17TiB\"}}",
         "cache.disk: found \"17TiB\", expected a size from \"0B\" to \"16TiB\"" SIZE},
    };
    (void)state;
    check_rows(rows, COUNT(rows));
}

static void words_that_are_no_choice(void **state)
{
    static const struct row rows[] = {
        {"{\"log\": {\"level\": \"warning\"}}",
         "log.level: found \"warning\", expected one of \"debug\", \"info\", "
         "\"warn\", \"error\"; did you mean \"warn\"?\n"},
        {"{\"log\": {\"format\": \"yaml\"}}",
         "log.format: found \"yaml\", expected one of \"json\", \"text\"\n"},
        {"{\"webhooks\": {\"signature\": \"base64-body-hxe\"}}",
         "webhooks.signature: found \"base64-body-hxe\", expected one of \"auto\", \"base64-body-hex\", "
         "\"base64-body-base64\", \"body-hex\", \"body-base64\"; did you mean \"base64-body-hex\"?\n"},
        {"{\"cache\": {\"rules\": [{\"api\": \"crm\", \"override\": [\"no-store\", \"private\", \"private\", "
         "1]}]}}",
         "cache.rules[0].override[0]: \"no-store\" cannot be overridden: what upstream forbids to keep is "
         "never "
         "kept\n"
         "cache.rules[0].override[2]: found \"private\", expected each entry once\n"
         "cache.rules[0].override[3]: found the number 1, expected one of \"private\", \"no-cache\", "
         "\"must-revalidate\", \"proxy-revalidate\", \"must-understand\", \"max-age\", \"s-maxage\", "
         "\"expires\"\n"},
    };
    (void)state;
    check_rows(rows, COUNT(rows));
}

static void listeners_that_cannot_be(void **state)
{
    static const struct row rows[] = {
        {"{\"listen\": {\"data\": \"8080\"}}", "listen.data: found \"8080\", " ADDRESS},
        {"{\"listen\": {\"data\": \"*:80\"}}", "listen.data: found \"*:80\", " ADDRESS},
        {"{\"listen\": {\"data\": \"::1:80\"}}", "listen.data: found \"::1:80\", " ADDRESS},
        {"{\"listen\": {\"data\": \"127.0.0.1:65536\"}}", "listen.data: found \"127.0.0.1:65536\", " ADDRESS},
        {"{\"listen\": {\"data\": \"unix:run/x\"}}", "listen.data: found \"unix:run/x\", " ADDRESS},
        {"{\"listen\": {\"data\": {\"address\": \"[::g]:1\"}}}",
         "listen.data.address: found \"[::g]:1\", " ADDRESS},
        {"{\"listen\": {\"data\": {\"cert\": \"a\"}, \"webhooks\": {\"key\": \"b\"}}}",
         "listen.data: found \"cert\" without \"key\", expected both or neither\n"
         "listen.webhooks: found \"key\" without \"cert\", expected both or neither\n"},
        {"{\"listen\": {\"data\": {\"client_ca\": \"a\"}}}", "listen.data: " TLS_ONLY},
        {"{\"listen\": {\"data\": \"127.0.0.1:9901\"}}",
         "listen.admin: the same address as listen.data, expected one of its own\n"},
        {"{\"listen\": {\"data\": \"unix:/a\", \"webhooks\": \"unix:/a\"}}",
         "listen.webhooks: the same address as listen.data, expected one of its own\n"},
        {"{\"listen\": {\"admin\": \"0.0.0.0:80\"}}", OPEN_ADMIN},
        {"{\"listen\": {\"admin\": \"[::]:80\"}}", OPEN_ADMIN},
        {"{\"listen\": {\"admin\": \"128.0.0.1:80\"}}", OPEN_ADMIN},
        {"{\"listen\": {\"admin\": \"127.0.0.1.example.com:80\"}}", OPEN_ADMIN},
        {"{\"listen\": {\"admin\": \"10.0.0.1:80\"}}", OPEN_ADMIN},
    };
    (void)state;
    check_rows(rows, COUNT(rows));
}

static void upstreams_that_cannot_be(void **state)
{
    static const struct row rows[] = {
        {"{\"upstreams\": {}}", "upstreams: found 0 entries, expected 1 to 64\n"},
        {"{\"upstreams\": {\"crm\": {}}}", "upstreams.crm.url: missing, expected " URL},
        {"{\"upstreams\": {\"crm\": {\"url\": \"ftp://h/api\"}}}",
         "upstreams.crm.url: found \"ftp://h/api\", expected " URL},
        {"{\"upstreams\": {\"crm\": {\"url\": \"http://h/a/../api\"}}}",
         "upstreams.crm.url: found \"http://h/a/../api\", expected " URL},
        /* What may hold a password is not repeated. */
        {"{\"upstreams\": {\"crm\": {\"url\": \"http://u:pass@h/api\"}}}",
         "upstreams.crm.url: found a text, expected " URL},
        {"{\"upstreams\": {\"crm\": {\"url\": \"http://h/api?key=1\"}}}",
         "upstreams.crm.url: found a text, expected " URL},
        {"{\"upstreams\": {\"crm\": {\"url\": \"http://h/api\", \"ca\": \"x\"}}}",
         "upstreams.crm.ca: nothing is verified with an http URL, expected an https URL beside \"ca\"\n"},
        {"{\"upstreams\": {\"t\": {\"url\": \"http://h/api\"}}}",
         "upstreams.t: not a usable name, the gateway's own paths begin with /t\n"},
        {"{\"upstreams\": {\"a/b\": {\"url\": \"http://h/api\"}}}",
         "upstreams[\"a/b\"]: not a usable name, expected 1 to 64 letters, digits or one of ._-, the first a "
         "letter or digit\n"},
        {"{\"upstreams\": {\"..\": {\"url\": \"http://h/api\"}}}",
         "upstreams[\"..\"]: not a usable name, expected 1 to 64 letters, digits or one of ._-, the first a "
         "letter or digit\n"},
        {"{\"cluster\": {\"redis_url\": \"redis://user:pass@h\"}}",
         "cluster.redis_url: found a text, expected " REDIS},
        {"{\"cluster\": {\"redis_url\": \"http://h\"}}",
         "cluster.redis_url: found \"http://h\", expected " REDIS},
    };
    (void)state;
    check_rows(rows, COUNT(rows));
}

#define ORIGIN                                                                                               \
    ", expected an origin as browsers write it: \"https://app.example.com\", in lower case, no path, no "    \
    "usual "                                                                                                 \
    "port\n"

static void connectors_and_origins_that_cannot_be(void **state)
{
    static const struct row rows[] = {
        {"{\"connectors\": {\"lofty\": {\"apis\": [\"crn\"]}}}",
         "connectors.lofty.apis[0]: found \"crn\", expected a name under \"upstreams\"; did you mean "
         "\"crm\"?\n"},
        {"{\"connectors\": {\"lofty\": {\"apis\": []}}}",
         "connectors.lofty.apis: found 0 entries, expected 1 to 16\n"},
        {"{\"link\": {\"allowed_origins\": [\"*\"]}}", "link.allowed_origins[0]: found \"*\"" ORIGIN},
        {"{\"link\": {\"allowed_origins\": [\"null\"]}}", "link.allowed_origins[0]: found \"null\"" ORIGIN},
        {"{\"link\": {\"allowed_origins\": [\"https://a.example/\"]}}",
         "link.allowed_origins[0]: found \"https://a.example/\"" ORIGIN},
        {"{\"link\": {\"allowed_origins\": [\"https://a.example:443\"]}}",
         "link.allowed_origins[0]: found \"https://a.example:443\"" ORIGIN},
        {"{\"link\": {\"allowed_origins\": [\"https://A.example\"]}}",
         "link.allowed_origins[0]: found \"https://A.example\"" ORIGIN},
    };
    (void)state;
    check_rows(rows, COUNT(rows));
}

static void rules_that_cannot_be(void **state)
{
    static const struct row rows[] = {
        {"{\"cache\": {\"rules\": [{}]}}",
         "cache.rules[0].api: missing, expected a text of 1 to 64 bytes: letters, digits and \"._-\"\n"},
        {"{\"cache\": {\"rules\": [{\"api\": \"crn\"}]}}",
         "cache.rules[0].api: found \"crn\", expected a name under \"upstreams\"; did you mean \"crm\"?\n"},
        /* Only what the file names is served. */
        {"{\"upstreams\": {\"crm\": {\"url\": \"http://h/api\"}}, \"cache\": {\"rules\": [{\"api\": "
         "\"email\"}]}}",
         "cache.rules[0].api: found \"email\", expected a name under \"upstreams\"\n"},
        {"{\"cache\": {\"rules\": [{\"api\": \"crm\", \"entity\": \"textMessages\"}, {\"api\": \"crm\"},"
         " {\"api\": \"crm\", \"entity\": \"text-messages\"}, {\"api\": \"crm\"}]}}",
         "cache.rules[2]: about the same api and entity as cache.rules[0], expected one rule for each\n"
         "cache.rules[3]: about the same api and entity as cache.rules[1], expected one rule for each\n"},
        {"{\"cache\": {\"dependencies\": [{\"api\": \"x\", \"event\": \"a b\", \"stale\": []}]}}",
         "cache.dependencies[0].event: found \"a b\", expected " EVENT
         "cache.dependencies[0].stale: found 0 entries, expected 1 to 8\n"
         "cache.dependencies[0].api: found \"x\", expected a name under \"upstreams\"\n"},
        {"{\"cache\": {\"dependencies\": [{}]}}",
         "cache.dependencies[0].event: missing, expected " EVENT
         "cache.dependencies[0].stale: missing, expected an array of "
         "texts\n"},
        {"{\"webhooks\": {\"subscribers\": ["
         "{\"name\": \"a\", \"url\": \"http://h/?x\", \"secret\": {\"env\": \"A\"}},"
         "{\"name\": \"a\", \"url\": \"http://h/\", \"secret\": {\"env\": \"A\"}, \"events\": []}]}}",
         "webhooks.subscribers[1].events: found 0 entries, expected 1 to 256\n"
         "webhooks.subscribers[1].name: the same name as webhooks.subscribers[0], expected one of its own\n"},
    };
    (void)state;
    check_rows(rows, COUNT(rows));
}

/* Nothing that could be a secret's content may be told. */
static void secrets_that_are_none(void **state)
{
    static const struct row rows[] = {
        {"{\"admin\": {\"token\": \"hunter2\"}}", "admin.token: found a text, expected " SECRET},
        {"{\"admin\": {\"token\": \"${HOME}\"}}", "admin.token: found a text, expected " SECRET},
        {"{\"admin\": {\"token\": 1234}}", "admin.token: found a number, expected " SECRET},
        {"{\"admin\": {\"token\": {}}}",
         "admin.token: found neither \"env\" nor \"file\", expected { \"env\": NAME "
         "} or { \"file\": PATH }\n"},
        {"{\"admin\": {\"token\": {\"env\": \"A\", \"file\": \"/b\"}}}",
         "admin.token: found both \"env\" and \"file\", expected either { \"env\": NAME } or { \"file\": "
         "PATH "
         "}\n"},
        {"{\"admin\": {\"token\": {\"env\": \"hunter 2\"}}}",
         "admin.token.env: found a text, expected the name of an environment variable\n"},
        {"{\"admin\": {\"token\": {\"env\": \"2hunter\"}}}",
         "admin.token.env: found a text, expected the name of an environment variable\n"},
        {"{\"admin\": {\"token\": {\"env\": \"${HOME}\"}}}",
         "admin.token.env: found a text, expected the name of an environment variable\n"},
        {"{\"admin\": {\"token\": {\"file\": 1234}}}",
         "admin.token.file: found a number, expected a text of 1 to 4096 bytes without control characters\n"},
        {"{\"admin\": {\"token\": {\"value\": \"hunter2\"}}}",
         "admin.token.value: unknown key, expected \"env\" or \"file\"\n"},
    };
    (void)state;
    check_rows(rows, COUNT(rows));
}

static void the_environment_that_is_not_there(void **state)
{
    static const struct row rows[] = {
        {"{\"data_dir\": \"/x/${CONFIG_TEST_NONE}\"}",
         "data_dir: the environment variable CONFIG_TEST_NONE is not set\n"},
        {"{\"data_dir\": \"${\"}",
         "data_dir: found a malformed ${…}, expected ${NAME} (or $${ for the two characters themselves)\n"},
        {"{\"data_dir\": \"${A:-b}\"}",
         "data_dir: found a malformed ${…}, expected ${NAME} (or $${ for the two characters themselves)\n"},
        {"{\"data_dir\": \"${CONFIG_TEST_LONG}\"}",
         "data_dir: too long after ${…} was expanded, expected at most 4096 bytes\n"},
        {"{\"data_dir\": \"${CONFIG_TEST_BYTES}\"}", "data_dir: not valid UTF-8 after ${…} was expanded\n"},
        /* The file's text is shown, not what the variable holds. */
        {"{\"log\": {\"level\": \"${CONFIG_TEST_HIDDEN}\"}}",
         "log.level: found \"${CONFIG_TEST_HIDDEN}\", expected one of \"debug\", \"info\", \"warn\", "
         "\"error\"\n"},
        {"{\"workers\": \"${CONFIG_TEST_HIDDEN}\"}",
         "workers: found \"${CONFIG_TEST_HIDDEN}\", expected a whole number from 0 to 1024\n"},
        {"{\"cache\": {\"memory\": \"${CONFIG_TEST_HIDDEN}\"}}",
         "cache.memory: found \"${CONFIG_TEST_HIDDEN}\", expected a size from \"1MiB\" to \"16TiB\"" SIZE},
    };
    char longer[5000];
    (void)state;
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    unsetenv("CONFIG_TEST_NONE");
    setenv("CONFIG_TEST_LONG", longer, 1);
    setenv("CONFIG_TEST_BYTES", "\xff", 1);
    setenv("CONFIG_TEST_HIDDEN", "hunter2", 1);
    check_rows(rows, COUNT(rows));
}

static void all_lines_come_at_once_and_in_order(void **state)
{
    (void)state;
    expect_lines(
        "{\"wrokers\": 1, \"cache\": {\"rules\": [{\"api\": \"crm\", \"ttl\": 1}], \"memory\": 1},"
        " \"log\": {\"level\": \"loud\"}, \"listen\": {\"admin\": \"0.0.0.0:1\"}}",
        "wrokers: unknown key; did you mean \"workers\"?\n"
        "cache.memory: found the number 1, expected a size from \"1MiB\" to \"16TiB\"" SIZE
        "cache.rules[0].ttl: found the number 1, expected a duration from \"0s\" to \"365d\"" DURATION
        "log.level: found \"loud\", expected one of \"debug\", \"info\", \"warn\", \"error\"\n" OPEN_ADMIN);
}

static void too_many_lines_are_counted(void **state)
{
    struct config *config;
    struct config_errors errors;
    struct buf text;
    char last[64];
    (void)state;
    buf_init(&text, 1024 * 1024);
    buf_append_text(&text, "{\"log\":{");
    for (unsigned i = 0; i < 20000; i++)
        buf_append_format(&text, "\"unknown%u\":1,", i);
    buf_append_text(&text, "\"access\":true}}");
    config_errors_init(&errors);
    assert_int_equal(config_parse(buf_slice(&text), &config, &errors), ERR_INVALID);
    assert_int_equal(errors.count, 20000);
    assert_in_range(errors.listed, 1000, 19999);
    const int len = snprintf(last, sizeof last, "\n… and %u more\n", errors.count - errors.listed);
    assert_memory_equal(errors.lines.ptr + errors.lines.len - (size_t)len, last, (size_t)len);
    config_errors_deinit(&errors);
    buf_deinit(&text);
}

static void a_file_that_cannot_be_read(void **state)
{
    struct config *config;
    struct config_errors errors;
    (void)state;
    config_errors_init(&errors);
    assert_int_equal(config_load("/nonexistent/gateway.json", &config, &errors), ERR_IO);
    assert_true(slice_equal(buf_slice(&errors.lines),
                            SLICE("cannot open /nonexistent/gateway.json: No such file or directory\n")));
    assert_int_equal(errors.count, 1);
    config_errors_deinit(&errors);
    config_errors_init(&errors);
    assert_int_equal(config_load("/", &config, &errors), ERR_IO);
    assert_true(slice_equal(buf_slice(&errors.lines), SLICE("cannot read /: Is a directory\n")));
    config_errors_deinit(&errors);
    config_errors_init(&errors);
    assert_int_equal(config_load("/dev/zero", &config, &errors), ERR_IO);
    assert_true(slice_equal(buf_slice(&errors.lines), SLICE("/dev/zero is longer than 1048576 bytes\n")));
    config_errors_deinit(&errors);
}

static void rollout_is_required_by_who_needs_it(void **state)
{
    struct config_errors errors;
    struct config *config = load_good("{}");
    (void)state;
    config_errors_init(&errors);
    assert_int_equal(config_require_rollout(config, &errors), ERR_INVALID);
    assert_true(
        slice_equal(buf_slice(&errors.lines), SLICE("rollout.client_id: missing, expected the client id that "
                                                    "Rollout gave you (or --sandbox, which needs "
                                                    "no account)\n"
                                                    "rollout.client_secret: missing, expected { \"env\": "
                                                    "NAME } or { \"file\": PATH } (or --sandbox, which "
                                                    "needs no account)\n")));
    config_errors_deinit(&errors);
    config_release(config);
    config = load_good("{\"rollout\": {\"client_id\": \"a\", \"client_secret\": {\"env\": \"A\"}}}");
    config_errors_init(&errors);
    assert_int_equal(config_require_rollout(config, &errors), 0);
    config_errors_deinit(&errors);
    config_release(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_that_is_not_json),
        cmocka_unit_test(keys_that_are_unknown),
        cmocka_unit_test(values_of_another_type),
        cmocka_unit_test(quantities_that_are_impossible),
        cmocka_unit_test(words_that_are_no_choice),
        cmocka_unit_test(listeners_that_cannot_be),
        cmocka_unit_test(upstreams_that_cannot_be),
        cmocka_unit_test(connectors_and_origins_that_cannot_be),
        cmocka_unit_test(rules_that_cannot_be),
        cmocka_unit_test(secrets_that_are_none),
        cmocka_unit_test(the_environment_that_is_not_there),
        cmocka_unit_test(all_lines_come_at_once_and_in_order),
        cmocka_unit_test(too_many_lines_are_counted),
        cmocka_unit_test(a_file_that_cannot_be_read),
        cmocka_unit_test(rollout_is_required_by_who_needs_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
