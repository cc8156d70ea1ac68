/* Any field values: the result keeps its bounds, and neither more fields nor a repetition ever loosen it. */
#include <assert.h>

#include "http/cache_control.h"

static const int64_t seconds_max = (int64_t)1 << 31;

enum {
    RESTRICTING = CC_NO_STORE | CC_NO_CACHE | CC_PRIVATE | CC_MUST_REVALIDATE | CC_PROXY_REVALIDATE |
                  CC_NO_TRANSFORM | CC_ONLY_IF_CACHED,
};

static struct cache_control parse(struct slice first, struct slice second, enum field_id id)
{
    struct http_field at[] = {{field_name(id), slice_trim(first), id},
                              {field_name(id), slice_trim(second), id}};
    const struct http_fields fields = {at, 2};
    return cache_control_parse(&fields, id);
}

static void check_seconds(int64_t value)
{
    assert(value == CC_ABSENT || (value >= 0 && value <= seconds_max));
}

static void check_bounds(const struct cache_control *cc)
{
    check_seconds(cc->max_age);
    check_seconds(cc->s_maxage);
    check_seconds(cc->max_stale);
    check_seconds(cc->min_fresh);
    check_seconds(cc->stale_while_revalidate);
    check_seconds(cc->stale_if_error);
    assert((cc->flags & ~(unsigned)((CC_MAX_STALE_ANY << 1) - 1)) == 0);
    assert(!(cc->flags & CC_MAX_STALE_ANY) || cc->max_stale == CC_ABSENT);
    if (!cc->present)
        assert(cc->flags == 0 && cc->max_age == CC_ABSENT && cc->s_maxage == CC_ABSENT);
}

/* A limit that `base` has may only shrink. */
static void check_not_longer(int64_t base, int64_t more)
{
    assert(base == CC_ABSENT || (more != CC_ABSENT && more <= base));
}

static void check_not_looser(const struct cache_control *base, const struct cache_control *more)
{
    assert((base->flags & RESTRICTING & ~more->flags) == 0);
    check_not_longer(base->max_age, more->max_age);
    check_not_longer(base->s_maxage, more->s_maxage);
    check_not_longer(base->stale_while_revalidate, more->stale_while_revalidate);
    check_not_longer(base->stale_if_error, more->stale_if_error);
    assert(more->min_fresh >= base->min_fresh);
}

static bool same(const struct cache_control *a, const struct cache_control *b)
{
    return a->flags == b->flags && a->max_age == b->max_age && a->s_maxage == b->s_maxage &&
           a->max_stale == b->max_stale && a->min_fresh == b->min_fresh && a->present == b->present &&
           a->stale_while_revalidate == b->stale_while_revalidate && a->stale_if_error == b->stale_if_error;
}

static void check_id(struct slice first, struct slice second, enum field_id id)
{
    const struct slice none = {NULL, 0};
    const struct cache_control one = parse(first, none, id);
    const struct cache_control two = parse(second, none, id);
    const struct cache_control both = parse(first, second, id);
    const struct cache_control swapped = parse(second, first, id);
    const struct cache_control twice = parse(first, first, id);
    check_bounds(&one);
    check_bounds(&both);
    assert(same(&one, &twice));
    assert(same(&both, &swapped));
    if (id == FIELD_CACHE_CONTROL || both.present) {
        check_not_looser(&one, &both);
        check_not_looser(&two, &both);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice first, second;
    slice_cut(slice_of((const char *)data, size), '\n', &first, &second);
    check_id(first, second, FIELD_CACHE_CONTROL);
    check_id(first, second, FIELD_CDN_CACHE_CONTROL);
    return 0;
}
