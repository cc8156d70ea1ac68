#include "base/error.h"

#include <stdio.h>
#include <string.h>

const char *error_text(int code)
{
    switch (code) {
    case 0:
        return "no error";
#define ERROR_TEXT(name, value, text)                                                                        \
    case ERR_##name:                                                                                         \
        return text;
        ERROR_LIST(ERROR_TEXT)
#undef ERROR_TEXT
    default:
        return "unknown error";
    }
}

/* Both build the line aside first: the arguments may point into the fault itself. */
int fault_set(struct fault *fault, int code, const char *format, ...)
{
    struct fault line = {{0}};
    va_list args;
    va_start(args, format);
    vsnprintf(line.text, sizeof line.text, format, args);
    va_end(args);
    *fault = line;
    return code;
}

void fault_prefix(struct fault *fault, const char *format, ...)
{
    struct fault line = {{0}};
    va_list args;
    va_start(args, format);
    vsnprintf(line.text, sizeof line.text, format, args);
    va_end(args);
    size_t len = strlen(line.text);
    size_t add = strnlen(fault->text, sizeof fault->text - 1 - len);
    memcpy(line.text + len, fault->text, add);
    line.text[len + add] = '\0';
    *fault = line;
}
