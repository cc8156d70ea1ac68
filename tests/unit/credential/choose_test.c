/* The choice of contract 3, as tables. */
#include "unit/credential/fixture.h"

static void app_keys_are_compared_in_all_spellings(void **state)
{
    const struct {
        const char *a, *b;
        bool equal;
    } rows[] = {
        {"followupboss", "followupboss", true},
        {"follow-up-boss", "followupboss", true},
        {"Follow_Up.Boss", "follow up boss", true},
        {"-followupboss-", "followupboss", true},
        {"FOLLOWUPBOSS", "followupboss", true},
        {"followupboss", "followupbos", false},
        {"followupbos", "followupboss", false},
        {"lofty", "loft-z", false},
        {"kvcore2", "kvcore", false},
        {"", "followupboss", false},
        {"", "", false},
        {"--", "", false},
        {"-", "_", false},
        {"a+b", "ab", false},
        {"\xC3\xA9", "\xC3\x89", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        if (credential_app_key_equal(slice_from(rows[i].a), slice_from(rows[i].b)) != rows[i].equal)
            fail_msg("\"%s\" \"%s\"", rows[i].a, rows[i].b);
    /* a NUL inside is a byte like others, not an end */
    assert_false(credential_app_key_equal(SLICE("ab\0c"), SLICE("ab\0d")));
    assert_false(credential_app_key_equal(SLICE("ab\0c"), SLICE("ab")));
}

/* "id app_key apis flags", flags d (default) and g (gone), "-" for none and for an empty list. */
static void read_item(struct credential *item, const char *text)
{
    struct slice rest = slice_from(text), word, api;
    *item = (struct credential){.status = CREDENTIAL_ACTIVE};
    slice_cut(rest, ' ', &item->id, &rest);
    slice_cut(rest, ' ', &item->app_key, &rest);
    slice_cut(rest, ' ', &word, &rest);
    while (word.len && !slice_equal(word, SLICE("-"))) {
        slice_cut(word, ',', &api, &word);
        item->apis[item->api_count++] = api;
    }
    item->is_default = slice_find(rest, 'd') < rest.len;
    item->status = slice_find(rest, 'g') < rest.len ? CREDENTIAL_GONE : CREDENTIAL_ACTIVE;
}

static void the_choice_follows_the_contract(void **state)
{
    enum {
        CHOSEN = CREDENTIAL_CHOSEN,
        NONE = CREDENTIAL_NONE,
        AMBIGUOUS = CREDENTIAL_AMBIGUOUS,
        FOREIGN = CREDENTIAL_FOREIGN
    };
    const char *const fub = "fub followupboss crm -", *const lofty = "lof lofty crm -",
                      *const fub_default = "fub follow-up-boss crm d", *const every = "all everything - -",
                      *const tms = "tms skyslope tms -", *const gone = "old lofty crm g",
                      *const gone_default = "old lofty crm dg", *const every_default = "all everything - d";
    const struct {
        const char *items[4];
        const char *api, *app_key, *id;
        int outcome;
        size_t index;
    } rows[] = {
        {{NULL}, "crm", "", "", NONE, 0},
        {{NULL}, "crm", "lofty", "", NONE, 0},
        {{NULL}, "crm", "", "fub", FOREIGN, 0},
        {{fub}, "crm", "", "", CHOSEN, 0},
        {{fub}, "tms", "", "", NONE, 0},
        {{fub}, "CRM", "", "", NONE, 0},
        {{fub, tms}, "tms", "", "", CHOSEN, 1},
        {{fub, lofty}, "crm", "", "", AMBIGUOUS, 0},
        {{fub_default, lofty}, "crm", "", "", CHOSEN, 0},
        {{lofty, fub_default}, "crm", "", "", CHOSEN, 1},
        {{fub, lofty}, "crm", "LOFTY", "", CHOSEN, 1},
        {{fub_default, lofty}, "crm", "lofty", "", CHOSEN, 1},
        {{fub, lofty}, "crm", "Follow-Up-Boss", "", CHOSEN, 0},
        {{fub_default, lofty}, "crm", "kvcore", "", NONE, 0},
        {{fub, lofty}, "crm", "", "lof", CHOSEN, 1},
        {{fub_default, lofty}, "crm", "", "lof", CHOSEN, 1},
        {{fub, lofty}, "crm", "", "LOF", FOREIGN, 0},
        {{fub, lofty}, "crm", "", "lo", FOREIGN, 0},
        {{fub, tms}, "crm", "", "tms", NONE, 0},
        {{fub, lofty}, "crm", "lofty", "fub", NONE, 0},
        {{fub, lofty}, "crm", "lofty", "lof", CHOSEN, 1},
        {{fub, lofty}, "crm", "lofty", "other", FOREIGN, 0},
        {{every}, "any-api", "", "", CHOSEN, 0},
        {{every, fub}, "crm", "", "", AMBIGUOUS, 0},
        {{every, fub}, "los", "", "", CHOSEN, 0},
        {{every, fub_default}, "crm", "", "", CHOSEN, 1},
        {{gone}, "crm", "", "", NONE, 0},
        {{gone}, "crm", "", "old", NONE, 0},
        {{gone}, "crm", "lofty", "", NONE, 0},
        {{gone, fub}, "crm", "", "", CHOSEN, 1},
        {{gone_default, fub, lofty}, "crm", "", "", AMBIGUOUS, 0},
        /* Two defaults can't be stored for one api; if they were, nobody guesses. */
        {{fub_default, every_default}, "crm", "", "", AMBIGUOUS, 0},
        {{fub_default, every_default}, "tms", "", "", CHOSEN, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        static struct credential_set set;
        size_t index = 99;
        for (set.count = 0; set.count < 4 && rows[i].items[set.count]; set.count++)
            read_item(&set.items[set.count], rows[i].items[set.count]);
        struct credential_selector selector = {slice_from(rows[i].api), slice_from(rows[i].app_key),
                                               slice_from(rows[i].id)};
        int outcome = (int)credential_choose(&set, &selector, &index);
        if (outcome != rows[i].outcome || (outcome == CHOSEN && index != rows[i].index))
            fail_msg("row %zu: outcome %d, index %zu", i, outcome, index);
    }
}

static void a_status_has_a_word(void **state)
{
    (void)state;
    assert_string_equal(credential_status_text(CREDENTIAL_ACTIVE), "active");
    assert_string_equal(credential_status_text(CREDENTIAL_GONE), "gone");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(app_keys_are_compared_in_all_spellings),
        cmocka_unit_test(the_choice_follows_the_contract),
        cmocka_unit_test(a_status_has_a_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
