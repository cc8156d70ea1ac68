/* Entries as records on disk, and back: every number that comes back is checked before it is used. */
#include <stdlib.h>

#include "base/random.h"
#include "cache/warm.h"

enum {
    PIECE = 1960, /* of at most 1995, so that two nodes fit a page of 4 KiB */
    STAMP = 4,    /* of the record, at the head of its further pieces: no two writings mix */
    HEAD = 85,
    FIRST = PIECE - HEAD,
    FURTHER = PIECE - STAMP,
    PIECES_MAX = UINT16_MAX,
    TAG_ENTRY = 'E',
    TAG_DIRECTORY = 'D',
    SWEEP_KEYS = 512,
    VARY_KEPT = 900, /* longer texts are not kept on disk */
    KNOWN_FLAGS = 0xffff | ENTRY_S_MAXAGE | ENTRY_HEURISTIC | ENTRY_ETAG_OURS | ENTRY_COVERED,
};

/* --- names ----------------------------------------------------------------------------------- */

struct name {
    char bytes[WARM_NAME_MAX];
    size_t len;
};

static void put_number(char *to, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (char)(unsigned char)(value >> (8 * i));
}

static uint64_t get_number(const char *from, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)(unsigned char)from[i] << (8 * i);
    return value;
}

struct warm_id warm_id_of(const struct digest_key *salt, struct slice key, struct slice vary)
{
    const struct digest_key other = {~salt->k1, salt->k0};
    struct warm_id id = {.key = {digest64(salt, key.ptr, key.len), digest64(&other, key.ptr, key.len)}};
    if (vary.len > 0)
        id.vary = digest64(salt, vary.ptr, vary.len) | 1;
    return id;
}

/* n: the piece. */
static struct slice name_of(struct name *name, const struct warm_id *id, size_t n)
{
    put_number(name->bytes, id->key[0], 8);
    put_number(name->bytes + 8, id->key[1], 8);
    put_number(name->bytes + WARM_ID, id->vary, 8);
    name->bytes[24] = (char)(unsigned char)(n >> 8);
    name->bytes[25] = (char)(unsigned char)n;
    name->len = n > 0 ? WARM_NAME_MAX : id->vary ? 24 : WARM_ID;
    return slice_of(name->bytes, name->len);
}

static size_t pieces_for(size_t data)
{
    return data <= FIRST ? 1 : 2 + (data - FIRST - 1) / FURTHER;
}

/* --- the head of a record -------------------------------------------------------------------- */

struct head {
    uint32_t stamp, flags, hidden_len, head_len, body_len, splice_at;
    int32_t lifetime_s, swr_s, sie_s;
    uint16_t status, key_len, vary_len, etag_len, modified_len, splice_len;
    struct warm_times times;
    uint64_t age_ms; /* at that time */
};

/* One list of what stands where, for both directions. */
#define HEAD_NUMBERS(X)                                                                                      \
    X(stamp, 4)                                                                                              \
    X(flags, 4)                                                                                              \
    X(hidden_len, 4)                                                                                         \
    X(head_len, 4)                                                                                           \
    X(body_len, 4)                                                                                           \
    X(splice_at, 4)                                                                                          \
    X(lifetime_s, 4)                                                                                         \
    X(swr_s, 4)                                                                                              \
    X(sie_s, 4)                                                                                              \
    X(status, 2)                                                                                             \
    X(key_len, 2)                                                                                            \
    X(vary_len, 2)                                                                                           \
    X(etag_len, 2)                                                                                           \
    X(modified_len, 2)                                                                                       \
    X(splice_len, 2)                                                                                         \
    X(times.boot, 8)                                                                                         \
    X(times.mono_ms, 8)                                                                                      \
    X(times.wall_ms, 8)                                                                                      \
    X(age_ms, 8)

static size_t head_write(char *to, const struct head *head)
{
    char *at = to;
    *at++ = TAG_ENTRY;
#define WRITE(member, size)                                                                                  \
    put_number(at, (uint64_t)head->member, size);                                                            \
    at += (size);
    HEAD_NUMBERS(WRITE)
#undef WRITE
    return (size_t)(at - to);
}

#define HEAD_COUNT(member, size) +(size)
_Static_assert(HEAD == 1 + 0 HEAD_NUMBERS(HEAD_COUNT), "the list and its length");

static size_t data_of(const struct head *head)
{
    return (size_t)head->key_len + head->vary_len + head->hidden_len + head->head_len + head->body_len;
}

/* Do the numbers agree with each other? */
static bool head_is_sound(const struct head *head)
{
    return head->status >= 200 && head->status <= 999 && !(head->flags & ~(uint32_t)KNOWN_FLAGS) &&
           head->key_len > 0 && head->lifetime_s >= CC_ABSENT && head->swr_s >= CC_ABSENT &&
           head->sie_s >= CC_ABSENT && head->hidden_len <= INT32_MAX && head->head_len <= INT32_MAX &&
           head->body_len <= INT32_MAX && head->splice_at <= head->body_len &&
           head->splice_len <= head->body_len - head->splice_at && head->age_ms <= INT64_MAX / 4 &&
           pieces_for(data_of(head)) <= PIECES_MAX;
}

