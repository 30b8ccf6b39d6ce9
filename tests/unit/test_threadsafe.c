#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "worker/runtime/cfuture.h"
#include "worker/runtime/run.h"
#include "worker/runtime/task.h"

#define SUBMITTERS 3
#define EACH 2000

struct other {
    struct loop *loop;
    pthread_t thread;
};

static void *run_loop(void *l)
{
    (void)loop_run_forever(l, NULL);
    return NULL;
}

static void stop(void *l)
{
    loop_stop(l);
}

static int setup(void **state)
{
    static struct other o;
    o.loop = loop_new(0);
    *state = &o;
    return o.loop ? -pthread_create(&o.thread, NULL, run_loop, o.loop) : -1;
}

static void join(struct other *o)
{
    assert_int_equal(loop_call_soon_threadsafe(o->loop, stop, o->loop), 0);
    assert_int_equal(pthread_join(o->thread, NULL), 0);
}

static int teardown(void **state)
{
    struct other *o = *state;
    if (!loop_is_closed(o->loop))
        join(o);
    loop_free(o->loop);
    return 0;
}

static int give_back(void *arg, void **ret_result, struct err *e)
{
    (void)e;
    *ret_result = arg;
    return 0;
}

static int fails(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    return err_set(e, -EINVAL, "sorry");
}

enum { STARTED = 1, CANCELLED = 2 };

static int sleeps(void *arg, void **ret_result, struct err *e)
{
    atomic_int *stage = arg;
    (void)ret_result, (void)e;
    if (stage)
        atomic_store(stage, STARTED);
    int r = task_sleep(60000);
    if (stage && r == -ECANCELED)
        atomic_store(stage, CANCELLED);
    return r;
}

static void await_stage(atomic_int *stage, int wanted)
{
    while (atomic_load(stage) != wanted)
        (void)sched_yield();
}

static void a_result_comes_back(void **state)
{
    struct other *o = *state;
    void *v = NULL;
    struct cfuture *f = run_coroutine_threadsafe(o->loop, give_back, o, "giver");
    assert_int_equal(cfuture_result(f, -1, &v, NULL), 0);
    assert_ptr_equal(v, o);
    assert_true(cfuture_done(f));
    assert_false(cfuture_cancel(f));
    assert_false(cfuture_cancelled(f));
    cfuture_unref(f);
}

static void an_error_comes_back(void **state)
{
    struct other *o = *state;
    struct err e;
    const struct error *x = NULL;
    struct cfuture *f = run_coroutine_threadsafe(o->loop, fails, NULL, NULL);
    assert_int_equal(cfuture_result(f, -1, NULL, &e), -EINVAL);
    assert_string_equal(e.text, "sorry");
    assert_int_equal(cfuture_exception(f, 0, &x, NULL), 0);
    assert_int_equal(error_code(x), -EINVAL);
    cfuture_unref(f);
}

static void a_wait_has_a_limit_and_disturbs_nothing(void **state)
{
    struct other *o = *state;
    atomic_int stage = 0;
    struct err e;
    struct cfuture *f = run_coroutine_threadsafe(o->loop, sleeps, &stage, NULL);
    assert_int_equal(cfuture_result(f, 2, NULL, &e), -ETIMEDOUT);
    assert_string_equal(e.text, "");
    assert_false(cfuture_done(f));
    await_stage(&stage, STARTED);
    assert_true(cfuture_cancel(f));
    assert_true(cfuture_cancel(f));
    assert_int_equal(cfuture_result(f, -1, NULL, NULL), -ECANCELED);
    cfuture_unref(f);
    await_stage(&stage, CANCELLED); /* the task is told, too */
}

struct line { /* numbers that one thread submitted, as they arrived */
    struct other *other;
    int id, arrived;
    atomic_bool wrong;
};

struct numbered {
    struct loop_item item; /* first */
    struct line *line;
    int number;
};

static void arrive(struct loop_item *i)
{
    struct numbered *n = (struct numbered *)(void *)i;
    if (n->line->arrived++ != n->number)
        atomic_store(&n->line->wrong, true);
    free(n);
}

static const struct loop_item_ops numbered_ops = {arrive, arrive};

static void *submit_numbers(void *arg)
{
    struct line *line = arg;
    for (int i = 0; i < EACH; i++) {
        struct numbered *n = malloc(sizeof *n);
        *n = (struct numbered){.item = {.ops = &numbered_ops}, .line = line, .number = i};
        (void)loop_post(line->other->loop, &n->item);
    }
    return NULL;
}

