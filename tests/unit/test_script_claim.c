/* The scripts that hand jobs over, against a real Redis: claim, put_back, take. After each what is
 * in Redis is compared as a whole. */
#include <stdio.h>

#include "tests/unit/script_assert.h"

#define BURST "owner paused q q b batches"
#define POP "owner paused q popped b batches"
#define CLAIM(n, bytes) "e.1|3|i:e.1:1|1 e.1-1 0 0 -|" n "|" bytes
#define OWNER "owner=\"1 e.1 3 host\""
#define ENTRY "batches={i:e.1:1:1 e.1-1 0 0 -}"

static int begin(void **state)
{
    int r = scripts_clear(state);
    return r ? r : *redis_run(*state, "SET|owner|1 e.1 3 host") == '-';
}

static void claim_gives_the_oldest_first_and_keeps_them_in_the_batch(void **state)
{
    struct scripts *s = *state;
    DO(s, "LPUSH q a b c d e");
    RUN(s, "claim", BURST, CLAIM("3", "1048576"), "[ok 2 a b c]");
    LEFT(s, "b=[c b a] " ENTRY " " OWNER " q=[e d]");
}

static void claim_takes_no_more_than_there_is(void **state)
{
    struct scripts *s = *state;
    DO(s, "LPUSH q a b");
    RUN(s, "claim", BURST, CLAIM("10", "1048576"), "[ok 0 a b]");
    LEFT(s, "b=[b a] " ENTRY " " OWNER);
}

static void claim_of_an_empty_queue_leaves_nothing(void **state)
{
    struct scripts *s = *state;
    RUN(s, "claim", BURST, CLAIM("10", "1048576"), "[ok 0]");
    LEFT(s, OWNER);
    DO(s, "LPUSH q a");
    RUN(s, "claim", BURST, CLAIM("0", "1048576"), "[ok 1]");
    LEFT(s, OWNER " q=[a]");
}

static void empty_and_equal_payloads_are_jobs(void **state)
{
    struct scripts *s = *state;
    DO(s, "LPUSH|q|||a|a");
    RUN(s, "claim", BURST, CLAIM("10", "1048576"), "[ok 0   a a]");
    SAYS(s, "[a a  ]", "LRANGE b 0 -1");
}

static void claim_behind_a_pop_takes_from_passage_and_tells_the_queues_length(void **state)
{
    struct scripts *s = *state;
    DO(s, "LPUSH popped a b");
    DO(s, "LPUSH q c d e");
    RUN(s, "claim", POP, CLAIM("1", "1048576"), "[ok 3 a]");
    LEFT(s, "b=[a] " ENTRY " " OWNER " popped=[b] q=[e d c]");
    DO(s, "DEL popped");
    RUN(s, "claim", POP, "e.1|3|i:e.1:2|1 e.1-2 0 0 -|1|1048576", "[ok 3]");
    LEFT(s, "b=[a] " ENTRY " " OWNER " q=[e d c]");
}

static void claim_stops_behind_the_job_that_reaches_the_bound(void **state)
{
    struct scripts *s = *state;
    DO(s, "LPUSH q aaaa bbbb cccc dddd");
    RUN(s, "claim", BURST, CLAIM("10", "5"), "[ok 2 aaaa bbbb]");
    RUN(s, "claim", BURST, CLAIM("10", "4"), "[ok 1 cccc]");
    RUN(s, "claim", BURST, CLAIM("10", "1"), "[ok 0 dddd]");
}

static void a_mebibyte_bounds_a_claim_and_one_job_of_any_size_passes(void **state)
{
    struct scripts *s = *state;
    DO(s, "EVAL|local v = string.rep('x', 524288) redis.call('LPUSH', 'q', v, v, v)|0");
    RUN(s, "claim", BURST, CLAIM("10", "1048576"), "[ok 1 <524288> <524288>]");
    DO(s, "DEL q b");
    DO(s, "EVAL|redis.call('LPUSH', 'q', string.rep('x', 3000000), 'a')|0");
    RUN(s, "claim", BURST, CLAIM("10", "1048576"), "[ok 1 <3000000>]");
    LEFT(s, "b=[<3000000>] " ENTRY " " OWNER " q=[a]");
}

static void a_paused_queue_gives_nothing_and_tells_its_length(void **state)
{
    struct scripts *s = *state;
    DO(s, "LPUSH q a b");
    DO(s, "SET paused why");
    RUN(s, "claim", BURST, CLAIM("1", "1048576"), "[paused 2]");
    RUN(s, "claim", POP, CLAIM("1", "1048576"), "[paused 2]");
    LEFT(s, OWNER " paused=\"why\" q=[b a]");
}

/* Each of these is what a late claim meets: the epoch fenced, another run, a link that was cut, a
 * newer version, no owner at all. */
