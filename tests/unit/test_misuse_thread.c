/* A call on another thread than the loop's, while the loop runs: each ends the process and names
 * itself. What is marked "any thread" is left out. */
#include "tests/unit/misuse.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>

#include "worker/runtime/aqueue.h"
#include "worker/runtime/as_completed.h"
#include "worker/runtime/cfuture.h"
#include "worker/runtime/condition.h"
#include "worker/runtime/event.h"
#include "worker/runtime/executor.h"
#include "worker/runtime/gather.h"
#include "worker/runtime/group.h"
#include "worker/runtime/io.h"
#include "worker/runtime/process.h"
#include "worker/runtime/run.h"
#include "worker/runtime/semaphore.h"
#include "worker/runtime/shield.h"
#include "worker/runtime/stream.h"
#include "worker/runtime/timeout.h"
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

static void done(struct future *f, void *arg)
{
    (void)f, (void)arg;
}

static int handle_report(struct loop *l, const struct loop_report *r, void *arg, struct err *e)
{
    (void)l, (void)r, (void)arg, (void)e;
    return 0;
}

static struct { /* made on the loop's thread, in the child */
    struct loop *loop;
    struct future *future;
    struct task *task;
    struct handle *handle;
    struct as_completed *outcomes;
    struct group *group;
    struct stream *stream;
    struct process *process;
    struct event event; /* the loop has used it, and the three that follow */
    struct condition condition;
    struct lock lock;
    struct semaphore semaphore;
    struct aqueue *queue;
    struct timeout timeout;
    struct loop_report report;
    struct loop_part part;
    struct task **tasks;
    const struct error *error;
    int fds[2], status;
    size_t n;
} x;

