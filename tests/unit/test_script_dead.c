/* The scripts of the dead letters, against a real Redis: dead_list, dead_show, dead_take. */
#include <stdio.h>

#include "tests/unit/script_assert.h"

#define A "e.1-1-0 1 3 2 5 6 {\"reason\":\"a\"}\npay\nload"
#define B "e.1-1-1 1 1 0 7 8 {}\n"
#define NEWER "e.9-9-9 2 1 0 7 8 x\nz"

static void have_letters(struct scripts *s)
{
    DO(s, "ZADD|dead|1|" A);
    DO(s, "ZADD|dead|2|" NEWER);
    DO(s, "ZADD|dead|3|" B);
}

static void list_begins_with_the_newest(void **state)
{
    struct scripts *s = *state;
    have_letters(s);
    RUN(s, "dead_list", "dead", "0|2", "[3 [3 e.1-1-1 1 7 8 {} 0] [2 " NEWER "]]");
    RUN(s, "dead_list", "dead", "2|2", "[3 [1 e.1-1-0 3 5 6 {\"reason\":\"a\"} 8]]");
    RUN(s, "dead_list", "dead", "3|2", "[3]");
    RUN(s, "dead_list", "none", "0|2", "[0]");
}

static void list_stops_behind_a_mebibyte(void **state)
{
    struct scripts *s = *state;
    DO(s, "EVAL|for i = 1, 5 do redis.call('ZADD', 'dead', i, i .. ' 1 1 0 0 0 {}\\n' .. "
          "string.rep('x', 600000)) end|0");
    RUN(s, "dead_list", "dead", "0|5", "[5 [5 5 1 0 0 {} 600000] [4 4 1 0 0 {} 600000]]");
    RUN(s, "dead_list", "dead", "2|5", "[5 [3 3 1 0 0 {} 600000] [2 2 1 0 0 {} 600000]]");
}

static void show_gives_the_payload_in_pieces(void **state)
{
    struct scripts *s = *state;
    have_letters(s);
    RUN(s, "dead_show", "dead", "e.1-1-0|0|0|3", "[0 1 e.1-1-0 3 5 6 {\"reason\":\"a\"} 8 pay]");
    RUN(s, "dead_show", "dead", "e.1-1-0|0|3|99",
        "[0 1 e.1-1-0 3 5 6 {\"reason\":\"a\"} 8 \nload]");
    RUN(s, "dead_show", "dead", "e.1-1-1|0|0|9", "[0 3 e.1-1-1 1 7 8 {} 0 ]");
    RUN(s, "dead_show", "dead", "e.1-1|0|0|9", "[0]"); /* the front of an id is no id */
    RUN(s, "dead_show", "dead", "e.9-9-9|0|0|9", "[0 2]");
}

static void retry_gives_a_new_budget_and_keeps_the_rest(void **state)
{
    struct scripts *s = *state;
    have_letters(s);
    RUN(s, "dead_take", "dead retry", "retry|e.1-1-0|0|1", "[0 1 0 2]");
    LEFT(s, "dead=(" NEWER " " B ") retry=(e.1-1-0 1 0 0 5 6 {\"reason\":\"a\"}\npay\nload)");
    SAYS(s, "1", "ZCOUNT retry 1700000000000 +inf"); /* due now, in milliseconds */
    RUN(s, "dead_take", "dead retry", "retry|e.1-1-0|0|1", "[0 0 0 2]");
    RUN(s, "dead_take", "dead retry", "retry|e.9-9-9|0|1", "[0 0 1 2]");
    SAYS(s, "1", "ZCARD retry");
}

/* Its last member; the same words in a sentence are escaped. */
static void retry_leaves_the_output_behind(void **state)
{
    struct scripts *s = *state;
    DO(s, "ZADD|dead|1|e.1-1-0 1 3 2 5 6 {\"reason\":\"a ,\\\"output "
          "b\",\"exit\":1,\"output\":\"x\"}\np");
    DO(s, "ZADD|dead|2|e.1-1-1 1 3 2 5 6 {\"reason\":\"a\",\"output_base64\":\"eA==\"}\np");
    RUN(s, "dead_take", "dead retry", "retry||0|9", "[0 2 0 0]");
    LEFT(s, "retry=(e.1-1-0 1 0 0 5 6 {\"reason\":\"a ,\\\"output b\",\"exit\":1}\np "
            "e.1-1-1 1 0 0 5 6 {\"reason\":\"a\"}\np)");
}

static void all_are_taken_the_oldest_first_but_what_cannot_be_read(void **state)
{
    struct scripts *s = *state;
    have_letters(s);
    RUN(s, "dead_take", "dead retry", "retry||0|1", "[0 1 0 2]");
    RUN(s, "dead_take", "dead retry", "retry||0|1", "[1 0 1 2]");
    RUN(s, "dead_take", "dead retry", "retry||1|9", "[1 1 0 1]");
    RUN(s, "dead_take", "dead retry", "retry||1|9", "[1 0 0 1]");
    SAYS(s, "2", "ZCARD retry");
    RUN(s, "dead_take", "dead retry", "drop||0|9", "[0 1 0 0]");
    SAYS(s, "0", "EXISTS dead");
}

static void drop_takes_one_or_all(void **state)
{
    struct scripts *s = *state;
    have_letters(s);
    RUN(s, "dead_take", "dead retry", "drop|e.9-9-9|0|1", "[0 1 0 2]");
    RUN(s, "dead_take", "dead retry", "drop|e.1-1-1|0|1", "[0 1 0 1]");
    RUN(s, "dead_take", "dead retry", "drop|e.1-1-1|0|1", "[0 0 0 1]");
    LEFT(s, "dead=(" A ")");
}

static void one_of_thousands_is_found_page_by_page(void **state)
{
    struct scripts *s = *state;
    DO(s, "EVAL|for i = 1, 20000 do redis.call('ZADD', 'dead', i, 'e.1-1-' .. i .. "
          "' 1 1 0 0 0 {}\\n' .. string.rep('x', 60)) end|0");
    char cursor[64] = "0", args[128];
    int pages = 0;
    const char *answer;
    do {
        (void)snprintf(args, sizeof args, "retry|e.1-1-777|%s|1", cursor);
        answer = script_run(s, "dead_take", "dead retry", args);
        assert_int_equal(sscanf(answer, "[%63[0-9]", cursor), 1);
        pages++;
    } while (strstr(answer, " 0 0 20000]") && strcmp(cursor, "0") != 0);
    assert_non_null(strstr(answer, " 1 0 19999]"));
    assert_in_range(pages, 1, 40);
    SAYS(s, "1", "ZCARD retry");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(list_begins_with_the_newest),
        TEST(list_stops_behind_a_mebibyte),
        TEST(show_gives_the_payload_in_pieces),
        TEST(retry_gives_a_new_budget_and_keeps_the_rest),
        TEST(retry_leaves_the_output_behind),
        TEST(all_are_taken_the_oldest_first_but_what_cannot_be_read),
        TEST(drop_takes_one_or_all),
        TEST(one_of_thousands_is_found_page_by_page),
    };
    return cmocka_run_group_tests_name("script_dead", tests, scripts_begin, scripts_end);
}
