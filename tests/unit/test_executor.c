/* LDFLAGS: -Wl,--wrap=pthread_create */
/* Executors: their threads, and what becomes of a call. */
#include "tests/unit/executor_jobs.h"

#include <time.h>

#include "worker/runtime/context.h"
#include "worker/runtime/internal.h"

static atomic_bool no_threads; /* pthread_create fails */

int __real_pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg);

int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
    return atomic_load(&no_threads) ? EAGAIN : __real_pthread_create(id, attr, fn, arg);
}

/* -- threads -- */
struct numbered {
    struct notes *notes;
    int number;
};

static int note_number(void *arg, void **ret_result, struct err *e)
{
    const struct numbered *j = arg;
    (void)ret_result, (void)e;
    note(j->notes, j->number); /* there is one thread */
    return 0;
}

static int order_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new(1);
    struct numbered jobs[12];
    struct future *f[COUNT(jobs)];
    (void)ret_result;
    for (size_t i = 0; i < COUNT(jobs); i++) {
        jobs[i] = (struct numbered){n, (int)i};
        f[i] = run_in_executor(x, note_number, &jobs[i]);
    }
    for (size_t i = 0; i < COUNT(jobs); i++)
        (void)end_of(f[i], NULL, e);
    close_pool(x);
    return 0;
}

static void one_thread_runs_jobs_in_the_order_of_submission(void **state)
{
    (void)state;
    EXPECT(order_main, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
}

struct crowd {
    pthread_barrier_t three;
    atomic_int now, most;
};

static int meet(void *arg, void **ret_result, struct err *e)
{
    struct crowd *c = arg;
    (void)ret_result, (void)e;
    int now = atomic_fetch_add(&c->now, 1) + 1, most = atomic_load(&c->most);
    while (now > most && !atomic_compare_exchange_weak(&c->most, &most, now))
        ;
    (void)pthread_barrier_wait(&c->three);
    atomic_fetch_sub(&c->now, 1);
    (void)pthread_barrier_wait(&c->three);
    return 0;
}

static int bound_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new(3);
    struct crowd c = {.now = 0};
    struct future *f[12];
    (void)ret_result;
    (void)pthread_barrier_init(&c.three, NULL, 3);
    for (size_t i = 0; i < COUNT(f); i++)
        f[i] = run_in_executor(x, meet, &c);
    for (size_t i = 0; i < COUNT(f); i++)
        (void)end_of(f[i], NULL, e);
    close_pool(x);
    (void)pthread_barrier_destroy(&c.three);
    note(n, c.most);
    return 0;
}

static void as_many_threads_run_as_are_allowed_and_no_more(void **state)
{
    (void)state;
    EXPECT(bound_main, 3);
}

/* A busy thread hands a job in, which wakes the idle one, and is back first to take it itself. */
struct theft {
    struct executor *x;
    struct executor_work first, second, left, right;
    sem_t done, here[2];
    atomic_int met;
};

static void steal(struct executor_work *w)
{
    struct theft *t = CONTAINER_OF(w, struct theft, first);
    (void)executor_submit(t->x, &t->second, NULL);
}

static void stolen(struct executor_work *w)
{
    (void)sem_post(&CONTAINER_OF(w, struct theft, second)->done);
}

static void rendezvous(struct theft *t, int mine)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20; /* reached only where the other job never starts */
    (void)sem_post(&t->here[mine]);
    if (sem_timedwait(&t->here[!mine], &until) == 0)
        atomic_fetch_add(&t->met, 1);
    (void)sem_post(&t->done);
}

static void go_left(struct executor_work *w)
{
    rendezvous(CONTAINER_OF(w, struct theft, left), 0);
}

static void go_right(struct executor_work *w)
{
    rendezvous(CONTAINER_OF(w, struct theft, right), 1);
}

static void a_thread_whose_job_was_taken_by_another_is_woken_again(void **state)
{
    struct theft t = {.x = executor_new(2), .first.run = steal, .second.run = stolen};
    int rounds = 0;
    (void)state;
    t.left.run = go_left;
    t.right.run = go_right;
    (void)sem_init(&t.done, 0, 0);
    (void)sem_init(&t.here[0], 0, 0);
    (void)sem_init(&t.here[1], 0, 0);
    for (; rounds < 100 && atomic_load(&t.met) == 2 * rounds; rounds++) {
        (void)executor_submit(t.x, &t.left, NULL);
        (void)executor_submit(t.x, &t.right, NULL);
        pass(&t.done), pass(&t.done);
        (void)executor_submit(t.x, &t.first, NULL);
        pass(&t.done);
    }
    close_pool(t.x);
    assert_int_equal(t.met, 200);
}

