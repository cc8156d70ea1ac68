/* Any text: what is read as a date lies in bounds, reads back from what is written for it, and does not
 * depend on `now` unless its year has two digits. Any number of seconds is written as a date that reads back.
 */
#include <assert.h>

#include "http/date.h"

static const int64_t first = -62167219200; /* 0000-01-01 */
static const int64_t last = 253402300799;  /* 9999-12-31 */

static void check_written(int64_t seconds)
{
    char text[DATE_LENGTH];
    int64_t back;
    date_format(seconds, text);
    assert(date_parse(slice_of(text, DATE_LENGTH), 0, &back));
    assert(back == (seconds < first ? first : seconds > last ? last : seconds));
}

static void check_read(struct slice text, int64_t now)
{
    int64_t got, again;
    if (!date_parse(text, now, &got))
        return;
    check_written(got);
    assert(got >= first && got <= last + 86400LL * 366 * 100);
    const bool rfc850 = slice_find(text, '-') < text.len;
    if (!rfc850)
        assert(date_parse(text, 0, &again) && again == got);
    /* 51 mean years: what lies further ahead should have become the past century */
    if (rfc850 && now > 0 && now < last - 86400LL * 366 * 100)
        assert(got < now + 51 * 31556952LL && got > now - 51 * 31556952LL);
    assert(text.len >= 24 && text.len <= 33);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t now;
    if (size < sizeof(now))
        return 0;
    memcpy(&now, data, sizeof(now));
    const struct slice text = slice_of((const char *)data + sizeof(now), size - sizeof(now));
    check_written(now);
    check_read(text, now);
    check_read(text, (int64_t)((uint64_t)now % 4102444800));
    return 0;
}
