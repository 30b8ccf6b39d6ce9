/* The scripts of jobs that are delivered at most once, against a real Redis: claim_once, dead_once,
 * deliver_once, push_back. After each what is in Redis is compared as a whole. */
#include <stdio.h>

#include "tests/unit/script_assert.h"

#define BURST "owner paused q q dead stats none"
#define POP "owner paused q popped dead stats none"
#define DUE "owner paused q retry dead stats none"
#define ARGS(from, n, bytes, largest) \
    "e.1|3|" from "|" n "|" bytes "|e.1-7|here|" largest "|100|99999999999999"
#define LIST(n) ARGS("list", n, "1048576", "1000")
#define RETRY(n) ARGS("retry", n, "1048576", "1000")
#define OWNER "owner=\"1 e.1 3 h\""
#define LATER "9999999999999" /* in 270 years */

static int begin(void **state)
{
    int r = scripts_clear(state);
    return r ? r : *redis_run(*state, "SET|owner|1 e.1 3 h") == '-';
}

static void a_claim_pops_the_oldest_first_and_keeps_nothing(void **state)
{
    struct scripts *s = *state;
    DO(s, "LPUSH q a b c d e");
    RUN(s, "claim_once", BURST, LIST("3"), "[ok 2 a b c]");
    LEFT(s, OWNER " q=[e d] stats={popped:3}");
    RUN(s, "claim_once", BURST, LIST("9"), "[ok 0 d e]");
    RUN(s, "claim_once", BURST, LIST("9"), "[ok 0]");
    LEFT(s, OWNER " stats={popped:5}");
}

static void a_claim_behind_a_pop_takes_from_passage(void **state)
{
    struct scripts *s = *state;
    DO(s, "LPUSH popped a");
    DO(s, "LPUSH q c d");
    RUN(s, "claim_once", POP, LIST("1"), "[ok 2 a]");
    RUN(s, "claim_once", POP, LIST("1"), "[ok 2]");
    LEFT(s, OWNER " q=[d c] stats={popped:1}");
}

static void it_stops_behind_the_job_that_reaches_the_bytes(void **state)
{
    struct scripts *s = *state;
    DO(s, "LPUSH q aaaa bbbb cccc dddd");
    RUN(s, "claim_once", BURST, ARGS("list", "9", "5", "1000"), "[ok 2 aaaa bbbb]");
    LEFT(s, OWNER " q=[dddd cccc] stats={popped:2}");
}

static void due_records_are_taken_the_first_due_first(void **state)
{
    struct scripts *s = *state;
    DO(s, "ZADD retry 3 c 1 a 2 b " LATER " z");
    RUN(s, "claim_once", DUE, RETRY("2"), "[ok 1 a b]");
    LEFT(s, OWNER " retry=(c z) stats={popped:2}");
    RUN(s, "claim_once", DUE, RETRY("2"), "[ok 0 c]");
    RUN(s, "claim_once", DUE, RETRY("2"), "[ok 0]");
}

static void who_does_not_own_the_queue_gets_nothing(void **state)
{
    struct scripts *s = *state;
    static const char *const owners[] = {"1 e.2 3 h", "1 e.1 4 h", "2 e.1 3 h", ""};
    DO(s, "LPUSH q a b");
    DO(s, "LPUSH popped c");
    DO(s, "ZADD retry 1 r");
    for (size_t i = 0; i < sizeof owners / sizeof *owners; i++) {
        DO(s, "SET|owner|%s", owners[i]);
        RUN(s, "claim_once", BURST, LIST("1"), "[not owner 2]");
        RUN(s, "claim_once", POP, LIST("1"), "[not owner 2]");
        RUN(s, "claim_once", DUE, RETRY("1"), "[not owner 1]");
    }
    DO(s, "SET|owner|1 e.1 3 h");
    DO(s, "SET paused why");
    RUN(s, "claim_once", BURST, LIST("1"), "[paused 2]");
    LEFT(s, OWNER " paused=\"why\" popped=[c] q=[b a] retry=(r)");
}

#define BURIED(id, tries, size, rest)                                                \
    id " 1 " tries " 0 T T {\"reason\":\"too large: " size " bytes, max_payload is " \
       "4\",\"instance\":\"here\"}\n" rest

