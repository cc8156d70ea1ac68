#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

/* stderr goes into a file while a test logs; cmocka's own reports need the real one back. */
struct capture {
    int real;
    FILE *file;
    char text[1 << 20];
    size_t len;
};

static struct capture capture;

static void capture_start(void)
{
    capture.file = tmpfile();
    assert_non_null(capture.file);
    capture.real = dup(STDERR_FILENO);
    dup2(fileno(capture.file), STDERR_FILENO);
}

static const char *capture_stop(void)
{
    dup2(capture.real, STDERR_FILENO);
    close(capture.real);
    rewind(capture.file);
    capture.len = fread(capture.text, 1, sizeof capture.text - 1, capture.file);
    capture.text[capture.len] = '\0';
    fclose(capture.file);
    return capture.text;
}

/* The part after the time, which is checked for its form here. */
static const char *after_time(const char *line, const char *prefix, const char *suffix)
{
    int year, month, day, hour, minute, second, ms, used = 0;
    size_t len = strlen(prefix);
    assert_memory_equal(line, prefix, len);
    assert_int_equal(sscanf(line + len, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &year, &month, &day, &hour, &minute,
                            &second, &ms, &used),
                     7);
    assert_int_equal(used, 24);
    assert_memory_equal(line + len + 24, suffix, strlen(suffix));
    return line + len + 24 + strlen(suffix);
}

static void log_all_kinds(void)
{
    struct log_line line;
    assert_true(log_begin(&line, LOG_WARN, "odd"));
    log_text(&line, "text", SLICE("a \"b\"\n\x80"));
    log_cstr(&line, "plain", "x/y");
    log_cstr(&line, "none", NULL);
    log_int(&line, "n", INT64_MIN);
    log_bool(&line, "yes", true);
    log_id(&line, "credential", SLICE("0123456789"));
    log_end(&line);
}

static void json_lines_hold_every_kind(void **state)
{
    (void)state;
    log_setup(LOG_INFO, LOG_FORMAT_JSON);
    capture_start();
    log_all_kinds();
    const char *rest = after_time(capture_stop(), "{\"time\":\"", "\",");
    assert_string_equal(rest, "\"level\":\"warn\",\"event\":\"odd\",\"text\":\"a \\\"b\\\"\\n\xEF\xBF\xBD\","
                              "\"plain\":\"x/y\",\"none\":\"\",\"n\":-9223372036854775808,\"yes\":true,"
                              "\"credential\":\"\xE2\x80\xA6"
                              "456789\"}\n");
}

static void text_lines_hold_every_kind(void **state)
{
    (void)state;
    log_setup(LOG_INFO, LOG_FORMAT_TEXT);
    capture_start();
    log_all_kinds();
    const char *rest = after_time(capture_stop(), "", " ");
    assert_string_equal(rest, "WARN odd text=\"a \\\"b\\\"\\n\xEF\xBF\xBD\" plain=x/y none=\"\" "
                              "n=-9223372036854775808 yes=true credential=\"\xE2\x80\xA6"
                              "456789\"\n");
}

static void check_logged_time(void)
{
    struct tm tm = {0};
    capture_start();
    int64_t before = clock_wall_ms();
    log_message(LOG_INFO, "now", "x");
    int64_t after = clock_wall_ms();
    const char *end = strptime(capture_stop(), "%Y-%m-%dT%H:%M:%S", &tm);
    assert_non_null(end);
    int64_t logged = (int64_t)timegm(&tm) * 1000 + strtol(end + 1, NULL, 10);
    assert_true(logged >= before && logged <= after);
}

/* With the movable clock also every day of the next 1,500, and steps of 365 over two centuries. */
static void time_is_the_present_date(void **state)
{
    (void)state;
    log_setup(LOG_INFO, LOG_FORMAT_TEXT);
    check_logged_time();
#ifdef TEST_CLOCK
    int64_t offset = 0;
    for (int i = 0; i < 1700; i++) {
        offset += i < 1500 ? 86400000 : 86400000LL * 365;
        assert_int_equal(pwrite(*(int *)*state, &offset, sizeof offset, 0), sizeof offset);
        check_logged_time();
    }
    offset = 0;
    assert_int_equal(pwrite(*(int *)*state, &offset, sizeof offset, 0), sizeof offset);
#endif
}

static void levels_below_are_silent(void **state)
{
    (void)state;
    struct log_line line;
    enum log_level level = LOG_DEBUG;
    log_setup(LOG_WARN, LOG_FORMAT_JSON);
    capture_start();
    assert_false(log_begin(&line, LOG_INFO, "no"));
    log_message(LOG_DEBUG, "no", "%d", 1);
    log_message(LOG_ERROR, "yes", "%d", 1);
    assert_non_null(strstr(capture_stop(), "\"event\":\"yes\",\"message\":\"1\"}\n"));
    assert_null(strstr(capture.text, "\"no\""));
    assert_true(log_level_from(SLICE("error"), &level));
    assert_int_equal(level, LOG_ERROR);
    assert_true(log_level_from(SLICE("debug"), &level));
    assert_int_equal(level, LOG_DEBUG);
    assert_false(log_level_from(SLICE("Info"), &level));
    assert_false(log_level_from(SLICE(""), &level));
}

