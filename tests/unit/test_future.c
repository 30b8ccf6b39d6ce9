#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "worker/runtime/future.h"
#include "worker/runtime/task.h"

static int setup(void **state)
{
    *state = loop_new(0);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    loop_free(*state);
    return 0;
}

static void stop(void *l)
{
    loop_stop(l);
}

static void turn(struct loop *l)
{
    assert_non_null(loop_call_soon(l, stop, l));
    assert_int_equal(loop_run_forever(l, NULL), 0);
}

static void count(struct future *f, void *n)
{
    (void)f;
    ++*(int *)n;
}

static void a_future_is_completed_once(void **state)
{
    struct future *f = loop_create_future(*state);
    int x, y;
    void *v = NULL;
    struct err e;
    assert_int_equal(future_result(f, &v, &e), ERROR_INVALID_STATE);
    assert_string_equal(e.text, "Result is not set.");
    assert_int_equal(future_set_result(f, &x), 0);
    assert_int_equal(future_set_result(f, &y), ERROR_INVALID_STATE);
    assert_int_equal(future_set_error(f, -EINVAL, "no"), ERROR_INVALID_STATE);
    assert_false(future_cancel(f));
    assert_int_equal(future_result(f, &v, &e), 0);
    assert_ptr_equal(v, &x);
    future_unref(f);
}

static void a_failure_carries_its_sentence(void **state)
{
    struct future *f = loop_create_future(*state);
    const struct error *x;
    struct err e;
    assert_int_equal(future_set_error(f, -EINVAL, "bad %s", "value"), 0);
    assert_int_equal(future_code(f), -EINVAL);
    assert_int_equal(future_result(f, NULL, &e), -EINVAL);
    assert_string_equal(e.text, "bad value");
    assert_int_equal(future_exception(f, &x, NULL), 0);
    assert_string_equal(error_text(x), "bad value");
    future_unref(f);
}

static void an_exception_is_taken_even_when_it_comes_too_late(void **state)
{
    struct future *f = loop_create_future(*state);
    assert_int_equal(future_set_exception(f, error_new(-EINVAL, "a", NULL)), 0);
    assert_int_equal(future_set_exception(f, error_new(-EINVAL, "b", NULL)), ERROR_INVALID_STATE);
    assert_int_equal(future_result(f, NULL, NULL), -EINVAL);
    future_unref(f);
}

static void callbacks_come_in_the_next_iteration(void **state)
{
    struct future *f = loop_create_future(*state);
    int n = 0;
    assert_int_equal(future_add_done_callback(f, count, &n), 0);
    assert_int_equal(future_add_done_callback(f, count, &n), 0);
    assert_int_equal(future_set_result(f, NULL), 0);
    assert_int_equal(n, 0);
    turn(*state);
    assert_int_equal(n, 2);
    assert_int_equal(future_add_done_callback(f, count, &n), 0);
    assert_int_equal(n, 2);
    turn(*state);
    assert_int_equal(n, 3);
    future_unref(f);
}

static void removed_callbacks_do_not_come(void **state)
{
    struct future *f = loop_create_future(*state);
    int n = 0, m = 0;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(future_add_done_callback(f, count, &n), 0);
        assert_int_equal(future_add_done_callback(f, count, &m), 0);
    }
    assert_int_equal(future_remove_done_callback(f, count, &n), 3);
    assert_int_equal(future_remove_done_callback(f, count, &n), 0);
    assert_int_equal(future_add_done_callback(f, count, &n), 0); /* the list's end is still right */
    (void)future_cancel(f);
    turn(*state);
    assert_int_equal(n, 1);
    assert_int_equal(m, 3);
    future_unref(f);
}

static void a_queued_callback_keeps_its_future(void **state)
{
    struct future *f = loop_create_future(*state);
    int n = 0;
    assert_int_equal(future_add_done_callback(f, count, &n), 0);
    assert_int_equal(future_set_result(f, NULL), 0);
    future_unref(f);
    turn(*state);
    assert_int_equal(n, 1);
}

static void a_dropped_future_drops_its_callbacks(void **state)
{
    struct future *f = loop_create_future(*state);
    int n = 0;
    assert_int_equal(future_add_done_callback(f, count, &n), 0);
    future_unref(f);
    turn(*state);
    assert_int_equal(n, 0);
}

static void free_and_count(void *result)
{
    ++*(int *)result;
}

static void an_owned_result_goes_with_the_future(void **state)
{
    struct future *f = loop_create_future(*state);
    int freed = 0;
    future_own_result(f, free_and_count);
    assert_int_equal(future_set_result(f, &freed), 0);
    future_unref(future_ref(f));
    assert_int_equal(freed, 0);
    future_unref(f);
    assert_int_equal(freed, 1);
}

static void a_future_outlives_its_loop(void **state)
{
    (void)state;
    int n = 0;
    void *v = NULL;
    struct loop *l = loop_new(0);
    struct future *done = loop_create_future(l), *waits = loop_create_future(l);
    assert_int_equal(future_set_result(done, &n), 0);
    assert_int_equal(future_add_done_callback(waits, count, &n), 0);
    loop_free(l);
    assert_int_equal(future_result(done, &v, NULL), 0);
    assert_ptr_equal(v, &n);
    assert_int_equal(future_add_done_callback(done, count, &n), ERROR_CLOSED);
    assert_int_equal(future_set_result(waits, NULL), 0);
    assert_int_equal(n, 0);
    future_unref(done);
    future_unref(waits);
}

static void an_await_outside_of_a_task_is_refused(void **state)
{
    struct future *f = loop_create_future(*state);
    assert_int_equal(future_await(f, NULL, NULL), ERROR_NO_TASK);
    assert_int_equal(task_sleep(1), ERROR_NO_TASK);
    future_unref(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_future_is_completed_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failure_carries_its_sentence, setup, teardown),
        cmocka_unit_test_setup_teardown(an_exception_is_taken_even_when_it_comes_too_late, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(callbacks_come_in_the_next_iteration, setup, teardown),
        cmocka_unit_test_setup_teardown(removed_callbacks_do_not_come, setup, teardown),
        cmocka_unit_test_setup_teardown(a_queued_callback_keeps_its_future, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dropped_future_drops_its_callbacks, setup, teardown),
        cmocka_unit_test_setup_teardown(an_owned_result_goes_with_the_future, setup, teardown),
        cmocka_unit_test(a_future_outlives_its_loop),
        cmocka_unit_test_setup_teardown(an_await_outside_of_a_task_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests_name("future", tests, NULL, NULL);
}
