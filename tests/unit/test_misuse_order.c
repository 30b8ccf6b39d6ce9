/* Calls that come at the wrong time, twice, or from the wrong task: a defined error, or the end of
 * the process with a sentence. What one module alone is about stands in that module's test. */
#include "tests/unit/misuse.h"

#include <errno.h>
#include <pthread.h>

#include "common/callout.h"
#include "tests/unit/combine.h"
#include "worker/runtime/aqueue.h"
#include "worker/runtime/as_completed.h"
#include "worker/runtime/cfuture.h"
#include "worker/runtime/condition.h"
#include "worker/runtime/gather.h"
#include "worker/runtime/group.h"
#include "worker/runtime/semaphore.h"
#include "worker/runtime/shield.h"
#include "worker/runtime/timeout.h"
#include "worker/runtime/wait.h"
#include "worker/runtime/watch_fd.h"

static void nothing(void *arg)
{
    (void)arg;
}

/* -- the loop -- */

static void close_it(void *notes)
{
    struct loop *l = loop_running();
    struct err e;
    note(notes, loop_close(l, &e));
    note(notes, strcmp(e.text, "Cannot close a running event loop"));
    note(notes, loop_run_forever(l, NULL));
    note(notes, loop_run_coroutine(l, give_at_once, NULL, NULL, NULL));
    note(notes, run(give_at_once, NULL, NULL, &e));
    note(notes, strcmp(e.text, "run() cannot be called from a running event loop"));
    note(notes, run_teardown(l, NULL));
    struct loop *other = loop_new(0);
    note(notes, loop_run_forever(other, NULL));
    note(notes, run_teardown(other, NULL));
    loop_free(other);
    loop_stop(l);
}

static void a_running_loop_is_not_run_or_closed(void **state)
{
    static const long expected[] = {ERROR_CLOSE_RUNNING, 0, ERROR_RUNNING, ERROR_RUNNING,
                                    ERROR_NESTED_RUN,    0, ERROR_RUNNING, ERROR_OTHER_RUNNING,
                                    ERROR_OTHER_RUNNING};
    struct notes n = {.count = 0};
    (void)state;
    struct loop *l = loop_new(0);
    struct task *t = loop_create_task(l, hang, &n, NULL);
    (void)loop_call_soon(l, close_it, &n);
    assert_int_equal(loop_run_forever(l, NULL), 0);
    assert_false(task_done(t)); /* a refused teardown cancels nobody */
    assert_int_equal(task_cancelling(t), 0);
    task_unref(t);
    assert_int_equal(run_teardown(l, NULL), 0);
    loop_free(l);
    assert_int_equal(n.count, 10); /* the last one is hang's */
    for (int i = 0; i < 9; i++)
        assert_int_equal(n.seen[i], expected[i]);
}

static void *run_it_too(void *l)
{
    return (void *)(intptr_t)loop_run_forever(l, NULL);
}

static void run_elsewhere(void *notes)
{
    pthread_t t;
    void *code = NULL;
    (void)pthread_create(&t, NULL, run_it_too, loop_running());
    (void)pthread_join(t, &code);
    note(notes, (long)(intptr_t)code);
    loop_stop(loop_running());
}

static void a_loop_is_run_by_one_thread(void **state)
{
    struct notes n = {.count = 0};
    (void)state;
    struct loop *l = loop_new(0);
    (void)loop_call_soon(l, run_elsewhere, &n);
    assert_int_equal(loop_run_forever(l, NULL), 0);
    assert_int_equal(n.seen[0], ERROR_RUNNING);
    loop_free(l);
}

static void free_running_loop(void *arg)
{
    (void)arg;
    loop_free(loop_running());
}

static void run_and_free(void *arg)
{
    struct loop *l = loop_new(0);
    (void)loop_call_soon(l, free_running_loop, arg);
    (void)loop_run_forever(l, NULL);
}

static int no_shutdown(struct loop_part *p, struct err *e)
{
    (void)p, (void)e;
    return 0;
}

static void no_close(struct loop_part *p)
{
    (void)p;
}

static struct loop_part part = {.shutdown = no_shutdown, .close = no_close};

static void add_part_twice(void *arg)
{
    (void)arg;
    struct loop *l = loop_new(0);
    loop_add_part(l, &part);
    loop_add_part(l, &part);
}

static struct loop *closed_loop(void)
{
    struct loop *l = loop_new(0);
    (void)loop_close(l, NULL);
    return l;
}

static void add_part_late(void *arg)
{
    (void)arg;
    loop_add_part(closed_loop(), &part);
}

static void run_item(struct loop_item *i)
{
    (void)i;
}

static const struct loop_item_ops item_ops = {run_item, run_item};
static struct loop_item item = {.ops = &item_ops};

static void interrupt_without_an_error(void *arg)
{
    (void)arg;
    loop_interrupt(loop_new(0), 0);
}

static void raise_nothing(void *arg)
{
    (void)arg;
    (void)loop_raise(1, "one");
}

