/* The knobs: one JSON object, merged from what was told so far, and read as a whole, so that a refused change
 * leaves no trace. */
#include "sandbox/sandbox_internal.h"

static const int invalid = ERR_INVALID;

/* --- single values
 * ------------------------------------------------------------------------------------------- */

static int read_ms(const json_t *value, const char *key, uint64_t *out, struct fault *fault)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return fault_set(fault, invalid, "%s: not a number of 0 or more", key);
    *out = (uint64_t)json_integer_value(value);
    return 0;
}

static const struct {
    const char *key;
    size_t offset;
} numbers[] =
    {
        {"latency_ms", offsetof(struct sandbox_knobs, latency_ms)},
        {"lag_ms", offsetof(struct sandbox_knobs, lag_ms)},
        {"rate", offsetof(struct sandbox_knobs, rate)},
        {"first_sync_ms", offsetof(struct sandbox_knobs, first_sync_ms)},
        {"retry_ms", offsetof(struct sandbox_knobs, retry_ms)},
        {"deliver_delay_ms", offsetof(struct sandbox_knobs, deliver_delay_ms)},
},
  flags[] = {
      {"chunked", offsetof(struct sandbox_knobs, chunked)},
      {"close_delimited", offsetof(struct sandbox_knobs, close_delimited)},
      {"record", offsetof(struct sandbox_knobs, record)},
      {"etag", offsetof(struct sandbox_knobs, etag)},
      {"deliver_twice", offsetof(struct sandbox_knobs, deliver_twice)},
      {"deliver_paused", offsetof(struct sandbox_knobs, deliver_paused)},
};

/* 1: it is another kind of knob. */
static int read_plain(struct sandbox_knobs *knobs, const char *key, const json_t *value, struct fault *fault)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (!strcmp(key, numbers[i].key))
            return read_ms(value, key, (uint64_t *)(void *)((char *)knobs + numbers[i].offset), fault);
    }
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (strcmp(key, flags[i].key) != 0)
            continue;
        if (!json_is_boolean(value))
            return fault_set(fault, invalid, "%s: not true or false", key);
        *(bool *)((char *)knobs + flags[i].offset) = json_is_true(value);
        return 0;
    }
    return 1;
}

static int read_fields(struct sandbox_knobs *knobs, const json_t *value, struct fault *fault)
{
    const char *name;
    json_t *text;
    if (!json_is_object(value))
        return fault_set(fault, invalid, "fields: not an object");
    json_object_foreach((json_t *)(uintptr_t)value, name, text)
    {
        struct slice line = json_text(value, name);
        if (!json_is_string(text) || !field_is_token(slice_from(name)) ||
            (line.len > 0 && !field_is_value(line)))
            return fault_set(fault, invalid, "fields: not a header field: %.64s", name);
        buf_append_text(&knobs->fields, name);
        buf_append_text(&knobs->fields, ": ");
        buf_append_slice(&knobs->fields, line);
        buf_append_text(&knobs->fields, "\r\n");
    }
    return knobs->fields.failed ? fault_set(fault, invalid, "fields: too many") : 0;
}

/* --- rules
 * --------------------------------------------------------------------------------------------------- */

static int read_where(struct sandbox_rule *rule, struct slice text)
{
    static const char *const names[] = {
        [SANDBOX_BEFORE] = "before", [SANDBOX_HEAD] = "head", [SANDBOX_BODY] = "body"};
    unsigned first = rule->kind == SANDBOX_FAULT_STALL ? SANDBOX_HEAD : SANDBOX_BEFORE;
    for (unsigned i = first; i <= SANDBOX_BODY; i++) {
        if (slice_equal(text, slice_from(names[i]))) {
            rule->where = (enum sandbox_where)i;
            return 0;
        }
    }
    return ERR_INVALID;
}