static void who_does_not_own_the_queue_gets_nothing(void **state)
{
    struct scripts *s = *state;
    static const char *const owners[] = {
        "1 e.2 3 host", "1 e.1 4 host", "1 e.1 2 host", "1 e.11 3 host",
        "1 e.1 33 x",   "2 e.1 3 host", "1 e.1",        "",
        "11 e.1 3 host"};
    DO(s, "LPUSH q a b");
    DO(s, "LPUSH popped c");
    for (size_t i = 0; i < sizeof owners / sizeof *owners; i++) {
        DO(s, "SET|owner|%s", owners[i]);
        RUN(s, "claim", BURST, CLAIM("1", "1048576"), "[not owner 2]");
        RUN(s, "claim", POP, CLAIM("1", "1048576"), "[not owner 2]");
    }
    DO(s, "DEL owner");
    DO(s, "SET paused why"); /* ownership is asked first */
    RUN(s, "claim", BURST, CLAIM("1", "1048576"), "[not owner 2]");
    LEFT(s, "paused=\"why\" popped=[c] q=[b a]");
}

static void a_full_redis_is_still_drained(void **state)
{
    struct scripts *s = *state;
    DO(s, "LPUSH q a b c");
    DO(s, "CONFIG SET maxmemory-policy noeviction");
    DO(s, "CONFIG SET maxmemory 1");
    assert_non_null(strstr(redis_run(s, "LPUSH q d"), "OOM"));
    RUN(s, "claim", BURST, CLAIM("2", "1048576"), "[ok 1 a b]");
    DO(s, "CONFIG SET maxmemory 0");
    LEFT(s, "b=[b a] " ENTRY " " OWNER " q=[c]");
}

static void put_back_returns_passage_to_the_end_that_is_popped_next(void **state)
{
    struct scripts *s = *state;
    RUN(s, "put_back", "popped q", "", "0");
    DO(s, "LPUSH popped a b");
    DO(s, "LPUSH q c d");
    RUN(s, "put_back", "popped q", "", "2");
    LEFT(s, OWNER " q=[d c b a]"); /* as if they had never been popped: a, then b */
}

static void put_back_is_bounded_by_a_hundred_and_by_a_mebibyte(void **state)
{
    struct scripts *s = *state;
    DO(s, "EVAL|for i = 1, 150 do redis.call('LPUSH', 'popped', i) end|0");
    RUN(s, "put_back", "popped q", "", "100");
    SAYS(s, "50", "LLEN popped");
    RUN(s, "put_back", "popped q", "", "50");
    SAYS(s, "[150 149 148]", "LRANGE q 0 2");
    DO(s, "DEL q");
    DO(s, "EVAL|local v = string.rep('x', 524288) redis.call('LPUSH', 'popped', v, v, v)|0");
    RUN(s, "put_back", "popped q", "", "2");
    SAYS(s, "1", "LLEN popped");
}

#define TAKE "owner paused old acked.old batches fenced new acked.new stats"
#define ARGS(room) "e.1|3|d.1|k:d.1:7|i:e.1:1|" room "|2000|1|"
#define FENCED_NOW                                                                            \
    "EVAL|local t = redis.call('TIME') redis.call('HSET', 'fenced', 'd.1', t[1] * 1000 .. ' " \
    "open')|0"

/* A batch of three of the fenced epoch d.1, the second settled. */
static void leave_a_batch(struct scripts *s, const char *entry)
{
    DO(s, "LPUSH old a b c");
    DO(s, "SETBIT acked.old 1 1");
    DO(s, "HSET|batches|k:d.1:7|%s|k:d.1:8|1 d.1-8 0 0 -", entry);
    DO(s, "HSET|fenced|d.1|5 open");
}

#define OTHERS "fenced={d.1:5 open} "
#define UNTAKEN "acked.old=<1> batches={k:d.1:7:1 d.1-7 0 0 -, k:d.1:8:1 d.1-8 0 0 -} "

static void take_moves_a_fenced_batch_as_it_lies(void **state)
{
    struct scripts *s = *state;
    leave_a_batch(s, "1 d.1-7 2 1 -");
    DO(s, "HSET stats done 4");
    RUN(s, "take", TAKE, ARGS("2"), "[ok 3 @ 1 d.1-7 3 0 -]"); /* @: 0x40 */
    LEFT(s, "acked.new=<1> batches={i:e.1:1:1 d.1-7 3 0 -, k:d.1:8:1 d.1-8 0 0 -} " OTHERS
            "new=[c b a] " OWNER " stats={done:4, recovered:2}");
}

