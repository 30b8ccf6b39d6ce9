/* The scripts that deliver: deliver (a job that is done, and what it returned), room, and dead with
 * a list that the payload goes to. Against a real Redis; after each what is in Redis is compared as
 * a whole. */
#include <stdio.h>

#include "tests/unit/script_assert.h"

#define F "i:e.1:1"
#define ENTRY "batches={" F ":1 e.1-1 0 0 -}"
#define BATCH "b=[a3 a2 a1 a0] " ENTRY

/* A batch of four, the second settled. */
static void have_a_batch(struct scripts *s)
{
    DO(s, "LPUSH b a0 a1 a2 a3");
    DO(s, "SETBIT acked 1 1");
    DO(s, "HSET|batches|" F "|1 e.1-1 0 0 -");
}

#define KEYS "b acked batches stats "
#define NO_TTL F "|0|0|"

static void a_result_is_pushed_with_its_id_and_the_bit_is_set(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    RUN(s, "deliver", KEYS "done none", NO_TTL "0|0|e.1-1-0|r0|2|0|e.1-1-2|r2", "2");
    LEFT(s, "acked=<0,1,2> " BATCH " done=[e.1-1-2\nr2 e.1-1-0\nr0] stats={done:2}");
}

static void a_result_is_kept_under_its_key_for_its_time(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    RUN(s, "deliver", KEYS "none none r0 r2", F "|0|60000|0|0|e.1-1-0|x|2|0|e.1-1-2|", "2");
    LEFT(s, "acked=<0,1,2> " BATCH " r0~=\"x\" r2~=\"\" stats={done:2}");
    SAYS(s, "1", "EVAL|local t = redis.call('PTTL', 'r2') return t > 50000 and t <= 60000|0");
}

static void the_next_list_gets_the_result_or_the_payload(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    RUN(s, "deliver", KEYS "none next", NO_TTL "0|0|e.1-1-0|r0|2|0||", "2");
    LEFT(s, "acked=<0,1,2> " BATCH " next=[a2 r0] stats={done:2}");
    DO(s, "LSET|b|0|head\na3"); /* of a record the payload alone */
    RUN(s, "deliver", KEYS "none next", NO_TTL "3|5||", "1");
    SAYS(s, "[a3 a2 r0]", "LRANGE next 0 -1");
}

static void all_three_get_it_at_once(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    RUN(s, "deliver", KEYS "done next r0 r2", F "|0|60000|0|0|e.1-1-0|x|2|0||", "2");
    LEFT(s, "acked=<0,1,2> " BATCH " done=[e.1-1-0\nx] next=[a2 x] r0~=\"x\" stats={done:2}");
}

static void a_repeat_delivers_nothing_twice(void **state)
{
    struct scripts *s = *state;
    static const char args[] = F "|0|60000|0|0|e.1-1-0|x|1|0|e.1-1-1|y|2|0|e.1-1-2|z";
    static const char left[] = "acked=<0,1,2> " BATCH " done=[e.1-1-2\nz e.1-1-0\nx] next=[z x] "
                               "r0~=\"x\" r2~=\"z\" stats={done:2}";
    have_a_batch(s);
    RUN(s, "deliver", KEYS "done next r0 r1 r2", args, "2"); /* the second was settled before */
    LEFT(s, left);
    RUN(s, "deliver", KEYS "done next r0 r1 r2", args, "0");
    LEFT(s, left);
}

static void who_does_not_own_the_batch_delivers_nothing(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    DO(s, "RENAME b taken");
    DO(s, "HSET batches other 1");
    RUN(s, "deliver", KEYS "done next r0", F "|0|60000|0|0|e.1-1-0|x", "-1");
    RUN(s, "deliver", KEYS "done next r0", F "|1|60000|0|0|e.1-1-0|x", "-1");
    LEFT(s, "batches={other:1} taken=[a3 a2 a1 a0]");
}

