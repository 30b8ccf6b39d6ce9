/* LDFLAGS: -Wl,--wrap=task_sleep_until,--wrap=clock_now_ms */
/* What a job can do: the table of handlers, what `sleep` reads, sleeps and answers, `null`. The
 * sleep is a fake one: nothing here waits. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/conf.h"
#include "worker/handler/handler.h"

#define NOW 5000000000

static int64_t deadline; /* of the last sleep; -1: none */
static int sleep_says;

int __wrap_task_sleep_until(int64_t deadline_ms);
int64_t __wrap_clock_now_ms(void);

int __wrap_task_sleep_until(int64_t deadline_ms)
{
    deadline = deadline_ms;
    return sleep_says;
}

int64_t __wrap_clock_now_ms(void)
{
    return NOW;
}

static const struct conf_queue conf = {.name = (char *)"q"};
static struct err why;
static char printed[8192];

/* Runs a handler on a payload; what it prints is in `printed`. */
static enum job_outcome run(const struct handler *h, const char *payload, size_t len)
{
    char name[] = "/tmp/rpopd-handler.XXXXXX";
    struct job *j = job_new(&conf, payload, len);
    int file = mkostemp(name, O_CLOEXEC), saved = dup(STDOUT_FILENO);
    assert_non_null(j);
    assert_true(file >= 0 && saved >= 0 && unlink(name) == 0);
    deadline = -1;
    why = (struct err){0};
    (void)dup2(file, STDOUT_FILENO);
    enum job_outcome outcome = h->run(j, NULL, &why);
    (void)dup2(saved, STDOUT_FILENO);
    ssize_t n = pread(file, printed, sizeof printed - 1, 0);
    printed[n < 0 ? 0 : n] = '\0';
    (void)close(saved);
    (void)close(file);
    (void)job_free(j);
    return outcome;
}

static int begin(void **state)
{
    (void)state;
    sleep_says = 0;
    return 0;
}

static void every_type_of_the_configuration_has_a_handler(void **state)
{
    (void)state;
    for (size_t i = 0; conf_handler_types[i]; i++) {
        const struct handler *h = handler_find(conf_handler_types[i]);
        assert_non_null(h);
        assert_string_equal(h->type, conf_handler_types[i]);
        assert_non_null(h->run);
    }
    assert_ptr_equal(handler_find("sleep"), &handler_sleep);
    assert_ptr_equal(handler_find("null"), &handler_null);
}

static void other_types_have_none(void **state)
{
    (void)state;
    assert_null(handler_find(""));
    assert_null(handler_find("Sleep"));
    assert_null(handler_find("sleepy"));
    assert_null(handler_find("slee"));
}

static void null_is_done_whatever_it_is_given(void **state)
{
    (void)state;
    assert_int_equal(run(&handler_null, "", 0), JOB_DONE);
    assert_int_equal(run(&handler_null, "\0\xff", 2), JOB_DONE);
    assert_int_equal(why.code, 0);
    assert_int_equal(deadline, -1);
    assert_string_equal(printed, "");
}

