/* The scripts that settle and give back, against a real Redis: part, retry, dead, whole, give_back,
 * entry, sizes, count. After each what is in Redis is compared as a whole. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/script_assert.h"

#define F "i:e.1:1"
#define ENTRY "batches={" F ":1 e.1-1 0 0 -}"

/* A batch of four, the second settled. */
static void have_a_batch(struct scripts *s)
{
    DO(s, "LPUSH b a0 a1 a2 a3");
    DO(s, "SETBIT acked 1 1");
    DO(s, "HSET|batches|" F "|1 e.1-1 0 0 -");
}

#define BATCH "b=[a3 a2 a1 a0] " ENTRY

/* What a batch leaves behind whose list somebody removed. */
static void have_no_list(struct scripts *s)
{
    have_a_batch(s);
    DO(s, "DEL b");
    DO(s, "HSET batches other 1");
}

#define PART "b acked batches stats"

static void part_sets_the_bits_and_counts_each_once(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    RUN(s, "part", PART, F "|0|1|3", "2");
    LEFT(s, "acked=<0,1,3> " BATCH " stats={done:2}");
    RUN(s, "part", PART, F "|0|1|3", "0"); /* the answer was lost */
    LEFT(s, "acked=<0,1,3> " BATCH " stats={done:2}");
}

static void part_of_a_list_that_is_gone_cleans_up(void **state)
{
    struct scripts *s = *state;
    have_no_list(s);
    RUN(s, "part", PART, F "|0", "-1");
    LEFT(s, "batches={other:1}");
}

static void part_takes_many_bits_at_a_time(void **state)
{
    struct scripts *s = *state;
    static char args[8000] = F;
    for (int i = 0; i < 1201; i++)
        (void)snprintf(args + strlen(args), 8, "|%d", i * 2);
    DO(s, "EVAL|for i = 1, 2500 do redis.call('LPUSH', 'b', i) end|0");
    RUN(s, "part", PART, args, "1201");
    SAYS(s, "1201", "BITCOUNT acked");
    SAYS(s, "1", "GETBIT acked 2400");
    SAYS(s, "0", "GETBIT acked 2399");
    SAYS(s, "1201", "HGET stats done");
}

#define DEAD "b acked batches stats dead none"
#define HEAD "e.1-1-2 1 1 0 5 6 {}\n"
#define RECORD HEAD "a2"

static void dead_writes_the_record_then_the_bit(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    RUN(s, "dead", DEAD, F "|2|" HEAD "|0|100|3600000|dead", "1");
    LEFT(s, "acked=<1,2> " BATCH " dead=(" RECORD ") stats={dead:1}");
    SAYS(s, "1", "ZCOUNT dead 1700000000000 +inf"); /* the time of death in milliseconds */
}

static void a_dead_letter_is_written_once(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    RUN(s, "dead", DEAD, F "|2|" HEAD "|0|100|3600000|dead", "1");
    RUN(s, "dead", DEAD, F "|2|" HEAD "|0|100|3600000|dead", "0");
    RUN(s, "dead", DEAD, F "|1|other|0|100|3600000|dead", "0"); /* was settled as done */
    LEFT(s, "acked=<1,2> " BATCH " dead=(" RECORD ") stats={dead:1}");
}

static void a_cancelled_job_is_counted_apart(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    RUN(s, "dead", DEAD, F "|2|" HEAD "|0|100|3600000|cancelled", "1");
    LEFT(s, "acked=<1,2> " BATCH " dead=(" RECORD ") stats={cancelled:1}");
}

static void dead_of_a_list_that_is_gone_cleans_up(void **state)
{
    struct scripts *s = *state;
    have_no_list(s);
    RUN(s, "dead", DEAD, F "|2|" HEAD "|0|100|3600000|dead", "-1");
    LEFT(s, "batches={other:1}");
}

