/* What people read. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_internal.h"

void cli_print_text(FILE *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        unsigned char next = i + 1 < text.len ? (unsigned char)text.ptr[i + 1] : 0;
        bool is_c1 = c == 0xC2 && next >= 0x80 && next < 0xA0; /* U+0080 to U+009F, in UTF-8 */
        i += is_c1;
        putc(c < 0x20 || c == 0x7F || is_c1 ? '?' : c, out);
    }
}

static void complain(const struct cli_command *command, const char *format, va_list args)
{
    char text[1024];
    vsnprintf(text, sizeof text, format, args);
    fprintf(stderr, "rollout-gateway%s%s: ", command ? " " : "", command ? command->name : "");
    cli_print_text(stderr, slice_from(text));
    putc('\n', stderr);
}

int cli_usage(const struct cli_command *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(command, format, args);
    va_end(args);
    fprintf(stderr, "Try 'rollout-gateway%s%s --help'.\n", command ? " " : "", command ? command->name : "");
    return CLI_USAGE;
}

int cli_fail(const struct cli_command *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(command, format, args);
    va_end(args);
    return CLI_FAILED;
}

int cli_print_json(const struct cli_call *call, json_t *value)
{
    if (!value)
        return cli_fail(call->command, "out of memory");
    /* A closed or full stdout is told at the end of the run. */
    (void)json_dumpf(value, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(value);
    return CLI_OK;
}

/* --- trees --------------------------------------------------------------------------------------------- */

static void print_scalar(const json_t *value)
{
    if (json_is_string(value) && json_string_length(value) > 0)
        cli_print_text(stdout, slice_of(json_string_value(value), json_string_length(value)));
    else if (json_is_integer(value))
        printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        printf("%g", json_real_value(value));
    else
        fputs(json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "-", stdout);
}

static bool is_flat(const json_t *value)
{
    size_t i;
    json_t *item;
    if (json_is_object(value))
        return false;
    json_array_foreach(value, i, item)
    {
        if (json_is_object(item) || json_is_array(item))
            return false;
    }
    return true;
}

static void print_flat(const json_t *value)
{
    size_t i;
    json_t *item;
    if (!json_is_array(value)) {
        print_scalar(value);
        return;
    }
    if (json_array_size(value) == 0)
        putchar('-');
    json_array_foreach(value, i, item)
    {
        if (i > 0)
            fputs(", ", stdout);
        print_scalar(item);
    }
}

static void print_member(const char *key, const json_t *value, int level)
{
    printf("%*s", 2 * level, "");
    cli_print_text(stdout, slice_from(key));
    fputs(is_flat(value) ? ": " : ":\n", stdout);
    cli_print_tree(value, level + 1);
}

/* A flat value ends the line that it stands on; others begin lines of their own. */
void cli_print_tree(const json_t *value, int level)
{
    size_t i;
    const char *key;
    json_t *item;
    if (is_flat(value)) {
        print_flat(value);
        putchar('\n');
    } else if (json_is_object(value)) {
        json_object_foreach((json_t *)(uintptr_t)value, key, item)
        {
            print_member(key, item, level);
        }
    } else {
        json_array_foreach(value, i, item)
        {
            char number[24];
            snprintf(number, sizeof number, "%zu", i + 1);
            print_member(number, item, level);
        }
    }
}
