/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
/* One job: what is copied, what is borrowed, its id. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/job.h"
#include "tests/lib/oom.h"

static const struct conf_queue conf = {.name = (char *)"q", .output_limit = 4};

static void a_new_job_copies_its_payload_and_ends_it_with_a_nul(void **state)
{
    (void)state;
    char payload[] = {'a', '\0', '\n', 'b'};
    struct job *j = job_new(&conf, payload, sizeof payload);
    assert_non_null(j);
    memset(payload, 'x', sizeof payload);
    assert_int_equal(j->len, 4);
    assert_memory_equal(j->payload, "a\0\nb", 5);
    assert_false(j->large);
    assert_null(job_free(j));
}

static void a_new_job_waits_for_its_first_attempt(void **state)
{
    (void)state;
    struct job *j = job_new(&conf, "1", 1);
    assert_non_null(j);
    assert_int_equal(j->magic, JOB_MAGIC);
    assert_ptr_equal(j->conf, &conf);
    assert_int_equal(j->outcome, JOB_NONE);
    assert_int_equal(j->attempt, 1);
    assert_int_equal(j->strikes, 0);
    assert_false(j->running || j->tried);
    assert_int_equal(atomic_load(&j->cancel), CANCEL_NONE);
    assert_int_equal(j->delay_ms, -1);
    assert_int_equal(j->evidence.exit_code, -1);
    assert_null(j->reason);
    assert_null(j->record);
    assert_null(j->next);
    (void)job_free(j);
}

static void an_empty_payload_is_a_payload(void **state)
{
    (void)state;
    struct job *j = job_new(&conf, "", 0);
    assert_non_null(j);
    assert_int_equal(j->len, 0);
    assert_false(j->large);
    assert_string_equal(j->payload, "");
    (void)job_free(j);
}

static void a_large_job_keeps_the_length_alone(void **state)
{
    (void)state;
    struct job *j = job_new(&conf, NULL, (size_t)1 << 40);
    assert_non_null(j);
    assert_true(j->large);
    assert_true(j->len == (size_t)1 << 40);
    assert_string_equal(j->payload, "");
    (void)job_free(j);
}

static void a_length_that_wraps_around_is_no_memory(void **state)
{
    (void)state;
    assert_null(job_new(&conf, "x", SIZE_MAX));
    assert_null(job_new(&conf, "x", SIZE_MAX - sizeof(struct job)));
}

static void freeing_takes_reason_and_record_along(void **state)
{
    (void)state;
    struct job *j = job_new(&conf, "1", 1);
    assert_non_null(j);
    j->reason = strdup("why"); /* what is left is told by the leak check */
    j->record = strdup("id 1");
    assert_null(job_free(j));
    assert_null(job_free(NULL));
}

static void the_reason_that_counts_more_stays(void **state)
{
    (void)state;
    static const struct {
        enum job_cancel first, then, stays;
    } rows[] = {
        {CANCEL_SHUTDOWN, CANCEL_SHUTDOWN, CANCEL_SHUTDOWN},
        {CANCEL_SHUTDOWN, CANCEL_TIMEOUT, CANCEL_SHUTDOWN},
        {CANCEL_TIMEOUT, CANCEL_SHUTDOWN, CANCEL_TIMEOUT},
        {CANCEL_SHUTDOWN, CANCEL_OPERATOR, CANCEL_OPERATOR},
        {CANCEL_OPERATOR, CANCEL_TIMEOUT, CANCEL_OPERATOR},
        {CANCEL_TIMEOUT, CANCEL_LOST, CANCEL_LOST},
        {CANCEL_OPERATOR, CANCEL_LOST, CANCEL_LOST},
        {CANCEL_LOST, CANCEL_OPERATOR, CANCEL_LOST},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct job *j = job_new(&conf, "", 0);
        assert_non_null(j);
        assert_true(job_cancel(j, rows[i].first));
        assert_int_equal(job_cancel(j, rows[i].then),
                         rows[i].then == rows[i].stays && rows[i].then != rows[i].first);
        assert_int_equal(atomic_load(&j->cancel), rows[i].stays);
        (void)job_free(j);
    }
}