/* The whole id is never shown, however short. */
static void ids_are_cut(void **state)
{
    (void)state;
    static const struct {
        const char *id, *want;
    } rows[] = {{"", "\"\xE2\x80\xA6\""},
                {"a", "\"\xE2\x80\xA6\""},
                {"abcd", "\"\xE2\x80\xA6"
                         "cd\""},
                {"abcdef", "\"\xE2\x80\xA6"
                           "def\""},
                {"abcdefg", "\"\xE2\x80\xA6"
                            "bcdefg\""},
                {"abcde\xC3\xA4vwxyz", "\"\xE2\x80\xA6vwxyz\""}};
    log_setup(LOG_INFO, LOG_FORMAT_JSON);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct log_line line;
        capture_start();
        if (log_begin(&line, LOG_INFO, "id")) {
            log_id(&line, "id", slice_from(rows[i].id));
            log_end(&line);
        }
        const char *at = strstr(capture_stop(), "\"id\":");
        assert_non_null(at);
        assert_memory_equal(at + 5, rows[i].want, strlen(rows[i].want));
    }
}

/* Whatever is logged, a line stays under 4 KiB, ends properly and says that it was cut. */
static void long_lines_are_cut_whole(void **state)
{
    (void)state;
    static const char *const fillers[] = {"x", "\x01", "\"", "\xC3\xA4", "\xF0\x9F\x98\x80", "\xFF"};
    static char value[6000];
    log_setup(LOG_INFO, LOG_FORMAT_JSON);
    for (size_t i = 0; i < sizeof fillers / sizeof fillers[0]; i++) {
        size_t width = strlen(fillers[i]), len = 0;
        for (; len + width <= sizeof value; len += width)
            memcpy(value + len, fillers[i], width);
        for (size_t first = 3900; first < 4100; first++) {
            struct log_line line;
            capture_start();
            assert_true(log_begin(&line, LOG_INFO, "long"));
            log_text(&line, "a", slice_of(value, first / width * width));
            log_text(&line, "b", slice_of(value, len));
            log_int(&line, "c", 123456789);
            log_end(&line);
            const char *text = capture_stop();
            assert_in_range(capture.len, 4000, 4096);
            assert_string_equal(text + capture.len - 13, ",\"cut\":true}\n");
            char before = text[capture.len - 14];
            assert_true(before == '"' || (before >= '0' && before <= '9'));
            assert_ptr_equal(strchr(text, '\n'), text + capture.len - 1);
            if (width > 1) /* cut between characters */
                assert_null(strstr(text, "\xEF\xBF\xBD"));
        }
    }
}

static void long_text_lines_end_with_dots(void **state)
{
    (void)state;
    static char value[6000];
    memset(value, 'x', sizeof value);
    log_setup(LOG_INFO, LOG_FORMAT_TEXT);
    struct log_line line;
    capture_start();
    assert_true(log_begin(&line, LOG_INFO, "long"));
    log_text(&line, "a", slice_of(value, sizeof value));
    log_end(&line);
    const char *text = capture_stop();
    assert_in_range(capture.len, 4000, 4096);
    assert_string_equal(text + capture.len - 6, "\" ...\n");
}

static void lines_are_gathered_until_due(void **state)
{
    (void)state;
    log_setup(LOG_INFO, LOG_FORMAT_JSON);
    assert_true(log_due() == UINT64_MAX);
    log_gather(true);
    capture_start();
    uint64_t before = clock_mono_ms();
    log_message(LOG_INFO, "first", "x");
    uint64_t due = log_due();
    off_t written = lseek(STDERR_FILENO, 0, SEEK_END);
    log_message(LOG_INFO, "second", "x");
    uint64_t still = log_due();
    log_message(LOG_WARN, "third", "x");
    uint64_t at_once = log_due();
    log_flush();
    uint64_t none = log_due();
    log_message(LOG_INFO, "fourth", "x");
    log_gather(false);
    capture_stop();
    assert_int_equal(written, 0);
    assert_true(due >= before + 200 && due <= clock_mono_ms() + 200);
    assert_true(still == due);
    assert_true(at_once == 0);
    assert_true(none == UINT64_MAX);
    assert_non_null(strstr(capture.text, "fourth"));
    assert_true(strstr(capture.text, "first") < strstr(capture.text, "second"));
}

