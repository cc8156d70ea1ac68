/* TLS: versions, protocols, sessions, client certificates, bad clients, reload. */
#include <poll.h>

#include "unit/server/tls_rig.h"

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
#define each_version(v) for (size_t v = 0; v < sizeof versions / sizeof *versions; v++)

/* --- the handshake ------------------------------------------------------------------------------- */

static void both_versions_serve(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, false);
    each_version(v)
    {
        struct tls_client c;
        tls_open(&rig, &c, &(struct hello){.version = versions[v]});
        tls_say(&c, GET("/a"));
        tls_expect(&c, "\r\n\r\n/a");
        assert_int_equal(SSL_version(c.ssl), versions[v]);
        assert_true(SSL_CIPHER_is_aead(SSL_get_current_cipher(c.ssl)));
        assert_true(rig.f->last_tls);
        assert_string_equal(rig.f->last_name, "");
        tls_forget(&c);
        tls_say(&c, GET("/b") GET("/c") "GET /d HT");
        tls_expect(&c, "\r\n\r\n/c");
        tls_say(&c, "TP/1.1\r\nHost: t\r\n\r\n");
        tls_expect(&c, "\r\n\r\n/d");
        tls_close(&c);
    }
    rig_close(&rig);
}

static void what_is_old_or_weak_is_refused(void **state)
{
    (void)state;
    static const struct hello hellos[] = {
        {.version = TLS1_1_VERSION},
        {.version = TLS1_2_VERSION, .ciphers = "AES128-GCM-SHA256"},         /* no forward secrecy */
        {.version = TLS1_2_VERSION, .ciphers = "ECDHE-ECDSA-AES256-SHA384"}, /* CBC */
        {.version = TLS1_2_VERSION, .ciphers = "AECDH-AES256-SHA"},          /* nobody is asked */
        {.version = TLS1_2_VERSION, .ciphers = "ECDHE-ECDSA-NULL-SHA"},      /* nothing is hidden */
    };
    struct rig rig;
    rig_open(&rig, false);
    for (size_t i = 0; i < sizeof hellos / sizeof *hellos; i++) {
        struct tls_client c;
        tls_open(&rig, &c, &hellos[i]);
        assert_false(tls_shake(&c));
        assert_int_equal(c.ended, SSL_ERROR_SSL);
        tls_close(&c);
    }
    settle(rig.f);
    assert_int_equal(rig.f->requests, 0);
    assert_int_equal(server_connections(rig.f->server), 0);
    rig_close(&rig);
}

static void only_http_1_1_is_spoken(void **state)
{
    (void)state;
    static const struct {
        const char *offered;
        bool taken;
    } rows[] = {{NULL, true},      {"\x08http/1.1", true},  {"\x02h2\x08http/1.1", true},
                {"\x02h2", false}, {"\x08http/1.0", false}, {"\x09http/1.10", false}};
    struct rig rig;
    rig_open(&rig, false);
    each_version(v) for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    {
        struct tls_client c;
        const unsigned char *chosen;
        unsigned len;
        tls_open(&rig, &c, &(struct hello){.version = versions[v], .protocols = rows[i].offered});
        assert_int_equal(tls_shake(&c), rows[i].taken);
        SSL_get0_alpn_selected(c.ssl, &chosen, &len);
        if (!rows[i].taken)
            assert_int_equal(ERR_GET_REASON(c.why), SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
        else if (rows[i].offered)
            assert_memory_equal(chosen, "http/1.1", len);
        else
            assert_int_equal(len, 0);
        tls_close(&c);
    }
    rig_close(&rig);
}

/* --- sessions ------------------------------------------------------------------------------------ */

/* One request; was the session taken up again? */
static bool visit(struct rig *rig, int version, SSL_SESSION **session, const struct identity *identity)
{
    struct tls_client c;
    tls_open(rig, &c, &(struct hello){.version = version, .session = session, .identity = identity});
    tls_say(&c, GET("/a"));
    tls_expect(&c, "\r\n\r\n/a");
    bool reused = SSL_session_reused(c.ssl) == 1;
    SSL_SESSION_free(*session);
    *session = SSL_get1_session(c.ssl);
    SSL_shutdown(c.ssl);
    tls_close(&c);
    settle(rig->f);
    return reused;
}

static void sessions_are_resumed(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, false);
    each_version(v)
    {
        SSL_SESSION *session = NULL;
        assert_false(visit(&rig, versions[v], &session, NULL));
        assert_non_null(session);
        assert_true(visit(&rig, versions[v], &session, NULL));
        assert_true(visit(&rig, versions[v], &session, NULL));
        rig_configure(&rig); /* other keys: a full handshake, and no harm */
        assert_false(visit(&rig, versions[v], &session, NULL));
        assert_true(visit(&rig, versions[v], &session, NULL));
        SSL_SESSION_free(session);
    }
    rig_close(&rig);
}