static void the_end_of_the_output_is_kept(void **state)
{
    (void)state;
    struct job *j = job_new(&conf, "", 0);
    assert_non_null(j);
    assert_int_equal(job_output(j, "abc", 3), 0);
    assert_int_equal(j->evidence.output_len, 3);
    assert_memory_equal(j->evidence.output, "abc", 3);
    oom_arm(1);
    int r = job_output(j, "d", 1);
    assert_true(oom_disarm());
    assert_int_equal(r, -ENOMEM);
    assert_memory_equal(j->evidence.output, "abc", 3);
    assert_int_equal(job_output(j, "0123456789", 10), 0);
    assert_int_equal(j->evidence.output_len, 4);
    assert_memory_equal(j->evidence.output, "6789", 4);
    assert_int_equal(job_output(j, "", 0), 0);
    assert_int_equal(j->evidence.output_len, 0);
    (void)job_free(j);
}

static void one_that_runs_again_has_nothing_of_the_try_before(void **state)
{
    (void)state;
    struct job *j = job_new(&conf, "1", 1);
    assert_non_null(j);
    j->outcome = JOB_AGAIN;
    j->delay_ms = 5;
    j->evidence = (struct job_evidence){.exit_code = 3, .signal = 9, .status = 500};
    assert_int_equal(job_output(j, "text", 4), 0);
    job_result(j, strdup("result"), 6);
    atomic_store(&j->begun, true);
    job_anew(j);
    assert_int_equal(j->outcome, JOB_NONE);
    assert_int_equal(j->delay_ms, -1);
    assert_int_equal(j->evidence.exit_code, -1);
    assert_int_equal(j->evidence.signal + j->evidence.status, 0);
    assert_null(j->evidence.output);
    assert_int_equal(j->evidence.output_len, 0);
    assert_null(j->result);
    assert_int_equal(j->result_len, 0);
    assert_false(atomic_load(&j->begun));
    (void)job_free(j);
}

static void an_id_is_the_birth_and_the_index(void **state)
{
    (void)state;
    static const struct {
        uint32_t index;
        const char *want;
    } rows[] = {
        {0, "0123456789abcdef.1-7-0"},
        {9, "0123456789abcdef.1-7-9"},
        {10, "0123456789abcdef.1-7-10"},
        {100200300, "0123456789abcdef.1-7-100200300"},
        {UINT32_MAX, "0123456789abcdef.1-7-4294967295"},
    };
    struct job *j = job_new(&conf, "", 0);
    char out[JOB_ID_MAX];
    assert_non_null(j);
    j->birth = "0123456789abcdef.1-7";
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        j->index = rows[i].index;
        assert_ptr_equal(job_id(j, out), out);
        assert_string_equal(out, rows[i].want);
    }
    (void)job_free(j);
}

static void the_longest_id_fits(void **state)
{
    (void)state;
    char birth[81], out[JOB_ID_MAX]; /* an entry takes no longer birth */
    struct job *j = job_new(&conf, "", 0);
    assert_non_null(j);
    memset(birth, 'b', 80);
    birth[80] = '\0';
    j->birth = birth;
    j->index = UINT32_MAX;
    assert_int_equal(strlen(job_id(j, out)), 91);
    assert_string_equal(out + 80, "-4294967295");
    (void)job_free(j);
}

static void no_memory_is_told_by_null(void **state)
{
    (void)state;
    oom_arm(1);
    struct job *j = job_new(&conf, "1", 1);
    assert_true(oom_disarm());
    assert_null(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_job_copies_its_payload_and_ends_it_with_a_nul),
        cmocka_unit_test(a_new_job_waits_for_its_first_attempt),
        cmocka_unit_test(an_empty_payload_is_a_payload),
        cmocka_unit_test(a_large_job_keeps_the_length_alone),
        cmocka_unit_test(a_length_that_wraps_around_is_no_memory),
        cmocka_unit_test(freeing_takes_reason_and_record_along),
        cmocka_unit_test(the_reason_that_counts_more_stays),
        cmocka_unit_test(the_end_of_the_output_is_kept),
        cmocka_unit_test(one_that_runs_again_has_nothing_of_the_try_before),
        cmocka_unit_test(an_id_is_the_birth_and_the_index),
        cmocka_unit_test(the_longest_id_fits),
        cmocka_unit_test(no_memory_is_told_by_null),
    };
    return cmocka_run_group_tests_name("job", tests, NULL, NULL);
}
