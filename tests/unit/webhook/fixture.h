/* A store in a fresh directory with the room's tables, an outbox over it, and an audience made of a few
 * words. */
#ifndef UNIT_WEBHOOK_FIXTURE_H
#define UNIT_WEBHOOK_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/list.h"
#include "webhook/outbox.h"

struct fixture {
    char path[64];
    struct store *store;
    struct store_view *view;
    struct outbox *outbox;
};

static inline void fixture_open(struct fixture *f)
{
    static const char *const tables[] = {OUTBOX_TABLES, NULL};
    struct fault fault = {""};
    struct store_options options = {.path = f->path, .tables = tables, .map_size = (size_t)64 << 20};
    if (store_open(&f->store, &options, &fault))
        fail_msg("%s", fault.text);
    f->view = store_view_create(f->store);
    f->outbox = outbox_create(f->store, 0);
    assert_true(f->view && f->outbox);
}

static inline void fixture_close(struct fixture *f)
{
    store_view_destroy(f->view);
    store_close(f->store);
    outbox_destroy(f->outbox);
}

static inline void fixture_make(struct fixture *f)
{
    snprintf(f->path, sizeof f->path, "/tmp/webhook-test-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    fixture_open(f);
}

static inline void fixture_remove(struct fixture *f)
{
    char name[96];
    fixture_close(f);
    snprintf(name, sizeof name, "%s/data.mdb", f->path);
    unlink(name);
    snprintf(name, sizeof name, "%s/lock.mdb", f->path);
    unlink(name);
    assert_int_equal(rmdir(f->path), 0);
}

/* One who wants the events of one pattern, of every tenant. */
static inline struct audience_entry entry_of(const char *name, const char *url, const struct slice *events)
{
    return (struct audience_entry){.name = slice_from(name),
                                   .url = slice_from(url),
                                   .events = events,
                                   .event_count = events ? 1 : 0,
                                   .secret = SLICE("secret")};
}

static inline struct audience *audience_of(const struct audience_entry *entries, size_t count)
{
    struct audience *audience;
    struct fault fault = {""};
    if (audience_create(entries, count, &audience, &fault))
        fail_msg("%s", fault.text);
    return audience;
}

/* One letter put in a transaction of its own. */
struct posting {
    struct store_change change;
    struct outbox *outbox;
    struct letter letter;
    uint64_t number;
};

static inline int apply_posting(struct store_change *change, struct store_txn *txn)
{
    struct posting *posting = container_of(change, struct posting, change);
    return outbox_put(posting->outbox, txn, &posting->letter, &posting->number);
}

static inline int post(struct fixture *f, const struct letter *letter, uint64_t *number)
{
    struct posting posting = {.change = {.apply = apply_posting}, .outbox = f->outbox, .letter = *letter};
    int error = store_apply(f->store, &posting.change);
    if (number)
        *number = posting.number;
    return error;
}

#endif
