/* Standard Webhooks 1.0: known answers, rotation, keys. */
#include "unit/webhook/fixture.h"

#include "webhook/sign.h"

static const char secret[] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
static const struct sign_message message = {
    {"msg_p5jXN8AQM9LWM0D4loKWxJek", 28}, 1614265330, {"{\"test\": 2432232314}", 20}};

#define FIELDS                                                                                               \
    "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek\r\nwebhook-timestamp: 1614265330\r\nwebhook-signature: "
#define BY_SECRET "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
#define BY_PLAIN  "v1,tgOMx2V+ymftc5zrV4Kwy5UOWZAx1XMh0yu4Sm/6/r0="

static void check(struct slice now, struct slice before, const char *expected)
{
    char keys[2][64], text[SIGN_FIELDS_MAX];
    struct buf key, previous, out;
    buf_init_fixed(&key, keys[0], sizeof keys[0]);
    buf_init_fixed(&previous, keys[1], sizeof keys[1]);
    buf_init_fixed(&out, text, sizeof text);
    assert_int_equal(sign_key(now, &key), 0);
    if (before.len > 0)
        assert_int_equal(sign_key(before, &previous), 0);
    assert_int_equal(sign_fields(&message, buf_slice(&key), buf_slice(&previous), &out), 0);
    assert_int_equal(out.len, strlen(expected));
    assert_memory_equal(out.ptr, expected, out.len);
}

static void known_answers(void **state)
{
    (void)state;
    check(slice_from(secret), SLICE(""), FIELDS BY_SECRET "\r\n");
    check(SLICE("plain"), SLICE(""), FIELDS BY_PLAIN "\r\n");
    check(SLICE("plain"), slice_from(secret), FIELDS BY_PLAIN " " BY_SECRET "\r\n");
}

static void keys_that_are_none(void **state)
{
    static const char *const bad[] = {"", "whsec_", "whsec_!", "whsec_AAA", "whsec_AAAA\n"};
    char storage[64];
    struct buf out;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        buf_init_fixed(&out, storage, sizeof storage);
        assert_int_equal(sign_key(slice_from(bad[i]), &out), ERR_SYNTAX);
        assert_int_equal(out.len, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(keys_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
