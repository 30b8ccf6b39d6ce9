/* NULL where something must be given: each call of the runtime ends the process and names itself.
 */
#include "tests/unit/misuse.h"

#include <errno.h>

#include "worker/runtime/aqueue.h"
#include "worker/runtime/as_completed.h"
#include "worker/runtime/cfuture.h"
#include "worker/runtime/condition.h"
#include "worker/runtime/context.h"
#include "worker/runtime/executor.h"
#include "worker/runtime/gather.h"
#include "worker/runtime/group.h"
#include "worker/runtime/io.h"
#include "worker/runtime/process.h"
#include "worker/runtime/process_pool.h"
#include "worker/runtime/run.h"
#include "worker/runtime/semaphore.h"
#include "worker/runtime/shield.h"
#include "worker/runtime/stream.h"
#include "worker/runtime/timeout.h"
#include "worker/runtime/wait.h"
#include "worker/runtime/watch_fd.h"

static int body(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    return 0;
}

static void call(void *arg)
{
    (void)arg;
}

static struct { /* what is there beside the NULL */
    struct loop *loop;
    struct future *future;
    struct task *task;
    struct cfuture *cfuture;
    struct aqueue *queue;
    struct coro *coro;
    struct condition condition;
    struct lock lock;
    struct loop_job job;
    const char *no_text;
    coro_fn fn;
    void *out;
    size_t n;
} x;

