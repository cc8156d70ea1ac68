/* Whatever a client asks and upstream answers: stored, found, freshened, conditions evaluated.
 * "request\n\nanswer\n\nrequest\n\nupdate" */
#include <stdlib.h>

#include "cache/cache.h"

enum { FIELDS_MAX = 64 };

struct message {
    struct http_field at[FIELDS_MAX];
    struct http_fields fields;
};

/* As wire/ lets them through: names are tokens, values have no control bytes. */
static struct slice read_message(struct message *message, struct slice text)
{
    message->fields = (struct http_fields){message->at, 0};
    while (text.len > 0) {
        struct slice line, name, value;
        slice_cut(text, '\n', &line, &text);
        if (line.len == 0)
            break;
        if (!slice_cut(line, ':', &name, &value) || !field_is_token(name) || !field_is_value(value) ||
            message->fields.count == FIELDS_MAX)
            continue;
        message->at[message->fields.count++] =
            (struct http_field){name, slice_trim(value), field_lookup(name)};
    }
    return text;
}

static void use(struct cache *cache, struct cache_query *query, struct cache_answer *update)
{
    struct cache_found found;
    uint64_t first, last;
    cache_find(cache, query, &found);
    if (!found.entry)
        return;
    cache_condition(found.entry, query, cache_entry_body(found.entry).len, &first, &last);
    cache_stale_if_error(found.entry, query, query->now_ms);
    cache_release(cache_freshen(cache, query, found.entry, update));
    cache_release(found.entry);
    query->method = METHOD_HEAD;
    update->status = 200;
    cache_head_seen(cache, query, update);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cache *cache;
    struct message parts[4];
    struct slice text = slice_of((const char *)data, size);
    if (!cache)
        cache = cache_create(&(struct cache_options){1 << 20, 1 << 16});
    if (!cache || size < 2)
        return 0;
    const struct cache_policy policy = {.ttl_ms = (uint64_t)(data[0] % 3) * 1000,
                                        .sie_ms = 5000,
                                        .swr_ms = 1000,
                                        .heuristic = data[0] & 4,
                                        .keep_cookies = data[0] & 16};
    const int status = (int[]){200, 404, 301, 599}[data[1] % 4];
    text = slice_skip(text, 2);
    for (size_t i = 0; i < 4; i++)
        text = read_message(&parts[i], text);

    char storage[64];
    struct buf buf;
    buf_init_fixed(&buf, storage, sizeof storage);
    const struct slice key[5] = {SLICE("t"), SLICE("c"), SLICE("crm"), SLICE("/p"), SLICE("")};
    struct cache_query query = {
        .method = METHOD_GET, .fields = &parts[0].fields, .policy = &policy, .covered = true};
    if (cache_key_build(&buf, key, &query.key))
        return 0;
    const struct cache_subject subject = {SLICE("c"), SLICE("crm"), SLICE("people"), {NULL, 0}};
    query.deps = cache_deps_of(cache, &subject);
    query.control = cache_control_parse(query.fields, FIELD_CACHE_CONTROL);
    struct cache_answer answer = {
        .status = status, .fields = &parts[1].fields, .response_wall_s = 1700000000, .deps = query.deps};
    if (cache_may_store(&query, &answer, NULL) == CACHE_STORE)
        cache_release(cache_store(cache, &query, &answer, SLICE("0123456789")));
    query.fields = &parts[2].fields;
    query.control = cache_control_parse(query.fields, FIELD_CACHE_CONTROL);
    query.now_ms = 1500;
    struct cache_answer update = {.status = 304,
                                  .fields = &parts[3].fields,
                                  .response_ms = 1500,
                                  .response_wall_s = 1700000001,
                                  .deps = query.deps};
    use(cache, &query, &update);
    cache_remove(cache, query.key);
    return 0;
}
