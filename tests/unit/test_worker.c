/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
/* One worker: jobs in, outcomes back by one mailbox; cancelling, late jobs, its end, no memory. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/clock.h"
#include "common/conf.h"
#include "common/mailbox.h"
#include "tests/lib/oom.h"
#include "tests/unit/desk.h"
#include "worker/worker.h"

enum { SLEEP, NOTHING, QUEUES };

struct conf_queue queues[QUEUES] = {
    [SLEEP] = {.name = (char *)"slow", .handler = {.type = (char *)"sleep"}},
    [NOTHING] = {.name = (char *)"fast", .handler = {.type = (char *)"null"}},
};
struct conf conf = {.queues = queues, .nqueues = QUEUES};

/* Until the loop has gone round after this. */
static void turn(struct desk *d)
{
    uint64_t before = worker_progress(d->worker);
    int64_t until = clock_now_ms() + 60000;
    worker_poke(d->worker);
    while (worker_progress(d->worker) == before && clock_now_ms() < until)
        (void)sched_yield();
    assert_true(worker_progress(d->worker) > before);
}

static const char *printed(struct desk *d)
{
    static char text[4096];
    ssize_t n = pread(d->sink, text, sizeof text - 1, 0);
    text[n < 0 ? 0 : n] = '\0';
    return text;
}

static void await_printed(struct desk *d, const char *text)
{
    int64_t until = clock_now_ms() + 60000;
    while (!strstr(printed(d), text) && clock_now_ms() < until)
        turn(d);
    assert_non_null(strstr(printed(d), text));
}

static void a_job_comes_back_done(void **state)
{
    struct desk *d = *state;
    struct job *j = submit(d, NOTHING, "x");
    assert_ptr_equal(next_back(d), j);
    assert_int_equal(j->outcome, JOB_DONE);
    assert_null(j->reason);
    assert_string_equal(j->payload, "x");
    (void)job_free(j);
}

static void each_queue_has_its_own_handler(void **state)
{
    struct desk *d = *state;
    (void)submit(d, NOTHING, "no number");
    struct job *j = next_back(d);
    assert_non_null(j);
    assert_int_equal(j->outcome, JOB_DONE);
    (void)job_free(j);
    (void)submit(d, SLEEP, "no number");
    j = next_back(d);
    assert_non_null(j);
    assert_int_equal(j->outcome, JOB_DEAD);
    assert_string_equal(j->reason,
                        "payload 'no number' is not a number of seconds from 0 to 1000000000");
    (void)job_free(j);
}

static void a_sleeping_job_leaves_the_others_running(void **state)
{
    struct desk *d = *state;
    struct job *slow = submit(d, SLEEP, FOREVER);
    await_printed(d, "Waiting");
    struct job *fast = submit(d, NOTHING, ""), *nap = submit(d, SLEEP, "0.05");
    assert_ptr_equal(next_back(d), fast);
    assert_ptr_equal(next_back(d), nap);
    assert_int_equal(nap->outcome, JOB_DONE);
    assert_string_equal(printed(d), "Waiting " FOREVER "\nWaiting 0.05\nDone 0.05\n");
    (void)job_free(fast);
    (void)job_free(nap);
    assert_true(job_cancel(slow, CANCEL_SHUTDOWN));
    worker_cancel(d->worker, slow);
    assert_ptr_equal(next_back(d), slow);
    (void)job_free(slow);
}

static void jobs_sleep_beside_one_another(void **state)
{
    struct desk *d = *state;
    int done = 0;
    for (int i = 0; i < 100; i++)
        (void)submit(d, SLEEP, i ? "0.01" : FOREVER);
    for (int i = 1; i < 100; i++) {
        struct job *j = next_back(d);
        assert_non_null(j);
        done += j->outcome == JOB_DONE;
        (void)job_free(j);
    }
    assert_int_equal(done, 99);
    worker_free(d->worker);
    d->worker = NULL;
    struct job *j = next_back(d);
    assert_non_null(j);
    assert_int_equal(j->outcome, JOB_CANCELLED);
    (void)job_free(j);
}

