/* What the files of this room share. */
#ifndef CALLER_CALLER_INTERNAL_H
#define CALLER_CALLER_INTERNAL_H

#include "caller/caller.h"

enum { CALLER_HASH_LEN = 32, CALLER_ID_BYTES = CALLER_ID_LEN / 2 };

/* --- key.c: the only file that sees a key's text and its hash together ---------------------------------- */
/* The form alone: rgk_ and 43 characters of base64url. */
bool key_is_formed(struct slice text);
/* ERR_NOMEM: OpenSSL has none. */
int key_hash(struct slice text, char out[CALLER_HASH_LEN]) MUST_CHECK;
void key_make(char out[CALLER_KEY_LEN]);

/* --- codec.c: records ----------------------------------------------------------------------------------- */
struct codec_head {
    enum caller_status status;
    int64_t created_at, last_used_at, revoked_at;
    char hash[CALLER_HASH_LEN];
};
/* ERR_LIMIT when it is too long for a record. */
int codec_write(struct buf *out, const struct codec_head *head, const struct caller_spec *spec) MUST_CHECK;
/* `id`: the 8 bytes. Slices of *out point into the record; hash (may be NULL) too. ERR_CORRUPT. */
int codec_read(struct slice record, struct slice id, struct caller *out, struct slice *hash) MUST_CHECK;
/* Changes of a record in place. */
void codec_set_revoked(char *record, int64_t now_ms);
void codec_set_used(char *record, int64_t now_ms);
/* Lower-case hex of the 8 bytes, and back (false: not one). */
void codec_id_text(struct slice id, char out[CALLER_ID_LEN]);
bool codec_id_read(struct slice text, char out[CALLER_ID_BYTES]);

/* The number of changes, and the order of revocations. */
struct codec_ledger {
    uint64_t version;
    uint64_t first, next; /* numbers of the revocations that are still kept */
};
enum { LEDGER_LEN = 25 };
#define LEDGER_KEY SLICE("#")
void codec_write_ledger(char out[LEDGER_LEN], const struct codec_ledger *ledger);
int codec_read_ledger(struct slice record, struct codec_ledger *out) MUST_CHECK;

/* Keys of CALLER_TABLE_NAMES: a letter, then the text. */
enum { NAME_KEY_MAX = 1 + CALLER_PEER_MAX };
struct name_key {
    char text[NAME_KEY_MAX];
    size_t len;
};
struct name_key codec_name_key(char kind, struct slice text);
static inline struct slice name_key_slice(const struct name_key *key)
{
    return slice_of(key->text, key->len);
}

/* --- validate.c ----------------------------------------------------------------------------------------- */
/* "100/s", "600/m", "36000/h" in requests per second; false: another form. */
bool rate_read(struct slice text, double *per_second);

/* --- touch.c -------------------------------------------------------------------------------------------- */
/* Notes a use of the key on the writer thread, unless one of the last minute is stored. Without memory: not
 * this time. */
void touch_submit(struct store *store, int first_table, struct slice id, int64_t now_ms);
enum { TOUCH_EVERY_MS = 60 * 1000 };

#endif
