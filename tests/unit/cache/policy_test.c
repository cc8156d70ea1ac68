/*
 * What is stored and what a later request gets of it: RFC 9111, 5861, 9213 row by row. The rows named after
 * public HTTP caching tests keep those tests' ids; `other` names say the behaviour.
 */
#include "unit/cache/harness.h"

enum want {
    HIT,        /* from the store, fresh */
    NOT,        /* not from the store: missed or to be revalidated */
    MISS,       /* not stored, or of no use at all */
    VALIDATED,  /* upstream is asked with a validator of its own */
    REVALIDATE, /* upstream is asked, the entry stands behind */
    STALE,      /* stale, without asking */
    BACKGROUND, /* stale, while it is revalidated */
};

struct row {
    const char *id;
    int status;
    const char *request; /* first request's fields */
    const char *answer;
    int wait_s;
    const char *again; /* second request's fields */
    enum want want;
    const char *detail; /* compared when not NULL */
};

static void run_row(const struct row *row, const struct cache_policy *policy)
{
    struct cache *cache = cache_new(1 << 20);
    struct request *first = malloc(sizeof *first), *second = malloc(sizeof *second);
    struct cache_found found;
    assert_non_null(first);
    assert_non_null(second);
    request_init(first, cache, policy, row->request ? row->request : "");
    request_init(second, cache, policy, row->again ? row->again : "");
    second->query.now_ms += (uint64_t)row->wait_s * 1000;
    cache_release(store_text(cache, first, row->status, row->answer ? row->answer : "", "body"));
    cache_find(cache, &second->query, &found);

    static const enum cache_decision decisions[] = {
        [HIT] = CACHE_HIT,
        [MISS] = CACHE_MISS,
        [VALIDATED] = CACHE_REVALIDATE,
        [REVALIDATE] = CACHE_REVALIDATE,
        [STALE] = CACHE_STALE,
        [BACKGROUND] = CACHE_STALE,
    };
    if (row->want == NOT ? found.decision != CACHE_MISS && found.decision != CACHE_REVALIDATE
                         : found.decision != decisions[row->want])
        fail_msg("%s: decision %d, detail %s, ttl %lld", row->id, (int)found.decision,
                 found.detail ? found.detail : "-", (long long)found.ttl_ms);
    if (row->want == VALIDATED &&
        (cache_entry_etag_is_ours(found.entry) || cache_entry_etag(found.entry).len == 0) &&
        cache_entry_last_modified(found.entry).len == 0)
        fail_msg("%s: no validator of upstream's", row->id);
    if (found.decision == CACHE_STALE && found.background != (row->want == BACKGROUND))
        fail_msg("%s: background %d", row->id, found.background);
    if (row->detail && (!found.detail || strcmp(found.detail, row->detail) != 0))
        fail_msg("%s: detail %s", row->id, found.detail ? found.detail : "-");
    cache_release(found.entry);
    request_deinit(first);
    request_deinit(second);
    free(first);
    free(second);
    cache_destroy(cache);
}

static void run_rows(const struct row *rows, size_t count, const struct cache_policy *policy)
{
    for (size_t i = 0; i < count; i++)
        run_row(&rows[i], policy);
}
#define RUN(rows, policy) run_rows(rows, sizeof(rows) / sizeof(rows)[0], policy)

/* One row, one line. */
/* clang-format off */

static const struct cache_policy plain = {0};
static const struct cache_policy guessing = {.heuristic = true};

#define FRESH      "Expires: @+100000\nLast-Modified: @-0\nDate: @+0\n"
#define STALE_HEAD "Expires: @-5000\nLast-Modified: @-100000\nDate: @+0\n"