static void a_late_job_is_not_started(void **state)
{
    struct desk *d = *state;
    atomic_store(&d->start_until, clock_boot_ms());
    struct job *j = submit(d, SLEEP, "0");
    assert_ptr_equal(next_back(d), j);
    assert_int_equal(j->outcome, JOB_LATE);
    (void)job_free(j);
    atomic_store(&d->start_until, INT64_MIN);
    j = submit(d, NOTHING, "");
    assert_ptr_equal(next_back(d), j);
    assert_int_equal(j->outcome, JOB_LATE);
    (void)job_free(j);
    assert_string_equal(printed(d), "");
    atomic_store(&d->start_until, clock_boot_ms() + 60000);
    j = submit(d, NOTHING, "");
    assert_ptr_equal(next_back(d), j);
    assert_int_equal(j->outcome, JOB_DONE);
    (void)job_free(j);
}

static void a_job_that_runs_is_cancelled(void **state)
{
    struct desk *d = *state;
    struct job *j = submit(d, SLEEP, FOREVER);
    await_printed(d, "Waiting");
    assert_true(job_cancel(j, CANCEL_SHUTDOWN));
    worker_cancel(d->worker, j);
    assert_ptr_equal(next_back(d), j);
    assert_int_equal(j->outcome, JOB_CANCELLED);
    assert_null(j->reason);
    assert_string_equal(printed(d), "Waiting " FOREVER "\n");
    (void)job_free(j);
}

static void only_the_job_that_is_named_is_cancelled(void **state)
{
    struct desk *d = *state;
    struct job *a = submit(d, SLEEP, FOREVER), *b = submit(d, SLEEP, "0.2");
    turn(d);
    worker_cancel(d->worker, a);
    worker_cancel(d->worker, a);
    struct job *first = next_back(d), *second = next_back(d);
    assert_true((first == a && second == b) || (first == b && second == a));
    assert_int_equal(a->outcome, JOB_CANCELLED);
    assert_int_equal(b->outcome, JOB_DONE);
    (void)job_free(a);
    (void)job_free(b);
}

static void a_job_that_was_cancelled_before_is_not_started(void **state)
{
    struct desk *d = *state;
    struct job *j = a_job(d, SLEEP, "0");
    assert_non_null(j);
    assert_true(job_cancel(j, CANCEL_SHUTDOWN));
    assert_int_equal(worker_submit(d->worker, j), 0);
    assert_ptr_equal(next_back(d), j);
    assert_int_equal(j->outcome, JOB_CANCELLED);
    assert_string_equal(printed(d), "");
    (void)job_free(j);
}

/* The message that names a job and the job's end meet in any order: each comes back once. */
static void a_job_that_ends_beside_its_cancelling_comes_back_once(void **state)
{
    struct desk *d = *state;
    enum { N = 5000 };
    static int back[N];
    int wrong = 0;
    memset(back, 0, sizeof back);
    for (uint32_t i = 0; i < N; i++) {
        struct job *j = a_job(d, i % 2 ? NOTHING : SLEEP, i % 4 ? "0" : FOREVER);
        assert_non_null(j);
        j->index = i;
        assert_int_equal(worker_submit(d->worker, j), 0);
        if (i % 3 == 0)
            turn(d);
        (void)job_cancel(j, CANCEL_OPERATOR);
        worker_cancel(d->worker, j);
    }
    for (int i = 0; i < N; i++) {
        struct job *j = next_back(d);
        assert_non_null(j);
        back[j->index]++;
        wrong += j->outcome != JOB_DONE && j->outcome != JOB_CANCELLED;
        (void)job_free(j);
    }
    for (int i = 0; i < N; i++)
        wrong += back[i] != 1;
    assert_int_equal(wrong, 0);
    assert_null(mailbox_take(&d->results));
}

/* A message that the worker's end finds unread takes its job along. */
static void what_is_cancelled_at_the_end_comes_back_too(void **state)
{
    struct desk *d = *state;
    enum { N = 200 };
    int back = 0;
    struct mail *next;
    for (int i = 0; i < N; i++) {
        struct job *j = submit(d, SLEEP, FOREVER);
        (void)job_cancel(j, CANCEL_SHUTDOWN);
        worker_cancel(d->worker, j);
    }
    d->worker = worker_free(d->worker);
    for (struct mail *m = mailbox_take(&d->results); m; m = next, back++) {
        next = m->next;
        (void)job_free((struct job *)m);
    }
    assert_int_equal(back, N);
}

