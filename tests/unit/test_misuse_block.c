/* Blocks left twice or by another task, objects given back while a task is in them, rows that two
 * loops share, times beyond all measure. */
#include "tests/unit/misuse.h"

#include "tests/unit/combine.h"
#include "tests/unit/sockets.h"
#include "worker/runtime/aqueue.h"
#include "worker/runtime/as_completed.h"
#include "worker/runtime/fd_table.h"
#include "worker/runtime/group.h"
#include "worker/runtime/lock.h"
#include "worker/runtime/process.h"
#include "worker/runtime/semaphore.h"
#include "worker/runtime/stream.h"
#include "worker/runtime/timeout.h"
#include "worker/runtime/wait.h"

/* Runs a body that ends the process. */
static coro_fn played;

static void play(void *arg)
{
    (void)run(played, arg, NULL, NULL);
}

static void check_body(coro_fn body, const char *sentence)
{
    played = body;
    check_end(play, NULL, sentence);
}

/* -- timeout and group -- */

static int leave_twice(void *arg, void **ret_result, struct err *e)
{
    struct timeout t;
    (void)arg, (void)ret_result;
    (void)timeout_enter(&t, -1, e);
    (void)timeout_exit(&t, 0, e);
    return timeout_exit(&t, 0, e);
}

static int leave_for_another(void *limit, void **ret_result, struct err *e)
{
    (void)ret_result;
    return timeout_exit(limit, 0, e);
}

static int left_by_another(void *arg, void **ret_result, struct err *e)
{
    struct timeout t;
    (void)arg;
    (void)timeout_enter(&t, -1, e);
    return task_await(task_create(leave_for_another, &t, NULL), ret_result, e);
}

static int reschedule_main(void *n, void **ret_result, struct err *e)
{
    struct timeout t;
    (void)ret_result;
    note(n, timeout_enter(&t, 60000, e));
    note(n, timeout_exit(&t, -EIO, e));
    note(n, timeout_reschedule(&t, 1, e));
    note(n, strcmp(e->text, "Cannot change state of finished Timeout"));
    note(n, timeout_expired(&t));
    return 0;
}

static void a_limits_block_is_left_once_by_its_task(void **state)
{
    (void)state;
    EXPECT(reschedule_main, 0, -EIO, ERROR_RUNTIME, 0, 0);
    check_body(leave_twice, "fatal: timeout_exit: the block was left before");
    check_body(left_by_another, "fatal: timeout_exit: by another task");
}

static int leave_group_for_another(void *g, void **ret_result, struct err *e)
{
    (void)ret_result;
    return group_exit(g, 0, e);
}

struct called {
    struct group *group;
    int code;
};

static void leave_group_in_a_callback(void *arg)
{
    struct called *c = arg;
    c->code = group_exit(c->group, 0, NULL);
}

static int group_main(void *n, void **ret_result, struct err *e)
{
    struct called called = {.group = group_new(e)};
    struct group *g = called.group;
    struct task *t = task_create(leave_group_for_another, g, NULL);
    note(n, task_await(t, ret_result, e));
    note(n, strcmp(e->text, "TaskGroup is left by another task than its parent"));
    (void)loop_call_soon(loop_running(), leave_group_in_a_callback, &called);
    note(n, turns(2));
    note(n, called.code);
    (void)err_set(e, -EIO, "broken");
    note(n, group_exit(g, -EIO, e));
    note(n, group_exit(g, 0, e));
    note(n, strcmp(e->text, "TaskGroup has already been left"));
    note(n, group_create_task(g, give_at_once, NULL, NULL, NULL, e));
    note(n, (long)group_errors(g));
    note(n, group_error(g, 5, e));
    task_unref(t);
    group_free(g);
    return 0;
}

static void a_groups_block_is_left_once_by_its_task(void **state)
{
    (void)state;
    EXPECT(group_main, ERROR_RUNTIME, 0, 0, ERROR_NO_TASK, ERROR_GROUP, ERROR_RUNTIME, 0,
           ERROR_RUNTIME, 1, 0);
}

/* -- as_completed -- */

static int next_outcome(void *a, void **ret_result, struct err *e)
{
    return as_completed_next(a, NULL, ret_result, e);
}

static int free_while_waiting(void *arg, void **ret_result, struct err *e)
{
    struct future *f = loop_create_future(loop_running());
    struct as_completed *a = as_completed_new(&f, 1, -1);
    (void)arg, (void)ret_result, (void)e;
    (void)task_create(next_outcome, a, NULL);
    (void)turns(2);
    (void)as_completed_free(a);
    return 0;
}

