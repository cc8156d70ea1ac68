/* Records in memory. A value is never changed in place: a change makes a new one, so that `latest` and `seen`
 * may share. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/digest.h"
#include "sandbox/sandbox_internal.h"

struct change {
    struct list node;
    uint64_t due;
    struct sandbox_collection *collection;
    struct sandbox_record *record;
    json_t *value; /* NULL: deleted */
    const char *what, *extra;
    bool silent;
};

static void on_changes_due(struct loop_timer *timer);

/* --- texts
 * --------------------------------------------------------------------------------------------------- */

struct sandbox_text *sandbox_text_create(struct slice bytes)
{
    struct sandbox_text *text = malloc(sizeof *text + bytes.len);
    if (!text)
        return NULL;
    text->references = 1;
    text->len = bytes.len;
    if (bytes.len > 0)
        memcpy(text->bytes, bytes.ptr, bytes.len);
    return text;
}

struct sandbox_text *sandbox_text_from(const json_t *value)
{
    struct buf buf;
    buf_init(&buf, SANDBOX_ANSWER_MAX);
    struct sandbox_text *text =
        value && json_write(&buf, value) == 0 ? sandbox_text_create(buf_slice(&buf)) : NULL;
    buf_deinit(&buf);
    return text;
}

struct sandbox_text *sandbox_text_retain(struct sandbox_text *text)
{
    if (text)
        text->references++;
    return text;
}

void sandbox_text_release(void *object)
{
    struct sandbox_text *text = object;
    if (text && --text->references == 0)
        free(text);
}

/* --- records
 * ------------------------------------------------------------------------------------------------- */

static void free_record(struct sandbox_record *record)
{
    json_decref(record->latest);
    json_decref(record->seen);
    sandbox_text_release(record->text);
    free(record->id);
    free(record);
}

struct sandbox_record *sandbox_record_find(const struct sandbox_collection *collection, struct slice id)
{
    struct map_node *node = map_find(&collection->ids, digest_hash(id));
    for (; node; node = map_next(node)) {
        struct sandbox_record *record = container_of(node, struct sandbox_record, node);
        if (slice_equal(slice_from(record->id), id))
            return record;
    }
    return NULL;
}

struct sandbox_text *sandbox_record_text(struct sandbox_record *record)
{
    if (!record->text)
        record->text = sandbox_text_from(record->seen);
    return record->text;
}

static int make_room(struct sandbox_collection *collection)
{
    if (collection->count < collection->capacity)
        return 0;
    size_t capacity = collection->capacity ? collection->capacity * 2 : 16;
    struct sandbox_record **at = realloc(collection->at, capacity * sizeof(struct sandbox_record *));
    if (!at)
        return ERR_NOMEM;
    collection->at = at;
    collection->capacity = capacity;
    return 0;
}

static struct sandbox_record *add_record(struct sandbox_collection *collection, struct slice id)
{
    if (collection->count >= SANDBOX_RECORDS_MAX || make_room(collection) != 0)
        return NULL;
    struct sandbox_record *record = calloc(1, sizeof *record);
    if (!record)
        return NULL;
    record->id = strndup(id.ptr, id.len);
    if (!record->id || map_insert(&collection->ids, &record->node, digest_hash(id)) != 0) {
        free_record(record);
        return NULL;
    }
    record->order = ++collection->next_order;
    collection->at[collection->count++] = record;
    return record;
}

