/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
#include "tests/unit/combine.h"

#include "worker/runtime/as_completed.h"
#include "worker/runtime/wait.h"

static struct lost lost;

static int wait_all(struct future **fs, size_t n, int64_t timeout_ms)
{
    size_t done, pending;
    return future_wait(fs, n, timeout_ms, WAIT_ALL_COMPLETED, &done, &pending, NULL);
}

static void drop(struct future **fs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        future_unref(fs[i]);
}

/* -- future_wait -- */
static int order_main(void *n, void **ret_result, struct err *e)
{
    size_t done, pending;
    (void)ret_result;
    struct future *a = start(hang, NULL), *b = start(give_at_once, NULL), *c = start(hang, NULL),
                  *d = start(fail_at_once, NULL);
    struct future *fs[] = {a, b, a, c, d, b};
    note(n, future_wait(fs, 6, 5, WAIT_ALL_COMPLETED, &done, &pending, e));
    note(n, (long)done);
    note(n, (long)pending);
    note(n, fs[0] == b && fs[1] == d && fs[2] == a && fs[3] == c);
    note(n, (fs[4] == a && fs[5] == b) || (fs[4] == b && fs[5] == a));
    (void)future_exception(d, &(const struct error *){NULL}, NULL);
    drop((struct future *[]){a, b, c, d}, 4);
    return 0;
}

static void the_array_is_put_in_order(void **state)
{
    (void)state;
    EXPECT(order_main, 0, 2, 2, true, true);
}

static int wait_body(void *fs, void **ret_result, struct err *e)
{
    size_t done = 77, pending = 77;
    (void)ret_result;
    int r = future_wait(fs, 2, 60000, WAIT_ALL_COMPLETED, &done, &pending, e);
    return r < 0 && done + pending != 154 ? -EIO : r;
}

static int cancelled_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    struct future *a = loop_create_future(loop_running()), *b = loop_create_future(loop_running());
    struct future *fs[] = {a, b}, *w = start(wait_body, fs);
    (void)turns(1);
    (void)future_set_result(b, NULL);
    (void)turns(2);
    note(n, future_cancel(w));
    note(n, future_await(w, NULL, NULL));
    note(n, fs[0] == a && fs[1] == b);
    note(n, future_done(a));
    drop((struct future *[]){a, b, w}, 3);
    return 0;
}

static void a_cancelled_wait_leaves_everything_as_it_was(void **state)
{
    (void)state;
    EXPECT(cancelled_main, true, -ECANCELED, true, false);
}

static int at_once_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    struct future *fs[] = {loop_create_future(loop_running()), loop_create_future(loop_running())};
    struct future *w = start(wait_body, fs);
    (void)turns(1);
    note(n, future_cancel(w));
    (void)future_set_result(fs[0], NULL); /* the callbacks are queued behind the turn of w */
    (void)future_set_result(fs[1], NULL);
    note(n, future_await(w, NULL, NULL));
    future_unref(w);
    drop(fs, 2);
    return turns(2);
}

static void callbacks_that_are_queued_outlive_the_wait(void **state)
{
    (void)state;
    EXPECT(at_once_main, true, -ECANCELED);
}

static int errors_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    loop_set_exception_handler(loop_running(), note_lost, &lost);
    for (int i = 0; i < 3; i++) {
        struct future *fs[] = {start(fail_at_once, NULL), start(hang, NULL)};
        size_t done, pending;
        static const enum wait_when when[] = {WAIT_FIRST_COMPLETED, WAIT_FIRST_EXCEPTION,
                                              WAIT_ALL_COMPLETED};
        (void)future_wait(fs, 2, 2, when[i], &done, &pending, NULL);
        (void)future_cancel(fs[1]);
        drop(fs, 2);
    }
    return 0;
}

static void only_first_exception_looks_at_errors(void **state)
{
    (void)state;
    lost.count = 0;
    assert_int_equal(run(errors_main, NULL, NULL, NULL), 0);
    assert_int_equal(lost.count, 2);
}

