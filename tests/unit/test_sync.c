/* What tasks wait for among themselves: lock, event, condition, semaphore, queue. */
#include "tests/unit/combine.h"

#include "worker/runtime/condition.h"
#include "worker/runtime/event.h"
#include "worker/runtime/semaphore.h"

static struct { /* of the play that runs; the notebook too */
    struct notes *notes;
    struct lock lock;
    struct event event;
    struct condition condition;
    struct semaphore semaphore;
} at;

static void begin(void *notes)
{
    memset(&at, 0, sizeof at);
    at.notes = notes;
    lock_init(&at.lock);
    event_init(&at.event);
    condition_init(&at.condition, &at.lock);
}

/* Three tasks with the numbers 1, 2, 3, that have come to where they wait. */
static void start_three(coro_fn fn, struct future **f)
{
    for (int i = 0; i < 3; i++)
        f[i] = start(fn, BOX(i + 1));
    (void)turns(2);
}

static void end_three(struct future **f)
{
    for (int i = 0; i < 3; i++) {
        note(at.notes, future_await(f[i], NULL, NULL));
        future_unref(f[i]);
    }
}

/* -- lock -- */
static int with_lock(void *number, void **ret_result, struct err *e)
{
    (void)ret_result;
    int r = lock_acquire(&at.lock, e);
    if (r < 0)
        return r;
    note(at.notes, (intptr_t)number);
    r = task_sleep(0);
    (void)lock_release(&at.lock, e);
    return r;
}

static int fair_lock_main(void *n, void **ret_result, struct err *e)
{
    struct future *f[3];
    (void)ret_result;
    begin(n);
    (void)lock_acquire(&at.lock, e);
    start_three(with_lock, f);
    (void)lock_release(&at.lock, e);
    note(n, lock_locked(&at.lock));
    note(n, lock_acquire(&at.lock, e)); /* free, but others wait: behind them */
    note(n, 4);
    (void)lock_release(&at.lock, e);
    end_three(f);
    return 0;
}

static void a_lock_goes_to_who_waits_longest(void **state)
{
    (void)state;
    EXPECT(fair_lock_main, false, 1, 2, 3, 0, 4, 0, 0, 0);
}

static int late_lock_main(void *n, void **ret_result, struct err *e)
{
    struct future *f[3];
    (void)ret_result;
    begin(n);
    (void)lock_acquire(&at.lock, e);
    start_three(with_lock, f);
    (void)future_cancel(f[1]);       /* while it waits */
    (void)lock_release(&at.lock, e); /* the turn of the first has come ... */
    (void)future_cancel(f[0]);       /* ... and is given up */
    end_three(f);
    note(n, lock_locked(&at.lock));
    return 0;
}

static void a_cancelled_turn_of_a_lock_goes_to_the_next(void **state)
{
    (void)state;
    EXPECT(late_lock_main, 3, -ECANCELED, -ECANCELED, 0, false);
}

static void misuse_of_a_lock_is_told(void **state)
{
    struct lock l;
    struct err e;
    (void)state;
    lock_init(&l);
    assert_int_equal(lock_release(&l, &e), ERROR_NOT_LOCKED);
    assert_string_equal(e.text, "Lock is not acquired.");
    assert_int_equal(lock_acquire(&l, &e), 0);
    assert_int_equal(lock_acquire(&l, &e), ERROR_NO_TASK);
    assert_string_equal(e.text, "await outside of a task");
    assert_int_equal(lock_release(&l, &e), 0);
    assert_false(lock_locked(&l));
}

/* -- event -- */
static int wait_for_event(void *number, void **ret_result, struct err *e)
{
    (void)ret_result;
    int r = event_wait(&at.event, e);
    if (r == 0)
        note(at.notes, (intptr_t)number);
    return r;
}

static int event_main(void *n, void **ret_result, struct err *e)
{
    struct future *f[3];
    (void)ret_result;
    begin(n);
    start_three(wait_for_event, f);
    (void)future_cancel(f[1]);
    event_set(&at.event);
    event_clear(&at.event); /* who waited goes on all the same */
    end_three(f);
    note(n, event_is_set(&at.event));
    event_set(&at.event);
    note(n, event_wait(&at.event, e));
    return 0;
}

