/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
/* Who stands still for a whole lease, by a clock that the test makes up: lease 15 s, a look every
 * 2 s, each answered after 10 ms. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/watch.h"
#include "tests/lib/oom.h"

#define LEASE 15000

static struct watch w;

static int begin(void **state)
{
    (void)state;
    watch_init(&w, LEASE);
    (void)watch_answered(&w, 0, 0, 10);
    return 0;
}

static int end(void **state)
{
    (void)state;
    watch_deinit(&w);
    return 0;
}

static int look_after(int64_t sent, int64_t answered, const char *how)
{
    (void)watch_answered(&w, 0, sent, answered);
    return watch_see(&w, "i", how, sent, answered);
}

static int look(int64_t sent, const char *how)
{
    return look_after(sent, sent + 10, how);
}

/* Looks from `from` on, every two seconds; when it was first said that it stands still. */
static int64_t first_still(int64_t from, const char *how)
{
    for (int64_t at = from; at < from + 100000; at += 2000)
        if (look(at, how) == 1)
            return at;
    return -1;
}

static void a_whole_lease_from_the_first_answer_to_a_question(void **state)
{
    (void)state;
    assert_int_equal(look(1000, "5"), 0);
    assert_int_equal(first_still(3000, "5"), 17000); /* at 15,000 it is 13,990 ms */
}

static void not_a_millisecond_earlier(void **state)
{
    (void)state;
    for (int64_t at = 0; at < 14000; at += 2000)
        assert_int_equal(look(at, "5"), 0);
    assert_int_equal(look(14000, "5"), 0);
    assert_int_equal(look(15009, "5"), 0); /* first answered at 10 */
    assert_int_equal(look(15010, "5"), 1);
}

static void what_moves_is_well(void **state)
{
    (void)state;
    char beat[16];
    for (int at = 0; at < 200000; at += 2000) {
        (void)snprintf(beat, sizeof beat, "%d", at / 5000);
        assert_int_equal(look(at, beat), 0);
    }
    assert_int_equal(look(200000, "5"), 0); /* it moves back: it moves */
    assert_int_equal(first_still(202000, "5"), 216000);
}

static void an_answer_that_was_long_on_the_way_proves_nothing(void **state)
{
    (void)state;
    assert_int_equal(look(0, "5"), 0);
    assert_int_equal(look_after(2000, 3000, "5"), 0); /* a second: in time */
    assert_int_equal(look(4000, "5"), 0);
    assert_int_equal(look_after(6000, 7001, "5"), 0);
    assert_int_equal(first_still(8000, "5"), 24000); /* from 7001 on */
}

static void a_gap_between_looks_proves_nothing(void **state)
{
    (void)state;
    assert_int_equal(look(0, "5"), 0);
    assert_int_equal(look(4000, "5"), 0); /* 4 s: as much as may be */
    assert_int_equal(look(8001, "5"), 0);
    assert_int_equal(first_still(10001, "5"), 24001);
}

static void another_connection_proves_nothing(void **state)
{
    (void)state;
    for (int64_t at = 0; at <= 14000; at += 2000)
        assert_int_equal(look(at, "5"), 0);
    assert_false(watch_answered(&w, 1, 16000, 16010));
    assert_int_equal(watch_see(&w, "i", "5", 16000, 16010), 0);
    for (int64_t at = 18000; at <= 30000; at += 2000) {
        assert_true(watch_answered(&w, 1, at, at + 10));
        assert_int_equal(watch_see(&w, "i", "5", at, at + 10), 0);
    }
    assert_int_equal(watch_see(&w, "i", "5", 32000, 32010), 1);
}

static void each_is_judged_by_itself(void **state)
{
    (void)state;
    static const char *const names[] = {"d", "b", "e", "a", "c"};
    for (int64_t at = 0; at < 16000; at += 2000)
        for (size_t i = 0; i < 5; i++)
            assert_int_equal(watch_see(&w, names[i], at < 4000 && i == 2 ? "1" : "5", at, at), 0);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(watch_see(&w, names[i], "5", 16000, 16000), i != 2);
    watch_forget(&w, "b");
    watch_forget(&w, "x");
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(watch_see(&w, names[i], "5", 18000, 18000), i != 2 && i != 1);
    watch_anew(&w);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(watch_see(&w, names[i], "5", 20000, 20000), 0);
}

static void what_is_seen_no_more_leaves_memory(void **state)
{
    (void)state;
    (void)watch_see(&w, "a", "5", 0, 0);
    (void)watch_see(&w, "b", "5", 2000, 2000);
    watch_tidy(&w, 4001);
    assert_int_equal(w.n, 1);
    watch_tidy(&w, 6000);
    assert_int_equal(w.n, 1);
    watch_tidy(&w, 6001);
    assert_int_equal(w.n, 0);
}

static void a_short_lease_gives_an_answer_300_ms(void **state)
{
    (void)state;
    watch_deinit(&w);
    watch_init(&w, 1000);
    assert_true(watch_answered(&w, 0, 0, 300));
    assert_false(watch_answered(&w, 0, 1000, 1301));
}

/* An answer that takes longer than the time between looks costs the next one, not the whole wait.
 */
static void a_short_lease_does_without_the_look_that_an_answer_was_in_the_way_of(void **state)
{
    (void)state;
    watch_deinit(&w);
    watch_init(&w, 1500); /* looks at 0, 200, 400, ... */
    assert_int_equal(look(0, "5"), 0);
    assert_int_equal(look_after(200, 500, "5"), 0);
    assert_int_equal(look_after(601, 900, "5"), 0);
    assert_int_equal(look(1001, "5"), 0);
    assert_int_equal(look(1510, "5"), 1);
    watch_forget(&w, "i");
    assert_int_equal(look(2000, "5"), 0);
    assert_int_equal(look(2601, "5"), 0); /* a gap all the same */
    assert_int_equal(look(3200, "5"), 0);
    assert_int_equal(look(3600, "5"), 0);
}

static void without_memory_nothing_is_said_to_stand_still(void **state)
{
    (void)state;
    for (unsigned n = 1; n < 20; n++) {
        watch_deinit(&w);
        watch_init(&w, LEASE);
        oom_arm(n);
        int first = watch_see(&w, "a", "5", 0, 0), second = watch_see(&w, "a", "6", 1000, 1000);
        bool failed = oom_disarm();
        assert_int_equal(first == -ENOMEM || second == -ENOMEM, failed);
        assert_int_equal(watch_see(&w, "a", "6", 2000, 2000), 0);
        if (!failed)
            return;
    }
    fail();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_whole_lease_from_the_first_answer_to_a_question),
        TEST(not_a_millisecond_earlier),
        TEST(what_moves_is_well),
        TEST(an_answer_that_was_long_on_the_way_proves_nothing),
        TEST(a_gap_between_looks_proves_nothing),
        TEST(another_connection_proves_nothing),
        TEST(each_is_judged_by_itself),
        TEST(what_is_seen_no_more_leaves_memory),
        TEST(a_short_lease_gives_an_answer_300_ms),
        TEST(a_short_lease_does_without_the_look_that_an_answer_was_in_the_way_of),
        TEST(without_memory_nothing_is_said_to_stand_still),
    };
    return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
