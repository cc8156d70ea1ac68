#include "upstream/breaker.h"

/* --- the window ---------------------------------------------------------------------- */

static struct breaker_slot *slot_at(struct breaker *b, uint64_t now_ms)
{
    uint64_t number = now_ms / BREAKER_SLOT_MS;
    struct breaker_slot *slot = &b->slots[number % BREAKER_SLOTS];

    if (slot->number != number)
        *slot = (struct breaker_slot){.number = number};
    return slot;
}

/* The slots that are not over yet, as one. */
static struct breaker_slot window(const struct breaker *b, uint64_t now_ms)
{
    struct breaker_slot sum = {0};
    uint64_t number = now_ms / BREAKER_SLOT_MS;

    for (int i = 0; i < BREAKER_SLOTS; i++) {
        const struct breaker_slot *slot = &b->slots[i];
        if (slot->number + BREAKER_SLOTS <= number || slot->number > number)
            continue;
        sum.good += slot->good;
        sum.bad += slot->bad;
        sum.broken += slot->broken;
        sum.good_callers |= slot->good_callers;
        sum.bad_callers |= slot->bad_callers;
    }
    return sum;
}

static uint64_t bit_of(uint64_t caller)
{
    return UINT64_C(1) << (caller % 64);
}

/* Are all the bad answers one caller's, while others fare well? */
static bool is_private(const struct breaker_slot *sum)
{
    uint64_t bad = sum->bad_callers;
    bool one = bad != 0 && (bad & (bad - 1)) == 0;
    return one && (sum->good_callers & ~bad) != 0;
}

static bool is_too_much(const struct breaker *b, uint64_t now_ms)
{
    struct breaker_slot sum = window(b, now_ms);
    unsigned row = b->row, bad = sum.bad;
    bool broken = b->row_broken >= BREAKER_ROW;

    if (is_private(&sum)) {
        row = b->row_broken;
        bad = sum.broken;
    }
    uint64_t all = (uint64_t)sum.good + bad;
    return broken || row >= BREAKER_ROW_ANSWERS ||
           (all >= BREAKER_VOLUME && (uint64_t)bad * 100 >= all * BREAKER_SHARE);
}

/* --- moving -------------------------------------------------------------------------- */

static uint64_t jittered(uint64_t ms, uint64_t dice)
{
    uint64_t span = ms * BREAKER_JITTER / 100;
    return ms - span + dice % (2 * span + 1);
}

static void open_circuit(struct breaker *b, uint64_t now_ms, uint64_t dice)
{
    bool calm = b->state == UPSTREAM_CLOSED && now_ms - b->closed_ms >= BREAKER_CALM_MS;

    b->interval_ms = calm || b->interval_ms == 0 ? BREAKER_OPEN_MS : b->interval_ms * 2;
    if (b->interval_ms > BREAKER_OPEN_MAX_MS)
        b->interval_ms = BREAKER_OPEN_MAX_MS;
    b->until_ms = now_ms + jittered(b->interval_ms, dice);
    b->state = UPSTREAM_CIRCUIT_OPEN;
    b->epoch++;
}

static void half_open(struct breaker *b)
{
    b->state = UPSTREAM_HALF_OPEN;
    b->epoch++;
    b->probes = b->good_probes = 0;
}

/* What was before says nothing of the host as it is now. */
static void close_circuit(struct breaker *b, uint64_t now_ms)
{
    b->state = UPSTREAM_CLOSED;
    b->epoch++;
    b->closed_ms = now_ms;
    b->mute = false;
    b->row = b->row_broken = 0;
    for (int i = 0; i < BREAKER_SLOTS; i++)
        b->slots[i] = (struct breaker_slot){0};
}

/* --- a request's way ----------------------------------------------------------------- */

bool breaker_refuses(const struct breaker *b, uint64_t now_ms)
{
    if (b->state == UPSTREAM_CIRCUIT_OPEN)
        return now_ms < b->until_ms;
    return b->state == UPSTREAM_HALF_OPEN && b->probes >= BREAKER_PROBES;
}

uint64_t breaker_wait_ms(const struct breaker *b, uint64_t now_ms)
{
    return b->state == UPSTREAM_CIRCUIT_OPEN && now_ms < b->until_ms ? b->until_ms - now_ms : 0;
}

bool breaker_admit(struct breaker *b, uint64_t caller, uint64_t now_ms, struct breaker_ticket *ticket)
{
    if (breaker_refuses(b, now_ms))
        return false;
    if (b->state == UPSTREAM_CIRCUIT_OPEN)
        half_open(b);
    *ticket = (struct breaker_ticket){
        .held = true,
        .probe = b->state == UPSTREAM_HALF_OPEN,
        .epoch = b->epoch,
        .caller = caller,
        .begun_ms = now_ms,
        .settled = b->settled,
    };
    if (ticket->probe)
        b->probes++;
    return true;
}

static void settle_probe(struct breaker *b, enum breaker_outcome outcome, uint64_t now_ms, uint64_t dice)
{
    b->probes--;
    switch (outcome) {
    case BREAKER_GOOD:
        if (++b->good_probes >= BREAKER_GOOD_PROBES)
            close_circuit(b, now_ms);
        break;
    case BREAKER_BAD_ANSWER:
    case BREAKER_BAD:
    case BREAKER_SILENT:
        open_circuit(b, now_ms, dice);
        break;
    case BREAKER_UNKNOWN:
        break;
    }
}

