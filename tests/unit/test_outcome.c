/* LDFLAGS: -Wl,--wrap=settle_ended */
/* What becomes of a job, from what its worker says and why it was cancelled; the delay of a retry.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/queue.h"

void __wrap_settle_ended(struct job *j);

static struct job *ended;

void __wrap_settle_ended(struct job *j)
{
    ended = j;
}

static struct conf_queue conf = {.name = (char *)"q"};

static int begin(void **state)
{
    conf = (struct conf_queue){.name = (char *)"q",
                               .attempts = 3,
                               .timeout_ms = 1500,
                               .backoff_base_ms = 100,
                               .backoff_factor = 3,
                               .backoff_max_ms = 700};
    *state = job_new(&conf, "", 0);
    return *state ? 0 : -1;
}

static int end(void **state)
{
    (void)job_free(*state);
    return 0;
}

static void each_outcome_becomes_what_redis_is_told(void **state)
{
    (void)state;
    static const struct {
        enum job_outcome said;
        enum job_cancel why;
        enum job_outcome first, last; /* of the try; JOB_NONE: it has not ended */
    } rows[] = {
        {JOB_DONE, CANCEL_NONE, JOB_DONE, JOB_DONE},
        {JOB_DONE, CANCEL_OPERATOR, JOB_DONE, JOB_DONE},
        {JOB_DONE, CANCEL_TIMEOUT, JOB_DONE, JOB_DONE},
        {JOB_DEAD, CANCEL_NONE, JOB_DEAD, JOB_DEAD},
        {JOB_RETRY, CANCEL_NONE, JOB_RETRY, JOB_DEAD},
        {JOB_RETRY, CANCEL_SHUTDOWN, JOB_RETRY, JOB_DEAD},
        {JOB_RETRY, CANCEL_OPERATOR, JOB_DEAD, JOB_DEAD},
        {JOB_CANCELLED, CANCEL_NONE, JOB_RETRY, JOB_DEAD},
        {JOB_CANCELLED, CANCEL_TIMEOUT, JOB_RETRY, JOB_DEAD},
        {JOB_CANCELLED, CANCEL_SHUTDOWN, JOB_NONE, JOB_NONE},
        {JOB_CANCELLED, CANCEL_LOST, JOB_NONE, JOB_NONE},
        {JOB_CANCELLED, CANCEL_OPERATOR, JOB_DEAD, JOB_DEAD},
        {JOB_LATE, CANCEL_NONE, JOB_NONE, JOB_NONE},
        {JOB_LATE, CANCEL_OPERATOR, JOB_DEAD, JOB_DEAD},
        {JOB_AGAIN, CANCEL_NONE, JOB_NONE, JOB_NONE},
    };
    for (size_t i = 0; i < 2 * (sizeof rows / sizeof *rows); i++) {
        struct job *j = job_new(&conf, "", 0);
        bool last = i % 2;
        enum job_outcome want = last ? rows[i / 2].last : rows[i / 2].first;
        assert_non_null(j);
        j->attempt = last ? 3 : 2;
        j->outcome = rows[i / 2].said;
        (void)job_cancel(j, rows[i / 2].why);
        bool over = outcome_decide(j);
        if (over != (want != JOB_NONE) || (over && j->outcome != want))
            fail_msg("row %zu, %s try", i / 2, last ? "last" : "first");
        (void)job_free(j);
    }
}

static void what_is_delivered_once_and_has_begun_is_dead_at_the_end(void **state)
{
    struct job *j = *state;
    j->once = true;
    j->outcome = JOB_CANCELLED;
    (void)job_cancel(j, CANCEL_SHUTDOWN);
    assert_false(outcome_decide(j)); /* it goes back */
    conf.attempts = 1;
    j->begun = true;
    assert_true(outcome_decide(j));
    assert_int_equal(j->outcome, JOB_DEAD);
    assert_string_equal(j->reason, "the daemon ended while it ran");
}

static void a_timeout_names_its_seconds(void **state)
{
    struct job *j = *state;
    j->outcome = JOB_CANCELLED;
    (void)job_cancel(j, CANCEL_TIMEOUT);
    assert_true(outcome_decide(j));
    assert_string_equal(j->reason, "timeout after 1.5 s");
}

static void an_operators_word_takes_the_place_of_the_handlers(void **state)
{
    struct job *j = *state;
    j->outcome = JOB_DEAD;
    j->reason = strdup("the handler's");
    (void)job_cancel(j, CANCEL_OPERATOR);
    assert_true(outcome_decide(j));
    assert_string_equal(j->reason, "cancelled");
}

static int64_t delay_of(struct job *j, uint32_t attempt)
{
    j->attempt = attempt;
    j->delay_ms = -1;
    j->outcome = JOB_RETRY;
    assert_true(outcome_decide(j));
    return j->delay_ms;
}

static void the_delay_grows_up_to_its_maximum(void **state)
{
    struct job *j = *state;
    assert_int_equal(delay_of(j, 1), 100);
    assert_int_equal(delay_of(j, 2), 300);
    conf.attempts = 1000000;
    assert_int_equal(delay_of(j, 3), 700);      /* not 900 */
    assert_int_equal(delay_of(j, 999999), 700); /* no number is that large */
    conf.backoff_factor = 1;
    assert_int_equal(delay_of(j, 999999), 100);
    conf.backoff_base_ms = 0;
    assert_int_equal(delay_of(j, 1), 0);
    conf.backoff_factor = 3;
    assert_int_equal(delay_of(j, 999999), 0); /* nothing times infinity */
}

static void a_part_of_the_delay_is_random(void **state)
{
    struct job *j = *state;
    int64_t least = INT64_MAX, most = 0;
    conf.backoff_base_ms = 100000;
    conf.backoff_max_ms = 140000;
    conf.backoff_jitter = 0.5;
    for (int i = 0; i < 2000; i++) {
        int64_t ms = delay_of(j, 1);
        least = ms < least ? ms : least;
        most = ms > most ? ms : most;
    }
    assert_in_range(least, 50000, 60000);
    assert_int_equal(most, 140000); /* the maximum holds for the random part too */
}

static void a_handlers_delay_counts_before_the_backoff(void **state)
{
    struct job *j = *state;
    j->attempt = 1;
    j->delay_ms = 5000;
    j->outcome = JOB_RETRY;
    assert_true(outcome_decide(j));
    assert_int_equal(j->delay_ms, 5000);
    j->delay_ms = INT64_MAX;
    j->outcome = JOB_RETRY;
    assert_true(outcome_decide(j));
    assert_int_equal(j->delay_ms, 31536000000); /* a year */
}

static void what_is_condemned_is_dead_with_its_reason(void **state)
{
    struct job *j = *state;
    ended = NULL;
    outcome_condemn(j, "%d of %s", 3, "these");
    assert_ptr_equal(ended, j);
    assert_int_equal(j->outcome, JOB_DEAD);
    assert_string_equal(j->reason, "3 of these");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_outcome_becomes_what_redis_is_told),
        TEST(what_is_delivered_once_and_has_begun_is_dead_at_the_end),
        TEST(a_timeout_names_its_seconds),
        TEST(an_operators_word_takes_the_place_of_the_handlers),
        TEST(the_delay_grows_up_to_its_maximum),
        TEST(a_part_of_the_delay_is_random),
        TEST(a_handlers_delay_counts_before_the_backoff),
        TEST(what_is_condemned_is_dead_with_its_reason),
    };
    return cmocka_run_group_tests_name("outcome", tests, NULL, NULL);
}