static void what_runs_at_the_end_comes_back_cancelled(void **state)
{
    struct desk *d = *state;
    enum { N = 1000 };
    int wakes;
    for (int i = 0; i < N; i++)
        (void)submit(d, SLEEP, FOREVER);
    d->worker = worker_free(d->worker);
    assert_int_equal(sem_getvalue(&d->woken, &wakes), 0);
    assert_in_range(wakes, 1, N - 1); /* shared by those that end within a millisecond */
    assert_null(d->worker);
    int cancelled = 0;
    struct mail *next;
    for (struct mail *m = mailbox_take(&d->results); m; m = next) {
        struct job *j = (struct job *)m;
        next = m->next;
        cancelled += j->outcome == JOB_CANCELLED;
        (void)job_free(j);
    }
    assert_int_equal(cancelled, N);
    assert_null(worker_free(NULL));
}

static void many_jobs_come_back_each_once(void **state)
{
    struct desk *d = *state;
    enum { N = 20000 };
    static bool seen[N];
    int twice = 0, done = 0;
    memset(seen, 0, sizeof seen);
    for (uint32_t i = 0; i < N; i++) {
        struct job *j = a_job(d, NOTHING, "");
        assert_non_null(j);
        j->index = i;
        assert_int_equal(worker_submit(d->worker, j), 0);
    }
    for (int i = 0; i < N; i++) {
        struct job *j = next_back(d);
        assert_non_null(j);
        twice += seen[j->index];
        seen[j->index] = true;
        done += j->outcome == JOB_DONE;
        (void)job_free(j);
    }
    assert_int_equal(twice, 0);
    assert_int_equal(done, N);
    assert_null(mailbox_take(&d->results));
}

static void many_workers_share_one_mailbox(void **state)
{
    struct desk *d = *state;
    enum { WORKERS = 4, EACH = 2000 };
    struct worker *w[WORKERS];
    int done = 0, of[WORKERS] = {0};
    for (unsigned i = 0; i < WORKERS; i++) {
        w[i] = worker_new(&conf, i, &d->results, NULL);
        assert_non_null(w[i]);
    }
    for (unsigned i = 0; i < WORKERS * EACH; i++) {
        struct job *j = a_job(d, NOTHING, "");
        assert_non_null(j);
        j->worker = i % WORKERS;
        assert_int_equal(worker_submit(w[j->worker], j), 0);
    }
    for (unsigned i = 0; i < WORKERS * EACH; i++) {
        struct job *j = next_back(d);
        assert_non_null(j);
        done += j->outcome == JOB_DONE;
        of[j->worker]++;
        (void)job_free(j);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_int_equal(of[i], EACH);
        (void)worker_free(w[i]);
    }
    assert_int_equal(done, WORKERS * EACH);
}

static void progress_is_told_only_when_asked(void **state)
{
    struct desk *d = *state;
    assert_int_equal(worker_progress(d->worker), 0);
    turn(d);
    assert_int_equal(worker_progress(d->worker), 1);
    turn(d);
    assert_int_equal(worker_progress(d->worker), 2);
}

static void a_refused_submit_leaves_the_job_with_the_caller(void **state)
{
    struct desk *d = *state;
    struct job *j = a_job(d, NOTHING, "");
    assert_non_null(j);
    turn(d); /* nothing else allocates now */
    oom_arm(1);
    int r = worker_submit(d->worker, j);
    assert_true(oom_disarm());
    assert_int_equal(r, -ENOMEM);
    assert_int_equal(j->outcome, JOB_NONE);
    turn(d);
    assert_null(mailbox_take(&d->results));
    assert_int_equal(worker_submit(d->worker, j), 0);
    assert_ptr_equal(next_back(d), j);
    assert_int_equal(j->outcome, JOB_DONE);
    (void)job_free(j);
}