static void dead_joins_the_payload_where_it_lies(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    DO(s, "EVAL|redis.call('LSET', 'b', -4, string.rep('x', 2000000))|0");
    RUN(s, "dead", DEAD, F "|0|head0\n|0|100|3600000|dead", "1");
    RUN(s, "dead", DEAD, F "|3|head3\n|0|100|3600000|dead", "1");
    LEFT(s, "acked=<0,1,3> b=[<2000000> a2 a1 a0] " ENTRY
            " dead=(head0\na0 <2000006>) stats={dead:2}");
}

static void dead_letters_are_bounded_by_count_the_oldest_go(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    DO(s, "EVAL|local t = redis.call('TIME')[1] * 1000 "
          "redis.call('ZADD', 'dead', t - 3000, 'r3', t - 2000, 'r2', t - 1000, 'r1')|0");
    RUN(s, "dead", DEAD, F "|2|now|0|3|3600000|dead", "1");
    SAYS(s, "[r2 r1 nowa2]", "ZRANGE dead 0 -1");
    RUN(s, "dead", DEAD, F "|3|then|0|1|3600000|dead", "1");
    SAYS(s, "1", "ZCARD dead");
}

static void dead_letters_are_bounded_by_age(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    DO(s, "EVAL|local t = redis.call('TIME')[1] * 1000 "
          "redis.call('ZADD', 'dead', t - 9000000, 'old', t - 3601000, 'just', t - 3000000, "
          "'young')|0");
    RUN(s, "dead", DEAD, F "|2|now|0|100|3600000|dead", "1");
    SAYS(s, "[young nowa2]", "ZRANGE dead 0 -1");
}

#define RETRY "b acked batches stats retry"

static void retry_writes_the_record_then_the_bit(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    RUN(s, "retry", RETRY, F "|2|" HEAD "|0|5000", "1");
    LEFT(s, "acked=<1,2> " BATCH " retry=(" RECORD ") stats={retry:1}");
    SAYS(s, "1",
         "EVAL|local t = redis.call('TIME')[1] * 1000 "
         "return redis.call('ZCOUNT', 'retry', t + 4000, t + 6001)|0");
}

static void a_retry_is_written_once(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    RUN(s, "retry", RETRY, F "|2|" HEAD "|0|0", "1");
    char *due = strdup(redis_run(s, "ZRANGE retry 0 -1 WITHSCORES"));
    RUN(s, "retry", RETRY, F "|2|" HEAD "|0|90000", "0"); /* the answer was lost */
    RUN(s, "retry", RETRY, F "|1|other|0|0", "0");        /* was settled as done */
    SAYS(s, due, "ZRANGE retry 0 -1 WITHSCORES");
    free(due);
    LEFT(s, "acked=<1,2> " BATCH " retry=(" RECORD ") stats={retry:1}");
}

/* Else it would be there twice, and once more at each repeat. */
static void a_user_who_may_not_settle_gets_no_retry(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    script_refuse(s, "setbit");
    assert_memory_equal(script_run(s, "retry", RETRY, F "|2|" HEAD "|0|0"), "-NOPERM ", 8);
    LEFT(s, "acked=<1> " BATCH);
}

static void retry_of_a_list_that_is_gone_cleans_up(void **state)
{
    struct scripts *s = *state;
    have_no_list(s);
    RUN(s, "retry", RETRY, F "|2|" HEAD "|0|0", "-1");
    LEFT(s, "batches={other:1}");
}

/* Elements of an r batch are records themselves: only the payload behind the old head goes on. */
static void a_record_takes_the_place_of_an_older_one(void **state)
{
    struct scripts *s = *state;
    DO(s, "LPUSH|b|i 1 1 0 5 6 {}\npay\nload");
    RUN(s, "retry", RETRY, F "|0|i 1 2 0 5 7 {}\n|15|0", "1");
    LEFT(s, "acked=<0> b=[i 1 1 0 5 6 {}\npay\nload] retry=(i 1 2 0 5 7 {}\npay\nload) "
            "stats={retry:1}");
}

