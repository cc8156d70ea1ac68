/* How records look: names, heads, directories. What is read is checked before it is used. */
#include "base/random.h"
#include "cache/warm.h"

enum {
    PIECES_MAX = UINT16_MAX,
    KNOWN_FLAGS = 0xffff | ENTRY_S_MAXAGE | ENTRY_HEURISTIC | ENTRY_ETAG_OURS | ENTRY_COVERED,
};

/* --- names ----------------------------------------------------------------------------------- */

void warm_put_number(char *to, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (char)(unsigned char)(value >> (8 * i));
}

uint64_t warm_get_number(const char *from, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)(unsigned char)from[i] << (8 * i);
    return value;
}

/* The variant's place among those of its key. */
struct warm_id warm_variant_of(const struct warm_id *id, struct slice vary)
{
    const struct digest_key key = {id->key[0], id->key[1]};
    struct warm_id variant = *id;
    variant.vary = vary.len > 0 ? digest64(&key, vary.ptr, vary.len) | 1 : 0;
    return variant;
}

struct warm_id warm_id_of(const struct digest_key *salt, struct slice key, struct slice vary)
{
    const struct digest_key other = {~salt->k1, salt->k0};
    const struct warm_id id = {.key = {digest64(salt, key.ptr, key.len), digest64(&other, key.ptr, key.len)}};
    return warm_variant_of(&id, vary);
}

/* n: the piece. */
struct slice warm_name_of(struct warm_name *name, const struct warm_id *id, size_t n)
{
    warm_put_number(name->bytes, id->key[0], 8);
    warm_put_number(name->bytes + 8, id->key[1], 8);
    warm_put_number(name->bytes + WARM_ID, id->vary, 8);
    name->bytes[24] = (char)(unsigned char)(n >> 8);
    name->bytes[25] = (char)(unsigned char)n;
    name->len = n > 0 ? WARM_NAME_MAX : id->vary ? 24 : WARM_ID;
    return slice_of(name->bytes, name->len);
}

size_t warm_pieces_for(size_t data)
{
    return data <= WARM_FIRST ? 1 : 2 + (data - WARM_FIRST - 1) / WARM_FURTHER;
}

/* --- the head of a record -------------------------------------------------------------------- */

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

size_t warm_head_write(char *to, const struct warm_head *head)
{
    char *at = to;
    *at++ = WARM_TAG_ENTRY;
#define WRITE(member, size)                                                                                  \
    warm_put_number(at, (uint64_t)head->member, size);                                                       \
    at += (size);
    HEAD_NUMBERS(WRITE)
#undef WRITE
    return (size_t)(at - to);
}

#define HEAD_COUNT(member, size) +(size)
_Static_assert(WARM_HEAD == 1 + 0 HEAD_NUMBERS(HEAD_COUNT), "the list and its length");

size_t warm_data_of(const struct warm_head *head)
{
    return (size_t)head->key_len + head->vary_len + head->hidden_len + head->head_len + head->body_len;
}

/* Small enough to be added and taken from each other. */
static bool is_time(int64_t ms)
{
    return ms > -(INT64_C(1) << 53) && ms < INT64_C(1) << 53;
}

/* Do the numbers agree with each other? */
static bool head_is_sound(const struct warm_head *head)
{
    return head->status >= 200 && head->status <= 999 && !(head->flags & ~(uint32_t)KNOWN_FLAGS) &&
           head->key_len > 0 && head->lifetime_s >= CC_ABSENT && head->swr_s >= CC_ABSENT &&
           head->sie_s >= CC_ABSENT && head->hidden_len <= INT32_MAX && head->head_len <= INT32_MAX &&
           head->body_len <= INT32_MAX && head->splice_at <= head->body_len &&
           head->splice_len <= head->body_len - head->splice_at && is_time(head->times.mono_ms) &&
           is_time(head->times.wall_ms) && head->age_ms < UINT64_C(1) << 53 &&
           warm_pieces_for(warm_data_of(head)) <= PIECES_MAX;
}

/* False: not the head of an entry that this program wrote. */
bool warm_head_read(struct slice record, struct warm_head *head)
{
    if (record.len < WARM_HEAD || record.ptr[0] != WARM_TAG_ENTRY)
        return false;
    const char *at = record.ptr + 1;
#define READ(member, size)                                                                                   \
    head->member = (__typeof__(head->member))warm_get_number(at, size);                                      \
    at += (size);
    HEAD_NUMBERS(READ)
#undef READ
    const size_t data = warm_data_of(head);
    return head_is_sound(head) && record.len == WARM_HEAD + (data < WARM_FIRST ? data : WARM_FIRST);
}

struct warm_head warm_head_of(const struct cache_entry *entry, const struct warm_times *times)
{
    return (struct warm_head){
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
bool warm_next_text(struct slice *rest, struct slice *text, bool *sound)
{
    *sound = true;
    if (rest->len == 0)
        return false;
    const size_t len = rest->len >= 2 ? (size_t)warm_get_number(rest->ptr, 2) : 0;
    *sound = len > 0 && len <= WARM_VARY && rest->len - 2 >= len && rest->ptr[2 + len - 1] == '\n';
    if (!*sound)
        return false;
    *text = slice_of(rest->ptr + 2, len);
    *rest = slice_skip(*rest, 2 + len);
    return true;
}

bool warm_is_directory(struct slice record)
{
    return record.len > 0 && record.ptr[0] == WARM_TAG_DIRECTORY;
}
