/* Reading keys for people. */
#include "caller/caller_internal.h"

int caller_demanded(struct store_view *view, int first_table, bool *out)
{
    struct slice record;
    int rc = store_get(view, first_table + CALLER_TABLE_KEYS, LEDGER_KEY, &record);
    *out = rc != ERR_NOTFOUND;
    return rc == ERR_NOTFOUND ? 0 : rc;
}

static int find(struct store_view *view, int first_table, struct slice id, struct caller *out)
{
    struct slice record;
    int rc = store_get(view, first_table + CALLER_TABLE_KEYS, id, &record);
    return rc ? rc : codec_read(record, id, out, NULL);
}

int caller_find(struct store_view *view, int first_table, struct slice id, struct caller *out)
{
    char bytes[CALLER_ID_BYTES];
    return codec_id_read(id, bytes) ? find(view, first_table, slice_of(bytes, sizeof bytes), out)
                                    : ERR_NOTFOUND;
}

int caller_find_name(struct store_view *view, int first_table, struct slice name, struct caller *out)
{
    struct name_key key = codec_name_key('n', name);
    struct slice id;
    if (name.len == 0 || name.len > CALLER_NAME_MAX)
        return ERR_NOTFOUND;
    int rc = store_get(view, first_table + CALLER_TABLE_NAMES, name_key_slice(&key), &id);
    if (rc == 0)
        rc = id.len == CALLER_ID_BYTES ? find(view, first_table, id, out) : ERR_CORRUPT;
    return rc == 0 && out->status != CALLER_ACTIVE ? ERR_NOTFOUND : rc;
}

struct walk {
    struct slice cursor;
    bool (*visit)(const struct caller *caller, void *arg);
    void *arg;
    size_t damaged;
};

static bool on_record(struct slice key, struct slice value, void *arg)
{
    struct walk *walk = arg;
    struct caller caller;
    if (key.len != CALLER_ID_BYTES || slice_equal(key, walk->cursor))
        return true;
    if (codec_read(value, key, &caller, NULL)) {
        walk->damaged++;
        return true;
    }
    return walk->visit(&caller, walk->arg);
}

int caller_each(struct store_view *view, int first_table, struct slice cursor,
                bool (*visit)(const struct caller *caller, void *arg), void *arg, size_t *damaged)
{
    char bytes[CALLER_ID_BYTES];
    struct walk walk = {.visit = visit, .arg = arg};
    size_t unreadable = 0;
    if (cursor.len > 0 && !codec_id_read(cursor, bytes))
        return ERR_INVALID;
    if (cursor.len > 0)
        walk.cursor = slice_of(bytes, sizeof bytes);
    int rc = store_scan(view, first_table + CALLER_TABLE_KEYS, walk.cursor, on_record, &walk, &unreadable);
    if (damaged)
        *damaged = unreadable + walk.damaged;
    return rc;
}