static void a_record_that_was_not_read_keeps_its_id(void **state)
{
    struct scripts *s = *state;
    DO(s, "LPUSH|b|a-id 1 1 0 5 6 {}\npay\nload");
    DO(s, "LPUSH|b|no record");
    RUN(s, "dead", DEAD, F "|0|e.1-r1-0 1 1 0 5 7 {}\n|-1|9|3600000|dead", "1");
    RUN(s, "dead", DEAD, F "|1|e.1-r1-1 1 1 0 5 7 {}\n|-1|9|3600000|dead", "1");
    SAYS(s, "[a-id 1 1 0 5 7 {}\npay\nload e.1-r1-1 1 1 0 5 7 {}\nno record]", "ZRANGE dead 0 -1");
}

#define WHOLE "b acked batches stats"

static void whole_ends_a_batch_and_counts_what_was_not_counted(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    DO(s, "HSET batches other 1");
    DO(s, "HSET stats done 5");
    RUN(s, "whole", WHOLE, F "|4", "4");
    LEFT(s, "batches={other:1} stats={done:8}");
    RUN(s, "whole", WHOLE, F "|4", "-1"); /* the answer was lost */
    LEFT(s, "batches={other:1} stats={done:8}");
}

static void whole_needs_no_bitmap(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    DO(s, "DEL acked");
    RUN(s, "whole", WHOLE, F "|4", "4");
    LEFT(s, "stats={done:4}");
}

static void whole_of_a_list_that_is_gone_cleans_up(void **state)
{
    struct scripts *s = *state;
    have_no_list(s);
    RUN(s, "whole", WHOLE, F "|4", "-1");
    LEFT(s, "batches={other:1}");
}

static void whole_of_a_list_that_changed_touches_nothing(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    RUN(s, "whole", WHOLE, F "|3", "-3");
    RUN(s, "whole", WHOLE, F "|5", "-3");
    RUN(s, "whole", WHOLE, F "|", "-3");
    LEFT(s, "acked=<1> " BATCH);
}

static void whole_passes_beside_stats_of_another_type(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    DO(s, "SET stats x");
    assert_memory_equal(script_run(s, "whole", WHOLE, F "|4"), "-WRONGTYPE ", 11);
    LEFT(s, "stats=\"x\"");
}

#define GIVE "b acked batches q retry stats"

static void give_back_returns_the_newest_first_and_stops_above_the_index(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    DO(s, "LPUSH q z");
    RUN(s, "give_back", GIVE, F "|2|queue", "2");
    LEFT(s, "acked=<1> b=[a1 a0] " ENTRY " q=[z a3 a2] stats={given_back:2}");
    RUN(s, "give_back", GIVE, F "|2|queue", "2"); /* a repeat takes nothing more */
    LEFT(s, "acked=<1> b=[a1 a0] " ENTRY " q=[z a3 a2] stats={given_back:2}");
}

static void what_is_settled_is_not_given_back_and_its_bit_goes_with_it(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    DO(s, "SETBIT acked 3 1");
    RUN(s, "give_back", GIVE, F "|1|queue", "1");
    LEFT(s, "acked=<> b=[a0] " ENTRY " q=[a2] stats={given_back:1}");
}

static void the_last_one_takes_bitmap_and_entry_along(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    DO(s, "LPUSH q z");
    DO(s, "HSET batches other 1");
    RUN(s, "give_back", GIVE, F "|0|queue", "0");
    LEFT(s, "batches={other:1} q=[z a3 a2 a0] stats={given_back:3}");
    SAYS(s, "a0", "RPOP q"); /* the oldest is popped next */
}

static void give_back_of_a_list_that_is_gone_cleans_up(void **state)
{
    struct scripts *s = *state;
    have_no_list(s);
    RUN(s, "give_back", GIVE, F "|0|queue", "0");
    LEFT(s, "batches={other:1}");
}

static void give_back_moves_a_hundred_at_a_time(void **state)
{
    struct scripts *s = *state;
    DO(s, "EVAL|for i = 0, 249 do redis.call('LPUSH', 'b', i) end|0");
    RUN(s, "give_back", GIVE, F "|30|queue", "150");
    RUN(s, "give_back", GIVE, F "|30|queue", "50");
    RUN(s, "give_back", GIVE, F "|30|queue", "30");
    SAYS(s, "[249 248 247]", "LRANGE q 0 2");
    SAYS(s, "[31 30]", "LRANGE q -2 -1");
    SAYS(s, "29", "LINDEX b 0");
    SAYS(s, "220", "HGET stats given_back");
}

