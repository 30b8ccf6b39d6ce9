/* LDFLAGS: -Wl,--wrap=clock_now_ms */
/* What Redis refuses: one line when it begins, when it changes, when it has ended for good. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/log.h"
#include "daemon/redis.h"
#include "daemon/trouble.h"

#define QUIET_MS 2001 /* longer than what counts as a pause */

static struct trouble t;
static int saved = -1, sink = -1;
static char lines[20000];

/* The log goes to a file while a test runs; the test's own words do not. */
static int begin(void **state)
{
    (void)state;
    char name[] = "/tmp/rpopd-trouble.XXXXXX";
    t = (struct trouble){0};
    sink = mkostemp(name, O_CLOEXEC | O_APPEND);
    saved = dup(STDERR_FILENO);
    if (sink < 0 || saved < 0 || unlink(name) < 0)
        return -1;
    log_open(CONF_LOG_INFO, CONF_LOG_KEYVALUE);
    return 0;
}

static int end(void **state)
{
    (void)state;
    (void)close(sink);
    return close(saved);
}

static void is_error(enum trouble_at at, const char *text)
{
    struct redis_reply r = {.type = REDIS_ERROR, .str = (char *)text, .len = strlen(text)};
    (void)dup2(sink, STDERR_FILENO);
    trouble_is(&t, at, "my q", &r);
    (void)dup2(saved, STDERR_FILENO);
}

static void is_type(enum trouble_at at, enum redis_type type)
{
    struct redis_reply r = {.type = type};
    (void)dup2(sink, STDERR_FILENO);
    trouble_is(&t, at, "my q", &r);
    (void)dup2(saved, STDERR_FILENO);
}

static int64_t now_ms = 5000000000;

int64_t __wrap_clock_now_ms(void);

int64_t __wrap_clock_now_ms(void)
{
    return now_ms;
}

static void look_after(int64_t ms)
{
    now_ms += ms;
    (void)dup2(sink, STDERR_FILENO);
    trouble_look(&t, "my q");
    (void)dup2(saved, STDERR_FILENO);
}

static void is_over(enum trouble_at at)
{
    trouble_over(&t, at);
    look_after(QUIET_MS);
}

/* What was logged since the last call. */
static const char *logged(void)
{
    ssize_t n = pread(sink, lines, sizeof lines - 1, 0);
    lines[n < 0 ? 0 : n] = '\0';
    (void)!ftruncate(sink, 0);
    return lines;
}

static void assert_logs(const char *event, const char *a, const char *b)
{
    const char *line = logged();
    if (!strstr(line, event) || !strstr(line, a) || !strstr(line, b) ||
        strchr(line, '\n') != line + strlen(line) - 1)
        fail_msg("not one line %s with %s and %s: %s", event, a, b, line);
}

#define WRONGTYPE "WRONGTYPE Operation against a key holding the wrong kind of value"

static void the_first_refusal_is_logged_with_what_to_do(void **state)
{
    (void)state;
    is_error(TROUBLE_CLAIM, WRONGTYPE);
    const char *line = logged();
    assert_non_null(strstr(line, "redis-refused"));
    assert_non_null(strstr(line, "my q"));
    assert_non_null(strstr(line, "at=claim"));
    assert_non_null(strstr(line, "Operation against a key"));
    assert_non_null(strstr(line, "a key has another type"));
}

static void the_same_cause_is_logged_once(void **state)
{
    (void)state;
    is_error(TROUBLE_CLAIM, WRONGTYPE);
    (void)logged();
    for (int i = 0; i < 100; i++)
        is_error(TROUBLE_CLAIM, "WRONGTYPE with other words");
    assert_string_equal(logged(), "");
    assert_int_equal(t.cause[0].times, 101);
}

/* Each has a line when it begins and one when it has ended, however often they take turns; what is
 * said to be refused is the last one. */
