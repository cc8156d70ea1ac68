/* Commands that ask the running gateway: a stand-in of the admin listener answers with the bytes of each
 * case. */
#include "fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "token/token.h"

#include "base/clock.h"

/* --- the stand-in -------------------------------------------------------------------------------------- */

struct admin {
    int fd;
    char address[128];
    const char *answer;
    size_t answer_len;
    char request[16384];
    pthread_t thread;
};

static bool is_whole(const char *request)
{
    const char *end = strstr(request, "\r\n\r\n"), *length = strstr(request, "Content-Length: ");
    return end && (!length || strlen(end + 4) >= strtoul(length + 16, NULL, 10));
}

static void *serve_one(void *arg)
{
    struct admin *admin = arg;
    size_t len = 0;
    int fd = accept(admin->fd, NULL, NULL);
    while (fd >= 0 && len < sizeof admin->request - 1) {
        ssize_t got = recv(fd, admin->request + len, sizeof admin->request - 1 - len, 0);
        if (got <= 0)
            break;
        len += (size_t)got;
        admin->request[len] = '\0';
        if (is_whole(admin->request))
            break;
    }
    for (size_t sent = 0; sent < admin->answer_len;) {
        ssize_t n = send(fd, admin->answer + sent, admin->answer_len - sent, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    close(fd);
    return NULL;
}

static void open_inet(struct admin *admin)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    admin->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(admin->fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(getsockname(admin->fd, (struct sockaddr *)&at, &len), 0);
    snprintf(admin->address, sizeof admin->address, "127.0.0.1:%d", ntohs(at.sin_port));
}

static void open_unix(struct admin *admin)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s/admin.sock", lent.root);
    snprintf(admin->address, sizeof admin->address, "unix:%s", at.sun_path);
    admin->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(admin->fd, (struct sockaddr *)&at, sizeof at), 0);
}

static void start(struct admin *admin, void (*open_it)(struct admin *admin), const char *answer)
{
    memset(admin, 0, sizeof *admin);
    admin->answer = answer;
    admin->answer_len = strlen(answer);
    open_it(admin);
    assert_int_equal(listen(admin->fd, 4), 0);
    assert_int_equal(pthread_create(&admin->thread, NULL, serve_one, admin), 0);
    lent.admin_address = admin->address;
}

static void stop(struct admin *admin)
{
    pthread_join(admin->thread, NULL);
    close(admin->fd);
}

#define JSON_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"

/* --- requests ------------------------------------------------------------------------------------------ */

static void purge_says_what_is_meant(void **state)
{
    struct admin admin;
    (void)state;
    lent.admin_token = "the-admin-token";
    start(&admin, open_inet, JSON_HEAD "Content-Length: 18\r\n\r\n{\"generations\": 3}");
    assert_int_equal(run("purge", "--tenant", "acme", "--credential=c1", "--api", "crm", "--entity", "people",
                         "--ids", "1,a b"),
                     CLI_OK);
    stop(&admin);
    assert_string_equal(lent.out, "purged: 3 generations raised\n");
    assert_has(admin.request, "POST /v1/purge HTTP/1.1\r\nHost: 127.0.0.1:");
    assert_has(admin.request, "\r\nConnection: close\r\nAuthorization: Bearer the-admin-token\r\n");
    assert_has(
        admin.request,
        "\r\n\r\n{\"tenant\":\"acme\",\"credential_id\":\"c1\",\"api\":\"crm\",\"entity\":\"people\",\"ids\":"
        "[\"1\",\"a b\"]}");
    assert_unloaded();
}

static void purge_of_everything_is_an_empty_object(void **state)
{
    struct admin admin;
    (void)state;
    start(&admin, open_unix, JSON_HEAD "Content-Length: 17\r\n\r\n{\"generations\":1}");
    assert_int_equal(run("purge", "--all", "--json"), CLI_OK);
    stop(&admin);
    assert_string_equal(lent.out, "{\"generations\":1}\n");
    assert_has(admin.request, "\r\nHost: localhost\r\n");
    assert_has(admin.request, "\r\nContent-Length: 2\r\n\r\n{}");
    assert_lacks(admin.request, "Authorization");
}