static void freshness(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"freshness-none", 200, NULL, NULL, 3, NULL, NOT, NULL},
        {"freshness-max-age", 200, NULL, "Cache-Control: max-age=3600", 3, NULL, HIT, NULL},
        {"freshness-max-age-0", 200, NULL, "Cache-Control: max-age=0", 3, NULL, NOT, NULL},
        {"freshness-max-age-stale", 200, NULL, "Cache-Control: max-age=2", 3, NULL, NOT, NULL},
        {"freshness-max-age-max-minus-1", 200, NULL, "Cache-Control: max-age=2147483647", 3, NULL, HIT, NULL},
        {"freshness-max-age-max", 200, NULL, "Cache-Control: max-age=2147483648", 3, NULL, HIT, NULL},
        {"freshness-max-age-max-plus-1", 200, NULL, "Cache-Control: max-age=2147483649", 3, NULL, HIT, NULL},
        {"freshness-max-age-max-plus", 200, NULL, "Cache-Control: max-age=99999999999", 3, NULL, HIT, NULL},
        {"freshness-max-age-age", 200, NULL, "Date: @+0\nCache-Control: max-age=3600\nAge: 7200", 3, NULL, NOT, NULL},
        {"freshness-max-age-date", 200, NULL, "Date: @-7200\nCache-Control: max-age=3600", 3, NULL, NOT, NULL},
        {"freshness-max-age-expires", 200, NULL, "Cache-Control: max-age=3600\nExpires: @-7200\nDate: @+0", 3, NULL, HIT, NULL},
        {"freshness-max-age-cc-max-age-invalid-expires", 200, NULL, "Cache-Control: max-age=3600\nExpires: 0\nDate: @+0", 3, NULL, HIT, NULL},
        {"freshness-max-age-0-expires", 200, NULL, "Expires: @+3600\nCache-Control: max-age=0\nDate: @+0", 3, NULL, NOT, NULL},
        {"freshness-max-age-extension", 200, NULL, "Cache-Control: foobar, max-age=3600", 3, NULL, HIT, NULL},
        {"freshness-max-age-case-insenstive", 200, NULL, "Cache-Control: MaX-aGe=3600", 3, NULL, HIT, NULL},
        {"freshness-max-age-negative", 200, NULL, "Cache-Control: max-age=-3600", 3, NULL, NOT, NULL},
        {"freshness-s-maxage-shared", 200, NULL, "Cache-Control: s-maxage=3600", 3, NULL, HIT, NULL},
        {"freshness-max-age-s-maxage-shared-longer", 200, NULL, "Cache-Control: max-age=3600, s-maxage=1", 3, NULL, NOT, NULL},
        {"freshness-max-age-s-maxage-shared-longer-reversed", 200, NULL, "Cache-Control: s-maxage=1, max-age=3600", 3, NULL, NOT, NULL},
        {"freshness-max-age-s-maxage-shared-longer-multiple", 200, NULL, "Cache-Control: max-age=3600\nCache-Control: s-maxage=1", 3, NULL, NOT, NULL},
        {"freshness-max-age-s-maxage-shared-shorter", 200, NULL, "Cache-Control: max-age=1, s-maxage=3600", 3, NULL, HIT, NULL},
        {"freshness-max-age-s-maxage-shared-shorter-expires", 200, NULL, "Expires: @-10\nCache-Control: max-age=0, s-maxage=3600", 3, NULL, HIT, NULL},
        {"freshness-expires-future", 200, NULL, "Expires: @+2592000\nDate: @+0", 3, NULL, HIT, NULL},
        {"freshness-expires-past", 200, NULL, "Expires: @-2592000\nDate: @+0", 3, NULL, NOT, NULL},
        {"freshness-expires-present", 200, NULL, "Expires: @+0\nDate: @+0", 0, NULL, NOT, NULL},
        {"freshness-expires-old-date", 200, NULL, "Expires: @+300\nDate: @+400", 3, NULL, NOT, NULL},
        {"freshness-expires-invalid", 200, NULL, "Expires: 0\nDate: @+0", 3, NULL, NOT, NULL},
        {"freshness-expires-invalid-date", 200, NULL, "Date: foo\nExpires: @+10", 0, NULL, HIT, NULL},
        {"freshness-expires-age-slow-date", 200, NULL, "Date: @-10\nExpires: @+10\nAge: 25", 0, NULL, NOT, NULL},
        {"freshness-expires-age-fast-date", 200, NULL, "Date: @+10\nExpires: @+20\nAge: 15", 0, NULL, NOT, NULL},
        {"freshness-expires-rfc850", 200, NULL, "Expires: Thursday, 18-Aug-50 02:01:18 GMT\nDate: @+0", 3, NULL, HIT, NULL},
        {"freshness-expires-ansi-c", 200, NULL, "Expires: Thu Aug  8 02:01:18 2050\nDate: @+0", 3, NULL, HIT, NULL},
        {"freshness-expires-invalid-utc", 200, NULL, "Expires: Thu, 18 Aug 2050 02:01:18 UTC\nDate: @+0", 3, NULL, NOT, NULL},
        {"freshness-expires-invalid-aest", 200, NULL, "Expires: Thu, 18 Aug 2050 02:01:18 AEST\nDate: @+0", 3, NULL, NOT, NULL},
        {"freshness-expires-invalid-date-dashes", 200, NULL, "Expires: Thu, 18-Aug-2050 02:01:18 GMT\nDate: @+0", 0, NULL, NOT, NULL},
        {"freshness-expires-invalid-multiple-lines", 200, NULL, "Expires: @+500\nExpires: @+600\nDate: @+0", 0, NULL, NOT, NULL},
        {"two equal Expires lines are one", 200, NULL, "Expires: @+500\nExpires: @+500\nDate: @+0", 3, NULL, HIT, NULL},
        {"freshness-max-age-single-quoted", 200, NULL, "Cache-Control: max-age='3600'", 3, NULL, NOT, NULL},
        {"freshness-max-age-ignore-quoted", 200, NULL, "Cache-Control: extension=\"max-age=3600\", max-age=1", 3, NULL, NOT, NULL},
        {"freshness-max-age-ignore-quoted-rev", 200, NULL, "Cache-Control: max-age=1, extension=\"max-age=3600\"", 3, NULL, NOT, NULL},
        {"freshness-max-age-leading-zero", 200, NULL, "Cache-Control: max-age=003600", 3, NULL, HIT, NULL},
        {"freshness-max-age-a100", 200, NULL, "Cache-Control: max-age=a3600", 3, NULL, NOT, NULL},
        {"freshness-max-age-two-fresh-stale-sepline", 200, NULL, "Cache-Control: max-age=1800\nCache-Control: max-age=1", 3, NULL, NOT, NULL},
        {"fresh to the last moment", 200, NULL, "Cache-Control: max-age=10\nDate: @+0", 9, NULL, HIT, NULL},
        {"stale when the age reaches the lifetime", 200, NULL, "Cache-Control: max-age=10\nDate: @+0", 10, NULL, NOT, NULL},
    };
    RUN(rows, &plain);
}

static void age(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"age-parse-nonnumeric", 200, NULL, "Date: @+0\nCache-Control: max-age=3600\nAge: abc", 3, NULL, HIT, NULL},
        {"age-parse-negative", 200, NULL, "Date: @+0\nCache-Control: max-age=3600\nAge: -7200", 3, NULL, HIT, NULL},
        {"age-parse-float", 200, NULL, "Date: @+0\nCache-Control: max-age=3600\nAge: 7200.0", 3, NULL, HIT, NULL},
        {"age-parse-large-minus-one", 200, NULL, "Date: @+0\nCache-Control: max-age=3600\nAge: 2147483647", 3, NULL, NOT, NULL},
        {"age-parse-large", 200, NULL, "Date: @+0\nCache-Control: max-age=3600\nAge: 2147483648", 3, NULL, NOT, NULL},
        {"age-parse-larger", 200, NULL, "Date: @+0\nCache-Control: max-age=3600\nAge: 99999999999999999999", 3, NULL, NOT, NULL},
        {"an endless age beats an endless lifetime", 200, NULL, "Date: @+0\nCache-Control: max-age=99999999999\nAge: 99999999999", 3, NULL, NOT, NULL},
        {"age-parse-suffix", 200, NULL, "Date: @+0\nCache-Control: max-age=3600\nAge: 7200, 0", 3, NULL, NOT, NULL},
        {"age-parse-prefix", 200, NULL, "Date: @+0\nCache-Control: max-age=3600\nAge: 0, 7200", 3, NULL, HIT, NULL},
        {"age-parse-suffix-twoline", 200, NULL, "Date: @+0\nCache-Control: max-age=3600\nAge: 7200\nAge: 0", 3, NULL, NOT, NULL},
        {"age-parse-prefix-twoline", 200, NULL, "Date: @+0\nCache-Control: max-age=3600\nAge: 0\nAge: 7200", 3, NULL, HIT, NULL},
        {"age-parse-dup-0", 200, NULL, "Date: @+0\nCache-Control: max-age=3600\nAge: 0, 0", 3, NULL, HIT, NULL},
        {"age-parse-dup-old", 200, NULL, "Date: @+0\nCache-Control: max-age=10000\nAge: 3600\nAge: 3600", 3, NULL, HIT, NULL},
        {"age on arrival counts to the second", 200, NULL, "Date: @+0\nCache-Control: max-age=100\nAge: 97", 3, NULL, NOT, NULL},
        {"Date in the future is no youth", 200, NULL, "Date: @+50\nCache-Control: max-age=10", 11, NULL, NOT, NULL},
    };
    RUN(rows, &plain);
}

