/* jansson with this project's strictness: duplicate keys refused, depth and size bounded, errors in one clear
 * line. */
#ifndef HTTP_JSON_H
#define HTTP_JSON_H

#include <jansson.h>

#include "base/buf.h"
#include "base/slice.h"

/* Parses exactly one value of at most max bytes, nested at most 64 deep. NULL: the fault says what is wrong
 * at which line and column (never quoting the input). The caller json_decref's. */
json_t *json_read(struct slice text, size_t max, struct fault *fault);
/* Appends compact text, members in the order they were set. 0, the buffer's error, or ERR_INVALID
 * for what is no JSON; then nothing is added. */
int json_write(struct buf *out, const json_t *value);
/* String member, or the empty slice when absent or of another type. Borrowed from the value. */
struct slice json_text(const json_t *object, const char *key);

/* --- without a tree: for texts that are passed on as they are ------------------------------------- */

/* Is it exactly one value (RFC 8259), in valid UTF-8, nested at most 64 deep? Nothing is allocated. */
bool json_is_valid(struct slice text);
/* The text of a member of the object that a valid text is; the empty slice when it is no object or has none
 * of that name. Of several the first one counts; names that are written with escapes are not found. */
struct slice json_member(struct slice object, struct slice name);

#endif
