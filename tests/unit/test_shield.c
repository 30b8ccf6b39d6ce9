/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
#include "tests/unit/combine.h"

#include <stdlib.h>

#include "worker/runtime/shield.h"

static struct lost lost;
static int reports;

static int owned_main(void *n, void **ret_result, struct err *e)
{
    void *v = NULL, *text = strdup("kept");
    (void)ret_result;
    struct future *f = loop_create_future(loop_running());
    future_own_result(f, free);
    struct future *s = shield(f);
    (void)future_set_result(f, text);
    future_unref(f);
    note(n, future_await(s, &v, e));
    note(n, strcmp(v, "kept"));
    future_unref(s);
    return 0;
}

static void the_result_lives_as_long_as_the_shield(void **state)
{
    (void)state;
    EXPECT(owned_main, 0, 0);
}

static int dead_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    struct future *f = loop_create_future(loop_running()), *s = shield(f);
    future_unref(f);
    future_unref(s);
    f = loop_create_future(loop_running());
    s = shield(f);
    future_unref(s);
    future_unref(f);
    f = loop_create_future(loop_running());
    s = shield(f);
    (void)future_cancel(s);
    future_unref(s);
    future_unref(f);
    note(n, turns(2));
    return 0;
}

static void what_can_never_be_done_goes_in_any_order(void **state)
{
    (void)state;
    EXPECT(dead_main, 0);
}

static void on_shielded(struct future *s, void *n)
{
    note(n, future_code(s));
}

static int abandoned_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    struct future *f = start(give_after_ms, BOX(2)), *s = shield(f);
    (void)future_add_done_callback(s, on_shielded, n);
    future_unref(s);
    note(n, 1);
    (void)future_await(f, NULL, NULL);
    future_unref(f);
    return turns(3);
}

static void a_dropped_shield_is_done_all_the_same(void **state)
{
    (void)state;
    EXPECT(abandoned_main, 1, 0);
}

/* Cancels the shield of a future that then fails, `gap` iterations later; -1: drops the shield. */
static int failing_main(void *gap, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    loop_set_exception_handler(loop_running(), note_lost, &lost);
    struct future *f = loop_create_future(loop_running()), *s = shield(f);
    if ((intptr_t)gap < 0) {
        future_unref(s);
        s = NULL;
    } else {
        (void)future_cancel(s);
    }
    (void)turns((int)(intptr_t)gap);
    (void)future_set_error(f, -EINVAL, "inner");
    (void)turns(2);
    future_unref(f);
    reports = lost.count; /* a cancelled shield does not keep what it shielded */
    future_unref(s);
    return 0;
}

static void an_error_behind_a_shield_is_reported_once(void **state)
{
    static const struct {
        intptr_t gap;
        int expected;
    } cases[] = {{-1, 1}, {0, 0}, {1, 1}, {2, 1}}; /* as CPython */
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lost.count = 0;
        assert_int_equal(run(failing_main, BOX(cases[i].gap), NULL, NULL), 0);
        assert_int_equal(reports, cases[i].expected);
        assert_int_equal(lost.count, cases[i].expected);
    }
    assert_string_equal(lost.message, "Future exception was never retrieved");
}

static int waiter(void *s, void **ret_result, struct err *e)
{
    return future_await(s, ret_result, e);
}

static int cancel_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    struct future *f = start(hang, n), *s = shield(f), *w = start(waiter, s);
    (void)turns(1);
    note(n, future_cancel(w));
    note(n, future_await(w, NULL, NULL));
    note(n, future_cancelled(s));
    note(n, future_cancel(s));
    note(n, future_done(f));
    future_unref(s);
    s = shield(f);
    (void)future_cancel(f);
    note(n, future_await(s, NULL, NULL));
    note(n, future_cancelled(s));
    future_unref(f), future_unref(s), future_unref(w);
    return 0;
}

static void a_cancellation_goes_out_but_not_in(void **state)
{
    (void)state;
    EXPECT(cancel_main, true, -ECANCELED, true, false, false, -1, -ECANCELED, true);
}

static int misuse_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    note(n, shield(NULL) ? 0 : -errno);
    struct future *f = loop_create_future(loop_running()), *s = shield(f);
    note(n, future_set_result(s, NULL));
    (void)future_set_result(f, NULL);
    future_unref(s);
    s = shield(f);
    note(n, s == f);
    future_unref(s), future_unref(f);
    return 0;
}

static void what_cannot_be_shielded_is_refused(void **state)
{
    (void)state;
    EXPECT(misuse_main, ERROR_TYPE, ERROR_RUNTIME, true);
}

static void a_closed_loop_leaves_nothing_behind(void **state)
{
    (void)state;
    for (int order = 0; order < 2; order++) {
        struct loop *l = loop_new(0);
        struct future *f = loop_create_future(l), *s = shield(f), *x = loop_create_future(l);
        struct task *w = loop_create_task(l, waiter, s, NULL);
        struct future *turn = task_future(loop_create_task(l, give_at_once, NULL, NULL));
        loop_set_exception_handler(l, note_lost, &lost);
        assert_int_equal(loop_run_until_complete(l, turn, NULL, NULL), 0);
        if (order == 0)
            (void)future_set_result(f, NULL);
        assert_int_equal(loop_close(l, NULL), 0);
        if (order == 1)
            (void)future_set_result(f, NULL);
        assert_false(future_done(s));
        assert_null(shield(x));
        assert_int_equal(errno, -ERROR_CLOSED);
        future_unref(f), future_unref(s), future_unref(x), future_unref(turn);
        task_unref(w);
        loop_free(l);
    }
}

static int oom_body(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    struct future *f = start(fail_after_ms, BOX(1)), *s = f ? shield(f) : NULL;
    int r = s ? future_await(s, NULL, e) : -ENOMEM;
    if (f)
        (void)future_cancel(f);
    future_unref(f), future_unref(s);
    return r == -EINVAL ? 0 : r;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    check_each_allocation(oom_body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_result_lives_as_long_as_the_shield),
        cmocka_unit_test(what_can_never_be_done_goes_in_any_order),
        cmocka_unit_test(a_dropped_shield_is_done_all_the_same),
        cmocka_unit_test(an_error_behind_a_shield_is_reported_once),
        cmocka_unit_test(a_cancellation_goes_out_but_not_in),
        cmocka_unit_test(what_cannot_be_shielded_is_refused),
        cmocka_unit_test(a_closed_loop_leaves_nothing_behind),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("shield", tests, NULL, NULL);
}