static void directives(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"cc-resp-private-shared", 200, NULL, "Cache-Control: private, max-age=3600", 0, NULL, MISS, NULL},
        {"private with fields is private", 200, NULL, "Cache-Control: private=\"a\", max-age=3600", 0, NULL, MISS, NULL},
        {"cc-resp-no-store", 200, NULL, "Cache-Control: no-store", 0, NULL, MISS, NULL},
        {"cc-resp-no-store-case-insensitive", 200, NULL, "Cache-Control: No-StOrE", 0, NULL, MISS, NULL},
        {"cc-resp-no-store-fresh", 200, NULL, "Cache-Control: max-age=10000, no-store\nExpires: @+10000\nDate: @+0", 0, NULL, MISS, NULL},
        {"cc-resp-no-cache", 200, NULL, "Cache-Control: max-age=10000, no-cache\nExpires: @+10000\nDate: @+0", 0, NULL, NOT, NULL},
        {"cc-resp-no-cache-case-insensitive", 200, NULL, "Cache-Control: max-age=10000, No-CaChE\nDate: @+0", 0, NULL, NOT, NULL},
        {"cc-resp-no-cache-revalidate", 200, NULL, "Cache-Control: no-cache\nETag: \"abcd\"", 0, NULL, VALIDATED, "no-cache"},
        {"cc-resp-no-cache-revalidate-fresh", 200, NULL, "Cache-Control: max-age=10000, no-cache\nExpires: @+10000\nDate: @+0\nETag: \"abcd\"", 0, NULL, VALIDATED, NULL},
        {"cc-resp-must-revalidate-fresh", 200, NULL, "Cache-Control: max-age=10000, must-revalidate\nETag: \"abcd\"", 0, NULL, HIT, NULL},
        {"cc-resp-must-revalidate-stale", 200, NULL, "Cache-Control: max-age=2, must-revalidate\nETag: \"abcd\"", 3, NULL, VALIDATED, NULL},
        {"immutable does not outlive max-age", 200, NULL, "Cache-Control: max-age=2, immutable\nETag: \"abcd\"", 3, NULL, VALIDATED, NULL},
        {"pragma-response-no-cache", 200, NULL, "Cache-Control: max-age=3600\nPragma: no-cache", 0, NULL, HIT, NULL},
        {"an open quote hides what may stand behind", 200, NULL, "Cache-Control: max-age=3600, foo=\"no-store", 0, NULL, MISS, NULL},
        {"status-599-must-understand", 599, NULL, "Cache-Control: max-age=3600, must-understand", 0, NULL, MISS, NULL},
        {"must-understand lifts no-store where understood", 200, NULL, "Cache-Control: max-age=3600, must-understand, no-store", 0, NULL, HIT, NULL},
        {"must-understand does not lift it otherwise", 299, NULL, "Cache-Control: max-age=3600, must-understand, no-store", 0, NULL, MISS, NULL},
        {"other-set-cookie", 200, NULL, "Cache-Control: max-age=3600\nSet-Cookie: a=b", 0, NULL, MISS, NULL},
        {"other-cookie", 200, NULL, "Cache-Control: max-age=3600", 0, "Cookie: a=b", HIT, NULL},
        {"other-authorization", 200, "Authorization: FOO", "Expires: @+2592000\nDate: @+0", 3, NULL, MISS, NULL},
        {"other-authorization-public", 200, "Authorization: FOO", "Cache-Control: max-age=3600, public\nDate: @+0", 3, NULL, HIT, NULL},
        {"other-authorization-must-revalidate", 200, "Authorization: FOO", "Cache-Control: max-age=3600, must-revalidate\nDate: @+0", 3, NULL, HIT, NULL},
        {"other-authorization-smaxage", 200, "Authorization: FOO", "Cache-Control: s-maxage=3600\nDate: @+0", 3, NULL, HIT, NULL},
        {"a request's no-store is not stored", 200, "Cache-Control: no-store", FRESH, 0, NULL, MISS, NULL},
        {"other-fresh-content-disposition-attachment", 200, NULL, "Cache-Control: max-age=3600\nContent-Disposition: attachment; filename=example.txt", 0, NULL, HIT, NULL},
    };
    RUN(rows, &plain);
}