/* the function that is named, the call */
#define CALLS(CASE)                                                                        \
    CASE(loop_ev, loop_ev(x.loop))                                                         \
    CASE(loop_stop, (loop_stop(x.loop), 0))                                                \
    CASE(loop_interrupt, (loop_interrupt(x.loop, -EINVAL), 0))                             \
    CASE(loop_call_soon, loop_call_soon(x.loop, call, NULL))                               \
    CASE(loop_call_later, loop_call_later(x.loop, 0, call, NULL))                          \
    CASE(loop_call_at, loop_call_at(x.loop, 0, call, NULL))                                \
    CASE(handle_cancel, (handle_cancel(x.handle), 0))                                      \
    CASE(handle_cancelled, handle_cancelled(x.handle))                                     \
    CASE(handle_ref, handle_ref(x.handle))                                                 \
    CASE(handle_unref, (handle_unref(x.handle), 0))                                        \
    CASE(loop_set_exception_handler, (loop_set_exception_handler(x.loop, NULL, NULL), 0))  \
    CASE(loop_call_exception_handler, (loop_call_exception_handler(x.loop, &x.report), 0)) \
    CASE(loop_set_debug, (loop_set_debug(x.loop, 1), 0))                                   \
    CASE(loop_add_part, (loop_add_part(x.loop, &x.part), 0))                               \
    CASE(task_all, task_all(x.loop, &x.tasks, &x.n))                                       \
    CASE(loop_create_future, loop_create_future(x.loop))                                   \
    CASE(future_ref, future_ref(x.future))                                                 \
    CASE(future_unref, (future_unref(x.future), 0))                                        \
    CASE(future_done, future_done(x.future))                                               \
    CASE(future_cancelled, future_cancelled(x.future))                                     \
    CASE(future_set_result, future_set_result(x.future, NULL))                             \
    CASE(future_set_error, future_set_error(x.future, -EINVAL, "no"))                      \
    CASE(future_set_exception, future_set_exception(x.future, NULL))                       \
    CASE(future_own_result, (future_own_result(x.future, call), 0))                        \
    CASE(future_cancel, future_cancel(x.future))                                           \
    CASE(future_result, future_result(x.future, NULL, NULL))                               \
    CASE(future_exception, future_exception(x.future, &x.error, NULL))                     \
    CASE(future_code, future_code(x.future))                                               \
    CASE(future_add_done_callback, future_add_done_callback(x.future, done, NULL))         \
    CASE(future_remove_done_callback, future_remove_done_callback(x.future, done, NULL))   \
    CASE(future_await, future_await(x.future, NULL, NULL))                                 \
    CASE(loop_create_task, loop_create_task(x.loop, body, NULL, NULL))                     \
    CASE(task_ensure, task_ensure(x.task))                                                 \
    CASE(task_ref, task_ref(x.task))                                                       \
    CASE(future_unref, (task_unref(x.task), 0))                                            \
    CASE(task_future, task_future(x.task))                                                 \
    CASE(task_name, task_name(x.task))                                                     \
    CASE(task_set_name, task_set_name(x.task, "name"))                                     \
    CASE(task_done, task_done(x.task))                                                     \
    CASE(task_cancelled, task_cancelled(x.task))                                           \
    CASE(task_cancel, task_cancel(x.task))                                                 \
    CASE(future_cancel_because, future_cancel_because(x.future, "why"))                    \
    CASE(task_cancel_because, task_cancel_because(x.task, "why"))                          \
    CASE(task_cancelling, task_cancelling(x.task))                                         \
    CASE(task_uncancel, task_uncancel(x.task))                                             \
    CASE(task_result, task_result(x.task, NULL, NULL))                                     \
    CASE(task_await, task_await(x.task, NULL, NULL))                                       \
    CASE(future_gather, future_gather(&x.future, 1, 0))                                    \
    CASE(as_completed_new, as_completed_new(&x.future, 1, -1))                             \
    CASE(as_completed_more, as_completed_more(x.outcomes))                                 \
    CASE(as_completed_next, as_completed_next(x.outcomes, NULL, NULL, NULL))               \
    CASE(as_completed_free, as_completed_free(x.outcomes))                                 \
    CASE(shield, shield(x.future))                                                         \
    CASE(group_create_task, group_create_task(x.group, body, NULL, NULL, NULL, NULL))      \
    CASE(group_errors, group_errors(x.group))                                              \
    CASE(group_error, group_error(x.group, 0, NULL))                                       \
    CASE(group_exit, group_exit(x.group, 0, NULL))                                         \
    CASE(group_free, group_free(x.group))                                                  \
    CASE(timeout_reschedule, timeout_reschedule(&x.timeout, 0, NULL))                      \
    CASE(loop_add_reader, loop_add_reader(x.loop, x.fds[0], call, NULL, NULL))             \
    CASE(loop_add_writer, loop_add_writer(x.loop, x.fds[0], call, NULL, NULL))             \
    CASE(loop_remove_reader, loop_remove_reader(x.loop, x.fds[0]))                         \
    CASE(loop_remove_writer, loop_remove_writer(x.loop, x.fds[0]))                         \
    CASE(io_close, (io_close(x.loop, x.fds[0]), 0))                                        \
    CASE(stream_read, stream_read(x.stream, &x.n, 1, -1, NULL))                            \
    CASE(stream_read_exactly, stream_read_exactly(x.stream, &x.n, 1, -1, NULL))            \
    CASE(stream_read_until, stream_read_until(x.stream, "", (void *)&x.n, &x.n, -1, NULL)) \
    CASE(stream_write, stream_write(x.stream, "", 1, -1, NULL))                            \
    CASE(stream_free, stream_free(x.stream))                                               \
    CASE(process_take_pipe, process_take_pipe(x.process, 0))                               \
    CASE(process_signal, process_signal(x.process, SIGTERM))                               \
    CASE(process_wait, process_wait(x.process, -1, &x.status, NULL))                       \
    CASE(process_await_end, process_await_end(x.process, -1, NULL))                        \
    CASE(process_has_ended, process_has_ended(x.process))                                  \
    CASE(process_leave, (process_leave(x.process), 0))                                     \
    CASE(process_free, process_free(x.process))                                            \
    CASE(run_in_executor, loop_run_in_executor(x.loop, NULL, body, NULL))                  \
    CASE(loop_set_default_executor, loop_set_default_executor(x.loop, NULL))               \
    CASE(loop_shutdown_default_executor, loop_shutdown_default_executor(x.loop, NULL))     \
    CASE(event_set, (event_set(&x.event), 0))                                              \
    CASE(event_clear, (event_clear(&x.event), 0))                                          \
    CASE(event_is_set, event_is_set(&x.event))                                             \
    CASE(lock_locked, lock_locked(&x.lock))                                                \
    CASE(semaphore_locked, semaphore_locked(&x.semaphore))                                 \
    CASE(aqueue_size, aqueue_size(x.queue))                                                \
    CASE(aqueue_empty, aqueue_empty(x.queue))                                              \
    CASE(aqueue_full, aqueue_full(x.queue))                                                \
    CASE(aqueue_free, aqueue_free(x.queue))