static void what_ends_a_loop_wrongly_ends_the_process(void **state)
{
    (void)state;
    check_end(run_and_free, NULL, "fatal: loop_free: Cannot close a running event loop");
    check_end(add_part_twice, NULL, "fatal: loop_add_part: the loop has this part already");
    check_end(add_part_late, NULL, "fatal: loop_add_part: the loop is closed");
    check_end(interrupt_without_an_error, NULL, "fatal: loop_interrupt: 0 is no error code");
    check_end(raise_nothing, NULL, "fatal: loop_raise: 1 is no error code");
}

static void never(struct loop_job *job, int code, void *result, const struct err *e)
{
    (void)job, (void)code, (void)result, (void)e;
}

static void a_closed_loop_takes_nothing(void **state)
{
    struct err e;
    struct loop_job job = {.fn = give_at_once, .done = never};
    (void)state;
    struct loop *l = loop_new(0);
    struct future *f = loop_create_future(l);
    struct loop *other = loop_new(0);
    assert_int_equal(loop_run_until_complete(other, f, NULL, &e), ERROR_OTHER_LOOP);
    loop_free(other);
    assert_int_equal(loop_close(l, &e), 0);
    assert_int_equal(loop_close(l, &e), 0);
    assert_true(loop_is_closed(l));
    assert_int_equal(loop_run_forever(l, &e), ERROR_CLOSED);
    assert_string_equal(e.text, "Event loop is closed");
    assert_int_equal(loop_run_until_complete(l, f, NULL, &e), ERROR_CLOSED);
    assert_int_equal(loop_run_coroutine(l, give_at_once, NULL, NULL, &e), ERROR_CLOSED);
    assert_null(loop_call_soon(l, nothing, NULL));
    assert_int_equal(errno, -ERROR_CLOSED);
    assert_null(loop_call_later(l, 1, nothing, NULL));
    assert_int_equal(errno, -ERROR_CLOSED);
    assert_null(loop_call_at(l, 1, nothing, NULL));
    assert_int_equal(errno, -ERROR_CLOSED);
    assert_int_equal(loop_call_soon_threadsafe(l, nothing, NULL), ERROR_CLOSED);
    assert_int_equal(loop_post(l, &item), ERROR_CLOSED);
    assert_int_equal(loop_submit(l, &job), ERROR_CLOSED);
    assert_null(run_coroutine_threadsafe(l, give_at_once, NULL, "name"));
    assert_int_equal(errno, -ERROR_CLOSED);
    assert_null(loop_create_task(l, give_at_once, NULL, NULL));
    assert_int_equal(errno, -ERROR_CLOSED);
    assert_null(shield(f));
    assert_int_equal(errno, -ERROR_CLOSED);
    assert_null(future_gather(&f, 1, 0));
    assert_int_equal(errno, -ERROR_CLOSED);
    assert_null(as_completed_new(&f, 1, -1));
    assert_int_equal(errno, -ERROR_CLOSED);
    assert_int_equal(loop_add_reader(l, 0, nothing, NULL, &e), ERROR_CLOSED);
    assert_int_equal(loop_add_writer(l, 0, nothing, NULL, &e), ERROR_CLOSED);
    assert_false(loop_remove_reader(l, 0));
    assert_null(loop_ev(l));
    assert_int_equal(run_teardown(l, &e), 0);
    future_unref(f);
    loop_free(l);
}

/* -- coroutine objects -- */

static int resume_itself(void *coro, void **ret_result, struct err *e)
{
    return coro_resume(*(struct coro **)coro, ret_result, e);
}

static int yield_once(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    return coro_yield(e);
}

struct elsewhere {
    struct coro *coro;
    int code;
    struct err err;
};

static void *resume_elsewhere(void *arg)
{
    struct elsewhere *x = arg;
    x->code = coro_resume(x->coro, NULL, &x->err);
    return NULL;
}

static void free_itself(void *arg)
{
    coro_free(arg);
}

static int free_the_running(void *coro, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    free_itself(*(struct coro **)coro);
    return 0;
}

static void resume_what_frees_itself(void *arg)
{
    struct coro *c;
    (void)arg;
    c = coro_new(free_the_running, &c);
    (void)coro_resume(c, NULL, NULL);
}

static void a_coroutine_runs_once_and_on_one_thread(void **state)
{
    struct err e;
    pthread_t t;
    (void)state;
    struct coro *self = coro_new(resume_itself, &self);
    assert_int_equal(coro_resume(self, NULL, &e), -EINVAL);
    assert_string_equal(e.text, "coroutine already executing");
    assert_int_equal(coro_resume(self, NULL, &e), ERROR_REUSED);
    assert_string_equal(e.text, "cannot reuse already awaited coroutine");
    assert_int_equal(coro_await(self, NULL, NULL), ERROR_REUSED);
    coro_free(self);
    struct elsewhere x = {.coro = coro_new(yield_once, NULL)};
    assert_int_equal(coro_resume(x.coro, NULL, NULL), 1);
    assert_int_equal(pthread_create(&t, NULL, resume_elsewhere, &x), 0);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_int_equal(x.code, ERROR_RUNTIME);
    assert_string_equal(x.err.text, "a coroutine goes on only on the thread it began on");
    assert_int_equal(coro_await(x.coro, NULL, NULL), ERROR_REUSED);
    assert_int_equal(coro_resume(x.coro, NULL, NULL), 0);
    coro_free(x.coro);
    assert_int_equal(coro_yield(&e), ERROR_RUNTIME);
    check_end(resume_what_frees_itself, NULL, "fatal: coro_free: the coroutine is running");
}