static void explain_shows_the_answer_as_a_tree(void **state)
{
    struct admin admin;
    (void)state;
    start(&admin, open_inet,
          JSON_HEAD
          "Transfer-Encoding: "
          "chunked\r\n\r\n3C\r\n{\"route\":{\"api\":\"crm\",\"entity\":\"people\\u001b[2J\"},\"choices\":\r\n"
          "2f\r\n[\"a\",\"b\"],\"none\":[],\"hit\":\"\",\"ttl_ms\":1500,\"n\":\r\n"
          "24\r\nnull,\"rules\":[{\"ttl\":0.5},{\"x\":{}}]}\r\n0\r\n\r\n");
    int status = run("explain", "acme", "GET", "/crm/people?limit=1");
    stop(&admin);
    assert_string_equal(lent.err, "");
    assert_int_equal(status, CLI_OK);
    assert_string_equal(
        lent.out,
        "route:\n  api: crm\n  entity: people?[2J\nchoices: a, b\nnone: -\nhit: -\nttl_ms: 1500\nn: -\n"
        "rules:\n  1:\n    ttl: 0.5\n  2:\n    x:\n");
    assert_has(admin.request, "POST /v1/explain HTTP/1.1\r\n");
    assert_has(admin.request, "{\"tenant\":\"acme\",\"method\":\"GET\",\"path\":\"/crm/people?limit=1\"}");
}

static void explain_gives_programs_the_answer_as_it_is(void **state)
{
    struct admin admin;
    (void)state;
    start(&admin, open_inet, JSON_HEAD "\r\n{\"api\":\"crm\",\"n\":[1]}\n");
    assert_int_equal(run("explain", "--json", "--", "acme", "GET", "/crm/people"), CLI_OK);
    stop(&admin);
    assert_string_equal(lent.out, "{\"api\":\"crm\",\"n\":[1]}\n");
}

static const char status_json[] =
    "{\"version\":\"0.1.0\",\"state\":\"ready\",\"uptime_s\":100200,\"workers\":2,\"requests\":1200,"
    "\"cache\":{\"entries\":12,"
    "\"bytes\":1610612,\"budget\":268435456,\"evictions\":1,\"invalidations\":4,\"hit_ratio\":0.875},"
    "\"upstream\":{\"transfers\":7,"
    "\"failures\":1,\"open\":3,\"idle\":2,\"waiting\":0},\"webhooks\":{\"accepted\":5,\"duplicates\":1,"
    "\"unauthenticated\":2,"
    "\"unknown\":3,\"malformed\":4,\"failed\":0},\"store\":{\"commits\":9,\"changes\":10,\"failures\":0,"
    "\"used_bytes\":40960,"
    "\"map_bytes\":17179869184},\"tokens\":{\"minted\":2,\"reused\":8,\"remembered\":2},"
    "\"idempotency\":{\"sent\":6,\"replayed\":3,\"conflict\":1,\"mismatch\":0,\"unknown\":2},"
    "\"subscriptions\":{\"managed\":true,\"covered\":4,\"partly\":1,\"uncovered\":0,\"created\":36,"
    "\"deleted\":2,"
    "\"refused\":0,\"failed\":1},"
    "\"relay\":{\"outbox\":{\"first\":1,\"last\":5,\"events\":5},\"dead_letters\":1,\"streams\":2,"
    "\"subscribers\":[{\"name\":\"search\",\"state\":\"paused\",\"backlog\":3,\"delivered\":2,\"failed\":4,"
    "\"dead\":1,"
    "\"missed\":0}]},"
    "\"discovery\":{\"look_ups\":3,\"failed\":1,\"found\":2,\"gone\":0}}";

static void status_is_for_people(void **state)
{
    struct admin admin;
    char answer[2048];
    (void)state;
    snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\n\r\n%s", status_json);
    start(&admin, open_inet, answer);
    assert_int_equal(run("status"), CLI_OK);
    stop(&admin);
    assert_has(admin.request, "GET /v1/status HTTP/1.1\r\n");
    assert_lacks(admin.request, "Content-Length");
    assert_string_equal(
        lent.out,
        "rollout-gateway 0.1.0: ready, up 1d 3h with 2 workers\n"
        "requests       1200\n"
        "cache          87.5 % hits, 1.5 MiB of 256 MiB, 12 entries, 1 evictions, 4 invalidations\n"
        "upstream       7 transfers, 1 failures, 3 connections open, 2 idle, 0 requests waiting\n"
        "idempotency    6 sent, 3 replayed, 1 while under way, 0 with another request, 2 with an unknown "
        "outcome\n"
        "webhooks       5 accepted, 1 duplicates, 2 badly signed, 3 for unknown credentials, 4 malformed, 0 "
        "failed\n"
        "subscriptions  4 covered, 1 in part, 0 not at all, 36 created, 2 deleted, 0 refused, 1 looks "
        "failed\n"
        "events         5 kept, 1 dead letters, 2 streams open\n"
        "  to search (paused): 3 events wait, 2 delivered, 4 failures, 1 given up, 0 missed\n"
        "discovery      3 tenants looked up, 1 failed, 2 credentials found, 0 gone\n"
        "store          40.0 KiB of 16.0 GiB, 10 changes, 9 commits, 0 failures\n"
        "tokens         2 minted, 8 reused, 2 remembered\n");
    start(&admin, open_inet, answer);
    assert_int_equal(run("status", "--json"), CLI_OK);
    stop(&admin);
    assert_memory_equal(lent.out, status_json, sizeof status_json - 1);
}