#ifdef TEST_CLOCK
static void ticket_keys_are_replaced_by_the_hour(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, false);
    each_version(v)
    {
        SSL_SESSION *session = NULL, *kept = NULL;
        visit(&rig, versions[v], &session, NULL);
        SSL_SESSION_up_ref(session);
        kept = session;
        clock_jump(61 * 60 * 1000);
        assert_true(visit(&rig, versions[v], &session, NULL)); /* by the key before */
        assert_true(session != kept);                          /* and there is a new ticket */
        clock_jump(61 * 60 * 1000);
        assert_false(visit(&rig, versions[v], &kept, NULL));
        assert_true(visit(&rig, versions[v], &session, NULL));
        clock_jump(121 * 60 * 1000); /* nobody came: the key is too old although none took its place */
        assert_false(visit(&rig, versions[v], &session, NULL));
        SSL_SESSION_free(session);
        SSL_SESSION_free(kept);
    }
    rig_close(&rig);
}

/* The certificate was good when the session began. */
static void a_session_does_not_outlive_its_certificate(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, true);
    long by_now = (long)(*clock_open() / 1000); /* how far the clock has been moved */
    struct identity brief = identity_make(
        &(struct wanted){"brief", NULL, .from_s = -60, .to_s = by_now + 1800, .issuer = &rig.ca});
    each_version(v)
    {
        SSL_SESSION *session = NULL;
        struct tls_client c;
        assert_false(visit(&rig, versions[v], &session, &brief));
        assert_true(visit(&rig, versions[v], &session, &brief));
        assert_string_equal(rig.f->last_name, "cn:brief");
        clock_jump(1801 * 1000);
        unsigned before = rig.f->requests;
        tls_open(&rig, &c, &(struct hello){.version = versions[v], .session = &session, .identity = &brief});
        tls_shake(&c);
        assert_true(SSL_session_reused(c.ssl));
        tls_say(&c, GET("/a"));
        wait_for(rig.f, tls_ended(&c));
        assert_int_equal(rig.f->requests, before);
        assert_int_equal(c.plain.len, 0);
        tls_close(&c);
        SSL_SESSION_free(session);
        clock_jump(-1801 * 1000);
    }
    identity_free(&brief);
    rig_close(&rig);
}
#endif

/* --- client certificates ------------------------------------------------------------------------- */

static void clients_are_named_by_their_certificates(void **state)
{
    (void)state;
    static const struct {
        const char *common_name, *alternative, *name;
    } rows[] = {
        {"x", "DNS:d.internal,URI:spiffe://a/b,URI:spiffe://c", "uri:spiffe://a/b"},
        {"x", "IP:127.0.0.1,DNS:d.internal,DNS:e", "dns:d.internal"},
        {"x", "IP:127.0.0.1,email:a@b.c", "cn:x"},
        {"Billing Service", NULL, "cn:Billing Service"},
        {"dns:x", NULL, "cn:dns:x"},
        {"x\ny", NULL, ""},
        {"x", "DNS:a\x01z", ""}, /* and not the common name instead */
    };
    struct rig rig;
    rig_open(&rig, true);
    each_version(v) for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    {
        struct identity client =
            identity_make(&(struct wanted){rows[i].common_name, rows[i].alternative, .issuer = &rig.ca});
        struct tls_client c;
        tls_open(&rig, &c, &(struct hello){.version = versions[v], .identity = &client});
        tls_say(&c, GET("/a") GET("/b"));
        tls_expect(&c, "\r\n\r\n/b");
        assert_string_equal(rig.f->last_name, rows[i].name);
        tls_close(&c);
        identity_free(&client);
    }
    rig_close(&rig);
}

