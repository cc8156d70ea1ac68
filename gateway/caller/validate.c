/* What a key may be made with. Pure; what was given is never quoted. */
#include "caller/caller_internal.h"

enum { STARS_MAX = 8, RATE_MAX = 1000 * 1000 * 1000 };

/* Each star costs a pass over the tenant, on every request. */
static bool is_pattern(struct slice s)
{
    size_t stars = 0;
    for (size_t i = 0; i < s.len; i++)
        stars += s.ptr[i] == '*';
    return stars <= STARS_MAX && slice_is_name(s, CALLER_TENANT_MAX, "._:@-*");
}

static bool is_api(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] >= 'A' && s.ptr[i] <= 'Z')
            return false;
    return slice_equal(s, SLICE("*")) || slice_is_name(s, CALLER_API_MAX, "-");
}

/* Methods are told apart by case (RFC 9110 9.1), and all that exist are in capitals: "get" would never match.
 */
static bool is_method(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] >= 'a' && s.ptr[i] <= 'z')
            return false;
    return slice_equal(s, SLICE("*")) || slice_is_name(s, CALLER_METHOD_MAX, "-_");
}

/* In the one form in which it is compared: "01000" would never match. */
static bool is_uid(struct slice digits)
{
    uint64_t uid;
    return slice_to_u64(digits, &uid) && uid < UINT32_MAX && (digits.len == 1 || digits.ptr[0] != '0');
}

static bool is_peer(struct slice s)
{
    static const char *const kinds[] = {"uri:", "dns:", "cn:", "uid:"};
    bool known = false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        known |= slice_starts(s, slice_from(kinds[i])) && s.len > strlen(kinds[i]);
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < 0x20 || s.ptr[i] > 0x7E)
            return false;
    if (slice_starts(s, SLICE("uid:")) && !is_uid(slice_skip(s, strlen("uid:"))))
        return false;
    return known && s.len <= CALLER_PEER_MAX;
}

bool rate_read(struct slice s, double *per_second)
{
    struct slice number, unit;
    uint64_t value;
    if (s.len > CALLER_RATE_MAX || !slice_cut(s, '/', &number, &unit) || unit.len != 1 ||
        !slice_to_u64(number, &value) || value == 0 || value > RATE_MAX)
        return false;
    double seconds = unit.ptr[0] == 's' ? 1 : unit.ptr[0] == 'm' ? 60 : unit.ptr[0] == 'h' ? 3600 : 0;
    if (seconds <= 0)
        return false;
    *per_second = (double)value / seconds;
    return true;
}

static int check_words(const char *path, const struct caller_words *words, bool (*is_word)(struct slice),
                       const char *expected, struct fault *fault)
{
    if (words->count > CALLER_WORDS_MAX)
        return fault_set(fault, ERR_INVALID, "%s: at most %d", path, CALLER_WORDS_MAX);
    for (size_t i = 0; i < words->count; i++) {
        if (!is_word(words->at[i]))
            return fault_set(fault, ERR_INVALID, "%s[%zu]: must be %s", path, i, expected);
        for (size_t earlier = 0; earlier < i; earlier++)
            if (slice_equal(words->at[earlier], words->at[i]))
                return fault_set(fault, ERR_INVALID, "%s[%zu]: the same as %s[%zu]", path, i, path, earlier);
    }
    return 0;
}

int caller_validate(const struct caller_spec *spec, struct fault *fault)
{
    double rate;
    const struct {
        const char *path;
        const struct caller_words *words;
        bool (*is_word)(struct slice);
        const char *expected;
    } lists[] = {
        {"tenants", &spec->tenants, is_pattern, "1 to 128 of A-Z a-z 0-9 . _ : @ - and at most 8 *"},
        {"apis", &spec->apis, is_api, "1 to 32 of a-z 0-9 -, or * alone"},
        {"methods", &spec->methods, is_method, "a method in capitals, such as GET, or * alone"},
        {"peers", &spec->peers, is_peer, "uri:…, dns:…, cn:… or uid:1000, at most 255 printable characters"},
    };
    if (!slice_is_name(spec->name, CALLER_NAME_MAX, "._-"))
        return fault_set(fault, ERR_INVALID, "name: must be 1 to %d of A-Z a-z 0-9 . _ -", CALLER_NAME_MAX);
    if (spec->rate.len > 0 && !rate_read(spec->rate, &rate))
        return fault_set(fault, ERR_INVALID, "rate: must be a whole number and /s, /m or /h, such as 100/s");
    int rc = 0;
    for (size_t i = 0; i < sizeof lists / sizeof *lists && rc == 0; i++)
        rc = check_words(lists[i].path, lists[i].words, lists[i].is_word, lists[i].expected, fault);
    return rc;
}
