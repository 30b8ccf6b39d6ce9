/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
/* Executors: shut down, left by their loop, shared, without memory. */
#include "tests/unit/executor_jobs.h"

/* -- shutdown -- */
static int shut_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new(2);
    (void)ret_result;
    executor_shutdown(x, true, false); /* no thread has been started */
    note(n, end_of(run_in_executor(x, answer, NULL), NULL, e));
    note(n, end_of(run_in_executor(NULL, answer, NULL), NULL, e));
    note(n, loop_shutdown_default_executor(loop_running(), e));
    note(n, end_of(run_in_executor(NULL, answer, NULL), NULL, e));
    note(n, to_thread(answer, NULL, NULL, e));
    note(n, loop_set_default_executor(loop_running(), x));
    note(n, loop_shutdown_default_executor(loop_running(), e));
    close_pool(x);
    struct loop *other = loop_new(0);
    note(n, loop_shutdown_default_executor(other, e));
    other = loop_free(other);
    return 0;
}

static void after_the_shutdown_nothing_is_taken(void **state)
{
    struct executor *x = executor_new(0);
    struct executor_work w;
    struct loop *l = loop_new(0);
    struct err e;
    (void)state;
    EXPECT(shut_main, ERROR_RUNTIME, 0, 0, ERROR_EXECUTOR_SHUTDOWN, ERROR_EXECUTOR_SHUTDOWN,
           ERROR_EXECUTOR_SHUTDOWN, 0, ERROR_OTHER_LOOP);
    executor_shutdown(x, false, false);
    assert_int_equal(executor_submit(x, &w, &e), ERROR_RUNTIME);
    assert_string_equal(e.text, "cannot schedule new futures after shutdown");
    (void)loop_close(l, NULL);
    assert_int_equal(loop_set_default_executor(l, x), ERROR_CLOSED);
    assert_int_equal(loop_shutdown_default_executor(l, &e), ERROR_CLOSED);
    assert_string_equal(e.text, "Event loop is closed");
    loop_free(l);
    executor_unref(x);
}

static int queued_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new(1);
    struct door d;
    void *v = NULL;
    (void)ret_result;
    door_init(&d);
    struct future *f = run_in_executor(x, through, &d), *g = run_in_executor(x, answer, BOX(8));
    executor_unref(x); /* the last reference: no shutdown that waits, and no job is lost */
    (void)sem_post(&d.open);
    note(n, end_of(f, NULL, e));
    note(n, end_of(g, &v, e));
    note(n, (intptr_t)v);
    return 0;
}

static void what_was_taken_is_run_after_the_last_reference_has_gone(void **state)
{
    (void)state;
    EXPECT(queued_main, 0, 0, 8);
}

static int shut_in_task(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    return loop_shutdown_default_executor(loop_running(), e);
}

static int cancelled_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new(1);
    struct door d;
    (void)ret_result;
    door_init(&d);
    struct future *f = run_in_executor(x, through, &d), *g = run_in_executor(x, through, &d),
                  *h = run_in_executor(x, through, &d);
    pass(&d.begun);
    (void)future_cancel(h); /* by its own side before */
    executor_shutdown(x, false, true);
    note(n, future_done(g)); /* not before the loop hears of it */
    note(n, end_of(g, NULL, e));
    note(n, end_of(h, NULL, e));
    (void)sem_post(&d.open);
    note(n, end_of(f, NULL, e));
    close_pool(x);
    note(n, atomic_load(&d.ended));
    return turns(2);
}

static int closed_main(void *x, void **ret_result, struct err *e)
{
    struct door d;
    (void)ret_result, (void)e;
    door_init(&d);
    future_unref(run_in_executor(x, through, &d));
    future_unref(run_in_executor(x, answer, NULL));
    pass(&d.begun);
    executor_shutdown(x, false, true);
    (void)sem_post(&d.open);
    executor_shutdown(x, true, false);
    return 0; /* the loop is closed before it has heard of either */
}