static void other_clients_are_refused(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, true);
    struct identity stranger = identity_make(&(struct wanted){"test CA", NULL, .ca = true});
    const struct wanted wanted[] = {
        {.common_name = "x", .issuer = &stranger}, /* a CA of the same name */
        {.common_name = "x"},                      /* its own CA */
        {.common_name = "x", .issuer = &rig.ca, .from_s = -2 * DAY_S, .to_s = -DAY_S},
        {.common_name = "x", .issuer = &rig.ca, .from_s = DAY_S, .to_s = 2 * DAY_S},
        {.common_name = "x", .issuer = &rig.server}, /* what issued it is no CA */
    };
    static const int reasons[] = {SSL_R_TLSV1_ALERT_DECRYPT_ERROR,       SSL_R_TLSV1_ALERT_UNKNOWN_CA,
                                  SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, SSL_R_SSLV3_ALERT_BAD_CERTIFICATE,
                                  SSL_R_TLSV1_ALERT_UNKNOWN_CA,          0};
    size_t count = sizeof wanted / sizeof *wanted;
    each_version(v) for (size_t i = 0; i <= count; i++)
    {
        struct identity client = i < count ? identity_make(&wanted[i]) : (struct identity){NULL, NULL};
        struct tls_client c;
        tls_open(&rig, &c, &(struct hello){.version = versions[v], .identity = i < count ? &client : NULL});
        if (tls_shake(&c)) { /* 1.3: the client believes that it is over, and goes on */
            tls_say(&c, GET("/a"));
            wait_for(rig.f, tls_ended(&c));
        }
        int none = versions[v] == TLS1_3_VERSION ? SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED
                                                 : SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE;
        assert_int_equal(c.ended, SSL_ERROR_SSL);
        assert_int_equal(ERR_GET_REASON(c.why), i < count ? reasons[i] : none);
        tls_close(&c);
        identity_free(&client);
    }
    settle(rig.f);
    assert_int_equal(rig.f->requests, 0);
    assert_int_equal(server_connections(rig.f->server), 0);
    identity_free(&stranger);
    rig_close(&rig);
}

/* --- who does not speak TLS ---------------------------------------------------------------------- */

static void plain_http_is_told_so(void **state)
{
    (void)state;
    struct rig rig;
    struct client c;
    rig_open(&rig, false);
    client_open(rig.f, &c);
    client_send(&c, GET("/a"));
    client_expect(&c, "speaks TLS");
    client_expect_end(&c);
    assert_memory_equal(c.text, "HTTP/1.1 400 Bad Request\r\n", 26);
    assert_non_null(strstr(c.text, "Connection: close\r\n"));
    assert_true(c.eof);
    assert_int_equal(rig.f->requests, 0);
    assert_int_equal(rig.f->refused_status, 400);
    client_close(&c);
    rig_close(&rig);
}

static void garbage_ends_in_silence(void **state)
{
    (void)state;
    static const struct slice rows[] = {
        {"\x00\x01\x02\x03 garbage garbage garbage", 28},
        {"\x16\x03\x01\x00\x05garbage", 12}, /* a record with no message of ours */
        {"\x16\x03\x01\xff\xff", 5},         /* longer than a record can be */
        {"\x17\x03\x03\x00\x05hello", 10},   /* data before the handshake */
        {"\x15\x03\x03\x00\x02\x02\x28", 7}, /* an alert */
        {"SSH-2.0-x\r\n", 11},
        {"", 0},
    };
    struct rig rig;
    rig_open(&rig, false);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct client c;
        client_open(rig.f, &c);
        client_send_bytes(&c, rows[i].ptr, rows[i].len);
        shutdown(c.fd, SHUT_WR);
        client_expect_end(&c);
        assert_true(c.eof); /* not reset */
        assert_true(c.len == 0 || c.text[0] == '\x15');
        client_close(&c);
    }
    settle(rig.f);
    assert_int_equal(rig.f->requests + rig.f->refused, 0);
    assert_int_equal(server_connections(rig.f->server), 0);
    rig_close(&rig);
}

