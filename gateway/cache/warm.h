/*
 * What the files of the copy on disk share: warm.c (queue, batches, lookup), warm_record.c (entries as
 * records and back). Of this room alone.
 *
 * A record is cut into pieces of less than half a page, so that the file needs no runs of free pages. Keys:
 *
 *   id                  the entry without Vary, or the directory of the variants
 *   id vary             one variant
 *   id vary-or-0 n      the further pieces of either, n from 1
 *
 * where id is 16 bytes of a keyed hash of the cache key, vary 8 bytes of one of the variant's text. So all of
 * a key stands together, and a key of 16 bytes begins it.
 */
#ifndef CACHE_WARM_H
#define CACHE_WARM_H

#include "base/digest.h"
#include "cache/cache_internal.h"
#include "store/store.h"

enum { WARM_TABLE, WARM_ABOUT }; /* tables */

enum { WARM_ID = 16, WARM_NAME_MAX = 26 };

struct warm_id {
    uint64_t key[2];
    uint64_t vary; /* 0: none */
};
struct warm_id warm_id_of(const struct digest_key *salt, struct slice key, struct slice vary);

/* When an entry was last known to be upstream's: both clocks, and the boot for which mono counts. */
struct warm_times {
    uint64_t boot;
    int64_t mono_ms, wall_ms;
};

/* Bytes of data that a record of the entry has. */
size_t warm_size(const struct cache_entry *entry);
/* All return 0 or an error of the store; then the transaction is spoilt. */
int warm_write(struct store_txn *txn, const struct warm_id *id, const struct cache_entry *entry,
               const struct warm_times *times) MUST_CHECK;
int warm_erase(struct store_txn *txn, const struct warm_id *id, struct slice vary) MUST_CHECK;
int warm_erase_key(struct store_txn *txn, const struct warm_id *id) MUST_CHECK;
/* Deletes keys from a random place on until about `bytes` are free. *count gets how many. */
int warm_evict(struct store_txn *txn, size_t bytes, size_t *count) MUST_CHECK;

/* 0 with the variant that the query selects, as an entry of one reference that is not in the index;
 * ERR_NOTFOUND, ERR_CORRUPT, or another error. Between view_begin and view_end. */
int warm_read(struct store_view *view, struct cache *cache, const struct digest_key *salt,
              const struct cache_query *query, const struct warm_times *now,
              struct cache_entry **out) MUST_CHECK;

#endif
