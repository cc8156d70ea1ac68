#include "route/route.h"

/*
 * One byte at a time, so that where the pieces end cannot matter. Only the members of the root object and of
 * its
 * `_metadata` are looked at; everything else is skipped by counting brackets outside strings.
 *
 *   START -> KEY -> IN_KEY -> COLON -> VALUE -> SCALAR | STRING | SKIP | LINK
 *             ^                                    |
 *             +----------------- AFTER <-----------+
 */
enum {
    START,       /* before the root's '{' */
    KEY,         /* before a member's name, or the object's end */
    IN_KEY,      /* inside its quotes */
    KEY_ESCAPE,  /* after a backslash there */
    COLON,       /* between name and value */
    VALUE,       /* before a value */
    SCALAR,      /* inside a number, true, false or null */
    AFTER,       /* behind a value */
    SKIP,        /* inside a container that is of no interest, outside strings */
    SKIP_STRING, /* inside a string of no interest */
    SKIP_ESCAPE,
    LINK, /* inside the value that is looked for */
    LINK_ESCAPE,
};

enum {
    FLAG_METADATA = 1,
    FLAG_ODD_KEY = 2
}; /* inside _metadata; the key has escapes or is too long to match */

/* Nobody nests like that; the counter must not wrap. */
enum { DEPTH_MAX = 1 << 20 };

void route_scan_init(struct route_scan *scan)
{
    *scan = (struct route_scan){.state = START};
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool key_is(const struct route_scan *scan, struct slice name)
{
    return !(scan->flags & FLAG_ODD_KEY) && slice_equal(slice_of(scan->key, scan->key_len), name);
}

static void enter(struct route_scan *scan, int state)
{
    scan->depth++;
    scan->state = state;
    scan->over = scan->depth > DEPTH_MAX;
}

static void start_key(struct route_scan *scan)
{
    scan->state = IN_KEY;
    scan->key_len = 0;
    scan->flags &= (unsigned char)~FLAG_ODD_KEY;
}

static void on_key_byte(struct route_scan *scan, char c)
{
    if (c == '"') {
        scan->state = COLON;
    } else if (c == '\\') {
        scan->flags |= FLAG_ODD_KEY;
        scan->state = KEY_ESCAPE;
    } else if (scan->key_len == sizeof scan->key) {
        scan->flags |= FLAG_ODD_KEY;
    } else {
        scan->key[scan->key_len++] = c;
    }
}

static void on_value(struct route_scan *scan, char c)
{
    bool metadata = scan->flags & FLAG_METADATA;
    if (!metadata && key_is(scan, SLICE("_metadata"))) {
        scan->flags |= FLAG_METADATA;
        enter(scan, KEY);
        scan->over |= c != '{';
    } else if (metadata && key_is(scan, SLICE("nextLink"))) {
        scan->state = LINK;
        scan->at = scan->offset + 1;
        scan->over = c != '"';
    } else if (c == '"') {
        scan->state = SKIP_STRING;
    } else if (c == '{' || c == '[') {
        enter(scan, SKIP);
    } else {
        scan->state = SCALAR;
    }
}

/* Behind a value. With the end of _metadata, as with that of the root, nothing more can come. */
static void on_after(struct route_scan *scan, char c)
{
    if (c == ',')
        scan->state = KEY;
    else
        scan->over = true;
}

static unsigned base_depth(const struct route_scan *scan)
{
    return scan->flags & FLAG_METADATA ? 2 : 1;
}

static void on_skip(struct route_scan *scan, char c)
{
    if (c == '"')
        scan->state = SKIP_STRING;
    else if (c == '{' || c == '[')
        enter(scan, SKIP);
    else if ((c == '}' || c == ']') && --scan->depth == base_depth(scan))
        scan->state = AFTER;
}

static void on_string(struct route_scan *scan, char c)
{
    if (c == '\\')
        scan->state = SKIP_ESCAPE;
    else if (c == '"')
        scan->state = scan->depth == base_depth(scan) ? AFTER : SKIP;
}

static void on_link(struct route_scan *scan, char c)
{
    uint64_t len = scan->offset - scan->at;
    if (c == '"' && scan->state == LINK) {
        scan->len = len;
        scan->found = len > 0;
        scan->over = true;
        return;
    }
    scan->state = c == '\\' && scan->state == LINK ? LINK_ESCAPE : LINK;
    scan->over = len >= ROUTE_LINK_MAX || (unsigned char)c < 0x20;
}

/* Between tokens, where white space means nothing. */
static void on_structure(struct route_scan *scan, char c)
{
    if (is_space(c))
        return;
    if (scan->state == VALUE) {
        on_value(scan, c);
    } else if (scan->state == AFTER) {
        on_after(scan, c);
    } else if (scan->state == KEY && c == '"') {
        start_key(scan);
    } else if (scan->state == COLON && c == ':') {
        scan->state = VALUE;
    } else if (scan->state == START && c == '{') {
        enter(scan, KEY);
    } else {
        scan->over = true;
    }
}

static void step(struct route_scan *scan, char c)
{
    switch (scan->state) {
    case SKIP_STRING:
        on_string(scan, c);
        break;
    case SKIP:
        on_skip(scan, c);
        break;
    case SKIP_ESCAPE:
        scan->state = SKIP_STRING;
        break;
    case IN_KEY:
        on_key_byte(scan, c);
        break;
    case KEY_ESCAPE:
        scan->state = IN_KEY;
        break;
    case SCALAR:
        if (c == ',' || c == '}')
            on_after(scan, c);
        break;
    case LINK:
    case LINK_ESCAPE:
        on_link(scan, c);
        break;
    default:
        on_structure(scan, c);
        break;
    }
}

/* How far memchr looks ahead at once: what it passes over in vain is bounded, however many escapes there are.
 */
enum { AHEAD = 512 };

static size_t string_length(struct slice piece)
{
    size_t n = piece.len < AHEAD ? piece.len : AHEAD;
    const char *quote = memchr(piece.ptr, '"', n);
    n = quote ? (size_t)(quote - piece.ptr) : n;
    const char *escape = memchr(piece.ptr, '\\', n);
    return escape ? (size_t)(escape - piece.ptr) : n;
}

/* How many bytes at the start of the piece change nothing: most of a body is inside of what is skipped. '['
 * and ']' are '{' and '}' without one bit. */
static size_t idle_length(const struct route_scan *scan, struct slice piece)
{
    size_t n = 0;
    if (scan->state == SKIP_STRING)
        return string_length(piece);
    if (scan->state == SKIP)
        while (n < piece.len && piece.ptr[n] != '"' && (piece.ptr[n] | 0x20) != '{' &&
               (piece.ptr[n] | 0x20) != '}')
            n++;
    return n;
}

uint64_t route_scan_feed(struct route_scan *scan, struct slice piece)
{
    while (piece.len > 0 && !scan->over) {
        size_t idle = idle_length(scan, piece);
        scan->offset += idle;
        piece = slice_skip(piece, idle);
        if (piece.len == 0)
            break;
        step(scan, piece.ptr[0]);
        scan->offset++;
        piece = slice_skip(piece, 1);
    }
    scan->offset += piece.len;
    bool inside = !scan->over && (scan->state == LINK || scan->state == LINK_ESCAPE);
    return inside ? scan->at : scan->offset;
}
