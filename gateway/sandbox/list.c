/* Lists: filters, pages, and the envelope (rollout-facts 4.1). */
#include <stdlib.h>

#include "base/digest.h"
#include "sandbox/sandbox_internal.h"

/* --- cursors: opaque to clients, "order.offset" to us
 * -------------------------------------------------------- */

enum { CURSOR_MAX = 64 };

int sandbox_cursor_read(struct slice text, struct sandbox_page *page)
{
    char storage[CURSOR_MAX];
    struct buf buf;
    struct slice after, offset;
    uint64_t order, skipped;
    buf_init_fixed(&buf, storage, sizeof storage);
    if (digest_unbase64url(&buf, text) != 0 || !slice_cut(buf_slice(&buf), '.', &after, &offset) ||
        !slice_to_u64(after, &order) || !slice_to_u64(offset, &skipped) || skipped > SANDBOX_RECORDS_MAX)
        return ERR_SYNTAX;
    page->cursor = true;
    page->after = order;
    page->offset = (size_t)skipped;
    return 0;
}

void sandbox_cursor_write(struct buf *out, uint64_t after, size_t offset)
{
    char storage[CURSOR_MAX];
    struct buf buf;
    buf_init_fixed(&buf, storage, sizeof storage);
    buf_append_u64(&buf, after);
    buf_append_char(&buf, '.');
    buf_append_u64(&buf, offset);
    digest_base64url(out, buf.ptr, buf.len);
}

/* --- filters
 * ------------------------------------------------------------------------------------------------- */

enum { VALUE_MAX = 8192 };

static bool in_list(struct slice names, struct slice value)
{
    struct slice name;
    bool more = true;
    while (more) {
        more = slice_cut(names, ',', &name, &names);
        if (slice_equal(slice_trim(name), value))
            return true;
    }
    return false;
}

/* `email` or `phone`: one of the values of the array, or the record's own member of that name. */
static bool has_contact(const json_t *record, const char *array, const char *member, struct slice wanted)
{
    const json_t *contact;
    size_t i;
    json_array_foreach(json_object_get(record, array), i, contact)
    {
        if (slice_equal(json_text(contact, "value"), wanted))
            return true;
    }
    return slice_equal(json_text(record, member), wanted);
}

static bool has_email(const json_t *record, struct slice wanted)
{
    return has_contact(record, "emails", "email", wanted);
}

/* A '+' of a query may mean a space, but no number begins with one. */
static bool has_phone(const json_t *record, struct slice wanted)
{
    struct slice bare = wanted.len > 0 && wanted.ptr[0] == ' ' ? slice_skip(wanted, 1) : wanted;
    char number[64] = "+";
    if (bare.len == wanted.len || bare.len > sizeof number - 1)
        return has_contact(record, "phones", "phone", wanted);
    memcpy(number + 1, bare.ptr, bare.len);
    return has_contact(record, "phones", "phone", slice_of(number, bare.len + 1));
}

/* One of several is enough. */
static bool has_tag(const json_t *record, struct slice wanted)
{
    const json_t *tag;
    size_t i;
    json_array_foreach(json_object_get(record, "tags"), i, tag)
    {
        if (json_is_string(tag) && in_list(wanted, slice_of(json_string_value(tag), json_string_length(tag))))
            return true;
    }
    return false;
}

static bool has_id(const json_t *record, struct slice wanted)
{
    return in_list(wanted, json_text(record, "id"));
}

static bool has_person(const json_t *record, struct slice wanted)
{
    return slice_equal(json_text(record, "personId"), wanted);
}

/* A filter is known to an entity that has the field; others ignore it, as they do any parameter. */
static const struct filter {
    struct slice name, field;
    bool (*passes)(const json_t *record, struct slice wanted);
} filters[] = {
    {{"ids", 3}, {"", 0}, has_id},           {{"email", 5}, {"emails", 6}, has_email},
    {{"email", 5}, {"email", 5}, has_email}, {{"phone", 5}, {"phones", 6}, has_phone},
    {{"tags", 4}, {"tags", 4}, has_tag},     {{"personId", 8}, {"personId", 8}, has_person},
};

