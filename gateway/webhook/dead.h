/* Letters that a subscriber did not take in time: kept, bounded by count, listed, and sent again on demand.
 */
#ifndef WEBHOOK_DEAD_H
#define WEBHOOK_DEAD_H

#include "webhook/outbox.h"

/* Inside a transaction: keeps the letter (`only` names the subscriber; died_ms, attempts and reason are set)
 * and forgets the oldest where there are too many: *forgotten of them. */
int dead_put(struct outbox *outbox, struct store_txn *txn, const struct letter *letter,
             unsigned *forgotten) MUST_CHECK;

/* Those with an id behind `after`, oldest first; bodies are not read. Stops when visit returns false. */
int dead_list(struct outbox *outbox, struct store_view *view, uint64_t after,
              bool (*visit)(const struct letter *letter, void *arg), void *arg) MUST_CHECK;
/* How many there are. */
int dead_count(struct outbox *outbox, struct store_view *view, uint64_t *count) MUST_CHECK;

/* Puts one into the outbox again, behind what stands there for that subscriber and credential; its age begins
 * anew. Make it, set change.on_done and change.loop, store_submit(&r->change). Outcomes: 0 (then
 * outbox_announce), ERR_NOTFOUND (no such dead letter), ERR_CLOSED (its subscriber is not configured), and as
 * outbox_put. */
struct dead_replay {
    struct store_change change;
    struct outbox *outbox;
    uint64_t id;
    uint64_t number; /* its new one in the outbox */
};
void dead_replay_init(struct dead_replay *replay, struct outbox *outbox, uint64_t id);

#endif
