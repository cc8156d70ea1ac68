/*
 * Errors are ints: 0, or a negative code of this list. A `struct fault` carries the one clear line for a
 * person where a code is not enough (start-up, configuration, command line).
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdarg.h>

#define ERROR_LIST(X)                                                                                        \
    X(NOMEM, -1, "out of memory")                                                                            \
    X(LIMIT, -2, "a size limit was reached")                                                                 \
    X(SYNTAX, -3, "malformed input")                                                                         \
    X(INVALID, -4, "invalid value")                                                                          \
    X(NOTFOUND, -5, "not found")                                                                             \
    X(EXISTS, -6, "already exists")                                                                          \
    X(FULL, -7, "no space left")                                                                             \
    X(CORRUPT, -8, "damaged or foreign data")                                                                \
    X(IO, -9, "input/output error")                                                                          \
    X(INUSE, -10, "address in use")                                                                          \
    X(CLOSED, -11, "closed")                                                                                 \
    X(TIMEOUT, -12, "timed out")                                                                             \
    X(AGAIN, -13, "would block")                                                                             \
    X(DENIED, -14, "permission denied")

enum error_code {
#define ERROR_ENUM(name, value, text) ERR_##name = (value),
    ERROR_LIST(ERROR_ENUM)
#undef ERROR_ENUM
};

/* A static sentence for a code; never NULL. */
const char *error_text(int code);

struct fault {
    char text[512];
};

/* Writes the line (truncated when too long). Returns `code`, so that a failing function can end with it. */
int fault_set(struct fault *fault, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts a prefix ("listen.data: ") before what is there. */
void fault_prefix(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define MUST_CHECK __attribute__((warn_unused_result))

#endif