/* False: not the head of an entry that this program wrote. */
static bool head_read(struct slice record, struct head *head)
{
    if (record.len < HEAD || record.ptr[0] != TAG_ENTRY)
        return false;
    const char *at = record.ptr + 1;
#define READ(member, size)                                                                                   \
    head->member = (__typeof__(head->member))get_number(at, size);                                           \
    at += (size);
    HEAD_NUMBERS(READ)
#undef READ
    const size_t data = data_of(head);
    return head_is_sound(head) && record.len == HEAD + (data < FIRST ? data : FIRST);
}

static struct head head_of(const struct cache_entry *entry, const struct warm_times *times)
{
    return (struct head){
        .stamp = (uint32_t)random_u64(),
        .flags = entry->flags & (uint32_t)KNOWN_FLAGS,
        .hidden_len = entry->hidden_len,
        .head_len = entry->head_len,
        .body_len = entry->body_len,
        .splice_at = entry->splice_at,
        .lifetime_s = entry->lifetime_s,
        .swr_s = entry->swr_s,
        .sie_s = entry->sie_s,
        .status = entry->status,
        .key_len = entry->key_len,
        .vary_len = entry->vary_len,
        .etag_len = entry->etag_len,
        .modified_len = entry->modified_len,
        .splice_len = entry->splice_len,
        .times = *times,
        .age_ms = cache_entry_age_ms(entry, (uint64_t)times->mono_ms),
    };
}

/* --- directories of variants: texts with their lengths before them, the latest first --------- */

/* Takes the next text. False: the end, or no directory (*sound is false then). */
static bool next_text(struct slice *rest, struct slice *text, bool *sound)
{
    *sound = true;
    if (rest->len == 0)
        return false;
    const size_t len = rest->len >= 2 ? (size_t)get_number(rest->ptr, 2) : 0;
    *sound = len > 0 && len <= VARY_KEPT && rest->len - 2 >= len && rest->ptr[2 + len - 1] == '\n';
    if (!*sound)
        return false;
    *text = slice_of(rest->ptr + 2, len);
    *rest = slice_skip(*rest, 2 + len);
    return true;
}

static bool is_directory(struct slice record)
{
    return record.len > 0 && record.ptr[0] == TAG_DIRECTORY;
}

static void put_text(struct buf *out, struct slice text)
{
    char len[2];
    put_number(len, text.len, 2);
    buf_append(out, len, sizeof len);
    buf_append_slice(out, text);
}

/* --- writing: inside a transaction ----------------------------------------------------------- */

static int erase_pieces(struct store_txn *txn, const struct warm_id *id, size_t from, size_t to)
{
    struct name name;
    int rc = 0;
    for (size_t n = from; n < to && (rc == 0 || rc == ERR_NOTFOUND); n++)
        rc = store_txn_delete(txn, WARM_TABLE, name_of(&name, id, n));
    return rc == ERR_NOTFOUND ? 0 : rc;
}

/* How many pieces the record under that name has; 0 when there is none, or none that can be read. */
static size_t count_pieces(struct store_txn *txn, const struct warm_id *id)
{
    struct name name;
    struct slice record;
    struct head head;
    if (store_txn_get(txn, WARM_TABLE, name_of(&name, id, 0), &record) || !head_read(record, &head))
        return 0;
    return pieces_for(data_of(&head));
}

static int erase_record(struct store_txn *txn, const struct warm_id *id)
{
    const size_t pieces = count_pieces(txn, id);
    return erase_pieces(txn, id, 0, pieces > 0 ? pieces : 1);
}

/* The texts of the key's directory, copied: the store's slice does not live over a change. */
static size_t read_directory(struct store_txn *txn, const struct warm_id *id, char out[PIECE])
{
    const struct warm_id whole = {.key = {id->key[0], id->key[1]}};
    struct name name;
    struct slice record;
    if (store_txn_get(txn, WARM_TABLE, name_of(&name, &whole, 0), &record) || !is_directory(record) ||
        record.len > PIECE)
        return 0;
    memcpy(out, record.ptr + 1, record.len - 1);
    return record.len - 1;
}

static struct warm_id variant_of(const struct warm_id *id, struct slice text)
{
    /* The hash of a text depends on the salt; directories carry it implicitly: see warm_write. */
    return (struct warm_id){.key = {id->key[0], id->key[1]},
                            .vary = digest64(&(struct digest_key){id->key[0], id->key[1]}, text.ptr,
                                             text.len) |
                                    1};
}
