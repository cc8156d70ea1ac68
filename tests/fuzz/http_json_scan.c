/* Any text: what a parser with a tree takes is valid here, too; members lie inside their object and are
 * valid. */
#include <assert.h>
#include <stdlib.h>

#include "http/json.h"

static void check_member(struct slice text, const char *name)
{
    struct slice member = json_member(text, slice_from(name));
    if (member.len == 0)
        return;
    assert(member.ptr > text.ptr && member.ptr + member.len < text.ptr + text.len);
    assert(json_is_valid(member));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fault fault;
    char *exact = malloc(size > 0 ? size : 1);
    if (!exact)
        return 0;
    memcpy(exact, data, size);
    struct slice text = slice_of(exact, size);
    bool valid = json_is_valid(text);
    json_t *tree = json_read(text, size, &fault);
    assert(!tree || valid || memchr(exact, 0, size)); /* jansson ends at a NUL */
    json_decref(tree);
    if (valid) {
        check_member(text, "_metadata");
        check_member(text, "a");
    }
    free(exact);
    return 0;
}