#ifdef TEST_CLOCK
static void a_slow_handshake_is_cut(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, false);
    for (int begun = 0; begun < 2; begun++) {
        struct tls_client c;
        tls_open(&rig, &c, &(struct hello){0});
        settle(rig.f);
        if (begun) { /* a hello, and no more */
            tls_shaken(&c);
            settle(rig.f);
        }
        clock_jump(9000);
        settle(rig.f);
        assert_int_equal(server_connections(rig.f->server), 1);
        clock_jump(1100);
        settle(rig.f);
        assert_int_equal(server_connections(rig.f->server), 0);
        tls_close(&c);
    }
    rig_close(&rig);
}

static void times_are_those_of_plain_connections(void **state)
{
    (void)state;
    struct rig rig;
    struct tls_client c;
    rig_open(&rig, false);
    tls_open(&rig, &c, &(struct hello){0});
    tls_say(&c, GET("/a"));
    tls_expect(&c, "\r\n\r\n/a");
    clock_jump(74000);
    settle(rig.f);
    tls_say(&c, "GET /b HT");
    settle(rig.f);
    clock_jump(10100);
    tls_expect(&c, "HTTP/1.1 408 ");
    wait_for(rig.f, tls_ended(&c));
    assert_int_equal(c.ended, SSL_ERROR_ZERO_RETURN);
    tls_close(&c);
    rig_close(&rig);
}
#endif

/* --- bytes --------------------------------------------------------------------------------------- */

static void a_request_in_one_byte_records(void **state)
{
    (void)state;
    struct rig rig;
    struct tls_client c;
    rig_open(&rig, false);
    tls_open(&rig, &c, &(struct hello){0});
    for (const char *at = GET("/slow"); *at; at++)
        tls_send(&c, at, 1);
    tls_expect(&c, "\r\n\r\n/slow");
    tls_close(&c);
    rig_close(&rig);
}

/* What is accepted inherits the listener's. */
static void set_buffers(int which, int size)
{
    for (int fd = 3; fd < 100; fd++) {
        int listening = 0;
        socklen_t len = sizeof listening;
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && listening)
            setsockopt(fd, SOL_SOCKET, which, &size, sizeof size);
    }
}

/* All in the kernel before the server looks. */
static void send_at_once(struct tls_client *c, const char *body, int size)
{
    char head[128];
    int len = snprintf(head, sizeof head,
                       "POST /collect-much HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n", size);
    assert_int_equal(SSL_write(c->ssl, head, len), len);
    for (int sent = 0; sent < size;) {
        int n = SSL_write(c->ssl, body + sent, size - sent < 9000 ? size - sent : 9000);
        assert_true(n > 0);
        sent += n;
    }
}

/* Whatever one read leaves inside of SSL, where no kernel announces it. The first rounds widen the window. */
static void a_burst_is_read_to_its_end(void **state)
{
    (void)state;
    enum { SIZE = 64 * 1024 + 100 };
    struct rig rig;
    rig_open(&rig, false);
    set_buffers(SO_RCVBUF, 1024 * 1024);
    char *body = malloc(SIZE);
    memset(body, 'x', SIZE);
    each_version(v)
    {
        struct tls_client c;
        tls_open(&rig, &c, &(struct hello){.version = versions[v]});
        assert_true(tls_shake(&c));
        for (int round = 0; round < 8; round++) {
            settle(rig.f);
            tls_forget(&c);
            send_at_once(&c, body, SIZE);
            wait_for(rig.f, (tls_has(&c, "nothing"), run_at_end(&c.plain, 'x') == SIZE));
        }
        tls_close(&c);
    }
    free(body);
    rig_close(&rig);
}

static void large_bodies_pass_both_ways(void **state)
{
    (void)state;
    enum { SIZE = 900 * 1000 };
    struct rig rig;
    rig_open(&rig, false);
    rig.f->options.body_max = SIZE;
    rig_configure(&rig);
    char *body = malloc(SIZE);
    memset(body, 'x', SIZE);
    each_version(v)
    {
        struct tls_client c;
        char head[128];
        tls_open(&rig, &c, &(struct hello){.version = versions[v], .receive_buffer = 4096});
        snprintf(head, sizeof head, "POST /collect-much HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n",
                 SIZE);
        tls_say(&c, head);
        tls_send(&c, body, SIZE);
        wait_for(rig.f, (tls_has(&c, "nothing"), run_at_end(&c.plain, 'x') == SIZE));
        tls_forget(&c);
        tls_say(&c, GET("/big") GET("/after"));
        settle(rig.f); /* the socket is full before anything is read */
        wait_for(rig.f, (tls_has(&c, "nothing"), c.plain.len > BIG));
        tls_expect(&c, "\r\n\r\n/after");
        assert_true(rig.f->max_backlog <= 64 * 1024 + BIG_PIECE);
        tls_close(&c);
    }
    free(body);
    rig_close(&rig);
}