static int await_by_hand(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result;
    if (task_current())
        return 1;
    int r = future_await(arg, NULL, e);
    return r == ERROR_NO_TASK ? task_sleep(0) : r;
}

static void await_in_callout(void *code)
{
    *(int *)code = task_sleep(0);
}

static int by_hand_main(void *notes, void **ret_result, struct err *e)
{
    int code = 0;
    struct future *f = loop_create_future(loop_running());
    struct coro *c = coro_new(await_by_hand, f);
    note(notes, coro_resume(c, ret_result, e));
    callout(await_in_callout, &code);
    note(notes, code);
    note(notes, task_wrap(c, NULL) ? 0 : -errno);
    note(notes, task_sleep(0)); /* the task itself may still await */
    coro_free(c);
    future_unref(f);
    return 0;
}

static void what_runs_on_another_stack_than_the_tasks_does_not_await(void **state)
{
    (void)state;
    EXPECT(by_hand_main, ERROR_NO_TASK, ERROR_NO_TASK, ERROR_REUSED, 0);
}

static void awaited_twice_is_told(void **state)
{
    struct err e;
    void *out = NULL;
    coro_fn fn;
    (void)state;
    struct coro *c = coro_new(give_at_once, BOX(7));
    assert_int_equal(coro_await(c, &out, &e), 0);
    assert_ptr_equal(out, BOX(7));
    assert_int_equal(coro_await(c, &out, &e), ERROR_REUSED);
    assert_string_equal(e.text, "cannot reuse already awaited coroutine");
    assert_int_equal(coro_consume(c, &fn, &out, &e), ERROR_REUSED);
    assert_int_equal(coro_resume(c, &out, &e), ERROR_REUSED);
    coro_free(c);
}

/* -- futures -- */

static void fail_without_an_error(void *arg)
{
    (void)arg;
    (void)future_set_error(loop_create_future(loop_new(0)), 0, "fine");
}

static void fail_with_no_errors_error(void *arg)
{
    (void)arg;
    struct future *f = loop_create_future(loop_new(0));
    (void)future_set_exception(f, error_new(0, "fine", NULL));
}

static void cfail_without_an_error(void *arg)
{
    (void)arg;
    (void)cfuture_set_exception(cfuture_new(), 5, NULL);
}

static void own_a_gathers_result(void *arg)
{
    (void)arg;
    struct future *f = loop_create_future(loop_new(0));
    future_own_result(future_gather(&f, 1, 0), nothing);
}

static void own_a_shields_result(void *arg)
{
    (void)arg;
    future_own_result(shield(loop_create_future(loop_new(0))), nothing);
}

static void an_error_has_a_code_and_a_result_one_owner(void **state)
{
    static const char *const mine = "future_own_result: what a gather or a shield gives";
    (void)state;
    check_end(fail_without_an_error, NULL, "fatal: future_set_error: 0 is no error code");
    check_end(fail_with_no_errors_error, NULL, "fatal: future_set_exception: 0 is no error code");
    check_end(cfail_without_an_error, NULL, "fatal: cfuture_set_exception: 5 is no error code");
    check_end(own_a_gathers_result, NULL, mine);
    check_end(own_a_shields_result, NULL, mine);
}

static void a_concurrent_future_is_completed_once(void **state)
{
    struct err e;
    (void)state;
    struct cfuture *f = cfuture_new();
    assert_true(cfuture_set_running(f));
    assert_false(cfuture_set_running(f));
    assert_false(cfuture_cancel(f));
    assert_int_equal(cfuture_set_result(f, BOX(1)), 0);
    assert_int_equal(cfuture_set_result(f, BOX(2)), ERROR_INVALID_STATE);
    assert_int_equal(cfuture_set_exception(f, -EINVAL, error_new(-EINVAL, "late", NULL)),
                     ERROR_INVALID_STATE);
    assert_false(cfuture_set_running(f));
    assert_false(cfuture_cancel(f));
    assert_int_equal(cfuture_result(f, INT64_MAX, NULL, &e), 0);
    cfuture_unref(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_running_loop_is_not_run_or_closed),
        cmocka_unit_test(a_loop_is_run_by_one_thread),
        cmocka_unit_test(what_ends_a_loop_wrongly_ends_the_process),
        cmocka_unit_test(a_closed_loop_takes_nothing),
        cmocka_unit_test(a_coroutine_runs_once_and_on_one_thread),
        cmocka_unit_test(what_runs_on_another_stack_than_the_tasks_does_not_await),
        cmocka_unit_test(awaited_twice_is_told),
        cmocka_unit_test(an_error_has_a_code_and_a_result_one_owner),
        cmocka_unit_test(a_concurrent_future_is_completed_once),
    };
    return cmocka_run_group_tests_name("misuse: order", tests, NULL, NULL);
}
