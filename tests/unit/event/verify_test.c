#include "event/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const char body[] =
    "{\"eventId\":\"0190-e1\",\"eventCreated\":\"2026-01-01T00:00:00+00:00\",\"event\":"
    "\"peopleUpdated\",\"resourceIds\":[\"0190-p1\"],\"uri\":"
    "\"https://crm.universal.rollout.com/people?ids=0190-p1\"}";

/* Computed with another implementation (Python's hmac and base64), secret "client-secret". */
static const struct {
    enum event_signature form;
    const char *name, *signature;
} vectors[] = {
    {EVENT_SIGNATURE_BASE64_BODY_HEX, "base64-body-hex",
     "d8d9d90abd9aa494283eaa743c189164250b039ec1c8e15ef4118bb1674a75ef"},
    {EVENT_SIGNATURE_BASE64_BODY_BASE64, "base64-body-base64",
     "2NnZCr2apJQoPqp0PBiRZCULA57ByOFe9BGLsWdKde8="},
    {EVENT_SIGNATURE_BODY_HEX, "body-hex",
     "c9d999267ee920a412663a4be8de9e747786fd514582bbe283f8e12023c70d72"},
    {EVENT_SIGNATURE_BODY_BASE64, "body-base64", "ydmZJn7pIKQSZjpL6N6edHeG/VFFgrvig/jhICPHDXI="},
};

static bool verify(enum event_signature form, struct slice signature)
{
    return event_verify(form, SLICE("client-secret"), slice_from(body), signature);
}

static void each_form_accepts_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        enum event_signature form;
        struct slice signature = slice_from(vectors[i].signature);
        assert_true(event_signature_from(slice_from(vectors[i].name), &form));
        assert_int_equal(form, vectors[i].form);
        for (size_t j = 0; j < 4; j++)
            assert_int_equal(verify(vectors[j].form, signature), i == j);
        assert_true(verify(EVENT_SIGNATURE_AUTO, signature));
    }
    enum event_signature form = EVENT_SIGNATURE_BODY_HEX;
    assert_true(event_signature_from(SLICE("auto"), &form));
    assert_int_equal(form, EVENT_SIGNATURE_AUTO);
    assert_false(event_signature_from(SLICE(""), &form));
    assert_false(event_signature_from(SLICE("hex"), &form));
    assert_false(event_signature_from(SLICE("Auto"), &form));
}

static void signs_as_others_do(void **state)
{
    (void)state;
    for (size_t i = 0; i <= 4; i++) {
        struct buf out;
        buf_init(&out, 1024);
        buf_append_text(&out, "x");
        event_sign(i < 4 ? vectors[i].form : EVENT_SIGNATURE_AUTO, SLICE("client-secret"), slice_from(body),
                   &out);
        const char *want = vectors[i % 4].signature;
        assert_true(slice_equal(slice_skip(buf_slice(&out), 1), slice_from(want)));
        buf_deinit(&out);
    }
}