/* --- ends ---------------------------------------------------------------------------------------- */

static void a_client_that_ends_its_side_is_answered(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, false);
    each_version(v) for (int told = 0; told < 2; told++)
    {
        struct tls_client c;
        unsigned held = rig.f->holding;
        tls_open(&rig, &c, &(struct hello){.version = versions[v]});
        tls_say(&c, GET("/hold"));
        if (told)
            SSL_shutdown(c.ssl); /* close_notify, and the socket stays open */
        else
            shutdown(c.plain.fd, SHUT_WR);
        wait_for(rig.f, rig.f->holding == held + 1);
        settle(rig.f);
        assert_non_null(rig.f->held[held]);
        server_reply(rig.f->held[held], 200, "text/plain", "", SLICE("late"));
        tls_expect(&c, "\r\n\r\nlate");
        wait_for(rig.f, tls_ended(&c));
        assert_int_equal(c.ended, SSL_ERROR_ZERO_RETURN);
        tls_close(&c);
    }
    wait_for(rig.f, server_connections(rig.f->server) == 0);
    assert_int_equal(rig.f->sent, 4);
    rig_close(&rig);
}

/* Request and close_notify come in one read; the socket stays open and tells nothing more. */
static void a_goodbye_behind_a_request_is_heard(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, false);
    each_version(v)
    {
        struct tls_client c;
        tls_open(&rig, &c, &(struct hello){.version = versions[v]});
        assert_true(tls_shake(&c));
        settle(rig.f);
        assert_true(SSL_write(c.ssl, GET("/a"), (int)strlen(GET("/a"))) > 0);
        SSL_shutdown(c.ssl);
        tls_expect(&c, "\r\n\r\n/a");
        wait_for(rig.f, server_connections(rig.f->server) == 0);
        tls_close(&c);
    }
    rig_close(&rig);
}

static void an_idle_client_that_leaves_is_let_go(void **state)
{
    (void)state;
    struct rig rig;
    struct tls_client c;
    rig_open(&rig, false);
    tls_open(&rig, &c, &(struct hello){0});
    tls_say(&c, GET("/a"));
    tls_expect(&c, "\r\n\r\n/a");
    SSL_shutdown(c.ssl);
    wait_for(rig.f, server_connections(rig.f->server) == 0);
    wait_for(rig.f, tls_ended(&c));
    assert_int_equal(c.ended, SSL_ERROR_ZERO_RETURN); /* RFC 5246 7.2.1: answered */
    tls_close(&c);
    rig_close(&rig);
}

/* Without framing, close_notify says that the answer was whole. */
static void a_cut_answer_does_not_look_whole(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, false);
    for (int whole = 0; whole < 2; whole++) {
        struct tls_client c;
        tls_open(&rig, &c, &(struct hello){0});
        tls_say(&c, whole ? "GET /big-unknown HTTP/1.0\r\n\r\n" : "GET /cut HTTP/1.0\r\n\r\n");
        wait_for(rig.f, tls_ended(&c));
        if (whole)
            assert_int_equal(c.ended, SSL_ERROR_ZERO_RETURN);
        else
            assert_int_not_equal(c.ended, SSL_ERROR_ZERO_RETURN);
        tls_close(&c);
    }
    rig_close(&rig);
}

static void drain_says_goodbye(void **state)
{
    (void)state;
    struct rig rig;
    struct tls_client idle, busy, fresh;
    rig_open(&rig, false);
    tls_open(&rig, &idle, &(struct hello){0});
    tls_say(&idle, GET("/a"));
    tls_expect(&idle, "\r\n\r\n/a");
    tls_open(&rig, &busy, &(struct hello){0});
    tls_say(&busy, GET("/hold"));
    tls_open(&rig, &fresh, &(struct hello){0});
    wait_for(rig.f, rig.f->holding == 1);
    server_drain(rig.f->server, 0);
    wait_for(rig.f, tls_ended(&idle));
    assert_int_equal(idle.ended, SSL_ERROR_ZERO_RETURN);
    tls_say(&fresh, GET("/b"));
    tls_expect(&fresh, "\r\n\r\n/b");
    server_reply(rig.f->held[0], 200, "text/plain", "", SLICE("late"));
    tls_expect(&busy, "Connection: close\r\n");
    wait_for(rig.f, tls_ended(&busy));
    assert_int_equal(busy.ended, SSL_ERROR_ZERO_RETURN);
    tls_close(&idle);
    tls_close(&busy);
    tls_close(&fresh);
    rig_close(&rig);
}

