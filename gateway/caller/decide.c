/* What a request presents, and what a caller may do. Pure. */
#include "caller/caller_internal.h"

const char *caller_status_text(enum caller_status status)
{
    switch (status) {
    case CALLER_ACTIVE:
        return "active";
    case CALLER_REVOKED:
        return "revoked";
    }
    return "unknown";
}

static const struct {
    const char *rule, *text;
} outcomes[] = {
#define ROW(id, rule, text) {rule, text},
    CALLER_OUTCOMES(ROW)
#undef ROW
};

const char *caller_outcome_rule(enum caller_outcome outcome)
{
    return outcomes[outcome].rule;
}

const char *caller_outcome_text(enum caller_outcome outcome)
{
    return outcomes[outcome].text;
}

/* --- reading a request ---------------------------------------------------------------------------------- */

/* RFC 9110 11.4: the scheme in any case, then 1*SP. False: a credential that is not one of ours, and nobody's
 * business. */
static bool bearer_key(struct slice value, struct slice *key)
{
    struct slice scheme, rest;
    if (!slice_cut(value, ' ', &scheme, &rest) || !slice_equal_nocase(scheme, SLICE("Bearer")))
        return false;
    while (rest.len > 0 && rest.ptr[0] == ' ')
        rest = slice_skip(rest, 1);
    *key = rest;
    return slice_starts(rest, SLICE("rgk_"));
}

void caller_read(const struct http_fields *fields, struct caller_proof *proof)
{
    size_t authorizations = 0, keys = 0;
    struct slice bearer = {NULL, 0}, own = {NULL, 0};
    bool has_bearer = false;
    for (size_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->at[i];
        if (field->id == FIELD_AUTHORIZATION) {
            authorizations++;
            has_bearer |= bearer_key(field->value, &bearer);
        } else if (field->id == FIELD_X_GATEWAY_KEY) {
            keys++;
            own = field->value;
        }
    }
    proof->has_key = has_bearer || keys > 0;
    proof->key = has_bearer ? bearer : own;
    proof->flaw = CALLER_KNOWN;
    if ((has_bearer && authorizations > 1) || keys > 1)
        proof->flaw = CALLER_KEY_TWICE;
    else if (has_bearer && keys > 0 && !slice_equal_secret(bearer, own))
        proof->flaw = CALLER_KEYS_DIFFER;
    else if (proof->has_key && !key_is_formed(proof->key))
        proof->flaw = CALLER_KEY_MALFORMED;
}

/* --- what a caller may do ------------------------------------------------------------------------------- */

const char *caller_rule_name(enum caller_rule rule)
{
    switch (rule) {
    case CALLER_ALLOWED:
        return "";
    case CALLER_RULE_TENANTS:
        return "tenants";
    case CALLER_RULE_APIS:
        return "apis";
    case CALLER_RULE_METHODS:
        return "methods";
    }
    return "";
}

static bool names(const struct caller_words *words, struct slice word)
{
    for (size_t i = 0; i < words->count; i++)
        if (slice_equal(words->at[i], SLICE("*")) || slice_equal(words->at[i], word))
            return true;
    return false;
}

static bool matches(const struct caller_words *patterns, struct slice text)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (slice_glob(patterns->at[i], text))
            return true;
    return false;
}

double caller_rate(const struct caller *caller)
{
    double rate;
    return caller && rate_read(caller->spec.rate, &rate) ? rate : 0;
}

enum caller_rule caller_may(const struct caller *caller, struct slice tenant, struct slice api,
                            struct slice method)
{
    if (!caller)
        return CALLER_ALLOWED;
    if (!matches(&caller->spec.tenants, tenant))
        return CALLER_RULE_TENANTS;
    if (!names(&caller->spec.apis, api))
        return CALLER_RULE_APIS;
    if (!names(&caller->spec.methods, method))
        return CALLER_RULE_METHODS;
    return CALLER_ALLOWED;
}