static void take_needs_no_bitmap(void **state)
{
    struct scripts *s = *state;
    leave_a_batch(s, "1 d.1-7 0 0 -");
    DO(s, "DEL acked.old");
    RUN(s, "take", TAKE, ARGS("3"), "[ok 3 nil 1 d.1-7 1 0 -]");
    LEFT(s, "batches={i:e.1:1:1 d.1-7 1 0 -, k:d.1:8:1 d.1-8 0 0 -} " OTHERS "new=[c b a] " OWNER
            " stats={recovered:3}");
}

static void take_leaves_what_is_larger_than_the_room_for_a_moment(void **state)
{
    struct scripts *s = *state;
    leave_a_batch(s, "1 d.1-7 0 0 -");
    DO(s, FENCED_NOW);
    RUN(s, "take", TAKE, ARGS("1"), "[large]"); /* two of three are not settled */
    LEFT(s, UNTAKEN "fenced={d.1:T open} old=[c b a] " OWNER);
    RUN(s, "take", TAKE, ARGS("2"), "[ok 3 @ 1 d.1-7 1 0 -]");
}

static void later_take_asks_for_no_room(void **state)
{
    struct scripts *s = *state;
    leave_a_batch(s, "1 d.1-7 0 0 -");
    RUN(s, "take", TAKE, ARGS("1"), "[ok 3 @ 1 d.1-7 1 0 -]");
    assert_int_equal(begin(state), 0);
    leave_a_batch(s, "1 d.1-7 0 0 -");
    DO(s, FENCED_NOW);
    RUN(s, "take", TAKE, "e.1|3|d.1|k:d.1:7|i:e.1:1|1|0|1|", "[ok 3 @ 1 d.1-7 1 0 -]");
}

static void take_needs_the_epoch_to_be_fenced(void **state)
{
    struct scripts *s = *state;
    leave_a_batch(s, "1 d.1-7 0 0 -");
    DO(s, "HDEL fenced d.1");
    RUN(s, "take", TAKE, ARGS("9"), "[nothing]");
    LEFT(s, UNTAKEN "old=[c b a] " OWNER);
}

static void take_needs_the_entry(void **state)
{
    struct scripts *s = *state;
    leave_a_batch(s, "1 d.1-7 0 0 -");
    DO(s, "HDEL batches k:d.1:7");
    RUN(s, "take", TAKE, ARGS("9"), "[nothing]");
    LEFT(s, "acked.old=<1> batches={k:d.1:8:1 d.1-8 0 0 -} " OTHERS "old=[c b a] " OWNER);
}

static void an_entry_without_its_list_goes(void **state)
{
    struct scripts *s = *state;
    leave_a_batch(s, "1 d.1-7 0 0 -");
    DO(s, "DEL old");
    RUN(s, "take", TAKE, ARGS("9"), "[nothing]");
    LEFT(s, "batches={k:d.1:8:1 d.1-8 0 0 -} " OTHERS OWNER);
}

static void take_leaves_a_newer_entry_alone(void **state)
{
    struct scripts *s = *state;
    static const char *const entries[] = {"2 d.1-7 0 0 -",   "11 d.1-7 0 0 -", "1 d.1-7 0 0",
                                          "1 d.1-7 0 0 - x", "1 d.1-7 -1 0 -", "",
                                          "1 d.1-7 0 0 x"};
    leave_a_batch(s, "1 d.1-7 0 0 -");
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        DO(s, "HSET|batches|k:d.1:7|%s", entries[i]);
        RUN(s, "take", TAKE, ARGS("9"), "[newer]");
        SAYS(s, entries[i], "HGET batches k:d.1:7");
        SAYS(s, "0", "EXISTS new acked.new stats");
        SAYS(s, "3", "LLEN old");
    }
}

static void only_a_live_owner_under_no_pause_takes(void **state)
{
    struct scripts *s = *state;
    leave_a_batch(s, "1 d.1-7 0 0 -");
    DO(s, "SET|owner|1 e.1 4 host");
    RUN(s, "take", TAKE, ARGS("9"), "[not owner]");
    DO(s, "DEL owner");
    RUN(s, "take", TAKE, ARGS("9"), "[not owner]");
    DO(s, "SET|owner|1 e.1 3 host");
    DO(s, "SET paused why");
    RUN(s, "take", TAKE, ARGS("9"), "[paused]");
    LEFT(s, UNTAKEN OTHERS "old=[c b a] " OWNER " paused=\"why\"");
}