static void requests(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"ccreq-ma0", 200, NULL, FRESH, 3, "Cache-Control: max-age=0", VALIDATED, "max-age"},
        {"ccreq-ma0 at once", 200, NULL, FRESH, 0, "Cache-Control: max-age=0", VALIDATED, "max-age"},
        {"ccreq-ma1", 200, NULL, FRESH, 3, "Cache-Control: max-age=1", NOT, NULL},
        {"ccreq-magreaterage", 200, NULL, "Cache-Control: max-age=3600\nAge: 1800", 0, "Cache-Control: max-age=600", NOT, "max-age"},
        {"ccreq-max-stale", 200, NULL, "Cache-Control: max-age=1", 3, "Cache-Control: max-stale=1000", STALE, "max-stale"},
        {"max-stale without a value", 200, NULL, "Cache-Control: max-age=1", 3000, "Cache-Control: max-stale", STALE, NULL},
        {"max-stale that is exceeded", 200, NULL, "Cache-Control: max-age=1", 30, "Cache-Control: max-stale=10", NOT, NULL},
        {"max-stale against must-revalidate", 200, NULL, "Cache-Control: max-age=1, must-revalidate", 3, "Cache-Control: max-stale", NOT, NULL},
        {"max-stale against s-maxage", 200, NULL, "Cache-Control: s-maxage=1", 3, "Cache-Control: max-stale", NOT, NULL},
        {"ccreq-max-stale-age", 200, NULL, "Cache-Control: max-age=1500\nAge: 2000", 0, "Cache-Control: max-stale=1000", STALE, NULL},
        {"ccreq-min-fresh", 200, NULL, "Cache-Control: max-age=1500", 0, "Cache-Control: min-fresh=2000", NOT, "min-fresh"},
        {"ccreq-min-fresh-age", 200, NULL, "Cache-Control: max-age=1500\nAge: 1000", 0, "Cache-Control: min-fresh=1000", NOT, NULL},
        {"min-fresh that is met", 200, NULL, "Cache-Control: max-age=1500", 0, "Cache-Control: min-fresh=1000", HIT, NULL},
        {"ccreq-no-cache", 200, NULL, "Cache-Control: max-age=3600", 0, "Cache-Control: no-cache", REVALIDATE, "no-cache"},
        {"ccreq-no-cache-lm", 200, NULL, "Cache-Control: max-age=3600\nLast-Modified: @-10000\nDate: @+0", 0, "Cache-Control: no-cache", VALIDATED, NULL},
        {"ccreq-no-cache-etag", 200, NULL, "Cache-Control: max-age=3600\nETag: \"abc\"", 0, "Cache-Control: no-cache", VALIDATED, NULL},
        {"ccreq-no-store", 200, NULL, "Cache-Control: max-age=3600", 0, "Cache-Control: no-store", MISS, "no-store"},
        {"pragma-request-no-cache", 200, NULL, "Cache-Control: max-age=3600", 0, "Pragma: no-cache", NOT, "no-cache"},
        {"Pragma beside Cache-Control does not count", 200, NULL, "Cache-Control: max-age=3600", 0, "Pragma: no-cache\nCache-Control: foo", HIT, NULL},
        {"pragma-request-extension", 200, NULL, "Cache-Control: max-age=3600", 0, "Pragma: unrecognised-extension", HIT, NULL},
        {"only-if-cached may have what is fresh", 200, NULL, "Cache-Control: max-age=3600", 0, "Cache-Control: only-if-cached", HIT, NULL},
    };
    RUN(rows, &plain);
}

static void targeted(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"cdn-max-age", 200, NULL, "CDN-Cache-Control: max-age=3600", 3, NULL, HIT, NULL},
        {"cdn-max-age-max", 200, NULL, "CDN-Cache-Control: max-age=2147483648", 3, NULL, HIT, NULL},
        {"cdn-max-age-max-plus", 200, NULL, "CDN-Cache-Control: max-age=99999999999", 3, NULL, HIT, NULL},
        {"cdn-max-age-age", 200, NULL, "Date: @+0\nCDN-Cache-Control: max-age=3600\nAge: 7200", 3, NULL, NOT, NULL},
        {"cdn-max-age-space-before-equals", 200, NULL, "Cache-Control: max-age=1\nCDN-Cache-Control: max-age =100", 3, NULL, NOT, NULL},
        {"cdn-max-age-space-after-equals", 200, NULL, "Cache-Control: max-age=1\nCDN-Cache-Control: max-age= 100", 3, NULL, NOT, NULL},
        {"cdn-max-age-0", 200, NULL, "CDN-Cache-Control: max-age=0", 3, NULL, NOT, NULL},
        {"cdn-max-age-extension", 200, NULL, "CDN-Cache-Control: foobar, max-age=3600", 3, NULL, HIT, NULL},
        {"cdn-max-age-case-insensitive", 200, NULL, "CDN-Cache-Control: MaX-aGe=3600", 3, NULL, NOT, NULL},
        {"cdn-max-age-expires", 200, NULL, "CDN-Cache-Control: max-age=3600\nExpires: @-10000\nDate: @+0", 3, NULL, HIT, NULL},
        {"cdn-max-age-cc-max-age-invalid-expires", 200, NULL, "CDN-Cache-Control: max-age=3600\nExpires: 0\nDate: @+0", 3, NULL, HIT, NULL},
        {"cdn-max-age-0-expires", 200, NULL, "CDN-Cache-Control: max-age=0\nExpires: @+10000\nDate: @+0", 3, NULL, NOT, NULL},
        {"cdn-max-age-short-cc-max-age", 200, NULL, "Cache-Control: max-age=1\nCDN-Cache-Control: max-age=3600", 3, NULL, HIT, NULL},
        {"cdn-max-age-long-cc-max-age", 200, NULL, "Cache-Control: max-age=3600\nCDN-Cache-Control: max-age=1", 3, NULL, NOT, NULL},
        {"cdn-private", 200, NULL, "CDN-Cache-Control: private\nCache-Control: max-age=10000\nExpires: @+10000\nDate: @+0", 0, NULL, MISS, NULL},
        {"cdn-no-cache", 200, NULL, "CDN-Cache-Control: no-cache\nCache-Control: max-age=10000\nExpires: @+10000\nDate: @+0", 0, NULL, NOT, NULL},
        {"cdn-no-store-cc-fresh", 200, NULL, "Cache-Control: max-age=10000\nCDN-Cache-Control: no-store\nExpires: @+10000\nDate: @+0", 3, NULL, MISS, NULL},
        {"cdn-fresh-cc-nostore", 200, NULL, "Cache-Control: no-store\nCDN-Cache-Control: max-age=10000", 3, NULL, HIT, NULL},
        {"cdn-cc-invalid-sh-type-unknown", 200, NULL, "CDN-Cache-Control: max-age=10000, &&&&&\nCache-Control: no-store", 3, NULL, MISS, NULL},
        {"cdn-cc-invalid-sh-type-wrong", 200, NULL, "CDN-Cache-Control: max-age=\"10000\"\nCache-Control: no-store", 3, NULL, MISS, NULL},
        {"an empty field is none", 200, NULL, "CDN-Cache-Control:\nCache-Control: max-age=100", 3, NULL, HIT, NULL},
        {"parameters do not count", 200, NULL, "CDN-Cache-Control: max-age=3600;foo=\"b;ar\";baz", 3, NULL, HIT, NULL},
        {"of a key that comes twice the last one", 200, NULL, "CDN-Cache-Control: max-age=1, max-age=3600", 3, NULL, HIT, NULL},
        {"members over two lines", 200, NULL, "CDN-Cache-Control: max-age=3600\nCDN-Cache-Control: no-store", 3, NULL, MISS, NULL},
        {"a flag that is switched off", 200, NULL, "CDN-Cache-Control: no-store=?0, max-age=3600", 3, NULL, HIT, NULL},
        {"a flag with a number is malformed", 200, NULL, "CDN-Cache-Control: no-store=1, max-age=3600\nCache-Control: max-age=1", 3, NULL, NOT, NULL},
        {"what stands behind a value is malformed", 200, NULL, "CDN-Cache-Control: max-age=3600 x", 3, NULL, NOT, NULL},
        {"a trailing comma is malformed", 200, NULL, "CDN-Cache-Control: max-age=3600,", 3, NULL, NOT, NULL},
        {"a negative age is malformed", 200, NULL, "CDN-Cache-Control: max-age=-1\nCache-Control: max-age=100", 3, NULL, HIT, NULL},
        {"a decimal is malformed", 200, NULL, "CDN-Cache-Control: max-age=3600.0\nCache-Control: max-age=1", 3, NULL, NOT, NULL},
        {"sixteen digits are malformed", 200, NULL, "CDN-Cache-Control: max-age=1000000000000000", 3, NULL, NOT, NULL},
        {"every other type parses", 200, NULL, "CDN-Cache-Control: a=(1 \"x\" tok;p=1);q, b=:aGk=:, c=?1, d=-1.5, e=t/x:y, max-age=3600", 3, NULL, HIT, NULL},
        {"an open list is malformed", 200, NULL, "CDN-Cache-Control: max-age=3600, a=(1 2", 3, NULL, NOT, NULL},
        {"an open string is malformed", 200, NULL, "CDN-Cache-Control: max-age=3600, a=\"b", 3, NULL, NOT, NULL},
        {"stale-while-revalidate is read there, too", 200, NULL, "CDN-Cache-Control: max-age=1, stale-while-revalidate=60", 3, NULL, BACKGROUND, NULL},
        {"must-revalidate is read there, too", 200, NULL, "CDN-Cache-Control: max-age=1, must-revalidate, stale-while-revalidate=60", 3, NULL, NOT, NULL},
    };
    RUN(rows, &plain);
}