/* function, what is NULL, the call */
#define CALLS(CASE)                                                                      \
    CASE(aqueue_new_priority, "before", aqueue_new_priority(0, NULL))                    \
    CASE(aqueue_put, "q", aqueue_put(NULL, &x, NULL))                                    \
    CASE(aqueue_get, "q", aqueue_get(NULL, &x.out, NULL))                                \
    CASE(aqueue_get, "ret_item", aqueue_get(x.queue, NULL, NULL))                        \
    CASE(aqueue_put_nowait, "q", aqueue_put_nowait(NULL, &x, NULL))                      \
    CASE(aqueue_get_nowait, "q", aqueue_get_nowait(NULL, &x.out, NULL))                  \
    CASE(aqueue_get_nowait, "ret_item", aqueue_get_nowait(x.queue, NULL, NULL))          \
    CASE(aqueue_size, "q", aqueue_size(NULL))                                            \
    CASE(aqueue_empty, "q", aqueue_empty(NULL))                                          \
    CASE(aqueue_full, "q", aqueue_full(NULL))                                            \
    CASE(aqueue_task_done, "q", aqueue_task_done(NULL, NULL))                            \
    CASE(aqueue_join, "q", aqueue_join(NULL, NULL))                                      \
    CASE(as_completed_new, "fs", as_completed_new(NULL, 1, -1))                          \
    CASE(as_completed_more, "a", as_completed_more(NULL))                                \
    CASE(as_completed_next, "a", as_completed_next(NULL, NULL, NULL, NULL))              \
    CASE(run_coroutine_threadsafe, "l", run_coroutine_threadsafe(NULL, body, 0, 0))      \
    CASE(run_coroutine_threadsafe, "fn", run_coroutine_threadsafe(x.loop, NULL, 0, 0))   \
    CASE(cfuture_ref, "f", cfuture_ref(NULL))                                            \
    CASE(cfuture_done, "f", cfuture_done(NULL))                                          \
    CASE(cfuture_cancelled, "f", cfuture_cancelled(NULL))                                \
    CASE(cfuture_running, "f", cfuture_running(NULL))                                    \
    CASE(cfuture_cancel, "f", cfuture_cancel(NULL))                                      \
    CASE(cfuture_result, "f", cfuture_result(NULL, 0, NULL, NULL))                       \
    CASE(cfuture_exception, "f", cfuture_exception(NULL, 0, (void *)&x.out, NULL))       \
    CASE(cfuture_exception, "ret_error", cfuture_exception(x.cfuture, 0, NULL, NULL))    \
    CASE(cfuture_add_done_callback, "f", cfuture_add_done_callback(NULL, (void *)0, 0))  \
    CASE(cfuture_add_done_callback, "fn", cfuture_add_done_callback(x.cfuture, 0, 0))    \
    CASE(cfuture_set_running, "f", cfuture_set_running(NULL))                            \
    CASE(cfuture_set_result, "f", cfuture_set_result(NULL, NULL))                        \
    CASE(cfuture_set_exception, "f", cfuture_set_exception(NULL, -EINVAL, NULL))         \
    CASE(condition_init, "c", (condition_init(NULL, &x.lock), 0))                        \
    CASE(condition_init, "l", (condition_init(&x.condition, NULL), 0))                   \
    CASE(condition_wait, "c", condition_wait(NULL, NULL))                                \
    CASE(condition_wait_for, "c", condition_wait_for(NULL, NULL, NULL, NULL))            \
    CASE(condition_wait_for, "holds", condition_wait_for(&x.condition, 0, 0, 0))         \
    CASE(condition_notify, "c", condition_notify(NULL, 1, NULL))                         \
    CASE(condition_notify_all, "c", condition_notify_all(NULL, NULL))                    \
    CASE(context_get, "v", context_get(NULL))                                            \
    CASE(context_set, "v", context_set(NULL, NULL))                                      \
    CASE(coro_new, "fn", coro_new(NULL, NULL))                                           \
    CASE(coro_await, "c", coro_await(NULL, NULL, NULL))                                  \
    CASE(coro_resume, "c", coro_resume(NULL, NULL, NULL))                                \
    CASE(coro_consume, "c", coro_consume(NULL, NULL, NULL, NULL))                        \
    CASE(coro_consume, "ret_arg", coro_consume(x.coro, &x.fn, NULL, NULL))               \
    CASE(coro_consume, "ret_fn", coro_consume(x.coro, NULL, &x.out, NULL))               \
    CASE(event_init, "v", (event_init(NULL), 0))                                         \
    CASE(event_set, "v", (event_set(NULL), 0))                                           \
    CASE(event_clear, "v", (event_clear(NULL), 0))                                       \
    CASE(event_is_set, "v", event_is_set(NULL))                                          \
    CASE(event_wait, "v", event_wait(NULL, NULL))                                        \
    CASE(loop_create_future, "the loop", loop_create_future(NULL))                       \
    CASE(future_ref, "the future", future_ref(NULL))                                     \
    CASE(future_loop, "f", future_loop(NULL))                                            \
    CASE(future_done, "the future", future_done(NULL))                                   \
    CASE(future_cancelled, "the future", future_cancelled(NULL))                         \
    CASE(future_set_result, "the future", future_set_result(NULL, NULL))                 \
    CASE(future_set_error, "the future", future_set_error(NULL, -EINVAL, "%s", ""))      \
    CASE(future_set_exception, "the future", future_set_exception(NULL, NULL))           \
    CASE(future_own_result, "the future", (future_own_result(NULL, call), 0))            \
    CASE(future_cancel, "the future", future_cancel(NULL))                               \
    CASE(future_result, "the future", future_result(NULL, NULL, NULL))                   \
    CASE(future_exception, "the future", future_exception(NULL, (void *)&x.out, 0))      \
    CASE(future_exception, "ret_error", future_exception(x.future, NULL, NULL))          \
    CASE(future_code, "the future", future_code(NULL))                                   \
    CASE(future_add_done_callback, "the future", future_add_done_callback(NULL, 0, 0))   \
    CASE(future_add_done_callback, "fn", future_add_done_callback(x.future, 0, 0))       \
    CASE(future_remove_done_callback, "the", future_remove_done_callback(NULL, 0, 0))    \
    CASE(future_await, "the future", future_await(NULL, NULL, NULL))                     \
    CASE(future_gather, "fs", future_gather(NULL, 1, 0))                                 \
    CASE(gather_calls, "calls", gather_calls(NULL, 1, 0))                                \
    CASE(group_create_task, "the group", group_create_task(NULL, body, 0, 0, 0, 0))      \
    CASE(group_exit, "the group", group_exit(NULL, 0, NULL))                             \
    CASE(group_errors, "the group", group_errors(NULL))                                  \
    CASE(group_error, "the group", group_error(NULL, 0, NULL))                           \
    CASE(io_close, "the loop", (io_close(NULL, 0), 0))                                   \
    CASE(lock_init, "l", (lock_init(NULL), 0))                                           \
    CASE(lock_acquire, "l", lock_acquire(NULL, NULL))                                    \
    CASE(lock_release, "l", lock_release(NULL, NULL))                                    \
    CASE(lock_locked, "l", lock_locked(NULL))                                            \
    CASE(loop_ref, "l", loop_ref(NULL))                                                  \
    CASE(loop_close, "l", loop_close(NULL, NULL))                                        \
    CASE(loop_is_closed, "l", loop_is_closed(NULL))                                      \
    CASE(loop_is_running, "l", loop_is_running(NULL))                                    \
    CASE(loop_ev, "the loop", loop_ev(NULL))                                             \
    CASE(loop_run_forever, "l", loop_run_forever(NULL, NULL))                            \
    CASE(loop_run_until_complete, "l", loop_run_until_complete(NULL, x.future, 0, 0))    \
    CASE(loop_run_until_complete, "f", loop_run_until_complete(x.loop, NULL, 0, 0))      \
    CASE(loop_run_coroutine, "l", loop_run_coroutine(NULL, body, 0, 0, 0))               \
    CASE(loop_run_coroutine, "fn", loop_run_coroutine(x.loop, NULL, 0, 0, 0))            \
    CASE(loop_stop, "the loop", (loop_stop(NULL), 0))                                    \
    CASE(loop_interrupt, "the loop", (loop_interrupt(NULL, -EINVAL), 0))                 \
    CASE(loop_call_soon, "the loop", loop_call_soon(NULL, call, NULL))                   \
    CASE(loop_call_soon, "fn", loop_call_soon(x.loop, NULL, NULL))                       \
    CASE(loop_call_later, "the loop", loop_call_later(NULL, 0, call, NULL))              \
    CASE(loop_call_later, "fn", loop_call_later(x.loop, 0, NULL, NULL))                  \
    CASE(loop_call_at, "the loop", loop_call_at(NULL, 0, call, NULL))                    \
    CASE(loop_call_at, "fn", loop_call_at(x.loop, 0, NULL, NULL))                        \
    CASE(handle_cancel, "h", (handle_cancel(NULL), 0))                                   \
    CASE(handle_cancelled, "h", handle_cancelled(NULL))                                  \
    CASE(handle_ref, "h", handle_ref(NULL))                                              \
    CASE(loop_call_soon_threadsafe, "l", loop_call_soon_threadsafe(NULL, call, 0))       \
    CASE(loop_call_soon_threadsafe, "fn", loop_call_soon_threadsafe(x.loop, 0, 0))       \
    CASE(loop_post, "l", loop_post(NULL, &x.job.item))                                   \
    CASE(loop_post, "i", loop_post(x.loop, NULL))                                        \
    CASE(loop_submit, "l", loop_submit(NULL, &x.job))                                    \
    CASE(loop_submit, "job", loop_submit(x.loop, NULL))                                  \
    CASE(loop_submit, "job->fn", loop_submit(x.loop, &x.job))                            \
    CASE(loop_submit, "job->done", (x.job.fn = body, loop_submit(x.loop, &x.job)))       \
    CASE(loop_set_exception_handler, "the", (loop_set_exception_handler(0, 0, 0), 0))    \
    CASE(loop_call_exception_handler, "r", (loop_call_exception_handler(x.loop, 0), 0))  \
    CASE(loop_default_exception_handler, "r", (loop_default_exception_handler(0, 0), 0)) \
    CASE(loop_raise, "fmt", loop_raise(-EINVAL, x.no_text, 0))                           \
    CASE(future_set_error, "fmt", future_set_error(x.future, -EINVAL, x.no_text, 0))     \
    CASE(loop_set_debug, "the loop", (loop_set_debug(NULL, 1), 0))                       \
    CASE(loop_add_part, "the loop", (loop_add_part(NULL, NULL), 0))                      \
    CASE(loop_add_part, "p", (loop_add_part(x.loop, NULL), 0))                           \
    CASE(task_all, "the loop", task_all(NULL, (void *)&x.out, &x.n))                     \
    CASE(task_all, "ret_tasks", task_all(x.loop, NULL, &x.n))                            \
    CASE(task_all, "ret_count", task_all(x.loop, (void *)&x.out, NULL))                  \
    CASE(process_spawn, "argv", process_spawn(NULL, NULL, 0, NULL))                      \
    CASE(process_start, "o", process_start(NULL, NULL))                                  \
    CASE(process_start, "o->argv", process_start(&(struct process_options){0}, NULL))    \
    CASE(process_await_end, "p", process_await_end(NULL, -1, NULL))                      \
    CASE(process_has_ended, "p", process_has_ended(NULL))                                \
    CASE(process_pid, "p", process_pid(NULL))                                            \
    CASE(process_take_pipe, "p", process_take_pipe(NULL, 0))                             \
    CASE(process_signal, "p", process_signal(NULL, 0))                                   \
    CASE(process_wait, "p", process_wait(NULL, -1, (void *)&x.out, NULL))                \
    CASE(process_leave, "p", process_leave(NULL))                                        \
    CASE(process_join, "p", process_join(NULL, NULL))                                    \
    CASE(process_pidfd, "p", process_pidfd(NULL))                                        \
    CASE(executor_ref, "x", executor_ref(NULL))                                          \
    CASE(executor_shutdown, "x", (executor_shutdown(NULL, false, false), 0))             \
    CASE(loop_run_in_executor, "fn", run_in_executor(NULL, NULL, NULL))                  \
    CASE(run_in_executor_taking, "fn", run_in_executor_taking(NULL, NULL, NULL, NULL))   \
    CASE(to_thread, "fn", to_thread(NULL, NULL, NULL, NULL))                             \
    CASE(loop_set_default_executor, "the loop", loop_set_default_executor(NULL, NULL))   \
    CASE(loop_set_default_executor, "x", loop_set_default_executor(x.loop, NULL))        \
    CASE(loop_shutdown_default_executor, "the", loop_shutdown_default_executor(0, 0))    \
    CASE(run_in_process, "name", run_in_process(NULL, NULL, NULL, 0, NULL))              \
    CASE(run_in_process, "arg", run_in_process(NULL, "", NULL, 1, NULL))                 \
    CASE(process_pool_child, "functions", (process_pool_child(0, NULL, NULL), 0))        \
    CASE(run, "fn", run(NULL, NULL, NULL, NULL))                                         \
    CASE(run_teardown, "l", run_teardown(NULL, NULL))                                    \
    CASE(semaphore_init, "s", (semaphore_init(NULL, 1), 0))                              \
    CASE(semaphore_init_bounded, "s", semaphore_init_bounded(NULL, 1, NULL))             \
    CASE(semaphore_acquire, "s", semaphore_acquire(NULL, NULL))                          \
    CASE(semaphore_release, "s", semaphore_release(NULL, NULL))                          \
    CASE(semaphore_locked, "s", semaphore_locked(NULL))                                  \
    CASE(stream_fd, "s", stream_fd(NULL))                                                \
    CASE(stream_read, "s", stream_read(NULL, &x, 1, -1, NULL))                           \
    CASE(stream_read_exactly, "s", stream_read_exactly(NULL, &x, 1, -1, NULL))           \
    CASE(stream_read_until, "s", stream_read_until(NULL, "", (void *)&x, &x.n, 0, 0))    \
    CASE(stream_write, "s", stream_write(NULL, &x, 1, -1, NULL))                         \
    CASE(loop_create_task, "the loop", loop_create_task(NULL, body, NULL, NULL))         \
    CASE(loop_create_task, "fn", loop_create_task(x.loop, NULL, NULL, NULL))             \
    CASE(task_wrap, "c", task_wrap(NULL, NULL))                                          \
    CASE(task_ensure, "the task", task_ensure(NULL))                                     \
    CASE(task_ref, "the task", task_ref(NULL))                                           \
    CASE(task_future, "the task", task_future(NULL))                                     \
    CASE(task_of, "f", task_of(NULL))                                                    \
    CASE(task_name, "the task", task_name(NULL))                                         \
    CASE(task_set_name, "the task", task_set_name(NULL, "name"))                         \
    CASE(task_done, "the task", task_done(NULL))                                         \
    CASE(task_cancelled, "the task", task_cancelled(NULL))                               \
    CASE(task_cancel, "the task", task_cancel(NULL))                                     \
    CASE(future_cancel_because, "why", future_cancel_because(x.future, x.no_text))       \
    CASE(future_cancel_because, "the future", future_cancel_because(NULL, "why"))        \
    CASE(task_cancel_because, "the task", task_cancel_because(NULL, "why"))              \
    CASE(task_cancelling, "the task", task_cancelling(NULL))                             \
    CASE(task_uncancel, "the task", task_uncancel(NULL))                                 \
    CASE(task_result, "the task", task_result(NULL, NULL, NULL))                         \
    CASE(task_await, "the task", task_await(NULL, NULL, NULL))                           \
    CASE(timeout_enter, "t", timeout_enter(NULL, 0, NULL))                               \
    CASE(timeout_enter_at, "t", timeout_enter_at(NULL, 0, NULL))                         \
    CASE(timeout_exit, "t", timeout_exit(NULL, 0, NULL))                                 \
    CASE(timeout_reschedule, "t", timeout_reschedule(NULL, 0, NULL))                     \
    CASE(timeout_when_ms, "t", timeout_when_ms(NULL))                                    \
    CASE(timeout_expired, "t", timeout_expired(NULL))                                    \
    CASE(future_wait, "fs", future_wait(NULL, 1, 0, 0, &x.n, &x.n, NULL))                \
    CASE(future_wait, "ret_done", future_wait(&x.future, 1, 0, 0, NULL, &x.n, NULL))     \
    CASE(future_wait, "ret_pending", future_wait(&x.future, 1, 0, 0, &x.n, NULL, NULL))  \
    CASE(loop_add_reader, "the loop", loop_add_reader(NULL, 0, call, NULL, NULL))        \
    CASE(loop_add_reader, "fn", loop_add_reader(x.loop, 0, NULL, NULL, NULL))            \
    CASE(loop_add_writer, "fn", loop_add_writer(x.loop, 0, NULL, NULL, NULL))            \
    CASE(loop_remove_reader, "the loop", loop_remove_reader(NULL, 0))                    \
    CASE(loop_remove_writer, "the loop", loop_remove_writer(NULL, 0))