/* The job that was named as running alone: a strike where it had not ended, none where it had. */
static void a_named_job_gets_a_strike_unless_its_bit_is_set(void **state)
{
    struct scripts *s = *state;
    leave_a_batch(s, "1 d.1-7 4 1 2");
    RUN(s, "take", TAKE, ARGS("9"), "[ok 3 @ 1 d.1-7 5 2 2]");
    SAYS(s, "1 d.1-7 5 2 2", "HGET batches i:e.1:1");
    assert_int_equal(begin(state), 0);
    leave_a_batch(s, "1 d.1-7 4 1 1");
    RUN(s, "take", TAKE, ARGS("9"), "[ok 3 @ 1 d.1-7 5 0 -]");
    SAYS(s, "1 d.1-7 5 0 -", "HGET batches i:e.1:1");
}

/* What a crash note says: nobody but the job that it names is to blame. */
static void a_noted_job_gets_a_strike_and_no_batch_a_recovery(void **state)
{
    struct scripts *s = *state;
    static const struct {
        const char *entry, *struck, *want;
    } rows[] = {
        {"1 d.1-7 0 0 -", "2", "1 d.1-7 0 1 -2"}, /* the first */
        {"1 d.1-7 1 2 -2", "2", "1 d.1-7 1 3 -2"},
        {"1 d.1-7 1 2 -2", "", "1 d.1-7 1 2 -2"},  /* of another batch */
        {"1 d.1-7 1 2 -2", "0", "1 d.1-7 2 1 -0"}, /* two of them: in the end a trial parts them */
        {"1 d.1-7 1 2 -1", "2", "1 d.1-7 1 1 -2"}, /* 1 has ended since */
        {"1 d.1-7 3 1 2", "2", "1 d.1-7 3 2 2"},   /* it ran alone */
        {"1 d.1-7 3 1 2", "", "1 d.1-7 3 1 2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char args[80];
        assert_int_equal(begin(state), 0);
        leave_a_batch(s, rows[i].entry);
        (void)snprintf(args, sizeof args, "e.1|3|d.1|k:d.1:7|i:e.1:1|9|0|0|%s", rows[i].struck);
        (void)script_run(s, "take", TAKE, args);
        SAYS(s, rows[i].want, "HGET batches i:e.1:1");
    }
}

static void a_death_without_a_note_leaves_strikes_by_notes_alone(void **state)
{
    struct scripts *s = *state;
    leave_a_batch(s, "1 d.1-7 0 2 -2");
    RUN(s, "take", TAKE, ARGS("9"), "[ok 3 @ 1 d.1-7 1 2 -2]");
}

static void a_full_redis_is_still_taken_over(void **state)
{
    struct scripts *s = *state;
    leave_a_batch(s, "1 d.1-7 0 0 -");
    DO(s, "LPUSH popped z");
    DO(s, "CONFIG SET maxmemory 1");
    RUN(s, "take", TAKE, ARGS("9"), "[ok 3 @ 1 d.1-7 1 0 -]");
    RUN(s, "put_back", "popped q", "", "1");
    DO(s, "CONFIG SET maxmemory 0");
    SAYS(s, "[c b a]", "LRANGE new 0 -1");
    SAYS(s, "[z]", "LRANGE q 0 -1");
}

#undef TEST
#define TEST(f) cmocka_unit_test_setup(f, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(claim_gives_the_oldest_first_and_keeps_them_in_the_batch),
        TEST(claim_takes_no_more_than_there_is),
        TEST(claim_of_an_empty_queue_leaves_nothing),
        TEST(empty_and_equal_payloads_are_jobs),
        TEST(claim_behind_a_pop_takes_from_passage_and_tells_the_queues_length),
        TEST(claim_stops_behind_the_job_that_reaches_the_bound),
        TEST(a_mebibyte_bounds_a_claim_and_one_job_of_any_size_passes),
        TEST(a_paused_queue_gives_nothing_and_tells_its_length),
        TEST(who_does_not_own_the_queue_gets_nothing),
        TEST(a_full_redis_is_still_drained),
        TEST(put_back_returns_passage_to_the_end_that_is_popped_next),
        TEST(put_back_is_bounded_by_a_hundred_and_by_a_mebibyte),
        TEST(take_moves_a_fenced_batch_as_it_lies),
        TEST(take_needs_no_bitmap),
        TEST(take_leaves_what_is_larger_than_the_room_for_a_moment),
        TEST(later_take_asks_for_no_room),
        TEST(take_needs_the_epoch_to_be_fenced),
        TEST(take_needs_the_entry),
        TEST(an_entry_without_its_list_goes),
        TEST(take_leaves_a_newer_entry_alone),
        TEST(only_a_live_owner_under_no_pause_takes),
        TEST(a_named_job_gets_a_strike_unless_its_bit_is_set),
        TEST(a_noted_job_gets_a_strike_and_no_batch_a_recovery),
        TEST(a_death_without_a_note_leaves_strikes_by_notes_alone),
        TEST(a_full_redis_is_still_taken_over),
    };
    return cmocka_run_group_tests_name("script_claim", tests, scripts_begin, scripts_end);
}