static void the_batch_is_settled_as_a_whole_behind_it(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    RUN(s, "deliver", KEYS "done none", NO_TTL "0|0|e.1-1-0|x", "1");
    RUN(s, "whole", "b acked batches stats", F "|4", "4");
    LEFT(s, "done=[e.1-1-0\nx] stats={done:3}"); /* the second was counted when it was settled */
}

#define TYPE(list) \
    "-WRONGTYPE Operation against a key holding the wrong kind of value (LLEN " list ")"

static void a_list_of_another_type_delivers_to_none(void **state)
{
    struct scripts *s = *state;
    static const char args[] = F "|0|60000|0|0|e.1-1-0|x";
    have_a_batch(s);
    DO(s, "SADD next x");
    RUN(s, "deliver", KEYS "done next r0", args, TYPE("next"));
    RUN(s, "room", "done next", "", TYPE("next"));
    LEFT(s, "acked=<1> " BATCH " next=set");
    DO(s, "DEL next");
    DO(s, "SADD done x");
    RUN(s, "deliver", KEYS "done next r0", args, TYPE("done"));
    RUN(s, "room", "done next", "", TYPE("done"));
    LEFT(s, "acked=<1> " BATCH " done=set");
    DO(s, "DEL done");
    RUN(s, "room", "done next", "", "1");
    RUN(s, "deliver", KEYS "done next r0", args, "1");
    LEFT(s, "acked=<0,1> " BATCH " done=[e.1-1-0\nx] next=[x] r0~=\"x\" stats={done:1}");
}

static void counters_of_another_type_deliver_once(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    DO(s, "SET stats x");
    assert_memory_equal(script_run(s, "deliver", KEYS "done none", NO_TTL "0|0|e.1-1-0|x"),
                        "-WRONGTYPE ", 11);
    RUN(s, "deliver", KEYS "done none", NO_TTL "0|0|e.1-1-0|x", "0");
    LEFT(s, "acked=<0,1> " BATCH " done=[e.1-1-0\nx] stats=\"x\"");
}

static void a_full_redis_takes_what_needs_no_more_room(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    DO(s, "CONFIG SET maxmemory 1");
    assert_memory_equal(script_run(s, "room", "done next", ""), "-OOM ", 5);
    assert_memory_equal(
        script_run(s, "deliver", KEYS "done next r0", F "|1|60000|0|0|e.1-1-0|large"), "-OOM ", 5);
    LEFT(s, "acked=<1> " BATCH);
    RUN(s, "deliver", KEYS "none next", NO_TTL "2|0||", "1");
    LEFT(s, "acked=<1,2> " BATCH " next=[a2] stats={done:1}");
    DO(s, "CONFIG SET maxmemory 0");
    RUN(s, "room", "done next", "", "1");
    RUN(s, "deliver", KEYS "done next r0", F "|1|60000|0|0|e.1-1-0|large", "1");
    LEFT(s, "acked=<0,1,2> " BATCH " done=[e.1-1-0\nlarge] next=[large a2] r0~=\"large\" "
            "stats={done:2}");
}

static void a_right_that_is_missing_is_told_before_anything_moves(void **state)
{
    struct scripts *s = *state;
    static const char *const needed[] = {"llen", "lmove", "getbit", "setbit"};
    have_a_batch(s);
    for (unsigned i = 0; i < sizeof needed / sizeof *needed; i++) {
        script_refuse(s, needed[i]);
        assert_memory_equal(
            script_run(s, "deliver", KEYS "done next r0", F "|0|60000|0|0|e.1-1-0|x"), "-NOPERM ",
            8);
        LEFT(s, "acked=<1> " BATCH);
        script_refuse(s, NULL);
    }
}

static void many_are_delivered_at_a_time_in_their_order(void **state)
{
    struct scripts *s = *state;
    static char args[8000] = NO_TTL;
    DO(s, "EVAL|for i = 0, 99 do redis.call('LPUSH', 'b', i) end|0");
    for (int i = 0; i < 100; i++)
        (void)snprintf(args + strlen(args), 40, "%s%d|0|e.1-1-%d|r%d", i ? "|" : "", i, i, i);
    RUN(s, "deliver", KEYS "done none", args, "100");
    SAYS(s, "e.1-1-0\nr0", "RPOP done");
    SAYS(s, "e.1-1-1\nr1", "RPOP done");
    SAYS(s, "e.1-1-99\nr99", "LINDEX done 0");
    SAYS(s, "100", "BITCOUNT acked");
}

