/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
/* Memory that runs out, for what no module's own test tries: each allocation fails in its turn, and
 * then all that follow as well. The caller gets -ENOMEM, nothing leaks, nobody hangs. */
#include "tests/unit/combine.h"
#include "tests/unit/sockets.h"

#include "worker/runtime/aqueue.h"
#include "worker/runtime/as_completed.h"
#include "worker/runtime/cfuture.h"
#include "worker/runtime/condition.h"
#include "worker/runtime/context.h"
#include "worker/runtime/executor.h"
#include "worker/runtime/semaphore.h"
#include "worker/runtime/timeout.h"
#include "worker/runtime/watch_fd.h"

/* -- in a task -- */

struct room { /* for the tasks of one play; static, so that a dropped task leaves nothing behind */
    struct lock lock;
    struct condition condition;
    struct event event;
    struct semaphore semaphore;
    bool ready;
} room;

static void furnish(void)
{
    lock_init(&room.lock);
    condition_init(&room.condition, &room.lock);
    event_init(&room.event);
    semaphore_init(&room.semaphore, 1);
    room.ready = false;
}

static int await_event(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    return event_wait(&room.event, e);
}

static int take_semaphore(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    int r = semaphore_acquire(&room.semaphore, e);
    if (r == 0)
        r = semaphore_release(&room.semaphore, e);
    return r;
}

static bool is_ready(void *arg)
{
    (void)arg;
    return room.ready;
}

static int await_condition(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    int r = lock_acquire(&room.lock, e);
    if (r == 0)
        r = condition_wait_for(&room.condition, is_ready, NULL, e);
    return r == 0 ? lock_release(&room.lock, e) : r;
}

static void set_event(void)
{
    event_set(&room.event);
}

static void release_semaphore(void)
{
    (void)semaphore_release(&room.semaphore, NULL);
}

/* The waiter has the lock again only once this task has given it up. */
static void notify(void)
{
    room.ready = true;
    (void)lock_acquire(&room.lock, NULL);
    (void)condition_notify_all(&room.condition, NULL);
    (void)turns(2);
    (void)lock_release(&room.lock, NULL);
}

/* Notes what `body` comes to, which waits until `go`, and that nothing was allocated meanwhile. */
static void with_waiter(struct notes *n, coro_fn body, void (*go)(void))
{
    struct future *f = start(body, NULL);
    oom_arm(1);
    (void)turns(3);
    go();
    note(n, future_await(f, NULL, NULL));
    note(n, oom_disarm());
    future_unref(f);
}

static int rows_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result;
    furnish();
    with_waiter(n, await_event, set_event);
    note(n, semaphore_acquire(&room.semaphore, e));
    with_waiter(n, take_semaphore, release_semaphore);
    with_waiter(n, await_condition, notify);
    return 0;
}

static void who_waits_in_a_row_needs_no_memory(void **state)
{
    (void)state;
    EXPECT(rows_main, 0, false, 0, 0, false, 0, false);
}

struct putter {
    struct aqueue *queue;
    struct task *getter; /* cancelled where no more will come */
};

static int put_items(void *putter, void **ret_result, struct err *e)
{
    struct putter *p = putter;
    int r = 0;
    (void)ret_result;
    for (int i = 0; i < 20 && r == 0; i++)
        r = aqueue_put(p->queue, BOX(i), e);
    if (r == -ENOMEM)
        (void)task_cancel(p->getter);
    return r;
}

/* The putter waits for a place, the getter for an item, the last for the end of all. */
static int queue(void *arg, void **ret_result, struct err *e)
{
    void *item;
    (void)arg, (void)ret_result;
    struct aqueue *q = aqueue_new(10);
    struct putter p = {q, task_current()};
    struct future *f = q ? start(put_items, &p) : NULL;
    int r = f ? turns(2) : -errno;
    for (int i = 0; i < 20 && r == 0; i++) {
        r = aqueue_get(q, &item, e);
        if (r == 0)
            r = aqueue_task_done(q, e);
    }
    if (r == 0)
        r = aqueue_join(q, e);
    if (f) {
        (void)future_cancel(f);
        int s = future_await(f, NULL, e);
        r = s == -ENOMEM ? s : r;
    }
    future_unref(f);
    aqueue_free(q);
    return r;
}

