/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
#include "tests/unit/combine.h"

#include "worker/runtime/group.h"

#define LONG_MS 60000

static struct lost lost;

static int add(struct group *g, coro_fn fn, void *arg)
{
    return group_create_task(g, fn, arg, NULL, NULL, NULL);
}

/* Ends the block and notes what it came to. */
static void leave(struct group *g, int code, struct notes *n, struct err *e)
{
    note(n, group_exit(g, code, e));
    note(n, (long)group_errors(g));
    group_free(g);
}

static int all_end_main(void *n, void **ret_result, struct err *e)
{
    struct task *t;
    (void)ret_result;
    struct group *g = group_new(e);
    note(n, group_create_task(g, give_after_ms, BOX(4), "named", &t, e));
    note(n, add(g, give_at_once, NULL));
    note(n, strcmp(task_name(t), "named"));
    note(n, group_exit(g, 0, e));
    note(n, task_done(t));
    note(n, group_create_task(g, give_at_once, NULL, NULL, NULL, e));
    note(n, strcmp(e->text, "TaskGroup is finished"));
    task_unref(t);
    group_free(g);
    g = group_new(e);
    leave(g, 0, n, e); /* nobody to wait for */
    return 0;
}

static void the_block_is_left_when_all_have_ended(void **state)
{
    (void)state;
    EXPECT(all_end_main, 0, 0, 0, 0, true, ERROR_RUNTIME, 0, 0, 0);
}

static int failing_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result;
    struct group *g = group_new(e);
    note(n, add(g, hang, n) + add(g, fail_at_once, BOX(1)) + add(g, fail_after_ms, BOX(LONG_MS)));
    note(n, task_sleep(LONG_MS)); /* the parent is cancelled too */
    note(n, group_create_task(g, give_at_once, NULL, NULL, NULL, e));
    note(n, strcmp(e->text, "TaskGroup is shutting down"));
    note(n, group_exit(g, -ECANCELED, e));
    note(n, strcmp(e->text, "unhandled errors in a TaskGroup (1 sub-exception)"));
    note(n, group_error(g, 0, e));
    note(n, strcmp(e->text, "bad 1"));
    note(n, group_error(g, 1, e));
    note(n, task_cancelling(task_current()));
    group_free(g);
    return 0;
}

static void the_first_failure_cancels_the_rest_and_the_parent(void **state)
{
    (void)state;
    EXPECT(failing_main, 0, -1, -ECANCELED, ERROR_RUNTIME, 0, ERROR_GROUP, 0, -EINVAL, 0, 0, 0);
}

static int late_failure_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result;
    struct group *g = group_new(e);
    (void)add(g, fail_after_ms, BOX(2));
    leave(g, 0, n, e);
    note(n, task_cancelling(task_current())); /* CPython 3.11 takes it back only in the block */
    return 0;
}

static void a_failure_while_the_block_is_left_comes_out(void **state)
{
    (void)state;
    EXPECT(late_failure_main, ERROR_GROUP, 1, 1);
}

static int fail_when_cancelled(void *arg, void **ret_result, struct err *e)
{
    (void)task_sleep(LONG_MS);
    return fail_at_once(arg, ret_result, e);
}

static int body_error_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result;
    struct group *g = group_new(e);
    (void)add(g, hang, n), (void)add(g, fail_when_cancelled, BOX(7));
    (void)turns(1);
    note(n, group_exit(g, err_set(e, -EPIPE, "body"), e));
    note(n, strcmp(e->text, "unhandled errors in a TaskGroup (2 sub-exceptions)"));
    note(n, group_error(g, 0, e));
    note(n, group_error(g, 1, e));
    note(n, strcmp(e->text, "body"));
    note(n, group_error(g, 2, e));
    group_free(g);
    return 0;
}

static void an_error_of_the_block_comes_behind_the_tasks_errors(void **state)
{
    (void)state;
    EXPECT(body_error_main, -1, ERROR_GROUP, 0, -EINVAL, -EPIPE, 0, 0);
}

static int cancelled_child_main(void *n, void **ret_result, struct err *e)
{
    struct task *t;
    (void)ret_result;
    struct group *g = group_new(e);
    (void)group_create_task(g, hang, n, NULL, &t, e);
    (void)add(g, give_after_ms, BOX(2));
    (void)turns(1);
    (void)task_cancel(t);
    leave(g, 0, n, e);
    task_unref(t);
    return 0;
}

static void a_cancelled_task_is_no_failure(void **state)
{
    (void)state;
    EXPECT(cancelled_child_main, -1, 0, 0);
}

static struct notes *notes;

static int parent_body(void *in_block, void **ret_result, struct err *e)
{
    (void)ret_result;
    struct group *g = group_new(e);
    (void)add(g, hang, notes), (void)add(g, survive, NULL);
    int r = in_block ? task_sleep(LONG_MS) : 0;
    r = group_exit(g, r, e);
    group_free(g);
    return r;
}

static int parent_main(void *n, void **ret_result, struct err *e)
{
    notes = n;
    (void)ret_result, (void)e;
    for (int in_block = 0; in_block < 2; in_block++) {
        struct future *f = start(parent_body, BOX(in_block));
        (void)turns(2);
        (void)future_cancel(f);
        (void)turns(2);
        (void)future_cancel(f); /* once more, while it waits for the survivor */
        note(n, future_await(f, NULL, NULL));
        note(n, task_cancelling(task_of(f)));
        future_unref(f);
    }
    return 0;
}

static void a_cancelled_parent_waits_for_its_tasks(void **state)
{
    (void)state;
    EXPECT(parent_main, -1, -ECANCELED, 2, -1, -ECANCELED, 2);
}