static void statuses(void **state)
{
    (void)state;
    static const int stored[] = {200, 203, 204, 299, 300, 301, 302, 303, 307, 308, 400, 404,
                                 405, 410, 414, 451, 499, 500, 501, 502, 503, 504, 599};
    static const int never[] = {206, 304, 401, 403, 407, 408, 409, 412, 416, 425, 428, 429, 431, 511};
    for (size_t i = 0; i < sizeof stored / sizeof stored[0]; i++) {
        run_row(&(struct row){"status-fresh", stored[i], NULL, FRESH, 0, NULL, HIT, NULL}, &plain);
        run_row(&(struct row){"status-stale", stored[i], NULL, STALE_HEAD, 0, NULL, NOT, NULL}, &plain);
    }
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
        run_row(&(struct row){"never stored", never[i], NULL, FRESH, 0, NULL, MISS, NULL}, &plain);
}

static void heuristics(void **state)
{
    (void)state;
    static const char head[] = "Last-Modified: @-86400\nDate: @+0";
    static const int fresh[] = {200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501};
    static const int not_fresh[] = {201, 202, 403, 502, 503, 504, 599};
    for (size_t i = 0; i < sizeof fresh / sizeof fresh[0]; i++)
        run_row(&(struct row){"heuristic-cached", fresh[i], NULL, head, 0, NULL, HIT, NULL}, &guessing);
    for (size_t i = 0; i < sizeof not_fresh / sizeof not_fresh[0]; i++)
        run_row(&(struct row){"heuristic-not_cached", not_fresh[i], NULL, head, 0, NULL, NOT, NULL}, &guessing);
    static const struct row rows[] = {
        {"heuristic-599-cached", 599, NULL, "Last-Modified: @-86400\nDate: @+0\nCache-Control: public", 0, NULL, HIT, NULL},
        {"a tenth of its age", 200, NULL, "Last-Modified: @-1000\nDate: @+0", 99, NULL, HIT, NULL},
        {"no more than a tenth", 200, NULL, "Last-Modified: @-1000\nDate: @+0", 100, NULL, VALIDATED, NULL},
        {"a day at most", 200, NULL, "Last-Modified: @-86400000\nDate: @+0", 86401, NULL, VALIDATED, NULL},
        {"nothing from the future", 200, NULL, "Last-Modified: @+1000\nDate: @+0", 0, NULL, VALIDATED, NULL},
        {"explicit freshness comes first", 200, NULL, "Last-Modified: @-86400\nDate: @+0\nCache-Control: max-age=1", 3, NULL, VALIDATED, NULL},
    };
    RUN(rows, &guessing);
    run_row(&(struct row){"no guess where none is configured", 200, NULL, head, 0, NULL, VALIDATED, NULL}, &plain);
}