#define NAME(function, call) #function ": called from another thread than the loop's",
static const char *const sentences[] = {CALLS(NAME)};

#define COUNT (sizeof sentences / sizeof sentences[0])

static void *make_call(void *number)
{
    size_t n = *(size_t *)number, at = 0;
#define MAKE(function, call) \
    if (n == at++)           \
        (void)(call);
    CALLS(MAKE)
    return NULL;
}

/* Nobody waits in any of them. */
static void use_rows(struct err *e)
{
    event_init(&x.event);
    lock_init(&x.lock);
    condition_init(&x.condition, &x.lock);
    semaphore_init(&x.semaphore, 1);
    x.queue = aqueue_new(0);
    event_set(&x.event);
    (void)lock_acquire(&x.lock, e);
    (void)condition_notify(&x.condition, 1, e);
    (void)semaphore_acquire(&x.semaphore, e);
    (void)aqueue_put(x.queue, NULL, e);
}

/* Everything is there, a task waits, and a thread calls. */
static int call_from_elsewhere(void *number, void **ret_result, struct err *e)
{
    static const char *const program[] = {"true", NULL};
    pthread_t t;
    (void)ret_result;
    x.loop = loop_running();
    x.future = loop_create_future(x.loop);
    x.task = task_create(body, NULL, NULL);
    use_rows(e);
    x.handle = handle_ref(loop_call_later(x.loop, 60000, call, NULL));
    x.outcomes = as_completed_new(&x.future, 1, -1);
    x.group = group_new(e);
    x.process = process_spawn(program, NULL, 0, e);
    (void)timeout_enter(&x.timeout, -1, e);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, x.fds) == 0)
        x.stream = stream_new(x.fds[1], 0);
    x.report = (struct loop_report){.message = "report"};
    loop_set_exception_handler(x.loop, handle_report, NULL);
    int r = task_sleep(0);
    if (pthread_create(&t, NULL, make_call, number) == 0)
        (void)pthread_join(t, NULL);
    return r;
}

static void play(void *number)
{
    (void)run(call_from_elsewhere, number, NULL, NULL);
}

static void each_call_on_another_thread_ends_the_process(void **state)
{
    (void)state;
    for (size_t n = 0; n < COUNT; n++)
        check_end(play, &n, sentences[n]);
}

/* -- what tasks wait for among themselves belongs to the loop that used it last -- */

#define ROW_CALLS 15
static int refused[ROW_CALLS];

static bool never(void *arg)
{
    (void)arg;
    return false;
}