static const struct context_var variables[] = {{"a", NULL}, {"b", NULL}, {"a", NULL}};

static int names_and_contexts(void *arg, void **ret_result, struct err *e)
{
    struct task **all = NULL;
    size_t count = 0;
    (void)arg, (void)ret_result, (void)e;
    int r = 0;
    for (int i = 0; i < 3 && r == 0; i++)
        r = context_set(&variables[i], BOX(i));
    if (r == 0)
        r = task_set_name(task_current(), "named");
    if (r == 0)
        r = task_set_name(task_current(), NULL);
    if (strncmp(task_name(task_current()), "Task", 4) != 0)
        r = -EIO;
    if (r == 0 && (r = task_all(loop_running(), &all, &count)) == 0)
        task_all_free(all, count);
    return r;
}

static int yield_twice(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    int r = coro_yield(e);
    return r < 0 ? r : coro_yield(e);
}

static int objects(void *arg, void **ret_result, struct err *e)
{
    (void)arg;
    struct coro *c = coro_new(yield_twice, NULL);
    if (!c)
        return -errno;
    int r = coro_resume(c, ret_result, e);
    coro_free(c);
    c = r < 0 ? NULL : coro_new(give_at_once, BOX(1));
    if (!c)
        return r < 0 ? r : -errno;
    struct future *f = ensure_future(c);
    r = f ? future_await(f, ret_result, e) : -errno;
    coro_free(c);
    future_unref(f);
    return r;
}

static int limits(void *arg, void **ret_result, struct err *e)
{
    struct timeout t;
    (void)arg, (void)ret_result;
    int r = timeout_enter(&t, 60000, e);
    if (r < 0)
        return r;
    r = timeout_reschedule(&t, timeout_when_ms(&t) + 1000, e);
    if (r == 0)
        r = timeout_reschedule(&t, 0, e); /* over at once */
    if (r == 0)
        r = task_sleep(60000);
    r = timeout_exit(&t, r, e);
    return r == -ETIMEDOUT ? 0 : r;
}

static int outcomes(void *arg, void **ret_result, struct err *e)
{
    struct future *fs[3] = {NULL};
    (void)arg;
    int r = 0;
    for (int i = 0; i < 3 && r == 0; i++)
        if (!(fs[i] = start(give_after_ms, BOX(1))))
            r = -errno;
    struct as_completed *a = r == 0 ? as_completed_new(fs, 3, 60000) : NULL;
    if (r == 0 && !a)
        r = -errno;
    while (r == 0 && as_completed_more(a))
        r = as_completed_next(a, NULL, ret_result, e);
    as_completed_free(a);
    for (int i = 0; i < 3; i++) {
        if (fs[i])
            (void)future_cancel(fs[i]);
        future_unref(fs[i]);
    }
    return r;
}

static void count_and_remove(void *arg)
{
    int *fd = arg;
    (void)loop_remove_reader(loop_running(), *fd);
    *fd = -1;
}

static int descriptors(void *arg, void **ret_result, struct err *e)
{
    int ends[2];
    (void)arg, (void)ret_result;
    if (open_pair(ends) < 0)
        return -errno;
    int fd = ends[0];
    int r = put(ends[1], "x") == 1 ? loop_add_reader(loop_running(), fd, count_and_remove, &fd, e)
                                   : -EIO;
    while (r == 0 && fd >= 0)
        r = task_sleep(0);
    close_pair(ends);
    return r;
}

static int executor_answer(void *arg, void **ret_result, struct err *e)
{
    (void)e;
    *ret_result = arg;
    return 0;
}

static int threads(void *arg, void **ret_result, struct err *e)
{
    (void)arg;
    struct executor *x = executor_new(2);
    if (!x)
        return -errno;
    struct future *f = loop_run_in_executor(loop_running(), x, executor_answer, BOX(1));
    int r = f ? future_await(f, ret_result, e) : -errno;
    future_unref(f);
    executor_unref(x);
    return r;
}

