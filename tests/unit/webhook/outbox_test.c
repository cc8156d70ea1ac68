/* The outbox: numbers, rows, bounds, large letters, what is wanted by whom, restarts. */
#include "unit/webhook/fixture.h"

#include "base/clock.h"
#include "event/event.h"

static const struct outbox_bounds bounds = {
    .keep_ms = 1000 * 1000, .count_max = 5, .dead_max = 3, .streams_max = 2};

static struct letter letter_of(const char *name, const char *tenant, struct slice body)
{
    return (struct letter){.at_ms = clock_wall_ms(),
                           .id = SLICE("evt_1"),
                           .name = slice_from(name),
                           .tenant = slice_from(tenant),
                           .credential_id = SLICE("cred-1"),
                           .app_key = SLICE("lofty"),
                           .body = body};
}

static bool count_row(struct slice key, struct slice value, void *arg)
{
    struct outbox_row row;
    size_t *count = arg;
    (void)value;
    if (outbox_row_read(key, &row))
        ++*count;
    return true;
}

static size_t count_rows(struct fixture *f)
{
    size_t count = 0;
    assert_int_equal(store_view_begin(f->view), 0);
    assert_int_equal(store_scan(f->view, OUTBOX_ROWS, SLICE(""), count_row, &count, NULL), 0);
    store_view_end(f->view);
    return count;
}

static void check_window(struct fixture *f, uint64_t first, uint64_t last)
{
    struct outbox_window window;
    assert_int_equal(store_view_begin(f->view), 0);
    assert_int_equal(outbox_window(f->outbox, f->view, &window), 0);
    store_view_end(f->view);
    assert_int_equal(window.first, first);
    assert_int_equal(window.last, last);
}

static bool count_record(struct slice key, struct slice value, void *arg)
{
    (void)key;
    (void)value;
    ++*(size_t *)arg;
    return true;
}

static size_t count_parts(struct fixture *f)
{
    size_t count = 0;
    assert_int_equal(store_view_begin(f->view), 0);
    assert_int_equal(store_scan(f->view, OUTBOX_LETTERS, SLICE(""), count_record, &count, NULL), 0);
    store_view_end(f->view);
    return count;
}

/* The letter is whole: as it was put. */
static void check_letter(struct fixture *f, uint64_t number, const struct letter *expected)
{
    struct letter_place place = outbox_letters(f->outbox, f->view);
    struct letter got;
    struct buf spill;
    buf_init(&spill, 8 * 1024 * 1024);
    assert_int_equal(store_view_begin(f->view), 0);
    assert_int_equal(letter_read(&place, number, &spill, &got), 0);
    assert_int_equal(got.number, number);
    assert_int_equal(got.at_ms, expected->at_ms);
    assert_true(slice_equal(got.id, expected->id) && slice_equal(got.name, expected->name));
    assert_true(slice_equal(got.tenant, expected->tenant) && slice_equal(got.app_key, expected->app_key));
    assert_true(slice_equal(got.credential_id, expected->credential_id));
    assert_true(slice_equal(got.body, expected->body));
    store_view_end(f->view);
    buf_deinit(&spill);
}

static void numbers_grow_and_the_window_is_bounded(void **state)
{
    struct fixture f;
    struct letter letter = letter_of("peopleUpdated", "acme", SLICE("{}"));
    uint64_t first, number = 0;
    (void)state;
    fixture_make(&f);
    outbox_configure(f.outbox, NULL, &bounds);
    assert_int_equal(post(&f, &letter, &first), 0);
    assert_true(first > (uint64_t)1000 * 1000 * 1000 * 1000);
    for (uint64_t i = 1; i < 20; i++) {
        assert_int_equal(post(&f, &letter, &number), 0);
        assert_int_equal(number, first + i);
    }
    check_window(&f, first + 15, first + 19);
    fixture_close(&f);
    fixture_open(&f);
    outbox_configure(f.outbox, NULL, &bounds);
    letter.at_ms = clock_wall_ms() - 2000 * 1000; /* too old already: it goes with the next */
    assert_int_equal(post(&f, &letter, &number), 0);
    assert_int_equal(number, first + 20);
    check_window(&f, first + 16, first + 20);
    fixture_remove(&f);
}

static void what_is_too_old_goes(void **state)
{
    struct fixture f;
    struct letter old = letter_of("peopleUpdated", "acme", SLICE("{}")), fresh = old;
    uint64_t number;
    (void)state;
    fixture_make(&f);
    outbox_configure(f.outbox, NULL, &(struct outbox_bounds){.keep_ms = 1000, .count_max = 1000});
    old.at_ms -= 10 * 1000;
    fresh.at_ms += 100 * 1000;
    for (int i = 0; i < 3; i++)
        assert_int_equal(post(&f, &old, NULL), 0);
    assert_int_equal(post(&f, &fresh, &number), 0);
    check_window(&f, number, number);
    fixture_remove(&f);
}