static int read_what(struct sandbox_rule *rule, const json_t *what)
{
    struct slice text = slice_of(json_string_value(what), json_string_length(what));
    switch (rule->kind) {
    case SANDBOX_FAULT_STATUS:
        rule->status = json_is_integer(what) ? (int)json_integer_value(what) : 0;
        return rule->status >= 200 && rule->status < 600 ? 0 : ERR_INVALID;
    case SANDBOX_FAULT_MALFORMED:
        rule->malformed = json_is_string(what) ? sandbox_malformed_find(text) : -1;
        return rule->malformed >= 0 ? 0 : ERR_INVALID;
    case SANDBOX_FAULT_STALL:
    case SANDBOX_FAULT_RESET:
        return json_is_string(what) ? read_where(rule, text) : ERR_INVALID;
    case SANDBOX_FAULT_NONE:
        break;
    }
    return ERR_INVALID;
}

/* "body", or {"at": "body", "match": {…}, "times": 1}; the first member's name is the kind's own. */
static const struct kind {
    const char *key, *member;
    enum sandbox_fault kind;
} kinds[] = {
    {"status", "status", SANDBOX_FAULT_STATUS},
    {"stall", "at", SANDBOX_FAULT_STALL},
    {"reset", "at", SANDBOX_FAULT_RESET},
    {"malformed", "name", SANDBOX_FAULT_MALFORMED},
};

static int read_rule(struct sandbox_knobs *knobs, const struct kind *kind, const json_t *value,
                     struct fault *fault)
{
    struct sandbox_rule rule = {.kind = kind->kind, .left = UINT64_MAX};
    const json_t *what = value, *times, *after, *ms;
    int rc = 0;
    if (knobs->rule_count == SANDBOX_RULES)
        return fault_set(fault, invalid, "%s: too many rules", kind->key);
    if (json_is_object(value)) {
        what = json_object_get(value, kind->member);
        times = json_object_get(value, "times");
        after = json_object_get(value, "retry_after");
        ms = json_object_get(value, "ms");
        rule.match = json_object_get(value, "match");
        if (times)
            rc = read_ms(times, "times", &rule.left, fault);
        if (after && rc == 0)
            rc = read_ms(after, "retry_after", &rule.retry_after, fault);
        if (ms && rc == 0)
            rc = read_ms(ms, "ms", &rule.ms, fault);
    }
    if (rc == 0 && read_what(&rule, what) != 0)
        return fault_set(fault, invalid, "%s: not one of the known values", kind->key);
    if (rc == 0 && rule.match && !json_is_object(rule.match))
        return fault_set(fault, invalid, "%s.match: not an object", kind->key);
    if (rc == 0)
        knobs->rules[knobs->rule_count++] = rule;
    return rc;
}

static int read_rules(struct sandbox_knobs *knobs, const struct kind *kind, const json_t *value,
                      struct fault *fault)
{
    const json_t *one;
    size_t i;
    if (!json_is_array(value))
        return read_rule(knobs, kind, value, fault);
    json_array_foreach(value, i, one)
    {
        int rc = read_rule(knobs, kind, one, fault);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* --- the whole
 * ----------------------------------------------------------------------------------------------- */

static int read_knob(struct sandbox_knobs *knobs, const char *key, const json_t *value, struct fault *fault)
{
    int rc = read_plain(knobs, key, value, fault);
    if (rc != 1)
        return rc;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!strcmp(key, kinds[i].key))
            return read_rules(knobs, &kinds[i], value, fault);
    }
    if (!strcmp(key, "fields"))
        return read_fields(knobs, value, fault);
    if (strcmp(key, "not_ready") != 0)
        return fault_set(fault, invalid, "no such knob: %.64s", key);
    if (!json_is_array(value))
        return fault_set(fault, invalid, "not_ready: not an array of credential ids");
    knobs->not_ready = value;
    return 0;
}

/* `knobs` comes out ready or empty. Takes source. */
static int build(struct sandbox_knobs *knobs, json_t *source, struct fault *fault)
{
    const char *key;
    json_t *value;
    int rc = 0;
    *knobs = (struct sandbox_knobs){.source = source, .retry_ms = 1000, .first_sync_ms = 2000};
    buf_init(&knobs->fields, 16 * 1024);
    json_object_foreach(source, key, value)
    {
        if (rc == 0)
            rc = read_knob(knobs, key, value, fault);
    }
    if (rc != 0)
        sandbox_knobs_deinit(knobs);
    return rc;
}