static const char *const sentences[] = {
#define SENTENCE(function, what, call) #function ": " what,
    CALLS(SENTENCE)};

#define COUNT (sizeof sentences / sizeof sentences[0])

static void make_call(void *number)
{
    size_t n = *(size_t *)number, at = 0;
#define MAKE(function, what, call) \
    if (n == at++)                 \
        (void)(call);
    CALLS(MAKE)
}

static int begin(void **state)
{
    (void)state;
    x.loop = loop_new(0);
    x.future = loop_create_future(x.loop);
    x.cfuture = cfuture_new();
    x.queue = aqueue_new(0);
    x.coro = coro_new(body, NULL);
    lock_init(&x.lock);
    condition_init(&x.condition, &x.lock);
    return 0;
}

static int end(void **state)
{
    (void)state;
    x.coro = coro_free(x.coro);
    x.queue = aqueue_free(x.queue);
    cfuture_unref(x.cfuture);
    future_unref(x.future);
    x.loop = loop_free(x.loop);
    return 0;
}

static void null_ends_the_process_and_names_the_call(void **state)
{
    (void)state;
    for (size_t n = 0; n < COUNT; n++)
        check_end(make_call, &n, sentences[n]);
}

/* What goes in the place of an object that was never made. */
static void who_gives_back_may_give_null(void **state)
{
    (void)state;
    assert_null(aqueue_free(NULL));
    assert_null(as_completed_free(NULL));
    assert_null(coro_free(NULL));
    assert_null(group_free(NULL));
    assert_null(loop_free(NULL));
    assert_null(process_free(NULL));
    assert_null(stream_free(NULL));
    cfuture_unref(NULL);
    context_unref(NULL);
    error_unref(NULL);
    executor_unref(NULL);
    future_unref(NULL);
    handle_unref(NULL);
    loop_unref(NULL);
    task_unref(NULL);
    task_all_free(NULL, 0);
    io_close(x.loop, -1);
}