static void letters_larger_than_a_record(void **state)
{
    static const size_t sizes[] = {0, LETTER_PART - 1, LETTER_PART, LETTER_PART + 1, 3 * 1024 * 1024};
    struct fixture f;
    uint64_t number;
    (void)state;
    fixture_make(&f);
    outbox_configure(f.outbox, NULL, &(struct outbox_bounds){.keep_ms = 1000 * 1000, .count_max = 1});
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *body = malloc(sizes[i] + 1);
        assert_non_null(body);
        for (size_t at = 0; at < sizes[i]; at++)
            body[at] = (char)('a' + at * 31 % 26);
        struct letter letter = letter_of("peopleUpdated", "acme", slice_of(body, sizes[i]));
        assert_int_equal(post(&f, &letter, &number), 0);
        check_letter(&f, number, &letter);
        check_window(&f, number, number);
        assert_int_equal(count_parts(&f),
                         sizes[i] / LETTER_PART + 1 - (sizes[i] > 0 && sizes[i] % LETTER_PART == 0));
        free(body);
    }
    fixture_remove(&f);
}

static void who_wants_what(void **state)
{
    static const struct slice people[] = {{"People*", 7}}, exact[] = {{"notes-created", 13}};
    static const struct slice tenants[] = {{"ac*", 3}};
    static const struct {
        const char *event, *tenant;
        size_t wanted;
    } rows[] = {
        {"peopleUpdated", "acme", 3}, {"peopleUpdated", "globex", 2}, {"notesCreated", "globex", 2},
        {"notesCreated", "acme", 3},  {"notesUpdated", "globex", 1},  {"notesUpdated", "acme", 2},
    };
    struct audience_entry entries[] = {
        entry_of("all", "http://127.0.0.1/", NULL), entry_of("people", "http://127.0.0.1/", people),
        entry_of("notes", "http://127.0.0.1/", exact), entry_of("acme", "http://127.0.0.1/", NULL)};
    struct fixture f;
    (void)state;
    entries[3].tenants = tenants;
    entries[3].tenant_count = 1;
    fixture_make(&f);
    struct audience *audience = audience_of(entries, 4);
    outbox_configure(f.outbox, audience, &bounds);
    audience_release(audience);
    size_t sum = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct letter letter = letter_of(rows[i].event, rows[i].tenant, SLICE("{}"));
        assert_int_equal(post(&f, &letter, NULL), 0);
        assert_int_equal(count_rows(&f), sum += rows[i].wanted);
    }
    struct letter letter = letter_of("peopleUpdated", "acme", SLICE("{}"));
    letter.only = SLICE("notes");
    assert_int_equal(post(&f, &letter, NULL), 0);
    assert_int_equal(count_rows(&f), sum + 1);
    letter.only = SLICE("nobody");
    assert_int_equal(post(&f, &letter, NULL), ERR_NOTFOUND);
    assert_int_equal(count_rows(&f), sum + 1);
    fixture_remove(&f);
}

static void entries_that_cannot_be(void **state)
{
    struct audience *audience;
    struct fault fault = {""};
    struct audience_entry good = entry_of("a", "http://127.0.0.1/", NULL), bad = good;
    (void)state;
    bad.previous_secret = SLICE("whsec_?");
    assert_int_equal(audience_create((struct audience_entry[]){good, bad}, 2, &audience, &fault),
                     ERR_INVALID);
    assert_string_equal(fault.text, "[1].previous_secret: what stands behind \"whsec_\" has to be base64");
    assert_null(audience);
}

static void ids_depend_on_credential_and_event_alone(void **state)
{
    static const struct {
        struct slice credential, event;
    } rows[] = {{{"a", 1}, {"bc", 2}}, {{"ab", 2}, {"c", 1}}, {{"a", 1}, {"bd", 2}}};
    char texts[3][LETTER_ID_MAX];
    struct buf out[3];
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        buf_init_fixed(&out[i], texts[i], sizeof texts[i]);
        assert_int_equal(letter_id(rows[i].credential, rows[i].event, &out[i]), 0);
        assert_int_equal(out[i].len, 36);
        for (size_t j = 0; j < i; j++)
            assert_false(slice_equal(buf_slice(&out[i]), buf_slice(&out[j])));
    }
    /* The same for ever: consumers remember it. */
    assert_true(slice_equal(buf_slice(&out[0]), SLICE("evt_e763d38363f0ba20a3a20658337f9d9b")));
}

static void streams_are_counted(void **state)
{
    struct fixture f;
    (void)state;
    fixture_make(&f);
    outbox_configure(f.outbox, NULL, &bounds);
    assert_true(outbox_stream_open(f.outbox) && outbox_stream_open(f.outbox));
    assert_false(outbox_stream_open(f.outbox));
    outbox_stream_close(f.outbox);
    assert_true(outbox_stream_open(f.outbox));
    assert_int_equal(outbox_streams(f.outbox), 2);
    fixture_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_grow_and_the_window_is_bounded),
        cmocka_unit_test(what_is_too_old_goes),
        cmocka_unit_test(letters_larger_than_a_record),
        cmocka_unit_test(who_wants_what),
        cmocka_unit_test(entries_that_cannot_be),
        cmocka_unit_test(ids_depend_on_credential_and_event_alone),
        cmocka_unit_test(streams_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