/* Bodies around the size of the pieces that are encoded at a time. */
static void long_bodies_are_encoded_as_one(void **state)
{
    static const struct {
        size_t len;
        const char *hex;
    } rows[] = {
        {0, "03c06fe29355cf680d85917260823a5a0d0b3e7d064f7e85543ee1469f849b6d"},
        {1, "b874b982cf3e562ac166f11f48339f344cefed8a8765c74a530e0e92c93f2335"},
        {2, "edbe4a2eddb5fec4b5b8e3d79a94d4c8994663c5c9216c13b2781a4c5ddc37f0"},
        {3071, "b6443aa22816f4329ccf2895668ff812e7dd5dc4e713750a61a2de25b208bd42"},
        {3072, "bef7f801bff9cbbd60d41301a67fe47e6001447a2237a28cd94c1c851be640be"},
        {3073, "1bb888844080ce7537c862155a79cef6527882d17a3093678b79230435580556"},
        {10000, "e0febeb15ea4488cb683bf8a205e86e37de24c1c20a6a3e140bd6cd402702abe"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static char bytes[10000];
        for (size_t j = 0; j < rows[i].len; j++)
            bytes[j] = (char)((j * 7 + rows[i].len) % 256);
        assert_true(event_verify(EVENT_SIGNATURE_BASE64_BODY_HEX, SLICE("client-secret"),
                                 slice_of(bytes, rows[i].len), slice_from(rows[i].hex)));
    }
    assert_true(event_verify(EVENT_SIGNATURE_BASE64_BODY_HEX, SLICE("client-secret"), slice_of(NULL, 0),
                             slice_from(rows[0].hex)));
}

static void hex_may_be_of_either_case(void **state)
{
    static const char *const good[] = {"D8D9D90ABD9AA494283EAA743C189164250B039EC1C8E15EF4118BB1674A75EF",
                                       "d8D9d90aBd9aA494283eAa743c189164250B039ec1c8E15Ef4118bb1674A75eF"};
    (void)state;
    for (size_t i = 0; i < 2; i++)
        assert_true(verify(EVENT_SIGNATURE_AUTO, slice_from(good[i])));
    assert_false(verify(EVENT_SIGNATURE_AUTO, SLICE("2nnzcr2apjqopqp0pbirzcula57byofe9bglswdkde8=")));
}

static void anything_else_is_false(void **state)
{
    static const char *const bad[] = {
        "",
        "x",
        "sha256=d8d9d90abd9aa494283eaa743c189164250b039ec1c8e15ef4118bb1674a75ef",
        " d8d9d90abd9aa494283eaa743c189164250b039ec1c8e15ef4118bb1674a75ef",
        "d8d9d90abd9aa494283eaa743c189164250b039ec1c8e15ef4118bb1674a75ef ",
        "d8d9d90abd9aa494283eaa743c189164250b039ec1c8e15ef4118bb1674a75e",
        "d8d9d90abd9aa494283eaa743c189164250b039ec1c8e15ef4118bb1674a75efef",
        "0xd9d90abd9aa494283eaa743c189164250b039ec1c8e15ef4118bb1674a75ef",
        "2NnZCr2apJQoPqp0PBiRZCULA57ByOFe9BGLsWdKde8",
        "2NnZCr2apJQoPqp0PBiRZCULA57ByOFe9BGLsWdKde9=",
        "2NnZCr2apJQoPqp0PBiRZCULA57ByOFe9BGLsWdKde8==",
        "2NnZCr2apJQoPqp0PBiRZCULA57ByOFe9BGLsWdKde8=,c9d999",
        "2NnZCr2apJQoPqp0PBiRZCULA57ByOFe9BGLsWdKde8=00000000000000000000",
        "ydmZJn7pIKQSZjpL6N6edHeG_VFFgrvig_jhICPHDXI=",
        "00000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    };
    char zeros[64] = {0};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        for (int form = EVENT_SIGNATURE_AUTO; form <= EVENT_SIGNATURE_BODY_BASE64; form++)
            assert_false(verify((enum event_signature)form, slice_from(bad[i])));
    }
    assert_false(verify(EVENT_SIGNATURE_AUTO, slice_of(NULL, 0)));
    assert_false(verify(EVENT_SIGNATURE_AUTO, slice_of(zeros, 64)));
    assert_false(verify(EVENT_SIGNATURE_AUTO, slice_of(zeros, 44)));
}

static void every_byte_counts(void **state)
{
    char signature[65], changed[sizeof body];
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        size_t len = strlen(vectors[i].signature);
        for (size_t at = 0; at < len; at++) {
            memcpy(signature, vectors[i].signature, len);
            signature[at] = signature[at] == 'a' ? 'b' : 'a';
            assert_false(verify(EVENT_SIGNATURE_AUTO, slice_of(signature, len)));
        }
        for (size_t at = 0; at + 1 < sizeof body; at++) {
            memcpy(changed, body, sizeof body);
            changed[at] ^= 1;
            assert_false(event_verify(EVENT_SIGNATURE_AUTO, SLICE("client-secret"),
                                      slice_of(changed, sizeof body - 1), slice_from(vectors[i].signature)));
        }
    }
}

/* The HMAC under an empty key is no secret. */
static void an_empty_secret_verifies_nothing(void **state)
{
    struct buf out;
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_false(event_verify(EVENT_SIGNATURE_AUTO, SLICE(""), slice_from(body),
                                  slice_from(vectors[i].signature)));
        buf_init(&out, 1024);
        event_sign(vectors[i].form, SLICE(""), slice_from(body), &out);
        assert_true(out.failed);
        assert_int_equal(out.len, 0);
        buf_deinit(&out);
    }
    assert_false(event_verify(EVENT_SIGNATURE_AUTO, SLICE(""), SLICE(""),
                              SLICE("b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_form_accepts_its_own),        cmocka_unit_test(signs_as_others_do),
        cmocka_unit_test(long_bodies_are_encoded_as_one),   cmocka_unit_test(hex_may_be_of_either_case),
        cmocka_unit_test(anything_else_is_false),           cmocka_unit_test(every_byte_counts),
        cmocka_unit_test(an_empty_secret_verifies_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
