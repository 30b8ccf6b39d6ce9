/* script_assert.h - what the tests of the Redis scripts share: the answer, what is left, and the
 * administrator's commands. Each compares the whole text, in the form of script_run.h. */
#ifndef TESTS_UNIT_SCRIPT_ASSERT_H
#define TESTS_UNIT_SCRIPT_ASSERT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/script_run.h"

#define RUN(s, name, keys, args, want) assert_string_equal(script_run(s, name, keys, args), want)
#define LEFT(s, want) assert_string_equal(redis_dump(s), want)
#define DO(s, ...) assert_int_not_equal(*redis_run(s, __VA_ARGS__), '-')
#define SAYS(s, want, ...) assert_string_equal(redis_run(s, __VA_ARGS__), want)
#define TEST(f) cmocka_unit_test_setup(f, scripts_clear)

#endif