static void what_is_too_large_becomes_a_dead_letter(void **state)
{
    struct scripts *s = *state;
    DO(s, "LPUSH q abcd abcde x");
    RUN(s, "claim_once", BURST, ARGS("list", "9", "1048576", "4"), "[ok 0 abcd 5 x]");
    LEFT(s, "dead=(" BURIED("e.1-7-1", "1", "5", "abcde") ") " OWNER " stats={dead:1, popped:3}");
}

static void so_does_a_record_whose_payload_is_and_it_keeps_its_id(void **state)
{
    struct scripts *s = *state;
    DO(s, "ZADD|retry|1|f.2-1-0 1 2 0 1000000000000 2000000000000 {}\nabcde|2|f.2-1-1 1 0 0 1 2 "
          "{}\nabcd");
    RUN(s, "claim_once", DUE, ARGS("retry", "9", "1048576", "4"),
        "[ok 0 5 f.2-1-1 1 0 0 1 2 {}\nabcd]");
    LEFT(s, "dead=(" BURIED("f.2-1-0", "3", "5", "abcde") ") " OWNER " stats={dead:1, popped:2}");
}

/* It stays where it was, and is what the script complains of only where nothing else was popped. */
static void it_goes_back_where_it_cannot_be_a_dead_letter(void **state)
{
    struct scripts *s = *state;
    DO(s, "LPUSH q a abcde b");
    DO(s, "SET dead x");
    RUN(s, "claim_once", BURST, ARGS("list", "9", "1048576", "4"), "[ok 2 a]");
    LEFT(s, "dead=\"x\" " OWNER " q=[b abcde] stats={popped:1}");
    assert_non_null(strstr(script_run(s, "claim_once", BURST, ARGS("list", "9", "1048576", "4")),
                           "-WRONGTYPE "));
    LEFT(s, "dead=\"x\" " OWNER " q=[b abcde] stats={popped:1}");
}

static void a_counter_that_cannot_be_written_keeps_no_job(void **state)
{
    struct scripts *s = *state;
    DO(s, "LPUSH q a");
    DO(s, "SET stats x");
    RUN(s, "claim_once", BURST, LIST("9"), "[ok 0 a]");
    RUN(s, "push_back", "q stats", "list|a", "1");
    RUN(s, "dead_once", "dead stats none", "head \n|a|100|99999999999999|dead", "1");
    LEFT(s, "dead=(head \na) " OWNER " q=[a] stats=\"x\"");
}

static void a_dead_letter_is_written_once(void **state)
{
    struct scripts *s = *state;
    RUN(s, "dead_once", "dead stats none", "id 1 1 0 1 2 {}\n|payload|2|99999999999999|dead", "1");
    RUN(s, "dead_once", "dead stats none", "id 1 1 0 1 2 {}\n|payload|2|99999999999999|dead", "1");
    LEFT(s, "dead=(id 1 1 0 1 2 {}\npayload) " OWNER " stats={dead:1}");
    RUN(s, "dead_once", "dead stats none", "i2 1 1 0 1 2 {}\n||2|99999999999999|cancelled", "1");
    RUN(s, "dead_once", "dead stats none", "i3 1 1 0 1 2 {}\nx|y|2|99999999999999|dead", "1");
    SAYS(s, "2", "ZCARD dead");
    SAYS(s, "[1 2]", "HMGET stats cancelled dead");
}

static void what_has_not_begun_goes_to_the_end_that_is_popped_next(void **state)
{
    struct scripts *s = *state;
    DO(s, "LPUSH q d e");
    RUN(s, "push_back", "q stats", "list|c|b||a", "4");
    LEFT(s, OWNER " q=[e d c b  a] stats={given_back:4}");
}

static void records_go_back_to_the_retries_due_now(void **state)
{
    struct scripts *s = *state;
    RUN(s, "push_back", "retry stats", "retry|id 1 0 0 1 2 {}\n|pay|i2 1 0 0 1 2 {}\n|", "2");
    LEFT(s, OWNER " retry=(i2 1 0 0 1 2 {}\n id 1 0 0 1 2 {}\npay) stats={given_back:2}");
    RUN(s, "claim_once", DUE, RETRY("9"), "[ok 0 i2 1 0 0 1 2 {}\n id 1 0 0 1 2 {}\npay]");
}

