/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
#include "tests/unit/combine.h"

#include <stdlib.h>

#include "worker/runtime/gather.h"

static struct lost lost;

static int code_of(struct future *g)
{
    int r = g ? future_await(g, NULL, NULL) : -errno;
    future_unref(g);
    return r;
}

static struct future *gather_two(struct future *a, struct future *b, unsigned flags)
{
    struct future *fs[] = {a, b};
    return future_gather(fs, 2, flags);
}

/* -- ownership -- */
static int owned_main(void *n, void **ret_result, struct err *e)
{
    void *results = NULL, *text = strdup("kept");
    (void)ret_result;
    struct future *f = loop_create_future(loop_running());
    future_own_result(f, free);
    struct future *g = gather_two(f, f, 0);
    (void)future_set_result(f, text);
    future_unref(f);
    note(n, future_await(g, &results, e));
    const struct gathered *r = results;
    note(n, strcmp(r[0].value, "kept"));
    note(n, r[0].value == r[1].value);
    future_unref(g);
    return 0;
}

static void the_results_live_as_long_as_the_gather(void **state)
{
    (void)state;
    EXPECT(owned_main, 0, 0, 1);
}

static int dead_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    struct future *f = loop_create_future(loop_running()), *g = gather_two(f, f, 0);
    future_unref(f);
    future_unref(g);
    f = loop_create_future(loop_running());
    g = gather_two(f, f, 0);
    future_unref(g);
    future_unref(f);
    f = loop_create_future(loop_running());
    g = gather_two(f, f, 0);
    struct future *outer = gather_two(g, f, 0);
    future_unref(f), future_unref(g), future_unref(outer);
    note(n, 0);
    return 0;
}

static void what_can_never_be_done_goes_in_any_order(void **state)
{
    (void)state;
    EXPECT(dead_main, 0);
}

static void on_gathered(struct future *g, void *n)
{
    note(n, future_code(g));
}

static int abandoned_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    struct future *f = start(give_after_ms, BOX(2)), *g = gather_two(f, f, 0);
    (void)future_add_done_callback(g, on_gathered, n);
    future_unref(g);
    note(n, 1);
    (void)future_await(f, NULL, NULL);
    future_unref(f);
    return turns(3);
}

static void a_dropped_gather_goes_on_with_its_children(void **state)
{
    (void)state;
    EXPECT(abandoned_main, 1, 0);
}

static int unseen_main(void *arg, void **ret_result, struct err *e)
{
    const struct gather_call calls[] = {{fail_at_once, BOX(1)}, {fail_at_once, BOX(2)}};
    (void)arg, (void)ret_result, (void)e;
    loop_set_exception_handler(loop_running(), note_lost, &lost);
    future_unref(gather_calls(calls, 2, 0));
    return turns(4);
}

static void an_error_nobody_looks_at_is_reported_once(void **state)
{
    (void)state;
    lost.count = 0;
    assert_int_equal(run(unseen_main, NULL, NULL, NULL), 0);
    assert_int_equal(lost.count, 1);
    assert_string_equal(lost.message, "_GatheringFuture exception was never retrieved");
}

static int seen_main(void *arg, void **ret_result, struct err *e)
{
    const struct gather_call calls[] = {{fail_at_once, BOX(1)}, {fail_after_ms, BOX(2)}};
    (void)arg, (void)ret_result, (void)e;
    loop_set_exception_handler(loop_running(), note_lost, &lost);
    (void)code_of(gather_calls(calls, 2, 0));
    return task_sleep(5);
}

static void errors_after_the_first_count_as_seen(void **state)
{
    (void)state;
    lost.count = 0;
    assert_int_equal(run(seen_main, NULL, NULL, NULL), 0);
    assert_int_equal(lost.count, 0);
}

/* -- cancelling -- */
static int cancel_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    struct future *a = start(hang, n), *b = start(hang, n), *g = gather_two(a, b, 0);
    (void)turns(1);
    note(n, future_cancel(g));
    note(n, future_done(g));
    note(n, future_await(g, NULL, NULL));
    note(n, future_cancelled(g));
    note(n, future_cancel(g));
    (void)turns(1);
    note(n, future_cancelled(a) && future_cancelled(b));
    future_unref(a), future_unref(b), future_unref(g);
    return 0;
}

