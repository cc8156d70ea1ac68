/* When Rollout could not be asked, or did not answer: which problem that is, and in which words. */
#include "http/json.h"
#include "internal.h"

#define NOT_ASKED "nothing is mapped that serves this API, and Rollout could not be asked: "

static const struct trouble troubles[] = {
    {PROBLEM_RATE_LIMITED, "the limit of requests to Rollout is used up", NOT_ASKED "the limit is used up",
     0},
    {PROBLEM_UPSTREAM_UNREACHABLE, "Rollout cannot be reached, or fails", NOT_ASKED "it cannot be reached",
     0},
    {PROBLEM_CIRCUIT_OPEN, "Rollout is failing and was not tried", NOT_ASKED "it is failing", 0},
    {PROBLEM_UPSTREAM_TIMEOUT, "Rollout did not answer in time", NOT_ASKED "it did not answer in time", 0},
    {PROBLEM_API_UNKNOWN, "the configuration names no \"core\" under \"upstreams\"",
     NOT_ASKED "no core API is configured", 0},
    {PROBLEM_OVERLOADED, "the gateway has too much to do", NOT_ASKED "the gateway has too much to do", 0},
    {PROBLEM_STORE_UNAVAILABLE, "the mapping cannot be changed",
     "nothing is mapped that serves this API, and what Rollout has could not be stored", 0},
    {PROBLEM_UPSTREAM_INVALID, "Rollout did not answer as it should; see the access log for its status",
     NOT_ASKED "it did not answer as it should", 0},
};

struct trouble trouble_from(enum problem problem)
{
    size_t i = 0, last = sizeof troubles / sizeof *troubles - 1;
    while (i < last && troubles[i].problem != problem)
        i++;
    return troubles[i];
}

/* Of a problem that the gateway itself has made. */
static enum problem own_problem(struct slice body)
{
    struct fault unwanted;
    json_t *document = json_read(body, ROLLOUT_ANSWER_MAX, &unwanted);
    struct slice code = json_is_object(document) ? json_text(document, "code") : SLICE("");
    int problem = 0;
    while (problem < PROBLEM_COUNT && !slice_equal(code, slice_from(problem_code((enum problem)problem))))
        problem++;
    json_decref(document);
    return problem < PROBLEM_COUNT ? (enum problem)problem : PROBLEM_UPSTREAM_INVALID;
}

static enum problem problem_of(const struct rollout_answer *answer)
{
    if (answer->status == 0)
        return PROBLEM_OVERLOADED;
    if (answer->own)
        return own_problem(answer->body);
    if (answer->status == 429)
        return PROBLEM_RATE_LIMITED;
    return answer->status >= 500 ? PROBLEM_UPSTREAM_UNREACHABLE : PROBLEM_UPSTREAM_INVALID;
}

struct trouble trouble_of(const struct rollout_answer *answer, int allowed)
{
    bool answered = !answer->own && answer->status > 0 &&
                    ((answer->status >= 200 && answer->status < 300) || answer->status == allowed);
    if (answered)
        return (struct trouble){.problem = PROBLEM_COUNT};
    struct trouble trouble = trouble_from(problem_of(answer));
    trouble.retry_after_s = answer->retry_after_s;
    return trouble;
}
