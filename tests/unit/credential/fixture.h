/* A store with the room's tables in a fresh directory. */
#ifndef UNIT_CREDENTIAL_FIXTURE_H
#define UNIT_CREDENTIAL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "credential/credential.h"

struct desk {
    char root[64];
    struct store *store;
    struct store_view *view;
    struct credential_change change; /* the latest */
};

static inline void desk_open(struct desk *desk)
{
    static const char *const tables[] = {CREDENTIAL_TABLES, NULL};
    struct store_options options = {.path = desk->root, .tables = tables, .map_size = (size_t)64 << 20};
    struct fault fault = {""};
    if (store_open(&desk->store, &options, &fault))
        fail_msg("%s", fault.text);
    desk->view = store_view_create(desk->store);
    assert_non_null(desk->view);
}

static inline void desk_close(struct desk *desk)
{
    store_view_destroy(desk->view);
    store_close(desk->store);
}

static inline int desk_set_up(void **state)
{
    struct desk *desk = calloc(1, sizeof(*desk));
    snprintf(desk->root, sizeof(desk->root), "/tmp/credential-test-XXXXXX");
    assert_non_null(mkdtemp(desk->root));
    desk_open(desk);
    *state = desk;
    return 0;
}

static inline int desk_tear_down(void **state)
{
    struct desk *desk = *state;
    char name[128];
    desk_close(desk);
    snprintf(name, sizeof(name), "%s/data.mdb", desk->root);
    unlink(name);
    snprintf(name, sizeof(name), "%s/lock.mdb", desk->root);
    unlink(name);
    assert_int_equal(rmdir(desk->root), 0);
    free(desk);
    return 0;
}

/* Splits "crm,tms" into the patch; NULL: not given, "": every api. */
static inline void patch_apis(struct credential_patch *patch, const char *apis)
{
    struct slice rest = slice_from(apis), head;
    patch->has_apis = apis != NULL;
    while (rest.len) {
        slice_cut(rest, ',', &head, &rest);
        patch->apis[patch->api_count++] = head;
    }
}

/* PUT with the three usual fields; flag 1 and 0: default true and false, -1: not given. */
static inline int desk_put(struct desk *desk, const char *tenant, const char *id, const char *apis, int flag)
{
    struct credential_patch patch = {.has_default = flag >= 0, .is_default = flag == 1};
    struct fault fault = {""};
    patch_apis(&patch, apis);
    int rc = credential_change_put(&desk->change, slice_from(tenant), slice_from(id), &patch, 1000, &fault);
    return rc ? rc : store_apply(desk->store, &desk->change.change);
}

static inline int desk_delete(struct desk *desk, const char *tenant, const char *id)
{
    int rc = credential_change_delete(&desk->change, slice_from(tenant), slice_from(id));
    return rc ? rc : store_apply(desk->store, &desk->change.change);
}

static inline int desk_mark(struct desk *desk, const char *tenant, const char *id,
                            enum credential_status status)
{
    int rc = credential_change_mark(&desk->change, slice_from(tenant), slice_from(id), status, 2000);
    return rc ? rc : store_apply(desk->store, &desk->change.change);
}

#endif