static void a_full_redis_gives_and_takes_back(void **state)
{
    struct scripts *s = *state;
    DO(s, "LPUSH q a b");
    DO(s, "CONFIG SET maxmemory 1");
    RUN(s, "claim_once", BURST, ARGS("list", "9", "1048576", "1000"), "[ok 0 a b]");
    RUN(s, "push_back", "q stats", "list|b|a", "2");
    RUN(s, "dead_once", "dead stats none", "h\n|a|100|99999999999999|dead", "1");
    DO(s, "CONFIG SET maxmemory 0");
    LEFT(s, "dead=(h\na) " OWNER " q=[b a] stats={dead:1, given_back:2, popped:2}");
}

#define ONCE(f) cmocka_unit_test_setup(f, begin)

static void the_payload_of_what_is_dead_goes_to_its_list_once(void **state)
{
    struct scripts *s = *state;
    for (int i = 0; i < 2; i++)
        RUN(s, "dead_once", "dead stats broken", "h\n|a|100|99999999999999|dead", "1");
    LEFT(s, "broken=[a] dead=(h\na) " OWNER " stats={dead:1}");
    DO(s, "LPUSH q abcde");
    RUN(s, "claim_once", "owner paused q q dead stats broken", ARGS("list", "9", "1048576", "4"),
        "[ok 0 5]");
    SAYS(s, "[abcde a]", "LRANGE broken 0 -1");
}

static void a_list_of_another_type_buries_nothing(void **state)
{
    struct scripts *s = *state;
    DO(s, "SADD broken x");
    DO(s, "LPUSH q abcde");
    const char *answer =
        script_run(s, "dead_once", "dead stats broken", "h\n|a|100|99999999999999|dead");
    assert_memory_equal(answer, "-WRONGTYPE ", 11);
    answer = script_run(s, "claim_once", "owner paused q q dead stats broken",
                        ARGS("list", "9", "1048576", "4"));
    assert_memory_equal(answer, "-WRONGTYPE ", 11);
    LEFT(s, "broken=set " OWNER " q=[abcde]");
}

static void what_is_done_is_delivered_and_counted(void **state)
{
    struct scripts *s = *state;
    RUN(s, "deliver_once", "stats done next r0 r1", "0|60000|e.1-1-0|x||p", "2");
    LEFT(s, "done=[e.1-1-0\nx] next=[p x] " OWNER " r0~=\"x\" stats={done:2}");
    RUN(s, "deliver_once", "stats done none", "0|0|e.1-1-2|", "1");
    SAYS(s, "e.1-1-2\n", "LINDEX done 0");
}

static void what_is_refused_is_delivered_to_none(void **state)
{
    struct scripts *s = *state;
    DO(s, "SADD next x");
    const char *answer = script_run(s, "deliver_once", "stats done next r0", "0|9000|e.1-1-0|x");
    assert_memory_equal(answer, "-WRONGTYPE ", 11);
    DO(s, "DEL next");
    DO(s, "CONFIG SET maxmemory 1");
    answer = script_run(s, "deliver_once", "stats done next r0", "1|9000|e.1-1-0|x");
    assert_memory_equal(answer, "-OOM ", 5);
    LEFT(s, OWNER);
    RUN(s, "deliver_once", "stats done next", "0|0||p", "1");
    LEFT(s, "next=[p] " OWNER " stats={done:1}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ONCE(a_claim_pops_the_oldest_first_and_keeps_nothing),
        ONCE(a_claim_behind_a_pop_takes_from_passage),
        ONCE(it_stops_behind_the_job_that_reaches_the_bytes),
        ONCE(due_records_are_taken_the_first_due_first),
        ONCE(who_does_not_own_the_queue_gets_nothing),
        ONCE(what_is_too_large_becomes_a_dead_letter),
        ONCE(so_does_a_record_whose_payload_is_and_it_keeps_its_id),
        ONCE(it_goes_back_where_it_cannot_be_a_dead_letter),
        ONCE(a_counter_that_cannot_be_written_keeps_no_job),
        ONCE(a_dead_letter_is_written_once),
        ONCE(what_has_not_begun_goes_to_the_end_that_is_popped_next),
        ONCE(records_go_back_to_the_retries_due_now),
        ONCE(a_full_redis_gives_and_takes_back),
        ONCE(the_payload_of_what_is_dead_goes_to_its_list_once),
        ONCE(a_list_of_another_type_buries_nothing),
        ONCE(what_is_done_is_delivered_and_counted),
        ONCE(what_is_refused_is_delivered_to_none),
    };
    return cmocka_run_group_tests_name("script_once", tests, scripts_begin, scripts_end);
}