static void *use_rows_elsewhere(void *arg)
{
    int at = 0;
    void *item;
    refused[at++] = lock_acquire(&x.lock, NULL);
    refused[at++] = lock_release(&x.lock, NULL);
    refused[at++] = event_wait(&x.event, NULL);
    refused[at++] = condition_wait(&x.condition, NULL);
    refused[at++] = condition_wait_for(&x.condition, never, NULL, NULL);
    refused[at++] = condition_notify(&x.condition, 1, NULL);
    refused[at++] = condition_notify_all(&x.condition, NULL);
    refused[at++] = semaphore_acquire(&x.semaphore, NULL);
    refused[at++] = semaphore_release(&x.semaphore, NULL);
    refused[at++] = aqueue_put(x.queue, NULL, NULL);
    refused[at++] = aqueue_get(x.queue, &item, NULL);
    refused[at++] = aqueue_put_nowait(x.queue, NULL, NULL);
    refused[at++] = aqueue_get_nowait(x.queue, &item, NULL);
    refused[at++] = aqueue_task_done(x.queue, NULL);
    refused[at++] = aqueue_join(x.queue, NULL);
    return arg;
}

static int rows_main(void *arg, void **ret_result, struct err *e)
{
    pthread_t t;
    (void)ret_result;
    use_rows(e);
    int r = -pthread_create(&t, NULL, use_rows_elsewhere, arg);
    return r < 0 ? r : -pthread_join(t, NULL);
}

static void what_a_loop_uses_is_refused_to_other_threads(void **state)
{
    (void)state;
    assert_int_equal(run(rows_main, NULL, NULL, NULL), 0);
    for (int i = 0; i < ROW_CALLS; i++)
        assert_int_equal(refused[i], ERROR_OTHER_LOOP);
    assert_int_equal(lock_release(&x.lock, NULL), 0); /* that loop runs no more */
    assert_int_equal(aqueue_size(x.queue), 1);
    x.queue = aqueue_free(x.queue);
}

/* -- what needs a running loop or a task says so on any other thread -- */

#define WITHOUT_A_LOOP 21

static struct {
    int code, awaits[WITHOUT_A_LOOP];
    struct loop *loop;
    struct err err;
} seen;

static void *call_without_a_loop(void *arg)
{
    static const char *const program[] = {"true", NULL};
    const struct gather_call calls = {body, NULL};
    struct coro *c = coro_new(body, NULL);
    struct timeout limit;
    struct loop *l = arg;
    int at = 0;
    seen.code = loop_run_forever(l, &seen.err);
    seen.awaits[at++] = task_create(body, NULL, NULL) ? 0 : -errno;
    seen.awaits[at++] = task_spawn(body, NULL, NULL);
    seen.awaits[at++] = task_sleep(1);
    seen.awaits[at++] = task_sleep_until(0);
    seen.awaits[at++] = stream_new(0, 0) ? 0 : -errno;
    seen.awaits[at++] = future_gather(NULL, 0, 0) ? 0 : -errno;
    seen.awaits[at++] = group_new(NULL) ? 0 : -errno;
    seen.awaits[at++] = loop_close(l, NULL);
    seen.awaits[at++] = gather_calls(&calls, 1, 0) ? 0 : -errno;
    seen.awaits[at++] = task_wrap(c, NULL) ? 0 : -errno;
    seen.awaits[at++] = run_in_executor(NULL, body, NULL) ? 0 : -errno;
    seen.awaits[at++] = run_in_executor_taking(NULL, body, NULL, NULL) ? 0 : -errno;
    seen.awaits[at++] = to_thread(body, NULL, NULL, NULL);
    seen.awaits[at++] = process_spawn(program, NULL, 0, NULL) ? 0 : -errno;
    seen.awaits[at++] = timeout_enter(&limit, 1, NULL);
    seen.awaits[at++] = timeout_enter_at(&limit, 1, NULL);
    seen.awaits[at++] = io_wait_readable(0, -1, NULL);
    seen.awaits[at++] = io_wait_writable(0, -1, NULL);
    seen.awaits[at++] = (int)io_read(0, NULL, 0, -1, NULL);
    seen.awaits[at++] = (int)io_write(0, NULL, 0, -1, NULL);
    seen.awaits[at++] = io_connect(0, NULL, 0, -1, NULL);
    (void)coro_free(c);
    seen.loop = loop_running();
    return NULL;
}

