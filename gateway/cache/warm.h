/*
 * What the files of the copy on disk share: warm.c (queue, batches, lookup), warm_record.c, warm_write.c,
 * warm_read.c (records: how they look, written, read). Of this room alone.
 *
 * A record is cut into pieces of less than half a page, so that the file needs no runs of free pages. Keys:
 *
 *   id                  the entry without Vary, or the directory of the variants
 *   id vary             one variant
 *   id vary-or-0 n      the further pieces of either, n from 1
 *
 * where id is 16 bytes of a keyed hash of the cache key, vary 8 bytes of one of the variant's text, and the
 * last is a number of two bytes. So all of a key stands together, and a key of 16 bytes begins it.
 */
#ifndef CACHE_WARM_H
#define CACHE_WARM_H

#include "base/digest.h"
#include "cache/cache_internal.h"
#include "store/store.h"

enum { WARM_TABLE, WARM_ABOUT }; /* tables */

enum {
    WARM_ID = 16,
    WARM_NAME_MAX = 26,
    WARM_PIECE = 1960, /* of at most 1995, so that two nodes fit a page of 4 KiB */
    WARM_STAMP = 4,    /* of the record, at the head of its further pieces: no two writings mix */
    WARM_HEAD = 81,
    WARM_FIRST = WARM_PIECE - WARM_HEAD,
    WARM_FURTHER = WARM_PIECE - WARM_STAMP,
    WARM_VARY = 900, /* variants with longer texts are not kept on disk */
    WARM_TAG_ENTRY = 'E',
    WARM_TAG_DIRECTORY = 'D',
};

/* --- names ----------------------------------------------------------------------------------- */

struct warm_id {
    uint64_t key[2];
    uint64_t vary; /* 0: none */
};
struct warm_id warm_id_of(const struct digest_key *salt, struct slice key, struct slice vary);
/* The same key's, with another text. */
struct warm_id warm_variant_of(const struct warm_id *id, struct slice vary);

struct warm_name {
    char bytes[WARM_NAME_MAX];
    size_t len;
};
/* The store's key of piece n. */
struct slice warm_name_of(struct warm_name *name, const struct warm_id *id, size_t n);
size_t warm_pieces_for(size_t data);

/* Little endian. */
void warm_put_number(char *to, uint64_t value, size_t size);
uint64_t warm_get_number(const char *from, size_t size);

/* --- heads ----------------------------------------------------------------------------------- */

/* When an entry was last known to be upstream's: both clocks, and the boot for which mono counts. */
struct warm_times {
    uint64_t boot;
    int64_t mono_ms, wall_ms;
};

struct warm_head {
    uint32_t stamp, flags, hidden_len, head_len, body_len, splice_at;
    int32_t lifetime_s, swr_s, sie_s;
    uint16_t status, key_len, vary_len, etag_len, modified_len, splice_len;
    struct warm_times times;
    uint64_t age_ms; /* at that time */
};
struct warm_head warm_head_of(const struct cache_entry *entry, const struct warm_times *times);
/* Bytes of key, vary, fields and body together. */
size_t warm_data_of(const struct warm_head *head);
/* Returns WARM_HEAD, the bytes written. */
size_t warm_head_write(char *to, const struct warm_head *head);
/* Of a first piece. False: not one that this program wrote. */
bool warm_head_read(struct slice record, struct warm_head *head);

/* --- directories: the tag, then the texts of the variants, the latest first ------------------ */

bool warm_is_directory(struct slice record);
/* Takes the next text from what stands behind the tag. False: the end, or damage (*sound is false then). */
bool warm_next_text(struct slice *rest, struct slice *text, bool *sound);

/* --- writing (warm_write.c) and reading (warm_read.c) ---------------------------------------- */

/* Bytes of data that a record of the entry has; whether it may have one. */
size_t warm_size(const struct cache_entry *entry);
bool warm_fits(const struct cache_entry *entry, size_t max);
/* All return 0 or an error of the store; then the transaction is spoilt. */
int warm_write(struct store_txn *txn, const struct warm_id *id, const struct cache_entry *entry,
               const struct warm_times *times) MUST_CHECK;
int warm_erase(struct store_txn *txn, const struct warm_id *id, struct slice vary) MUST_CHECK;
int warm_erase_key(struct store_txn *txn, const struct warm_id *id) MUST_CHECK;
/* Deletes keys from a random place on until about `bytes` are free. *count gets how many. */
int warm_evict(struct store_txn *txn, size_t bytes, size_t *count) MUST_CHECK;

/* 0 with the variant that the query selects, as an entry of one reference that is not in the index;
 * ERR_NOTFOUND, ERR_CORRUPT, or another error. *known: is there anything of the key? Between view_begin and
 * view_end. */
int warm_read(struct store_view *view, struct cache *cache, const struct digest_key *salt,
              const struct cache_query *query, const struct warm_times *now, bool *known,
              struct cache_entry **out) MUST_CHECK;

#endif
