/* Durations, sizes, rates: a whole number and a unit out of a table, nothing else. */
#include "config/config_internal.h"

const struct unit units_duration[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 60 * 60 * 1000}, {"d", 24 * 60 * 60 * 1000}, {NULL, 0},
};
const struct unit units_size[] = {
    {"B", 1}, {"KiB", 1ull << 10}, {"MiB", 1ull << 20}, {"GiB", 1ull << 30}, {"TiB", 1ull << 40}, {NULL, 0},
};
/* Of rates the factor divides: seconds. */
const struct unit units_rate[] = {{"/s", 1}, {"/m", 60}, {"/h", 3600}, {NULL, 0}};

enum { RATE_MAX = 1000 * 1000 * 1000 };

static const struct unit *find_unit(const struct unit *units, struct slice name)
{
    for (; units->name; units++)
        if (slice_equal(name, slice_from(units->name)))
            return units;
    return NULL;
}

enum unit_result units_read(const struct unit *units, struct slice text, uint64_t *value,
                            const struct unit **unit)
{
    size_t digits = 0;
    uint64_t number;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    const struct unit *found = find_unit(units, slice_skip(text, digits));
    if (digits == 0 || !found)
        return UNIT_FORM;
    if (!slice_to_u64(slice_of(text.ptr, digits), &number) ||
        __builtin_mul_overflow(number, found->factor, value))
        return UNIT_RANGE;
    *unit = found;
    return UNIT_OK;
}

void units_write(const struct unit *units, uint64_t value, struct buf *out)
{
    const struct unit *best = units;
    for (const struct unit *unit = units; unit->name; unit++)
        if (value > 0 && value % unit->factor == 0)
            best = unit;
    if (value == 0 && units == units_duration)
        best = units + 1; /* people write 0s */
    buf_append_u64(out, value / best->factor);
    buf_append_text(out, best->name);
}

enum unit_result units_read_rate(struct slice text, double *rate)
{
    uint64_t product;
    const struct unit *unit;
    if (slice_equal(text, SLICE("none"))) {
        *rate = 0;
        return UNIT_OK;
    }
    const enum unit_result result = units_read(units_rate, text, &product, &unit);
    if (result != UNIT_OK)
        return result;
    const uint64_t number = product / unit->factor;
    if (number == 0 || number > RATE_MAX)
        return UNIT_RANGE;
    *rate = (double)number / (double)unit->factor;
    return UNIT_OK;
}

/* The nearest whole number; rates are small enough for it. */
static uint64_t nearest(double x)
{
    return (uint64_t)(x + 0.5);
}

static bool is_whole(double x)
{
    const double off = x - (double)nearest(x);
    return off < 1e-6 && off > -1e-6;
}

void units_write_rate(double rate, struct buf *out)
{
    const struct unit *best = units_rate;
    if (rate <= 0) {
        buf_append_text(out, "none");
        return;
    }
    while (best[1].name && !is_whole(rate * (double)best->factor))
        best++;
    buf_append_u64(out, nearest(rate * (double)best->factor));
    buf_append_text(out, best->name);
}
