/* What the cache's tests share: messages written as text, and a desk at a fixed time. */
#ifndef UNIT_CACHE_HARNESS_H
#define UNIT_CACHE_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cache/cache.h"
#include "http/date.h"

#define WALL INT64_C(1700000000)  /* Tue, 14 Nov 2023 22:13:20 GMT */
#define MONO UINT64_C(1000000000) /* clock_mono_ms at the same moment */

enum { FIELDS_MAX = 64, TEXT_MAX = 8192 };

/* "Name: value" lines; "@-300" stands for the date 300 seconds before WALL. */
struct message {
    char text[TEXT_MAX];
    struct http_field at[FIELDS_MAX];
    struct http_fields fields;
};

static inline size_t put_expanded(char *to, const char *from)
{
    char *start = to;
    while (*from) {
        char *end;
        if (*from == '@' && (from[1] == '+' || from[1] == '-')) {
            date_format(WALL + strtol(from + 1, &end, 10), to);
            to += DATE_LENGTH;
            from = end;
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
    return (size_t)(to - start);
}

static inline void message_init(struct message *message, const char *text)
{
    assert_true(strlen(text) < TEXT_MAX / 2);
    struct slice rest = slice_of(message->text, put_expanded(message->text, text ? text : ""));
    message->fields = (struct http_fields){message->at, 0};
    while (rest.len > 0) {
        struct slice line, name, value;
        slice_cut(rest, '\n', &line, &rest);
        if (line.len == 0)
            continue;
        assert_true(slice_cut(line, ':', &name, &value));
        assert_true(message->fields.count < FIELDS_MAX);
        message->at[message->fields.count++] =
            (struct http_field){name, slice_trim(value), field_lookup(name)};
    }
}

/* A client's request; the key is that of (t, c, crm, path, ""). */
struct request {
    struct message message;
    struct cache_policy policy;
    struct cache_query query;
    struct buf key;
};

static inline void request_set_key(struct request *request, const char *path)
{
    const struct slice parts[5] = {SLICE("t"), SLICE("c"), SLICE("crm"), slice_from(path), SLICE("")};
    buf_reset(&request->key);
    assert_int_equal(cache_key_build(&request->key, parts, &request->query.key), 0);
}

static const struct cache_subject people = {{"c", 1}, {"crm", 3}, {"people", 6}, {NULL, 0}};

static inline void request_init(struct request *request, const struct cache *cache,
                                const struct cache_policy *policy, const char *text)
{
    memset(request, 0, sizeof *request);
    message_init(&request->message, text);
    request->policy = *policy;
    buf_init(&request->key, 1 << 17);
    request_set_key(request, "/people");
    request->query.method = METHOD_GET;
    request->query.fields = &request->message.fields;
    request->query.control = cache_control_parse(&request->message.fields, FIELD_CACHE_CONTROL);
    request->query.policy = &request->policy;
    request->query.deps = cache_deps_of(cache, &people);
    request->query.covered = true;
    request->query.now_ms = MONO;
}

static inline void request_deinit(struct request *request)
{
    buf_deinit(&request->key);
}

/* An answer that came at MONO + after_s, at once. */
struct reply {
    struct message message;
    struct cache_answer answer;
};

static inline void reply_init(struct reply *reply, const struct request *request, int status,
                              const char *text)
{
    memset(reply, 0, sizeof *reply);
    message_init(&reply->message, text);
    reply->answer = (struct cache_answer){
        .status = status,
        .fields = &reply->message.fields,
        .request_ms = request->query.now_ms,
        .response_ms = request->query.now_ms,
        .response_wall_s = WALL + ((int64_t)request->query.now_ms - (int64_t)MONO) / 1000,
        .deps = request->query.deps,
    };
}

static inline struct cache *cache_new(size_t memory)
{
    struct cache *cache = cache_create(&(struct cache_options){memory, 1 << 20});
    assert_non_null(cache);
    return cache;
}

/* Stores, if the answer may be. The entry is retained; NULL when it may not. */
static inline struct cache_entry *store_text(struct cache *cache, const struct request *request, int status,
                                             const char *head, const char *body)
{
    struct reply *reply = malloc(sizeof *reply);
    const char *why;
    struct cache_entry *entry = NULL;
    assert_non_null(reply);
    reply_init(reply, request, status, head);
    if (cache_may_store(&request->query, &reply->answer, &why) == CACHE_STORE)
        entry = cache_store(cache, &request->query, &reply->answer, slice_from(body));
    free(reply);
    return entry;
}

static inline bool contains(struct slice text, const char *part)
{
    return memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

static inline void assert_slice(struct slice given, const char *text)
{
    if (!slice_equal(given, slice_from(text)))
        fail_msg("\"%.*s\" is not \"%s\"", SLICE_ARG(given), text);
}

#endif
