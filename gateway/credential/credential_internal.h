/* What the files of this room share. */
#ifndef CREDENTIAL_CREDENTIAL_INTERNAL_H
#define CREDENTIAL_CREDENTIAL_INTERNAL_H

#include "credential/credential.h"

/* --- codec.c: the packed records --- */

/* Room for the longest record of a tenant: 64 credentials of at most 1,015 bytes, and 2 before them. */
enum { CODEC_RECORD_MAX = 2 + CREDENTIAL_MAX * 1016 };

/* Decodes in place; the slices point into `record`. ERR_CORRUPT. */
int codec_read_set(struct slice record, struct slice tenant, struct credential_set *out) MUST_CHECK;
/* The count alone; 0 for a record that cannot be. */
size_t codec_read_count(struct slice record);
int codec_write_set(struct buf *out, const struct credential_set *set) MUST_CHECK;
int codec_read_holder(struct slice record, struct slice *tenant, struct slice *id) MUST_CHECK;
int codec_write_holder(struct buf *out, struct slice tenant, struct slice id) MUST_CHECK;

/* --- record.c: inside of a write transaction --- */

int record_load(struct store_txn *txn, struct slice tenant, struct credential_set *set) MUST_CHECK;
int record_save(struct store_txn *txn, struct slice tenant, const struct credential_set *set) MUST_CHECK;
/* What a new one is found by: its id and its webhook token. */
int record_save_names(struct store_txn *txn, const struct credential *credential) MUST_CHECK;
/* ERR_EXISTS when the id is another tenant's. */
int record_check_owner(struct store_txn *txn, struct slice tenant, struct slice id) MUST_CHECK;
void record_make_token(char out[CREDENTIAL_TOKEN_LEN]);

/* --- removed.c --- */

/* In the transaction that removes it. */
int removed_put(struct store_txn *txn, const struct credential *credential, int64_t now_ms) MUST_CHECK;

/* NULL when there is none of that id. */
struct credential *set_find(struct credential_set *set, struct slice id);

#endif
