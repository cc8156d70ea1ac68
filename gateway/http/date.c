#include "http/date.h"

enum { DAY = 86400, YEAR_MAX = 9999 };

static const char days_short[] = "SunMonTueWedThuFriSat";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

struct civil {
    int64_t year;
    int month, day; /* 1.. */
    int hour, minute, second;
};

/* --- calendar: proleptic Gregorian, no time zone, no libc state
 * ------------------------------------------------ */

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_in_month(int64_t year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 1970-01-01 to the first day of a year from 0 to 9999 and a bit. */
static int64_t days_before_year(int64_t year)
{
    const int64_t y = year - 1; /* whole years since year 1; -1 for year 0, which was a leap year */
    const int64_t leaps = y < 0 ? -1 : y / 4 - y / 100 + y / 400;
    return y * 365 + leaps - 719162;
}

static int64_t to_seconds(const struct civil *c)
{
    int64_t days = days_before_year(c->year) + c->day - 1;
    for (int month = 1; month < c->month; month++)
        days += days_in_month(c->year, month);
    return days * DAY + c->hour * 3600 + c->minute * 60 + c->second;
}

/* Years 0 to 9999; what lies outside is moved to the nearest second inside. */
static struct civil from_seconds(int64_t seconds)
{
    const int64_t first = days_before_year(0) * DAY;
    const int64_t end = days_before_year(YEAR_MAX + 1) * DAY;
    if (seconds < first)
        seconds = first;
    if (seconds >= end)
        seconds = end - 1;
    const int64_t since = seconds - first;
    int64_t days = since / DAY;
    const int left = (int)(since % DAY);

    struct civil c = {.hour = left / 3600, .minute = left / 60 % 60, .second = left % 60};
    c.year = days / 366; /* never too late, at most a few years early */
    while (c.year < YEAR_MAX && days_before_year(c.year + 1) - days_before_year(0) <= days)
        c.year++;
    days -= days_before_year(c.year) - days_before_year(0);
    for (c.month = 1; days >= days_in_month(c.year, c.month); c.month++)
        days -= days_in_month(c.year, c.month);
    c.day = (int)days + 1;
    return c;
}

/* --- reading: a cursor that fails once and for all
 * ------------------------------------------------------------- */

struct cursor {
    struct slice rest;
    bool bad;
};

static void expect(struct cursor *cursor, struct slice text)
{
    if (cursor->bad || cursor->rest.len < text.len ||
        !slice_equal_nocase(slice_of(cursor->rest.ptr, text.len), text)) {
        cursor->bad = true;
        return;
    }
    cursor->rest = slice_skip(cursor->rest, text.len);
}

static int number(struct cursor *cursor, size_t digits)
{
    int value = 0;
    if (cursor->bad || cursor->rest.len < digits) {
        cursor->bad = true;
        return 0;
    }
    for (size_t i = 0; i < digits; i++) {
        const char c = cursor->rest.ptr[i];
        if (c < '0' || c > '9')
            cursor->bad = true;
        else
            value = value * 10 + (c - '0');
    }
    cursor->rest = slice_skip(cursor->rest, digits);
    return value;
}

/* One of the three-letter names in `names`, its index + 1. */
static int name3(struct cursor *cursor, const char *names, int count)
{
    for (int i = 0; i < count && !cursor->bad && cursor->rest.len >= 3; i++) {
        if (slice_equal_nocase(slice_of(cursor->rest.ptr, 3), slice_of(names + (size_t)i * 3, 3))) {
            cursor->rest = slice_skip(cursor->rest, 3);
            return i + 1;
        }
    }
    cursor->bad = true;
    return 0;
}

static void time_of_day(struct cursor *cursor, struct civil *c)
{
    c->hour = number(cursor, 2);
    expect(cursor, SLICE(":"));
    c->minute = number(cursor, 2);
    expect(cursor, SLICE(":"));
    c->second = number(cursor, 2);
}

/* RFC 9111 4.2: zones other than GMT and UTC are invalid. */
static void zone(struct cursor *cursor)
{
    struct cursor utc = *cursor;
    expect(&utc, SLICE(" UTC"));
    if (utc.bad)
        expect(cursor, SLICE(" GMT"));
    else
        *cursor = utc;
}

/* ", 06 Nov 1994 08:49:37 GMT" */
static void read_fixdate(struct cursor *cursor, struct civil *c)
{
    expect(cursor, SLICE(", "));
    c->day = number(cursor, 2);
    expect(cursor, SLICE(" "));
    c->month = name3(cursor, months, 12);
    expect(cursor, SLICE(" "));
    c->year = number(cursor, 4);
    expect(cursor, SLICE(" "));
    time_of_day(cursor, c);
    zone(cursor);
}

/* "day, 06-Nov-94 08:49:37 GMT", the rest of the weekday first; leaves a year of two digits. */
static void read_rfc850(struct cursor *cursor, int weekday, struct civil *c)
{
    static const struct slice endings[] = {
        {"day", 3}, {"day", 3}, {"sday", 4}, {"nesday", 6}, {"rsday", 5}, {"day", 3}, {"urday", 5},
    };
    expect(cursor, endings[weekday - 1]);
    expect(cursor, SLICE(", "));
    c->day = number(cursor, 2);
    expect(cursor, SLICE("-"));
    c->month = name3(cursor, months, 12);
    expect(cursor, SLICE("-"));
    c->year = number(cursor, 2);
    expect(cursor, SLICE(" "));
    time_of_day(cursor, c);
    zone(cursor);
}

/* " Nov  6 08:49:37 1994" */
static void read_asctime(struct cursor *cursor, struct civil *c)
{
    expect(cursor, SLICE(" "));
    c->month = name3(cursor, months, 12);
    expect(cursor, SLICE(" "));
    if (!cursor->bad && cursor->rest.len > 0 && cursor->rest.ptr[0] == ' ') {
        cursor->rest = slice_skip(cursor->rest, 1);
        c->day = number(cursor, 1);
    } else {
        c->day = number(cursor, 2);
    }
    expect(cursor, SLICE(" "));
    time_of_day(cursor, c);
    expect(cursor, SLICE(" "));
    c->year = number(cursor, 4);
}

/* The latest year with these two digits that is not more than 50 years ahead of now (RFC 9110 5.6.7). */
static void resolve_year(struct civil *c, int64_t now)
{
    struct civil limit = from_seconds(now);
    limit.year += 50;
    const int64_t latest = to_seconds(&limit);
    c->year += limit.year - limit.year % 100;
    if (to_seconds(c) > latest && c->year >= 100)
        c->year -= 100;
}

static bool is_possible(const struct civil *c)
{
    /* A leap second exists at the end of a UTC day only. */
    const int seconds = c->hour == 23 && c->minute == 59 ? 60 : 59;
    return c->day >= 1 && c->day <= days_in_month(c->year, c->month) && c->hour <= 23 && c->minute <= 59 &&
           c->second <= seconds;
}

bool date_parse(struct slice text, int64_t now, int64_t *out)
{
    struct cursor cursor = {.rest = text};
    struct civil c = {0};
    const int weekday = name3(&cursor, days_short, 7);
    if (cursor.bad || cursor.rest.len == 0)
        return false;
    const char next = cursor.rest.ptr[0];
    const bool short_year = next != ',' && next != ' ';
    if (next == ',')
        read_fixdate(&cursor, &c);
    else if (next == ' ')
        read_asctime(&cursor, &c);
    else
        read_rfc850(&cursor, weekday, &c);
    if (cursor.bad || cursor.rest.len > 0)
        return false;
    if (short_year)
        resolve_year(&c, now);
    if (!is_possible(&c))
        return false;
    if (c.second == 60) /* "the nearest time equal to or earlier" (RFC 9111 4.2) */
        c.second = 59;
    *out = to_seconds(&c);
    return true;
}

/* --- writing
 * ------------------------------------------------------------------------------------------------- */

static char *put_number(char *to, int64_t value, int digits)
{
    for (int i = digits - 1; i >= 0; i--, value /= 10)
        to[i] = (char)('0' + value % 10);
    return to + digits;
}

static char *put_text(char *to, const char *text, size_t len)
{
    memcpy(to, text, len);
    return to + len;
}

void date_format(int64_t seconds, char out[DATE_LENGTH])
{
    const struct civil c = from_seconds(seconds);
    struct civil midnight = c;
    midnight.hour = midnight.minute = midnight.second = 0;
    /* Year 0 began on a Saturday. */
    const size_t weekday = (size_t)((to_seconds(&midnight) / DAY - days_before_year(0) + 6) % 7);

    char *to = put_text(out, days_short + weekday * 3, 3);
    to = put_text(to, ", ", 2);
    to = put_number(to, c.day, 2);
    to = put_text(to, " ", 1);
    to = put_text(to, months + (size_t)(c.month - 1) * 3, 3);
    to = put_text(to, " ", 1);
    to = put_number(to, c.year, 4);
    to = put_text(to, " ", 1);
    to = put_number(to, c.hour, 2);
    to = put_text(to, ":", 1);
    to = put_number(to, c.minute, 2);
    to = put_text(to, ":", 1);
    to = put_number(to, c.second, 2);
    put_text(to, " GMT", 4);
}