static void give_back_stops_behind_the_job_that_reaches_a_mebibyte(void **state)
{
    struct scripts *s = *state;
    DO(s, "EVAL|local v = string.rep('x', 524288) redis.call('LPUSH', 'b', 'a', v, v, v)|0");
    RUN(s, "give_back", GIVE, F "|0|queue", "2");
    RUN(s, "give_back", GIVE, F "|0|queue", "0");
    SAYS(s, "4", "LLEN q");
}

static void records_are_given_back_to_the_retries_as_they_were(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    RUN(s, "give_back", GIVE, F "|0|retry", "0");
    LEFT(s, "retry=(a0 a2 a3) stats={given_back:3}");
    SAYS(s, "3",
         "EVAL|local t = redis.call('TIME')[1] * 1000 "
         "return redis.call('ZCOUNT', 'retry', t - 1000, t + 1000)|0");
}

static void hollow_overwrites_what_is_settled_by_the_bit(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    DO(s, "SETBIT acked 3 1");
    RUN(s, "hollow", "b acked", "", "2");
    LEFT(s, "acked=<1,3> b=[ a2  a0] " ENTRY);
    RUN(s, "hollow", "b acked", "", "2");
    LEFT(s, "acked=<1,3> b=[ a2  a0] " ENTRY);
    RUN(s, "give_back", GIVE, F "|0|queue", "0"); /* the indexes have not shifted */
    LEFT(s, "q=[a2 a0] stats={given_back:2}");
    RUN(s, "hollow", "b acked", "", "0");
}

static void entry_is_written_again_beside_its_list(void **state)
{
    struct scripts *s = *state;
    RUN(s, "entry", "b batches", F "|1 e.1-1 0 0 -|0", "0");
    LEFT(s, "");
    DO(s, "LPUSH b a");
    RUN(s, "entry", "b batches", F "|1 e.1-1 0 0 -|0", "1");
    LEFT(s, "b=[a] " ENTRY);
    RUN(s, "entry", "b batches", F "|1 e.1-1 7 7 -|0", "1"); /* what is there stays */
    LEFT(s, "b=[a] " ENTRY);
    RUN(s, "entry", "b batches", F "|1 e.1-1 3 0 5|1", "1"); /* a job on trial is named */
    SAYS(s, "1 e.1-1 3 0 5", "HGET batches " F);
}

static void sizes_tells_length_bits_and_entry(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    RUN(s, "sizes", "b acked batches", F, "[4 @ 1 e.1-1 0 0 -]"); /* @: 0x40 */
    LEFT(s, "acked=<1> " BATCH);
    DO(s, "DEL acked batches");
    RUN(s, "sizes", "b acked batches", F, "[4 nil nil]");
}

static void sizes_of_a_list_that_is_gone_cleans_up(void **state)
{
    struct scripts *s = *state;
    have_no_list(s);
    RUN(s, "sizes", "b acked batches", F, "[0 nil nil]");
    LEFT(s, "batches={other:1}");
}

static void count_adds_to_a_counter(void **state)
{
    struct scripts *s = *state;
    RUN(s, "count", "stats", "lost|3", "3");
    RUN(s, "count", "stats", "lost|4", "7");
    LEFT(s, "stats={lost:7}");
}

static void a_full_redis_is_still_settled(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    DO(s, "CONFIG SET maxmemory 1");
    RUN(s, "part", PART, F "|0", "1");
    RUN(s, "dead", DEAD, F "|2|" HEAD "|0|100|3600000|dead", "1");
    RUN(s, "retry", RETRY, F "|1|r|0|0", "0");
    RUN(s, "give_back", GIVE, F "|3|queue", "3");
    RUN(s, "whole", WHOLE, F "|3", "3");
    DO(s, "CONFIG SET maxmemory 0");
    LEFT(s, "dead=(" RECORD ") q=[a3] stats={dead:1, done:1, given_back:1}");
}

