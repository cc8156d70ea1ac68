/* What clients write, and what is told apart: tables. */
#include "base/random.h"
#include "unit/idempotency/fixture.h"

static char long_key[2 * IDEMPOTENCY_KEY_MAX];

static const char *repeated(char c, size_t n, bool quoted)
{
    memset(long_key, c, n + 2);
    if (quoted)
        long_key[0] = long_key[n + 1] = '"';
    long_key[quoted ? n + 2 : n] = '\0';
    return long_key;
}

static int read_values(const char *const *values, size_t count, struct buf *key)
{
    struct http_field at[3];
    struct http_fields fields = {at, count};
    for (size_t i = 0; i < count; i++)
        at[i] = (struct http_field){SLICE("Idempotency-Key"), slice_from(values[i]), FIELD_IDEMPOTENCY_KEY};
    return idempotency_read(&fields, key);
}

static void check(const char *value, const char *expected)
{
    char storage[IDEMPOTENCY_KEY_MAX + 1];
    struct buf key;
    buf_init_fixed(&key, storage, sizeof storage);
    int rc = read_values(&value, 1, &key);
    if (rc != (expected ? 0 : ERR_SYNTAX))
        fail_msg("%s: %d", value, rc);
    if (expected && !slice_equal(buf_slice(&key), slice_from(expected)))
        fail_msg("%s is read as %.*s", value, SLICE_ARG(buf_slice(&key)));
}

static void keys_are_strings_or_bare(void **state)
{
    (void)state;
    static const struct {
        const char *value, *key;
    } rows[] = {
        {"a", "a"},
        {"\"a\"", "a"},
        {"5f0c6d0e-9e2b-4b3a-8f5e-0a4a3c0c8a11", "5f0c6d0e-9e2b-4b3a-8f5e-0a4a3c0c8a11"},
        {"order:1/2=3+4~5!#$%&'()*<>?@[]^_`{|}", "order:1/2=3+4~5!#$%&'()*<>?@[]^_`{|}"},
        {"\"a,b;c=d\"", "a,b;c=d"},
        {"\"a\\\"b\\\\c\"", "a\"b\\c"},
        {"\"\\\\\"", "\\"},
        {"", NULL},
        {"\"", NULL},
        {"\"\"", NULL},
        {"\"a", NULL},
        {"a\"", NULL},
        {"\"a\"b", NULL},
        {"\"a\"\"b\"", NULL},
        {"\"a\";x=1", NULL},
        {"\"a\\\"", NULL},
        {"\"\\", NULL},
        {"\"\\x\"", NULL},
        {"a b", NULL},
        {"\"a b\"", NULL},
        {"a\tb", NULL},
        {"a,b", NULL},
        {"a;b", NULL},
        {"a\\b", NULL},
        {"\xc3\xa9", NULL},
        {"\"\xc3\xa9\"", NULL},
        {"\x7f", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check(rows[i].value, rows[i].key);
}

static void keys_have_a_length(void **state)
{
    (void)state;
    char whole[IDEMPOTENCY_KEY_MAX + 1];
    memset(whole, 'x', IDEMPOTENCY_KEY_MAX);
    whole[IDEMPOTENCY_KEY_MAX] = '\0';
    check(repeated('x', IDEMPOTENCY_KEY_MAX, false), whole);
    check(repeated('x', IDEMPOTENCY_KEY_MAX, true), whole);
    check(repeated('x', IDEMPOTENCY_KEY_MAX + 1, false), NULL);
    check(repeated('x', IDEMPOTENCY_KEY_MAX + 1, true), NULL);
    check(repeated('x', IDEMPOTENCY_KEY_MAX + 100, true), NULL);
}

static void one_key_alone(void **state)
{
    (void)state;
    char storage[IDEMPOTENCY_KEY_MAX + 1];
    struct buf key;
    buf_init_fixed(&key, storage, sizeof storage);
    assert_int_equal(read_values((const char *const[]){"a", "a"}, 2, &key), ERR_SYNTAX);
    assert_int_equal(read_values(NULL, 0, &key), ERR_SYNTAX);
}

static void hashes_tell_parts_apart(void **state)
{
    (void)state;
    static const char *const rows[][3] = {{"ab", "c", ""}, {"a", "bc", ""}, {"", "abc", ""},
                                          {"abc", "", ""}, {"ab", "", "c"}, {"AB", "c", ""}};
    char hashes[6][IDEMPOTENCY_HASH], again[IDEMPOTENCY_HASH];
    for (size_t i = 0; i < 6; i++) {
        struct slice parts[] = {slice_from(rows[i][0]), slice_from(rows[i][1]), slice_from(rows[i][2])};
        assert_int_equal(idempotency_hash(hashes[i], parts, 3), 0);
        assert_int_equal(idempotency_hash(again, parts, 3), 0);
        assert_memory_equal(hashes[i], again, sizeof again);
        assert_int_equal(idempotency_hash(again, parts, 2), 0);
        assert_memory_not_equal(hashes[i], again, sizeof again);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(hashes[i], hashes[k], sizeof again);
    }
    struct slice nothing = {NULL, 0};
    assert_int_equal(idempotency_hash(again, &nothing, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_strings_or_bare),
        cmocka_unit_test(keys_have_a_length),
        cmocka_unit_test(one_key_alone),
        cmocka_unit_test(hashes_tell_parts_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