static void causes_that_take_turns_are_logged_once_each(void **state)
{
    (void)state;
    is_error(TROUBLE_SETTLE, "OOM command not allowed");
    assert_logs("redis-refused", "at=settle", "maxmemory");
    is_error(TROUBLE_SETTLE, "NOPERM no");
    assert_logs("redis-refused", "at=settle", "grant the user");
    for (int i = 0; i < 100; i++) {
        is_error(TROUBLE_SETTLE, "OOM command not allowed");
        assert_string_equal(trouble_any(&t), "OOM");
        look_after(5000);
        is_error(TROUBLE_SETTLE, "NOPERM no");
        assert_string_equal(trouble_code(&t, TROUBLE_SETTLE), "NOPERM");
        look_after(5000);
    }
    assert_string_equal(logged(), "");
    is_over(TROUBLE_SETTLE);
    const char *lines_of_end = logged();
    assert_non_null(strstr(lines_of_end, "error=OOM times=101 "));
    assert_non_null(strstr(lines_of_end, "error=NOPERM times=101 "));
    assert_null(trouble_any(&t));
    is_error(TROUBLE_SETTLE, "NOPERM no");
    assert_logs("redis-refused", "at=settle", "grant the user");
}

static void one_that_gave_way_for_long_is_logged_anew(void **state)
{
    (void)state;
    is_error(TROUBLE_SETTLE, "LOADING Redis is loading");
    is_error(TROUBLE_SETTLE, "NOPERM no");
    (void)logged();
    look_after(61000);
    is_error(TROUBLE_SETTLE, "NOPERM no");
    assert_string_equal(logged(), "");
    is_error(TROUBLE_SETTLE, "LOADING Redis is loading");
    assert_logs("redis-refused", "at=settle", "LOADING");
}

/* Whoever answers with another word each time fills no log and no memory. */
static void more_causes_than_there_is_room_for_are_not_told_of(void **state)
{
    (void)state;
    char text[40];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(text, sizeof text, "E%d no", i);
        is_error(TROUBLE_CLAIM, text);
    }
    const char *line = logged();
    for (int i = 0; i < TROUBLE_CAUSES; i++, line = strchr(line, '\n') + 1)
        assert_non_null(strchr(line, '\n'));
    assert_string_equal(line, "");
    look_after(61000);
    is_error(TROUBLE_CLAIM, "E1001 no");
    assert_logs("redis-refused", "at=claim", "E1001");
}

static void the_end_is_logged_once_with_how_often_it_was(void **state)
{
    (void)state;
    is_over(TROUBLE_POP);
    assert_string_equal(logged(), "");
    is_error(TROUBLE_POP, "LOADING Redis is loading");
    is_error(TROUBLE_POP, "LOADING Redis is loading");
    (void)logged();
    is_over(TROUBLE_POP);
    assert_logs("redis-accepts", "error=LOADING", "times=2");
    is_over(TROUBLE_POP);
    assert_string_equal(logged(), "");
    is_error(TROUBLE_POP, "LOADING Redis is loading");
    assert_logs("redis-refused", "at=pop", "LOADING");
}

static void what_comes_again_soon_has_not_ended(void **state)
{
    (void)state;
    is_error(TROUBLE_POP, "LOADING Redis is loading");
    (void)logged();
    for (int i = 0; i < 10; i++) {
        trouble_over(&t, TROUBLE_POP);
        look_after(900);
        is_error(TROUBLE_POP, "LOADING Redis is loading");
        look_after(900);
    }
    assert_string_equal(logged(), "");
    is_over(TROUBLE_POP);
    assert_logs("redis-accepts", "times=11", "after_ms=20001");
}

static void what_goes_on_does_not_end_by_being_looked_at(void **state)
{
    (void)state;
    is_error(TROUBLE_POP, "LOADING Redis is loading");
    (void)logged();
    look_after(1000000);
    assert_string_equal(logged(), "");
    trouble_over(&t, TROUBLE_POP);
    is_error(TROUBLE_POP, "LOADING Redis is loading");
    look_after(1000000);
    assert_string_equal(logged(), "");
    assert_string_equal(trouble_any(&t), "LOADING");
}

static void each_place_names_itself(void **state)
{
    (void)state;
    static const char *const names[] = {"at=register", "at=claim",   "at=pop",     "at=settle",
                                        "at=deliver",  "at=recover", "at=retries", "at=delayed"};
    for (int i = 0; i < TROUBLE_PLACES; i++) {
        is_error((enum trouble_at)i, "BUSY Redis is busy");
        assert_logs("redis-refused", names[i], "SCRIPT KILL");
        is_over((enum trouble_at)i);
        assert_logs("redis-accepts", names[i], "BUSY");
    }
    assert_null(trouble_any(&t));
}