static void an_event_wakes_all_who_wait_in_order(void **state)
{
    struct event v;
    struct err e;
    (void)state;
    EXPECT(event_main, 1, 3, 0, -ECANCELED, 0, false, 0);
    event_init(&v);
    assert_int_equal(event_wait(&v, &e), ERROR_NO_TASK);
}

/* -- condition -- */
static int wait_for_notify(void *number, void **ret_result, struct err *e)
{
    (void)ret_result;
    (void)lock_acquire(&at.lock, e);
    int r = condition_wait(&at.condition, e);
    note(at.notes, r == 0 ? (intptr_t)number : -(intptr_t)number);
    note(at.notes, lock_locked(&at.lock));
    (void)lock_release(&at.lock, NULL);
    return r;
}

static int notify_main(void *n, void **ret_result, struct err *e)
{
    struct future *f[3];
    (void)ret_result;
    begin(n);
    start_three(wait_for_notify, f);
    (void)lock_acquire(&at.lock, e);
    (void)condition_notify(&at.condition, 1, e);
    (void)turns(2);
    note(n, 10); /* nobody goes on before the lock is free */
    (void)lock_release(&at.lock, e);
    (void)turns(3);
    note(n, 11);
    (void)lock_acquire(&at.lock, e);
    (void)condition_notify_all(&at.condition, e);
    (void)lock_release(&at.lock, e);
    end_three(f);
    return 0;
}

static void a_notify_wakes_as_many_as_it_says(void **state)
{
    (void)state;
    EXPECT(notify_main, 10, 1, true, 11, 0, 2, true, 3, true, 0, 0);
}

static int passed_on_main(void *early, void **ret_result, struct err *e)
{
    struct future *f[3];
    struct notes *n = at.notes;
    (void)ret_result;
    begin(n);
    start_three(wait_for_notify, f);
    (void)lock_acquire(&at.lock, e);
    (void)condition_notify(&at.condition, 1, e);
    if (!early)
        (void)turns(2); /* the first stands before the lock again */
    (void)future_cancel(f[0]);
    (void)turns(2);
    (void)lock_release(&at.lock, e);
    (void)turns(4);
    (void)future_cancel(f[2]);
    end_three(f);
    return 0;
}

static int early_main(void *n, void **ret_result, struct err *e)
{
    at.notes = n;
    return passed_on_main(n, ret_result, e);
}

static int late_main(void *n, void **ret_result, struct err *e)
{
    at.notes = n;
    return passed_on_main(NULL, ret_result, e);
}

static void a_notify_of_who_is_cancelled_goes_to_the_next(void **state)
{
    (void)state;
    EXPECT(early_main, -1, true, 2, true, -ECANCELED, 0, -3, true, -ECANCELED);
    EXPECT(late_main, -1, true, 2, true, -ECANCELED, 0, -3, true, -ECANCELED);
}

static bool is_set(void *flag)
{
    return *(bool *)flag;
}

static int wait_for_flag(void *flag, void **ret_result, struct err *e)
{
    (void)ret_result;
    (void)lock_acquire(&at.lock, e);
    int r = condition_wait_for(&at.condition, is_set, flag, e);
    note(at.notes, *(bool *)flag);
    (void)lock_release(&at.lock, NULL);
    return r;
}

static int holds_main(void *n, void **ret_result, struct err *e)
{
    bool flag = false;
    (void)ret_result;
    begin(n);
    struct future *f = start(wait_for_flag, &flag);
    for (int round = 0; round < 2; round++) {
        (void)turns(4);
        note(n, future_done(f));
        (void)lock_acquire(&at.lock, e);
        flag = round == 1;
        (void)condition_notify(&at.condition, 5, e);
        (void)lock_release(&at.lock, e);
    }
    note(n, future_await(f, NULL, e));
    future_unref(f);
    return 0;
}

static void a_wait_for_goes_on_when_its_question_is_answered(void **state)
{
    (void)state;
    EXPECT(holds_main, false, false, true, 0);
}

