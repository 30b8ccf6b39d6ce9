/* LDFLAGS: -Wl,--wrap=handler_find */
/* Tries that fail at one worker: reason and evidence, the time limit, cleaning up, an end beside
 * the limit. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/desk.h"
#include "worker/handler/handler.h"
#include "worker/runtime/task.h"

enum { SLEEP, TRIES, LIMITED, QUEUES };

struct conf_queue queues[QUEUES] = {
    [SLEEP] = {.name = (char *)"slow", .handler = {.type = (char *)"sleep"}, .timeout_ms = 10},
    [TRIES] = {.name = (char *)"tries", .handler = {.type = (char *)"tries"}, .output_limit = 9},
    [LIMITED] = {.name = (char *)"limited", .handler = {.type = (char *)"tries"}, .timeout_ms = 20},
};
struct conf conf = {.queues = queues, .nqueues = QUEUES};

/* A handler that does what its payload says. */
static enum job_outcome tries_run(struct job *j, void *state, struct err *why)
{
    (void)state;
    if (strcmp(j->payload, "fail") == 0) {
        j->delay_ms = 1234;
        j->evidence.exit_code = 3;
        (void)job_output(j, "said", 4);
        (void)err_set(why, -EIO, "told to fail");
        return JOB_RETRY;
    }
    int r = task_sleep(1000000000);
    if (strcmp(j->payload, "clean up") == 0)
        for (int i = 0; i < 3; i++)
            (void)task_sleep(1); /* its cleaning up awaits, and is not cancelled again */
    if (strcmp(j->payload, "done all the same") == 0)
        return JOB_DONE;
    return r == -ECANCELED ? JOB_CANCELLED : JOB_AGAIN;
}

static const struct handler tries = {.type = "tries", .run = tries_run};

const struct handler *__real_handler_find(const char *type);
const struct handler *__wrap_handler_find(const char *type);

const struct handler *__wrap_handler_find(const char *type)
{
    return strcmp(type, "tries") == 0 ? &tries : __real_handler_find(type);
}

static void a_failed_try_brings_reason_delay_and_evidence(void **state)
{
    struct desk *d = *state;
    struct job *j = submit(d, TRIES, "fail");
    assert_ptr_equal(next_back(d), j);
    assert_int_equal(j->outcome, JOB_RETRY);
    assert_string_equal(j->reason, "told to fail");
    assert_int_equal(j->delay_ms, 1234);
    assert_int_equal(j->evidence.exit_code, 3);
    assert_memory_equal(j->evidence.output, "said", 4);
    (void)job_free(j);
}

static void what_takes_longer_than_its_limit_is_cancelled(void **state)
{
    struct desk *d = *state;
    struct job *j = submit(d, LIMITED, "");
    assert_ptr_equal(next_back(d), j);
    assert_int_equal(j->outcome, JOB_CANCELLED);
    assert_int_equal(atomic_load(&j->cancel), CANCEL_TIMEOUT);
    (void)job_free(j);
}

static void what_is_cancelled_may_await_to_clean_up(void **state)
{
    struct desk *d = *state;
    struct job *j = submit(d, LIMITED, "clean up");
    assert_ptr_equal(next_back(d), j);
    assert_int_equal(j->outcome, JOB_CANCELLED);
    assert_int_equal(atomic_load(&j->cancel), CANCEL_TIMEOUT);
    (void)job_free(j);
}

/* The handler has the last word, as a task that catches CancelledError has. */
static void what_is_done_all_the_same_is_done(void **state)
{
    struct desk *d = *state;
    struct job *j = submit(d, LIMITED, "done all the same");
    assert_ptr_equal(next_back(d), j);
    assert_int_equal(j->outcome, JOB_DONE);
    (void)job_free(j);
}

/* Its limit and its end come in any order: each job comes back once, and none is cancelled later.
 */
static void an_end_beside_the_limit_counts_once(void **state)
{
    struct desk *d = *state;
    enum { N = 200 };
    int wrong = 0;
    for (int i = 0; i < N; i++)
        (void)submit(d, SLEEP, i % 2 ? "0.010" : "0.009");
    for (int i = 0; i < N; i++) {
        struct job *j = next_back(d);
        assert_non_null(j);
        wrong += j->outcome != JOB_DONE &&
                 (j->outcome != JOB_CANCELLED || atomic_load(&j->cancel) != CANCEL_TIMEOUT);
        (void)job_free(j);
    }
    assert_int_equal(wrong, 0);
    assert_null(mailbox_take(&d->results));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_failed_try_brings_reason_delay_and_evidence),
        TEST(what_takes_longer_than_its_limit_is_cancelled),
        TEST(what_is_cancelled_may_await_to_clean_up),
        TEST(what_is_done_all_the_same_is_done),
        TEST(an_end_beside_the_limit_counts_once),
    };
    return cmocka_run_group_tests_name("worker_limit", tests, NULL, NULL);
}