static void closing_cuts_at_any_point(void **state)
{
    (void)state;
    struct rig rig;
    struct tls_client c[3];
    rig_open(&rig, false);
    for (int i = 0; i < 3; i++)
        tls_open(&rig, &c[i], &(struct hello){0});
    settle(rig.f);
    tls_shaken(&c[1]); /* a hello is on its way */
    settle(rig.f);
    tls_say(&c[2], GET("/hold"));
    wait_for(rig.f, rig.f->holding == 1);
    rig_close(&rig);
    for (int i = 0; i < 3; i++) {
        c[i].plain.f = NULL;
        tls_close(&c[i]);
    }
}

/* --- what a client may try on a connection that stands ------------------------------------------- */

static void a_damaged_record_ends_the_connection(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, false);
    each_version(v) for (int held = 0; held < 2; held++)
    {
        struct tls_client c;
        tls_open(&rig, &c, &(struct hello){.version = versions[v]});
        tls_say(&c, held ? GET("/hold") : GET("/a"));
        settle(rig.f);
        unsigned before = rig.f->gone;
        client_send_bytes(&c.plain, "\x17\x03\x03\x00\x28 this is no record that we have sealed ", 45);
        wait_for(rig.f, server_connections(rig.f->server) == 0);
        assert_int_equal(rig.f->gone, before + (unsigned)held);
        wait_for(rig.f, tls_ended(&c));
        tls_close(&c);
    }
    rig_close(&rig);
}

static void renegotiation_is_refused(void **state)
{
    (void)state;
    struct rig rig;
    struct tls_client c;
    rig_open(&rig, false);
    tls_open(&rig, &c, &(struct hello){.version = TLS1_2_VERSION});
    tls_say(&c, GET("/a"));
    tls_expect(&c, "\r\n\r\n/a");
    assert_int_equal(SSL_renegotiate(c.ssl), 1);
    wait_for(rig.f, tls_shaken(&c) && c.ended != 0);
    assert_int_equal(ERR_GET_REASON(c.why), SSL_R_NO_RENEGOTIATION);
    tls_close(&c);
    rig_close(&rig);
}