static void numbers_of_seconds_are_slept(void **state)
{
    (void)state;
    static const struct {
        const char *payload;
        int64_t ms;
    } rows[] = {
        {"0", 0},
        {"1", 1000},
        {"2", 2000},
        {"007", 7000},
        {"1.5", 1500},
        {"0.25", 250},
        {"0.001", 1},
        {"1.0", 1000},
        {"3.000", 3000},
        {"0.0001", 1},
        {"0.0010", 1},
        {"0.0011", 2},
        {"1.9999", 2000},
        {"0.00000000000000000000000000001", 1},
        {"0.00000000000000000000000000000", 0},
        {"999999999.999", 999999999999},
        {"1000000000", 1000000000000},
        {"00000000000000000000000000000000001", 1000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (run(&handler_sleep, rows[i].payload, strlen(rows[i].payload)) != JOB_DONE)
            fail_msg("%s: %s", rows[i].payload, why.text);
        if (deadline != NOW + rows[i].ms)
            fail_msg("%s sleeps %lld ms", rows[i].payload, (long long)(deadline - NOW));
    }
}

static void what_is_no_number_of_seconds_is_dead_with_a_sentence(void **state)
{
    (void)state;
#define ROW(text)             \
    {                         \
        text, sizeof text - 1 \
    }
    static const struct {
        const char *payload;
        size_t len;
    } rows[] = {
        ROW(""),
        ROW(" 2"),
        ROW("2 "),
        ROW("2\n"),
        ROW("+2"),
        ROW("-0"),
        ROW("-1"),
        ROW("."),
        ROW(".5"),
        ROW("5."),
        ROW("1.2.3"),
        ROW("1,5"),
        ROW("1e3"),
        ROW("0x2"),
        ROW("inf"),
        ROW("nan"),
        ROW("2\0"),
        ROW("\0"),
        ROW("2\0x"),
        ROW("two"),
        ROW("2s"),
        ROW("1000000001"),
        ROW("99999999999999999999999999"),
        ROW("\xd9\xa2"),
        ROW("1.5\xff"),
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (run(&handler_sleep, rows[i].payload, rows[i].len) != JOB_DEAD)
            fail_msg("row %zu ('%s') is not dead", i, rows[i].payload);
        assert_int_equal(deadline, -1);
        assert_true(why.code < 0);
        assert_non_null(strstr(why.text, "is not a number of seconds from 0 to 1000000000"));
        assert_string_equal(printed, "");
    }
    assert_int_equal(run(&handler_sleep, "a\n'b", 4), JOB_DEAD);
    assert_memory_equal(why.text, "payload 'a\\n\\'b' is not", 22);
}

static void a_long_payload_is_named_by_its_front(void **state)
{
    (void)state;
    char many[5000];
    memset(many, '1', sizeof many);
    assert_int_equal(run(&handler_sleep, many, sizeof many), JOB_DEAD);
    assert_non_null(strstr(why.text, "111...' is not a number of seconds"));
    memset(many, '\xff', sizeof many);
    assert_int_equal(run(&handler_sleep, many, sizeof many), JOB_DEAD);
    assert_non_null(strstr(why.text, "...' is not a number of seconds"));
}

static void sleep_says_waiting_and_then_done(void **state)
{
    (void)state;
    assert_int_equal(run(&handler_sleep, "1.50", 4), JOB_DONE);
    assert_string_equal(printed, "Waiting 1.50\nDone 1.50\n");
    assert_int_equal(why.code, 0);
}

static void a_cancelled_sleep_is_cancelled_and_never_done(void **state)
{
    (void)state;
    sleep_says = -ECANCELED;
    assert_int_equal(run(&handler_sleep, "1", 1), JOB_CANCELLED);
    assert_string_equal(printed, "Waiting 1\n");
}

static void a_sleep_that_finds_no_memory_is_run_again(void **state)
{
    (void)state;
    sleep_says = -ENOMEM;
    assert_int_equal(run(&handler_sleep, "1", 1), JOB_AGAIN);
    assert_string_equal(printed, "Waiting 1\n");
    assert_true(why.code < 0);
    assert_string_not_equal(why.text, "");
}

static void a_closed_standard_output_fails_no_job(void **state)
{
    (void)state;
    struct job *j = job_new(&conf, "1", 1);
    assert_non_null(j);
    int saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    (void)close(STDOUT_FILENO);
    enum job_outcome outcome = handler_sleep.run(j, NULL, &why);
    (void)dup2(saved, STDOUT_FILENO);
    (void)close(saved);
    (void)job_free(j);
    assert_int_equal(outcome, JOB_DONE);
}

#define TEST(f) cmocka_unit_test_setup(f, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_type_of_the_configuration_has_a_handler),
        TEST(other_types_have_none),
        TEST(null_is_done_whatever_it_is_given),
        TEST(numbers_of_seconds_are_slept),
        TEST(what_is_no_number_of_seconds_is_dead_with_a_sentence),
        TEST(a_long_payload_is_named_by_its_front),
        TEST(sleep_says_waiting_and_then_done),
        TEST(a_cancelled_sleep_is_cancelled_and_never_done),
        TEST(a_sleep_that_finds_no_memory_is_run_again),
        TEST(a_closed_standard_output_fails_no_job),
    };
    return cmocka_run_group_tests_name("handler", tests, NULL, NULL);
}
