/* Errors for people: the sentence, what is put in front of it, what is cut. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/callout.h"
#include "common/err.h"

static char many[1000]; /* a long word */

static int begin(void **state)
{
    (void)state;
    memset(many, 'm', sizeof many - 1);
    return 0;
}

static void an_error_has_its_code_and_its_sentence(void **state)
{
    (void)state;
    struct err e;
    assert_int_equal(err_set(&e, -EINVAL, "port '%s' is not from %d to %d", "x", 1, 65535),
                     -EINVAL);
    assert_int_equal(e.code, -EINVAL);
    assert_string_equal(e.text, "port 'x' is not from 1 to 65535");
}

static void nobody_has_to_ask_for_the_sentence(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, -ENOENT, "file %s", "x"), -ENOENT);
}

static void a_later_error_takes_the_place_of_the_first(void **state)
{
    (void)state;
    struct err e;
    (void)err_set(&e, -EINVAL, "the first and longer one");
    (void)err_set(&e, -ENOMEM, "second");
    assert_int_equal(e.code, -ENOMEM);
    assert_string_equal(e.text, "second");
}

static void a_long_sentence_is_cut(void **state)
{
    (void)state;
    struct err e;
    assert_int_equal(err_set(&e, -EIO, "%s", many), -EIO);
    assert_int_equal(strlen(e.text), ERR_TEXT_MAX - 1);
    assert_memory_equal(e.text, many, ERR_TEXT_MAX - 1);
}

static void a_prefix_stands_in_front_and_the_code_stays(void **state)
{
    (void)state;
    struct err e;
    (void)err_set(&e, -EPERM, "not allowed");
    assert_int_equal(err_prefix(&e, "queue '%s'", "q"), -EPERM);
    assert_string_equal(e.text, "queue 'q': not allowed");
    assert_int_equal(err_prefix(&e, "%s:%d", "file", 7), -EPERM);
    assert_string_equal(e.text, "file:7: queue 'q': not allowed");
}

static void a_prefix_may_be_made_of_the_sentence_itself(void **state)
{
    (void)state;
    struct err e;
    (void)err_set(&e, -EPERM, "no");
    (void)err_prefix(&e, "%s, %s", e.text, e.text);
    assert_string_equal(e.text, "no, no: no");
}

/* Every length of prefix and sentence around the room there is. */
static void what_a_prefix_pushes_out_is_cut_at_the_end(void **state)
{
    (void)state;
    for (int front = 0; front < 260; front++)
        for (int tail = 0; tail < ERR_TEXT_MAX; tail++) {
            char want[600];
            struct err e;
            (void)err_set(&e, -1, "%.*s", tail, many);
            (void)err_prefix(&e, "%.*s", front, many);
            size_t n = (size_t)front;
            if (front + 2 >= ERR_TEXT_MAX) { /* no room for the prefix: the sentence stays */
                assert_int_equal(strlen(e.text), tail);
                continue;
            }
            memcpy(want, many, n);
            memcpy(want + n, ": ", 2);
            memcpy(want + n + 2, many, (size_t)tail);
            want[n + 2 + (size_t)tail] = '\0';
            want[ERR_TEXT_MAX - 1] = '\0';
            assert_string_equal(e.text, want);
        }
}

static int switches;

static void switching(callout_fn fn, void *arg)
{
    switches++;
    fn(arg);
}

static void formatting_leaves_a_tasks_small_stack(void **state)
{
    (void)state;
    struct err e;
    callout_install(switching);
    (void)err_set(&e, -1, "text");
    (void)err_prefix(&e, "front");
    callout_install(NULL);
    assert_int_equal(switches, 2);
    assert_string_equal(e.text, "front: text");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_has_its_code_and_its_sentence),
        cmocka_unit_test(nobody_has_to_ask_for_the_sentence),
        cmocka_unit_test(a_later_error_takes_the_place_of_the_first),
        cmocka_unit_test(a_long_sentence_is_cut),
        cmocka_unit_test(a_prefix_stands_in_front_and_the_code_stays),
        cmocka_unit_test(a_prefix_may_be_made_of_the_sentence_itself),
        cmocka_unit_test(what_a_prefix_pushes_out_is_cut_at_the_end),
        cmocka_unit_test(formatting_leaves_a_tasks_small_stack),
    };
    return cmocka_run_group_tests_name("err", tests, begin, NULL);
}