static void full_buffer_is_written(void **state)
{
    (void)state;
    log_setup(LOG_INFO, LOG_FORMAT_JSON);
    log_gather(true);
    capture_start();
    for (int i = 0; i < 1000; i++)
        log_message(LOG_INFO, "many", "line %d of many", i);
    off_t written = lseek(STDERR_FILENO, 0, SEEK_END);
    log_gather(false);
    const char *at = capture_stop();
    assert_true(written > 50000 && (size_t)written < capture.len);
    for (int i = 0; i < 1000; i++) {
        char want[64];
        snprintf(want, sizeof want, "\"line %d of many\"}\n", i);
        at = strstr(at, want);
        assert_non_null(at);
    }
}

enum { WRITERS = 4, LINES = 2000 };

static void *write_lines(void *arg)
{
    log_gather(true);
    for (int i = 0; i < LINES; i++)
        log_message(LOG_INFO, "thread", "%d:%d", *(int *)arg, i);
    log_gather(false);
    return NULL;
}

static void check_thread_line(const char *line, int next[WRITERS])
{
    int thread, number, used = 0;
    const char *at = after_time(line, "{\"time\":\"", "\",");
    int n = sscanf(at, "\"level\":\"info\",\"event\":\"thread\",\"message\":\"%d:%d\"}%n", &thread, &number,
                   &used);
    assert_int_equal(n, 2);
    assert_int_equal(at[used], '\0');
    assert_in_range(thread, 0, WRITERS - 1);
    assert_int_equal(number, next[thread]++);
}

/* Into a pipe, which splits large writes: every line still arrives whole, in the order of its thread. */
static void threads_do_not_mix_lines(void **state)
{
    (void)state;
    pthread_t threads[WRITERS];
    int numbers[WRITERS], next[WRITERS] = {0}, ends[2];
    log_setup(LOG_INFO, LOG_FORMAT_JSON);
    assert_int_equal(pipe(ends), 0);
    int real = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    for (int i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        pthread_create(&threads[i], NULL, write_lines, &numbers[i]);
    }
    FILE *file = fdopen(ends[0], "r");
    char line[256];
    for (int i = 0; i < WRITERS * LINES; i++) {
        char *got = fgets(line, sizeof line, file);
        assert_non_null(got);
        line[strcspn(line, "\n")] = '\0';
        check_thread_line(line, next);
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    dup2(real, STDERR_FILENO);
    close(real);
    fclose(file);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(next[i], LINES);
}

/* A full pipe that nobody reads: the caller goes on, and after that lines are whole again. */
static void stuck_stderr_loses_lines_but_tears_none(void **state)
{
    (void)state;
    int ends[2];
    static char text[1 << 20];
    log_setup(LOG_INFO, LOG_FORMAT_JSON);
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 4096) > 0);
    int real = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    log_gather(true);
    for (int i = 0; i < 100; i++)
        log_message(LOG_INFO, "lost", "%d", i);
    errno = ENOENT;
    log_gather(false); /* about 8 KiB into 4 */
    int kept_errno = errno;
    ssize_t n = read(ends[0], text, sizeof text);
    log_message(LOG_INFO, "whole", "again");
    ssize_t more = n < 0 ? -1 : read(ends[0], text + n, sizeof text - (size_t)n - 1);
    dup2(real, STDERR_FILENO);
    close(real);
    close(ends[0]);
    assert_int_equal(kept_errno, ENOENT);
    assert_int_equal(n, 4096);
    assert_int_not_equal(text[4095], '\n');
    assert_true(more > 0);
    assert_int_equal(text[n], '\n');
    after_time(text + n + 1, "{\"time\":\"", "\",\"level\":\"info\",\"event\":\"whole\"");
    assert_int_equal(text[n + more - 1], '\n');
}

int main(void)
{
    static char path[] = "/tmp/gateway-log-test-XXXXXX";
    static int clock_fd;
    clock_fd = mkstemp(path);
    if (clock_fd < 0 || ftruncate(clock_fd, 8) != 0 || setenv("ROLLOUT_GATEWAY_TEST_CLOCK", path, 1) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_lines_hold_every_kind),
        cmocka_unit_test(text_lines_hold_every_kind),
        cmocka_unit_test_prestate(time_is_the_present_date, &clock_fd),
        cmocka_unit_test(levels_below_are_silent),
        cmocka_unit_test(ids_are_cut),
        cmocka_unit_test(long_lines_are_cut_whole),
        cmocka_unit_test(long_text_lines_end_with_dots),
        cmocka_unit_test(lines_are_gathered_until_due),
        cmocka_unit_test(full_buffer_is_written),
        cmocka_unit_test(threads_do_not_mix_lines),
        cmocka_unit_test(stuck_stderr_loses_lines_but_tears_none),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    close(clock_fd);
    return rc;
}