static void outcomes_are_asked_for_by_tasks(void **state)
{
    (void)state;
    struct loop *l = loop_new(0);
    struct future *f = loop_create_future(l);
    struct as_completed *a = as_completed_new(&f, 1, -1);
    assert_int_equal(as_completed_next(a, NULL, NULL, NULL), ERROR_NO_TASK);
    assert_int_equal(run(next_outcome, a, NULL, NULL), ERROR_OTHER_LOOP);
    assert_true(as_completed_more(a)); /* misuse takes no outcome away */
    as_completed_free(a);
    future_unref(f);
    loop_free(l);
    check_body(free_while_waiting, "fatal: as_completed_free: a task still waits in it");
}

/* -- rows of tasks -- */

static int get_item(void *q, void **ret_result, struct err *e)
{
    return aqueue_get(q, ret_result, e);
}

static int free_queue_while_waiting(void *arg, void **ret_result, struct err *e)
{
    struct aqueue *q = aqueue_new(0);
    (void)arg, (void)ret_result;
    (void)task_create(get_item, q, NULL);
    (void)turns(2);
    (void)aqueue_put_nowait(q, NULL, e); /* it was called, and has not gone on yet */
    (void)aqueue_free(q);
    return 0;
}

static int take_lock(void *l, void **ret_result, struct err *e)
{
    (void)ret_result;
    return lock_acquire(l, e);
}

/* One task holds, one waits; then another loop comes. */
static void a_row_belongs_to_one_loop(void **state)
{
    struct lock lock;
    struct err e;
    (void)state;
    lock_init(&lock);
    struct loop *l = loop_new(0);
    assert_int_equal(lock_acquire(&lock, &e), 0);
    assert_int_equal(lock_acquire(&lock, &e), ERROR_NO_TASK);
    struct task *t = loop_create_task(l, take_lock, &lock, NULL);
    loop_stop(l);
    assert_int_equal(loop_run_forever(l, &e), 0);
    assert_int_equal(run(take_lock, &lock, NULL, &e), ERROR_OTHER_LOOP);
    assert_int_equal(lock_release(&lock, &e), 0);
    assert_int_equal(lock_release(&lock, &e), ERROR_NOT_LOCKED);
    assert_string_equal(e.text, "Lock is not acquired.");
    assert_int_equal(loop_run_until_complete(l, task_future(t), NULL, &e), 0);
    assert_true(lock_locked(&lock));
    task_unref(t);
    loop_free(l);
}

/* A closed loop drops who waits; the row and what it lies in may be used and given back. */
static void a_dropped_task_leaves_its_row(void **state)
{
    struct lock lock;
    struct lost lost = {.count = 0};
    (void)state;
    lock_init(&lock);
    struct aqueue *q = aqueue_new(0);
    struct loop *l = loop_new(0);
    loop_set_exception_handler(l, note_lost, &lost);
    assert_int_equal(lock_acquire(&lock, NULL), 0);
    task_unref(loop_create_task(l, take_lock, &lock, NULL));
    task_unref(loop_create_task(l, get_item, q, NULL));
    task_unref(loop_create_task(l, get_item, q, NULL));
    loop_stop(l);
    assert_int_equal(loop_run_forever(l, NULL), 0);
    assert_int_equal(aqueue_put_nowait(q, NULL, NULL), 0); /* one is called */
    loop_free(l);
    assert_int_equal(lost.count, 3);
    assert_int_equal(lock_release(&lock, NULL), 0);
    assert_int_equal(run(take_lock, &lock, NULL, NULL), 0);
    assert_int_equal(run(get_item, q, NULL, NULL), 0);
    aqueue_free(q);
    check_body(free_queue_while_waiting, "fatal: aqueue_free: a task still waits in the queue");
}

static void semaphores_count_within_bounds(void **state)
{
    struct semaphore s;
    struct err e;
    (void)state;
    assert_int_equal(semaphore_init_bounded(&s, 0, &e), -EINVAL);
    semaphore_init(&s, 0);
    assert_true(semaphore_locked(&s));
    assert_int_equal(semaphore_acquire(&s, &e), ERROR_NO_TASK);
    semaphore_init(&s, UINT32_MAX);
    assert_int_equal(semaphore_release(&s, &e), -EOVERFLOW);
    assert_string_equal(e.text, "Semaphore released too many times");
}