static int misuse_main(void *n, void **ret_result, struct err *e)
{
    struct loop *other = loop_new(0);
    (void)ret_result, (void)e;
    struct future *f = loop_create_future(loop_running()), *x = loop_create_future(other);
    note(n, wait_all(&f, 0, -1));
    note(n, wait_all((struct future *[]){f, NULL}, 2, -1));
    note(n, wait_all((struct future *[]){f, x}, 2, -1));
    size_t done, pending;
    note(n, future_wait(&f, 1, -1, (enum wait_when)7, &done, &pending, e));
    note(n, strcmp(e->text, "Invalid return_when value: 7"));
    note(n, wait_for(NULL, 1, NULL, NULL));
    note(n, wait_for(x, 1, NULL, NULL));
    note(n, as_completed_new((struct future *[]){f, NULL}, 2, -1) ? 0 : -errno);
    note(n, as_completed_new((struct future *[]){f, x}, 2, -1) ? 0 : -errno);
    future_unref(f), future_unref(x);
    loop_free(other);
    return 0;
}

static void what_cannot_be_waited_for_is_refused(void **state)
{
    (void)state;
    EXPECT(misuse_main, -EINVAL, ERROR_TYPE, ERROR_OTHER_LOOP, -EINVAL, 0, ERROR_TYPE,
           ERROR_OTHER_LOOP, ERROR_TYPE, ERROR_OTHER_LOOP);
    struct loop *l = loop_new(0);
    struct future *f = loop_create_future(l);
    assert_int_equal(wait_all(&f, 1, -1), ERROR_NO_TASK);
    assert_int_equal(wait_for(f, -1, NULL, NULL), ERROR_NO_TASK);
    assert_int_equal(loop_close(l, NULL), 0);
    assert_null(as_completed_new(&f, 1, -1));
    assert_int_equal(errno, -ERROR_CLOSED);
    future_unref(f);
    loop_free(l);
}

/* -- wait_for -- */
static int limits_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result;
    struct future *done = start(give_at_once, NULL), *never = start(give_at_once, NULL),
                  *late = start(survive, NULL);
    note(n, wait_for(done, -1, NULL, e));
    note(n, wait_for(done, 0, NULL, e));
    note(n, wait_for(done, 5, NULL, e));
    drop((struct future *[]){never}, 1);
    never = start(give_at_once, NULL);
    note(n, wait_for(never, 0, NULL, e));
    note(n, future_cancelled(never));
    note(n, wait_for(late, 0, NULL, e));
    drop((struct future *[]){done, never, late}, 3);
    return 0;
}

static void a_limit_of_nothing_asks_what_is_there(void **state)
{
    (void)state;
    EXPECT(limits_main, 0, 0, 0, -ETIMEDOUT, true, 0);
}

static int limited(void *f, void **ret_result, struct err *e)
{
    return wait_for(f, 60000, ret_result, e);
}

static int race_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    struct future *f = loop_create_future(loop_running()), *w = start(limited, f);
    (void)turns(1);
    (void)future_set_result(f, NULL);
    note(n, future_cancel(w));
    note(n, future_await(w, NULL, NULL));
    drop((struct future *[]){f, w}, 2);
    return turns(2);
}

static void a_result_that_is_there_wins_over_a_cancellation(void **state)
{
    (void)state;
    EXPECT(race_main, true, 0);
}

static int impatient_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    struct future *f = start(survive, NULL), *w = start(limited, f);
    (void)turns(2);
    (void)future_cancel(w);
    (void)turns(2);
    note(n, future_done(w)); /* it waits for the job, which survives */
    (void)future_cancel(w);
    note(n, future_await(w, NULL, NULL));
    note(n, future_done(f));
    note(n, future_await(f, NULL, NULL));
    drop((struct future *[]){f, w}, 2);
    return 0;
}

static void a_second_cancellation_does_not_wait_for_the_job(void **state)
{
    (void)state;
    EXPECT(impatient_main, false, -ECANCELED, false, 0);
}