static void update_keys(struct tls_client *c)
{
    assert_int_equal(SSL_key_update(c->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    tls_shaken(c);
}

static void keys_may_be_updated(void **state)
{
    (void)state;
    struct rig rig;
    struct tls_client c;
    rig_open(&rig, false);
    tls_open(&rig, &c, &(struct hello){.version = TLS1_3_VERSION});
    assert_true(tls_shake(&c));
    for (int i = 0; i < 100; i++) {
        update_keys(&c);
        tls_say(&c, GET("/a"));
        tls_expect(&c, "\r\n\r\n/a");
        tls_forget(&c);
    }
    tls_close(&c);
    rig_close(&rig);
}

static void nothing_but_key_updates_is_no_client(void **state)
{
    (void)state;
    struct rig rig;
    struct tls_client c;
    rig_open(&rig, false);
    tls_open(&rig, &c, &(struct hello){.version = TLS1_3_VERSION});
    tls_say(&c, GET("/a"));
    tls_expect(&c, "\r\n\r\n/a");
    for (int i = 0; i < 10000 && c.ended == 0 && server_connections(rig.f->server) == 1; i++) {
        update_keys(&c);
        turn(rig.f);
    }
    wait_for(rig.f, server_connections(rig.f->server) == 0);
    tls_close(&c);
    rig_close(&rig);
}

/* A chain that the buffers do not take: the server's side of the handshake waits for room, and not for bytes
 * of the client. */
static void a_handshake_that_does_not_fit_goes_on(void **state)
{
    (void)state;
    struct rig rig;
    struct tls_client c;
    rig_open(&rig, false);
    for (int i = 0; i < 100; i++)
        write_certificate(rig.cert, &rig.ca, true);
    rig_configure(&rig);
    set_buffers(SO_SNDBUF, 4096);
    tls_open(&rig, &c, &(struct hello){.receive_buffer = 2048});
    SSL_set_max_cert_list(c.ssl, 16 * 1024 * 1024);
    assert_false(tls_shaken(&c));
    settle(rig.f);
    client_send_bytes(&c.plain, "\x14\x03\x03\x00\x01\x01",
                      6); /* what some clients say there (RFC 8446 D.4) */
    settle(rig.f);
    struct pollfd loop = {.fd = uv_backend_fd(loop_uv(rig.f->loop)), .events = POLLIN};
    assert_int_equal(poll(&loop, 1, 0), 0); /* the loop can sleep */
    assert_true(tls_shake(&c));
    tls_say(&c, GET("/a"));
    tls_expect(&c, "\r\n\r\n/a");
    tls_close(&c);
    rig_close(&rig);
}

/* --- reload -------------------------------------------------------------------------------------- */

static void new_connections_see_the_new_certificate(void **state)
{
    (void)state;
    struct rig rig;
    struct tls_client before, after;
    rig_open(&rig, false);
    tls_open(&rig, &before, &(struct hello){0});
    tls_say(&before, GET("/a"));
    tls_expect(&before, "\r\n\r\n/a");
    identity_free(&rig.server);
    rig.server = identity_make(&(struct wanted){"new", "DNS:localhost", .issuer = &rig.ca});
    write_certificate(rig.cert, &rig.server, false);
    write_key(rig.key, &rig.server, NULL);
    rig_configure(&rig);
    tls_open(&rig, &after, &(struct hello){0});
    tls_say(&after, GET("/b"));
    tls_expect(&after, "\r\n\r\n/b");
    assert_int_equal(X509_cmp(SSL_get0_peer_certificate(after.ssl), rig.server.certificate), 0);
    tls_say(&before, GET("/c"));
    tls_expect(&before, "\r\n\r\n/c");
    assert_int_not_equal(X509_cmp(SSL_get0_peer_certificate(before.ssl), rig.server.certificate), 0);
    rig.f->options.tls = NULL; /* and so does none at all */
    server_configure(rig.f->server, &rig.f->options);
    struct client plain;
    client_open(rig.f, &plain);
    client_send(&plain, GET("/d"));
    client_expect(&plain, "\r\n\r\n/d");
    assert_false(rig.f->last_tls);
    client_close(&plain);
    tls_close(&before);
    tls_close(&after);
    rig_close(&rig);
}

/* --- files --------------------------------------------------------------------------------------- */

/* The three files of a rig, changed one way each; back to good ones afterwards. */
static void expect_fault(struct rig *rig, const char *start, const char *end)
{
    struct server_tls_files files = {rig->cert, rig->key, rig->client_ca};
    struct server_tls *tls;
    struct fault fault = {""};
    char wanted[sizeof fault.text];
    const char *path = start[0] == 'k' ? rig->key : start[1] == 'e' ? rig->cert : rig->client_ca;
    assert_int_not_equal(server_tls_create(&files, &tls, &fault), 0);
    assert_null(tls);
    snprintf(wanted, sizeof wanted, "%s: %s: %s", start, path, end);
    assert_string_equal(fault.text, wanted);
    assert_int_equal(ERR_peek_error(), 0); /* nothing is left for the next to stumble over */
    write_certificate(rig->cert, &rig->server, false);
    write_key(rig->key, &rig->server, NULL);
    write_certificate(rig->client_ca, &rig->ca, false);
}

static void each_bad_file_is_named(void **state)
{
    (void)state;
    struct rig rig = {0};
    rig_files(&rig);
    struct identity other = identity_make(&(struct wanted){.common_name = "other"});
    struct identity past = identity_make(
        &(struct wanted){.common_name = "past", .ca = true, .from_s = -2 * DAY_S, .to_s = -DAY_S});
    struct identity future =
        identity_make(&(struct wanted){.common_name = "future", .from_s = 5 * DAY_S, .to_s = 9 * DAY_S});
    unlink(rig.cert);
    expect_fault(&rig, "cert", "No such file or directory");
    unlink(rig.key);
    expect_fault(&rig, "key", "No such file or directory");
    unlink(rig.client_ca);
    expect_fault(&rig, "client_ca", "No such file or directory");
    write_text(rig.cert, "garbage");
    expect_fault(&rig, "cert", "holds no PEM certificate");
    write_text(rig.key, "garbage");
    expect_fault(&rig, "key", "holds no PEM private key");
    write_text(rig.client_ca, "");
    expect_fault(&rig, "client_ca", "holds no PEM certificate");
    write_key(rig.cert, &rig.server, NULL);
    expect_fault(&rig, "cert", "holds no PEM certificate");
    write_key(rig.key, &other, NULL);
    expect_fault(&rig, "key", "does not belong to the certificate");
    write_key(rig.key, &rig.server, "secret");
    expect_fault(&rig, "key", "is protected by a passphrase, expected one without");
    write_certificate(rig.cert, &past, false);
    expect_fault(&rig, "cert", "the certificate has expired");
    write_certificate(rig.cert, &future, false);
    expect_fault(&rig, "cert", "the certificate is not valid yet");
    write_certificate(rig.client_ca, &other, true);
    expect_fault(&rig, "client_ca", "holds a certificate that is not a CA's");
    write_certificate(rig.client_ca, &past, false);
    expect_fault(&rig, "client_ca", "the certificate has expired");
    FILE *file = open_for(rig.client_ca, "a");
    fputs("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", file);
    fclose(file);
    expect_fault(&rig, "client_ca", "a certificate is damaged");
    file = open_for(rig.cert, "a");
    fputs("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", file);
    fclose(file);
    expect_fault(&rig, "cert", "a certificate of the chain is damaged");
    identity_free(&other);
    identity_free(&past);
    identity_free(&future);
    rig_remove_files(&rig);
}

/* A rollover of the CA: the old one may stay in the file. */
static void an_old_ca_beside_a_new_one_is_fine(void **state)
{
    (void)state;
    struct rig rig = {0};
    rig_files(&rig);
    struct identity past = identity_make(
        &(struct wanted){.common_name = "past", .ca = true, .from_s = -2 * DAY_S, .to_s = -DAY_S});
    write_certificate(rig.client_ca, &past, true);
    rig.asks = true;
    server_tls_release(rig_load(&rig));
    identity_free(&past);
    rig_remove_files(&rig);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* the clients' own: OpenSSL's sockets know no MSG_NOSIGNAL */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_versions_serve),
        cmocka_unit_test(what_is_old_or_weak_is_refused),
        cmocka_unit_test(only_http_1_1_is_spoken),
        cmocka_unit_test(sessions_are_resumed),
        cmocka_unit_test(clients_are_named_by_their_certificates),
        cmocka_unit_test(other_clients_are_refused),
        cmocka_unit_test(plain_http_is_told_so),
        cmocka_unit_test(garbage_ends_in_silence),
        cmocka_unit_test(a_request_in_one_byte_records),
        cmocka_unit_test(a_burst_is_read_to_its_end),
        cmocka_unit_test(large_bodies_pass_both_ways),
        cmocka_unit_test(a_client_that_ends_its_side_is_answered),
        cmocka_unit_test(a_goodbye_behind_a_request_is_heard),
        cmocka_unit_test(an_idle_client_that_leaves_is_let_go),
        cmocka_unit_test(a_cut_answer_does_not_look_whole),
        cmocka_unit_test(drain_says_goodbye),
        cmocka_unit_test(closing_cuts_at_any_point),
        cmocka_unit_test(a_damaged_record_ends_the_connection),
        cmocka_unit_test(renegotiation_is_refused),
        cmocka_unit_test(keys_may_be_updated),
        cmocka_unit_test(nothing_but_key_updates_is_no_client),
        cmocka_unit_test(a_handshake_that_does_not_fit_goes_on),
        cmocka_unit_test(new_connections_see_the_new_certificate),
        cmocka_unit_test(each_bad_file_is_named),
        cmocka_unit_test(an_old_ca_beside_a_new_one_is_fine),
#ifdef TEST_CLOCK
        cmocka_unit_test(a_slow_handshake_is_cut),
        cmocka_unit_test(times_are_those_of_plain_connections),
        cmocka_unit_test(ticket_keys_are_replaced_by_the_hour),
        cmocka_unit_test(a_session_does_not_outlive_its_certificate),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
