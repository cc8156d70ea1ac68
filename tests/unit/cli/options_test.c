/* Usage: what is taken, what is refused and how that is told. */
#include "fixture.h"

struct row {
    const char *words[10];
    int status;
    const char *out, *err; /* a part of it; NULL: nothing is printed there */
};

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int status = run_words(rows[i].words);
        if (status != rows[i].status)
            fail_msg("row %zu: status %d, not %d\n%s%s", i, status, rows[i].status, lent.out, lent.err);
        if (rows[i].out)
            assert_has(lent.out, rows[i].out);
        else
            assert_string_equal(lent.out, "");
        if (rows[i].err)
            assert_has(lent.err, rows[i].err);
        else
            assert_string_equal(lent.err, "");
        assert_unloaded();
    }
}

#define check_all(rows) check_rows((rows), sizeof(rows) / sizeof *(rows))

static void usage_errors_are_told_on_stderr(void **state)
{
    static const struct row rows[] = {
        {{NULL}, 2, NULL, "rollout-gateway: which command?\nTry 'rollout-gateway --help'.\n"},
        {{"stats", NULL}, 2, NULL, "unknown command 'stats' (did you mean 'status'?)"},
        {{"entirely-else", NULL}, 2, NULL, "unknown command 'entirely-else'\n"},
        {{"keys", NULL}, 2, NULL, "rollout-gateway keys: which one?"},
        {{"keys", "forge", NULL}, 2, NULL, "unknown command 'keys forge'\n"},
        {{"keys", "create", NULL}, 2, NULL, "--name is needed"},
        {{"keys", "create", "--name", "a b", NULL}, 2, NULL, "name: must be"},
        {{"keys", "revoke", "billing", NULL}, 2, NULL, "an id is 16 characters"},
        {{"credentials", NULL}, 2, NULL, "rollout-gateway credentials: which one?\n"},
        {{"credentials", "imprt", NULL}, 2, NULL, "did you mean 'credentials import'?"},
        {{"credentials", "put", "a", NULL},
         2,
         NULL,
         "credentials put: something is missing: TENANT ID\nTry 'rollout-gateway "
         "credentials put --help'.\n"},
        {{"credentials", "get", "a", "b", "c", NULL}, 2, NULL, "unexpected argument 'c'"},
        {{"credentials", "put", "a", "b", "--lable", "x", NULL},
         2,
         NULL,
         "unknown option --lable (did you mean --label?)"},
        {{"credentials", "put", "a", "b", "--label", NULL}, 2, NULL, "--label needs a value (TEXT)"},
        {{"credentials", "put", "a", "b", "--default=yes", NULL}, 2, NULL, "--default takes no value"},
        {{"credentials", "put", "a", "b", "--label", "x", "--label=y", NULL},
         2,
         NULL,
         "--label is given twice"},
        {{"credentials", "put", "a", "b", "--default", "--no-default", NULL}, 2, NULL, "not both"},
        {{"credentials", "put", "a b", "c", NULL}, 2, NULL, "tenant: must be"},
        {{"credentials", "put", "a", "b", "--apis", "crm,,tms", NULL}, 2, NULL, "apis[1]: must be"},
        {{"credentials", "delete", "a", "b/c", NULL}, 2, NULL, "no tenant or credential"},
        {{"credentials", "list", "--tenant", "a", "--prefix", "b", NULL}, 2, NULL, "not both"},
        {{"credentials", "list", "--tenant", "a/b", NULL}, 2, NULL, "a tenant is"},
        {{"credentials", "get", "--dry-run", "a", "b", NULL}, 2, NULL, "unknown option --dry-run\n"},
        {{"status", "-x", NULL}, 2, NULL, "unknown option -x"},
        {{"status", "extra", NULL}, 2, NULL, "unexpected argument 'extra'"},
        {{"token", NULL}, 2, NULL, "something is missing: TENANT"},
        {{"token", "a/b", NULL}, 2, NULL, "a tenant is 1 to 128"},
        {{"explain", "acme", "GET", "crm/people", NULL}, 2, NULL, "the path begins with a slash"},
        {{"explain", "a b", "GET", "/crm", NULL}, 2, NULL, "a tenant is"},
        {{"explain", "acme", "GET", "/\xff", NULL}, 2, NULL, "valid UTF-8"},
        {{"explain", "acme", "GET", "/", "--caller", "\xff", NULL}, 2, NULL, "valid UTF-8"},
        {{"purge", NULL}, 2, NULL, "or --all"},
        {{"purge", "--all", "--tenant", "a", NULL}, 2, NULL, "--all stands alone"},
        {{"purge", "--tenant=", NULL}, 2, NULL, "an empty tenant"},
        {{"purge", "--ids", "1", "--api", "crm", "--tenant", "a", NULL}, 2, NULL, "--ids needs --entity"},
        {{"purge", "--ids", "1", "--api", "crm", "--entity", "people", NULL},
         2,
         NULL,
         "--ids needs --tenant or --credential"},
        {{"purge", "--ids=1,,2", "--api=crm", "--entity=people", "--tenant=a", NULL},
         2,
         NULL,
         "a list like 1,2"},
        {{"check", NULL}, 2, NULL, "name one with -c FILE"},
        {{"check", "--schema", "--manual", NULL}, 2, NULL, "not both"},
        {{"help", "nothing-of-the-kind", NULL}, 2, NULL, "unknown command"},
        {{"serve", NULL}, 2, NULL, "not run from here"},
    };
    (void)state;
    check_all(rows);
    assert_int_equal(lent.loads, 0);
}

