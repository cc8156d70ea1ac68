/*
 * route_scan on any text: where the pieces end must not matter, what is settled only grows and never reaches
 * into the value; and of a valid JSON text it finds what jansson finds. Input: number of cuts, that many
 * bytes for their places, text.
 */
#include <stdint.h>
#include <stdlib.h>

#include "http/json.h"
#include "route/route.h"

static void must(bool holds)
{
    if (!holds)
        abort();
}

static struct route_scan scan_whole(struct slice text)
{
    struct route_scan scan;
    route_scan_init(&scan);
    uint64_t settled = route_scan_feed(&scan, text);
    must(settled <= text.len && (settled == text.len || (!scan.over && settled == scan.at)));
    return scan;
}

static struct route_scan scan_pieces(struct slice text, const uint8_t *cuts, size_t count)
{
    struct route_scan scan;
    uint64_t settled = 0;
    size_t at = 0;
    route_scan_init(&scan);
    for (size_t i = 0; i <= count; i++) {
        size_t len = i < count && cuts[i] < text.len - at ? cuts[i] : text.len - at;
        uint64_t now = route_scan_feed(&scan, slice_of(text.ptr + at, len));
        at += len;
        must(now >= settled && now <= at && at - now <= ROUTE_LINK_MAX);
        /* Nothing of a value that is found now was let go before. */
        must(!scan.found || settled <= scan.at || settled > scan.at + scan.len);
        settled = now;
    }
    return scan;
}

/* Two opinions on a valid text; keys written with escapes are the one difference that is wanted. */
static void compare(const struct route_scan *scan, struct slice text)
{
    struct fault fault;
    json_t *root = json_read(text, text.len, &fault);
    if (!root)
        return;
    const json_t *metadata = json_is_object(root) ? json_object_get(root, "_metadata") : NULL;
    struct slice want = json_text(metadata, "nextLink");
    json_decref(root);
    if (scan->found) {
        must(want.len > 0);
        must(text.ptr[scan->at - 1] == '"' && text.ptr[scan->at + scan->len] == '"');
    } else {
        must(want.len == 0 || want.len > ROUTE_LINK_MAX / 6 || memchr(text.ptr, '\\', text.len));
    }
}

/* The value between the quotes, decoded by jansson, is the member's value. */
static void compare_value(const struct route_scan *scan, struct slice text)
{
    struct fault fault;
    json_t *root = json_read(text, text.len, &fault);
    json_t *value = json_read(slice_of(text.ptr + scan->at - 1, scan->len + 2), text.len, &fault);
    if (root) {
        must(json_is_string(value));
        struct slice want = json_text(json_object_get(root, "_metadata"), "nextLink");
        must(slice_equal(want, slice_of(json_string_value(value), json_string_length(value))));
    }
    json_decref(value);
    json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size < 1u + data[0])
        return 0;
    size_t cuts = data[0];
    struct slice text = slice_of((const char *)data + 1 + cuts, size - 1 - cuts);
    struct route_scan whole = scan_whole(text);
    struct route_scan pieces = scan_pieces(text, data + 1, cuts);
    must(whole.found == pieces.found && whole.over == pieces.over);
    must(!whole.found || (whole.at == pieces.at && whole.len == pieces.len));
    must(!whole.found || (whole.len > 0 && whole.len <= ROUTE_LINK_MAX && whole.over));
    compare(&whole, text);
    if (whole.found)
        compare_value(&whole, text);
    return 0;
}
