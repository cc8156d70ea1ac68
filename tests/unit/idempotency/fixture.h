/* A store with the room's tables in a fresh directory, not the first ones of it. */
#ifndef UNIT_IDEMPOTENCY_FIXTURE_H
#define UNIT_IDEMPOTENCY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "idempotency/idempotency.h"

enum { FIRST_TABLE = 1 };
static const int64_t START = 1700000000000, DAY = IDEMPOTENCY_KEEP_MS;

struct rig {
    char root[64];
    size_t map_size;
    struct store *store;
    struct store_view *view;
    struct idempotency_owner self;
    struct idempotency_bounds bounds;
    int64_t now_ms;
    struct idempotency_found found; /* the latest; slices live while the view is open */
};

static inline void rig_open(struct rig *rig)
{
    static const char *const tables[] = {"others", IDEMPOTENCY_TABLES, NULL};
    struct store_options options = {.path = rig->root, .tables = tables, .map_size = rig->map_size};
    struct fault fault = {""};
    if (store_open(&rig->store, &options, &fault))
        fail_msg("%s", fault.text);
    assert_non_null(rig->view = store_view_create(rig->store));
    assert_int_equal(store_view_begin(rig->view), 0);
}

static inline void rig_close(struct rig *rig)
{
    store_view_end(rig->view);
    store_view_destroy(rig->view);
    store_close(rig->store);
}

/* As after a crash and a restart: another process. */
static inline void rig_reopen(struct rig *rig)
{
    rig_close(rig);
    rig_open(rig);
    rig->self.started++;
}

static inline struct rig *rig_create(size_t map_size)
{
    struct rig *rig = calloc(1, sizeof *rig);
    snprintf(rig->root, sizeof rig->root, "/tmp/idempotency-test-XXXXXX");
    assert_non_null(mkdtemp(rig->root));
    rig->map_size = map_size;
    rig->self = idempotency_self();
    rig->self.started += 1000; /* what it begins is of a process that is dead to all others */
    rig->bounds = IDEMPOTENCY_BOUNDS;
    rig->now_ms = START;
    rig_open(rig);
    return rig;
}

static inline int rig_set_up(void **state)
{
    *state = rig_create((size_t)256 << 20);
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

static inline struct idempotency_change change_of(struct rig *rig, const char *key, const char *request)
{
    struct idempotency_change c = {.change = {.apply = idempotency_apply}, .bounds = rig->bounds};
    struct slice part = slice_from(key);
    c.use.first_table = FIRST_TABLE;
    c.use.self = rig->self;
    assert_int_equal(idempotency_hash(c.use.id, &part, 1), 0);
    part = slice_from(request);
    assert_int_equal(idempotency_hash(c.use.digest, &part, 1), 0);
    return c;
}

static inline int rig_apply(struct rig *rig, struct idempotency_change *c, enum idempotency_verb verb)
{
    c->verb = verb;
    c->now_ms = rig->now_ms;
    c->bounds = rig->bounds;
    return store_apply(rig->store, &c->change);
}

/* The request "r" under that key. */
static inline struct idempotency_change rig_begin(struct rig *rig, const char *key)
{
    struct idempotency_change c = change_of(rig, key, "r");
    assert_int_equal(rig_apply(rig, &c, IDEMPOTENCY_BEGIN), 0);
    return c;
}

static inline int rig_answer(struct rig *rig, struct idempotency_change *c, const char *fields,
                             struct slice body)
{
    c->answer = (struct idempotency_answer){.status = 201,
                                            .whole = true,
                                            .fields = slice_from(fields),
                                            .body = body,
                                            .splice_at = 1,
                                            .splice_len = 0};
    if (body.len == 0)
        c->answer.splice_at = 0;
    return rig_apply(rig, c, IDEMPOTENCY_ANSWER);
}

static inline enum idempotency_state rig_find_request(struct rig *rig, const char *key, const char *request)
{
    struct idempotency_change c = change_of(rig, key, request);
    store_view_end(rig->view);
    assert_int_equal(store_view_begin(rig->view), 0);
    assert_int_equal(idempotency_find(rig->view, &c.use, rig->now_ms, &rig->found), 0);
    return rig->found.state;
}

static inline enum idempotency_state rig_find(struct rig *rig, const char *key)
{
    return rig_find_request(rig, key, "r");
}

struct tally {
    size_t keys, bytes;
};

static inline bool on_key(struct slice key, struct slice value, void *arg)
{
    struct tally *tally = arg;
    tally->keys++;
    tally->bytes += key.len + value.len;
    return true;
}

/* Keys in both tables, the one of the totals included. */
static inline struct tally rig_tally(struct rig *rig)
{
    struct tally tally = {0, 0};
    size_t damaged = 0;
    store_view_end(rig->view);
    assert_int_equal(store_view_begin(rig->view), 0);
    for (int table = 0; table < IDEMPOTENCY_TABLE_COUNT; table++)
        assert_int_equal(store_scan(rig->view, FIRST_TABLE + table, SLICE(""), on_key, &tally, &damaged), 0);
    assert_int_equal(damaged, 0);
    return tally;
}

#endif