static void a_shutdown_may_cancel_what_is_queued(void **state)
{
    struct executor *x = executor_new(1);
    (void)state;
    EXPECT(cancelled_main, false, -ECANCELED, -ECANCELED, 0, 1);
    assert_int_equal(run(closed_main, x, NULL, NULL), 0);
    executor_unref(x);
}

static int default_main(void *n, void **ret_result, struct err *e)
{
    struct door d;
    (void)ret_result;
    door_init(&d);
    struct future *job = run_in_executor(NULL, through, &d), *a = start(shut_in_task, NULL),
                  *b = start(shut_in_task, NULL);
    note(n, turns(3));
    note(n, future_done(a) || future_done(b));
    (void)sem_post(&d.open);
    note(n, end_of(a, NULL, e));
    note(n, end_of(b, NULL, e));
    note(n, turns(2));
    note(n, future_done(job));
    future_unref(job);
    return 0;
}

static void two_tasks_may_shut_the_default_executor_down(void **state)
{
    (void)state;
    EXPECT(default_main, 0, false, 0, 0, 0, true);
}

static void open_door(void *d)
{
    (void)sem_post(&((struct door *)d)->open);
}

static int cut_main(void *n, void **ret_result, struct err *e)
{
    struct door d;
    (void)ret_result;
    door_init(&d);
    struct future *job = run_in_executor(NULL, through, &d), *a = start(shut_in_task, NULL);
    note(n, turns(2));
    (void)loop_call_soon(loop_running(), open_door, &d); /* ahead of the task's turn */
    note(n, future_cancel(a));
    note(n, end_of(a, NULL, e));
    note(n, atomic_load(&d.ended));
    note(n, end_of(job, NULL, e));
    return turns(2);
}

static void a_cancelled_shutdown_waits_for_the_jobs_all_the_same(void **state)
{
    (void)state;
    EXPECT(cut_main, 0, true, -ECANCELED, 1, 0);
}

/* -- the end of the loop -- */
enum moment { JOB_RUNS, JOB_HAS_ENDED, JOB_IS_QUEUED, JOB_WAS_CANCELLED, MOMENTS };

struct late {
    struct executor *x;
    unsigned threads;
    struct door door, other;
    enum moment moment;
    struct future *f;
};

static int wait_for_job(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result;
    return to_thread(through, arg, NULL, e);
}

static int leave_main(void *arg, void **ret_result, struct err *e)
{
    struct late *p = arg;
    (void)ret_result, (void)e;
    (void)loop_set_default_executor(loop_running(), p->x);
    if (p->moment == JOB_IS_QUEUED) {
        future_unref(run_in_executor(p->x, through, &p->other));
        pass(&p->other.begun);
    }
    p->f = run_in_executor(p->x, through, &p->door);
    future_unref(start(wait_for_job, &p->door));
    future_unref(start(shut_in_task, NULL));
    int r = turns(2);
    for (unsigned n = 0; p->moment != JOB_IS_QUEUED && n < p->threads; n++)
        pass(&p->door.begun); /* of two threads each has one of the two jobs */
    if (p->moment == JOB_WAS_CANCELLED)
        (void)future_cancel(p->f);
    if (p->moment == JOB_HAS_ENDED) {
        (void)sem_post(&p->door.open), (void)sem_post(&p->door.open);
        executor_shutdown(p->x, true, false);
    }
    return r;
}

static void leave_loop(enum moment moment, unsigned threads, bool keep)
{
    struct late p = {.x = executor_new(threads), .threads = threads, .moment = moment};
    struct loop *l = loop_new(0);
    struct lost lost = {.count = 0};
    door_init(&p.door);
    door_init(&p.other);
    loop_set_exception_handler(l, note_lost, &lost);
    assert_int_equal(loop_run_coroutine(l, leave_main, &p, NULL, NULL), 0);
    if (!keep)
        future_unref(p.f);
    loop_free(l);
    (void)sem_post(&p.door.open), (void)sem_post(&p.door.open), (void)sem_post(&p.other.open);
    close_pool(p.x);
    assert_int_equal(p.door.ended, 2); /* also without a loop they run to their end */
    if (keep) {
        bool done = moment == JOB_HAS_ENDED || moment == JOB_WAS_CANCELLED;
        assert_int_equal(future_done(p.f), done);
        future_unref(p.f);
    }
}