static void cancelling_is_done_when_the_children_are(void **state)
{
    (void)state;
    EXPECT(cancel_main, true, false, -1, -1, -ECANCELED, false, false, true);
}

static int too_late_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    struct future *a = start(give_at_once, NULL);
    (void)turns(2);
    struct future *g = gather_two(a, a, 0);
    note(n, future_done(g));
    note(n, future_cancel(g));
    note(n, future_await(g, NULL, NULL));
    future_unref(a), future_unref(g);
    return 0;
}

static void a_gather_of_what_is_done_cannot_be_cancelled(void **state)
{
    (void)state;
    EXPECT(too_late_main, false, false, 0);
}

static int survived_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    for (unsigned flags = 0; flags <= GATHER_RETURN_ERRORS; flags++) {
        struct future *a = start(survive, NULL), *g = gather_two(a, a, flags);
        (void)turns(1);
        note(n, future_cancel(g));
        note(n, future_await(g, NULL, NULL));
        note(n, future_code(a));
        future_unref(a), future_unref(g);
    }
    return 0;
}

static void a_cancelled_gather_fails_whatever_the_children_give(void **state)
{
    (void)state;
    EXPECT(survived_main, true, -ECANCELED, 0, true, -ECANCELED, 0);
}

static int waiter(void *g, void **ret_result, struct err *e)
{
    return future_await(g, ret_result, e);
}

static int awaiter_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    struct future *inner = start(hang, n), *g = gather_two(inner, inner, 0);
    struct future *outer = gather_two(g, g, 0), *w = start(waiter, outer);
    (void)turns(2);
    note(n, future_cancel(w));
    note(n, future_await(w, NULL, NULL));
    note(n, future_cancelled(inner));
    note(n, future_cancelled(outer));
    future_unref(inner), future_unref(g), future_unref(outer), future_unref(w);
    return 0;
}

static void cancelling_who_awaits_reaches_through_two_gathers(void **state)
{
    (void)state;
    EXPECT(awaiter_main, true, -1, -ECANCELED, true, false);
}

/* -- misuse, and the end of the loop -- */
static int misuse_main(void *n, void **ret_result, struct err *e)
{
    struct loop *other = loop_new(0);
    (void)ret_result, (void)e;
    struct future *f = loop_create_future(loop_running()), *x = loop_create_future(other);
    note(n, code_of(gather_two(f, NULL, 0)));
    note(n, code_of(gather_two(f, x, 0)));
    struct future *g = gather_two(f, f, 0);
    note(n, future_set_result(g, NULL));
    note(n, future_result(g, NULL, NULL));
    future_unref(f), future_unref(x), future_unref(g);
    loop_free(other);
    return 0;
}

static void what_cannot_be_gathered_is_refused(void **state)
{
    (void)state;
    EXPECT(misuse_main, ERROR_TYPE, ERROR_OTHER_LOOP, ERROR_RUNTIME, ERROR_INVALID_STATE);
    assert_null(future_gather(NULL, 0, 0));
    assert_int_equal(errno, -ERROR_NO_LOOP);
}

static void a_closed_loop_leaves_nothing_behind(void **state)
{
    (void)state;
    for (int order = 0; order < 3; order++) {
        struct loop *l = loop_new(0);
        loop_set_exception_handler(l, note_lost, &lost);
        struct future *f = task_future(loop_create_task(l, hang, NULL, NULL));
        struct future *g = gather_two(f, f, 0);
        struct task *w = loop_create_task(l, waiter, g, NULL);
        struct future *turn = task_future(loop_create_task(l, give_after_ms, BOX(0), NULL));
        assert_int_equal(loop_run_until_complete(l, turn, NULL, NULL), 0);
        if (order == 0)
            future_unref(g);
        if (order == 1)
            future_unref(f);
        assert_int_equal(loop_close(l, NULL), 0);
        assert_null(gather_two(turn, turn, 0));
        assert_int_equal(errno, -ERROR_CLOSED);
        if (order != 0)
            future_unref(g);
        if (order != 1)
            future_unref(f);
        task_unref(w), future_unref(turn);
        loop_free(l);
    }
}