static int without_a_loop_main(void *arg, void **ret_result, struct err *e)
{
    pthread_t t;
    (void)arg, (void)ret_result, (void)e;
    if (pthread_create(&t, NULL, call_without_a_loop, loop_running()) != 0)
        return -EAGAIN;
    return -pthread_join(t, NULL);
}

static void a_thread_without_a_loop_is_told(void **state)
{
    static const int expected[WITHOUT_A_LOOP] = {
        ERROR_NO_LOOP, ERROR_NO_LOOP, ERROR_NO_TASK,       ERROR_NO_TASK, ERROR_NO_LOOP,
        ERROR_NO_LOOP, ERROR_NO_TASK, ERROR_CLOSE_RUNNING, ERROR_NO_LOOP, ERROR_NO_LOOP,
        ERROR_NO_LOOP, ERROR_NO_LOOP, ERROR_NO_LOOP,       ERROR_NO_LOOP, ERROR_NO_TASK,
        ERROR_NO_TASK, ERROR_NO_TASK, ERROR_NO_TASK,       ERROR_NO_TASK, ERROR_NO_TASK,
        ERROR_NO_TASK};
    (void)state;
    assert_int_equal(run(without_a_loop_main, NULL, NULL, NULL), 0);
    assert_int_equal(seen.code, ERROR_RUNNING);
    assert_string_equal(seen.err.text, "This event loop is already running");
    for (int i = 0; i < WITHOUT_A_LOOP; i++)
        assert_int_equal(seen.awaits[i], expected[i]);
    assert_null(seen.loop);
}

static void wait_for_oneself(void *arg)
{
    struct cfuture *f = arg;
    (void)cfuture_result(f, -1, NULL, NULL);
}

static void wait_on_own_loop(void *arg)
{
    struct loop *l = loop_new(0);
    (void)arg;
    struct cfuture *f = run_coroutine_threadsafe(l, body, NULL, NULL);
    (void)loop_call_soon(l, wait_for_oneself, f);
    (void)loop_run_forever(l, NULL);
}

static void a_loop_that_waits_for_itself_ends_the_process(void **state)
{
    (void)state;
    struct loop *l = loop_new(0);
    struct cfuture *f = run_coroutine_threadsafe(l, body, NULL, NULL);
    assert_non_null(f);
    assert_int_equal(cfuture_result(f, 0, NULL, NULL), -ETIMEDOUT); /* l does not run */
    loop_free(l);
    assert_true(cfuture_cancelled(f));
    cfuture_unref(f);
    check_end(wait_on_own_loop, NULL, "fatal: cfuture_result: called on the loop's own thread");
}

static int shut_own(void *own, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    executor_shutdown(own, true, false);
    return 0;
}

static int shut_own_main(void *arg, void **ret_result, struct err *e)
{
    struct executor *own = executor_new(1);
    (void)arg;
    return future_await(run_in_executor(own, shut_own, own), ret_result, e);
}

static void run_shut_own(void *arg)
{
    (void)run(shut_own_main, arg, NULL, NULL);
}

static void an_executor_that_waits_for_itself_ends_the_process(void **state)
{
    (void)state;
    check_end(run_shut_own, NULL, "fatal: executor_shutdown: a thread of the executor would wait");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_call_on_another_thread_ends_the_process),
        cmocka_unit_test(what_a_loop_uses_is_refused_to_other_threads),
        cmocka_unit_test(a_thread_without_a_loop_is_told),
        cmocka_unit_test(a_loop_that_waits_for_itself_ends_the_process),
        cmocka_unit_test(an_executor_that_waits_for_itself_ends_the_process),
    };
    return cmocka_run_group_tests_name("misuse: threads", tests, NULL, NULL);
}