static void delete_tells_a_running_gateway(void **state)
{
    struct admin admin;
    (void)state;
    assert_int_equal(run("credentials", "put", "acme", "c1"), CLI_OK);
    start(&admin, open_unix, JSON_HEAD "Content-Length: 17\r\n\r\n{\"generations\":1}");
    assert_int_equal(run("credentials", "delete", "acme", "c1"), CLI_OK);
    stop(&admin);
    assert_string_equal(lent.err, "");
    assert_has(admin.request, "POST /v1/purge HTTP/1.1\r\n");
    assert_has(admin.request, "{\"credential_id\":\"c1\"}");
    assert_int_equal(run("credentials", "put", "acme", "c1"), CLI_OK);
    start(&admin, open_inet, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(run("credentials", "delete", "acme", "c1"), CLI_OK);
    stop(&admin);
    assert_string_equal(lent.out, "deleted\n");
    assert_has(lent.err,
               "done, but the running gateway could not be told to drop what it has cached: it answered 401");
}

/* --- answers ------------------------------------------------------------------------------------------- */

static void unsound_answers_are_refused(void **state)
{
    static const struct {
        const char *answer, *err;
    } rows[] = {
        {"", "closed without one"},
        {"HTTP/1.1 200 OK", "its first line"},
        {"HTTP/1.0 200 OK\r\n\r\n{}", "its first line"},
        {"HTTP/1.1 20 OK\r\n\r\n{}", "its first line"},
        {"HTTP/1.1 2000\r\n\r\n{}", "its first line"},
        {"HTTP/1.1 100 Continue\r\n\r\n", "its first line"},
        {"HTTP/1.1 200 OK\n\n{}", "its first line"},
        {"HTTP/1.1 200 OK\rX: y\r\n\r\n{}", "its first line"},
        {"HTTP/1.1 200 OK\r\nA: b\r\n", "its head is cut"},
        {"HTTP/1.1 200 OK\r\nA : b\r\n\r\n{}", "a header field"},
        {"HTTP/1.1 200 OK\r\n A: b\r\n\r\n{}", "a header field"},
        {"HTTP/1.1 200 OK\r\n: b\r\n\r\n{}", "a header field"},
        {"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n{}", "a header field"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", "its body is cut"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}", "longer than it says"},
        {"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}", "a header field"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", "a header field"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n{}", "a header field"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "a header field"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", "two lengths"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "its chunks"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", "its chunks"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nA: b\r\n\r\n", "its chunks"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nmore", "its chunks"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\n{}\r\n0\r\n\r\n", "its chunks"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\x12\r\n{}\r\n0\r\n\r\n", "its chunks"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n{}\r\n0\r\n\r\n", "its chunks"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff2\r\n{}\r\n0\r\n\r\n",
         "its chunks"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}xx0\r\n\r\n", "its chunks"},
        {"HTTP/1.1 200 OK\r\n\r\n[]", "not a JSON object"},
        {"HTTP/1.1 200 OK\r\n\r\n{", "not a JSON object"},
        {"HTTP/1.1 204 No Content\r\n\r\n", "not a JSON object"},
        {"HTTP/1.1 302\r\n\r\n{}", "the gateway answered 302\n"},
        {"HTTP/1.1 503 No\r\n\r\nnot json", "the gateway answered 503\n"},
        {"HTTP/1.1 400 Bad Request\r\n\r\n{\"title\":\"Malformed\",\"detail\":\"api: \x1b no\"}",
         "the gateway answered 400"},
        {"HTTP/1.1 400 Bad Request\r\n\r\n{\"title\":\"Malformed\",\"detail\":\"entity: malformed\"}",
         "the gateway answered 400: entity: malformed\n"},
        {"HTTP/1.1 404 Not Found\r\n\r\n{\"title\":\"No such resource\"}",
         "the gateway answered 404: No such resource\n"},
        {"HTTP/1.1 401 Unauthorized\r\n\r\n{}", "wants its admin token (admin.token of the configuration)\n"},
    };
    struct admin admin;
    (void)state;
    lent.admin_token = "the-admin-token";
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        start(&admin, open_inet, rows[i].answer);
        int status = run("status");
        stop(&admin);
        if (status != CLI_FAILED)
            fail_msg("row %zu: status %d\n%s", i, status, lent.out);
        assert_has(lent.err, rows[i].err);
        assert_string_equal(lent.out, "");
        assert_lacks(lent.err, "the-admin-token");
        assert_lacks(lent.err, "\x1b");
        assert_unloaded();
    }
}

