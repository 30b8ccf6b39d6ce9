/* The scripts of what waits for its time, against a real Redis: claim_due, due, due_delayed. */
#include <stdio.h>

#include "tests/unit/script_assert.h"

#define CLAIM "owner paused retry b batches"
#define ARGS(n, bytes) "e.1|3|i:e.1:r1|1 e.1-r1 0 0 -|" n "|" bytes
#define OWNER "owner=\"1 e.1 3 h\""
#define ENTRY "batches={i:e.1:r1:1 e.1-r1 0 0 -}"
#define LATER "9999999999999" /* in 270 years */

static void have_an_owner(struct scripts *s)
{
    DO(s, "SET|owner|1 e.1 3 h");
}

static void due_records_are_claimed_the_first_due_first(void **state)
{
    struct scripts *s = *state;
    have_an_owner(s);
    DO(s, "ZADD retry 3 c 1 a 2 b " LATER " z");
    RUN(s, "claim_due", CLAIM, ARGS("2", "1048576"), "[ok 1 a b]");
    LEFT(s, "b=[b a] " ENTRY " " OWNER " retry=(c z)");
}

/* Who takes the batch over knows how often one of them was there when a daemon died. */
static void a_batch_was_recovered_as_often_as_one_of_its_records(void **state)
{
    struct scripts *s = *state;
    have_an_owner(s);
    DO(s, "ZADD|retry|1|a 1 0 2 1 1 {}\nx");
    DO(s, "ZADD|retry|2|b 1 0 3 1 1 {}\nx");
    DO(s, "ZADD|retry|3|c 1 0 1 1 1 {}\nx");
    RUN(s, "claim_due", CLAIM, ARGS("2", "1048576"), "[ok 1 a 1 0 2 1 1 {}\nx b 1 0 3 1 1 {}\nx]");
    SAYS(s, "1 e.1-r1 3 0 -", "HGET batches i:e.1:r1");
    DO(s, "DEL b batches retry");
    DO(s, "ZADD|retry|1|d 1 0 99999999999999999999999 1 1 {}\nx");
    RUN(s, "claim_due", CLAIM, ARGS("1", "9"), "[ok 0 d 1 0 99999999999999999999999 1 1 {}\nx]");
    SAYS(s, "1 e.1-r1 1000000 0 -", "HGET batches i:e.1:r1");
}

static void what_is_not_due_waits(void **state)
{
    struct scripts *s = *state;
    have_an_owner(s);
    DO(s, "ZADD retry " LATER " z");
    RUN(s, "claim_due", CLAIM, ARGS("2", "1048576"), "[ok 0]");
    LEFT(s, OWNER " retry=(z)");
}

static void it_stops_behind_the_record_that_reaches_the_bytes(void **state)
{
    struct scripts *s = *state;
    have_an_owner(s);
    DO(s,
       "EVAL|for i = 1, 4 do redis.call('ZADD', 'retry', i, i .. string.rep('x', 524288)) end|0");
    RUN(s, "claim_due", CLAIM, ARGS("9", "1048576"), "[ok 2 <524289> <524289>]");
    SAYS(s, "2", "LLEN b");
    SAYS(s, "2", "ZCARD retry");
}

static void who_does_not_own_the_queue_gets_nothing(void **state)
{
    struct scripts *s = *state;
    DO(s, "ZADD retry 1 a");
    RUN(s, "claim_due", CLAIM, ARGS("2", "9"), "[not owner 0]");
    DO(s, "SET|owner|1 e.1 4 h"); /* a raised number */
    RUN(s, "claim_due", CLAIM, ARGS("2", "9"), "[not owner 0]");
    DO(s, "SET|owner|1 e.2 3 h");
    RUN(s, "claim_due", CLAIM, ARGS("2", "9"), "[not owner 0]");
    LEFT(s, "owner=\"1 e.2 3 h\" retry=(a)");
}

static void a_paused_queue_gives_nothing(void **state)
{
    struct scripts *s = *state;
    have_an_owner(s);
    DO(s, "ZADD retry 1 a");
    DO(s, "SET paused why");
    RUN(s, "claim_due", CLAIM, ARGS("2", "9"), "[paused 0]");
    LEFT(s, OWNER " paused=\"why\" retry=(a)");
}

static void due_counts_what_is_due_and_what_will_be_soon(void **state)
{
    struct scripts *s = *state;
    RUN(s, "due", "retry", "1000", "[0 0]");
    DO(s, "EVAL|local t = redis.call('TIME')[1] * 1000 redis.call('ZADD', 'retry', 1, 'a', "
          "t - 1000, 'b', t + 500000, 'c', t + 700000, 'd')|0");
    RUN(s, "due", "retry", "1000", "[2 0]");
    RUN(s, "due", "retry", "600000", "[2 1]");
}