static bool has_field(const struct sandbox_entity *entity, struct slice name)
{
    struct sandbox_spec spec;
    const char *rest = entity->fields;
    if (name.len == 0)
        return true;
    while (sandbox_spec_next(&rest, &spec)) {
        if (slice_equal(spec.name, name))
            return true;
    }
    return false;
}

/* As forms are written: a plus is a space. */
static bool decode(struct slice encoded, struct buf *out)
{
    while (encoded.len > 0) {
        size_t plain = slice_find(encoded, '+');
        if (url_decode(out, slice_of(encoded.ptr, plain)) != 0)
            return false;
        encoded = slice_skip(encoded, plain);
        if (encoded.len > 0) {
            buf_append_char(out, ' ');
            encoded = slice_skip(encoded, 1);
        }
    }
    return !out->failed;
}

bool sandbox_filter(const struct sandbox_entity *entity, const json_t *record, struct slice query)
{
    char storage[VALUE_MAX];
    struct slice value;
    for (size_t i = 0; query.len > 0 && i < sizeof filters / sizeof *filters; i++) {
        const struct filter *filter = &filters[i];
        struct buf buf;
        if (!url_query_find(query, filter->name, &value) || !has_field(entity, filter->field))
            continue;
        buf_init_fixed(&buf, storage, sizeof storage);
        if (!decode(value, &buf) || !filter->passes(record, buf_slice(&buf)))
            return false;
    }
    return true;
}

static bool is_filtered(struct slice query)
{
    struct slice value;
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        if (url_query_find(query, filters[i].name, &value))
            return true;
    }
    return false;
}

/* --- the page
 * ------------------------------------------------------------------------------------------------ */

/* What stands before the page, is on it, and whether more follows: the walk of one request. */
struct walk {
    struct sandbox_call *call;
    const struct sandbox_collection *collection;
    struct sandbox_page page;
    struct buf *out;
    struct slice query; /* empty when nothing filters */
    uint64_t last;
    size_t passed, before;
    bool more;
};

/* Exactly the digits, or absent; false: answered. */
static bool read_number(struct sandbox_call *call, const char *name, uint64_t least, size_t *out)
{
    struct slice value;
    uint64_t number;
    char path[16];
    struct buf buf;
    if (!url_query_find(call->query, slice_from(name), &value) || value.len == 0)
        return true;
    if (slice_to_u64(value, &number) && number >= least) {
        *out = number > SANDBOX_RECORDS_MAX ? SANDBOX_RECORDS_MAX : (size_t)number;
        return true;
    }
    buf_init_fixed(&buf, path, sizeof path - 1);
    buf_append_char(&buf, '/');
    buf_append_text(&buf, name);
    path[buf.len] = '\0';
    sandbox_call_invalid(call, path, "Expected numeric string");
    return false;
}

static bool read_page(struct sandbox_call *call, struct sandbox_page *page)
{
    struct slice cursor;
    *page = (struct sandbox_page){.limit = SANDBOX_LIMIT_DEFAULT};
    if (!read_number(call, "offset", 0, &page->offset) || !read_number(call, "limit", 1, &page->limit))
        return false;
    if (page->limit > SANDBOX_LIMIT_MAX)
        page->limit = SANDBOX_LIMIT_MAX;
    if (!url_query_find(call->query, SLICE("next"), &cursor) || cursor.len == 0)
        return true;
    if (sandbox_cursor_read(cursor, page) == 0)
        return true;
    sandbox_answer_error(call, 400, "Invalid cursor.");
    return false;
}

static void visit(struct walk *walk, struct sandbox_record *record)
{
    struct sandbox_page *page = &walk->page;
    if (!record->seen || !sandbox_filter(walk->collection->entity, record->seen, walk->query))
        return;
    page->total++;
    bool before = page->cursor ? record->order <= page->after : walk->passed++ < page->offset;
    if (before) {
        walk->before++;
        return;
    }
    if (page->shown == page->limit) {
        walk->more = true;
        return;
    }
    const struct sandbox_text *text = sandbox_record_text(record);
    if (page->shown++ > 0)
        buf_append_char(walk->out, ',');
    if (!text || buf_append(walk->out, text->bytes, text->len) != 0)
        walk->out->failed = true;
    walk->last = record->order;
}

