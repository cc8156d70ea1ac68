/*
 * A worker's desk: identifies callers, and remembers those that it has verified.
 *
 * What was presented is remembered as two SipHashes under random keys of this desk, 128 bits: neither a key
 * nor its hash stays in memory, and to be taken for somebody else means to guess them. Only good keys are
 * remembered, so strangers push nobody out.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/list.h"
#include "base/random.h"
#include "caller/caller_internal.h"

enum { SETS = 1024, WAYS = 4 };

struct mark {
    uint64_t a, b;
};

struct memory {
    unsigned refs; /* the desk's, and one for each request that uses it */
    struct mark mark;
    uint64_t version; /* of the ledger, when it was read */
    uint64_t touch_due_ms;
    char id[CALLER_ID_BYTES];
    struct caller caller; /* points into record */
    char record[];
};

struct caller_desk {
    struct store *store;
    int first_table;
    struct digest_key keys[2];
    uint64_t version;
    bool demanded;
    unsigned next_way;
    struct memory *memories[SETS][WAYS];
};

struct caller_desk *caller_desk_create(struct store *store, int first_table)
{
    struct caller_desk *desk = calloc(1, sizeof *desk);
    if (!desk)
        return NULL;
    desk->store = store;
    desk->first_table = first_table;
    random_secret(desk->keys, sizeof desk->keys);
    return desk;
}

static void release(struct memory *memory)
{
    if (memory && --memory->refs == 0)
        free(memory);
}

static struct memory *memory_of(const struct caller *caller)
{
    return container_of((struct caller *)(uintptr_t)caller, struct memory, caller);
}

void caller_retain(const struct caller *caller)
{
    if (caller)
        memory_of(caller)->refs++;
}

void caller_release(const struct caller *caller)
{
    if (caller)
        release(memory_of(caller));
}

void caller_desk_destroy(struct caller_desk *desk)
{
    if (!desk)
        return;
    for (size_t i = 0; i < SETS; i++)
        for (size_t way = 0; way < WAYS; way++) {
            assert(!desk->memories[i][way] || desk->memories[i][way]->refs == 1);
            release(desk->memories[i][way]);
        }
    digest_wipe(desk->keys, sizeof desk->keys);
    free(desk);
}

/* --- memory --------------------------------------------------------------------------------------------- */

/* `kind` keeps a peer that is called like a key apart from that key. */
static struct mark mark_of(const struct caller_desk *desk, char kind, struct slice text)
{
    return (struct mark){digest64(&desk->keys[0], text.ptr, text.len) ^ (uint64_t)(unsigned char)kind,
                         digest64(&desk->keys[1], text.ptr, text.len)};
}

static struct memory *recall(struct caller_desk *desk, struct mark mark)
{
    struct memory **set = desk->memories[mark.b % SETS];
    for (size_t way = 0; way < WAYS; way++)
        if (set[way] && ((set[way]->mark.a ^ mark.a) | (set[way]->mark.b ^ mark.b)) == 0 &&
            set[way]->version == desk->version)
            return set[way];
    return NULL;
}

/* Takes the place of an outdated one, else of the next in turn. */
static void remember(struct caller_desk *desk, struct memory *memory)
{
    struct memory **set = desk->memories[memory->mark.b % SETS];
    size_t way = WAYS;
    for (size_t i = 0; i < WAYS && way == WAYS; i++)
        if (!set[i] || set[i]->version != desk->version)
            way = i;
    if (way == WAYS)
        way = desk->next_way++ % WAYS;
    release(set[way]);
    set[way] = memory;
}

static struct memory *memory_create(const struct caller_desk *desk, struct slice id, struct slice record)
{
    struct memory *memory = malloc(sizeof *memory + record.len);
    if (!memory)
        return NULL;
    memory->refs = 1;
    memory->version = desk->version;
    memory->touch_due_ms = 0;
    memcpy(memory->id, id.ptr, sizeof memory->id);
    memcpy(memory->record, record.ptr, record.len);
    int rc = codec_read(slice_of(memory->record, record.len), id, &memory->caller, NULL);
    assert(rc == 0); /* it was read before, where it stood */
    return memory;
}

/* --- the store ------------------------------------------------------------------------------------------ */

/* What has changed since the last request? */
static int refresh(struct caller_desk *desk, struct store_view *view)
{
    struct slice record;
    struct codec_ledger ledger;
    int rc = store_get(view, desk->first_table + CALLER_TABLE_KEYS, LEDGER_KEY, &record);
    if (rc == 0)
        rc = codec_read_ledger(record, &ledger);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    desk->version = rc ? 0 : ledger.version;
    desk->demanded = rc == 0;
    return 0;
}

static enum caller_outcome outcome_of(int rc, enum caller_outcome none)
{
    return rc == ERR_NOTFOUND ? none : CALLER_UNAVAILABLE;
}

/* `hash` is the presented key's, or empty for a peer. */
static enum caller_outcome look_up(struct caller_desk *desk, struct store_view *view, struct slice id,
                                   struct slice hash, struct memory **out)
{
    struct slice record, stored;
    struct caller caller;
    int rc = store_get(view, desk->first_table + CALLER_TABLE_KEYS, id, &record);
    if (rc == 0)
        rc = codec_read(record, id, &caller, &stored);
    if (rc)
        return outcome_of(rc, CALLER_KEY_UNKNOWN);
    if (hash.len > 0 && !slice_equal_secret(hash, stored))
        return CALLER_KEY_UNKNOWN;
    if (caller.status == CALLER_REVOKED)
        return CALLER_KEY_REVOKED;
    *out = memory_create(desk, id, record);
    return *out ? CALLER_KNOWN : CALLER_UNAVAILABLE;
}

