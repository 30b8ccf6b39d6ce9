/* LDFLAGS: -Wl,--wrap=clock_now_ms */
/* When a pool may start another child; the time is a fake one. */
#include "tests/unit/pool_stage.h"

#include "worker/handler/pool_shared.h"

static int64_t now_ms;

int64_t __wrap_clock_now_ms(void);
int64_t __wrap_clock_now_ms(void)
{
    return now_ms;
}

static const struct conf_queue queue = {.name = (char *)(uintptr_t) "q"};
static const struct conf_queue other = {.name = (char *)(uintptr_t) "p"};

static int begin(void **state)
{
    now_ms = 1000;
    *state = pool_shared_get(&queue);
    return *state ? 0 : -1;
}

static int end(void **state)
{
    pool_shared_put(*state);
    return 0;
}

static void a_queue_has_one_pool(void **state)
{
    struct pool_shared *again = pool_shared_get(&queue), *another = pool_shared_get(&other);
    assert_ptr_equal(again, *state);
    assert_ptr_not_equal(another, *state);
    pool_shared_put(again);
    pool_shared_put(another);
    assert_null(pool_shared_take(*state));
}

static void without_a_failure_any_number_may_start(void **state)
{
    unsigned turn;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pool_shared_start(*state, &turn), 0);
}

static void after_a_failure_one_at_a_time_tries_again(void **state)
{
    unsigned turn;
    assert_int_equal(pool_shared_start(*state, &turn), 0);
    assert_int_equal(pool_shared_failed(*state, turn, "no"), 100);
    assert_int_equal(pool_shared_start(*state, &turn), 100);
    now_ms += 99;
    assert_int_equal(pool_shared_start(*state, &turn), 1);
    now_ms += 1;
    assert_int_equal(pool_shared_start(*state, &turn), 0);
    unsigned next;
    assert_int_equal(pool_shared_start(*state, &next), 30000); /* that one tries */
    pool_shared_good(*state);
    assert_int_equal(pool_shared_start(*state, &next), 0);
    assert_int_equal(pool_shared_start(*state, &next), 0);
}

static void each_failure_doubles_the_pause_up_to_half_a_minute(void **state)
{
    int64_t pause_ms[] = {100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};
    unsigned turn, ignored;
    for (size_t i = 0; i < sizeof pause_ms / sizeof *pause_ms; i++) {
        assert_int_equal(pool_shared_start(*state, &turn), 0);
        (void)pool_shared_failed(*state, turn, "no");
        assert_int_equal(pool_shared_start(*state, &ignored), pause_ms[i]);
        now_ms += pause_ms[i];
    }
}

static void failures_of_starts_side_by_side_count_once(void **state)
{
    unsigned turn[3], ignored;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pool_shared_start(*state, &turn[i]), 0);
    for (int i = 0; i < 3; i++)
        (void)pool_shared_failed(*state, turn[i], "no");
    assert_int_equal(pool_shared_start(*state, &ignored), 100);
}

static void a_cause_is_told_once_until_a_child_is_good(void **state)
{
    unsigned turn;
    const char *causes[] = {"no", "no", "nothing", "nothing", "no"};
    bool told[] = {true, false, true, false, true};
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        assert_int_equal(pool_shared_start(*state, &turn), 0);
        assert_int_equal(pool_shared_failed(*state, turn, causes[i]) > 0, told[i]);
        now_ms += 30000;
    }
    pool_shared_good(*state);
    assert_int_equal(pool_shared_start(*state, &turn), 0);
    assert_int_equal(pool_shared_failed(*state, turn, "no"), 100);
}

static void what_is_not_known_lets_the_next_one_try(void **state)
{
    unsigned turn;
    assert_int_equal(pool_shared_start(*state, &turn), 0);
    (void)pool_shared_failed(*state, turn, "no");
    now_ms += 100;
    assert_int_equal(pool_shared_start(*state, &turn), 0);
    pool_shared_again(*state); /* its job was cancelled before it had answered */
    assert_int_equal(pool_shared_start(*state, &turn), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_queue_has_one_pool),
        TEST(without_a_failure_any_number_may_start),
        TEST(after_a_failure_one_at_a_time_tries_again),
        TEST(each_failure_doubles_the_pause_up_to_half_a_minute),
        TEST(failures_of_starts_side_by_side_count_once),
        TEST(a_cause_is_told_once_until_a_child_is_good),
        TEST(what_is_not_known_lets_the_next_one_try),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