size_t sandbox_collection_place(const struct sandbox_collection *collection, uint64_t order)
{
    size_t low = 0, high = collection->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (collection->at[middle]->order < order)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void remove_record(struct sandbox_collection *collection, struct sandbox_record *record)
{
    size_t place = sandbox_collection_place(collection, record->order);
    map_remove(&collection->ids, &record->node);
    collection->count--;
    memmove(collection->at + place, collection->at + place + 1,
            (collection->count - place) * sizeof(struct sandbox_record *));
    free_record(record);
}

/* --- changes
 * ------------------------------------------------------------------------------------------------- */

/* What happened comes to be seen. The value is taken; the record is gone afterwards when nothing is left of
 * it. */
static void apply(const struct change *change)
{
    struct sandbox_record *record = change->record;
    struct sandbox_collection *collection = change->collection;
    struct buf name;
    char id[SANDBOX_ID_TEXT];
    const char *ids[] = {id};
    buf_init_fixed(&name, id, sizeof id - 1);
    buf_append_text(&name, record->id);
    id[name.len] = '\0';
    collection->visible -= record->seen != NULL;
    collection->visible += change->value != NULL;
    json_decref(record->seen);
    record->seen = change->value;
    sandbox_text_release(record->text);
    record->text = NULL;
    if (!record->latest && !record->seen && record->pending == 0)
        remove_record(collection, record);
    if (change->silent || collection->entity->flags & SANDBOX_BARE)
        return;
    if (change->extra)
        sandbox_emit(collection->sandbox, collection->credential, collection->entity, change->extra, ids, 1);
    sandbox_emit(collection->sandbox, collection->credential, collection->entity, change->what, ids, 1);
}

static void apply_queued(struct sandbox *sandbox, struct change *change)
{
    list_remove(&change->node);
    sandbox->change_count--;
    change->record->pending--;
    apply(change);
    free(change);
}

/* In the order in which they were made: a later change of one record is never due before an earlier one. */
static void apply_due(struct sandbox *sandbox)
{
    uint64_t now = loop_now(sandbox->loop), next = UINT64_MAX;
    list_each_safe (node, &sandbox->changes) {
        struct change *change = container_of(node, struct change, node);
        if (change->due <= now)
            apply_queued(sandbox, change);
        else if (change->due < next)
            next = change->due;
    }
    if (next != UINT64_MAX)
        loop_timer_set(sandbox->loop, &sandbox->change_timer, next, on_changes_due);
}

static void on_changes_due(struct loop_timer *timer)
{
    apply_due(container_of(timer, struct sandbox, change_timer));
}

/* What waits for the record is seen now; the record stays. */
static void flush(struct sandbox *sandbox, struct sandbox_record *record)
{
    record->pending++;
    list_each_safe (node, &sandbox->changes) {
        struct change *change = container_of(node, struct change, node);
        if (change->record == record)
            apply_queued(sandbox, change);
    }
    record->pending--;
}

/* The record has its new `latest` already; reads see it now, or later. Without memory for later: now. */
static void publish(struct sandbox_collection *collection, struct sandbox_record *record, const char *what,
                    const struct sandbox_write *write)
{
    struct sandbox *sandbox = collection->sandbox;
    uint64_t now = loop_now(sandbox->loop), due = now + write->lag_ms;
    struct change made = {.collection = collection,
                          .record = record,
                          .value = json_incref(record->latest),
                          .what = what,
                          .extra = write->extra,
                          .silent = write->silent};
    struct change *change = NULL;
    if (record->pending > 0 || due > now)
        change = sandbox->change_count < SANDBOX_CHANGES_MAX ? malloc(sizeof *change) : NULL;
    if (!change) {
        flush(sandbox, record);
        apply(&made);
        return;
    }
    *change = made;
    list_each (node, &sandbox->changes) {
        const struct change *other = container_of(node, struct change, node);
        if (other->record == record && other->due > due)
            due = other->due;
    }
    change->due = due;
    record->pending++;
    sandbox->change_count++;
    list_push_back(&sandbox->changes, &change->node);
    if (sandbox->change_timer.deadline == 0 || due < sandbox->change_timer.deadline)
        loop_timer_set(sandbox->loop, &sandbox->change_timer, due, on_changes_due);
}

void sandbox_data_drop_changes(struct sandbox *sandbox, const struct sandbox_credential *credential)
{
    list_each_safe (node, &sandbox->changes) {
        struct change *change = container_of(node, struct change, node);
        if (credential && change->collection->credential != credential)
            continue;
        list_remove(&change->node);
        change->record->pending--;
        sandbox->change_count--;
        json_decref(change->value);
        free(change);
    }
    if (sandbox->change_count == 0)
        loop_timer_clear(sandbox->loop, &sandbox->change_timer);
}

/* --- writes
 * -------------------------------------------------------------------------------------------------- */

/* One moment for all: a record's stamps agree. */
static void stamp(json_t *value, bool created)
{
    char text[SANDBOX_TIME_SIZE];
    sandbox_format_time(clock_wall_ms(), true, text);
    if (created)
        json_object_set_new(value, "created", json_string(text));
    json_object_set_new(value, "updated", json_string(text));
    json_object_set_new(value, "rolloutUpdated", json_string(text));
}

/* The whole record, id first. Takes fields. */
static json_t *dress(const struct sandbox_collection *collection, json_t *fields, const char *id)
{
    const char *app = collection->credential->app_key;
    json_t *value = json_pack("{s:s}", "id", id);
    if (!value || json_object_update(value, fields) || json_object_set_new(value, "id", json_string(id))) {
        json_decref(value);
        value = NULL;
    } else if (!(collection->entity->flags & SANDBOX_BARE)) {
        stamp(value, true);
        json_object_set_new(value, "originalIds",
                            json_pack("{s:s}", app, id + (strlen(id) > 8 ? strlen(id) - 8 : 0)));
        json_object_set_new(value, "original", json_pack("{s:{s:s}}", app, "rolloutId", id));
    }
    json_decref(fields);
    return value;
}

struct sandbox_record *sandbox_data_create(struct sandbox_collection *collection, json_t *fields,
                                           const struct sandbox_write *write)
{
    char fresh[SANDBOX_ID_SIZE];
    if (!write->id)
        sandbox_fresh_id(fresh);
    const char *id = write->id ? write->id : fresh;
    json_t *value = fields ? dress(collection, fields, id) : NULL;
    struct sandbox_record *record = value ? add_record(collection, slice_from(id)) : NULL;
    if (!record) {
        json_decref(value);
        return NULL;
    }
    record->latest = value;
    publish(collection, record, "Created", write);
    return record;
}

int sandbox_data_update(struct sandbox_collection *collection, struct sandbox_record *record,
                        const json_t *set, const struct sandbox_write *write)
{
    json_t *value = json_copy(record->latest);
    const char *key;
    json_t *member;
    bool failed = !value;
    json_object_foreach((json_t *)(uintptr_t)set, key, member)
    {
        failed = failed || json_object_set(value, key, member);
    }
    if (failed) {
        json_decref(value);
        return ERR_NOMEM;
    }
    if (!(collection->entity->flags & SANDBOX_BARE)) {
        stamp(value, false);
    }
    json_decref(record->latest);
    record->latest = value;
    publish(collection, record, "Updated", write);
    return 0;
}

int sandbox_data_delete(struct sandbox_collection *collection, struct sandbox_record *record,
                        const struct sandbox_write *write)
{
    json_decref(record->latest);
    record->latest = NULL;
    publish(collection, record, "Deleted", write);
    return 0;
}

int sandbox_data_seed(struct sandbox_collection *collection, json_t *value)
{
    struct sandbox_record *record = value ? add_record(collection, json_text(value, "id")) : NULL;
    if (!record) {
        json_decref(value);
        return ERR_NOMEM;
    }
    record->latest = value;
    record->seen = json_incref(value);
    collection->visible++;
    return 0;
}

/* --- collections
 * --------------------------------------------------------------------------------------------- */

void sandbox_collection_destroy(struct sandbox_collection *collection)
{
    if (!collection)
        return;
    for (size_t i = 0; i < collection->count; i++)
        free_record(collection->at[i]);
    map_deinit(&collection->ids);
    free(collection->at);
    free(collection);
}

static int fill(struct sandbox_collection *collection, unsigned people)
{
    unsigned count = sandbox_seed_count(collection->entity, people);
    for (unsigned n = 0; n < count; n++) {
        json_t *value = sandbox_seed(collection->credential, collection->entity, people, n);
        if (sandbox_data_seed(collection, value) != 0)
            return ERR_NOMEM;
    }
    return 0;
}

struct sandbox_collection *sandbox_collection_of(struct sandbox *sandbox,
                                                 struct sandbox_credential *credential,
                                                 const struct sandbox_entity *entity)
{
    struct sandbox_collection **place = &credential->collections[sandbox_entity_index(entity)];
    struct sandbox_collection *collection = *place;
    if (collection)
        return collection;
    collection = calloc(1, sizeof *collection);
    if (!collection)
        return NULL;
    *collection = (struct sandbox_collection){.sandbox = sandbox, .credential = credential, .entity = entity};
    map_init(&collection->ids);
    if (fill(collection, sandbox->options.people) != 0) {
        sandbox_collection_destroy(collection);
        return NULL;
    }
    *place = collection;
    return collection;
}