static void control_characters_never_reach_the_terminal(void **state)
{
    (void)state;
    assert_int_equal(run("\x1b[2J\xc2\x9b\x7f"), CLI_USAGE);
    assert_has(lent.err, "unknown command '?[2J?\?'");
    assert_lacks(lent.err, "\x1b");
}

static void help_is_printed_on_stdout(void **state)
{
    static const struct row rows[] = {
        {{"--help", NULL}, 0, "credentials import [FILE]", NULL},
        {{"-h", NULL}, 0, "Exit status: 0 done, 1 failed, 2 wrong usage, 78 bad configuration.", NULL},
        {{"help", NULL}, 0, "$ROLLOUT_GATEWAY_CONFIG", NULL},
        {{"help", "--json", NULL}, 0, "{\"commands\":[{\"name\":\"serve\"", NULL},
        {{"help", "purge", NULL}, 0, "--entity ENTITY", NULL},
        {{"help", "credentials", NULL}, 0, "credentials export", NULL},
        {{"help", "credentials", "put", NULL},
         0,
         "Usage: rollout-gateway credentials put TENANT ID [OPTION...]",
         NULL},
        {{"credentials", "--help", NULL}, 0, "credentials delete TENANT ID", NULL},
        {{"credentials", "put", "--help", NULL}, 0, "--app-key KEY", NULL},
        {{"token", "acme", "-h", NULL}, 0, "-c, --config FILE", NULL},
        {{"version", NULL}, 0, "rollout-gateway " GATEWAY_VERSION "\n", NULL},
        {{"--version", NULL}, 0, "rollout-gateway " GATEWAY_VERSION "\n", NULL},
        {{"version", "--json", NULL}, 0, "{\"version\":\"" GATEWAY_VERSION "\"}\n", NULL},
    };
    (void)state;
    check_all(rows);
    assert_int_equal(lent.loads, 0);
}