static void each_thread_keeps_its_order(void **state)
{
    struct other *o = *state;
    struct line lines[SUBMITTERS];
    pthread_t t[SUBMITTERS];
    for (int i = 0; i < SUBMITTERS; i++) {
        lines[i] = (struct line){.other = o, .id = i};
        assert_int_equal(pthread_create(&t[i], NULL, submit_numbers, &lines[i]), 0);
    }
    for (int i = 0; i < SUBMITTERS; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    join(o);
    assert_int_equal(loop_close(o->loop, NULL), 0);
    for (int i = 0; i < SUBMITTERS; i++) {
        assert_int_equal(lines[i].arrived, EACH);
        assert_false(atomic_load(&lines[i].wrong));
    }
}

static void told(struct cfuture *f, void *arg)
{
    (void)f;
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void listeners_are_told_once_on_either_side(void **state)
{
    struct other *o = *state;
    atomic_int count = 0;
    for (int i = 0; i < 200; i++) {
        atomic_store(&count, 0);
        struct cfuture *f = run_coroutine_threadsafe(o->loop, give_back, NULL, NULL);
        assert_int_equal(cfuture_add_done_callback(f, told, &count), 0);
        assert_int_equal(cfuture_result(f, -1, NULL, NULL), 0);
        assert_int_equal(cfuture_add_done_callback(f, told, &count), 0);
        while (atomic_load(&count) < 2)
            (void)sched_yield();
        cfuture_unref(f);
    }
}

static void one_completed_by_hand(void **state)
{
    void *v = NULL;
    struct cfuture *f = cfuture_new();
    (void)state;
    assert_true(cfuture_set_running(f));
    assert_true(cfuture_running(f));
    assert_false(cfuture_cancel(f));
    assert_int_equal(cfuture_set_result(f, &v), 0);
    assert_int_equal(cfuture_set_result(f, NULL), ERROR_INVALID_STATE);
    assert_int_equal(cfuture_set_exception(f, -EINVAL, error_new(-EINVAL, "", NULL)),
                     ERROR_INVALID_STATE);
    assert_int_equal(cfuture_result(f, 0, &v, NULL), 0);
    assert_ptr_equal(v, &v);
    cfuture_unref(f);
    f = cfuture_new();
    assert_true(cfuture_cancel(f));
    assert_false(cfuture_set_running(f));
    cfuture_unref(f);
}

struct job {
    struct loop_job job; /* first */
    atomic_int done, code;
    void *result;
};

static void job_done(struct loop_job *j, int code, void *result, const struct err *e)
{
    struct job *x = (struct job *)(void *)j;
    (void)e;
    x->result = result;
    atomic_store(&x->code, code);
    atomic_store(&x->done, 1);
}

static void await_job(struct job *j)
{
    while (!atomic_load(&j->done))
        (void)sched_yield();
}

static void a_job_in_the_callers_storage_reports_its_end(void **state)
{
    struct other *o = *state;
    struct job a = {.job = {.fn = give_back, .arg = o, .name = "a", .done = job_done}};
    struct job b = {.job = {.fn = fails, .done = job_done}};
    assert_int_equal(loop_submit(o->loop, &a.job), 0);
    assert_int_equal(loop_submit(o->loop, &b.job), 0);
    await_job(&a);
    await_job(&b);
    assert_int_equal(a.code, 0);
    assert_ptr_equal(a.result, o);
    assert_int_equal(b.code, -EINVAL);
}

static void closing_ends_what_is_under_way(void **state)
{
    struct other *o = *state;
    struct job j = {.job = {.fn = sleeps, .done = job_done}};
    struct cfuture *f = run_coroutine_threadsafe(o->loop, sleeps, NULL, NULL);
    assert_int_equal(loop_submit(o->loop, &j.job), 0);
    join(o);
    struct job late = {.job = {.fn = sleeps, .done = job_done}};
    struct cfuture *never = run_coroutine_threadsafe(o->loop, sleeps, NULL, NULL);
    assert_int_equal(loop_submit(o->loop, &late.job), 0);
    assert_int_equal(loop_close(o->loop, NULL), 0);
    assert_int_equal(j.code, ERROR_CLOSED);
    assert_int_equal(late.code, ERROR_CLOSED);
    assert_int_equal(cfuture_result(f, 0, NULL, NULL), ERROR_CLOSED);
    assert_int_equal(cfuture_result(never, 0, NULL, NULL), -ECANCELED);
    assert_int_equal(loop_submit(o->loop, &late.job), ERROR_CLOSED);
    assert_null(run_coroutine_threadsafe(o->loop, sleeps, NULL, NULL));
    assert_int_equal(errno, -ERROR_CLOSED);
    cfuture_unref(f);
    cfuture_unref(never);
}

static void *close_race(void *arg)
{
    struct loop *l = arg;
    for (int i = 0; i < EACH; i++) {
        struct cfuture *f = run_coroutine_threadsafe(l, give_back, NULL, NULL);
        if (!f)
            break;
        (void)cfuture_result(f, -1, NULL, NULL); /* an outcome always comes */
        cfuture_unref(f);
    }
    loop_unref(l);
    return NULL;
}

static void submissions_race_a_close(void **state)
{
    struct other *o = *state;
    pthread_t t[SUBMITTERS];
    for (int i = 0; i < SUBMITTERS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, close_race, loop_ref(o->loop)), 0);
    join(o);
    assert_int_equal(loop_close(o->loop, NULL), 0);
    for (int i = 0; i < SUBMITTERS; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
}

/* -- on the loop's own thread -- */

struct word { /* letters in the order in which they came */
    char text[8];
    size_t len;
};

static struct word word;

static void add(const char *letter)
{
    if (word.len < sizeof word.text - 1)
        word.text[word.len++] = *letter;
}

static void add_letter(void *letter)
{
    add(letter);
}

static void add_when_told(struct cfuture *f, void *letter)
{
    (void)f;
    add(letter);
}

static int hand_to_oneself(void *arg, void **ret_result, struct err *e)
{
    static char a[] = "a", b[] = "b", c[] = "c";
    struct loop *l = loop_running();
    (void)arg, (void)ret_result, (void)e;
    (void)loop_call_soon_threadsafe(l, add_letter, a);
    (void)loop_call_soon(l, add_letter, b);
    (void)loop_call_soon_threadsafe(l, add_letter, c);
    return task_sleep(0);
}

static void what_a_loop_hands_to_itself_keeps_its_place(void **state)
{
    (void)state;
    word = (struct word){.len = 0};
    assert_int_equal(run(hand_to_oneself, NULL, NULL, NULL), 0);
    assert_string_equal(word.text, "abc");
}

static int call_last(void *letter, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    (void)loop_call_soon(loop_running(), add_letter, letter);
    return 0;
}

/* As any done callback it is queued, behind what the task queued before it ended. */
static void a_listener_is_told_one_iteration_after_the_end(void **state)
{
    static char first[] = "1", second[] = "2";
    (void)state;
    word = (struct word){.len = 0};
    struct loop *l = loop_new(0);
    struct cfuture *f = run_coroutine_threadsafe(l, call_last, first, NULL);
    assert_int_equal(cfuture_add_done_callback(f, add_when_told, second), 0);
    for (int i = 0; i < 3; i++) {
        loop_stop(l);
        assert_int_equal(loop_run_forever(l, NULL), 0);
        assert_true(cfuture_done(f) == (i == 2));
    }
    assert_string_equal(word.text, "12");
    cfuture_unref(f);
    loop_free(l);
}

/* It ended, and the loop was closed before it could tell. */
static void an_outcome_is_not_lost_by_closing(void **state)
{
    struct err e;
    (void)state;
    struct loop *l = loop_new(0);
    struct cfuture *f = run_coroutine_threadsafe(l, fails, NULL, NULL);
    for (int i = 0; i < 2; i++) {
        loop_stop(l);
        assert_int_equal(loop_run_forever(l, NULL), 0);
    }
    assert_false(cfuture_done(f));
    loop_free(l);
    assert_int_equal(cfuture_result(f, 0, NULL, &e), -EINVAL);
    assert_string_equal(e.text, "sorry");
    cfuture_unref(f);
}

static void one_that_is_never_completed_drops_its_listeners(void **state)
{
    atomic_int count = 0;
    (void)state;
    struct cfuture *f = cfuture_new();
    assert_int_equal(cfuture_add_done_callback(f, told, &count), 0);
    assert_int_equal(cfuture_add_done_callback(f, told, &count), 0);
    cfuture_unref(f);
    assert_int_equal(count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_result_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(an_error_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wait_has_a_limit_and_disturbs_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(each_thread_keeps_its_order, setup, teardown),
        cmocka_unit_test_setup_teardown(listeners_are_told_once_on_either_side, setup, teardown),
        cmocka_unit_test(one_completed_by_hand),
        cmocka_unit_test(one_that_is_never_completed_drops_its_listeners),
        cmocka_unit_test(what_a_loop_hands_to_itself_keeps_its_place),
        cmocka_unit_test(a_listener_is_told_one_iteration_after_the_end),
        cmocka_unit_test(an_outcome_is_not_lost_by_closing),
        cmocka_unit_test_setup_teardown(a_job_in_the_callers_storage_reports_its_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(closing_ends_what_is_under_way, setup, teardown),
        cmocka_unit_test_setup_teardown(submissions_race_a_close, setup, teardown),
    };
    return cmocka_run_group_tests_name("threadsafe", tests, NULL, NULL);
}
