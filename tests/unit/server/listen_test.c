/* Addresses, ports in use, unix sockets, and a listener that runs out of descriptors or connections. */
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "unit/server/fixture.h"

static void addresses_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        int rc;
    } rows[] = {
        {"127.0.0.1:0", 0},
        {"localhost:0", 0},
        {"127.0.0.1", ERR_INVALID},
        {"127.0.0.1:", ERR_INVALID},
        {":8080", ERR_INVALID},
        {"127.0.0.1:65536", ERR_INVALID},
        {"127.0.0.1:-1", ERR_INVALID},
        {"127.0.0.1:80x", ERR_INVALID},
        {"::1:80", ERR_INVALID},
        {"[::1]", ERR_INVALID},
        {"", ERR_INVALID},
        {"unix:", ERR_INVALID},
        {"unix:/tmp/nowhere/at/all/socket", ERR_IO},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fault fault = {.text = ""};
        int fd = -1, rc = server_listen(rows[i].address, &fd, 1, &fault);
        assert_int_equal(rc, rows[i].rc);
        if (rc == 0)
            close(fd);
        else
            assert_non_null(strstr(fault.text, rows[i].address));
    }
}

static void what_is_local(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        bool local;
    } rows[] = {
        {"127.0.0.1:1", true},          {"127.9.9.9:1", true}, {"localhost:1", true},
        {"LocalHost:1", true},          {"[::1]:1", true},     {"unix:/x", true},
        {"[::ffff:127.0.0.1]:1", true}, {"0.0.0.0:1", false},  {"128.0.0.1:1", false},
        {"10.0.0.1:1", false},          {"[::]:1", false},     {"[::ffff:10.0.0.1]:1", false},
        {"localhost.example:1", false}, {"127.0.0.1", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(server_is_local(rows[i].address), rows[i].local);
}

static void the_address_is_told(int fd, char *out, size_t size)
{
    struct buf text;
    buf_init_fixed(&text, out, size - 1);
    assert_int_equal(server_address(fd, &text), 0);
    out[text.len] = '\0';
}

/* One socket for each worker on one port; a second gateway is told that it is in use. */
static void workers_share_a_port_and_strangers_do_not(void **state)
{
    (void)state;
    int fds[3], other;
    char first[64], each[64];
    struct fault fault;
    assert_int_equal(server_listen("127.0.0.1:0", fds, 3, &fault), 0);
    the_address_is_told(fds[0], first, sizeof first);
    assert_memory_equal(first, "127.0.0.1:", 10);
    for (int i = 1; i < 3; i++) {
        the_address_is_told(fds[i], each, sizeof each);
        assert_string_equal(each, first);
    }
    assert_int_equal(server_listen(first, &other, 1, &fault), ERR_INUSE);
    assert_non_null(strstr(fault.text, first));
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    assert_int_equal(server_listen(first, &other, 1, &fault), 0);
    close(other);
}

static void ipv6_is_served_where_there_is_any(void **state)
{
    (void)state;
    int fd, probe = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool any = probe >= 0 && bind(probe, (const struct sockaddr *)&at, sizeof at) == 0;
    struct fault fault;
    char text[80];
    if (probe >= 0)
        close(probe);
    int rc = server_listen("[::1]:0", &fd, 1, &fault);
    assert_int_equal(rc == 0, any);
    if (rc != 0)
        return;
    the_address_is_told(fd, text, sizeof text);
    assert_memory_equal(text, "[::1]:", 6);
    close(fd);
}

/* --- unix sockets -------------------------------------------------------------------------------- */

static void unix_sockets(void **state)
{
    (void)state;
    char directory[] = "/tmp/server-test-XXXXXX", address[64], told[64];
    int fds[2], other;
    struct fault fault;
    struct stat st;
    assert_non_null(mkdtemp(directory));
    snprintf(address, sizeof address, "unix:%s/s", directory);
    const char *path = address + 5;
    assert_int_equal(server_listen(address, fds, 2, &fault), 0);
    the_address_is_told(fds[1], told, sizeof told);
    assert_string_equal(told, address);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0007, 0);
    assert_int_equal(server_listen(address, &other, 1, &fault), ERR_INUSE);
    close(fds[0]);
    assert_int_equal(server_listen(address, &other, 1, &fault), ERR_INUSE);
    close(fds[1]);
    assert_int_equal(server_listen(address, &other, 1, &fault), 0); /* stale now: replaced */
    close(other);
    unlink(path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(server_listen(address, &other, 1, &fault), ERR_EXISTS);
    assert_int_equal(stat(path, &st), 0); /* nothing of anyone's was deleted */
    unlink(path);
    rmdir(directory);
}

static void a_unix_client_is_served(void **state)
{
    (void)state;
    char directory[] = "/tmp/server-test-XXXXXX", address[64];
    assert_non_null(mkdtemp(directory));
    snprintf(address, sizeof address, "unix:%s/s", directory);
    struct fixture *f = fixture_open_at(address);
    struct client c = {.f = f, .text = calloc(1, BIG + 65536)};
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    assert_non_null(c.text);
    snprintf(at.sun_path, sizeof at.sun_path, "%s", address + 5);
    c.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(c.fd, (const struct sockaddr *)&at, sizeof at), 0);
    client_send(&c, GET("/over-unix"));
    client_expect(&c, "\r\n\r\n/over-unix");
    assert_string_equal(f->last_peer, "unix");
    char uid[32];
    snprintf(uid, sizeof uid, "uid:%u", (unsigned)geteuid());
    assert_string_equal(f->last_name, uid);
    client_close(&c);
    fixture_close(f);
    unlink(at.sun_path);
    rmdir(directory);
}