/* -- streams and processes given back while a task is in them -- */

static int read_line(void *s, void **ret_result, struct err *e)
{
    const char *data;
    size_t len;
    (void)ret_result;
    return stream_read_until(s, "\n", &data, &len, -1, e);
}

static int stream_main(void *n, void **ret_result, struct err *e)
{
    int ends[2], other[2];
    note(n, open_pair(ends));
    note(n, open_pair(other));
    note(n, put(other[1], "not yours\n"));
    struct stream *s = stream_new(ends[0], 0);
    struct task *t = task_create(read_line, s, NULL);
    note(n, turns(2));
    /* It is ready, and before the reader's turn comes the number is another file's. */
    fd_side_complete(fd_side_find(loop_running(), ends[0], FD_READ), 0);
    stream_free(s);
    (void)dup2(other[0], ends[0]);
    note(n, task_await(t, ret_result, e));
    close_pair(ends);
    close_pair(other);
    task_unref(t);
    return 0;
}

static void a_stream_may_be_freed_under_its_reader(void **state)
{
    (void)state;
    EXPECT(stream_main, 0, 0, 10, 0, -EBADF);
}

struct kept {
    int ends[2];
    struct stream *stream;
};

static int make_and_read(void *arg, void **ret_result, struct err *e)
{
    struct kept *k = arg;
    k->stream = stream_new(k->ends[0], 0);
    return read_line(k->stream, ret_result, e);
}

static void a_stream_may_be_freed_after_its_loop(void **state)
{
    struct lost lost = {.count = 0};
    struct kept k;
    (void)state;
    assert_int_equal(open_pair(k.ends), 0);
    struct loop *l = loop_new(0);
    loop_set_exception_handler(l, note_lost, &lost);
    task_unref(loop_create_task(l, make_and_read, &k, NULL));
    loop_stop(l);
    assert_int_equal(loop_run_forever(l, NULL), 0);
    loop_free(l);
    assert_int_equal(lost.count, 1);
    stream_free(k.stream);
    (void)close(k.ends[1]);
}

static int wait_process(void *p, void **ret_result, struct err *e)
{
    int status = 0;
    int r = process_wait(p, -1, &status, e);
    *ret_result = BOX(status);
    return r;
}

static int process_main(void *n, void **ret_result, struct err *e)
{
    static const char *const cat[] = {"sleep", "600", NULL}, *const none[] = {NULL};
    void *status = NULL;
    (void)ret_result;
    note(n, process_spawn(none, NULL, 0, e) ? 0 : -errno);
    struct process *p = process_spawn(cat, NULL, 0, e);
    note(n, process_take_pipe(p, 0));
    note(n, process_take_pipe(p, 7));
    note(n, process_take_pipe(p, -1));
    note(n, process_signal(p, 12345));
    struct task *t = task_create(wait_process, p, NULL);
    note(n, turns(2));
    note(n, wait_process(p, &status, e));
    note(n, strcmp(e->text, "another task waits for the process already"));
    process_free(p);
    note(n, task_await(t, &status, e));
    note(n, (long)(intptr_t)status);
    task_unref(t);
    return 0;
}

/* It ends with its standard input: with this process at the latest. */
static struct process *start_cat(void)
{
    static const char *const cat[] = {"cat", NULL};
    return process_spawn(cat, NULL, PROCESS_STDIN, NULL);
}

static int join_twice(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    return process_join(start_cat(), e);
}

static int leave_while_waiting(void *arg, void **ret_result, struct err *e)
{
    struct process *p = start_cat();
    (void)arg, (void)ret_result, (void)e;
    (void)task_create(wait_process, p, NULL);
    (void)turns(2);
    process_leave(p);
    return 0;
}

static void a_process_is_given_back_by_its_loop(void **state)
{
    (void)state;
    check_body(join_twice, "fatal: process_join: the process belongs to a loop already");
    check_body(leave_while_waiting, "fatal: process_leave: a task waits for the process");
    EXPECT(process_main, -EINVAL, -1, -1, -1, -EINVAL, 0, ERROR_RUNTIME, 0, 0, -SIGKILL);
}

/* -- NULL for what a task hands over: each ends the process and names the call -- */

static const char *const null_sentences[] = {"stream_read: to is NULL",
                                             "stream_read_exactly: to is NULL",
                                             "stream_read_until: end is NULL",
                                             "stream_read_until: ret_data is NULL",
                                             "stream_read_until: ret_len is NULL",
                                             "group_create_task: fn is NULL",
                                             "process_wait: ret_status is NULL"};