static int inner_group(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    struct group *g = group_new(e);
    (void)add(g, fail_at_once, BOX(3));
    int r = group_exit(g, task_sleep(LONG_MS), e);
    group_free(g);
    return r;
}

static int nested_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result;
    struct group *g = group_new(e);
    (void)add(g, inner_group, NULL);
    note(n, group_exit(g, task_sleep(LONG_MS), e));
    note(n, group_error(g, 0, e));
    note(n, task_cancelling(task_current()));
    group_free(g);
    return 0;
}

static void groups_may_be_nested(void **state)
{
    (void)state;
    EXPECT(nested_main, ERROR_GROUP, ERROR_GROUP, 0);
}

static int spawner(void *g, void **ret_result, struct err *e)
{
    (void)ret_result;
    int r = task_sleep(1);
    return r < 0 ? r : group_create_task(g, give_after_ms, BOX(2), NULL, NULL, e);
}

static int spawning_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result;
    struct group *g = group_new(e);
    (void)add(g, spawner, g);
    int64_t begin = loop_time_ms(loop_running());
    leave(g, 0, n, e);
    note(n, loop_time_ms(loop_running()) - begin >= 2);
    return 0;
}

static void a_task_of_the_group_may_add_more(void **state)
{
    (void)state;
    EXPECT(spawning_main, 0, 0, true);
}

static int raise_interrupt(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    return err_set(e, ERROR_INTERRUPT, "now");
}

static int interrupted_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result;
    struct group *g = group_new(e);
    (void)add(g, fail_at_once, NULL), (void)add(g, raise_interrupt, NULL);
    note(n, group_exit(g, task_sleep(LONG_MS), e));
    note(n, strcmp(e->text, "now"));
    group_free(g);
    g = group_new(e);
    note(n, group_exit(g, err_set(e, ERROR_INTERRUPT, "body"), e));
    note(n, strcmp(e->text, "body"));
    group_free(g);
    return 0;
}

static void an_interrupt_comes_out_as_it_is(void **state)
{
    (void)state;
    EXPECT(interrupted_main, ERROR_INTERRUPT, 0, ERROR_INTERRUPT, 0);
}

static int left_alone_main(void *n, void **ret_result, struct err *e)
{
    struct task *t;
    (void)ret_result;
    struct group *g = group_new(e);
    (void)group_create_task(g, hang, n, NULL, &t, e);
    (void)add(g, give_at_once, NULL);
    (void)turns(1); /* one has ended, and its callback is queued */
    group_free(g);
    note(n, task_await(t, NULL, NULL));
    task_unref(t);
    return 0;
}

static void without_an_exit_the_tasks_are_cancelled(void **state)
{
    (void)state;
    EXPECT(left_alone_main, -1, -ECANCELED);
    struct err e;
    assert_null(group_new(&e));
    assert_int_equal(e.code, ERROR_NO_TASK);
}

static struct group *forgotten;

static int forgets(void *at_once, void **ret_result, struct err *e)
{
    (void)ret_result;
    forgotten = group_new(e);
    return add(forgotten, at_once ? fail_at_once : fail_after_ms, BOX(1));
}

static int orphan_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    loop_set_exception_handler(loop_running(), note_lost, &lost);
    struct future *f = start(forgets, NULL);
    note(n, future_await(f, NULL, NULL));
    while (lost.count == 0 && task_sleep(1) == 0)
        continue;
    note(n, lost.count);
    group_free(forgotten);
    future_unref(f);
    return 0;
}

static void a_failure_behind_the_parents_back_is_reported(void **state)
{
    (void)state;
    lost.count = 0;
    EXPECT(orphan_main, 0, 1);
    assert_string_equal(lost.message,
                        "Task has errored out but its parent task is already completed");
}

static void a_closed_loop_leaves_nothing_behind(void **state)
{
    (void)state;
    for (int at_once = 0; at_once < 2;
         at_once++) { /* 1: it has ended, and its callback is queued */
        struct loop *l = loop_new(0);
        loop_set_exception_handler(l, note_lost, &lost);
        struct future *f = task_future(loop_create_task(l, forgets, BOX(at_once), NULL));
        assert_int_equal(loop_run_until_complete(l, f, NULL, NULL), 0);
        assert_int_equal(loop_close(l, NULL), 0);
        group_free(forgotten);
        future_unref(f);
        loop_free(l);
    }
}

static int oom_body(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    struct group *g = group_new(e);
    if (!g)
        return -errno;
    int r = group_create_task(g, give_after_ms, BOX(1), "name", NULL, e);
    if (r == 0)
        r = group_create_task(g, give_at_once, NULL, NULL, NULL, e);
    r = group_exit(g, r, e);
    if (r == ERROR_GROUP)
        r = group_error(g, 0, e);
    group_free(g);
    return r;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    check_each_allocation(oom_body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_block_is_left_when_all_have_ended),
        cmocka_unit_test(the_first_failure_cancels_the_rest_and_the_parent),
        cmocka_unit_test(a_failure_while_the_block_is_left_comes_out),
        cmocka_unit_test(an_error_of_the_block_comes_behind_the_tasks_errors),
        cmocka_unit_test(a_cancelled_task_is_no_failure),
        cmocka_unit_test(a_cancelled_parent_waits_for_its_tasks),
        cmocka_unit_test(groups_may_be_nested),
        cmocka_unit_test(a_task_of_the_group_may_add_more),
        cmocka_unit_test(an_interrupt_comes_out_as_it_is),
        cmocka_unit_test(without_an_exit_the_tasks_are_cancelled),
        cmocka_unit_test(a_failure_behind_the_parents_back_is_reported),
        cmocka_unit_test(a_closed_loop_leaves_nothing_behind),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("group", tests, NULL, NULL);
}
