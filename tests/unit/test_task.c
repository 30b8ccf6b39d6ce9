#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/runtime/context.h"
#include "worker/runtime/internal.h"
#include "worker/runtime/run.h"
#include "worker/runtime/task.h"

static int sleep_long(void *arg, void **ret_result, struct err *e)
{
    int *code = arg;
    (void)ret_result, (void)e;
    *code = task_sleep(60000);
    return *code;
}

static int sleep_none(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    return task_sleep(0);
}

struct seen { /* what a main coroutine saw; asserted by the test */
    int code, other, first, second;
    bool done, cancelled, answer;
    unsigned count, left;
    char name[64];
};

static int cancel_main(void *arg, void **ret_result, struct err *e)
{
    struct seen *s = arg;
    (void)ret_result;
    struct task *t = task_create(sleep_long, &s->code, NULL);
    (void)task_sleep(0);
    s->answer = task_cancel(t) && task_cancel(t);
    s->count = task_cancelling(t);
    s->left = task_uncancel(t);
    s->first = timers_empty(&loop_running()->timers);
    s->other = task_await(t, NULL, e);
    s->cancelled = task_cancelled(t);
    s->done = !task_cancel(t);
    task_unref(t);
    return 0;
}

static void a_sleeper_is_cancelled(void **state)
{
    struct seen s = {.code = 0};
    (void)state;
    assert_int_equal(run(cancel_main, &s, NULL, NULL), 0);
    assert_int_equal(s.code, -ECANCELED);
    assert_int_equal(s.other, -ECANCELED);
    assert_true(s.answer && s.cancelled && s.done);
    assert_int_equal(s.count, 2);
    assert_int_equal(s.left, 1);
    assert_true(s.first); /* its alarm, which lies on its stack, is gone at once */
}

static int before_main(void *arg, void **ret_result, struct err *e)
{
    struct seen *s = arg;
    (void)ret_result;
    s->code = 1;
    struct task *t = task_create(sleep_long, &s->code, NULL);
    s->answer = task_cancel(t);
    s->other = task_await(t, NULL, e);
    s->cancelled = task_cancelled(t);
    task_unref(t);
    return 0;
}

static void a_task_cancelled_before_its_first_turn_never_runs(void **state)
{
    struct seen s = {.code = 0};
    (void)state;
    assert_int_equal(run(before_main, &s, NULL, NULL), 0);
    assert_int_equal(s.code, 1);
    assert_int_equal(s.other, -ECANCELED);
    assert_true(s.answer && s.cancelled);
}

static int await_itself(void *arg, void **ret_result, struct err *e)
{
    (void)arg;
    return task_await(task_current(), ret_result, e);
}

static int await_other_loop(void *arg, void **ret_result, struct err *e)
{
    return future_await(arg, ret_result, e);
}

static void awaits_that_cannot_end_are_refused(void **state)
{
    struct err e;
    (void)state;
    assert_int_equal(run(await_itself, NULL, NULL, &e), ERROR_AWAITS_ITSELF);
    assert_string_equal(e.text, "Task cannot await on itself");
    struct loop *l = loop_new(0);
    struct future *f = loop_create_future(l);
    assert_int_equal(run(await_other_loop, f, NULL, &e), ERROR_OTHER_LOOP);
    future_unref(f);
    loop_free(l);
}

static int drop_the_last_reference(void *arg, void **ret_result, struct err *e)
{
    struct future **f = arg;
    struct future *mine = *f;
    (void)ret_result, (void)e;
    *f = NULL;
    (void)task_sleep(0);
    int r = future_set_result(mine, NULL);
    future_unref(mine);
    return r;
}

static int held_main(void *arg, void **ret_result, struct err *e)
{
    struct future *f = loop_create_future(loop_running()), *waits = f;
    (void)arg, (void)ret_result;
    if (task_spawn(drop_the_last_reference, &f, NULL) < 0)
        return -ENOMEM;
    return future_await(waits, NULL, e);
}

static void an_awaited_future_lives_until_the_await_returns(void **state)
{
    (void)state;
    assert_int_equal(run(held_main, NULL, NULL, NULL), 0);
}

static int cancel_itself(void *arg, void **ret_result, struct err *e)
{
    struct seen *s = arg;
    struct future *f = loop_create_future(loop_running());
    (void)task_cancel(task_current());
    s->code = future_await(f, ret_result, e);
    s->cancelled = future_cancelled(f);
    s->other = task_sleep(0); /* delivered once, not again */
    future_unref(f);
    return 0;
}

static void a_task_that_cancels_itself_is_told_at_its_next_wait(void **state)
{
    struct seen s = {.other = 1};
    (void)state;
    assert_int_equal(run(cancel_itself, &s, NULL, NULL), 0);
    assert_int_equal(s.code, -ECANCELED);
    assert_true(s.cancelled);
    assert_int_equal(s.other, 0);
}

