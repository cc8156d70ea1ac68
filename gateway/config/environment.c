/* ${NAME} inside texts. One pass: what a variable holds is not looked at again. */
#include <stdlib.h>

#include "config/config_internal.h"

enum { NAME_MAX_BYTES = 255 };

static bool is_name_byte(char c, bool first)
{
    if (c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return !first && c >= '0' && c <= '9';
}

size_t environment_name(struct slice text)
{
    size_t len = 0;
    while (len < text.len && len < NAME_MAX_BYTES && is_name_byte(text.ptr[len], len == 0))
        len++;
    return len;
}

bool environment_used(struct slice text)
{
    return text.len >= 2 && memmem(text.ptr, text.len, "${", 2) != NULL;
}

static int append_variable(struct slice name, struct buf *out)
{
    char copy[NAME_MAX_BYTES + 1];
    memcpy(copy, name.ptr, name.len);
    copy[name.len] = '\0';
    const char *value = getenv(copy);
    return value ? buf_append_text(out, value) : ERR_NOTFOUND;
}

int environment_expand(struct slice text, struct buf *out, struct slice *name)
{
    while (text.len > 0) {
        int error;
        size_t taken = 1;
        if (slice_starts(text, SLICE("$${"))) {
            error = buf_append_text(out, "${");
            taken = 3;
        } else if (slice_starts(text, SLICE("${"))) {
            *name = slice_skip(text, 2);
            name->len = environment_name(*name);
            taken = name->len + 3;
            if (name->len == 0 || taken > text.len || text.ptr[taken - 1] != '}')
                return ERR_SYNTAX;
            error = append_variable(*name, out);
        } else {
            error = buf_append_char(out, text.ptr[0]);
        }
        if (error)
            return error;
        text = slice_skip(text, taken);
    }
    return 0;
}

int environment_escape(struct slice text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (slice_starts(slice_skip(text, i), SLICE("${")))
            buf_append_char(out, '$');
        buf_append_char(out, text.ptr[i]);
    }
    return out->failed ? ERR_NOMEM : 0;
}
