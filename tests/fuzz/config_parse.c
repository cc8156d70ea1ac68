/* Any text: it is a configuration, whose description loads again to the same, or there are whole lines that
 * say what is wrong. */
#include <assert.h>
#include <stdlib.h>

#include "config/config.h"

static void check_again(const struct config *config)
{
    struct config *again = NULL;
    struct config_errors errors;
    struct fault fault;
    struct buf one, two;
    buf_init(&one, 16 * 1024 * 1024);
    buf_init(&two, 16 * 1024 * 1024);
    assert(config_describe(config, &one) == 0);
    config_errors_init(&errors);
    /* Filled in, a file may become larger than a file may be. */
    const int error = config_parse(buf_slice(&one), &again, &errors);
    assert(error == 0 || one.len > 1024 * 1024);
    if (!error) {
        assert(config_describe(again, &two) == 0 && slice_equal(buf_slice(&one), buf_slice(&two)));
        assert(config_reloadable(config, again, &fault));
    }
    config_release(again);
    config_errors_deinit(&errors);
    buf_deinit(&one);
    buf_deinit(&two);
}

static void check_lines(const struct config_errors *errors)
{
    size_t lines = 0;
    assert(errors->count > 0 && errors->lines.len > 0);
    assert(errors->lines.ptr[errors->lines.len - 1] == '\n');
    for (size_t i = 0; i < errors->lines.len; i++) {
        assert(errors->lines.ptr[i] == '\n' || (unsigned char)errors->lines.ptr[i] >= ' ');
        lines += errors->lines.ptr[i] == '\n';
    }
    assert(lines == errors->listed + (errors->count > errors->listed));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *config = NULL;
    struct config_errors errors;
    config_errors_init(&errors);
    const int error = config_parse(slice_of((const char *)data, size), &config, &errors);
    if (error) {
        assert(!config);
        check_lines(&errors);
    } else {
        assert(errors.count == 0 && errors.lines.len == 0);
        check_again(config);
    }
    config_release(config);
    config_errors_deinit(&errors);
    return 0;
}