int sandbox_knobs_init(struct sandbox_knobs *knobs, const struct sandbox_options *options)
{
    struct fault fault;
    json_t *source = json_pack("{s:I,s:I,s:I,s:b}", "latency_ms", (json_int_t)options->latency_ms, "lag_ms",
                               (json_int_t)options->lag_ms, "rate", (json_int_t)options->rate, "record",
                               (int)options->record);
    *knobs = (struct sandbox_knobs){0};
    return source ? build(knobs, source, &fault) : ERR_NOMEM;
}

/* Rules that the change did not name have been used as often as before. */
static void keep_counts(struct sandbox_knobs *next, const struct sandbox_knobs *before, const json_t *change)
{
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        size_t old = 0;
        for (size_t i = 0; i < next->rule_count && !json_object_get(change, kinds[k].key); i++) {
            if (next->rules[i].kind != kinds[k].kind)
                continue;
            while (old < before->rule_count && before->rules[old].kind != kinds[k].kind)
                old++;
            if (old < before->rule_count)
                next->rules[i].left = before->rules[old++].left;
        }
    }
}

int sandbox_knobs_set(struct sandbox_knobs *knobs, const json_t *change, struct fault *fault)
{
    struct sandbox_knobs next;
    json_t *source = json_deep_copy(knobs->source), *value;
    const char *key;
    int rc = source ? 0 : fault_set(fault, ERR_NOMEM, "out of memory");
    json_object_foreach((json_t *)(uintptr_t)change, key, value)
    {
        if (rc == 0 && json_is_null(value))
            json_object_del(source, key);
        else if (rc == 0 && json_object_set_new(source, key, json_deep_copy(value)))
            rc = fault_set(fault, ERR_NOMEM, "out of memory");
    }
    if (rc != 0)
        json_decref(source);
    else
        rc = build(&next, source, fault);
    if (rc == 0) {
        keep_counts(&next, knobs, change);
        sandbox_knobs_deinit(knobs);
        *knobs = next;
    }
    return rc;
}

void sandbox_knobs_deinit(struct sandbox_knobs *knobs)
{
    json_decref(knobs->source);
    buf_deinit(&knobs->fields);
    *knobs = (struct sandbox_knobs){0};
}

/* --- in use
 * -------------------------------------------------------------------------------------------------- */

static bool fits(const json_t *match, const char *key, struct slice value)
{
    struct slice wanted = json_text(match, key);
    return !json_object_get(match, key) || slice_equal(wanted, value);
}

static bool applies(const struct sandbox_rule *rule, const struct sandbox_call *call)
{
    const json_t *match = rule->match;
    struct slice credential = http_value(&call->x->request.fields, FIELD_X_ROLLOUT_CREDENTIAL_ID);
    if (rule->left == 0)
        return false;
    return !match || (fits(match, "method", call->x->request.method_name) &&
                      fits(match, "api", slice_from(sandbox_api_name(call->api))) &&
                      fits(match, "entity", call->segment_count > 0 ? call->segments[0] : SLICE("")) &&
                      fits(match, "id", call->segment_count > 1 ? call->segments[1] : SLICE("")) &&
                      fits(match, "credential", credential));
}

const struct sandbox_rule *sandbox_knobs_match(struct sandbox_knobs *knobs, const struct sandbox_call *call)
{
    for (size_t i = 0; i < knobs->rule_count; i++) {
        struct sandbox_rule *rule = &knobs->rules[i];
        if (!applies(rule, call))
            continue;
        if (rule->left != UINT64_MAX)
            rule->left--;
        return rule;
    }
    return NULL;
}

bool sandbox_knobs_holds(const struct sandbox_knobs *knobs, const char *credential_id)
{
    const json_t *id;
    size_t i;
    json_array_foreach(knobs->not_ready, i, id)
    {
        if (json_is_string(id) && !strcmp(json_string_value(id), credential_id))
            return true;
    }
    return false;
}