static int names_main(void *arg, void **ret_result, struct err *e)
{
    struct seen *s = arg;
    (void)ret_result;
    struct task *t = task_create(sleep_none, NULL, NULL);
    (void)snprintf(s->name, sizeof s->name, "%s", task_name(t));
    s->first = task_set_name(t, "renamed");
    s->answer = strcmp(task_name(t), "renamed") == 0;
    s->second = task_await(t, NULL, e);
    s->done = task_of(task_future(t)) == t;
    task_unref(t);
    return 0;
}

static void a_task_has_a_name(void **state)
{
    struct seen s = {.code = 0};
    (void)state;
    assert_int_equal(run(names_main, &s, NULL, NULL), 0);
    assert_string_equal(s.name, "Task-2");
    assert_true(s.answer && s.done);
}

static int completes_itself(void *arg, void **ret_result, struct err *e)
{
    struct seen *s = arg;
    (void)ret_result, (void)e;
    s->first = future_set_result(task_future(task_current()), NULL);
    s->second = future_set_error(task_future(task_current()), -EINVAL, "x");
    return 0;
}

static void nobody_completes_a_task(void **state)
{
    struct seen s = {.code = 0};
    (void)state;
    assert_int_equal(run(completes_itself, &s, NULL, NULL), 0);
    assert_int_equal(s.first, ERROR_RUNTIME);
    assert_int_equal(s.second, ERROR_RUNTIME);
}

#define CROWD 3000

static int one_of_many(void *arg, void **ret_result, struct err *e)
{
    int *count = arg;
    (void)ret_result, (void)e;
    int r = task_sleep(*count % 3);
    ++*count;
    return r;
}

static int crowd_main(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    for (int i = 0; i < CROWD; i++)
        if (task_spawn(one_of_many, arg, NULL) < 0)
            return -ENOMEM;
    while (*(int *)arg < CROWD)
        if (task_sleep(1) < 0)
            return -ECANCELED;
    return 0;
}

static void three_thousand_tasks_end(void **state)
{
    int count = 0;
    (void)state;
    assert_int_equal(run(crowd_main, &count, NULL, NULL), 0);
    assert_int_equal(count, CROWD);
}

#define COLOUR(name) ((void *)(name))

static const struct context_var colour = {"colour", COLOUR("none")};

static int read_colour(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    (void)task_sleep(0);
    *ret_result = context_get(&colour);
    return context_set(&colour, COLOUR("child"));
}

static void note_colour(void *arg)
{
    *(const char **)arg = context_get(&colour);
}

struct colours {
    void *child;
    const char *own, *callback;
};

static int colours_main(void *arg, void **ret_result, struct err *e)
{
    struct colours *c = arg;
    (void)ret_result;
    if (context_set(&colour, COLOUR("first")) < 0)
        return -ENOMEM;
    struct task *t = task_create(read_colour, NULL, NULL);
    (void)loop_call_soon(loop_running(), note_colour, &c->callback);
    if (context_set(&colour, COLOUR("second")) < 0)
        return -ENOMEM;
    int r = task_await(t, &c->child, e);
    c->own = context_get(&colour);
    task_unref(t);
    return r;
}

static void a_context_is_copied_when_a_task_or_callback_is_made(void **state)
{
    struct colours c = {NULL, NULL, NULL};
    (void)state;
    assert_int_equal(run(colours_main, &c, NULL, NULL), 0);
    assert_string_equal(c.child, "first");
    assert_string_equal(c.callback, "first");
    assert_string_equal(c.own, "second");
    assert_string_equal(context_get(&colour), "none");
}

static int nest_run(void *arg, void **ret_result, struct err *e)
{
    (void)arg;
    return run(sleep_none, NULL, ret_result, e);
}

static void a_nested_run_is_refused(void **state)
{
    struct err e;
    (void)state;
    assert_int_equal(run(nest_run, NULL, NULL, &e), ERROR_NESTED_RUN);
    assert_string_equal(e.text, "run() cannot be called from a running event loop");
}

static int absolute(void *arg, void **ret_result, struct err *e)
{
    int64_t *late = arg, at = loop_time_ms(loop_running()) + 5;
    (void)ret_result, (void)e;
    int r = task_sleep_until(at);
    *late = loop_time_ms(loop_running()) - at;
    return r < 0 ? r : task_sleep_until(at - 1000); /* long past: one iteration, no more */
}

static void a_sleep_has_a_deadline(void **state)
{
    int64_t late = -1;
    (void)state;
    assert_int_equal(run(absolute, &late, NULL, NULL), 0);
    assert_true(late >= 0);
}