static void each_allocation_may_fail_in_a_task(void **state)
{
    (void)state;
    check_each_allocation(queue);
    check_each_allocation(names_and_contexts);
    check_each_allocation(objects);
    check_each_allocation(limits);
    check_each_allocation(outcomes);
    check_each_allocation(descriptors);
    check_each_allocation(threads);
}

/* -- from the loop's beginning to its end -- */

static int tidy_up(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    (void)task_sleep(60000);
    return task_sleep(1); /* a clean-up that awaits */
}

static int fail_at_the_end(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    (void)task_sleep(60000);
    return err_set(e, -EINVAL, "at the end");
}

/* Leaves tasks that clean up, and threads, to the end of the loop. */
static int leave_things(void *arg, void **ret_result, struct err *e)
{
    struct lost *lost = arg;
    loop_set_exception_handler(loop_running(), note_lost, lost);
    int r = task_spawn(tidy_up, NULL, "tidy");
    if (r == 0)
        r = task_spawn(fail_at_the_end, NULL, NULL);
    if (r == 0)
        r = to_thread(executor_answer, BOX(1), ret_result, e);
    return r;
}

static int play_run(struct err *e)
{
    struct lost lost = {.count = 0};
    int r = run(leave_things, &lost, NULL, e);
    return r == 0 && lost.count != 1 ? -EIO : r;
}

static void stop(struct cfuture *f, void *l)
{
    (void)f;
    loop_stop(l);
}

static int play_submission(struct err *e)
{
    struct loop *l = loop_new(0);
    if (!l)
        return -errno;
    struct cfuture *f = run_coroutine_threadsafe(l, give_at_once, BOX(3), "a name");
    int r = f ? cfuture_add_done_callback(f, stop, l) : -errno;
    if (r == 0)
        r = loop_run_forever(l, e);
    if (r == 0)
        r = cfuture_result(f, 0, NULL, e);
    cfuture_unref(f);
    loop_free(l);
    return r;
}

static int play_rest(struct err *e)
{
    static const coro_fn bodies[] = {queue, names_and_contexts, limits, outcomes, descriptors};
    int r = 0;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0] && r == 0; i++)
        r = run(bodies[i], NULL, NULL, e);
    return r;
}

/* `play` again and again, each time without one more allocation; with `all`, without any from there
 * on: then whoever is under way has to come to an end too. */
static void check_play(int (*play)(struct err *e), bool all)
{
    bool failed = true;
    unsigned n = 0;
    int r = 0;
    while (failed) {
        struct err e = {.code = 0};
        oom_arm_all(++n, all);
        r = play(&e);
        failed = oom_disarm();
        if (r != 0)
            assert_int_equal(r, -ENOMEM);
    }
    assert_int_equal(r, 0);
    assert_true(n > 8);
}

static void each_allocation_may_fail_up_to_the_end(void **state)
{
    (void)state;
    check_play(play_run, false);
    check_play(play_submission, false);
}

static void memory_may_be_gone_for_good(void **state)
{
    (void)state;
    check_play(play_run, true);
    check_play(play_submission, true);
    check_play(play_rest, true);
}

/* -- a job in the caller's storage -- */

static struct {
    struct loop *loop;
    int code;
} ended;

static void job_ended(struct loop_job *job, int code, void *result, const struct err *e)
{
    (void)job, (void)result;
    ended.code = code && e->code == code ? code : 0;
    loop_stop(ended.loop);
}

static int play_job(struct err *e)
{
    struct loop_job job = {.fn = give_at_once, .name = "a job with a name", .done = job_ended};
    ended.loop = loop_new(0);
    if (!ended.loop)
        return -errno;
    int r = loop_submit(ended.loop, &job); /* takes no memory itself */
    if (r == 0)
        r = loop_run_forever(ended.loop, e);
    loop_free(ended.loop);
    return r < 0 ? r : ended.code;
}

static void a_job_that_cannot_start_is_told(void **state)
{
    (void)state;
    check_play(play_job, false);
    check_play(play_job, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_waits_in_a_row_needs_no_memory),
        cmocka_unit_test(each_allocation_may_fail_in_a_task),
        cmocka_unit_test(each_allocation_may_fail_up_to_the_end),
        cmocka_unit_test(a_job_that_cannot_start_is_told),
        cmocka_unit_test(memory_may_be_gone_for_good),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
