/* The mapping, from the command line: list, get, put, delete, import, export, against a store of the test's
 * own. */
#include "fixture.h"

#include <sys/wait.h>

#include "credential/credential.h"

static const char *lines_path(void)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/lines", lent.root);
    return path;
}

static void write_lines(const char *text)
{
    FILE *file = fopen(lines_path(), "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void nothing_is_made_by_reading(void **state)
{
    (void)state;
    assert_int_equal(run("credentials", "list"), CLI_FAILED);
    assert_has(lent.err, "nothing is stored yet in ");
    assert_int_equal(run("credentials", "export"), CLI_FAILED);
    assert_int_equal(run("credentials", "get", "acme", "c1"), CLI_FAILED);
    assert_unloaded();
}

static void put_creates_then_changes_what_is_named(void **state)
{
    (void)state;
    assert_int_equal(run("credentials", "put", "acme", "c1", "--app-key", "followupboss", "--apis", "crm,tms",
                         "--label", "Main office", "--default"),
                     CLI_OK);
    assert_has(lent.out, "credential_id  c1\n");
    assert_has(lent.out, "app_key        followupboss\n");
    assert_has(lent.out, "apis           crm,tms\n");
    assert_has(lent.out, "default        yes\n");
    assert_has(lent.out, "status         active\n");
    assert_has(lent.out, "webhook_path   /webhooks/rollout/");
    assert_int_equal(run("credentials", "put", "acme", "c1", "--label", "Side office", "--json"), CLI_OK);
    assert_has(lent.out,
               "{\"tenant\":\"acme\",\"credential_id\":\"c1\",\"app_key\":\"followupboss\",\"apis\":[\"crm\","
               "\"tms\"],"
               "\"label\":\"Side office\",\"default\":true,\"status\":\"active\",\"created_at\":\"20");
    assert_int_equal(run("credentials", "put", "acme", "c1", "--apis=", "--no-default"), CLI_OK);
    assert_has(lent.out, "apis           (every API)\n");
    assert_has(lent.out, "default        no\n");
    assert_int_equal(run("credentials", "get", "acme", "c1"), CLI_OK);
    assert_has(lent.out, "label          Side office\n");
    assert_string_equal(lent.err, "");
    assert_unloaded();
}

static void wall_between_tenants(void **state)
{
    (void)state;
    assert_int_equal(run("credentials", "put", "acme", "c1"), CLI_OK);
    assert_int_equal(run("credentials", "put", "other", "c1"), CLI_FAILED);
    assert_has(lent.err, "another tenant has this credential");
    assert_int_equal(run("credentials", "get", "other", "c1"), CLI_FAILED);
    assert_has(lent.err, "the tenant has no such credential");
    assert_int_equal(run("credentials", "delete", "other", "c1"), CLI_FAILED);
    assert_int_equal(run("credentials", "get", "acme", "c1"), CLI_OK);
}

static void delete_forgets(void **state)
{
    (void)state;
    assert_int_equal(run("credentials", "put", "acme", "c1"), CLI_OK);
    assert_int_equal(run("credentials", "put", "acme", "c2"), CLI_OK);
    assert_int_equal(run("credentials", "delete", "acme", "c1"), CLI_OK);
    assert_string_equal(lent.out, "deleted\n");
    assert_string_equal(lent.err, ""); /* no gateway runs: nothing to be told */
    assert_int_equal(run("credentials", "delete", "acme", "c2", "--json"), CLI_OK);
    assert_string_equal(lent.out, "{\"tenant\":\"acme\",\"credential_id\":\"c2\",\"deleted\":true}\n");
    assert_int_equal(run("credentials", "delete", "acme", "c1"), CLI_FAILED);
    assert_has(lent.err, "the tenant has no such credential");
}

static void list_shows_all_or_some(void **state)
{
    (void)state;
    assert_int_equal(run("credentials", "put", "acme", "c1", "--apis", "crm", "--default"), CLI_OK);
    assert_int_equal(run("credentials", "put", "acme-west", "c2"), CLI_OK);
    assert_int_equal(run("credentials", "put", "zeta", "c3", "--label", "Z\xc3\xbcrich"), CLI_OK);
    assert_int_equal(run("credentials", "list"), CLI_OK);
    assert_has(lent.out, "TENANT                CREDENTIAL ID ");
    assert_has(lent.out,
               "acme                  c1                                    -               crm             "
               "yes      active  -\n");
    assert_has(lent.out, "zeta                  c3                                    -               *      "
                         "         -        active  "
                         "Z\xc3\xbcrich\n");
    assert_int_equal(count_of(lent.out, "\n"), 4);
    assert_int_equal(run("credentials", "list", "--prefix", "acme", "--json"), CLI_OK);
    assert_int_equal(count_of(lent.out, "\n"), 2);
    assert_has(lent.out, "\"credential_id\":\"c2\"");
    assert_int_equal(run("credentials", "list", "--tenant", "acme", "--json"), CLI_OK);
    assert_int_equal(count_of(lent.out, "\n"), 1);
    assert_int_equal(run("credentials", "list", "--tenant", "nobody", "--json"), CLI_OK);
    assert_string_equal(lent.out, "");
}

static void import_tells_bad_lines_and_keeps_the_rest(void **state)
{
    (void)state;
    write_lines("{\"tenant\":\"acme\",\"credential_id\":\"c1\",\"app_key\":\"lofty\",\"apis\":[\"crm\"],"
                "\"label\":\"x\",\"default\":"
                "true}\n"
                "\n"
                "{\"tenant\":\"acme\"\n"
                "{\"tenant\":\"acme\",\"credential_id\":\"c 2\"}\r\n"
                "{\"tenant\":\"acme\",\"credential_id\":\"c3\"}\r\n"
                "{\"tenant\":\"other\",\"credential_id\":\"c1\"}\n"
                "[1]\n"
                "{\"tenant\":\"acme\"}\n"
                "{\"tenant\":\"acme\",\"credential_id\":\"c4\",\"apis\":\"crm\"}\n"
                "{\"tenant\":\"acme\",\"credential_id\":\"c4\",\"apis\":[1]}\n"
                "{\"tenant\":\"acme\",\"credential_id\":\"c4\",\"default\":1}\n"
                "{\"tenant\":\"acme\",\"credential_id\":4}\n"
                "{\"tenant\":\"acme\",\"credential_id\":\"c4\",\"lable\":\"x\"}\n"
                "{\"tenant\":\"acme\",\"tenant\":\"b\",\"credential_id\":\"c4\"}\n"
                "{\"tenant\":\"beta\",\"credential_id\":\"b1\"}");
    assert_int_equal(run("credentials", "import", lines_path()), CLI_FAILED);
    assert_string_equal(lent.out, "stored 3 (3 new), 11 bad\n");
    static const char *const reasons[] = {
        "line 3: column 16: ends too early\n",
        "line 4: credential_id: must be",
        "line 6: another tenant has this credential\n",
        "line 7: expected a JSON object\n",
        "line 8: tenant and credential_id are needed\n",
        "line 9: apis: expected an array",
        "line 10: apis: expected an array",
        "line 11: default: expected true or false\n",
        "line 12: credential_id: expected a string\n",
        "line 13: 'lable' is none of",
        "line 14: column ",
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        assert_has(lent.err, reasons[i]);
    assert_int_equal(run("credentials", "list", "--json"), CLI_OK);
    assert_int_equal(count_of(lent.out, "\n"), 3);
    assert_has(lent.out, "\"app_key\":\"lofty\",\"apis\":[\"crm\"],\"label\":\"x\",\"default\":true");
    assert_unloaded();
}

static void dry_run_stores_nothing(void **state)
{
    (void)state;
    write_lines("{\"tenant\":\"acme\",\"credential_id\":\"c1\"}\nnonsense\n");
    assert_int_equal(run("credentials", "import", "--dry-run", lines_path()), CLI_FAILED);
    assert_string_equal(lent.out, "checked 1, 1 bad\n");
    assert_has(lent.err, "line 2: column 8: not valid JSON\n");
    assert_int_equal(run("credentials", "list"), CLI_FAILED);
    assert_has(lent.err, "nothing is stored yet");
    write_lines("{\"tenant\":\"acme\",\"credential_id\":\"c1\"}\n");
    assert_int_equal(run("credentials", "import", "--dry-run", "--json", lines_path()), CLI_OK);
    assert_string_equal(lent.out, "{\"stored\":0,\"created\":0,\"bad\":0,\"dry_run\":true}\n");
}

static void a_line_too_long_is_one_bad_line(void **state)
{
    FILE *file = fopen(lines_path(), "w");
    (void)state;
    for (int i = 0; i < 40000; i++)
        putc(' ', file);
    fputs("\n{\"tenant\":\"acme\",\"credential_id\":\"c1\"}\n", file);
    fclose(file);
    assert_int_equal(run("credentials", "import", lines_path()), CLI_FAILED);
    assert_string_equal(lent.out, "stored 1 (1 new), 1 bad\n");
    assert_has(lent.err, "line 1: longer than 16384 bytes\n");
}

static void import_reads_stdin(void **state)
{
    (void)state;
    write_lines("{\"tenant\":\"acme\",\"credential_id\":\"c1\"}\n");
    int fd = open(lines_path(), O_RDONLY), kept = dup(STDIN_FILENO);
    assert_true(fd >= 0 && dup2(fd, STDIN_FILENO) == STDIN_FILENO);
    int status = run("credentials", "import", "-", "--json");
    if (kept >= 0)
        dup2(kept, STDIN_FILENO);
    close(kept);
    close(fd);
    clearerr(stdin);
    assert_int_equal(status, CLI_OK);
    assert_string_equal(lent.out, "{\"stored\":1,\"created\":1,\"bad\":0,\"dry_run\":false}\n");
}

static void import_tells_what_can_not_be_read(void **state)
{
    (void)state;
    assert_int_equal(run("credentials", "import", "/nonexistent/lines"), CLI_FAILED);
    assert_has(lent.err, "/nonexistent/lines: No such file");
    assert_int_equal(run("credentials", "import", lent.root), CLI_FAILED);
    assert_has(lent.err, "could not be read to its end");
    assert_unloaded();
}

/* More than one batch, and more than one page of the listing; what comes out goes in again and is the same.
 */
static void export_and_import_are_inverse(void **state)
{
    enum { TENANTS = 2600 };
    FILE *file = fopen(lines_path(), "w");
    (void)state;
    for (int i = 0; i < TENANTS; i++)
        fprintf(file,
                "{\"tenant\":\"tenant-%06d\",\"credential_id\":\"id-%d\",\"app_key\":\"follow-up-boss\","
                "\"apis\":[\"crm\",\"tms\"],"
                "\"label\":\"%s \\\"%d\\\" \\u00e4\",\"default\":%s}\n",
                i, i, "a label that makes the line as long as lines are in earnest", i,
                i % 2 ? "true" : "false");
    fclose(file);
    assert_int_equal(run("credentials", "import", lines_path()), CLI_OK);
    assert_string_equal(lent.out, "stored 2600 (2600 new), 0 bad\n");
    assert_int_equal(run("credentials", "export"), CLI_OK);
    assert_int_equal(count_of(lent.out, "\n"), TENANTS);
    assert_has(lent.out, "{\"tenant\":\"tenant-000001\",\"credential_id\":\"id-1\",\"app_key\":\"follow-up-"
                         "boss\",\"apis\":[\"crm\","
                         "\"tms\"],\"label\":\"a label that makes the line as long as lines are in earnest "
                         "\\\"1\\\" \xc3\xa4\","
                         "\"default\":true}\n");
    char *first = strdup(lent.out);
    write_lines(first);
    int status = run("credentials", "import", lines_path());
    assert_string_equal(lent.err, "");
    assert_int_equal(status, CLI_OK);
    assert_string_equal(lent.out, "stored 2600 (0 new), 0 bad\n");
    assert_int_equal(run("credentials", "export"), CLI_OK);
    assert_string_equal(lent.out, first);
    free(first);
}

/* An export that a full disk has cut must not pass for a whole one. */
static void output_that_is_lost_is_a_failure(void **state)
{
    static const struct cli_hooks hooks = {lend_load, lend_unload, lend_check, lend_schema, lend_manual};
    char program[] = "rollout-gateway", group[] = "credentials", verb[] = "export";
    char *argv[] = {program, group, verb, NULL};
    (void)state;
    assert_int_equal(run("credentials", "put", "acme", "c1"), CLI_OK);
    FILE *full = fopen("/dev/full", "w"), *err = tmpfile();
    assert_true(full && err);
    int kept_out = redirect(STDOUT_FILENO, full), kept_err = redirect(STDERR_FILENO, err);
    int status = cli_run(3, argv, &hooks);
    assert_true(dup2(kept_out, STDOUT_FILENO) >= 0);
    close(kept_out);
    clearerr(stdout);
    restore(STDERR_FILENO, kept_err, err, lent.err);
    fclose(full);
    assert_int_equal(status, CLI_FAILED);
    assert_has(lent.err, "credentials export: the output could not be written: No space left on device\n");
}

/* A gateway has the same store open, with more tables, in another process. */
static void works_beside_a_running_gateway(void **state)
{
    int go[2], done[2];
    char c = 0;
    (void)state;
    assert_true(pipe(go) == 0 && pipe(done) == 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        static const char *const tables[] = {CREDENTIAL_TABLES, "events", "event_times", NULL};
        char path[128];
        struct store *store;
        struct fault fault;
        struct credential found;
        snprintf(path, sizeof path, "%s/state", lent.root);
        struct store_options options = {.path = path, .tables = tables, .map_size = (size_t)1 << 30};
        if (store_open(&store, &options, &fault))
            _exit(1);
        struct store_view *view = store_view_create(store);
        if (write(done[1], &c, 1) != 1 || read(go[0], &c, 1) != 1 || !view || store_view_begin(view))
            _exit(2);
        int error = credential_find(view, SLICE("acme"), SLICE("c1"), &found);
        store_view_end(view);
        _exit(error ? 3 : 0);
    }
    assert_int_equal(read(done[0], &c, 1), 1);
    assert_int_equal(run("credentials", "put", "acme", "c1"), CLI_OK);
    assert_int_equal(write(go[1], &c, 1), 1);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    close(go[0]);
    close(go[1]);
    close(done[0]);
    close(done[1]);
}

static void a_damaged_store_is_told_and_left_alone(void **state)
{
    char path[128];
    (void)state;
    assert_int_equal(run("credentials", "put", "acme", "c1"), CLI_OK);
    snprintf(path, sizeof path, "%s/state/data.mdb", lent.root);
    FILE *file = fopen(path, "w");
    fputs("not a store", file);
    fclose(file);
    assert_int_equal(run("credentials", "put", "acme", "c2"), CLI_FAILED);
    assert_has(lent.err, "data.mdb");
    assert_int_equal(run("credentials", "export"), CLI_FAILED);
    assert_string_equal(lent.out, "");
}

static int put_nonsense(struct store_change *change, struct store_txn *txn)
{
    (void)change;
    return store_txn_put(txn, CREDENTIAL_TABLE_TENANTS, SLICE("broken"), SLICE("no record"));
}

static void damaged_records_are_counted_and_can_be_removed(void **state)
{
    static const char *const tables[] = {CREDENTIAL_TABLES, NULL};
    char path[128];
    struct store *store;
    struct store_change change = {.apply = put_nonsense};
    struct fault fault = {""};
    (void)state;
    assert_int_equal(run("credentials", "put", "acme", "c1"), CLI_OK);
    assert_int_equal(run("credentials", "put", "zeta", "z1"), CLI_OK);
    snprintf(path, sizeof path, "%s/state", lent.root);
    struct store_options options = {.path = path, .tables = tables};
    assert_int_equal(store_open(&store, &options, &fault), 0);
    assert_int_equal(store_apply(store, &change), 0);
    store_close(store);
    assert_int_equal(run("credentials", "export"), CLI_FAILED);
    assert_int_equal(count_of(lent.out, "\n"), 2);
    assert_has(lent.err, "1 damaged record was passed over\n");
    assert_int_equal(run("credentials", "list", "--tenant", "broken"), CLI_FAILED);
    assert_int_equal(run("credentials", "put", "broken", "b1"), CLI_FAILED);
    assert_has(lent.err, "the tenant's record is damaged ('credentials delete'");
    assert_int_equal(run("credentials", "delete", "broken", "b1"), CLI_OK);
    assert_int_equal(run("credentials", "put", "broken", "b1"), CLI_OK);
    assert_int_equal(run("credentials", "export"), CLI_OK);
    assert_int_equal(count_of(lent.out, "\n"), 3);
}

static void a_tenant_has_a_bounded_number(void **state)
{
    FILE *file = fopen(lines_path(), "w");
    (void)state;
    for (int i = 0; i <= CREDENTIAL_MAX; i++)
        fprintf(file, "{\"tenant\":\"acme\",\"credential_id\":\"c%d\"}\n", i);
    fclose(file);
    assert_int_equal(run("credentials", "import", lines_path()), CLI_FAILED);
    assert_string_equal(lent.out, "stored 64 (64 new), 1 bad\n");
    assert_has(lent.err, "line 65: the tenant has as many credentials as one can have\n");
}

static void a_store_that_can_not_be_made_is_told(void **state)
{
    char root[sizeof lent.root];
    (void)state;
    write_lines("");
    memcpy(root, lent.root, sizeof root);
    snprintf(lent.root, sizeof lent.root, "%.40s/lines", root);
    int put = run("credentials", "put", "acme", "c1");
    assert_has(lent.err, "Not a directory");
    int import = run("credentials", "import", "/dev/null");
    memcpy(lent.root, root, sizeof root);
    assert_int_equal(put, CLI_FAILED);
    assert_int_equal(import, CLI_FAILED);
    assert_unloaded();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_made_by_reading, set_up, tear_down),
        cmocka_unit_test_setup_teardown(put_creates_then_changes_what_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wall_between_tenants, set_up, tear_down),
        cmocka_unit_test_setup_teardown(delete_forgets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(list_shows_all_or_some, set_up, tear_down),
        cmocka_unit_test_setup_teardown(import_tells_bad_lines_and_keeps_the_rest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(dry_run_stores_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_line_too_long_is_one_bad_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(import_reads_stdin, set_up, tear_down),
        cmocka_unit_test_setup_teardown(import_tells_what_can_not_be_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(export_and_import_are_inverse, set_up, tear_down),
        cmocka_unit_test_setup_teardown(output_that_is_lost_is_a_failure, set_up, tear_down),
        cmocka_unit_test_setup_teardown(works_beside_a_running_gateway, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_records_are_counted_and_can_be_removed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_tenant_has_a_bounded_number, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_store_that_can_not_be_made_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_store_is_told_and_left_alone, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