static void misuse_of_a_condition_is_told(void **state)
{
    struct err e;
    (void)state;
    begin(NULL);
    assert_int_equal(condition_wait(&at.condition, &e), ERROR_RUNTIME);
    assert_string_equal(e.text, "cannot wait on un-acquired lock");
    assert_int_equal(condition_notify_all(&at.condition, &e), ERROR_RUNTIME);
    assert_string_equal(e.text, "cannot notify on un-acquired lock");
    assert_int_equal(lock_acquire(&at.lock, &e), 0);
    assert_int_equal(condition_wait(&at.condition, &e), ERROR_NO_TASK);
    assert_true(lock_locked(&at.lock));
}

/* -- semaphore -- */
static int with_semaphore(void *number, void **ret_result, struct err *e)
{
    (void)ret_result;
    int r = semaphore_acquire(&at.semaphore, e);
    if (r < 0)
        return r;
    note(at.notes, (intptr_t)number);
    r = task_sleep(0);
    (void)semaphore_release(&at.semaphore, e);
    return r;
}

static int fair_semaphore_main(void *n, void **ret_result, struct err *e)
{
    struct future *f[3];
    (void)ret_result;
    begin(n);
    semaphore_init(&at.semaphore, 0);
    start_three(with_semaphore, f);
    (void)semaphore_release(&at.semaphore, e);
    note(n, semaphore_locked(&at.semaphore)); /* it is the first one's already */
    note(n, semaphore_acquire(&at.semaphore, e));
    note(n, 4);
    end_three(f);
    note(n, at.semaphore.value);
    return 0;
}

static void a_semaphore_goes_to_who_waits_longest(void **state)
{
    (void)state;
    EXPECT(fair_semaphore_main, true, 1, 2, 3, 0, 4, 0, 0, 0, 0);
}

static int late_semaphore_main(void *n, void **ret_result, struct err *e)
{
    struct future *f[3];
    (void)ret_result;
    begin(n);
    note(n, semaphore_init_bounded(&at.semaphore, 1, e));
    (void)semaphore_acquire(&at.semaphore, e);
    start_three(with_semaphore, f);
    (void)future_cancel(f[1]);
    (void)semaphore_release(&at.semaphore, e);
    (void)future_cancel(f[0]);
    end_three(f);
    note(n, semaphore_release(&at.semaphore, e)); /* all has come back: that is one too many */
    return 0;
}

static void a_cancelled_turn_of_a_semaphore_goes_to_the_next(void **state)
{
    (void)state;
    EXPECT(late_semaphore_main, 0, 3, -ECANCELED, -ECANCELED, 0, -EINVAL);
}

static void misuse_of_a_semaphore_is_told(void **state)
{
    struct semaphore s;
    struct err e;
    (void)state;
    assert_int_equal(semaphore_init_bounded(&s, 0, &e), -EINVAL);
    assert_string_equal(e.text, "a bounded semaphore begins with at least 1");
    assert_int_equal(semaphore_init_bounded(&s, 1, &e), 0);
    assert_int_equal(semaphore_release(&s, &e), -EINVAL);
    assert_string_equal(e.text, "BoundedSemaphore released too many times");
    assert_int_equal(semaphore_acquire(&s, &e), 0);
    assert_int_equal(semaphore_acquire(&s, &e), ERROR_NO_TASK);
    assert_int_equal(semaphore_release(&s, &e), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lock_goes_to_who_waits_longest),
        cmocka_unit_test(a_cancelled_turn_of_a_lock_goes_to_the_next),
        cmocka_unit_test(misuse_of_a_lock_is_told),
        cmocka_unit_test(an_event_wakes_all_who_wait_in_order),
        cmocka_unit_test(a_notify_wakes_as_many_as_it_says),
        cmocka_unit_test(a_notify_of_who_is_cancelled_goes_to_the_next),
        cmocka_unit_test(a_wait_for_goes_on_when_its_question_is_answered),
        cmocka_unit_test(misuse_of_a_condition_is_told),
        cmocka_unit_test(a_cancelled_turn_of_a_semaphore_goes_to_the_next),
        cmocka_unit_test(a_semaphore_goes_to_who_waits_longest),
        cmocka_unit_test(misuse_of_a_semaphore_is_told),
    };
    return cmocka_run_group_tests_name("sync", tests, NULL, NULL);
}