static void delayed_payloads_go_to_the_end_that_is_popped_next(void **state)
{
    struct scripts *s = *state;
    DO(s, "LPUSH q z");
    DO(s, "ZADD delayed 1.5 b 1.25 a 2 c 9999999999 later");
    RUN(s, "due_delayed", "delayed q", "1000", "[3 0]");
    LEFT(s, "delayed=(later) q=[z c b a]"); /* a is popped first */
    RUN(s, "due_delayed", "delayed q", "1000", "[0 0]");
}

static void a_fraction_of_a_second_counts(void **state)
{
    struct scripts *s = *state;
    DO(s, "EVAL|local t = redis.call('TIME') t = t[1] + t[2] / 1000000 "
          "redis.call('ZADD', 'delayed', t - 0.25, 'past', t + 300.25, 'future')|0");
    RUN(s, "due_delayed", "delayed q", "300000", "[1 0]");
    RUN(s, "due_delayed", "delayed q", "301000", "[0 1]");
    LEFT(s, "delayed=(future) q=[past]");
}

static void any_bytes_may_be_delayed(void **state)
{
    struct scripts *s = *state;
    DO(s, "EVAL|redis.call('ZADD', 'delayed', 1, '', 2, 'a\\0b', 3, 'i 1 1 0 5 6 {}\\nx')|0");
    RUN(s, "due_delayed", "delayed q", "1000", "[3 0]");
    SAYS(s, "1",
         "EVAL|local l = redis.call('LRANGE', 'q', 0, -1) return l[1] == "
         "'i 1 1 0 5 6 {}\\nx' and l[2] == 'a\\0b' and l[3] == '' and 1 or 0|0");
}

static void delayed_payloads_go_a_hundred_and_a_mebibyte_at_a_time(void **state)
{
    struct scripts *s = *state;
    DO(s, "EVAL|for i = 1, 150 do redis.call('ZADD', 'delayed', i, i) end|0");
    RUN(s, "due_delayed", "delayed q", "1000", "[100 50]");
    SAYS(s, "1", "LINDEX q -1");
    SAYS(s, "100", "LINDEX q 0");
    RUN(s, "due_delayed", "delayed q", "1000", "[50 0]");
    DO(s, "FLUSHALL");
    DO(s, "EVAL|for i = 1, 4 do redis.call('ZADD', 'delayed', i, i .. string.rep('x', 524288)) "
          "end|0");
    RUN(s, "due_delayed", "delayed q", "1000", "[2 2]");
    RUN(s, "due_delayed", "delayed q", "1000", "[2 0]");
    SAYS(s, "1234",
         "EVAL|local r = '' for i = -1, -4, -1 do "
         "r = r .. string.sub(redis.call('LINDEX', 'q', i), 1, 1) end return r|0");
}

static void a_full_redis_still_gives(void **state)
{
    struct scripts *s = *state;
    have_an_owner(s);
    DO(s, "ZADD retry 1 a");
    DO(s, "ZADD delayed 1 b");
    DO(s, "CONFIG SET maxmemory 1");
    RUN(s, "due", "retry", "1000", "[1 0]");
    RUN(s, "claim_due", CLAIM, ARGS("2", "9"), "[ok 0 a]");
    RUN(s, "due_delayed", "delayed q", "1000", "[1 0]");
    DO(s, "CONFIG SET maxmemory 0");
    LEFT(s, "b=[a] " ENTRY " " OWNER " q=[b]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(due_records_are_claimed_the_first_due_first),
        TEST(a_batch_was_recovered_as_often_as_one_of_its_records),
        TEST(what_is_not_due_waits),
        TEST(it_stops_behind_the_record_that_reaches_the_bytes),
        TEST(who_does_not_own_the_queue_gets_nothing),
        TEST(a_paused_queue_gives_nothing),
        TEST(due_counts_what_is_due_and_what_will_be_soon),
        TEST(delayed_payloads_go_to_the_end_that_is_popped_next),
        TEST(a_fraction_of_a_second_counts),
        TEST(any_bytes_may_be_delayed),
        TEST(delayed_payloads_go_a_hundred_and_a_mebibyte_at_a_time),
        TEST(a_full_redis_still_gives),
    };
    return cmocka_run_group_tests_name("script_due", tests, scripts_begin, scripts_end);
}