static void what_is_passed_on_becomes_records_under_their_ids(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    RUN(s, "give_back", GIVE, F "|1|record|e.1-1|2", "1");
    LEFT(s, "acked=<> b=[a0] " ENTRY " retry=(e.1-1-2 1 0 2 T T {}\na2 e.1-1-3 1 0 2 T T {}\na3) "
            "stats={given_back:2}");
}

/* ... and records, unless they have more. */
static void records_take_their_strikes_with_them(void **state)
{
    struct scripts *s = *state;
    DO(s, "LPUSH|b|a 1 7 0 1 1 {}\nx|b 1 7 4 1 1 {}\nx|no record");
    RUN(s, "give_back", GIVE, F "|0|retry|e.1-1|2", "0");
    LEFT(s, "retry=(a 1 7 2 1 1 {}\nx b 1 7 4 1 1 {}\nx no record) stats={given_back:3}");
}

#define AWAY "b acked batches stats away"

static void what_is_put_away_goes_to_its_list_once(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    DO(s, "LPUSH away x");
    RUN(s, "put_away", AWAY, F "|0|0", "1");
    RUN(s, "put_away", AWAY, F "|2|1", "1"); /* behind the head of a record */
    RUN(s, "put_away", AWAY, F "|2|1", "0"); /* the answer was lost */
    RUN(s, "put_away", AWAY, F "|1|0", "0"); /* settled otherwise */
    LEFT(s, "acked=<0,1,2> away=[2 a0 x] " BATCH " stats={dead:2}");
    DO(s, "DEL b");
    RUN(s, "put_away", AWAY, F "|3|0", "-1");
    LEFT(s, "away=[2 a0 x] stats={dead:2}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(part_sets_the_bits_and_counts_each_once),
        TEST(part_of_a_list_that_is_gone_cleans_up),
        TEST(part_takes_many_bits_at_a_time),
        TEST(dead_writes_the_record_then_the_bit),
        TEST(a_dead_letter_is_written_once),
        TEST(a_cancelled_job_is_counted_apart),
        TEST(dead_of_a_list_that_is_gone_cleans_up),
        TEST(dead_joins_the_payload_where_it_lies),
        TEST(dead_letters_are_bounded_by_count_the_oldest_go),
        TEST(dead_letters_are_bounded_by_age),
        TEST(retry_writes_the_record_then_the_bit),
        TEST(a_retry_is_written_once),
        TEST(a_user_who_may_not_settle_gets_no_retry),
        TEST(retry_of_a_list_that_is_gone_cleans_up),
        TEST(a_record_takes_the_place_of_an_older_one),
        TEST(a_record_that_was_not_read_keeps_its_id),
        TEST(whole_ends_a_batch_and_counts_what_was_not_counted),
        TEST(whole_needs_no_bitmap),
        TEST(whole_of_a_list_that_is_gone_cleans_up),
        TEST(whole_of_a_list_that_changed_touches_nothing),
        TEST(whole_passes_beside_stats_of_another_type),
        TEST(give_back_returns_the_newest_first_and_stops_above_the_index),
        TEST(what_is_settled_is_not_given_back_and_its_bit_goes_with_it),
        TEST(the_last_one_takes_bitmap_and_entry_along),
        TEST(give_back_of_a_list_that_is_gone_cleans_up),
        TEST(give_back_moves_a_hundred_at_a_time),
        TEST(give_back_stops_behind_the_job_that_reaches_a_mebibyte),
        TEST(records_are_given_back_to_the_retries_as_they_were),
        TEST(hollow_overwrites_what_is_settled_by_the_bit),
        TEST(entry_is_written_again_beside_its_list),
        TEST(sizes_tells_length_bits_and_entry),
        TEST(sizes_of_a_list_that_is_gone_cleans_up),
        TEST(count_adds_to_a_counter),
        TEST(a_full_redis_is_still_settled),
        TEST(what_is_put_away_goes_to_its_list_once),
        TEST(what_is_passed_on_becomes_records_under_their_ids),
        TEST(records_take_their_strikes_with_them),
    };
    return cmocka_run_group_tests_name("script_settle", tests, scripts_begin, scripts_end);
}