/* -- as_completed -- */
static int next_body(void *a, void **ret_result, struct err *e)
{
    return as_completed_next(a, NULL, ret_result, e);
}

static int several_main(void *n, void **ret_result, struct err *e)
{
    void *v[3] = {NULL, NULL, NULL};
    (void)ret_result;
    struct loop *l = loop_running();
    struct future *fs[] = {loop_create_future(l), loop_create_future(l), loop_create_future(l),
                           NULL};
    fs[3] = fs[0];
    struct as_completed *a = as_completed_new(fs, 4, -1);
    struct future *w[] = {start(next_body, a), start(next_body, a), start(next_body, a)};
    (void)turns(1);
    note(n, future_cancel(w[1])); /* its turn goes to the one behind */
    (void)future_set_result(fs[1], BOX(2));
    (void)future_set_result(fs[2], BOX(5));
    note(n, future_await(w[0], &v[0], e));
    note(n, future_await(w[1], NULL, e));
    note(n, future_await(w[2], &v[2], e));
    note(n, (intptr_t)v[0]);
    note(n, (intptr_t)v[2]);
    note(n, as_completed_more(a));
    note(n, as_completed_next(a, NULL, NULL, e));
    as_completed_free(a);
    drop(w, 3), drop(fs, 3);
    return 0;
}

static void several_tasks_take_the_outcomes_in_turn(void **state)
{
    (void)state;
    EXPECT(several_main, true, 0, -ECANCELED, 0, 2, 5, false, ERROR_RUNTIME);
}

static int called_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    struct future *f = loop_create_future(loop_running()), *g = start(hang, NULL);
    struct as_completed *a = as_completed_new((struct future *[]){f, g}, 2, -1);
    struct future *w[] = {start(next_body, a), start(next_body, a)};
    (void)turns(1);
    (void)future_set_result(f, NULL);
    (void)turns(1); /* w[0] has been called, and its turn is queued */
    note(n, future_cancel(w[0]));
    note(n, future_await(w[0], NULL, NULL));
    note(n, future_await(w[1], NULL, NULL));
    as_completed_free(a);
    drop((struct future *[]){f, g, w[0], w[1]}, 4);
    return 0;
}

static void who_was_called_and_is_cancelled_calls_the_next(void **state)
{
    (void)state;
    EXPECT(called_main, true, -ECANCELED, 0);
}

static int overdue_main(void *n, void **ret_result, struct err *e)
{
    struct future *f, *fs[] = {start(give_at_once, NULL), start(hang, NULL), start(hang, NULL)};
    (void)ret_result;
    (void)future_await(fs[0], NULL, e); /* done before the time begins to run */
    struct as_completed *a = as_completed_new(fs, 3, 2);
    while (as_completed_more(a)) {
        note(n, as_completed_next(a, &f, NULL, e));
        note(n, f == fs[0]);
    }
    note(n, future_done(fs[1]));
    as_completed_free(a);
    drop(fs, 3);
    return 0;
}

static void what_is_overdue_has_no_future(void **state)
{
    (void)state;
    EXPECT(overdue_main, 0, true, -ETIMEDOUT, false, -ETIMEDOUT, false, false);
}

static int early_end_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    struct future *f = loop_create_future(loop_running()), *g = loop_create_future(loop_running());
    as_completed_free(as_completed_new(NULL, 0, 5));
    struct as_completed *a = as_completed_new((struct future *[]){f, g}, 2, 1);
    (void)future_set_result(f, NULL); /* its callback is queued when all is freed */
    as_completed_free(a);
    note(n, future_set_result(g, NULL));
    drop((struct future *[]){f, g}, 2);
    return task_sleep(2);
}

static void it_may_be_freed_before_all_have_come(void **state)
{
    (void)state;
    EXPECT(early_end_main, 0);
}