/* Dead ----------------------------------------------------------------------------------------- */

#define DEAD KEYS "dead "
#define HEAD "e.1-1-2 1 1 0 5 6 {}\n"

static void the_payload_of_a_dead_job_goes_to_its_list_once(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    for (int i = 0; i < 2; i++) {
        RUN(s, "dead", DEAD "broken", F "|2|" HEAD "|0|100|3600000|dead", i ? "0" : "1");
        LEFT(s, "acked=<1,2> " BATCH " broken=[a2] dead=(" HEAD "a2) stats={dead:1}");
    }
    RUN(s, "dead", DEAD "broken", F "|1|" HEAD "|0|100|3600000|dead", "0"); /* was done */
    SAYS(s, "1", "LLEN broken");
}

static void of_a_record_the_payload_alone_goes(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    DO(s, "LSET|b|0|e.1-1-3 1 1 0 5 6 {}\nabc");
    DO(s, "LSET|b|1|id2 1 1 0 5 6 {}\nxyz");
    RUN(s, "dead", DEAD "broken", F "|3|e.1-1-3 1 2 0 5 6 {}\n|21|100|3600000|dead", "1");
    /* it was too large to be read: its head is not known */
    RUN(s, "dead", DEAD "broken", F "|2|new 1 1 0 5 6 {}\n|-1|100|3600000|dead", "1");
    SAYS(s, "[xyz abc]", "LRANGE broken 0 -1");
    SAYS(s, "[e.1-1-3 1 2 0 5 6 {}\nabc id2 1 1 0 5 6 {}\nxyz]", "ZRANGE dead 0 -1");
}

static void a_list_of_another_type_leaves_no_letter(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    DO(s, "SADD broken x");
    RUN(s, "dead", DEAD "broken", F "|2|" HEAD "|0|100|3600000|dead", TYPE("broken"));
    LEFT(s, "acked=<1> " BATCH " broken=set");
    DO(s, "DEL broken");
    DO(s, "SADD dead x");
    assert_memory_equal(script_run(s, "dead", DEAD "broken", F "|2|" HEAD "|0|100|3600000|dead"),
                        "-WRONGTYPE ", 11);
    LEFT(s, "acked=<1> " BATCH " dead=set");
}

static void a_full_redis_takes_a_dead_job(void **state)
{
    struct scripts *s = *state;
    have_a_batch(s);
    DO(s, "CONFIG SET maxmemory 1");
    RUN(s, "dead", DEAD "broken", F "|2|" HEAD "|0|100|3600000|dead", "1");
    LEFT(s, "acked=<1,2> " BATCH " broken=[a2] dead=(" HEAD "a2) stats={dead:1}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_result_is_pushed_with_its_id_and_the_bit_is_set),
        TEST(a_result_is_kept_under_its_key_for_its_time),
        TEST(the_next_list_gets_the_result_or_the_payload),
        TEST(all_three_get_it_at_once),
        TEST(a_repeat_delivers_nothing_twice),
        TEST(who_does_not_own_the_batch_delivers_nothing),
        TEST(the_batch_is_settled_as_a_whole_behind_it),
        TEST(a_list_of_another_type_delivers_to_none),
        TEST(counters_of_another_type_deliver_once),
        TEST(a_full_redis_takes_what_needs_no_more_room),
        TEST(a_right_that_is_missing_is_told_before_anything_moves),
        TEST(many_are_delivered_at_a_time_in_their_order),
        TEST(the_payload_of_a_dead_job_goes_to_its_list_once),
        TEST(of_a_record_the_payload_alone_goes),
        TEST(a_list_of_another_type_leaves_no_letter),
        TEST(a_full_redis_takes_a_dead_job),
    };
    return cmocka_run_group_tests_name("script_deliver", tests, scripts_begin, scripts_end);
}
