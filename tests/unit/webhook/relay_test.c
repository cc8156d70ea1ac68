/* The relay over a real loop, a real store and a server that plays the subscriber: more lanes than fit into
 * memory. */
#include "unit/webhook/fixture.h"

#include "base/clock.h"
#include "server/server.h"
#include "webhook/relay.h"

enum { CREDENTIALS = 40, EACH = 3, LETTERS = CREDENTIALS * EACH };

struct world {
    struct fixture f;
    struct loop *loop;
    struct server *server;
    struct relay *relay;
    struct audience *audience;
    struct loop_timer timer;
    uint64_t deadline_ms;
    char url[64];
    int refusals;          /* so many deliveries are refused first */
    int next[CREDENTIALS]; /* the letter of each credential that has to come next */
    int taken, out_of_order;
};

/* --- the subscriber -------------------------------------------------------------------------------- */

static void on_done(struct server_exchange *x, enum server_outcome outcome)
{
    (void)x;
    (void)outcome;
}

/* The body is "CREDENTIAL LETTER". */
static void on_body(struct server_exchange *x, enum problem problem, struct slice body)
{
    struct world *w = x->user;
    struct slice credential, letter;
    uint64_t c, n;
    assert_int_equal(problem, PROBLEM_COUNT);
    assert_true(slice_cut(body, ' ', &credential, &letter));
    assert_true(slice_to_u64(credential, &c) && slice_to_u64(letter, &n) && c < CREDENTIALS);
    if (w->refusals > 0) {
        w->refusals--;
        server_reply(x, 500, NULL, "", SLICE(""));
        return;
    }
    w->out_of_order += (int)n != w->next[c]++;
    w->taken++;
    server_reply(x, 204, NULL, "", SLICE(""));
}

static void on_request(void *owner, struct server_exchange *x)
{
    x->user = owner;
    x->on_done = on_done;
    server_collect(x, 1024, on_body);
}

/* --- the world ------------------------------------------------------------------------------------- */

static void world_open(struct world *w)
{
    static const struct outbox_bounds bounds = {.keep_ms = 3600 * 1000, .count_max = 1000, .dead_max = 10};
    struct server_options options = {.name = "subscriber",
                                     .head_max = 8192,
                                     .body_max = 65536,
                                     .header_ms = 60000,
                                     .idle_ms = 60000,
                                     .body_ms = 60000,
                                     .connections_max = 100,
                                     .problem_fields = ""};
    struct server_handler handler = {w, on_request, NULL};
    struct fault fault = {""};
    struct buf address;
    char text[64];
    int fd;
    *w = (struct world){.refusals = 0};
    fixture_make(&w->f);
    w->loop = loop_create();
    assert_int_equal(server_listen("127.0.0.1:0", &fd, 1, &fault), 0);
    buf_init_fixed(&address, text, sizeof text - 1);
    assert_int_equal(server_address(fd, &address), 0);
    snprintf(w->url, sizeof w->url, "http://%.*s/", SLICE_ARG(buf_slice(&address)));
    w->server = server_open(w->loop, fd, &options, &handler);
    assert_non_null(w->server);
    struct audience_entry entry = entry_of("one", w->url, NULL);
    w->audience = audience_of(&entry, 1);
    outbox_configure(w->f.outbox, w->audience, &bounds);
}

static void put_letters(struct world *w)
{
    for (int n = 0; n < EACH; n++)
        for (int c = 0; c < CREDENTIALS; c++) {
            char body[32], id[16];
            int body_len = snprintf(body, sizeof body, "%d %d", c, n),
                id_len = snprintf(id, sizeof id, "c%d", c);
            struct letter letter = {.at_ms = clock_wall_ms(),
                                    .id = SLICE("evt_1"),
                                    .name = SLICE("peopleUpdated"),
                                    .tenant = SLICE("acme"),
                                    .credential_id = slice_of(id, (size_t)id_len),
                                    .body = slice_of(body, (size_t)body_len)};
            assert_int_equal(post(&w->f, &letter, NULL), 0);
        }
}