static void a_future_may_be_done_after_its_loop_has_closed(void **state)
{
    (void)state;
    struct loop *l = loop_new(0);
    struct future *f = loop_create_future(l), *g = gather_two(f, f, 0);
    assert_int_equal(loop_close(l, NULL), 0);
    assert_int_equal(future_set_result(f, NULL), 0);
    assert_false(future_done(g));
    future_unref(g), future_unref(f);
    loop_free(l);
}

/* -- memory -- */
static int count_run(void *runs, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    ++*(int *)runs;
    return task_sleep(1);
}

static int oom_body(void *arg, void **ret_result, struct err *e)
{
    int runs = 0;
    const struct gather_call calls[] = {{count_run, &runs}, {count_run, &runs}};
    (void)arg, (void)ret_result, (void)e;
    struct future *both = gather_calls(calls, 2, 0);
    int r = code_of(both);
    (void)turns(both ? 0 : 2);
    if (!both && runs > 0)
        return -EIO;
    struct future *f = r == 0 ? loop_create_future(loop_running()) : NULL;
    if (!f)
        return r < 0 ? r : -ENOMEM;
    struct future *g = gather_two(f, f, 0);
    (void)future_cancel(f);
    int cancelled = code_of(g);
    future_unref(f);
    return cancelled == -ECANCELED ? 0 : cancelled;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    check_each_allocation(oom_body);
}

static int cancel_failed_main(void *n, void **ret_result, struct err *e)
{
    struct lost seen = {.count = 0};
    struct loop *l = loop_running();
    (void)ret_result, (void)e;
    loop_set_exception_handler(l, note_lost, &seen);
    struct future *child = loop_create_future(l), *g = future_gather(&child, 1, 0);
    note(n, future_set_error(child, -EINVAL, "bad"));
    note(n, turns(2));
    note(n, future_cancel(g));
    future_unref(g);
    note(n, seen.count);
    note(n, strcmp(seen.message, "_GatheringFuture exception was never retrieved"));
    future_unref(child);
    loop_set_exception_handler(l, NULL, NULL);
    return 0;
}

static void to_cancel_a_failed_gather_is_not_to_look_at_its_error(void **state)
{
    (void)state;
    EXPECT(cancel_failed_main, 0, 0, 0, 1, 0);
}

int main(void)
{
    const struct CMUnitTest owning[] = {
        cmocka_unit_test(the_results_live_as_long_as_the_gather),
        cmocka_unit_test(what_can_never_be_done_goes_in_any_order),
        cmocka_unit_test(a_dropped_gather_goes_on_with_its_children),
        cmocka_unit_test(an_error_nobody_looks_at_is_reported_once),
        cmocka_unit_test(to_cancel_a_failed_gather_is_not_to_look_at_its_error),
        cmocka_unit_test(errors_after_the_first_count_as_seen),
    };
    const struct CMUnitTest cancelling[] = {
        cmocka_unit_test(cancelling_is_done_when_the_children_are),
        cmocka_unit_test(a_gather_of_what_is_done_cannot_be_cancelled),
        cmocka_unit_test(a_cancelled_gather_fails_whatever_the_children_give),
        cmocka_unit_test(cancelling_who_awaits_reaches_through_two_gathers),
    };
    const struct CMUnitTest limits[] = {
        cmocka_unit_test(what_cannot_be_gathered_is_refused),
        cmocka_unit_test(a_closed_loop_leaves_nothing_behind),
        cmocka_unit_test(a_future_may_be_done_after_its_loop_has_closed),
        cmocka_unit_test(each_allocation_may_fail),
    };
    int failed = cmocka_run_group_tests_name("gather: ownership", owning, NULL, NULL);
    failed += cmocka_run_group_tests_name("gather: cancelling", cancelling, NULL, NULL);
    return failed + cmocka_run_group_tests_name("gather: limits", limits, NULL, NULL);
}