static int late_queue_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result;
    struct future *fs[] = {loop_create_future(loop_running()), start(hang, NULL)};
    struct as_completed *a = as_completed_new(fs, 2, 0);
    int64_t until = loop_time_ms(loop_running()) + 2;
    while (loop_time_ms(loop_running()) < until)
        continue;
    (void)loop_call_soon(loop_running(), cancel_future, fs[0]);
    (void)turns(3); /* the limit is queued behind that, and runs before the future's callback */
    note(n, as_completed_next(a, NULL, NULL, e));
    note(n, as_completed_next(a, NULL, NULL, e));
    note(n, as_completed_more(a));
    as_completed_free(a);
    drop(fs, 2);
    return 0;
}

static void an_outcome_behind_the_limit_comes_too_late(void **state)
{
    (void)state;
    EXPECT(late_queue_main, -ETIMEDOUT, -ETIMEDOUT, false);
}

/* -- memory -- */
static int oom_wait(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    struct future *f = start(give_after_ms, BOX(1));
    if (!f)
        return -ENOMEM;
    int r = wait_all(&f, 1, 60000);
    if (r == 0)
        r = future_result(f, NULL, NULL);
    (void)future_cancel(f);
    future_unref(f);
    return r;
}

static int oom_wait_for(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    struct future *f = start(hang, NULL);
    if (!f)
        return -ENOMEM;
    int r = wait_for(f, 1, NULL, NULL);
    (void)future_cancel(f);
    future_unref(f);
    return r == -ETIMEDOUT ? 0 : r;
}

static int oom_as_completed(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    struct future *f = start(give_after_ms, BOX(1));
    if (!f)
        return -ENOMEM;
    struct as_completed *a = as_completed_new(&f, 1, 60000);
    int r = a ? as_completed_next(a, NULL, NULL, e) : -errno;
    as_completed_free(a);
    (void)future_cancel(f);
    future_unref(f);
    return r;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    check_each_allocation(oom_wait);
    check_each_allocation(oom_wait_for);
    check_each_allocation(oom_as_completed);
}

/* A callback of it is queued when the loop is closed. */
static void a_closed_loop_leaves_nothing_behind(void **state)
{
    struct err e;
    (void)state;
    struct loop *l = loop_new(0);
    struct future *f = loop_create_future(l);
    struct as_completed *a = as_completed_new(&f, 1, -1);
    assert_int_equal(future_set_result(f, NULL), 0);
    assert_int_equal(loop_close(l, &e), 0);
    assert_true(as_completed_more(a));
    as_completed_free(a);
    future_unref(f);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest waiting[] = {
        cmocka_unit_test(the_array_is_put_in_order),
        cmocka_unit_test(a_cancelled_wait_leaves_everything_as_it_was),
        cmocka_unit_test(callbacks_that_are_queued_outlive_the_wait),
        cmocka_unit_test(only_first_exception_looks_at_errors),
        cmocka_unit_test(what_cannot_be_waited_for_is_refused),
    };
    const struct CMUnitTest with_limit[] = {
        cmocka_unit_test(a_limit_of_nothing_asks_what_is_there),
        cmocka_unit_test(a_result_that_is_there_wins_over_a_cancellation),
        cmocka_unit_test(a_second_cancellation_does_not_wait_for_the_job),
    };
    const struct CMUnitTest completing[] = {
        cmocka_unit_test(several_tasks_take_the_outcomes_in_turn),
        cmocka_unit_test(who_was_called_and_is_cancelled_calls_the_next),
        cmocka_unit_test(what_is_overdue_has_no_future),
        cmocka_unit_test(it_may_be_freed_before_all_have_come),
        cmocka_unit_test(a_closed_loop_leaves_nothing_behind),
        cmocka_unit_test(an_outcome_behind_the_limit_comes_too_late),
        cmocka_unit_test(each_allocation_may_fail),
    };
    int failed = cmocka_run_group_tests_name("wait", waiting, NULL, NULL);
    failed += cmocka_run_group_tests_name("wait_for", with_limit, NULL, NULL);
    return failed + cmocka_run_group_tests_name("as_completed", completing, NULL, NULL);
}
