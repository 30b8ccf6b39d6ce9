/* Who gets the next slots: the meters of queues, dealt out without a daemon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/share.h"

#define MANY 1000

struct table {
    struct share_class *classes;
    struct share share[MANY];
    struct share_want want[MANY];
    uint64_t claimed[MANY];
    size_t n;
};

static struct table table;

static int begin(void **state)
{
    table = (struct table){.n = 0};
    *state = &table;
    return 0;
}

static int end(void **state)
{
    struct table *t = *state;
    share_free(&t->classes);
    return 0;
}

static void join(struct table *t, int priority, int weight, uint32_t want)
{
    assert_int_equal(share_join(&t->classes, &t->share[t->n], priority, weight), 0);
    t->want[t->n] = (struct share_want){.share = &t->share[t->n], .want = want};
    t->n++;
}

/* One deal; what is not kept for a busy queue is claimed. */
static void deal(struct table *t, uint32_t slots)
{
    share_deal(t->want, t->n, slots);
    uint32_t dealt = 0;
    for (size_t i = 0; i < t->n; i++) {
        assert_true(t->want[i].got <= t->want[i].want);
        dealt += t->want[i].got;
        if (t->want[i].busy)
            continue;
        t->claimed[i] += t->want[i].got;
        share_charge(t->want[i].share, t->want[i].got);
    }
    assert_true(dealt <= slots);
}

static void slots_are_dealt_as_the_weights(void **state)
{
    struct table *t = *state;
    static const uint32_t slots[] = {1, 7, 100, 3};
    join(t, 0, 1, 1000), join(t, 0, 2, 1000), join(t, 0, 5, 1000);
    for (unsigned i = 0; i < 8000; i++)
        deal(t, slots[i % 4]);
    uint64_t all = t->claimed[0] + t->claimed[1] + t->claimed[2]; /* 222000 */
    assert_int_equal(all, 2000 * (1 + 7 + 100 + 3));
    assert_in_range(t->claimed[0], all / 8 - 8, all / 8 + 8);
    assert_in_range(t->claimed[1], all / 4 - 8, all / 4 + 8);
    assert_in_range(t->claimed[2], all * 5 / 8 - 8, all * 5 / 8 + 8);
}

static void a_single_deal_is_as_the_weights(void **state)
{
    struct table *t = *state;
    join(t, 0, 1, 10000), join(t, 0, 9, 10000);
    deal(t, 10000);
    assert_in_range(t->claimed[0], 800, 1200);
    assert_int_equal(t->claimed[0] + t->claimed[1], 10000);
}

static void what_one_does_not_want_goes_to_the_others(void **state)
{
    struct table *t = *state;
    join(t, 0, 1000, 3), join(t, 0, 1, 1000), join(t, 0, 1, 0);
    deal(t, 50);
    assert_int_equal(t->want[0].got, 3);
    assert_int_equal(t->want[1].got, 47);
    assert_int_equal(t->want[2].got, 0);
    deal(t, 2000);
    assert_int_equal(t->want[0].got, 3);
    assert_int_equal(t->want[1].got, 1000);
}

static void a_lower_priority_gets_what_no_higher_one_wants(void **state)
{
    struct table *t = *state;
    join(t, -5, 1000, 100), join(t, 7, 1, 10), join(t, 0, 1, 20), join(t, 7, 1, 10);
    deal(t, 9);
    assert_int_equal(t->want[1].got + t->want[3].got, 9);
    deal(t, 30);
    assert_int_equal(t->want[1].got + t->want[3].got, 20);
    assert_int_equal(t->want[2].got, 10);
    assert_int_equal(t->want[0].got, 0);
    deal(t, 45);
    assert_int_equal(t->want[2].got, 20);
    assert_int_equal(t->want[0].got, 5);
}

static void slots_are_kept_for_one_whose_claim_is_out(void **state)
{
    struct table *t = *state;
    join(t, 0, 3, 1000), join(t, 0, 1, 1000);
    for (unsigned i = 0; i < 4000; i++) {
        t->want[0].busy = i % 2; /* every other time its answer is still on the way */
        deal(t, 4);
    }
    uint64_t all = t->claimed[0] + t->claimed[1];
    assert_in_range(t->claimed[0] * 4, all * 3 - 40, all * 3 + 40);
}

/* Without this an hour alone would be paid by an hour without a slot, and an hour of nothing would
 * be worth an hour of all slots. */
static void idle_time_saves_nothing_up(void **state)
{
    struct table *t = *state;
    join(t, 0, 1, 100), join(t, 0, 1, 0);
    for (unsigned i = 0; i < 1000; i++)
        deal(t, 10);
    assert_int_equal(t->claimed[0], 10000);
    t->want[1].want = 100;
    for (unsigned i = 0; i < 100; i++)
        deal(t, 10);
    assert_in_range(t->claimed[1], 490, 510);
    share_rest(&t->share[1]); /* out of the deals for a while, alone afterwards */
    t->want[1].want = 0;
    for (unsigned i = 0; i < 1000; i++)
        deal(t, 10);
    share_rest(&t->share[0]);
    t->want[0].want = 0;
    t->want[1].want = 100;
    deal(t, 10);
    t->want[0].want = 100;
    uint64_t before = t->claimed[0];
    for (unsigned i = 0; i < 100; i++)
        deal(t, 10);
    assert_in_range(t->claimed[0] - before, 490, 510);
}

static void what_a_claim_did_not_bring_is_not_charged(void **state)
{
    struct table *t = *state;
    join(t, 0, 1, 1000), join(t, 0, 1, 1000);
    deal(t, 100);
    assert_int_equal(t->want[0].got, 50);
    share_charge(&t->share[0], -50); /* its list was empty */
    deal(t, 50);
    assert_int_equal(t->want[0].got, 50);
    deal(t, 50);
    assert_int_equal(t->want[0].got, 25);
}

static void none_of_a_thousand_starves(void **state)
{
    struct table *t = *state;
    for (unsigned i = 0; i < MANY; i++)
        join(t, 0, 1 + (int)(i % 10), 1000);
    for (unsigned i = 0; i < 5500; i++)
        deal(t, 10);
    for (unsigned i = 0; i < MANY; i++)
        assert_in_range(t->claimed[i], 10 * (1 + i % 10) - 10, 10 * (1 + i % 10) + 10);
    deal(t, 64000); /* in few steps: nobody gets more than a step too many */
    for (unsigned i = 0; i < MANY; i++)
        assert_true(t->want[i].got <= 64000 * (1 + i % 10) / 5500 + 1001);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(slots_are_dealt_as_the_weights),
        TEST(a_single_deal_is_as_the_weights),
        TEST(what_one_does_not_want_goes_to_the_others),
        TEST(a_lower_priority_gets_what_no_higher_one_wants),
        TEST(slots_are_kept_for_one_whose_claim_is_out),
        TEST(idle_time_saves_nothing_up),
        TEST(what_a_claim_did_not_bring_is_not_charged),
        TEST(none_of_a_thousand_starves),
    };
    return cmocka_run_group_tests_name("share", tests, NULL, NULL);
}
