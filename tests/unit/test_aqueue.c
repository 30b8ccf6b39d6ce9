/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
#include "tests/unit/combine.h"

#include "worker/runtime/aqueue.h"

struct play {
    struct notes *notes;
    struct aqueue *queue;
    int number; /* what to put */
};

static bool smaller(const void *a, const void *b)
{
    return (intptr_t)a < (intptr_t)b;
}

/* Puts 5, 1, 4, 2, 3 and more, and takes all of it out. */
static void check_order(struct aqueue *q, const int *expected)
{
    static const int in[] = {5, 1, 4, 2, 3, 9, 6, 8, 7, 10}; /* it grows on the way */
    void *item;
    assert_non_null(q);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(aqueue_put_nowait(q, BOX(in[i]), NULL), 0);
    assert_int_equal(aqueue_size(q), 10);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(aqueue_get_nowait(q, &item, NULL), 0);
        assert_int_equal((intptr_t)item, expected[i]);
    }
    assert_true(aqueue_empty(q));
    assert_null(aqueue_free(q));
}

static void each_queue_has_its_order(void **state)
{
    (void)state;
    check_order(aqueue_new(0), (const int[]){5, 1, 4, 2, 3, 9, 6, 8, 7, 10});
    check_order(aqueue_new_lifo(0), (const int[]){10, 7, 8, 6, 9, 3, 2, 4, 1, 5});
    check_order(aqueue_new_priority(0, smaller), (const int[]){1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
}

static void a_ring_that_goes_round_keeps_its_order(void **state)
{
    struct aqueue *q = aqueue_new(0);
    void *item;
    intptr_t in = 0, out = 0;
    (void)state;
    for (int round = 0; round < 30; round++) { /* one more in than out: it grows in the middle */
        for (int i = 0; i < 3; i++)
            assert_int_equal(aqueue_put_nowait(q, BOX(in++), NULL), 0);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(aqueue_get_nowait(q, &item, NULL), 0);
            assert_int_equal((intptr_t)item, out++);
        }
    }
    assert_int_equal(aqueue_size(q), 30);
    (void)aqueue_free(q);
}

static void misuse_of_a_queue_is_told(void **state)
{
    struct aqueue *q = aqueue_new(1);
    struct err e;
    void *item = BOX(9);
    (void)state;
    assert_int_equal(aqueue_get_nowait(q, &item, &e), ERROR_QUEUE_EMPTY);
    assert_int_equal(aqueue_get(q, &item, &e), ERROR_NO_TASK);
    assert_int_equal((intptr_t)item, 9);
    assert_int_equal(aqueue_task_done(q, &e), -EINVAL);
    assert_string_equal(e.text, "task_done() called too many times");
    assert_int_equal(aqueue_join(q, &e), 0);
    assert_int_equal(aqueue_put_nowait(q, NULL, &e), 0);
    assert_true(aqueue_full(q));
    assert_int_equal(aqueue_put_nowait(q, NULL, &e), ERROR_QUEUE_FULL);
    assert_int_equal(aqueue_put(q, NULL, &e), ERROR_NO_TASK);
    assert_int_equal(aqueue_join(q, &e), ERROR_NO_TASK);
    assert_int_equal(aqueue_size(q), 1);
    assert_null(aqueue_free(q));
    assert_null(aqueue_free(NULL));
}

/* -- who waits -- */
static int get_one(void *arg, void **ret_result, struct err *e)
{
    struct play *p = arg;
    void *item = NULL;
    (void)ret_result;
    int r = aqueue_get(p->queue, &item, e);
    if (r == 0)
        note(p->notes, p->number * 100 + (intptr_t)item);
    return r;
}

static int put_one(void *arg, void **ret_result, struct err *e)
{
    struct play *p = arg;
    (void)ret_result;
    int r = aqueue_put(p->queue, BOX(p->number), e);
    if (r == 0)
        note(p->notes, p->number);
    return r;
}

static void start_three(coro_fn fn, struct play *p, struct play *three, struct future **f)
{
    for (int i = 0; i < 3; i++) {
        three[i] = (struct play){p->notes, p->queue, i + 1};
        f[i] = start(fn, &three[i]);
    }
    (void)turns(2);
}

static void end_three(struct play *p, struct future **f)
{
    for (int i = 0; i < 3; i++) {
        note(p->notes, future_await(f[i], NULL, NULL));
        future_unref(f[i]);
    }
    note(p->notes, (long)aqueue_size(p->queue));
    (void)aqueue_free(p->queue);
}

static int getters_main(void *n, void **ret_result, struct err *e)
{
    struct play p = {n, aqueue_new(0), 0}, three[3];
    struct future *f[3];
    (void)ret_result;
    start_three(get_one, &p, three, f);
    (void)aqueue_put_nowait(p.queue, BOX(11), e);
    (void)aqueue_put_nowait(p.queue, BOX(12), e);
    (void)turns(2);
    (void)aqueue_put_nowait(p.queue, BOX(13), e);
    end_three(&p, f);
    return 0;
}

static void items_go_to_who_waits_longest(void **state)
{
    (void)state;
    EXPECT(getters_main, 111, 212, 0, 0, 313, 0, 0);
}

static int late_getter_main(void *n, void **ret_result, struct err *e)
{
    struct play p = {n, aqueue_new(0), 0}, three[3];
    struct future *f[3];
    (void)ret_result;
    start_three(get_one, &p, three, f);
    (void)future_cancel(f[1]);
    (void)aqueue_put_nowait(p.queue, BOX(11), e); /* the turn of the first has come ... */
    (void)future_cancel(f[0]);                    /* ... and is given up */
    (void)turns(3);
    end_three(&p, f);
    return 0;
}

static void an_item_whose_getter_is_cancelled_goes_to_the_next(void **state)
{
    (void)state;
    EXPECT(late_getter_main, 311, -ECANCELED, -ECANCELED, 0, 0);
}

static int late_putter_main(void *n, void **ret_result, struct err *e)
{
    struct play p = {n, aqueue_new(1), 0}, three[3];
    struct future *f[3];
    void *item;
    (void)ret_result;
    (void)aqueue_put_nowait(p.queue, BOX(9), e);
    start_three(put_one, &p, three, f);
    (void)future_cancel(f[1]);
    (void)aqueue_get_nowait(p.queue, &item, e);
    (void)future_cancel(f[0]);
    (void)turns(3);
    end_three(&p, f);
    return 0;
}

static void a_place_whose_putter_is_cancelled_goes_to_the_next(void **state)
{
    (void)state;
    EXPECT(late_putter_main, 3, -ECANCELED, -ECANCELED, 0, 1);
}

static int join_one(void *arg, void **ret_result, struct err *e)
{
    struct play *p = arg;
    (void)ret_result;
    return aqueue_join(p->queue, e);
}

static int join_main(void *n, void **ret_result, struct err *e)
{
    struct play p = {n, aqueue_new(0), 0}, three[3];
    struct future *f[3];
    void *item;
    (void)ret_result;
    (void)aqueue_put_nowait(p.queue, NULL, e);
    (void)aqueue_put_nowait(p.queue, NULL, e);
    start_three(join_one, &p, three, f);
    for (int i = 0; i < 2; i++) {
        (void)aqueue_get_nowait(p.queue, &item, e);
        (void)turns(2);
        note(n, future_done(f[0])); /* taken out is not worked off */
        note(n, aqueue_task_done(p.queue, e));
    }
    end_three(&p, f);
    return 0;
}

static void a_join_lasts_until_all_is_worked_off(void **state)
{
    (void)state;
    EXPECT(join_main, false, 0, false, 0, 0, 0, 0, 0);
}

/* -- memory -- */
static int oom_body(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    struct notes n = {.count = 0};
    struct play p = {&n, aqueue_new(1), 1};
    void *item;
    if (!p.queue)
        return -errno;
    struct future *f = start(get_one, &p);
    int r = f ? turns(2) : -errno;
    if (r == 0)
        r = aqueue_put(p.queue, BOX(2), e);
    if (f && r < 0)
        (void)future_cancel(f);
    int got = f ? future_await(f, NULL, e) : r;
    future_unref(f);
    (void)aqueue_get_nowait(p.queue, &item, NULL); /* where the getter had no memory */
    p.queue = aqueue_free(p.queue);
    return r < 0 ? r : got;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    check_each_allocation(oom_body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_queue_has_its_order),
        cmocka_unit_test(a_ring_that_goes_round_keeps_its_order),
        cmocka_unit_test(misuse_of_a_queue_is_told),
        cmocka_unit_test(items_go_to_who_waits_longest),
        cmocka_unit_test(an_item_whose_getter_is_cancelled_goes_to_the_next),
        cmocka_unit_test(a_place_whose_putter_is_cancelled_goes_to_the_next),
        cmocka_unit_test(a_join_lasts_until_all_is_worked_off),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("aqueue", tests, NULL, NULL);
}
