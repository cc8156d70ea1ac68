/* Who is calling, and may they do this? Asked before anything else is said about the request, and again once
 * it is known what it wants. */
#include "caller/caller.h"
#include "internal.h"

/* "rule" is for programs; neither it nor the sentence says anything about the key. */
static void refuse_by_rule(struct visit *visit, enum problem problem, const char *rule, const char *detail)
{
    char extra[64];
    snprintf(extra, sizeof extra, ",\"rule\":\"%s\"", rule);
    visit->rule = rule;
    visit->outcome = PIPELINE_REFUSED;
    answer_problem_with(visit, problem, extra, detail);
}

static enum problem problem_of(enum caller_outcome outcome)
{
    switch (outcome) {
    case CALLER_KEY_TWICE:
        return PROBLEM_BAD_REQUEST;
    case CALLER_UNAVAILABLE:
        return PROBLEM_STORE_UNAVAILABLE;
    case CALLER_KNOWN:
    case CALLER_ANONYMOUS:
    case CALLER_KEYS_DIFFER:
    case CALLER_KEY_MISSING:
    case CALLER_KEY_MALFORMED:
    case CALLER_KEY_UNKNOWN:
    case CALLER_KEY_REVOKED:
    case CALLER_PEER_UNKNOWN:
    case CALLER_PEER_DIFFERS:
        return PROBLEM_UNAUTHENTICATED;
    }
    return PROBLEM_UNAUTHENTICATED;
}

static enum caller_outcome identify(struct pipeline *pipeline, const struct pipeline_settings *settings,
                                    const struct server_exchange *x, const struct caller **out)
{
    struct caller_proof proof = {
        .peer = x->peer_name,
        .anonymous = settings->allow_anonymous,
        .now_ms = loop_now(pipeline->loop),
    };
    caller_read(&x->request.fields, &proof);
    if (store_view_begin(pipeline->view))
        return CALLER_UNAVAILABLE;
    enum caller_outcome outcome = caller_identify(pipeline->desk, pipeline->view, &proof, out);
    store_view_end(pipeline->view);
    return outcome;
}

bool pipeline_admits(struct pipeline *pipeline, const struct server_exchange *x, struct slice tenant)
{
    const struct caller *caller = NULL;
    enum caller_outcome outcome = identify(pipeline, pipeline->settings, x, &caller);
    bool known = outcome == CALLER_KNOWN || outcome == CALLER_ANONYMOUS;
    enum caller_rule rule = caller_may(caller, tenant, SLICE("events"), x->request.method_name);
    caller_release(caller);
    return known && rule == CALLER_ALLOWED;
}

bool step_caller(struct visit *visit)
{
    if (visit->insider) {
        visit->caller = visit->insider->caller;
        caller_retain(visit->caller);
        return true;
    }
    enum caller_outcome outcome = identify(visit->pipeline, visit->settings, visit->x, &visit->caller);
    if (outcome == CALLER_KNOWN || outcome == CALLER_ANONYMOUS)
        return true;
    refuse_by_rule(visit, problem_of(outcome), caller_outcome_rule(outcome), caller_outcome_text(outcome));
    return false;
}

bool step_allowed(struct visit *visit, struct slice api)
{
    enum caller_rule rule =
        visit->insider ? CALLER_ALLOWED
                       : caller_may(visit->caller, visit->route.tenant, api, visit->x->request.method_name);
    const char *detail = NULL;
    switch (rule) {
    case CALLER_ALLOWED:
        return true;
    case CALLER_RULE_TENANTS:
        detail = "the caller's key does not allow this tenant (rule: tenants)";
        break;
    case CALLER_RULE_APIS:
        detail = "the caller's key does not allow this API (rule: apis)";
        break;
    case CALLER_RULE_METHODS:
        detail = "the caller's key does not allow this method (rule: methods)";
        break;
    }
    refuse_by_rule(visit, PROBLEM_FORBIDDEN, caller_rule_name(rule), detail);
    return false;
}