static enum caller_outcome look_up_key(struct caller_desk *desk, struct store_view *view, struct slice key,
                                       struct memory **out)
{
    char hash[CALLER_HASH_LEN];
    if (key_hash(key, hash))
        return CALLER_UNAVAILABLE;
    enum caller_outcome outcome =
        look_up(desk, view, slice_of(hash, CALLER_ID_BYTES), slice_of(hash, sizeof hash), out);
    digest_wipe(hash, sizeof hash);
    return outcome;
}

static enum caller_outcome look_up_peer(struct caller_desk *desk, struct store_view *view, struct slice peer,
                                        struct memory **out)
{
    struct name_key name = codec_name_key('p', peer);
    struct slice id, none = {NULL, 0};
    if (peer.len > CALLER_PEER_MAX)
        return CALLER_PEER_UNKNOWN;
    int rc = store_get(view, desk->first_table + CALLER_TABLE_NAMES, name_key_slice(&name), &id);
    if (rc)
        return outcome_of(rc, CALLER_PEER_UNKNOWN);
    enum caller_outcome outcome =
        id.len == CALLER_ID_BYTES ? look_up(desk, view, id, none, out) : CALLER_UNAVAILABLE;
    return outcome == CALLER_KEY_UNKNOWN || outcome == CALLER_KEY_REVOKED ? CALLER_PEER_UNKNOWN : outcome;
}

/* --- identification ------------------------------------------------------------------------------------- */

/* *out is the desk's own; it stays until the next call. */
static enum caller_outcome find(struct caller_desk *desk, struct store_view *view, char kind,
                                struct slice text, struct memory **out)
{
    struct mark mark = mark_of(desk, kind, text);
    *out = recall(desk, mark);
    if (*out)
        return CALLER_KNOWN;
    enum caller_outcome outcome =
        kind == 'k' ? look_up_key(desk, view, text, out) : look_up_peer(desk, view, text, out);
    if (outcome == CALLER_KNOWN) {
        (*out)->mark = mark;
        remember(desk, *out);
    }
    return outcome;
}

static bool lists_peer(const struct caller *caller, struct slice peer)
{
    for (size_t i = 0; i < caller->spec.peers.count; i++)
        if (slice_equal(caller->spec.peers.at[i], peer))
            return true;
    return false;
}

/* A key beside a peer name that is somebody else's: two callers in one request. A name that is nobody's says
 * nothing. */
static enum caller_outcome check_peer(struct caller_desk *desk, struct store_view *view,
                                      const struct memory *memory, struct slice peer)
{
    struct name_key name = codec_name_key('p', peer);
    struct slice id;
    if (peer.len == 0 || peer.len > CALLER_PEER_MAX || lists_peer(&memory->caller, peer))
        return CALLER_KNOWN;
    int rc = store_get(view, desk->first_table + CALLER_TABLE_NAMES, name_key_slice(&name), &id);
    if (rc)
        return outcome_of(rc, CALLER_KNOWN);
    return CALLER_PEER_DIFFERS;
}

static void touch(struct caller_desk *desk, struct memory *memory, uint64_t now_ms)
{
    if (now_ms < memory->touch_due_ms)
        return;
    int64_t wall_ms = clock_wall_ms(), since = wall_ms - memory->caller.last_used_at;
    bool noted =
        memory->touch_due_ms == 0 && since >= 0 && since < TOUCH_EVERY_MS; /* as it was read just now */
    memory->touch_due_ms = now_ms + TOUCH_EVERY_MS - (noted ? (uint64_t)since : 0);
    if (!noted)
        touch_submit(desk->store, desk->first_table, slice_of(memory->id, sizeof memory->id), wall_ms);
}

/* Of a request when callers are asked who they are. */
static enum caller_outcome judge(struct caller_desk *desk, struct store_view *view,
                                 const struct caller_proof *proof, struct memory **memory)
{
    enum caller_outcome outcome;
    if (proof->flaw != CALLER_KNOWN)
        return proof->flaw;
    if (proof->has_key) {
        outcome = find(desk, view, 'k', proof->key, memory);
        return outcome == CALLER_KNOWN ? check_peer(desk, view, *memory, proof->peer) : outcome;
    }
    outcome = proof->peer.len > 0 ? find(desk, view, 'p', proof->peer, memory) : CALLER_KEY_MISSING;
    bool nobody = outcome == CALLER_PEER_UNKNOWN || outcome == CALLER_KEY_MISSING;
    return nobody && proof->anonymous ? CALLER_ANONYMOUS : outcome;
}

enum caller_outcome caller_identify(struct caller_desk *desk, struct store_view *view,
                                    const struct caller_proof *proof, const struct caller **out)
{
    struct memory *memory = NULL;
    *out = NULL;
    if (refresh(desk, view))
        return CALLER_UNAVAILABLE;
    enum caller_outcome outcome = desk->demanded ? judge(desk, view, proof, &memory) : CALLER_ANONYMOUS;
    if (outcome != CALLER_KNOWN)
        return outcome;
    touch(desk, memory, proof->now_ms);
    memory->refs++; /* the request's */
    *out = &memory->caller;
    return CALLER_KNOWN;
}
