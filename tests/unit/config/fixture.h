/* What the tests of config/ share. */
#ifndef TESTS_CONFIG_FIXTURE_H
#define TESTS_CONFIG_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "config/config.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A configuration that must be right. */
static inline struct config *load_good(const char *text)
{
    struct config *config = NULL;
    struct config_errors errors;
    config_errors_init(&errors);
    const int error = config_parse(slice_from(text), &config, &errors);
    if (error)
        fail_msg("%s: %.*s", text, SLICE_ARG(buf_slice(&errors.lines)));
    assert_int_equal(errors.count, 0);
    config_errors_deinit(&errors);
    return config;
}

/* All lines about a text that must be wrong. */
static inline void expect_lines(const char *text, const char *want)
{
    struct config *config = NULL;
    struct config_errors errors;
    config_errors_init(&errors);
    const int error = config_parse(slice_from(text), &config, &errors);
    if (!error || !slice_equal(buf_slice(&errors.lines), slice_from(want)))
        fail_msg("%s\ngives %d\n%.*s\nnot\n%s", text, error, SLICE_ARG(buf_slice(&errors.lines)), want);
    assert_null(config);
    config_errors_deinit(&errors);
}

#endif
