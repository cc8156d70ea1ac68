/*
 * The circuit breaker's decisions, for the files of this room: plain data, no lock (host.c has it), time and
 * dice are arguments.
 *
 *   CLOSED --too many failures--> OPEN --its interval is over--> HALF_OPEN --enough good probes--> CLOSED
 *                                  ^------------- a bad probe -------'
 *
 * Too many: failures in a row, or their share in a sliding window. Of a row are requests that began after its
 * first failure was known, and no further tries: what many had under way at one moment says as much as one
 * failure, and may have been one caller's (or a test suite's) doing. A timeout weighs more, and always
 * counts, when nothing has gone well since its request (not: its further try) began: three of them, and the
 * host says nothing to anybody (one may be a slow page in a quiet hour). Bad answers of one caller's alone
 * (one credential behind Rollout is broken) don't open it while others' requests go well.
 */
#ifndef UPSTREAM_BREAKER_H
#define UPSTREAM_BREAKER_H

#include "upstream/upstream.h"

enum {
    BREAKER_SLOTS = 10, /* of a second each: the window */
    BREAKER_SLOT_MS = 1000,
    BREAKER_ROW = 5,             /* failures without a success between them: refused, silent … */
    BREAKER_ROW_ANSWERS = 9,     /* … or bad answers and resets, too: somebody is there */
    BREAKER_ROW_SILENT = 2,      /* what a timeout adds to the row while nothing goes well */
    BREAKER_VOLUME = 20,         /* outcomes in the window before their share counts */
    BREAKER_SHARE = 50,          /* per cent */
    BREAKER_OPEN_MS = 1000,      /* the first interval; it doubles with each bad probe … */
    BREAKER_OPEN_MAX_MS = 30000, /* … up to this */
    BREAKER_JITTER = 20,         /* per cent, either way */
    BREAKER_PROBES = 2,          /* in flight at a time while half-open */
    BREAKER_GOOD_PROBES = 2,     /* close it */
    BREAKER_CALM_MS = 30000,     /* closed for so long: the next interval is the first one again */
};

enum breaker_outcome {
    BREAKER_GOOD,
    BREAKER_BAD_ANSWER, /* 502, 503, 504, or closed without one */
    BREAKER_BAD,        /* refused, broken */
    BREAKER_SILENT,     /* a timeout */
    BREAKER_UNKNOWN,    /* ended by us, or by something that says nothing of the host's health */
};

struct breaker_slot {
    uint64_t number; /* now / BREAKER_SLOT_MS */
    uint32_t good, bad;
    uint64_t good_callers, bad_callers; /* a bit for each, by hash; bad answers only */
    uint32_t broken;                    /* of `bad`: not answers */
};

struct breaker {
    enum upstream_circuit state;
    unsigned epoch; /* of the state: probes of an older one say nothing */
    struct breaker_slot slots[BREAKER_SLOTS];
    unsigned row;        /* failures since the last success */
    unsigned row_broken; /* of them: not answers */
    bool mute;           /* a timeout, and nothing has gone well since its request began */
    uint64_t settled;    /* outcomes, ever */
    uint64_t row_began;  /* `settled` when the row's first failure was known */
    uint64_t last_good_ms, last_bad_ms, closed_ms, until_ms, interval_ms;
    unsigned probes, good_probes;
};

/* What a request was let through with; given back once with its outcome. */
struct breaker_ticket {
    bool held, probe;
    bool again; /* a further try of the same request: the caller's to set */
    unsigned epoch;
    uint64_t caller, begun_ms;
    uint64_t settled; /* the breaker's, when it was let through */
};

/* May a request go now? Fills the ticket when it may. */
bool breaker_admit(struct breaker *breaker, uint64_t caller, uint64_t now_ms, struct breaker_ticket *ticket);
/* `dice`: any random number. */
void breaker_settle(struct breaker *breaker, const struct breaker_ticket *ticket,
                    enum breaker_outcome outcome, uint64_t now_ms, uint64_t dice);
/* Would breaker_admit refuse? */
bool breaker_refuses(const struct breaker *breaker, uint64_t now_ms);
/* Until a probe may go; 0 when one may now. */
uint64_t breaker_wait_ms(const struct breaker *breaker, uint64_t now_ms);

/* What a failure, or a status, says of the host. */
enum breaker_outcome breaker_outcome_of(enum upstream_failure failure);
enum breaker_outcome breaker_outcome_of_status(int status);

/*
 * Repetitions are paid from what first tries have paid in: a fifth each, and a little as time passes, so that
 * an outage multiplies nothing. In thousandths.
 */
enum {
    BUDGET_DEPOSIT = 200,
    BUDGET_PRICE = 1000,
    BUDGET_MAX = 20 * BUDGET_PRICE,
    BUDGET_FLOOR = 3 * BUDGET_PRICE, /* time alone fills it up to here … */
    BUDGET_FLOOR_PER_S = 2 * BUDGET_PRICE,
};
struct budget {
    uint64_t balance, filled_ms;
};
void budget_init(struct budget *budget, uint64_t now_ms);
void budget_deposit(struct budget *budget);
bool budget_withdraw(struct budget *budget, uint64_t now_ms);

/* host.c, for the transfers of this room */
bool host_admit(struct upstream_host *host, uint64_t caller, uint64_t now_ms, struct breaker_ticket *ticket);
/* Once for each admission; later calls with the same ticket do nothing. */
void host_settle(struct upstream_host *host, struct breaker_ticket *ticket, enum breaker_outcome outcome,
                 uint64_t now_ms);

#endif