static void vary(void **state)
{
    (void)state;
#define NEGOTIATED "Expires: @+5000\nLast-Modified: @-3000\nDate: @+0\nVary: "
    static const struct row rows[] = {
        {"vary-match", 200, "Foo: 1", NEGOTIATED "Foo", 0, "Foo: 1", HIT, NULL},
        {"vary-no-match", 200, "Foo: 1", NEGOTIATED "Foo", 0, "Foo: 2", MISS, NULL},
        {"vary-omit-stored", 200, NULL, NEGOTIATED "Foo", 0, "Foo: 1", MISS, NULL},
        {"vary-omit", 200, "Foo: 1", NEGOTIATED "Foo", 0, NULL, MISS, NULL},
        {"an empty field is not an absent one", 200, "Foo:", NEGOTIATED "Foo", 0, NULL, MISS, NULL},
        {"vary-cache-key", 200, "Foo: 1\nOther: 2", NEGOTIATED "Foo", 0, "Foo: 1\nOther: 3", HIT, NULL},
        {"names without case", 200, "FOO: 1", NEGOTIATED "foo", 0, "fOO: 1", HIT, NULL},
        {"vary-2-match", 200, "Foo: 1\nBar: abc", NEGOTIATED "Foo, Bar", 0, "Foo: 1\nBar: abc", HIT, NULL},
        {"vary-2-no-match", 200, "Foo: 1\nBar: abc", NEGOTIATED "Foo, Bar", 0, "Foo: 2\nBar: abc", MISS, NULL},
        {"vary-2-match-omit", 200, "Foo: 1", NEGOTIATED "Foo, Bar", 0, NULL, MISS, NULL},
        {"vary-3-match", 200, "Foo: 1\nBar: abc\nBaz: 789", NEGOTIATED "Foo, Bar, Baz", 0, "Baz: 789\nBar: abc\nFoo: 1", HIT, NULL},
        {"vary-3-order", 200, "Foo: 1\nBar: abc4\nBaz: 789", NEGOTIATED "Foo, Bar, Baz", 0, "Foo: 1\nBar: abc\nBaz: 789", MISS, NULL},
        {"vary-3-omit", 200, "Foo: 1\nBaz: 789", NEGOTIATED "Foo, Bar, Baz", 0, "Foo: 1\nBaz: 789", HIT, NULL},
        {"vary-star", 200, NULL, NEGOTIATED "*", 0, NULL, MISS, NULL},
        {"vary-syntax-star-star-lines", 200, NULL, NEGOTIATED "*\nVary: *", 0, NULL, MISS, NULL},
        {"vary-syntax-empty-star", 200, NULL, NEGOTIATED ", *", 0, NULL, MISS, NULL},
        {"vary-syntax-empty-star-lines", 200, NULL, NEGOTIATED "\nVary: *", 0, NULL, MISS, NULL},
        {"vary-syntax-star-foo", 200, "Foo: 1", NEGOTIATED "*, Foo", 0, "Foo: 1", MISS, NULL},
        {"vary-syntax-foo-star", 200, "Foo: 1", NEGOTIATED "Foo, *", 0, "Foo: 1", MISS, NULL},
        {"a name that is none is in doubt", 200, "Foo: 1", NEGOTIATED "Foo bar", 0, "Foo: 1", MISS, NULL},
        {"vary-normalise-combine", 200, "Foo: 1, 2", NEGOTIATED "Foo", 0, "Foo: 1\nFoo: 2", HIT, NULL},
        {"vary-normalise-space", 200, "Foo: 1,2", NEGOTIATED "Foo", 0, "Foo:  1,  2  ", HIT, NULL},
        {"quoted commas are no commas", 200, "Foo: \"1, 2\"", NEGOTIATED "Foo", 0, "Foo: \"1,2\"", MISS, NULL},
        {"vary-normalise-lang-order", 200, "Accept-Language: en, de", NEGOTIATED "Accept-Language", 0, "Accept-Language: de, en", HIT, NULL},
        {"vary-normalise-lang-case", 200, "Accept-Language: en, de", NEGOTIATED "Accept-Language", 0, "Accept-Language: eN, De", HIT, NULL},
        {"vary-normalise-lang-space", 200, "Accept-Language: en, de", NEGOTIATED "Accept-Language", 0, "Accept-Language:  en ,   de", HIT, NULL},
        {"vary-normalise-lang-select", 200, "Accept-Language: en, de", NEGOTIATED "Accept-Language\nContent-Language: de", 0, "Accept-Language: fr;q=0.5, DE;q=1.0", HIT, NULL},
        {"the answer's language alone", 200, "Accept-Language: en, de", NEGOTIATED "Accept-Language\nContent-Language: de", 0, "Accept-Language: de", HIT, NULL},
        {"a language as good as the answer's", 200, "Accept-Language: en, de", NEGOTIATED "Accept-Language\nContent-Language: de", 0, "Accept-Language: fr, de", MISS, NULL},
        {"a better language than the answer's", 200, "Accept-Language: en, de", NEGOTIATED "Accept-Language\nContent-Language: de", 0, "Accept-Language: fr;q=0.9, de;q=0.8", MISS, NULL},
        {"a weight that is none", 200, "Accept-Language: en, de", NEGOTIATED "Accept-Language\nContent-Language: de", 0, "Accept-Language: de;q=x", MISS, NULL},
        {"two languages in one answer", 200, "Accept-Language: en, de", NEGOTIATED "Accept-Language\nContent-Language: de, en", 0, "Accept-Language: de", MISS, NULL},
        {"the language is not all that varies", 200, "Accept-Language: en\nFoo: 1", NEGOTIATED "Accept-Language, Foo\nContent-Language: de", 0, "Accept-Language: de\nFoo: 2", MISS, NULL},
        {"another language is another variant", 200, "Accept-Language: en", NEGOTIATED "Accept-Language", 0, "Accept-Language: de", MISS, NULL},
        {"other fields keep their order", 200, "Foo: a, b", NEGOTIATED "Foo", 0, "Foo: b, a", MISS, NULL},
        {"other fields keep their case", 200, "Foo: a", NEGOTIATED "Foo", 0, "Foo: A", MISS, NULL},
        {"what is never passed on cannot select", 200, "Cookie: a", NEGOTIATED "Cookie, Accept-Encoding", 0, "Cookie: b\nAccept-Encoding: gzip", HIT, NULL},
        {"a caller's Authorization may go up under a plain policy, and no variant knows it", 200, "", NEGOTIATED "Authorization", 0, "", MISS, NULL},
    };
    RUN(rows, &plain);
}

static void stale(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"stale-while-revalidate", 200, NULL, "Cache-Control: max-age=1, stale-while-revalidate=3600\nETag: \"abc\"", 3, NULL, BACKGROUND, "stale-while-revalidate"},
        {"stale-while-revalidate-window", 200, NULL, "Cache-Control: max-age=1, stale-while-revalidate=4\nETag: \"abc\"", 6, NULL, VALIDATED, NULL},
        {"not against must-revalidate", 200, NULL, "Cache-Control: max-age=1, stale-while-revalidate=60, must-revalidate", 3, NULL, NOT, NULL},
        {"not against proxy-revalidate", 200, NULL, "Cache-Control: max-age=1, stale-while-revalidate=60, proxy-revalidate", 3, NULL, NOT, NULL},
        {"not against s-maxage", 200, NULL, "Cache-Control: s-maxage=1, stale-while-revalidate=60", 3, NULL, NOT, NULL},
        {"not against no-cache", 200, NULL, "Cache-Control: max-age=1, stale-while-revalidate=60, no-cache\nETag: \"a\"", 3, NULL, NOT, NULL},
        {"not against a request's no-cache", 200, NULL, "Cache-Control: max-age=1, stale-while-revalidate=60", 3, "Cache-Control: no-cache", NOT, NULL},
        {"not against a request's max-age", 200, NULL, "Cache-Control: max-age=1, stale-while-revalidate=60", 3, "Cache-Control: max-age=2", NOT, NULL},
        {"not against a request's min-fresh", 200, NULL, "Cache-Control: max-age=1, stale-while-revalidate=60", 3, "Cache-Control: min-fresh=0", NOT, NULL},
    };
    RUN(rows, &plain);
    const struct cache_policy configured = {.swr_ms = 60000};
    run_row(&(struct row){"the configuration's does not prolong upstream's word", 200, NULL, "Cache-Control: max-age=1", 3, NULL, NOT, NULL}, &configured);
}