/* Does the failure lengthen the row? */
static bool is_next(struct breaker *b, const struct breaker_ticket *ticket, unsigned weight)
{
    if (b->row == 0)
        b->row_began = b->settled;
    else if (weight == 1 && (ticket->again || ticket->settled < b->row_began))
        return false;
    return true;
}

static void count_bad(struct breaker *b, const struct breaker_ticket *ticket, enum breaker_outcome outcome,
                      uint64_t now_ms)
{
    struct breaker_slot *slot = slot_at(b, now_ms);
    bool silent = outcome == BREAKER_SILENT && !ticket->again && b->last_good_ms < ticket->begun_ms;
    unsigned weight = silent ? BREAKER_ROW_SILENT : 1;

    if (now_ms - b->last_bad_ms > (uint64_t)BREAKER_SLOTS * BREAKER_SLOT_MS)
        b->row = b->row_broken = 0; /* failures that far apart are no row */
    b->last_bad_ms = now_ms;
    slot->bad++;
    b->mute = b->mute || weight > 1;
    if (!is_next(b, ticket, weight))
        weight = 0;
    b->row += weight;
    if (outcome == BREAKER_BAD_ANSWER) {
        slot->bad_callers |= bit_of(ticket->caller);
    } else {
        slot->broken++;
        b->row_broken += weight;
    }
}

static void count_good(struct breaker *b, const struct breaker_ticket *ticket, uint64_t now_ms)
{
    struct breaker_slot *slot = slot_at(b, now_ms);

    slot->good++;
    slot->good_callers |= bit_of(ticket->caller);
    b->row = b->row_broken = 0;
    b->mute = false;
    b->last_good_ms = now_ms;
}

void breaker_settle(struct breaker *b, const struct breaker_ticket *ticket, enum breaker_outcome outcome,
                    uint64_t now_ms, uint64_t dice)
{
    if (ticket->epoch != b->epoch)
        return;
    if (ticket->probe) {
        settle_probe(b, outcome, now_ms, dice);
        return;
    }
    b->settled++;
    if (outcome == BREAKER_GOOD)
        count_good(b, ticket, now_ms);
    if (outcome == BREAKER_GOOD || outcome == BREAKER_UNKNOWN)
        return;
    count_bad(b, ticket, outcome, now_ms);
    if (is_too_much(b, now_ms))
        open_circuit(b, now_ms, dice);
}

/* --- what counts --------------------------------------------------------------------- */

enum breaker_outcome breaker_outcome_of(enum upstream_failure failure)
{
    switch (failure) {
    case UPSTREAM_RESOLVE:
    case UPSTREAM_CONNECT:
    case UPSTREAM_TLS:
        return BREAKER_BAD;
    case UPSTREAM_RESET: /* it lives so far as to take the connection */
        return BREAKER_BAD_ANSWER;
    case UPSTREAM_CONNECT_TIMEOUT:
    case UPSTREAM_FIRST_BYTE_TIMEOUT:
    case UPSTREAM_IDLE_TIMEOUT:
        return BREAKER_SILENT;
    case UPSTREAM_TOTAL_TIMEOUT: /* may be a slow client's, or the wait for a connection of ours */
    case UPSTREAM_INVALID:       /* it lives */
    case UPSTREAM_CUT:
    case UPSTREAM_NOMEM:
    case UPSTREAM_OPEN:
        return BREAKER_UNKNOWN;
    }
    return BREAKER_UNKNOWN;
}

enum breaker_outcome breaker_outcome_of_status(int status)
{
    return status == 502 || status == 503 || status == 504 ? BREAKER_BAD_ANSWER : BREAKER_GOOD;
}

/* --- the budget of repetitions ------------------------------------------------------- */

void budget_init(struct budget *budget, uint64_t now_ms)
{
    *budget = (struct budget){BUDGET_FLOOR, now_ms};
}

void budget_deposit(struct budget *budget)
{
    budget->balance += BUDGET_DEPOSIT;
    if (budget->balance > BUDGET_MAX)
        budget->balance = BUDGET_MAX;
}

/* What time alone gives: a quiet host's requests may be repeated, too. */
static void fill(struct budget *budget, uint64_t now_ms)
{
    uint64_t passed = now_ms > budget->filled_ms ? now_ms - budget->filled_ms : 0;
    uint64_t most = (uint64_t)BUDGET_FLOOR * 1000 / BUDGET_FLOOR_PER_S;
    uint64_t gain = (passed < most ? passed : most) * BUDGET_FLOOR_PER_S / 1000;

    budget->filled_ms += passed;
    if (budget->balance < BUDGET_FLOOR)
        budget->balance = budget->balance + gain < BUDGET_FLOOR ? budget->balance + gain : BUDGET_FLOOR;
}

bool budget_withdraw(struct budget *budget, uint64_t now_ms)
{
    fill(budget, now_ms);
    if (budget->balance < BUDGET_PRICE)
        return false;
    budget->balance -= BUDGET_PRICE;
    return true;
}