/* Named on the command line, then in the environment. */
static void the_configuration_is_found(void **state)
{
    (void)state;
    assert_int_equal(run("check", "-c", "a.json"), CLI_CONFIG);
    assert_string_equal(lent.out, "check a.json\n");
    assert_int_equal(run("check", "-ca.json", "--json"), CLI_CONFIG);
    assert_string_equal(lent.out, "check a.json json\n");
    setenv("ROLLOUT_GATEWAY_CONFIG", "b.json", 1);
    assert_int_equal(run("check"), CLI_CONFIG);
    assert_string_equal(lent.out, "check b.json\n");
    assert_int_equal(run("check", "--config=c.json"), CLI_CONFIG);
    assert_string_equal(lent.out, "check c.json\n");
    assert_int_equal(run("check", "--schema"), CLI_OK);
    assert_string_equal(lent.out, "schema\n");
    assert_int_equal(run("check", "--manual"), CLI_OK);
    assert_string_equal(lent.out, "manual\n");
}

static void a_bad_configuration_has_its_own_status(void **state)
{
    static const struct {
        int error, status;
    } rows[] = {{ERR_INVALID, CLI_CONFIG},  {ERR_SYNTAX, CLI_CONFIG}, {ERR_IO, CLI_CONFIG},
                {ERR_NOTFOUND, CLI_CONFIG}, {ERR_DENIED, CLI_CONFIG}, {ERR_NOMEM, CLI_FAILED}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lent.load_error = rows[i].error;
        assert_int_equal(run("status"), rows[i].status);
        assert_int_equal(run("credentials", "list"), rows[i].status);
        assert_int_equal(run("token", "acme"), rows[i].status);
        assert_unloaded();
    }
}

static int parse_serve(struct cli_serve *out, const char *const *words)
{
    char *argv[8];
    int argc = 0;
    FILE *caught_out = tmpfile(), *caught_err = tmpfile();
    for (; words[argc]; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc];
    fflush(NULL);
    int kept_out = redirect(STDOUT_FILENO, caught_out), kept_err = redirect(STDERR_FILENO, caught_err);
    memset(out, 0, sizeof *out);
    int status = cli_parse_serve(argc, argv, out);
    fflush(NULL);
    restore(STDOUT_FILENO, kept_out, caught_out, lent.out);
    restore(STDERR_FILENO, kept_err, caught_err, lent.err);
    return status;
}

#define serve(out, ...) parse_serve((out), (const char *const[]){"serve", __VA_ARGS__, NULL})

static void serve_takes_its_options(void **state)
{
    struct cli_serve options;
    (void)state;
    setenv("ROLLOUT_GATEWAY_CONFIG", "b.json", 1);
    assert_int_equal(serve(&options, "-c", "a.json", "--log-format", "text"), CLI_OK);
    assert_string_equal(options.config, "a.json");
    assert_string_equal(options.log_format, "text");
    assert_false(options.sandbox);
    assert_int_equal(serve(&options, "--log-format=json"), CLI_OK);
    assert_string_equal(options.config, "b.json");
    /* The stand-in does not pick up the file of a real gateway. */
    assert_int_equal(serve(&options, "--sandbox"), CLI_OK);
    assert_true(options.sandbox);
    assert_null(options.config);
    assert_null(options.log_format);
    assert_int_equal(serve(&options, "--sandbox", "-c", "a.json"), CLI_OK);
    assert_string_equal(options.config, "a.json");
    assert_int_equal(serve(&options, "--help"), -1);
    assert_has(lent.out, "--log-format FORMAT");
    assert_int_equal(serve(&options, "--log-format", "xml"), CLI_USAGE);
    assert_has(lent.err, "--log-format is json or text");
    assert_int_equal(serve(&options, "--sandbx"), CLI_USAGE);
    assert_has(lent.err, "did you mean --sandbox?");
    assert_int_equal(serve(&options, "file"), CLI_USAGE);
    assert_has(lent.err, "unexpected argument 'file'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(usage_errors_are_told_on_stderr, set_up, tear_down),
        cmocka_unit_test_setup_teardown(control_characters_never_reach_the_terminal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(help_is_printed_on_stdout, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_configuration_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_bad_configuration_has_its_own_status, set_up, tear_down),
        cmocka_unit_test_setup_teardown(serve_takes_its_options, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
