/* The durable memory of event ids: bounded by age and count, swept as new ones come. */
#ifndef WEBHOOK_INBOX_H
#define WEBHOOK_INBOX_H

#include "store/store.h"

enum { INBOX_KEY_MAX = 480, INBOX_KEEP_MS = 7 * 24 * 3600 * 1000, INBOX_SWEEP = 8 };
enum { INBOX_COUNT_MAX = 5 * 1000 * 1000 };

/* The key of an event of a credential; bounded by the limits of both. */
int inbox_key(struct buf *out, struct slice credential_id, struct slice event_id) MUST_CHECK;
/* 0: seen before. ERR_NOTFOUND: new. */
int inbox_find(struct store_view *view, int table, struct slice key) MUST_CHECK;
/* Inside a transaction: remembers the key and forgets what is too old. ERR_EXISTS: it was there. */
int inbox_put(struct store_txn *txn, int table, struct slice key, int64_t now_ms) MUST_CHECK;

#endif