static void a_loop_may_be_closed_while_jobs_are_under_way(void **state)
{
    (void)state;
    for (enum moment m = JOB_RUNS; m < MOMENTS; m++)
        for (unsigned threads = 1; threads <= 2; threads++) {
            leave_loop(m, threads, false);
            leave_loop(m, threads, true);
        }
}

static int brief_main(void *x, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    for (int i = 0; i < 8; i++)
        future_unref(run_in_executor(x, answer, NULL));
    return 0;
}

static void jobs_that_end_while_the_loop_is_closed_are_freed_once(void **state)
{
    struct executor *x = executor_new(2);
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct loop *l = loop_new(0);
        assert_int_equal(loop_run_coroutine(l, brief_main, x, NULL, NULL), 0);
        loop_free(l);
    }
    close_pool(x);
}

/* -- loops on several threads share a pool -- */
static int share_main(void *x, void **ret_result, struct err *e)
{
    int r = 0;
    for (int i = 0; i < 100 && r == 0; i++) {
        struct future *f = run_in_executor(x, answer, BOX(1)), *g = run_in_executor(x, answer, f);
        (void)future_cancel(i % 2 ? f : g);
        (void)end_of(f, NULL, NULL);
        r = end_of(g, ret_result, e);
        r = i % 2 || r != -ECANCELED ? r : 0;
    }
    return r;
}

struct sharer {
    struct executor *x;
    int code;
};

static void *share_thread(void *arg)
{
    struct sharer *s = arg;
    s->code = run(share_main, s->x, NULL, NULL);
    return NULL;
}

static void loops_share_a_pool(void **state)
{
    struct executor *x = executor_new(2);
    struct sharer s[3];
    pthread_t id[COUNT(s)];
    (void)state;
    for (size_t i = 0; i < COUNT(s); i++) {
        s[i] = (struct sharer){.x = x, .code = -1};
        assert_int_equal(pthread_create(&id[i], NULL, share_thread, &s[i]), 0);
    }
    for (size_t i = 0; i < COUNT(s); i++) {
        (void)pthread_join(id[i], NULL);
        assert_int_equal(s[i].code, 0);
    }
    close_pool(x);
}

/* -- memory -- */
static int oom_body(void *arg, void **ret_result, struct err *e)
{
    struct executor *x = executor_new(1);
    (void)arg, (void)ret_result;
    if (!x)
        return -errno;
    int r = loop_set_default_executor(loop_running(), x);
    if (r == 0)
        r = end_of(run_in_executor(x, answer, NULL), NULL, e);
    if (r == 0 && end_of(run_in_executor(x, fail_at_once, NULL), NULL, e) != -EINVAL)
        r = -ENOMEM;
    if (r == 0)
        r = to_thread(answer, NULL, NULL, e);
    if (r == 0)
        r = loop_shutdown_default_executor(loop_running(), e);
    executor_unref(x);
    return r;
}

static int oom_default_body(void *arg, void **ret_result, struct err *e)
{
    (void)arg;
    return to_thread(answer, NULL, ret_result, e);
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    check_each_allocation(oom_body);
    check_each_allocation(oom_default_body);
}

int main(void)
{
    const struct CMUnitTest ends[] = {
        cmocka_unit_test(after_the_shutdown_nothing_is_taken),
        cmocka_unit_test(what_was_taken_is_run_after_the_last_reference_has_gone),
        cmocka_unit_test(a_shutdown_may_cancel_what_is_queued),
        cmocka_unit_test(two_tasks_may_shut_the_default_executor_down),
        cmocka_unit_test(a_cancelled_shutdown_waits_for_the_jobs_all_the_same),
        cmocka_unit_test(a_loop_may_be_closed_while_jobs_are_under_way),
        cmocka_unit_test(jobs_that_end_while_the_loop_is_closed_are_freed_once),
        cmocka_unit_test(loops_share_a_pool),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("executor: ends", ends, NULL, NULL);
}
