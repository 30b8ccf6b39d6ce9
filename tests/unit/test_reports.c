/* LDFLAGS: -Wl,--wrap=clock_now_ns */
#include "tests/unit/combine.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"

/* What reaches the loop's exception handler: lost errors, and in debug mode who keeps the loop. The
 * clock goes on by what a callback or a task is said to take, and by nothing else. */

static int64_t now_ns = 5000000000;

int64_t __wrap_clock_now_ns(void);

int64_t __wrap_clock_now_ns(void)
{
    return now_ns;
}

struct slow_reports {
    int count, of_tasks, with_name;
};

static int note_slow(struct loop *l, const struct loop_report *r, void *arg, struct err *e)
{
    struct slow_reports *x = arg;
    (void)l, (void)e;
    if (strncmp(r->message, "Executing ", 10) != 0 || !strstr(r->message, " took "))
        return 0;
    x->count++;
    x->of_tasks += r->future && task_of(r->future);
    x->with_name += strstr(r->message, "Executing a task of mine took ") != NULL;
    return 0;
}

static void keep_thread(int64_t ms)
{
    now_ns += ms * 1000000;
}

static void slow_callback(void *arg)
{
    (void)arg;
    keep_thread(60);
}

static int slow_task(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    int r = task_sleep(0);
    keep_thread(60);
    return r;
}

static int slow_main(void *limit_ms, void **ret_result, struct err *e)
{
    struct slow_reports *x = *ret_result = malloc(sizeof *x);
    *x = (struct slow_reports){.count = 0};
    (void)e;
    loop_set_exception_handler(loop_running(), note_slow, x);
    loop_set_debug(loop_running(), (intptr_t)limit_ms);
    struct task *t = task_create(slow_task, NULL, "a task of mine");
    (void)loop_call_soon(loop_running(), slow_callback, NULL);
    (void)task_await(t, NULL, NULL);
    task_unref(t); /* the report keeps it until its turn is over */
    loop_set_debug(loop_running(), 0);
    slow_callback(NULL);
    return turns(2);
}

static struct slow_reports slow_reports(int limit_ms)
{
    void *got = NULL;
    assert_int_equal(run(slow_main, BOX(limit_ms), &got, NULL), 0);
    struct slow_reports x = *(struct slow_reports *)got;
    free(got);
    return x;
}

static void debug_mode_names_who_keeps_the_loop(void **state)
{
    (void)state;
    struct slow_reports x = slow_reports(50);
    assert_int_equal(x.count, 2);
    assert_int_equal(x.of_tasks, 1);
    assert_int_equal(x.with_name, 1);
}

static void without_debug_mode_nobody_is_named(void **state)
{
    (void)state;
    assert_int_equal(slow_reports(0).count, 0);
}

static struct lost lost;

static int fail_when_cancelled(void *arg, void **ret_result, struct err *e)
{
    (void)task_sleep(60000);
    return fail_at_once(arg, ret_result, e);
}

static int lost_main(void *look, void **ret_result, struct err *e)
{
    (void)ret_result;
    loop_set_exception_handler(loop_running(), note_lost, &lost);
    struct future *f = start(fail_when_cancelled, NULL);
    (void)turns(1);
    (void)future_cancel(f);
    (void)turns(1);
    if (look)
        (void)future_result(f, NULL, e);
    future_unref(f);
    return 0;
}

static void an_error_after_a_cancellation_is_not_lost(void **state)
{
    (void)state;
    lost.count = 0;
    assert_int_equal(run(lost_main, NULL, NULL, NULL), 0);
    assert_int_equal(lost.count, 1);
    assert_string_equal(lost.message, "Task exception was never retrieved");
    assert_int_equal(run(lost_main, BOX(1), NULL, NULL), 0);
    assert_int_equal(lost.count, 1);
}

static int ensure_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result;
    struct coro *c = coro_new(give_at_once, n);
    struct future *f = ensure_future(c), *same = ensure_future(f),
                  *third = ensure_future(task_of(f));
    note(n, same == f && third == f);
    errno = 0;
    note(n, ensure_future(c) == NULL);
    note(n, errno);
    note(n, future_await(f, NULL, e));
    future_unref(f), future_unref(same), future_unref(third);
    coro_free(c);
    return 0;
}

static void ensure_future_wraps_only_what_is_no_future(void **state)
{
    (void)state;
    EXPECT(ensure_main, true, true, -ERROR_REUSED, 0);
}

static struct lost lost_by_main;

static int fail_while_interrupted(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    loop_set_exception_handler(loop_running(), note_lost, &lost_by_main);
    loop_interrupt(loop_running(), ERROR_INTERRUPT);
    return err_set(e, -EINVAL, "bad");
}

/* The run has no place for its error, and nobody else can look at it. */
static void an_error_of_what_was_interrupted_is_not_reported(void **state)
{
    (void)state;
    assert_int_equal(run(fail_while_interrupted, NULL, NULL, NULL), ERROR_INTERRUPT);
    assert_int_equal(lost_by_main.count, 0);
}

/* -- the default handler -- */

static int broken_handler(struct loop *l, const struct loop_report *r, void *arg, struct err *e)
{
    (void)l, (void)r, (void)arg;
    return err_set(e, -EIO, "no paper");
}

static void nothing_good(void *arg)
{
    (void)arg;
    (void)loop_raise(-EINVAL, "bad callback");
}

static int lose_errors(void *arg, void **ret_result, struct err *e)
{
    struct loop *l = loop_running();
    (void)arg, (void)ret_result, (void)e;
    task_unref(task_create(fail_at_once, BOX(1), "loser"));
    (void)loop_call_soon(l, nothing_good, NULL);
    (void)turns(2);
    loop_set_exception_handler(l, broken_handler, NULL);
    struct future *f = loop_create_future(l);
    (void)future_set_error(f, -EINVAL, "bad");
    future_unref(f);
    return 0;
}

static void the_default_handler_writes_a_line_for_each(void **state)
{
    char said[512] = "";
    int fds[2], before = dup(STDERR_FILENO);
    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
    int r = run(lose_errors, NULL, NULL, NULL);
    (void)dup2(before, STDERR_FILENO);
    (void)close(before);
    (void)close(fds[1]);
    assert_int_equal(r, 0);
    assert_true(read(fds[0], said, sizeof said - 1) > 0);
    (void)close(fds[0]);
    assert_string_equal(said, "Task exception was never retrieved (loser): ValueError: bad 1\n"
                              "Unhandled exception in callback: ValueError: bad callback\n"
                              "Unhandled error in exception handler: OSError: no paper\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(debug_mode_names_who_keeps_the_loop),
        cmocka_unit_test(without_debug_mode_nobody_is_named),
        cmocka_unit_test(an_error_after_a_cancellation_is_not_lost),
        cmocka_unit_test(an_error_of_what_was_interrupted_is_not_reported),
        cmocka_unit_test(the_default_handler_writes_a_line_for_each),
        cmocka_unit_test(ensure_future_wraps_only_what_is_no_future),
    };
    return cmocka_run_group_tests_name("reports", tests, NULL, NULL);
}