static void walk_all(struct walk *walk)
{
    for (size_t i = 0; i < walk->collection->count; i++)
        visit(walk, walk->collection->at[i]);
}

/* When every record counts, only those of the page need be looked at. */
static void walk_page(struct walk *walk)
{
    const struct sandbox_collection *collection = walk->collection;
    struct sandbox_page *page = &walk->page;
    size_t start = page->cursor ? sandbox_collection_place(collection, page->after + 1) : page->offset;
    walk->passed = page->offset;
    walk->before = start < collection->count ? start : collection->count;
    for (size_t i = walk->before; i < collection->count && !walk->more; i++)
        visit(walk, collection->at[i]);
    page->total = collection->count;
}

/* The request's own URL with `next` in the place of what said where to begin. */
static void write_link(struct walk *walk, struct buf *out)
{
    const struct sandbox_call *call = walk->call;
    struct slice host = call->x->request.host, rest = call->query, pair, key, value;
    buf_append_text(out, "http://");
    buf_append_slice(out, host.len > 0 ? host : buf_slice(&call->sandbox->address));
    buf_append_slice(out, call->path);
    buf_append_char(out, '?');
    while (rest.len > 0) {
        slice_cut(rest, '&', &pair, &rest);
        slice_cut(pair, '=', &key, &value);
        if (pair.len == 0 || slice_equal(key, SLICE("next")) || slice_equal(key, SLICE("offset")))
            continue;
        buf_append_slice(out, pair);
        buf_append_char(out, '&');
    }
    buf_append_text(out, "next=");
    sandbox_cursor_write(out, walk->last, walk->before + walk->page.shown);
}

static void write_envelope(struct walk *walk, struct buf *out)
{
    const struct sandbox_page *page = &walk->page;
    const char *collection = walk->collection->entity->collection;
    struct buf link;
    buf_append_format(
        out, "{\"_metadata\":{\"collection\":\"%s\",\"offset\":%zu,\"limit\":%zu,\"total\":%zu,\"next\":",
        collection, page->cursor ? walk->before : page->offset, page->limit, page->total);
    if (walk->more) {
        buf_append_char(out, '"');
        sandbox_cursor_write(out, walk->last, walk->before + page->shown);
        buf_append_text(out, "\",\"nextLink\":\"");
        buf_init(&link, 64 * 1024);
        write_link(walk, &link);
        buf_append_json(out, buf_slice(&link));
        out->failed = out->failed || link.failed;
        buf_deinit(&link);
        buf_append_text(out, "\"},\"");
    } else {
        buf_append_text(out, "null,\"nextLink\":null},\"");
    }
    buf_append_format(out, "%s\":[", collection);
    buf_append_slice(out, buf_slice(walk->out));
    buf_append_text(out, "]}");
}

void sandbox_list(struct sandbox_call *call)
{
    struct walk walk = {.call = call};
    struct buf records, answer;
    walk.collection = sandbox_collection_of(call->sandbox, call->credential, call->entity);
    if (!walk.collection) {
        sandbox_answer_text(call, 500, NULL);
        return;
    }
    if (!read_page(call, &walk.page))
        return;
    buf_init(&records, SANDBOX_ANSWER_MAX);
    buf_init(&answer, SANDBOX_ANSWER_MAX);
    walk.out = &records;
    walk.query = is_filtered(call->query) ? call->query : slice_of(NULL, 0);
    if (walk.query.len == 0 && walk.collection->visible == walk.collection->count)
        walk_page(&walk);
    else
        walk_all(&walk);
    write_envelope(&walk, &answer);
    bool failed = records.failed || answer.failed;
    sandbox_answer_text(call, 200, failed ? NULL : sandbox_text_create(buf_slice(&answer)));
    buf_deinit(&records);
    buf_deinit(&answer);
}
