/* That the parser underneath was compiled strict, and that the second reading notices every kind of
 * disagreement. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <llhttp.h>

#include "wire/wire_internal.h"

static llhttp_errno_t run(llhttp_type_t type, const char *text)
{
    llhttp_settings_t settings;
    llhttp_t parser;

    llhttp_settings_init(&settings);
    llhttp_init(&parser, type, &settings);
    return llhttp_execute(&parser, text, strlen(text));
}

static void test_llhttp_is_strict(void **state)
{
    (void)state;
    assert_int_equal(run(HTTP_REQUEST, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), HPE_OK);
    assert_int_not_equal(run(HTTP_REQUEST, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"), HPE_OK);
    assert_int_not_equal(run(HTTP_RESPONSE, "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n"), HPE_OK);
    /* Raw bytes in a target: the difference that only the strict build makes. */
    assert_int_not_equal(run(HTTP_REQUEST, "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"), HPE_OK);
    /* A request is not an answer: HTTP_BOTH would take it. */
    assert_int_not_equal(run(HTTP_REQUEST, "HTTP/1.1 200 OK\r\n\r\n"), HPE_OK);
    assert_int_not_equal(run(HTTP_RESPONSE, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), HPE_OK);
}

#define POST    "POST /a HTTP/1.1\r\nHost: a\r\nE:\r\nContent-Length: 5\r\n\r\n"
#define CHUNKED "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
#define ANSWER  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"

/* The guard's view of a head, before anything is changed in it. */
static struct wire_head view(struct http_field *scratch, struct slice bytes, bool request)
{
    struct wire_head head = {
        .fields = scratch, .request = request, .target = {"/a", 2}, .status = request ? 0 : 200};

    assert_true(wire_read_frame(&head, bytes));
    head.minor = 1;
    assert_true(wire_read_fields(&head));
    assert_true(wire_read_framing(&head));
    return head;
}

static void test_agreement(void **state)
{
    struct http_field scratch[WIRE_FIELDS_MAX];
    struct wire_head head;

    (void)state;
    head = view(scratch, SLICE(POST), true);
    assert_int_equal(wire_read_again(&head), WIRE_OK);
    head = view(scratch, SLICE(CHUNKED), true);
    assert_int_equal(wire_read_again(&head), WIRE_OK);
    head = view(scratch, SLICE(ANSWER), false);
    assert_int_equal(wire_read_again(&head), WIRE_OK);
}

static void change_target(struct wire_head *head)
{
    head->target = SLICE("/b");
}
static void change_minor(struct wire_head *head)
{
    head->minor = 0;
}
static void change_status(struct wire_head *head)
{
    head->status = 204;
}
static void lose_field(struct wire_head *head)
{
    head->count--;
}
static void invent_field(struct wire_head *head)
{
    head->fields[head->count++] = head->fields[0];
}
static void shorten_name(struct wire_head *head)
{
    head->fields[0].name.len--;
}
static void move_name(struct wire_head *head)
{
    head->fields[0].name.ptr++;
}
static void lengthen_value(struct wire_head *head)
{
    head->fields[0].value.len += 9;
}
static void move_value(struct wire_head *head)
{
    head->fields[0].value.ptr++;
}
static void empty_value(struct wire_head *head)
{
    head->fields[0].value.len = 0;
}
static void change_length(struct wire_head *head)
{
    head->length++;
}
static void lose_length(struct wire_head *head)
{
    head->has_length = false;
}
static void invent_chunks(struct wire_head *head)
{
    head->chunked = true;
}
static void invent_status(struct wire_head *head)
{
    head->status = 100;
}
static void append_byte(struct wire_head *head)
{
    head->bytes.len++;
}
static void cut_byte(struct wire_head *head)
{
    head->bytes.len--;
}
static void swap_direction(struct wire_head *head)
{
    head->request = !head->request;
}

static void test_disagreement(void **state)
{
    static const struct {
        const char *name;
        void (*change)(struct wire_head *head);
        bool request;
    } cases[] = {
        {"target", change_target, true},
        {"minor version", change_minor, true},
        {"minor version", change_minor, false},
        {"status", change_status, false},
        {"one field less", lose_field, true},
        {"one field more", invent_field, true},
        {"length of a name", shorten_name, true},
        {"place of a name", move_name, true},
        {"length of a value", lengthen_value, true},
        {"place of a value", move_value, true},
        {"emptiness of a value", empty_value, true},
        {"Content-Length", change_length, true},
        {"Content-Length", change_length, false},
        {"no Content-Length", lose_length, true},
        {"chunks", invent_chunks, false},
        {"a request's status", invent_status, true},
        {"a byte behind", append_byte, true},
        {"a byte less", cut_byte, false},
        {"direction", swap_direction, true},
        {"direction", swap_direction, false},
    };
    struct http_field scratch[WIRE_FIELDS_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wire_head head =
            view(scratch, cases[i].request ? SLICE(POST) : SLICE(ANSWER), cases[i].request);
        cases[i].change(&head);
        if (wire_read_again(&head) == WIRE_OK)
            fail_msg("not noticed: %s", cases[i].name);
    }
}

static void test_disagreement_refuses(void **state)
{
    struct http_field scratch[WIRE_FIELDS_MAX];
    struct http_fields fields = {0};
    struct arena arena;
    _Alignas(16) char storage[1024];
    struct wire_head head = view(scratch, SLICE(POST), true);

    (void)state;
    arena_init(&arena, storage, sizeof(storage), sizeof(storage));
    change_length(&head);
    assert_false(wire_settle(&head, &arena, &fields));
    assert_int_equal(head.result.verdict, WIRE_BAD);
    assert_int_equal(fields.count, 0);
    arena_reset(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llhttp_is_strict),
        cmocka_unit_test(test_agreement),
        cmocka_unit_test(test_disagreement),
        cmocka_unit_test(test_disagreement_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