static int fail_when_asked_to_cancel(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    (void)task_cancel(task_current());
    return err_set(e, -EINVAL, "broken");
}

static void an_error_wins_over_a_cancellation_that_comes_too_late(void **state)
{
    struct err e;
    (void)state;
    assert_int_equal(run(fail_when_asked_to_cancel, NULL, NULL, &e), -EINVAL);
    assert_string_equal(e.text, "broken");
}

/* Each awaits the next one; who cancels the first is a task, on its small stack. */
enum { CHAIN = 3000 };

static int await_next(void *arg, void **ret_result, struct err *e)
{
    struct task **next = arg;
    return *next ? task_await(*next, ret_result, e) : task_sleep(60000);
}

static int chain_main(void *arg, void **ret_result, struct err *e)
{
    static struct task *links[CHAIN + 1]; /* the last one: NULL */
    int *cancelled = arg;
    for (int i = CHAIN - 1; i >= 0; i--)
        links[i] = task_create(await_next, &links[i + 1], NULL);
    (void)task_sleep(0);
    if (!task_cancel(links[0]))
        return err_set(e, -EINVAL, "it is done");
    (void)task_await(links[0], ret_result, e);
    for (int i = 0; i < CHAIN; i++) {
        *cancelled += task_cancelled(links[i]) && task_cancelling(links[i]) == 1;
        task_unref(links[i]);
    }
    return 0;
}

static void a_cancellation_goes_down_a_long_chain(void **state)
{
    int cancelled = 0;
    (void)state;
    struct loop *l = loop_new(STACK_BYTES / 4);
    assert_int_equal(loop_run_coroutine(l, chain_main, &cancelled, NULL, NULL), 0);
    assert_int_equal(cancelled, CHAIN);
    loop_free(l);
}

static int circle_main(void *arg, void **ret_result, struct err *e)
{
    struct task *tail = NULL, *ring[3] = {NULL};
    int *cancelled = arg;
    tail = task_create(await_next, &ring[0], NULL);
    for (int i = 0; i < 3; i++)
        ring[i] = task_create(await_next, &ring[(i + 1) % 3], NULL);
    (void)task_sleep(0);
    (void)task_cancel(tail); /* no part of the circle */
    *cancelled = task_await(tail, ret_result, e) == -ECANCELED;
    for (int i = 0; i < 3; i++) {
        *cancelled += task_await(ring[i], ret_result, e) == -ECANCELED;
        task_unref(ring[i]);
    }
    task_unref(tail);
    return 0;
}

static void tasks_that_await_each_other_can_be_cancelled(void **state)
{
    int cancelled = 0;
    (void)state;
    assert_int_equal(run(circle_main, &cancelled, NULL, NULL), 0);
    assert_int_equal(cancelled, 4);
}

static int give_when_asked_to_cancel(void *arg, void **ret_result, struct err *e)
{
    (void)e;
    (void)task_cancel(task_current());
    *ret_result = arg;
    return 0;
}

static void a_result_after_a_cancellation_is_dropped(void **state)
{
    int arg = 0;
    void *v = NULL;
    (void)state;
    struct loop *l = loop_new(0);
    struct task *t = loop_create_task(l, give_when_asked_to_cancel, &arg, NULL);
    assert_int_equal(loop_run_until_complete(l, task_future(t), &v, NULL), -ECANCELED);
    assert_int_equal(task_result(t, &v, NULL), -ECANCELED);
    assert_true(task_cancelled(t));
    assert_null(v);
    task_unref(t);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sleeper_is_cancelled),
        cmocka_unit_test(an_error_wins_over_a_cancellation_that_comes_too_late),
        cmocka_unit_test(a_result_after_a_cancellation_is_dropped),
        cmocka_unit_test(a_cancellation_goes_down_a_long_chain),
        cmocka_unit_test(tasks_that_await_each_other_can_be_cancelled),
        cmocka_unit_test(a_task_cancelled_before_its_first_turn_never_runs),
        cmocka_unit_test(awaits_that_cannot_end_are_refused),
        cmocka_unit_test(an_awaited_future_lives_until_the_await_returns),
        cmocka_unit_test(a_task_that_cancels_itself_is_told_at_its_next_wait),
        cmocka_unit_test(a_task_has_a_name),
        cmocka_unit_test(nobody_completes_a_task),
        cmocka_unit_test(three_thousand_tasks_end),
        cmocka_unit_test(a_context_is_copied_when_a_task_or_callback_is_made),
        cmocka_unit_test(a_nested_run_is_refused),
        cmocka_unit_test(a_sleep_has_a_deadline),
    };
    return cmocka_run_group_tests_name("task", tests, NULL, NULL);
}