static void configuration(void **state)
{
    (void)state;
    static const struct cache_policy hour = {
        .ttl_ms = 3600000, .ttl_uncovered_ms = 30000, .swr_ms = 30000, .negative_ms = 10000};
    static const struct row rows[] = {
        {"ttl gives what upstream does not", 200, NULL, NULL, 3599, NULL, HIT, NULL},
        {"and no more", 200, NULL, NULL, 3700, NULL, REVALIDATE, NULL},
        {"and a while in the background", 200, NULL, NULL, 3610, NULL, BACKGROUND, NULL},
        {"Age on arrival counts", 200, NULL, "Age: 3590", 12, NULL, BACKGROUND, NULL},
        {"a slow clock of upstream's does not", 200, NULL, "Date: @-7200", 12, NULL, HIT, NULL},
        {"upstream's max-age=0 is obeyed", 200, NULL, "Cache-Control: max-age=0", 1, NULL, NOT, NULL},
        {"upstream's long lifetime, too", 200, NULL, "Cache-Control: max-age=7200", 7000, NULL, HIT, NULL},
        {"no-store, too", 200, NULL, "Cache-Control: no-store", 1, NULL, MISS, NULL},
        {"private, too", 200, NULL, "Cache-Control: private", 1, NULL, MISS, NULL},
        {"no-cache, too", 200, NULL, "Cache-Control: no-cache\nETag: \"a\"", 1, NULL, VALIDATED, NULL},
        {"Authorization does not bar", 200, "Authorization: FOO", NULL, 1, NULL, HIT, NULL},
        {"Set-Cookie does", 200, NULL, "Set-Cookie: a=b", 1, NULL, MISS, NULL},
        {"404 briefly", 404, NULL, NULL, 9, NULL, HIT, NULL},
        {"404 no longer", 404, NULL, NULL, 41, NULL, REVALIDATE, NULL},
        {"409 never", 409, NULL, "Cache-Control: max-age=60", 1, NULL, MISS, NULL},
        {"500 not by ttl", 500, NULL, NULL, 1, NULL, MISS, NULL},
        {"nor by upstream's own word", 500, NULL, "Cache-Control: max-age=60", 1, NULL, MISS, NULL},
        {"404 by upstream's own word", 404, NULL, "Cache-Control: max-age=60", 50, NULL, HIT, NULL},
        {"400 not by ttl", 400, NULL, NULL, 1, NULL, MISS, NULL},
        {"302 not by ttl", 302, NULL, NULL, 1, NULL, MISS, NULL},
        {"204 by ttl", 204, NULL, NULL, 1, NULL, HIT, NULL},
        {"206 never", 206, NULL, "Content-Range: bytes 0-3/10", 1, NULL, MISS, NULL},
    };
    RUN(rows, &hour);
    const struct cache_policy both = {.ttl_ms = 3600000, .ttl_uncovered_ms = 3600000, .heuristic = true};
    run_row(&(struct row){"a guess does not bring the slow clock in again", 200, NULL, "Date: @-7200\nLast-Modified: @-9000", 12, NULL, HIT, NULL}, &both);
}

static void overrides(void **state)
{
    (void)state;
    static const struct cache_policy policy = {.ttl_ms = 60000,
                                               .ttl_uncovered_ms = 60000,
                                               .swr_ms = 60000,
                                               .ignore = CC_PRIVATE | CC_NO_CACHE | CC_MUST_REVALIDATE |
                                                         CC_NO_STORE | CACHE_IGNORE_MAX_AGE |
                                                         CACHE_IGNORE_EXPIRES | CACHE_IGNORE_S_MAXAGE};
    static const struct row rows[] = {
        {"private is overlooked", 200, NULL, "Cache-Control: private", 3, NULL, HIT, NULL},
        {"no-cache is overlooked", 200, NULL, "Cache-Control: no-cache", 3, NULL, HIT, NULL},
        {"max-age is overlooked", 200, NULL, "Cache-Control: max-age=0", 3, NULL, HIT, NULL},
        {"s-maxage is overlooked", 200, NULL, "Cache-Control: s-maxage=0", 61, NULL, BACKGROUND, NULL},
        {"Expires is overlooked", 200, NULL, "Expires: 0", 3, NULL, HIT, NULL},
        {"must-revalidate is overlooked", 200, NULL, "Cache-Control: must-revalidate", 61, NULL, BACKGROUND, NULL},
        {"no-store never", 200, NULL, "Cache-Control: no-store", 3, NULL, MISS, NULL},
    };
    RUN(rows, &policy);
    const struct cache_policy cookies = {.keep_cookies = true};
    run_row(&(struct row){"other-set-cookie where the profile keeps them", 200, NULL, "Cache-Control: max-age=3600\nSet-Cookie: a=b", 0, NULL, HIT, NULL}, &cookies);
}

/* clang-format on */

/* RFC 9111 4.2.3: the time the answer was on its way counts. */
static void request_delay(void **state)
{
    (void)state;
    struct cache *cache = cache_new(1 << 20);
    struct request request;
    struct reply reply;
    struct cache_found found;
    request_init(&request, cache, &plain, "");
    reply_init(&reply, &request, 200, "Cache-Control: max-age=10\nAge: 4");
    reply.answer.request_ms = MONO - 3500;
    cache_release(cache_store(cache, &request.query, &reply.answer, SLICE("body")));
    cache_find(cache, &request.query, &found);
    assert_int_equal(found.decision, CACHE_HIT);
    assert_int_equal(found.age_ms, 7500);
    assert_int_equal(found.ttl_ms, 2500);
    cache_release(found.entry);
    request_deinit(&request);
    cache_destroy(cache);
}

