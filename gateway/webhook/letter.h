/*
 * An event on its way out, as it is stored: in the outbox under its sequence number, among the dead letters
 * under an id. One that is larger than a record may be stands in several parts.
 */
#ifndef WEBHOOK_LETTER_H
#define WEBHOOK_LETTER_H

#include "store/store.h"

enum {
    LETTER_ID_MAX = 64, /* of webhook-id */
    LETTER_PART = 256 * 1024,
};

struct letter {
    uint64_t number;
    int64_t at_ms;     /* when the event was taken in */
    struct slice id;   /* webhook-id: the same for ever for this event of this credential */
    struct slice name; /* of the event, as sent */
    struct slice tenant, credential_id, app_key;
    struct slice only; /* the one subscriber that it is for; empty: whoever wants it */
    struct slice body; /* one line of JSON */
    /* Of dead ones. */
    int64_t died_ms;
    uint32_t attempts;
    struct slice reason;
};

/* Appends the webhook-id of an event: made from credential and eventId alone, so that it is the same on every
 * gateway and after the loss of a disk. */
int letter_id(struct slice credential_id, struct slice event_id, struct buf *out) MUST_CHECK;

/* Where letters stand: a table, seen through a view or inside a transaction. */
struct letter_place {
    struct store_view *view; /* or */
    struct store_txn *txn;
    int table;
};
/* Inside a transaction. ERR_INVALID for one that cannot be stored, ERR_NOMEM, and as store_txn_put. */
int letter_write(const struct letter_place *place, const struct letter *letter) MUST_CHECK;
/* All parts. 0, ERR_NOTFOUND, and as store_txn_delete. */
int letter_delete(const struct letter_place *place, uint64_t number) MUST_CHECK;
/* Slices point into the view, or into *spill (a buf of the caller's, reset here), where what is read in a
 * transaction and what has several parts is gathered. 0, ERR_NOTFOUND, ERR_CORRUPT, ERR_NOMEM, ERR_IO. */
int letter_read(const struct letter_place *place, uint64_t number, struct buf *spill,
                struct letter *out) MUST_CHECK;
/* When it was taken in, no more. Errors as letter_read. */
int letter_time(const struct letter_place *place, uint64_t number, int64_t *at_ms) MUST_CHECK;
/* Those from `number` on, in order, until visit returns false: in a view. A body in several parts is only
 * there after letter_read: its ptr is NULL. Damaged ones are passed over. */
int letter_scan(const struct letter_place *place, uint64_t number,
                bool (*visit)(const struct letter *letter, void *arg), void *arg) MUST_CHECK;

#endif
