/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
#include "tests/unit/combine.h"

#include "common/clock.h"
#include "worker/runtime/timeout.h"

#define LONG_MS 60000

static int64_t now_ms(void)
{
    return loop_time_ms(loop_running());
}

static int limited_sleep(int64_t limit_ms, int64_t ms)
{
    struct timeout t;
    int r = timeout_enter(&t, limit_ms, NULL);
    return r < 0 ? r : timeout_exit(&t, task_sleep(ms), NULL);
}

static int outcomes_main(void *n, void **ret_result, struct err *e)
{
    struct timeout t;
    (void)ret_result;
    note(n, limited_sleep(LONG_MS, 1));
    note(n, limited_sleep(-1, 1));
    note(n, limited_sleep(2, LONG_MS));
    note(n, limited_sleep(0, LONG_MS));
    note(n, limited_sleep(0, 0)); /* its alarm comes before the next turn */
    note(n, timeout_enter_at(&t, now_ms() - 5, e));
    note(n, timeout_exit(&t, task_sleep(LONG_MS), e));
    note(n, e->code);
    note(n, timeout_enter_at(&t, -1, e));
    note(n, timeout_when_ms(&t));
    note(n, timeout_exit(&t, err_set(e, -EINVAL, "own"), e));
    note(n, strcmp(e->text, "own"));
    note(n, task_cancelling(task_current()));
    return 0;
}

static void a_limit_ends_the_block_and_nothing_else_does(void **state)
{
    (void)state;
    EXPECT(outcomes_main, 0, 0, -ETIMEDOUT, -ETIMEDOUT, -ETIMEDOUT, 0, -ETIMEDOUT, -ETIMEDOUT, 0,
           -1, -EINVAL, 0, 0);
}

static int nested(struct notes *n, int64_t outer_ms, int64_t inner_ms)
{
    struct timeout outer, inner;
    int r = timeout_enter(&outer, outer_ms, NULL);
    if (r < 0)
        return r;
    note(n, limited_sleep(LONG_MS, 0));
    r = timeout_enter(&inner, inner_ms, NULL);
    if (r == 0)
        note(n, timeout_exit(&inner, r = task_sleep(LONG_MS), NULL));
    r = timeout_exit(&outer, timeout_expired(&inner) ? 0 : r, NULL);
    note(n, r);
    note(n, timeout_expired(&outer));
    note(n, timeout_expired(&inner));
    note(n, task_cancelling(task_current()));
    return 0;
}

static int outer_first_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    return nested(n, 2, LONG_MS);
}

static int inner_first_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    return nested(n, LONG_MS, 2);
}

static void of_nested_limits_the_one_that_expires_counts(void **state)
{
    (void)state;
    EXPECT(outer_first_main, 0, -ECANCELED, -ETIMEDOUT, true, false, 0);
    EXPECT(inner_first_main, 0, -ETIMEDOUT, 0, false, true, 0);
}

static int exit_code;

static int expiring_block(void *late_cancel, void **ret_result, struct err *e)
{
    struct timeout t;
    (void)ret_result;
    int r = timeout_enter(&t, 1, e);
    if (r < 0)
        return r;
    r = task_sleep(LONG_MS);
    if (late_cancel)
        (void)task_cancel(task_current());
    return exit_code = timeout_exit(&t, r, e);
}

static int outside_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    struct future *f = start(expiring_block, NULL);
    (void)turns(1);
    (void)future_cancel(f);
    note(n, future_await(f, NULL, NULL));
    future_unref(f);
    f = start(expiring_block, BOX(1));
    note(n, future_await(f, NULL, NULL));
    note(n, exit_code);
    note(n, task_cancelling(task_of(f)));
    future_unref(f);
    return 0;
}

static void a_cancellation_from_outside_stays_one(void **state)
{
    (void)state;
    EXPECT(outside_main, -ECANCELED, -ECANCELED, -ECANCELED, 1);
}

