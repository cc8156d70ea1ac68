#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static void every_code_has_its_own_text(void **state)
{
    (void)state;
    for (int a = 0; a >= ERR_DENIED; a--) {
        for (int b = a - 1; b >= ERR_DENIED; b--)
            assert_string_not_equal(error_text(a), error_text(b));
    }
    assert_string_equal(error_text(ERR_NOMEM), "out of memory");
    assert_string_equal(error_text(0), "no error");
    assert_string_equal(error_text(-9999), "unknown error");
    assert_string_equal(error_text(1), "unknown error");
}

static void fault_keeps_one_line_and_the_code(void **state)
{
    (void)state;
    struct fault fault;
    assert_int_equal(fault_set(&fault, ERR_INVALID, "port %d is too large", 70000), ERR_INVALID);
    assert_string_equal(fault.text, "port 70000 is too large");
    fault_prefix(&fault, "listen.%s: ", "data");
    assert_string_equal(fault.text, "listen.data: port 70000 is too large");
}

static void fault_may_quote_itself(void **state)
{
    (void)state;
    struct fault fault;
    fault_set(&fault, ERR_IO, "inner");
    fault_set(&fault, ERR_IO, "outer: %s", fault.text);
    assert_string_equal(fault.text, "outer: inner");
    fault_prefix(&fault, "%s again, ", fault.text);
    assert_string_equal(fault.text, "outer: inner again, outer: inner");
}

static void fault_is_cut_to_its_size(void **state)
{
    (void)state;
    struct fault fault;
    char big[2000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    fault_set(&fault, ERR_IO, "%s", big);
    assert_int_equal(strlen(fault.text), sizeof fault.text - 1);
    fault_prefix(&fault, "y");
    assert_int_equal(strlen(fault.text), sizeof fault.text - 1);
    assert_int_equal(fault.text[0], 'y');
    fault_prefix(&fault, "%s", big);
    assert_int_equal(strlen(fault.text), sizeof fault.text - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_its_own_text),
        cmocka_unit_test(fault_keeps_one_line_and_the_code),
        cmocka_unit_test(fault_may_quote_itself),
        cmocka_unit_test(fault_is_cut_to_its_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