static void without_any_thread_a_job_is_refused(void **state)
{
    struct executor *x = executor_new(2);
    struct theft t = {.x = x, .second.run = stolen};
    struct err e;
    (void)state;
    (void)sem_init(&t.done, 0, 0);
    atomic_store(&no_threads, true);
    int refused = executor_submit(x, &t.second, &e);
    atomic_store(&no_threads, false);
    assert_int_equal(refused, -EAGAIN);
    assert_string_equal(e.text, "no thread can be started: Resource temporarily unavailable");
    assert_int_equal(executor_submit(x, &t.second, &e), 0);
    pass(&t.done);
    close_pool(x);
}

static int crowded_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new(2);
    struct door d;
    (void)ret_result;
    door_init(&d);
    atomic_store(&no_threads, true);
    note(n, end_of(run_in_executor(x, through, &d), NULL, e));
    atomic_store(&no_threads, false);
    struct future *f = run_in_executor(x, through, &d);
    pass(&d.begun);
    atomic_store(&no_threads, true); /* the second waits for the one thread there is */
    struct future *g = run_in_executor(x, through, &d);
    atomic_store(&no_threads, false);
    (void)sem_post(&d.open), (void)sem_post(&d.open);
    note(n, end_of(f, NULL, e));
    note(n, end_of(g, NULL, e));
    close_pool(x);
    return 0;
}

static void one_thread_is_enough_where_no_more_can_be_started(void **state)
{
    (void)state;
    EXPECT(crowded_main, -EAGAIN, 0, 0);
}

static int unbounded_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new(EXECUTOR_AS_NEEDED);
    struct door d;
    (void)ret_result;
    door_init(&d);
    struct future *f = run_in_executor(x, through, &d);
    pass(&d.begun);
    atomic_store(&no_threads, true);
    struct future *refused = run_in_executor(x, through, &d);
    note(n, refused ? 0 : -errno);
    atomic_store(&no_threads, false);
    struct future *g = run_in_executor(x, through, &d);
    pass(&d.begun); /* beside the first one */
    for (int i = 0; i < 3; i++)
        (void)sem_post(&d.open);
    note(n, end_of(f, NULL, e));
    note(n, end_of(g, NULL, e));
    future_unref(refused);
    close_pool(x);
    return 0;
}

static void with_threads_as_needed_no_job_waits_for_one(void **state)
{
    (void)state;
    EXPECT(unbounded_main, -EAGAIN, 0, 0);
}

/* -- calls -- */
static int before_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new(1);
    struct door d;
    struct numbered never = {n, 99};
    void *v = NULL;
    (void)ret_result;
    door_init(&d);
    struct future *f = run_in_executor(x, through, &d),
                  *g = run_in_executor(x, note_number, &never);
    pass(&d.begun);
    note(n, future_cancel(g));
    note(n, end_of(g, NULL, e));
    note(n, turns(2)); /* the news reaches the pool before the door opens */
    (void)sem_post(&d.open);
    note(n, end_of(f, &v, e));
    note(n, (intptr_t)v);
    close_pool(x);
    return 0;
}

static void a_job_cancelled_before_its_start_never_runs(void **state)
{
    (void)state;
    EXPECT(before_main, true, -ECANCELED, 0, 0, 7);
}

static int after_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new(1);
    struct door d;
    (void)ret_result;
    door_init(&d);
    struct future *f = run_in_executor(x, through, &d);
    pass(&d.begun);
    note(n, future_cancel(f));
    note(n, end_of(f, NULL, e));
    note(n, atomic_load(&d.ended));
    (void)sem_post(&d.open);
    note(n, end_of(run_in_executor(x, answer, NULL), NULL, e)); /* behind it on the same thread */
    note(n, atomic_load(&d.ended));
    close_pool(x);
    return turns(2);
}

static void a_job_cancelled_after_its_start_runs_to_its_end(void **state)
{
    (void)state;
    EXPECT(after_main, true, -ECANCELED, 0, 0, 1);
}