/* --- running out --------------------------------------------------------------------------------- */

static void over_connections_max_clients_wait(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c[4];
    f->options.connections_max = 2;
    server_configure(f->server, &f->options);
    for (int i = 0; i < 4; i++) {
        client_open(f, &c[i]);
        client_send(&c[i], GET("/x"));
    }
    client_expect(&c[1], "\r\n\r\n/x");
    settle(f);
    assert_int_equal(server_connections(f->server), 2);
    assert_int_equal(f->requests, 2);
    client_close(&c[0]);
    client_expect(&c[2], "\r\n\r\n/x");
    settle(f);
    assert_int_equal(f->requests, 3);
    f->options.connections_max = 10;
    server_configure(f->server, &f->options);
    client_expect(&c[3], "\r\n\r\n/x");
    for (int i = 1; i < 4; i++)
        client_close(&c[i]);
    fixture_close(f);
}

/* In a child process, because the limit is the process'. One client is turned away, the others wait: a
 * listener that is not paused would turn away one in each turn. */
static void run_out_of_descriptors(void)
{
    enum { MANY = 60, LAST = MANY - 1 };
    struct fixture *f = fixture_open();
    struct client c[MANY];
    struct rlimit limit, full;
    for (int i = 0; i < MANY; i++)
        client_open(f, &c[i]);
    int lowest = dup(0);
    close(lowest);
    getrlimit(RLIMIT_NOFILE, &full);
    limit = full;
    limit.rlim_cur = (rlim_t)lowest + 2;
    setrlimit(RLIMIT_NOFILE, &limit);
    wait_for(f, server_connections(f->server) == 2);
    client_expect_end(&c[2]);
    for (int i = 0; i < 2 * MANY; i++)
        turn(f);
    assert_false(client_ended(&c[LAST]));
    client_send(&c[0], GET("/still-served"));
    client_expect(&c[0], "\r\n\r\n/still-served");
    /* A connection that ends makes room for the next one that waits. */
    shutdown(c[0].fd, SHUT_RDWR);
    settle(f);
    wait_for(f, server_connections(f->server) == 2);
    setrlimit(RLIMIT_NOFILE, &full);
    client_send(&c[LAST], GET("/waited"));
    client_expect(&c[LAST], "\r\n\r\n/waited");
    for (int i = 0; i < MANY; i++)
        client_close(&c[i]);
    fixture_close(f);
}

static void running_out_of_descriptors_is_survived(void **state)
{
    (void)state;
    int status = -1;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        run_out_of_descriptors();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_checked),
        cmocka_unit_test(what_is_local),
        cmocka_unit_test(workers_share_a_port_and_strangers_do_not),
        cmocka_unit_test(ipv6_is_served_where_there_is_any),
        cmocka_unit_test(unix_sockets),
        cmocka_unit_test(a_unix_client_is_served),
        cmocka_unit_test(over_connections_max_clients_wait),
        cmocka_unit_test(running_out_of_descriptors_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