static int asked_before_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    (void)task_cancel(task_current());
    note(n, task_sleep(0));
    note(n, limited_sleep(1, LONG_MS));
    note(n, task_cancelling(task_current()));
    return 0;
}

static void an_older_cancellation_does_not_hide_the_limit(void **state)
{
    (void)state;
    EXPECT(asked_before_main, -ECANCELED, -ETIMEDOUT, 1);
}

static int reschedule_main(void *n, void **ret_result, struct err *e)
{
    struct timeout t;
    (void)ret_result;
    note(n, timeout_enter(&t, 1, e));
    note(n, timeout_reschedule(&t, now_ms() + LONG_MS, e));
    note(n, task_sleep(4));
    note(n, timeout_reschedule(&t, -1, e));
    note(n, timeout_when_ms(&t));
    note(n, task_sleep(1));
    note(n, timeout_reschedule(&t, now_ms(), e));
    note(n, timeout_expired(&t));
    note(n, task_sleep(LONG_MS));
    note(n, timeout_reschedule(&t, -1, e));
    note(n, strcmp(e->text, "Cannot change state of expiring Timeout"));
    note(n, timeout_exit(&t, -ECANCELED, e));
    note(n, timeout_reschedule(&t, -1, e));
    note(n, strcmp(e->text, "Cannot change state of expired Timeout"));
    note(n, timeout_enter(&t, 1, e));
    note(n, timeout_exit(&t, 0, e));
    note(n, timeout_reschedule(&t, -1, e));
    note(n, strcmp(e->text, "Cannot change state of finished Timeout"));
    return 0;
}

static void the_limit_may_be_moved_in_the_block(void **state)
{
    (void)state;
    EXPECT(reschedule_main, 0, 0, 0, 0, -1, 0, 0, false, -ECANCELED, ERROR_RUNTIME, 0, -ETIMEDOUT,
           ERROR_RUNTIME, 0, 0, 0, ERROR_RUNTIME, 0);
}

static int spin(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    return turns(1000000000);
}

/* While another task spins the loop looks for due timers all the time. */
static int early_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    (void)task_spawn(spin, NULL, NULL);
    for (int i = 0; i < 5; i++) {
        int64_t begin_ns = clock_now_ns();
        (void)limited_sleep(3, LONG_MS);
        note(n, clock_now_ns() - begin_ns >= 3000000);
    }
    return 0;
}

static void a_limit_never_comes_early(void **state)
{
    (void)state;
    EXPECT(early_main, true, true, true, true, true);
}

static void outside_of_a_task_there_is_no_limit(void **state)
{
    struct timeout t;
    struct err e;
    (void)state;
    assert_int_equal(timeout_enter(&t, 5, &e), ERROR_NO_TASK);
    assert_string_equal(e.text, "Timeout should be used inside a task");
    assert_int_equal(timeout_enter_at(&t, 5, NULL), ERROR_NO_TASK);
}

static int oom_body(void *arg, void **ret_result, struct err *e)
{
    struct timeout t;
    (void)arg, (void)ret_result;
    int r = timeout_enter(&t, LONG_MS, e);
    if (r < 0)
        return r;
    r = timeout_reschedule(&t, now_ms() + 1, e);
    r = timeout_exit(&t, r < 0 ? r : task_sleep(LONG_MS), e);
    return r == -ETIMEDOUT ? 0 : r;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    check_each_allocation(oom_body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_limit_ends_the_block_and_nothing_else_does),
        cmocka_unit_test(of_nested_limits_the_one_that_expires_counts),
        cmocka_unit_test(a_cancellation_from_outside_stays_one),
        cmocka_unit_test(an_older_cancellation_does_not_hide_the_limit),
        cmocka_unit_test(the_limit_may_be_moved_in_the_block),
        cmocka_unit_test(a_limit_never_comes_early),
        cmocka_unit_test(outside_of_a_task_there_is_no_limit),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("timeout", tests, NULL, NULL);
}
