/* "Did you mean": the nearest of the words that are allowed. */
#include "config/config_internal.h"

enum { WORD_MAX = 48 };

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t suggest_distance(struct slice a, struct slice b)
{
    size_t rows[3][WORD_MAX + 1];
    if (a.len > WORD_MAX || b.len > WORD_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= b.len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            const bool same = lower(a.ptr[i - 1]) == lower(b.ptr[j - 1]);
            row[j] = least(least(above[j] + 1, row[j - 1] + 1), above[j - 1] + !same);
            const bool swapped = i > 1 && j > 1 && lower(a.ptr[i - 1]) == lower(b.ptr[j - 2]) &&
                                 lower(a.ptr[i - 2]) == lower(b.ptr[j - 1]);
            if (swapped)
                row[j] = least(row[j], two_above[j - 2] + 1);
        }
    }
    return rows[a.len % 3][b.len];
}

/* A short word has many neighbours by chance. */
static size_t tolerance(size_t len)
{
    if (len <= 3)
        return 1;
    return len <= 7 ? 2 : 3;
}

/* "warning" for "warn", "dir" for "directory". */
static bool is_beginning(struct slice a, struct slice b)
{
    const size_t len = least(a.len, b.len);
    return len >= 3 && slice_equal_nocase(slice_of(a.ptr, len), slice_of(b.ptr, len));
}

void suggest_offer(struct suggestion *s, struct slice word, const char *candidate)
{
    const struct slice other = slice_from(candidate);
    const size_t distance = suggest_distance(word, other);
    const bool near = distance <= tolerance(least(word.len, other.len)) || is_beginning(word, other);
    if (!near || (s->best && distance >= s->distance))
        return;
    s->best = candidate;
    s->distance = distance;
}
