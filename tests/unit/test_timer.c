#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "worker/runtime/timer.h"

#define COUNT 500

static void the_earliest_comes_first(void **state)
{
    static struct timer t[COUNT];
    struct timers h = {.heap = NULL};
    int64_t due[COUNT];
    (void)state;
    srandom(7);
    for (int i = 0; i < COUNT; i++) {
        due[i] = random() % 100;
        assert_int_equal(timers_add(&h, &t[i], due[i]), 0);
    }
    int64_t last_due = -1;
    struct timer *last = NULL;
    for (int i = 0; i < COUNT; i++) {
        struct timer *x = timers_pop(&h);
        assert_true(due[x - t] >= last_due);
        if (due[x - t] == last_due)
            assert_true(x > last); /* equal deadlines: in order of creation */
        last_due = due[x - t];
        last = x;
    }
    assert_null(timers_pop(&h));
    timers_deinit(&h);
}

static void a_removed_one_never_comes(void **state)
{
    static struct timer t[COUNT];
    struct timers h = {.heap = NULL};
    int seen = 0;
    (void)state;
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(timers_add(&h, &t[i], (i * 37) % 101), 0);
    for (int i = 0; i < COUNT; i += 3)
        timers_remove(&h, &t[i]);
    timers_remove(&h, &t[0]); /* twice is fine */
    int64_t last = -1;
    for (struct timer *x = timers_pop(&h); x; x = timers_pop(&h)) {
        long i = x - t;
        assert_true(i % 3 != 0);
        assert_true((i * 37) % 101 >= last);
        last = (i * 37) % 101;
        seen++;
    }
    assert_int_equal(seen, COUNT - (COUNT + 2) / 3);
    timers_deinit(&h);
}

static void only_what_is_due_is_popped(void **state)
{
    struct timer a = {.place = 0}, b = {.place = 0};
    struct timers h = {.heap = NULL};
    (void)state;
    assert_int_equal(timers_add(&h, &a, 10), 0);
    assert_int_equal(timers_add(&h, &b, 20), 0);
    assert_null(timers_pop_due(&h, 9));
    assert_ptr_equal(timers_pop_due(&h, 10), &a);
    assert_null(timers_pop_due(&h, 19));
    assert_ptr_equal(timers_pop_due(&h, 25), &b);
    assert_true(timers_empty(&h));
    timers_deinit(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_earliest_comes_first),
        cmocka_unit_test(a_removed_one_never_comes),
        cmocka_unit_test(only_what_is_due_is_popped),
    };
    return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