/* RFC 9110 9.3.3. That Content-Location names the target is the caller's to know. */
static void the_answer_to_a_post(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *head;
        bool stored;
    } rows[] = {
        {200, "Cache-Control: max-age=60", true},
        {200, "ETag: \"e\"", false},
        {200, "Last-Modified: @-1000", false},
        {404, "Cache-Control: max-age=60", false},
        {200, "Cache-Control: no-store, max-age=60", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cache *cache = cache_new(1 << 20);
        struct request request;
        struct cache_found found;
        request_init(&request, cache, &plain, "");
        request.query.method = METHOD_POST;
        cache_release(store_text(cache, &request, rows[i].status, rows[i].head, "body"));
        request.query.method = METHOD_GET;
        cache_find(cache, &request.query, &found);
        if ((found.decision == CACHE_HIT) != rows[i].stored)
            fail_msg("row %zu", i);
        cache_release(found.entry);
        request_deinit(&request);
        cache_destroy(cache);
    }
}

/* Coverage that begins later does not vouch for what was fetched before it. */
static void coverage(void **state)
{
    (void)state;
    static const struct cache_policy policy = {.ttl_ms = 3600000, .ttl_uncovered_ms = 30000};
    static const struct {
        bool stored_covered, found_covered;
        int wait_s;
        enum cache_decision want;
    } rows[] = {
        {true, true, 3000, CACHE_HIT},       {true, false, 29, CACHE_HIT},
        {true, false, 31, CACHE_REVALIDATE}, {false, true, 31, CACHE_REVALIDATE},
        {false, true, 29, CACHE_HIT},        {false, false, 31, CACHE_REVALIDATE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cache *cache = cache_new(1 << 20);
        struct request request;
        struct cache_found found;
        request_init(&request, cache, &policy, "");
        request.query.covered = rows[i].stored_covered;
        cache_release(store_text(cache, &request, 200, "", "body"));
        request.query.covered = rows[i].found_covered;
        request.query.now_ms += (uint64_t)rows[i].wait_s * 1000;
        cache_find(cache, &request.query, &found);
        if (found.decision != rows[i].want)
            fail_msg("row %zu: %d", i, (int)found.decision);
        cache_release(found.entry);
        request_deinit(&request);
        cache_destroy(cache);
    }
}

static void stale_if_error(void **state)
{
    (void)state;
    static const struct {
        const char *id, *answer, *again;
        uint64_t sie_ms;
        int wait_s;
        bool want;
    } rows[] = {
        {"stale-close", "Cache-Control: max-age=2", "", 60000, 10, true},
        {"to the configured end", "Cache-Control: max-age=2", "", 60000, 62, true},
        {"and not beyond", "Cache-Control: max-age=2", "", 60000, 63, false},
        {"not where it is off", "Cache-Control: max-age=2", "", 0, 10, false},
        {"stale-sie-close", "Cache-Control: max-age=2, stale-if-error=60", "", 0, 10, true},
        {"upstream's own word decides", "Cache-Control: max-age=2, stale-if-error=5", "", 60000, 10, false},
        {"a client may ask for less", "Cache-Control: max-age=2", "Cache-Control: stale-if-error=5", 60000,
         10, false},
        {"but not for more", "Cache-Control: max-age=2", "Cache-Control: stale-if-error=500", 60000, 100,
         false},
        {"stale-close-must-revalidate", "Cache-Control: max-age=2, must-revalidate", "", 60000, 10, false},
        {"stale-close-proxy-revalidate", "Cache-Control: max-age=2, proxy-revalidate", "", 60000, 10, false},
        {"stale-close-no-cache", "Cache-Control: max-age=2, no-cache\nETag: \"a\"", "", 60000, 10, false},
        {"stale-close-s-maxage=2", "Cache-Control: max-age=2, s-maxage=2", "", 60000, 10, false},
        {"no-cache of the client", "Cache-Control: max-age=2", "Cache-Control: no-cache", 60000, 10, false},
        {"max-age of the client", "Cache-Control: max-age=2", "Cache-Control: max-age=5", 60000, 10, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cache *cache = cache_new(1 << 20);
        struct request request;
        const struct cache_policy policy = {.sie_ms = rows[i].sie_ms};
        request_init(&request, cache, &policy, "");
        struct cache_entry *entry = store_text(cache, &request, 200, rows[i].answer, "body");
        assert_non_null(entry);
        request_deinit(&request);
        request_init(&request, cache, &policy, rows[i].again);
        if (cache_stale_if_error(entry, &request.query, MONO + (uint64_t)rows[i].wait_s * 1000) !=
            rows[i].want)
            fail_msg("%s", rows[i].id);
        cache_release(entry);
        request_deinit(&request);
        cache_destroy(cache);
    }
}

static void methods(void **state)
{
    (void)state;
    struct cache *cache = cache_new(1 << 20);
    struct request request;
    struct reply reply;
    struct cache_found found;
    const char *why;
    request_init(&request, cache, &plain, "");
    reply_init(&reply, &request, 200, FRESH);
    static const enum method others[] = {METHOD_HEAD,  METHOD_PUT,     METHOD_DELETE,
                                         METHOD_PATCH, METHOD_OPTIONS, METHOD_OTHER};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        request.query.method = others[i];
        assert_int_equal(cache_may_store(&request.query, &reply.answer, &why), CACHE_STORE_NOT);
        assert_string_equal(why, "method");
    }
    request.query.method = METHOD_GET;
    cache_release(store_text(cache, &request, 200, FRESH, "body"));
    request.query.method = METHOD_HEAD; /* contract 4: served from a stored GET */
    cache_find(cache, &request.query, &found);
    assert_int_equal(found.decision, CACHE_HIT);
    cache_release(found.entry);
    request.query.method = METHOD_POST;
    cache_find(cache, &request.query, &found);
    assert_int_equal(found.decision, CACHE_MISS);
    request_deinit(&request);
    cache_destroy(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(freshness),
        cmocka_unit_test(age),
        cmocka_unit_test(directives),
        cmocka_unit_test(requests),
        cmocka_unit_test(targeted),
        cmocka_unit_test(statuses),
        cmocka_unit_test(heuristics),
        cmocka_unit_test(vary),
        cmocka_unit_test(the_answer_to_a_post),
        cmocka_unit_test(stale),
        cmocka_unit_test(configuration),
        cmocka_unit_test(overrides),
        cmocka_unit_test(request_delay),
        cmocka_unit_test(coverage),
        cmocka_unit_test(stale_if_error),
        cmocka_unit_test(methods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
