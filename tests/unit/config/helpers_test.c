/* Units, suggestions, ${NAME}: the helpers that need no parser. */
#include "config/config_internal.h"
#include "fixture.h"

static void units_are_read(void **state)
{
    static const struct {
        const struct unit *units;
        const char *text;
        enum unit_result result;
        uint64_t value;
    } rows[] = {
        {units_duration, "250ms", UNIT_OK, 250},
        {units_duration, "3s", UNIT_OK, 3000},
        {units_duration, "15m", UNIT_OK, 900000},
        {units_duration, "1h", UNIT_OK, 3600000},
        {units_duration, "7d", UNIT_OK, 604800000},
        {units_duration, "0s", UNIT_OK, 0},
        {units_duration, "", UNIT_FORM, 0},
        {units_duration, "s", UNIT_FORM, 0},
        {units_duration, "3", UNIT_FORM, 0},
        {units_duration, "3 s", UNIT_FORM, 0},
        {units_duration, " 3s", UNIT_FORM, 0},
        {units_duration, "+3s", UNIT_FORM, 0},
        {units_duration, "-3s", UNIT_FORM, 0},
        {units_duration, "1.5s", UNIT_FORM, 0},
        {units_duration, "1h30m", UNIT_FORM, 0},
        {units_duration, "3S", UNIT_FORM, 0},
        {units_duration, "1w", UNIT_FORM, 0},
        {units_duration, "18446744073709551615ms", UNIT_OK, UINT64_MAX},
        {units_duration, "18446744073709551616ms", UNIT_RANGE, 0},
        {units_duration, "18446744073709552s", UNIT_RANGE, 0},
        {units_duration, "213503982335d", UNIT_RANGE, 0},
        {units_size, "64KiB", UNIT_OK, 65536},
        {units_size, "10MiB", UNIT_OK, 10485760},
        {units_size, "1GiB", UNIT_OK, 1073741824},
        {units_size, "2TiB", UNIT_OK, 2199023255552},
        {units_size, "512B", UNIT_OK, 512},
        {units_size, "512", UNIT_FORM, 0},
        {units_size, "64KB", UNIT_FORM, 0},
        {units_size, "64k", UNIT_FORM, 0},
        {units_size, "16777216TiB", UNIT_RANGE, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t value = 0;
        const struct unit *unit;
        const enum unit_result result = units_read(rows[i].units, slice_from(rows[i].text), &value, &unit);
        if (result != rows[i].result || (result == UNIT_OK && value != rows[i].value))
            fail_msg("%s: %d, %llu", rows[i].text, (int)result, (unsigned long long)value);
    }
}

static void units_are_written(void **state)
{
    static const struct {
        const struct unit *units;
        uint64_t value;
        const char *text;
    } rows[] = {
        {units_duration, 0, "0s"},
        {units_duration, 250, "250ms"},
        {units_duration, 75000, "75s"},
        {units_duration, 60000, "1m"},
        {units_duration, 86400000, "1d"},
        {units_duration, 1500, "1500ms"},
        {units_size, 0, "0B"},
        {units_size, 1023, "1023B"},
        {units_size, 1024, "1KiB"},
        {units_size, 1536ull << 20, "1536MiB"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char storage[64];
        struct buf out;
        buf_init_fixed(&out, storage, sizeof storage);
        units_write(rows[i].units, rows[i].value, &out);
        if (!slice_equal(buf_slice(&out), slice_from(rows[i].text)))
            fail_msg("%s: %.*s", rows[i].text, SLICE_ARG(buf_slice(&out)));
    }
}

/* Text -> requests a second -> text. */
static void rates_are_read_and_written(void **state)
{
    static const struct {
        const char *text;
        double rate;
        const char *written;
    } rows[] = {
        {"50/s", 50, "50/s"},
        {"600/m", 10, "10/s"},
        {"90/m", 1.5, "90/m"},
        {"1/h", 1.0 / 3600, "1/h"},
        {"7/m", 7.0 / 60, "7/m"},
        {"none", 0, "none"},
        {"100/h", 100.0 / 3600, "100/h"},
        {"1000000000/h", 1e9 / 3600, "1000000000/h"},
    };
    static const char *const bad[] = {"0/s",  "50",           "/s", "50/d", "1.5/s",
                                      "-1/s", "1000000001/s", "",   "50/",  "18446744073709551616/s",
                                      "50 /s"};
    double rate = -1;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char storage[64];
        struct buf out;
        buf_init_fixed(&out, storage, sizeof storage);
        assert_int_equal(units_read_rate(slice_from(rows[i].text), &rate), UNIT_OK);
        units_write_rate(rate, &out);
        if (rate != rows[i].rate || !slice_equal(buf_slice(&out), slice_from(rows[i].written)))
            fail_msg("%s: %.*s", rows[i].text, SLICE_ARG(buf_slice(&out)));
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        if (units_read_rate(slice_from(bad[i]), &rate) == UNIT_OK)
            fail_msg("%s is no rate", bad[i]);
}

static void distances(void **state)
{
    static const struct {
        const char *a, *b;
        size_t distance;
    } rows[] = {
        {"", "", 0},
        {"a", "", 1},
        {"ttl", "tll", 1},
        {"ttl", "TTL", 0},
        {"ab", "ba", 1},
        {"ca", "abc", 3},
        {"kitten", "sitting", 3},
        {"data", "dtaa", 1},
        {"workers", "wrokesr", 2},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (suggest_distance(slice_from(rows[i].a), slice_from(rows[i].b)) != rows[i].distance ||
            suggest_distance(slice_from(rows[i].b), slice_from(rows[i].a)) != rows[i].distance)
            fail_msg("%s %s", rows[i].a, rows[i].b);
    }
}

static void the_nearest_word_is_meant(void **state)
{
    static const char *const words[] = {"listen", "workers",       "data_dir", "log",
                                        "ttl",    "ttl_uncovered", "env"};
    static const struct {
        const char *word, *meant;
    } rows[] = {
        {"lisen", "listen"},
        {"Workers", "workers"},
        {"datadir", "data_dir"},
        {"data-dir", "data_dir"},
        {"logs", "log"},
        {"logging", "log"},
        {"tlt", "ttl"},
        {"ttluncovered", "ttl_uncovered"},
        {"dir", NULL},
        {"x", NULL},
        {"", NULL},
        {"value", NULL},
        {"ttl_uncoverde", "ttl_uncovered"},
        {"a-word-that-is-longer-than-any-key-in-the-whole-table-of-fields", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct suggestion s = {NULL, 0};
        for (size_t j = 0; j < COUNT(words); j++)
            suggest_offer(&s, slice_from(rows[i].word), words[j]);
        if (rows[i].meant ? !s.best || strcmp(s.best, rows[i].meant) != 0 : s.best != NULL)
            fail_msg("%s: %s", rows[i].word, s.best ? s.best : "nothing");
    }
}

static void variables_are_expanded_once(void **state)
{
    static const struct {
        const char *text;
        int error;
        const char *out;
    } rows[] = {
        {"", 0, ""},
        {"plain $ text $x {y}", 0, "plain $ text $x {y}"},
        {"${CONFIG_TEST_A}", 0, "one"},
        {"<${CONFIG_TEST_A}${CONFIG_TEST_A}>", 0, "<oneone>"},
        {"$${CONFIG_TEST_A}", 0, "${CONFIG_TEST_A}"},
        {"$$${CONFIG_TEST_A}", 0, "$${CONFIG_TEST_A}"},
        {"$$", 0, "$$"},
        {"${CONFIG_TEST_B}", 0, "${CONFIG_TEST_A}"},
        {"${CONFIG_TEST_EMPTY}", 0, ""},
        {"${CONFIG_TEST_NONE}", ERR_NOTFOUND, NULL},
        {"${", ERR_SYNTAX, NULL},
        {"${}", ERR_SYNTAX, NULL},
        {"${CONFIG_TEST_A", ERR_SYNTAX, NULL},
        {"${1A}", ERR_SYNTAX, NULL},
        {"${A-b}", ERR_SYNTAX, NULL},
        {"${CONFIG_TEST_A}${CONFIG_TEST_A}${CONFIG_TEST_A}${CONFIG_TEST_A}1234567890123456789012345678901",
         ERR_LIMIT, NULL},
    };
    (void)state;
    setenv("CONFIG_TEST_A", "one", 1);
    setenv("CONFIG_TEST_B", "${CONFIG_TEST_A}", 1);
    setenv("CONFIG_TEST_EMPTY", "", 1);
    unsetenv("CONFIG_TEST_NONE");
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct slice name = {NULL, 0};
        struct buf out;
        buf_init(&out, 40);
        const int error = environment_expand(slice_from(rows[i].text), &out, &name);
        if (error != rows[i].error || (!error && !slice_equal(buf_slice(&out), slice_from(rows[i].out))))
            fail_msg("%s: %d, %.*s", rows[i].text, error, SLICE_ARG(buf_slice(&out)));
        if (error == ERR_NOTFOUND)
            assert_true(slice_equal(name, SLICE("CONFIG_TEST_NONE")));
        buf_deinit(&out);
    }
}

static void what_is_escaped_is_read_back(void **state)
{
    static const char *const texts[] = {"", "a", "$", "${", "$${", "$$${A}$", "${A}${B}", "{$"};
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct slice name;
        struct buf escaped, out;
        buf_init(&escaped, 100);
        buf_init(&out, 100);
        assert_int_equal(environment_escape(slice_from(texts[i]), &escaped), 0);
        assert_int_equal(environment_expand(buf_slice(&escaped), &out, &name), 0);
        if (!slice_equal(buf_slice(&out), slice_from(texts[i])))
            fail_msg("%s: %.*s", texts[i], SLICE_ARG(buf_slice(&escaped)));
        buf_deinit(&escaped);
        buf_deinit(&out);
    }
}

/* An alphabet becomes a character class of the schema: a '-' elsewhere would be a range. */
static void check_table(const struct field *fields)
{
    for (const struct field *f = fields; f->key; f++) {
        const char *hyphen = f->alphabet ? strchr(f->alphabet, '-') : NULL;
        if (hyphen && hyphen[1])
            fail_msg("%s: %s", f->key, f->alphabet);
        if (f->alphabet && strpbrk(f->alphabet, "\\]^"))
            fail_msg("%s: %s", f->key, f->alphabet);
        if (!f->sentence || f->max < f->min)
            fail_msg("%s: no sentence, or bounds in the wrong order", f->key);
        if (f->fields)
            check_table(f->fields);
    }
}

static void the_table_is_sound(void **state)
{
    (void)state;
    check_table(config_table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_sound),
        cmocka_unit_test(units_are_read),
        cmocka_unit_test(units_are_written),
        cmocka_unit_test(rates_are_read_and_written),
        cmocka_unit_test(distances),
        cmocka_unit_test(the_nearest_word_is_meant),
        cmocka_unit_test(variables_are_expanded_once),
        cmocka_unit_test(what_is_escaped_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
