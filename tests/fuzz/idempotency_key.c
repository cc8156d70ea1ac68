/* An Idempotency-Key as clients may write it: what is accepted is in bounds, and as a string it is the same
 * key. */
#include <assert.h>

#include "idempotency/idempotency.h"

static int read_value(struct slice value, struct buf *key)
{
    struct http_field field = {SLICE("Idempotency-Key"), value, FIELD_IDEMPOTENCY_KEY};
    struct http_fields fields = {&field, 1};
    return idempotency_read(&fields, key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char storage[IDEMPOTENCY_KEY_MAX + 1], quoted[2 * IDEMPOTENCY_KEY_MAX + 2],
        second[IDEMPOTENCY_KEY_MAX + 1];
    struct buf key, text, again;
    buf_init_fixed(&key, storage, sizeof storage);
    buf_init_fixed(&text, quoted, sizeof quoted);
    buf_init_fixed(&again, second, sizeof second);
    if (read_value(slice_of((const char *)data, size), &key))
        return 0;
    assert(key.len >= 1 && key.len <= IDEMPOTENCY_KEY_MAX);
    buf_append_char(&text, '"');
    for (size_t i = 0; i < key.len; i++) {
        assert(key.ptr[i] > 0x20 && key.ptr[i] < 0x7f);
        if (key.ptr[i] == '"' || key.ptr[i] == '\\')
            buf_append_char(&text, '\\');
        buf_append_char(&text, key.ptr[i]);
    }
    buf_append_char(&text, '"');
    assert(read_value(buf_slice(&text), &again) == 0);
    assert(slice_equal(buf_slice(&key), buf_slice(&again)));
    return 0;
}
