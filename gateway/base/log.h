/*
 * One JSON object a line on stderr (or one line of text for people). Lines are built in a buffer on the
 * stack, cut at 4 KiB ("cut":true ends such a line), and gathered in a buffer of the thread that is written
 * when 16 KiB are full, at the end of a loop's turn that is `warn` or worse, and at the latest after 200 ms.
 * Threads that run no loop write each line at once. No call ever fails for its caller; what a broken stderr
 * does not take is lost.
 *
 *   struct log_line line;
 *   if (log_begin(&line, LOG_INFO, "ready")) { log_text(&line, "listener", name); log_end(&line); }
 *
 * Redaction: callers never pass secrets, tokens or bodies. Credential ids go through log_id, which keeps 6
 * characters.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/buf.h"
#include "base/slice.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_FORMAT_JSON, LOG_FORMAT_TEXT };

struct log_line {
    struct buf buf;
    enum log_level level;
    char storage[4096];
};

/* Call before the threads start, or again on reload. */
void log_setup(enum log_level level, enum log_format format);
/* "debug" "info" "warn" "error". */
bool log_level_from(struct slice name, enum log_level *out);

/* False when the level is not wanted: then nothing else may be called on the line. Adds time, level and
 * event. */
bool log_begin(struct log_line *line, enum log_level level, const char *event);
void log_text(struct log_line *line, const char *key, struct slice value);
void log_cstr(struct log_line *line, const char *key, const char *value);
void log_int(struct log_line *line, const char *key, int64_t value);
void log_bool(struct log_line *line, const char *key, bool value);
/* "…" and the last 6 characters (half of a shorter id): enough to tell two apart, too little to use. */
void log_id(struct log_line *line, const char *key, struct slice id);
void log_end(struct log_line *line);

/* A whole line in one call: event and a sentence under "message". */
void log_message(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes what this thread has gathered. */
void log_flush(void);

/* For loop_run: from here on this thread's lines are gathered; off writes them. */
void log_gather(bool on);
/* For the loop: the time (clock_mono_ms) by which log_flush is to be called; UINT64_MAX when nothing waits.
 */
uint64_t log_due(void);

#endif
