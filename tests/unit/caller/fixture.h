/* A store with the room's tables in a fresh directory, not the first ones of it. */
#ifndef UNIT_CALLER_FIXTURE_H
#define UNIT_CALLER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "caller/caller.h"

enum { FIRST_TABLE = 1 };

struct rig {
    char root[64];
    struct store *store;
    struct store_view *view;
    struct caller_desk *desks[2]; /* as of two workers */
    struct caller_change change;  /* the latest */
};

static inline void rig_open(struct rig *rig)
{
    static const char *const tables[] = {"others", CALLER_TABLES, NULL};
    struct store_options options = {.path = rig->root, .tables = tables, .map_size = (size_t)64 << 20};
    struct fault fault = {""};
    if (store_open(&rig->store, &options, &fault))
        fail_msg("%s", fault.text);
    rig->view = store_view_create(rig->store);
    assert_non_null(rig->view);
    for (int i = 0; i < 2; i++)
        assert_non_null(rig->desks[i] = caller_desk_create(rig->store, FIRST_TABLE));
}

static inline void rig_close(struct rig *rig)
{
    caller_desk_destroy(rig->desks[0]);
    caller_desk_destroy(rig->desks[1]);
    store_view_destroy(rig->view);
    store_close(rig->store);
}

static inline int rig_set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);
    snprintf(rig->root, sizeof rig->root, "/tmp/caller-test-XXXXXX");
    assert_non_null(mkdtemp(rig->root));
    rig_open(rig);
    *state = rig;
    return 0;
}

static inline int rig_tear_down(void **state)
{
    struct rig *rig = *state;
    char name[128];
    rig_close(rig);
    snprintf(name, sizeof name, "%s/data.mdb", rig->root);
    unlink(name);
    snprintf(name, sizeof name, "%s/lock.mdb", rig->root);
    unlink(name);
    assert_int_equal(rmdir(rig->root), 0);
    free(rig);
    return 0;
}

/* "a,b" as words; NULL: none. */
static inline struct caller_words words_of(const char *text)
{
    struct caller_words words = {0};
    struct slice rest = slice_from(text), one;
    for (bool more = text != NULL; more; words.count++) {
        more = slice_cut(rest, ',', &one, &rest);
        if (words.count < CALLER_WORDS_MAX)
            words.at[words.count] = one;
    }
    return words;
}

static inline struct caller_spec spec_of(const char *name, const char *tenants, const char *apis,
                                         const char *methods)
{
    return (struct caller_spec){.name = slice_from(name),
                                .tenants = words_of(tenants),
                                .apis = words_of(apis),
                                .methods = words_of(methods)};
}

static inline int rig_create(struct rig *rig, const struct caller_spec *spec, int64_t now_ms)
{
    struct fault fault = {""};
    int rc = caller_change_create(&rig->change, FIRST_TABLE, spec, now_ms, &fault);
    return rc ? rc : store_apply(rig->store, &rig->change.change);
}

static inline int rig_revoke(struct rig *rig, struct slice id, int64_t now_ms)
{
    int rc = caller_change_revoke(&rig->change, FIRST_TABLE, id, now_ms);
    return rc ? rc : store_apply(rig->store, &rig->change.change);
}

/* A key of that name for everything, with `peers`; its text and id. */
struct made {
    char key[CALLER_KEY_LEN], id[CALLER_ID_LEN];
};

static inline struct made rig_make(struct rig *rig, const char *name, const char *peers)
{
    struct caller_spec spec = spec_of(name, NULL, NULL, NULL);
    struct made made;
    spec.peers = words_of(peers);
    assert_int_equal(rig_create(rig, &spec, 1000), 0);
    memcpy(made.key, rig->change.key, sizeof made.key);
    memcpy(made.id, rig->change.result.id, sizeof made.id);
    return made;
}

static inline struct slice key_of(const struct made *made)
{
    return slice_of(made->key, sizeof made->key);
}

static inline struct slice id_of(const struct made *made)
{
    return slice_of(made->id, sizeof made->id);
}

#endif
