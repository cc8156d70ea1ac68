/* Runs commands as main.c does: own argv, lent hooks, what was printed is caught. */
#ifndef UNIT_CLI_FIXTURE_H
#define UNIT_CLI_FIXTURE_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "cli/cli.h"

enum { CAUGHT_MAX = 1 << 20, WORDS_MAX = 16 };

/* Hooks carry no owner, so what they do is set here. */
static struct lent {
    char root[64]; /* data_dir */
    const char *admin_address, *admin_token, *client_secret;
    int load_error;
    const char *path; /* the last that load or check got */
    unsigned loads, unloads, secrets;
    char out[CAUGHT_MAX], err[CAUGHT_MAX];
} lent;

static int lend_load(const char *path, bool with_secret, struct cli_context *out)
{
    lent.path = path;
    lent.loads++;
    lent.secrets += with_secret;
    buf_init(&out->admin_token, 8192);
    buf_init(&out->client_id, 8192);
    buf_init(&out->client_secret, 8192);
    if (lent.load_error)
        return lent.load_error;
    out->data_dir = lent.root;
    out->admin_address = lent.admin_address;
    out->token_ttl_s = 900;
    if (lent.admin_token)
        assert_int_equal(buf_append_text(&out->admin_token, lent.admin_token), 0);
    if (with_secret)
        assert_int_equal(buf_append_text(&out->client_secret, lent.client_secret), 0);
    return buf_append_text(&out->client_id, "my-client");
}

static void lend_unload(struct cli_context *context)
{
    lent.unloads++;
    buf_wipe(&context->admin_token);
    buf_wipe(&context->client_secret);
    buf_deinit(&context->client_id);
}

static int lend_check(const char *path, bool json)
{
    lent.path = path;
    printf("check %s%s\n", path, json ? " json" : "");
    return CLI_CONFIG;
}

static int lend_schema(void)
{
    puts("schema");
    return CLI_OK;
}

static int lend_manual(void)
{
    puts("manual");
    return CLI_OK;
}

/* --- catching ------------------------------------------------------------------------------------------ */

static inline int redirect(int fd, FILE *to)
{
    int kept = dup(fd);
    assert_true(kept >= 0 && dup2(fileno(to), fd) >= 0);
    return kept;
}

static inline void restore(int fd, int kept, FILE *from, char *text)
{
    assert_true(dup2(kept, fd) >= 0);
    close(kept);
    rewind(from);
    size_t len = fread(text, 1, CAUGHT_MAX - 1, from);
    text[len] = '\0';
    fclose(from);
}

/* argv without the program's name, NULL at its end. */
static inline int run_words(const char *const *words)
{
    static const struct cli_hooks hooks = {lend_load, lend_unload, lend_check, lend_schema, lend_manual};
    static char program[] = "rollout-gateway";
    char *argv[WORDS_MAX + 2] = {program};
    int argc = 1;
    for (; words[argc - 1]; argc++)
        argv[argc] = strdup(words[argc - 1]);
    FILE *out = tmpfile(), *err = tmpfile();
    assert_true(out && err);
    fflush(NULL);
    int kept_out = redirect(STDOUT_FILENO, out), kept_err = redirect(STDERR_FILENO, err);
    int status = cli_run(argc, argv, &hooks);
    fflush(NULL);
    restore(STDOUT_FILENO, kept_out, out, lent.out);
    restore(STDERR_FILENO, kept_err, err, lent.err);
    for (int i = 1; i < argc; i++)
        free(argv[i]);
    return status;
}

#define run(...) run_words((const char *const[]){__VA_ARGS__, NULL})

#define assert_has(text, part)                                                                               \
    do {                                                                                                     \
        if (!strstr((text), (part)))                                                                         \
            fail_msg("'%s' is not in:\n%s", (part), (text));                                                 \
    } while (0)
#define assert_lacks(text, part) assert_null(strstr((text), (part)))

static inline unsigned count_of(const char *text, const char *part)
{
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        count++;
    return count;
}

/* --- a data_dir of its own ----------------------------------------------------------------------------- */

static inline int set_up(void **state)
{
    (void)state;
    memset(&lent, 0, sizeof lent);
    unsetenv("ROLLOUT_GATEWAY_CONFIG");
    lent.admin_address = "unix:/nonexistent/rollout-gateway-test";
    lent.client_secret = "a-secret-that-nobody-may-see";
    snprintf(lent.root, sizeof lent.root, "/tmp/cli-test-XXXXXX");
    assert_non_null(mkdtemp(lent.root));
    return 0;
}

static inline int tear_down(void **state)
{
    static const char *const files[] = {"state/data.mdb", "state/lock.mdb", "lines", "admin.sock"};
    char name[128];
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(name, sizeof name, "%s/%s", lent.root, files[i]);
        unlink(name);
    }
    snprintf(name, sizeof name, "%s/state", lent.root);
    rmdir(name);
    return rmdir(lent.root);
}

/* What was loaded was given back, whatever happened. */
static inline void assert_unloaded(void)
{
    assert_int_equal(lent.loads, lent.unloads);
}

#endif