static int null_calls(void *number, void **ret_result, struct err *e)
{
    static const char *const program[] = {"true", NULL};
    int ends[2];
    const char *data;
    size_t len;
    if (open_pair(ends) < 0)
        return -errno;
    struct stream *s = stream_new(ends[0], 0);
    switch (*(size_t *)number) {
    case 0:
        return (int)stream_read(s, NULL, 1, -1, e);
    case 1:
        return stream_read_exactly(s, NULL, 1, -1, e);
    case 2:
        return stream_read_until(s, NULL, &data, &len, -1, e);
    case 3:
        return stream_read_until(s, "end", NULL, &len, -1, e);
    case 4:
        return stream_read_until(s, "end", &data, NULL, -1, e);
    case 5:
        return group_create_task(group_new(e), NULL, NULL, NULL, NULL, e);
    default:
        return process_wait(process_spawn(program, NULL, 0, e), -1, *ret_result, e);
    }
}

static int null_buffers_main(void *n, void **ret_result, struct err *e)
{
    int ends[2];
    (void)ret_result;
    note(n, open_pair(ends));
    note(n, put(ends[1], "x"));
    note(n, io_read(ends[0], NULL, 1, -1, e));
    note(n, io_write(ends[0], NULL, 1, -1, e));
    note(n, io_read(ends[0], NULL, 0, -1, e));
    close_pair(ends);
    return 0;
}

static void null_ends_the_process_in_a_task_too(void **state)
{
    (void)state;
    played = null_calls;
    for (size_t n = 0; n < sizeof null_sentences / sizeof null_sentences[0]; n++)
        check_end(play, &n, null_sentences[n]);
    EXPECT(null_buffers_main, 0, 1, -EFAULT, -EFAULT, 0);
}

/* -- times -- */

static void bad(void *arg)
{
    (void)arg;
    (void)raise(SIGTRAP);
}

static int times_main(void *n, void **ret_result, struct err *e)
{
    struct loop *l = loop_running();
    struct timeout limit;
    (void)ret_result;
    struct task *t = task_create(give_at_once, NULL, NULL);
    handle_cancel(loop_call_later(l, INT64_MAX, bad, NULL));
    handle_cancel(loop_call_at(l, INT64_MAX, bad, NULL));
    note(n, task_sleep(INT64_MIN));
    note(n, task_sleep_until(INT64_MIN));
    note(n, timeout_enter(&limit, INT64_MAX, e));
    note(n, timeout_when_ms(&limit) == INT64_MAX);
    note(n, task_sleep(1)); /* the loop waits while a far alarm is set */
    note(n, timeout_exit(&limit, 0, e));
    note(n, wait_for(task_future(t), INT64_MAX, NULL, e));
    loop_set_debug(l, INT64_MAX);
    loop_set_debug(l, INT64_MIN);
    task_unref(t);
    t = task_create(hang, NULL, NULL);
    note(n, turns(1));
    note(n, wait_for(task_future(t), 1, NULL, e));
    task_unref(t);
    return 0;
}

static void times_beyond_all_measure_are_far_or_past(void **state)
{
    (void)state;
    EXPECT(times_main, 0, 0, 0, 1, 0, 0, 0, 0, -ETIMEDOUT);
    assert_null(stack_pool_new(SIZE_MAX, 1));
    assert_int_equal(errno, ENOMEM);
    assert_null(loop_new(SIZE_MAX / 256));
    assert_int_equal(errno, ENOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_limits_block_is_left_once_by_its_task),
        cmocka_unit_test(a_groups_block_is_left_once_by_its_task),
        cmocka_unit_test(outcomes_are_asked_for_by_tasks),
        cmocka_unit_test(a_row_belongs_to_one_loop),
        cmocka_unit_test(a_dropped_task_leaves_its_row),
        cmocka_unit_test(semaphores_count_within_bounds),
        cmocka_unit_test(a_stream_may_be_freed_under_its_reader),
        cmocka_unit_test(a_stream_may_be_freed_after_its_loop),
        cmocka_unit_test(a_process_is_given_back_by_its_loop),
        cmocka_unit_test(null_ends_the_process_in_a_task_too),
        cmocka_unit_test(times_beyond_all_measure_are_far_or_past),
    };
    return cmocka_run_group_tests_name("misuse: blocks", tests, NULL, NULL);
}
