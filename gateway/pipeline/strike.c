/* core/credentials: upstream's secrets are struck out before anybody sees the body (contract 3). On the
 * owner's loop. */
#include <stdlib.h>

#include "base/digest.h"
#include "http/json.h"
#include "internal.h"

/* Wherever a credential may stand: in a list, under a name, in an envelope. json_read bounds the depth. */
static void strike_all(json_t *value)
{
    size_t i;
    const char *key;
    json_t *item;
    json_object_del(value, "data");
    json_object_del(value, "currentData");
    json_array_foreach(value, i, item) strike_all(item);
    json_object_foreach(value, key, item) strike_all(item);
}

bool strike_body(struct flight *flight)
{
    bool copied;
    char *body = fetch_whole_body(flight, &copied);
    if (!body)
        return false;
    struct fault fault;
    json_t *root = json_read(slice_of(body, flight->produced), STRIKE_MAX, &fault);
    if (copied)
        free(body);
    if (!root)
        return false;
    strike_all(root);
    struct buf out;
    buf_init(&out, STRIKE_MAX * 2);
    bool good = json_write(&out, root) == 0;
    json_decref(root);
    pthread_mutex_lock(&flight->lock);
    while (flight->first) {
        struct segment *segment = flight->first;
        flight->first = segment->next;
        digest_wipe(segment->data, segment->len);
        segment_release(segment);
    }
    flight->last = NULL;
    flight->produced = 0;
    pthread_mutex_unlock(&flight->lock);
    good = good && flight_append(flight, buf_slice(&out));
    buf_wipe(&out);
    flight->settled = flight->produced;
    flight->length = flight->produced;
    return good;
}
