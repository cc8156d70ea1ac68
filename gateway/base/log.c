#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

enum {
    GATHERED = 16384,
    LATEST_MS = 200,
    ROOM_MS = 20,
    TAIL = 16, /* kept free in a line for what log_end and a cut value need */
};

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static const char *const level_titles[] = {"DEBUG", "INFO", "WARN", "ERROR"};

static atomic_int wanted_level = LOG_INFO;
static atomic_int wanted_format = LOG_FORMAT_JSON;

/* What the thread has to write. `due` is UINT64_MAX while it is empty. */
static _Thread_local struct {
    char bytes[GATHERED];
    size_t len;
    uint64_t due;
    bool gathering;
} thread_log = {.due = UINT64_MAX};

/* Keeps the lines of different threads whole when a pipe takes a write in pieces. */
static pthread_mutex_t write_lock = PTHREAD_MUTEX_INITIALIZER;
static bool line_torn; /* the last write ended inside a line; under write_lock */

void log_setup(enum log_level level, enum log_format format)
{
    atomic_store(&wanted_level, (int)level);
    atomic_store(&wanted_format, (int)format);
}

bool log_level_from(struct slice name, enum log_level *out)
{
    for (int i = LOG_DEBUG; i <= LOG_ERROR; i++) {
        if (slice_equal(name, slice_from(level_names[i]))) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/* --- writing
 * ------------------------------------------------------------------------------------------------- */

/* Writes all, or as much as a broken or stuck stderr takes. A full non-blocking one gets 100 ms to make room.
 */
static size_t write_all(const char *at, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = write(STDERR_FILENO, at + done, len - done);
        if (n > 0) {
            done += (size_t)n;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
        if (n == 0 || errno != EAGAIN || poll(&room, 1, ROOM_MS) <= 0)
            break;
    }
    return done;
}

static void write_lines(const char *at, size_t len)
{
    pthread_mutex_lock(&write_lock);
    if (line_torn)
        line_torn = write_all("\n", 1) == 0;
    size_t done = line_torn ? 0 : write_all(at, len);
    if (done > 0)
        line_torn = at[done - 1] != '\n';
    pthread_mutex_unlock(&write_lock);
}

void log_flush(void)
{
    if (thread_log.len == 0)
        return;
    int saved = errno;
    write_lines(thread_log.bytes, thread_log.len);
    thread_log.len = 0;
    thread_log.due = UINT64_MAX;
    errno = saved;
}

uint64_t log_due(void)
{
    return thread_log.due;
}

void log_gather(bool on)
{
    thread_log.gathering = on;
    if (!on)
        log_flush();
}

static void gather(const struct log_line *line)
{
    if (thread_log.len + line->buf.len > sizeof thread_log.bytes)
        log_flush();
    memcpy(thread_log.bytes + thread_log.len, line->buf.ptr, line->buf.len);
    if (thread_log.len == 0)
        thread_log.due = clock_mono_ms() + LATEST_MS;
    thread_log.len += line->buf.len;
    if (line->level >= LOG_WARN)
        thread_log.due = 0;
    if (!thread_log.gathering)
        log_flush();
}

/* --- one line
 * ------------------------------------------------------------------------------------------------ */

static bool is_json(void)
{
    return atomic_load_explicit(&wanted_format, memory_order_relaxed) == LOG_FORMAT_JSON;
}

/* The Gregorian date of a day counted from 1970-01-01, by years that begin in March. */
static void civil_date(int64_t day, int *year, int *month, int *mday)
{
    int64_t shifted = day + 719468; /* since 0000-03-01 */
    int64_t era = shifted / 146097, rest = shifted % 146097;
    int64_t of_era = (rest - rest / 1460 + rest / 36524 - rest / 146096) / 365;
    int64_t of_year = rest - (365 * of_era + of_era / 4 - of_era / 100);
    int64_t march = (5 * of_year + 2) / 153;
    *mday = (int)(of_year - (153 * march + 2) / 5 + 1);
    *month = (int)(march < 10 ? march + 3 : march - 9);
    *year = (int)(era * 400 + of_era + (*month <= 2));
}

static void put_digits(char *at, int64_t value, int width)
{
    while (width-- > 0) {
        at[width] = (char)('0' + value % 10);
        value /= 10;
    }
}

static void append_time(struct buf *buf, int64_t wall_ms)
{
    char text[] = "0000-00-00T00:00:00.000Z";
    int year, month, day;
    if (wall_ms < 0)
        wall_ms = 0;
    int64_t of_day = wall_ms % 86400000;
    civil_date(wall_ms / 86400000, &year, &month, &day);
    put_digits(text, year, 4);
    put_digits(text + 5, month, 2);
    put_digits(text + 8, day, 2);
    put_digits(text + 11, of_day / 3600000, 2);
    put_digits(text + 14, of_day / 60000 % 60, 2);
    put_digits(text + 17, of_day / 1000 % 60, 2);
    put_digits(text + 20, of_day % 1000, 3);
    buf_append(buf, text, sizeof text - 1);
}

bool log_begin(struct log_line *line, enum log_level level, const char *event)
{
    if ((int)level < atomic_load_explicit(&wanted_level, memory_order_relaxed))
        return false;
    line->level = level;
    buf_init_fixed(&line->buf, line->storage, sizeof line->storage - TAIL);
    if (!is_json()) {
        append_time(&line->buf, clock_wall_ms());
        buf_append_format(&line->buf, " %s %s", level_titles[level], event);
        return true;
    }
    buf_append_text(&line->buf, "{\"time\":\"");
    append_time(&line->buf, clock_wall_ms());
    buf_append_text(&line->buf, "\",\"level\":\"");
    buf_append_text(&line->buf, level_names[level]);
    buf_append_text(&line->buf, "\",\"event\":\"");
    buf_append_json(&line->buf, slice_from(event));
    buf_append_char(&line->buf, '"');
    return true;
}

/* False when the line has no room for the key, and none for anything else from then on. */
static bool begin_field(struct log_line *line, const char *key)
{
    struct buf *buf = &line->buf;
    size_t before = buf->len;
    if (is_json()) {
        buf_append_text(buf, ",\"");
        buf_append_text(buf, key);
        buf_append_text(buf, "\":");
    } else {
        buf_append_char(buf, ' ');
        buf_append_text(buf, key);
        buf_append_char(buf, '=');
    }
    /* The opening quote must fit as well, or the field would have no value at all. */
    if (!buf->failed && buf_reserve(buf, 1) == 0)
        return true;
    buf->len = before;
    return false;
}

static void append_number(struct log_line *line, const char *key, const char *text)
{
    size_t before = line->buf.len;
    if (begin_field(line, key) && buf_append_text(&line->buf, text) != 0)
        line->buf.len = before;
}

/* The longest beginning that fits, cut between characters. A byte becomes 6 at most. */
static void append_beginning(struct buf *buf, struct slice value)
{
    buf->failed = false;
    for (;;) {
        size_t n = (buf->max - buf->len) / 6;
        if (n > value.len)
            n = value.len;
        while (n > 0 && n < value.len && ((unsigned char)value.ptr[n] & 0xC0) == 0x80)
            n--;
        if (n == 0)
            break;
        buf_append_json(buf, slice_of(value.ptr, n));
        value = slice_skip(value, n);
    }
}

static bool needs_quotes(struct slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if (c <= ' ' || c >= 0x7F || c == '"' || c == '\\' || c == '=')
            return true;
    }
    return value.len == 0;
}

void log_text(struct log_line *line, const char *key, struct slice value)
{
    struct buf *buf = &line->buf;
    if (!begin_field(line, key))
        return;
    if (!is_json() && !needs_quotes(value) && buf_append_slice(buf, value) == 0)
        return;
    buf->failed = false;
    buf_append_char(buf, '"');
    bool cut = buf_append_json(buf, value) != 0;
    if (cut)
        append_beginning(buf, value);
    buf->failed = false;
    buf->ptr[buf->len++] = '"'; /* from the tail, if need be */
    buf->failed = cut || buf->len > buf->max;
}

void log_cstr(struct log_line *line, const char *key, const char *value)
{
    log_text(line, key, slice_from(value ? value : ""));
}

void log_int(struct log_line *line, const char *key, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    append_number(line, key, text);
}

void log_bool(struct log_line *line, const char *key, bool value)
{
    append_number(line, key, value ? "true" : "false");
}

void log_id(struct log_line *line, const char *key, struct slice id)
{
    /* The end, not the beginning: ids that are ordered by time begin alike. */
    char text[16];
    size_t keep = id.len > 6 ? 6 : id.len / 2;
    while (keep > 0 && ((unsigned char)id.ptr[id.len - keep] & 0xC0) == 0x80)
        keep--;
    snprintf(text, sizeof text, "\xE2\x80\xA6%.*s", (int)keep, keep > 0 ? id.ptr + (id.len - keep) : "");
    log_text(line, key, slice_from(text));
}

void log_end(struct log_line *line)
{
    struct buf *buf = &line->buf;
    bool cut = buf->failed;
    buf->failed = false;
    buf->cap = buf->max = sizeof line->storage;
    if (is_json()) {
        buf_append_text(buf, cut ? ",\"cut\":true}\n" : "}\n");
    } else {
        buf_append_text(buf, cut ? " ...\n" : "\n");
    }
    gather(line);
}

void log_message(enum log_level level, const char *event, const char *format, ...)
{
    struct log_line line;
    char text[2048];
    va_list args;
    if (!log_begin(&line, level, event))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_cstr(&line, "message", text);
    log_end(&line);
}