static int fail_with_code(void *code, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    return (int)(intptr_t)code;
}

static int errors_main(void *arg, void **ret_result, struct err *e)
{
    struct err *seen = arg;
    struct executor *x = executor_new(1);
    (void)ret_result, (void)e;
    (void)end_of(run_in_executor(x, fail_at_once, BOX(3)), NULL, &seen[0]);
    (void)end_of(run_in_executor(x, fail_with_code, BOX(ERROR_ZERO_DIVISION)), NULL, &seen[1]);
    (void)to_thread(fail_with_code, BOX(-EIO), NULL, &seen[2]);
    seen[3].code = end_of(run_in_executor(x, fail_with_code, BOX(5)), NULL, NULL);
    close_pool(x);
    return 0;
}

static void errors_cross_with_their_code_and_sentence(void **state)
{
    struct err seen[4];
    (void)state;
    assert_int_equal(run(errors_main, seen, NULL, NULL), 0);
    assert_int_equal(seen[0].code, -EINVAL);
    assert_string_equal(seen[0].text, "bad 3");
    assert_int_equal(seen[1].code, ERROR_ZERO_DIVISION);
    assert_string_equal(seen[1].text, "division by zero");
    assert_int_equal(seen[2].code, -EIO);
    assert_string_equal(seen[2].text, "Input/output error");
    assert_int_equal(seen[3].code, 0); /* as a coroutine's */
}

static const struct context_var who = {"who", BOX(-1)};

static int read_and_set(void *arg, void **ret_result, struct err *e)
{
    (void)e;
    *ret_result = context_get(&who);
    return context_set(&who, arg);
}

static int context_main(void *n, void **ret_result, struct err *e)
{
    void *v = NULL;
    (void)ret_result;
    (void)context_set(&who, BOX(1));
    note(n, to_thread(read_and_set, BOX(2), &v, e));
    note(n, (intptr_t)v);
    note(n, end_of(run_in_executor(NULL, read_and_set, BOX(3)), &v, e));
    note(n, (intptr_t)v);
    note(n, (intptr_t)context_get(&who));
    return 0;
}

static void only_to_thread_takes_a_copy_of_the_context_along(void **state)
{
    (void)state;
    EXPECT(context_main, 0, 1, 0, -1, 1);
}

static void call_from_callback(void *arg)
{
    struct notes *n = arg;
    struct numbered never = {n, 99};
    note(n, to_thread(note_number, &never, NULL, NULL));
    note(n, loop_shutdown_default_executor(loop_running(), NULL));
}

static int callback_main(void *n, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    (void)loop_call_soon(loop_running(), call_from_callback, n);
    return turns(2);
}

static void waiting_for_a_thread_takes_a_task(void **state)
{
    struct err e;
    (void)state;
    EXPECT(callback_main, ERROR_NO_TASK, ERROR_NO_TASK);
    assert_null(run_in_executor(NULL, answer, NULL));
    assert_int_equal(errno, -ERROR_NO_LOOP);
    assert_int_equal(to_thread(answer, NULL, NULL, &e), ERROR_NO_LOOP);
    assert_string_equal(e.text, "no running event loop");
}

int main(void)
{
    const struct CMUnitTest threads[] = {
        cmocka_unit_test(one_thread_runs_jobs_in_the_order_of_submission),
        cmocka_unit_test(as_many_threads_run_as_are_allowed_and_no_more),
        cmocka_unit_test(a_thread_whose_job_was_taken_by_another_is_woken_again),
        cmocka_unit_test(without_any_thread_a_job_is_refused),
        cmocka_unit_test(one_thread_is_enough_where_no_more_can_be_started),
        cmocka_unit_test(with_threads_as_needed_no_job_waits_for_one),
    };
    const struct CMUnitTest calls[] = {
        cmocka_unit_test(a_job_cancelled_before_its_start_never_runs),
        cmocka_unit_test(a_job_cancelled_after_its_start_runs_to_its_end),
        cmocka_unit_test(errors_cross_with_their_code_and_sentence),
        cmocka_unit_test(only_to_thread_takes_a_copy_of_the_context_along),
        cmocka_unit_test(waiting_for_a_thread_takes_a_task),
    };
    int failed = cmocka_run_group_tests_name("executor: threads", threads, NULL, NULL);
    return failed + cmocka_run_group_tests_name("executor: calls", calls, NULL, NULL);
}
