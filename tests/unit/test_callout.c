/* The way back to the thread's own stack: in place without a runtime, a thread at a time, and from
 * a task. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/callout.h"
#include "worker/runtime/loop.h"

struct seen {
    int calls, switches;
    uintptr_t stack; /* an address on the stack that the call ran on */
};

static struct seen *watched;

static void look(void *arg)
{
    struct seen *s = arg;
    s->calls++;
    s->stack = (uintptr_t)__builtin_frame_address(0); /* not a local's: ASan has them elsewhere */
}

static void switching(callout_fn fn, void *arg)
{
    watched->switches++;
    fn(arg);
}

static void without_a_runtime_it_runs_in_place(void **state)
{
    (void)state;
    struct seen s = {0};
    callout(look, &s);
    assert_int_equal(s.calls, 1);
}

static void the_installed_switcher_runs_it(void **state)
{
    (void)state;
    struct seen s = {0};
    watched = &s;
    callout_install(switching);
    callout(look, &s);
    callout_install(NULL);
    assert_int_equal(s.calls, 1);
    assert_int_equal(s.switches, 1);
    callout(look, &s);
    assert_int_equal(s.calls, 2);
    assert_int_equal(s.switches, 1);
}

static void *call_out(void *arg)
{
    callout(look, arg);
    return NULL;
}

static void another_thread_has_a_switcher_of_its_own(void **state)
{
    (void)state;
    struct seen s = {0};
    pthread_t t;
    watched = &s;
    callout_install(switching);
    int r = pthread_create(&t, NULL, call_out, &s);
    if (!r)
        (void)pthread_join(t, NULL);
    callout_install(NULL);
    assert_int_equal(r, 0);
    assert_int_equal(s.calls, 1);
    assert_int_equal(s.switches, 0);
}

static int in_a_task(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    struct seen *at = arg;
    look(&at[0]);
    callout(look, &at[1]);
    return 0;
}

static uintptr_t apart(uintptr_t a, uintptr_t b)
{
    return a > b ? a - b : b - a;
}

static void from_a_task_it_runs_on_the_threads_own_stack(void **state)
{
    (void)state;
    struct seen here = {0}, at[2] = {{0}};
    struct loop *l = loop_new(0);
    assert_non_null(l);
    look(&here);
    assert_int_equal(loop_run_coroutine(l, in_a_task, at, NULL, NULL), 0);
    (void)loop_free(l);
    assert_int_equal(at[0].calls, 1);
    assert_int_equal(at[1].calls, 1);
    assert_true(apart(at[1].stack, here.stack) < 1 << 20);
    assert_true(apart(at[0].stack, here.stack) > apart(at[1].stack, here.stack));
    callout(look, &here); /* and the loop that is gone is not asked again */
    assert_int_equal(here.calls, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_runtime_it_runs_in_place),
        cmocka_unit_test(the_installed_switcher_runs_it),
        cmocka_unit_test(another_thread_has_a_switcher_of_its_own),
        cmocka_unit_test(from_a_task_it_runs_on_the_threads_own_stack),
    };
    return cmocka_run_group_tests_name("callout", tests, NULL, NULL);
}