static void one_cause_at_many_places_is_one_line_and_has_one_end(void **state)
{
    (void)state;
    is_error(TROUBLE_CLAIM, "BUSY Redis is busy");
    (void)logged();
    is_error(TROUBLE_POP, "BUSY Redis is busy");
    is_error(TROUBLE_OWNER, "BUSY Redis is busy");
    assert_string_equal(logged(), "");
    is_over(TROUBLE_CLAIM);
    is_over(TROUBLE_OWNER);
    assert_string_equal(logged(), "");
    assert_string_equal(trouble_any(&t), "BUSY");
    assert_string_equal(trouble_code(&t, TROUBLE_POP), "BUSY");
    is_over(TROUBLE_POP);
    assert_logs("redis-accepts", "BUSY", "at=claim");
    assert_null(trouble_any(&t));
}

static void two_causes_at_two_places_are_two_lines(void **state)
{
    (void)state;
    is_error(TROUBLE_CLAIM, "BUSY Redis is busy");
    assert_logs("redis-refused", "at=claim", "BUSY");
    is_error(TROUBLE_POP, "OOM no memory");
    assert_logs("redis-refused", "at=pop", "OOM");
    is_over(TROUBLE_CLAIM);
    assert_logs("redis-accepts", "at=claim", "BUSY");
    is_over(TROUBLE_POP);
    assert_logs("redis-accepts", "at=pop", "OOM");
}

static void an_answer_of_another_shape_is_a_trouble_too(void **state)
{
    (void)state;
    is_type(TROUBLE_OWNER, REDIS_INTEGER);
    assert_logs("redis-refused", "at=register", "no script gives");
    is_type(TROUBLE_OWNER, REDIS_NIL);
    assert_string_equal(logged(), "");
    assert_string_equal(trouble_any(&t), "SHAPE");
}

static void any_is_the_code_of_a_trouble_or_nothing(void **state)
{
    (void)state;
    assert_null(trouble_any(&t));
    is_error(TROUBLE_RECOVER, "NOPERM");
    assert_string_equal(trouble_any(&t), "NOPERM");
    is_over(TROUBLE_RECOVER);
    assert_null(trouble_any(&t));
}

/* An empty error text, a word as long as a line: what Redis says is never trusted. */
static void strange_errors_are_cut_and_escaped(void **state)
{
    (void)state;
    char longest[3000];
    memset(longest, 'X', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    is_error(TROUBLE_CLAIM, longest);
    assert_logs("redis-refused", "XXXXXXXXXXXXXXXXXXXXXXX", "trying again");
    assert_int_equal(strlen(trouble_any(&t)), sizeof t.cause[0].code - 1);
    is_error(TROUBLE_CLAIM, longest);
    assert_string_equal(logged(), "");
    is_error(TROUBLE_CLAIM, "ERR line\nevent=forged 'x'");
    assert_logs("redis-refused", "ERR line\\n", "trying again");
}

static void an_empty_error_is_a_trouble_too(void **state)
{
    (void)state;
    is_error(TROUBLE_CLAIM, "");
    assert_logs("redis-refused", "at=claim", "trying again");
    assert_non_null(trouble_any(&t));
    is_error(TROUBLE_CLAIM, "");
    assert_string_equal(logged(), "");
    is_over(TROUBLE_CLAIM);
    assert_logs("redis-accepts", "at=claim", "times=2");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_refusal_is_logged_with_what_to_do),
        TEST(the_same_cause_is_logged_once),
        TEST(causes_that_take_turns_are_logged_once_each),
        TEST(one_that_gave_way_for_long_is_logged_anew),
        TEST(more_causes_than_there_is_room_for_are_not_told_of),
        TEST(the_end_is_logged_once_with_how_often_it_was),
        TEST(what_comes_again_soon_has_not_ended),
        TEST(what_goes_on_does_not_end_by_being_looked_at),
        TEST(each_place_names_itself),
        TEST(one_cause_at_many_places_is_one_line_and_has_one_end),
        TEST(two_causes_at_two_places_are_two_lines),
        TEST(an_answer_of_another_shape_is_a_trouble_too),
        TEST(any_is_the_code_of_a_trouble_or_nothing),
        TEST(strange_errors_are_cut_and_escaped),
        TEST(an_empty_error_is_a_trouble_too),
    };
    return cmocka_run_group_tests_name("trouble", tests, NULL, NULL);
}