static void an_answer_is_bounded(void **state)
{
    enum { SIZE = 9 * 1024 * 1024 };
    struct admin admin;
    char *answer = malloc(SIZE + 1);
    (void)state;
    memset(answer, ' ', SIZE);
    answer[SIZE] = '\0';
    memcpy(answer, "HTTP/1.1 200 OK\r\n\r\n", 19);
    start(&admin, open_inet, answer);
    assert_int_equal(run("status"), CLI_FAILED);
    stop(&admin);
    assert_has(lent.err, "the answer is too large");
    free(answer);
}

static void nobody_answers(void **state)
{
    static const struct {
        const char *address, *err;
    } rows[] = {
        {"unix:/nonexistent/admin.sock",
         "no gateway answers at unix:/nonexistent/admin.sock (is it running? -c names its "
         "configuration)"},
        {"unix:", "not a path for a socket"},
        {"127.0.0.1:0", "is not host:port"},
        {"127.0.0.1", "is not host:port"},
        {"::1:80", "is not host:port"},
        {"127.0.0.1:65536", "is not host:port"},
        {":80", "is not host:port"},
        {"[]:80", "is not host:port"},
    };
    struct admin admin;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lent.admin_address = rows[i].address;
        assert_int_equal(run("status"), CLI_FAILED);
        assert_has(lent.err, rows[i].err);
    }
    memset(&admin, 0, sizeof admin);
    open_inet(&admin); /* bound, not listening */
    lent.admin_address = admin.address;
    assert_int_equal(run("purge", "--all"), CLI_FAILED);
    assert_has(lent.err, "no gateway answers at 127.0.0.1:");
    close(admin.fd);
}

/* A secret file with more in it than a token must not write header fields of its own. */
static void a_token_that_no_header_can_carry_is_refused(void **state)
{
    (void)state;
    lent.admin_token = "secret\r\nX-Injected: yes";
    assert_int_equal(run("status"), CLI_FAILED);
    assert_has(lent.err, "admin.token has characters that no header field can carry");
    assert_lacks(lent.err, "secret\r\n");
    assert_lacks(lent.err, "X-Injected");
}

/* --- token --------------------------------------------------------------------------------------------- */

static void token_is_minted_for_the_tenant(void **state)
{
    struct token_claims claims;
    (void)state;
    assert_int_equal(run("token", "acme"), CLI_OK);
    assert_int_equal(lent.secrets, 1);
    char *end = strchr(lent.out, '\n');
    assert_non_null(end);
    struct slice token = slice_of(lent.out, (size_t)(end - lent.out));
    assert_int_equal(token_verify(token, SLICE("my-client"), slice_from(lent.client_secret),
                                  clock_wall_ms() / 1000, &claims),
                     TOKEN_GOOD);
    assert_string_equal(claims.sub, "acme");
    assert_int_equal(claims.exp - claims.iat, 900);
    assert_int_equal(run("token", "acme", "--json"), CLI_OK);
    assert_has(lent.out, "{\"token\":\"ey");
    assert_has(lent.out, "\",\"claims\":{\"iss\":\"my-client\",\"sub\":\"acme\",\"iat\":");
    assert_unloaded();
    lent.client_secret = "";
    assert_int_equal(run("token", "acme"), CLI_FAILED);
    assert_has(lent.err, "no token: invalid value");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(purge_says_what_is_meant, set_up, tear_down),
        cmocka_unit_test_setup_teardown(purge_of_everything_is_an_empty_object, set_up, tear_down),
        cmocka_unit_test_setup_teardown(explain_shows_the_answer_as_a_tree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(explain_gives_programs_the_answer_as_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(status_is_for_people, set_up, tear_down),
        cmocka_unit_test_setup_teardown(delete_tells_a_running_gateway, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unsound_answers_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_answer_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_token_that_no_header_can_carry_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(token_is_minted_for_the_tenant, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