static void start_relay(struct world *w, unsigned lanes_max)
{
    struct relay_settings settings = {
        .timeout_ms = 30000, .give_up_ms = 3600 * 1000, .concurrency = 4, .lanes_max = lanes_max};
    w->relay = relay_create(w->loop, w->f.outbox, w->audience, &settings);
    assert_non_null(w->relay);
}

static void on_server_closed(void *arg)
{
    loop_stop(((struct world *)arg)->loop);
}

static void on_relay_closed(void *arg)
{
    struct world *w = arg;
    server_close(w->server, on_server_closed, w);
}

static void read_one(const struct relay_subscriber *subscriber, void *arg)
{
    *(struct relay_subscriber *)arg = *subscriber;
}

static struct relay_subscriber shown(struct world *w)
{
    struct relay_subscriber one = {.backlog = 0};
    relay_each(w->relay, read_one, &one);
    return one;
}

static void look(struct loop_timer *timer)
{
    struct world *w = container_of(timer, struct world, timer);
    bool over = (w->taken >= LETTERS && shown(w).backlog == 0) || loop_now(w->loop) > w->deadline_ms;
    if (over)
        relay_close(w->relay, on_relay_closed, w);
    else
        loop_timer_set(w->loop, timer, loop_now(w->loop) + 5, look);
}

static void run_until_all_are_taken(struct world *w)
{
    w->deadline_ms = loop_now(w->loop) + 60000;
    loop_timer_set(w->loop, &w->timer, loop_now(w->loop), look);
    loop_run(w->loop);
}

static void world_close(struct world *w)
{
    relay_destroy(w->relay);
    loop_destroy(w->loop);
    audience_release(w->audience);
    fixture_remove(&w->f);
}

/* --- tests ----------------------------------------------------------------------------------------- */

static void check_all_came(struct world *w)
{
    struct relay_stats stats;
    relay_stats(w->relay, &stats);
    assert_int_equal(w->taken, LETTERS);
    assert_int_equal(w->out_of_order, 0);
    assert_int_equal(stats.delivered, LETTERS);
    assert_int_equal(stats.missed + stats.dead + stats.dropped, 0);
}

/* As it is after a restart. */
static void a_backlog_of_more_lanes_than_fit(void **state)
{
    static const unsigned rooms[] = {0, 1, 3, CREDENTIALS - 1};
    (void)state;
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        struct world w;
        world_open(&w);
        put_letters(&w);
        start_relay(&w, rooms[i]);
        assert_int_equal(shown(&w).backlog, LETTERS);
        run_until_all_are_taken(&w);
        check_all_came(&w);
        world_close(&w);
    }
}

/* A lane that waits makes room for others, and is found again. */
static void lanes_that_wait_make_room(void **state)
{
    struct world w;
    (void)state;
    world_open(&w);
    put_letters(&w);
    w.refusals = 10;
    start_relay(&w, 3);
    run_until_all_are_taken(&w);
    check_all_came(&w);
    world_close(&w);
}

struct late {
    struct loop_timer timer;
    struct world *w;
};

static void on_late(struct loop_timer *timer)
{
    struct late *late = container_of(timer, struct late, timer);
    put_letters(late->w);
    outbox_announce(late->w->f.outbox);
}

/* As it is while it runs. */
static void news_of_more_lanes_than_fit(void **state)
{
    struct world w;
    struct late late = {.w = &w};
    (void)state;
    world_open(&w);
    start_relay(&w, 2);
    loop_timer_set(w.loop, &late.timer, loop_now(w.loop) + 1, on_late);
    run_until_all_are_taken(&w);
    check_all_came(&w);
    world_close(&w);
}

static int open_library(void **state)
{
    (void)state;
    return upstream_global_init();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backlog_of_more_lanes_than_fit),
        cmocka_unit_test(lanes_that_wait_make_room),
        cmocka_unit_test(news_of_more_lanes_than_fit),
    };
    return cmocka_run_group_tests(tests, open_library, NULL);
}
