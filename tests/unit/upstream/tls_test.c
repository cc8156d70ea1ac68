/* TLS, against `openssl s_server`: its standard input and output are a socket that the test plays the origin
 * on. */
#include <ftw.h>
#include <spawn.h>
#include <sys/wait.h>

#include "unit/upstream/rig.h"

extern char **environ;

enum { LARGE = 16 * 1024 * 1024 }; /* more than the sockets of both sides hold */

struct server {
    pid_t pid;
    int fd; /* what is written here is sent; what the client sent is read here */
};

/* --- certificates -------------------------------------------------------------------- */

static char *folder(void)
{
    static char path[] = "/tmp/upstream-tls-XXXXXX";
    return path;
}

static const char *in_folder(const char *name)
{
    static char path[8][128];
    static int next;
    char *out = path[next++ % 8];
    snprintf(out, sizeof path[0], "%s/%s", folder(), name);
    return out;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(in_folder(name), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static const char CONFIG[] =
    "[ca]\ndefault_ca=d\n"
    "[d]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n"
    "unique_subject=no\nrand_serial=yes\n"
    "[p]\ncommonName=supplied\n"
    "[good]\nsubjectAltName=IP:127.0.0.1\n"
    "[wrong]\nsubjectAltName=DNS:other.test\n"
    "[root]\nbasicConstraints=critical,CA:TRUE\n"
    "[req]\ndistinguished_name=n\n[n]\n";

static const char SCRIPT[] =
    "set -e; exec >/dev/null 2>&1; cd \"$1\"; : >index\n"
    "key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config config'\n"
    "for ca in ca stranger; do\n"
    "  openssl req -x509 $key -keyout $ca.key -out $ca.pem -days 2 -subj /CN=$ca -extensions root\n"
    "done\n"
    "sign() { openssl req $key -keyout $1.key -out $1.csr -subj /CN=$1\n"
    "  openssl ca -batch -config config -cert $2.pem -keyfile $2.key -in $1.csr -out $1.pem -notext \\\n"
    "    -extensions $3 -startdate $4 -enddate $5; }\n"
    "sign good ca good 20200101000000Z 20491231000000Z\n"
    "sign wrong ca wrong 20200101000000Z 20491231000000Z\n"
    "sign expired ca good 20200101000000Z 20210101000000Z\n"
    "sign unknown stranger good 20200101000000Z 20491231000000Z\n";

static int set_up(void **state)
{
    char *argv[] = {"sh", "-c", (char *)SCRIPT, "sh", folder(), NULL};
    pid_t pid;
    int status = -1;
    if (!mkdtemp(folder()))
        return -1;
    write_file("config", CONFIG);
    if (posix_spawnp(&pid, "sh", NULL, NULL, argv, environ) != 0 || waitpid(pid, &status, 0) != pid ||
        status != 0)
        return -1;
    return rig_setup_process(state);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st, (void)type, (void)walk;
    return remove(path);
}

/* The server of a test that failed half-way must not outlive the program. */
static pid_t *left_running(void)
{
    static pid_t pid;
    return &pid;
}

static int tear_down(void **state)
{
    if (*left_running() > 0)
        kill(*left_running(), SIGKILL);
    nftw(folder(), remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return rig_teardown_process(state);
}

/* --- the server ---------------------------------------------------------------------- */

static void await_listener(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    int rc;
    do {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        rc = connect(fd, (struct sockaddr *)&address, sizeof address);
        close(fd);
    } while (rc != 0);
}

/* `mode`: "-www" answers by itself and says whether the session was reused. */
static struct server server_start(int port, const char *cert, const char *mode)
{
    struct server server;
    char accept_at[32], cert_file[128], key_file[128];
    int pair[2];
    char *argv[] = {"openssl", "s_server", "-accept", accept_at,     "-cert",      cert_file,
                    "-key",    key_file,   "-alpn",   "h2,http/1.1", (char *)mode, NULL};
    posix_spawn_file_actions_t actions;
    snprintf(accept_at, sizeof accept_at, "127.0.0.1:%d", port);
    snprintf(cert_file, sizeof cert_file, "%s/%s.pem", folder(), cert);
    snprintf(key_file, sizeof key_file, "%s/%s.key", folder(), cert);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pair[1], 0);
    posix_spawn_file_actions_adddup2(&actions, pair[1], 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    assert_int_equal(posix_spawnp(&server.pid, "openssl", &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(pair[1]);
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    if (*left_running() > 0)
        kill(*left_running(), SIGKILL);
    *left_running() = server.pid;
    server.fd = pair[0];
    await_listener(port);
    return server;
}

static void server_kill(struct server *server)
{
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    *left_running() = 0;
    close(server->fd);
}

struct bench {
    struct rig rig;
    struct call call;
    struct server server;
};

static void begin(struct bench *b, const char *cert, const char *mode)
{
    char url[64];
    rig_open(&b->rig, NULL);
    call_init(&b->call, &b->rig);
    snprintf(url, sizeof url, "https://127.0.0.1:%d", b->rig.port);
    upstream_origin_deinit(&b->rig.origin);
    assert_int_equal(upstream_origin_init(&b->rig.origin, slice_from(url), in_folder("ca.pem")), 0);
    if (!cert)
        return;
    close(b->rig.listener);
    b->server = server_start(b->rig.port, cert, mode);
    b->rig.listener = -1;
}

static void finish(struct bench *b)
{
    call_deinit(&b->call);
    rig_close(&b->rig);
    if (b->server.pid > 0)
        server_kill(&b->server);
}

static void again(struct bench *b)
{
    call_deinit(&b->call);
    call_init(&b->call, &b->rig);
}

/* --- tests --------------------------------------------------------------------------- */

static const char OK[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

static void verified_connection_is_kept_and_speaks_http1_only(void **state)
{
    (void)state;
    struct bench b = {0};
    struct buf seen;
    buf_init(&seen, 1024 * 1024);
    begin(&b, "good", NULL);
    for (int i = 0; i < 5; i++) {
        again(&b);
        call_get(&b.call);
        rig_read_until(&b.rig, b.server.fd, "Host: origin\r\n\r\n", &seen);
        rig_write(&b.rig, b.server.fd, OK);
        call_expect_ok(&b.call, 200, "hi");
    }
    assert_int_equal(rig_stats(&b.rig).connects, 1);
    assert_int_equal(rig_stats(&b.rig).reuses, 4);
    buf_append_char(&seen, '\0');
    assert_non_null(strstr(seen.ptr, "ALPN protocols advertised by the client: http/1.1\n"));
    buf_deinit(&seen);
    finish(&b);
}

static void unverified_servers_are_refused(void **state)
{
    (void)state;
    static const char *const CERTS[] = {"wrong", "expired", "unknown"};
    for (size_t i = 0; i < sizeof CERTS / sizeof *CERTS; i++) {
        struct bench b = {0};
        begin(&b, CERTS[i], NULL);
        call_get(&b.call);
        call_expect_failure(&b.call, UPSTREAM_TLS);
        assert_false(b.call.sent);
        assert_int_equal(rig_stats(&b.rig).connect_failures, 1);
        finish(&b);
    }
}

static void missing_ca_file_is_a_tls_failure(void **state)
{
    (void)state;
    struct bench b = {0};
    char url[64];
    begin(&b, "good", NULL);
    snprintf(url, sizeof url, "https://127.0.0.1:%d", b.rig.port);
    upstream_origin_deinit(&b.rig.origin);
    assert_int_equal(upstream_origin_init(&b.rig.origin, slice_from(url), in_folder("none.pem")), 0);
    call_get(&b.call);
    call_expect_failure(&b.call, UPSTREAM_TLS);
    finish(&b);
}

static void plain_server_is_refused(void **state)
{
    (void)state;
    struct bench b = {0};
    begin(&b, NULL, NULL);
    call_get(&b.call);
    int fd = rig_accept(&b.rig);
    rig_write(&b.rig, fd, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    call_expect_failure(&b.call, UPSTREAM_TLS);
    close(fd);
    finish(&b);
}

static void stalled_handshake_is_a_connect_timeout(void **state)
{
    (void)state;
    struct bench b = {0};
    if (!rig_clock())
        return; /* needs -DTEST_CLOCK=ON */
    begin(&b, NULL, NULL);
    call_get(&b.call);
    int fd = rig_accept(&b.rig);
    rig_jump(&b.rig, (int64_t)RIG_OPTIONS.times.connect_ms);
    call_expect_failure(&b.call, UPSTREAM_CONNECT_TIMEOUT);
    close(fd);
    finish(&b);
}

/* s_server's own page ends with its connection, properly closed; and says what became of the session. */
static void sessions_are_resumed_and_close_notify_ends_a_body(void **state)
{
    (void)state;
    struct bench b = {0};
    begin(&b, "good", "-www");
    for (int i = 0; i < 2; i++) {
        again(&b);
        call_get(&b.call);
        RIG_UNTIL(&b.rig, call_over(&b.call));
        assert_int_equal(b.call.ends, 1);
        buf_append_char(&b.call.body, '\0');
        assert_non_null(strstr(b.call.body.ptr, i == 0 ? "\nNew, TLSv1.3" : "\nReused, TLSv1.3"));
    }
    assert_int_equal(rig_stats(&b.rig).connects, 2);
    finish(&b);
}

static void close_without_close_notify_is_a_cut(void **state)
{
    (void)state;
    struct bench b = {0};
    begin(&b, "good", NULL);
    call_get(&b.call);
    rig_read_until(&b.rig, b.server.fd, "Host: origin\r\n\r\n", NULL);
    rig_write(&b.rig, b.server.fd, "HTTP/1.1 200 OK\r\n\r\nall of");
    RIG_UNTIL(&b.rig, b.call.body.len == 6);
    server_kill(&b.server);
    b.server.pid = 0;
    call_expect_failure(&b.call, UPSTREAM_CUT);
    finish(&b);
}

static void idle_connection_that_the_server_closes_is_dropped(void **state)
{
    (void)state;
    struct bench b = {0};
    begin(&b, "good", NULL);
    call_get(&b.call);
    rig_read_until(&b.rig, b.server.fd, "Host: origin\r\n\r\n", NULL);
    rig_write(&b.rig, b.server.fd, OK);
    call_expect_ok(&b.call, 200, "hi");
    assert_int_equal(rig_stats(&b.rig).idle, 1);
    rig_write(&b.rig, b.server.fd, "q\n"); /* s_server: close this connection */
    RIG_UNTIL(&b.rig, rig_stats(&b.rig).idle == 0);
    assert_int_equal(rig_stats(&b.rig).open, 0);
    finish(&b);
}

/* Surplus bytes in the same record as the answer's end. */
static void surplus_bytes_end_the_connection(void **state)
{
    (void)state;
    struct bench b = {0};
    begin(&b, "good", NULL);
    call_get(&b.call);
    rig_read_until(&b.rig, b.server.fd, "Host: origin\r\n\r\n", NULL);
    rig_write(&b.rig, b.server.fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi and more");
    call_expect_ok(&b.call, 200, "hi");
    assert_int_equal(rig_stats(&b.rig).open, 0);
    finish(&b);
}

static char *digits(void)
{
    char *data = malloc(LARGE); /* no byte that s_server takes for a command of its own */
    assert_non_null(data);
    for (size_t i = 0; i < LARGE; i++)
        data[i] = (char)('0' + (i * 7 + i / 1000) % 10);
    return data;
}

static void pause_every_time(struct call *call)
{
    upstream_pause(call->t);
}

/* What lies decrypted inside libcurl makes no descriptor readable: resuming has to ask for it. */
static void pause_loses_nothing_that_lies_inside_libcurl(void **state)
{
    (void)state;
    struct bench b = {0};
    char *data = digits();
    char head[64];
    size_t written = 0;
    begin(&b, "good", NULL);
    b.call.on_piece = pause_every_time;
    call_get(&b.call);
    rig_read_until(&b.rig, b.server.fd, "Host: origin\r\n\r\n", NULL);
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", LARGE);
    rig_write(&b.rig, b.server.fd, head);
    while (!call_over(&b.call)) {
        ssize_t n = written < LARGE ? send(b.server.fd, data + written, LARGE - written, MSG_NOSIGNAL) : 0;
        written += n > 0 ? (size_t)n : 0;
        rig_turns(&b.rig, 2);
        if (b.call.t)
            call_resume(&b.call);
    }
    assert_int_equal(b.call.ends, 1);
    assert_int_equal(b.call.body.len, LARGE);
    assert_memory_equal(b.call.body.ptr, data, LARGE);
    assert_int_equal(rig_stats(&b.rig).idle, 1);
    free(data);
    finish(&b);
}

/* After "would block" TLS wants the very same bytes again. */
static void upload_survives_back_pressure(void **state)
{
    (void)state;
    struct bench b = {0};
    struct buf seen;
    char *data = digits();
    size_t taken = 0;
    begin(&b, "good", NULL);
    buf_init(&seen, RIG_BODY_MAX);
    call_request(&b.call, &(struct upstream_request){.method = METHOD_PUT,
                                                     .head = SLICE("PUT / HTTP/1.1\r\nHost: origin\r\n\r\n"),
                                                     .framing = FRAMING_LENGTH,
                                                     .length = LARGE});
    for (int quiet = 0; quiet < 200; quiet++, rig_turn(&b.rig)) {
        size_t n =
            call_send(&b.call, slice_of(data + taken, LARGE - taken < 50000 ? LARGE - taken : 50000), false);
        taken += n;
        quiet = n > 0 ? 0 : quiet;
    }
    assert_true(taken < LARGE);
    rig_read_until(&b.rig, b.server.fd, "Host: origin\r\n\r\n", &seen);
    char *start = memmem(seen.ptr, seen.len, "\r\n\r\n", 4);
    buf_consume(&seen, (size_t)(start + 4 - seen.ptr));
    while (seen.len < LARGE) {
        if (taken < LARGE)
            taken += call_send(&b.call, slice_of(data + taken, LARGE - taken), true);
        assert_true(rig_read_some(&b.rig, b.server.fd, &seen));
    }
    assert_memory_equal(seen.ptr, data, LARGE);
    rig_write(&b.rig, b.server.fd, "HTTP/1.1 204 No Content\r\n\r\n");
    call_expect_ok(&b.call, 204, "");
    assert_int_equal(rig_stats(&b.rig).idle, 1);
    buf_deinit(&seen);
    free(data);
    finish(&b);
}

static void proxies_of_the_environment_are_ignored(void **state)
{
    (void)state;
    struct bench b = {0};
    int port;
    char url[64];
    int proxy = rig_listen(&port);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
    setenv("https_proxy", url, 1);
    setenv("ALL_PROXY", url, 1);
    begin(&b, "good", NULL);
    call_get(&b.call);
    rig_read_until(&b.rig, b.server.fd, "Host: origin\r\n\r\n", NULL);
    rig_write(&b.rig, b.server.fd, OK);
    call_expect_ok(&b.call, 200, "hi");
    assert_int_equal(accept(proxy, NULL, NULL), -1);
    unsetenv("https_proxy");
    unsetenv("ALL_PROXY");
    close(proxy);
    finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verified_connection_is_kept_and_speaks_http1_only),
        cmocka_unit_test(unverified_servers_are_refused),
        cmocka_unit_test(missing_ca_file_is_a_tls_failure),
        cmocka_unit_test(plain_server_is_refused),
        cmocka_unit_test(stalled_handshake_is_a_connect_timeout),
        cmocka_unit_test(sessions_are_resumed_and_close_notify_ends_a_body),
        cmocka_unit_test(close_without_close_notify_is_a_cut),
        cmocka_unit_test(idle_connection_that_the_server_closes_is_dropped),
        cmocka_unit_test(surplus_bytes_end_the_connection),
        cmocka_unit_test(pause_loses_nothing_that_lies_inside_libcurl),
        cmocka_unit_test(upload_survives_back_pressure),
        cmocka_unit_test(proxies_of_the_environment_are_ignored),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