static void null_among_futures_is_an_error_of_type(void **state)
{
    struct future *none = NULL;
    (void)state;
    assert_null(future_gather(&none, 1, 0));
    assert_int_equal(errno, -ERROR_TYPE);
    assert_null(as_completed_new(&none, 1, -1));
    assert_int_equal(errno, -ERROR_TYPE);
    assert_null(shield(NULL));
    assert_int_equal(errno, -ERROR_TYPE);
    assert_int_equal(future_set_exception(x.future, NULL), ERROR_TYPE);
    assert_false(future_done(x.future));
}

static void an_error_without_a_text_has_an_empty_one(void **state)
{
    (void)state;
    struct error *e = error_new(-EINVAL, NULL, NULL);
    assert_string_equal(error_text(e), "");
    assert_int_equal(error_code(e), -EINVAL);
    error_unref(e);
    assert_int_equal(error_code(NULL), 0);
    assert_string_equal(error_text(NULL), "");
    assert_null(error_cause(NULL));
    assert_int_equal(error_set(NULL, -EINVAL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_ends_the_process_and_names_the_call),
        cmocka_unit_test(who_gives_back_may_give_null),
        cmocka_unit_test(null_among_futures_is_an_error_of_type),
        cmocka_unit_test(an_error_without_a_text_has_an_empty_one),
    };
    return cmocka_run_group_tests_name("misuse: NULL", tests, begin, end);
}