/* A worker that has run nothing yet, so that nothing is kept from before. */
static void new_worker(struct desk *d)
{
    (void)worker_free(d->worker);
    d->worker = worker_new(&conf, 3, &d->results, NULL);
    assert_non_null(d->worker);
    turn(d);
}

/* Each allocation between submit and outcome fails once: the job comes back, to be run again. */
static void a_job_that_finds_no_memory_is_run_again(void **state)
{
    struct desk *d = *state;
    int again = 0;
    enum job_outcome outcome = JOB_NONE;
    for (unsigned n = 2; outcome != JOB_DONE; n++) {
        struct job *j = a_job(d, SLEEP, "0.001");
        assert_non_null(j);
        new_worker(d);
        oom_arm(n); /* the first one is worker_submit's */
        int r = worker_submit(d->worker, j);
        struct job *back = next_back(d);
        bool failed = oom_disarm();
        assert_int_equal(r, 0);
        assert_ptr_equal(back, j);
        outcome = j->outcome;
        assert_true(outcome == JOB_DONE || (failed && outcome == JOB_AGAIN));
        again += outcome == JOB_AGAIN;
        (void)job_free(j);
        if (outcome == JOB_DONE && failed) /* it had another way */
            outcome = JOB_NONE;
    }
    assert_true(again > 0);
}

/* A dead job whose sentence finds no memory is dead all the same. Each allocation of a warm worker
 * fails in turn; in a second round where the loop had to grow in the first. */
static void a_reason_that_finds_no_memory_is_left_out(void **state)
{
    struct desk *d = *state;
    bool without = false;
    (void)submit(d, SLEEP, "0.001");
    (void)job_free(next_back(d));
    for (unsigned i = 0; i < 100 && !without; i++) {
        struct job *j = a_job(d, SLEEP, "x");
        assert_non_null(j);
        turn(d);             /* nothing else allocates now */
        oom_arm(2 + i % 10); /* the first one is worker_submit's */
        int r = worker_submit(d->worker, j);
        struct job *back = next_back(d);
        bool failed = oom_disarm();
        enum job_outcome outcome = j->outcome;
        without = outcome == JOB_DEAD && !j->reason;
        (void)job_free(j);
        assert_int_equal(r, 0);
        assert_ptr_equal(back, j);
        assert_true(outcome == JOB_DEAD || (outcome == JOB_AGAIN && failed));
    }
    assert_true(without);
}

static void a_worker_without_memory_is_told_with_a_sentence(void **state)
{
    struct desk *d = *state;
    unsigned n = 0;
    for (;;) {
        struct err e = {0};
        oom_arm(++n);
        struct worker *w = worker_new(&conf, 7, &d->results, &e);
        bool failed = oom_disarm();
        (void)worker_free(w);
        if (w && !failed)
            break;
        assert_true(failed);
        if (!w) {
            assert_true(e.code < 0);
            assert_non_null(strstr(e.text, "worker 7"));
        }
    }
    assert_true(n > 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_job_comes_back_done),
        TEST(each_queue_has_its_own_handler),
        TEST(a_sleeping_job_leaves_the_others_running),
        TEST(jobs_sleep_beside_one_another),
        TEST(a_late_job_is_not_started),
        TEST(a_job_that_runs_is_cancelled),
        TEST(only_the_job_that_is_named_is_cancelled),
        TEST(a_job_that_was_cancelled_before_is_not_started),
        TEST(a_job_that_ends_beside_its_cancelling_comes_back_once),
        TEST(what_is_cancelled_at_the_end_comes_back_too),
        TEST(what_runs_at_the_end_comes_back_cancelled),
        TEST(many_jobs_come_back_each_once),
        TEST(many_workers_share_one_mailbox),
        TEST(progress_is_told_only_when_asked),
        TEST(a_refused_submit_leaves_the_job_with_the_caller),
        TEST(a_job_that_finds_no_memory_is_run_again),
        TEST(a_reason_that_finds_no_memory_is_left_out),
        TEST(a_worker_without_memory_is_told_with_a_sentence),
    };
    return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
