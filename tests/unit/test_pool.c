/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
/* A pool's children, real ones: what they are told, what becomes of a job, who is kept. */
#include "tests/unit/pool_stage.h"

#include <dirent.h>
#include <pthread.h>

#include "tests/lib/oom.h"
#include "worker/runtime/run.h"

/* ---- warm children ---- */

static void a_child_gets_one_job_after_the_other(void **state)
{
    struct stage *s = *state;
    stage_open(s, "");
    assert_int_equal(stage_play(s, "ok 1"), JOB_DONE);
    assert_int_equal(stage_play(s, "ok 2"), JOB_DONE);
    stage_close(s);
    assert_int_equal(told("start"), 1);
    assert_int_equal(told_by("ok 1"), told_by("ok 2"));
    assert_true(is_reaped(told_by("start")));
}

static struct beside { /* a job of another worker's */
    struct stage stage;
    unsigned number; /* of the allocation that fails; 0: none */
    bool failed;
} beside;

static int play_beside(void *arg, void **ret_result, struct err *e)
{
    struct stage *s = &beside.stage;
    (void)arg, (void)ret_result, (void)e;
    oom_arm(beside.number);
    s->outcome = handler_pool.run(s->job, s->state, &s->why);
    beside.failed = oom_disarm();
    return 0;
}

static void *another_worker(void *arg)
{
    struct stage *s = &beside.stage;
    (void)arg;
    s->outcome = JOB_NONE;
    if (handler_pool.init(&s->conf->queues[0], &s->state, NULL) < 0)
        return NULL;
    (void)run(play_beside, NULL, NULL, NULL);
    handler_pool.exit(s->state);
    return NULL;
}

static enum job_outcome stage_play_beside(const struct stage *s, unsigned number)
{
    pthread_t thread;
    beside = (struct beside){.stage = *s, .number = number};
    beside.stage.job = stage_job(s, "ok beside", 9);
    assert_int_equal(pthread_create(&thread, NULL, another_worker, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)job_free(beside.stage.job);
    return beside.stage.outcome;
}

static void two_workers_share_the_children(void **state)
{
    struct stage *s = *state;
    stage_open(s, "");
    assert_int_equal(stage_play(s, "ok 1"), JOB_DONE);
    assert_int_equal(stage_play_beside(s, 0), JOB_DONE);
    assert_int_equal(stage_play(s, "ok 2"), JOB_DONE);
    assert_int_equal(told("start"), 1);
    assert_int_equal(told_by("ok beside"), told_by("ok 1"));
    assert_int_equal(told_by("ok 2"), told_by("ok 1"));
}

static void a_child_that_cannot_be_taken_over_stays_idle(void **state)
{
    struct stage *s = *state;
    unsigned number = 0;
    stage_open(s, "");
    do {
        assert_int_equal(stage_play(s, "ok"), JOB_DONE);
        enum job_outcome outcome = stage_play_beside(s, ++number);
        assert_int_equal(outcome, outcome == JOB_DONE ? JOB_DONE : JOB_AGAIN);
    } while (beside.failed);
    assert_true(number > 4);
}

static void max_jobs_brings_in_another_child(void **state)
{
    struct stage *s = *state;
    stage_open(s, "max_jobs = 2; kill_grace = 600.0;");
    for (int i = 0; i < 4; i++)
        assert_int_equal(stage_play(s, i < 2 ? "ok a" : "ok b"), JOB_DONE);
    assert_int_equal(told("start"), 2);
    assert_int_not_equal(told_by("ok a"), told_by("ok b"));
    assert_int_equal(told("eof"), 2); /* each was told to leave */
    assert_true(is_reaped(told_by("ok a")));
}

static void what_a_child_says_at_its_end_does_not_hold_it(void **state)
{
    struct stage *s = *state;
    setenv("POOL_CHILD_END", "talk", 1);
    stage_open(s, "max_jobs = 1; kill_grace = 30.0;");
    assert_int_equal(stage_play(s, "ok"), JOB_DONE);
    assert_int_equal(told("eof"), 1);
    unsetenv("POOL_CHILD_END");
}

static void max_rss_brings_in_another_child(void **state)
{
    struct stage *s = *state;
    stage_open(s, "max_rss = 134217728;");
    assert_int_equal(stage_play(s, "ok 1"), JOB_DONE);
    assert_int_equal(stage_play(s, "ok 2"), JOB_DONE);
    assert_int_equal(told("start"), 1);
    assert_int_equal(stage_play(s, "grow 160000000"), JOB_DONE);
    assert_true(is_reaped(told_by("grow 160000000")));
    assert_int_equal(stage_play(s, "ok 3"), JOB_DONE);
    assert_int_equal(told("start"), 2);
}

/* ---- bytes ---- */

static void assert_echo(struct stage *s, const char *payload, size_t len)
{
    struct job *j = stage_job(s, payload, len);
    assert_int_equal(stage_run(s, j), JOB_DONE);
    assert_int_equal(j->result_len, len);
    if (len)
        assert_true(memcmp(j->result, payload, len) == 0);
    (void)job_free(j);
}

static void any_bytes_go_in_and_come_back(void **state)
{
    struct stage *s = *state;
    size_t large = (size_t)64 << 20;
    char *bytes = malloc(large);
    assert_non_null(bytes);
    for (size_t i = 0; i < large; i++)
        bytes[i] = (char)(i * 2654435761u >> 24);
    memcpy(bytes, "ok\0", 3);
    stage_open(s, "");
    assert_echo(s, "", 0);
    assert_echo(s, "ok\0 behind", 10);
    assert_echo(s, "ok {\"id\":\"x\"}\n\n", 16);
    assert_echo(s, "ok %s {payload} $(id)", 21);
    assert_echo(s, bytes, large);
    assert_echo(s, "ok again", 8);
    assert_int_equal(told("start"), 1);
    free(bytes);
}

static void a_result_that_nobody_wants_is_read_all_the_same(void **state)
{
    struct stage *s = *state;
    stage_open(s, "");
    free(s->conf->queues[0].result_list);
    s->conf->queues[0].result_list = strdup("");
    struct job *j = stage_job(s, "ok 1", 4);
    assert_int_equal(stage_run(s, j), JOB_DONE);
    assert_null(j->result);
    (void)job_free(j);
    assert_int_equal(stage_play(s, "ok 2"), JOB_DONE);
    assert_int_equal(told("start"), 1);
}

/* ---- what a child may say ---- */

static void retry_and_dead_carry_a_reason(void **state)
{
    struct stage *s = *state;
    stage_open(s, "");
    struct job *j = stage_job(s, "retry 2.5", 9);
    assert_int_equal(stage_run(s, j), JOB_RETRY);
    assert_string_equal(s->why.text, "come back");
    assert_int_equal(j->delay_ms, 2500);
    (void)job_free(j);
    assert_int_equal(stage_play(s, "dead no such user"), JOB_DEAD);
    assert_string_equal(s->why.text, "no such user");
    assert_int_equal(told("start"), 1); /* that is no fault of the child's */
}

static void assert_failed(struct stage *s, const char *payload, size_t len, const char *sentence)
{
    struct job *j = stage_job(s, payload, len);
    assert_int_equal(stage_play(s, "ok warm"), JOB_DONE);
    unsigned starts = told("start");
    assert_int_equal(stage_run(s, j), JOB_RETRY);
    if (!strstr(s->why.text, sentence))
        fail_msg("'%s' says nothing of '%s'", s->why.text, sentence);
    assert_int_equal(stage_play(s, "ok behind"), JOB_DONE);
    assert_int_equal(told("start"), starts + 1);
    (void)job_free(j);
}

static void what_breaks_the_protocol_costs_its_job_a_try(void **state)
{
    struct stage *s = *state;
    static char early[POOL_CHILD_EARLY];
    stage_open(s, "");
    assert_failed(s, "babble Hello", 12, "it wrote 'Hello\\n', which is no JSON object");
    assert_failed(s, "wrong-id", 8, "the id of its answer is \"another\"");
    assert_failed(s, "large", 5, "the len of its answer is 99999999999");
    assert_failed(s, "close", 5, "it closed its standard output before it had answered");
    assert_failed(s, "endless", 7, "without a line end");
    assert_failed(s, early, sizeof early, "it answered before it had read the whole job");
}

static void more_than_an_answer_costs_the_child(void **state)
{
    struct stage *s = *state;
    stage_open(s, "");
    assert_int_equal(stage_play(s, "surplus"), JOB_DONE);
    assert_int_equal(stage_play(s, "ok 1"), JOB_DONE);
    assert_int_equal(told("start"), 2);
}

static void how_a_child_ended_is_evidence(void **state)
{
    struct stage *s = *state;
    stage_open(s, "");
    struct job *j = stage_job(s, "exit 7", 6);
    assert_int_equal(stage_run(s, j), JOB_RETRY);
    assert_non_null(strstr(s->why.text, "it ended before it had answered: exit code 7"));
    assert_int_equal(j->evidence.exit_code, 7);
    assert_int_equal(j->evidence.output_len, 8);
    assert_memory_equal(j->evidence.output, "leaving\n", 8);
    (void)job_free(j);
    j = stage_job(s, "signal 10", 9);
    assert_int_equal(stage_run(s, j), JOB_RETRY);
    assert_non_null(strstr(s->why.text, "it ended before it had answered: signal 10 (SIGUSR1)"));
    assert_int_equal(j->evidence.signal, SIGUSR1);
    assert_int_equal(j->evidence.exit_code, -1);
    (void)job_free(j);
}

/* ---- an end before the answer ---- */

struct cancelling {
    struct stage *stage;
    const char *until; /* the child has told this */
};

static int run_in_task(void *arg, void **ret_result, struct err *e)
{
    struct stage *s = arg;
    (void)ret_result, (void)e;
    s->outcome = handler_pool.run(s->job, s->state, &s->why);
    return 0;
}

static int cancel_main(void *arg, void **ret_result, struct err *e)
{
    struct cancelling *c = arg;
    struct stage *s = c->stage;
    (void)ret_result;
    struct task *t = task_create(run_in_task, s, NULL);
    while (!told(c->until))
        if (task_sleep(5) < 0)
            return -ECANCELED;
    (void)task_cancel(t);
    int r = task_await(t, NULL, e);
    task_unref(t);
    return r;
}

static void play_cancelled(struct stage *s, const char *payload, const char *until)
{
    struct cancelling c = {.stage = s, .until = until};
    s->job = stage_job(s, payload, strlen(payload));
    assert_int_equal(run(cancel_main, &c, NULL, &s->why), 0);
    assert_int_equal(s->outcome, JOB_CANCELLED);
    (void)job_free(s->job);
}

static void a_cancelled_job_takes_its_child_along(void **state)
{
    struct stage *s = *state;
    stage_open(s, "");
    play_cancelled(s, "hang", "hang");
    assert_true(is_reaped(told_by("hang")));
    assert_int_equal(stage_play(s, "ok 1"), JOB_DONE);
    assert_int_equal(told("start"), 2);
}

static void nothing_of_a_child_s_tree_is_left(void **state)
{
    struct stage *s = *state;
    stage_open(s, "kill_grace = 0.1;");
    play_cancelled(s, "tree", "grandchild");
    assert_true(is_reaped(told_by("tree")));
    assert_true(is_reaped(told_by("grandchild"))); /* it ignores TERM and holds the pipes */
    assert_int_equal(stage_play(s, "ok 1"), JOB_DONE);
}

static void idle_children_that_do_not_leave_are_killed_at_the_end(void **state)
{
    struct stage *s = *state;
    stage_open(s, "");
    assert_int_equal(stage_play(s, "stay"),
                     JOB_DONE); /* ignores TERM and end of file from now on */
    stage_close(s);
    assert_true(is_reaped(told_by("stay")));
}

/* ---- starts ---- */

static void a_slow_start_is_waited_for(void **state)
{
    struct stage *s = *state;
    setenv("POOL_CHILD_START", "sleep 300", 1);
    stage_open(s, "");
    assert_int_equal(stage_play(s, "ok 1"), JOB_DONE);
}

static void a_start_that_fails_costs_a_try_and_says_why(void **state)
{
    struct stage *s = *state;
    setenv("POOL_CHILD_START", "fail", 1);
    stage_open(s, "");
    for (unsigned i = 1; i <= 3; i++) {
        struct job *j = stage_job(s, "ok 1", 4);
        assert_int_equal(stage_run(s, j), JOB_RETRY);
        assert_non_null(strstr(s->why.text, "exit code 3"));
        assert_memory_equal(j->evidence.output, "no such module\n", 15);
        assert_int_equal(told("start"), i);
        (void)job_free(j);
    }
}

static void a_command_that_is_gone_costs_a_try_and_says_why(void **state)
{
    struct stage *s = *state;
    stage_open(s, "");
    free(s->conf->queues[0].handler.command[0]);
    s->conf->queues[0].handler.command[0] = strdup("/nowhere/worker");
    stage_close(s);
    stage_begin(s);
    assert_int_equal(stage_play(s, "ok 1"), JOB_RETRY);
    assert_non_null(strstr(s->why.text, "/nowhere/worker"));
}

/* ---- what is left ---- */

static unsigned descriptors(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d))
        n++;
    (void)closedir(d);
    return n;
}

static void no_descriptor_is_left(void **state)
{
    struct stage *s = *state;
    stage_open(s, "max_jobs = 3;");
    assert_int_equal(stage_play(s, "ok"), JOB_DONE);
    stage_close(s);
    unsigned before = descriptors();
    for (int round = 0; round < 2; round++) {
        stage_begin(s);
        for (int i = 0; i < 8; i++)
            (void)stage_play(s, i == 3 ? "exit 1" : i == 5 ? "babble x" : "ok");
        stage_close(s);
    }
    assert_int_equal(descriptors(), before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_new, stage_free)

int main(int argc, char *argv[])
{
    pool_child_main(argc, argv);
    const struct CMUnitTest tests[] = {
        TEST(a_child_gets_one_job_after_the_other),
        TEST(two_workers_share_the_children),
        TEST(a_child_that_cannot_be_taken_over_stays_idle),
        TEST(max_jobs_brings_in_another_child),
        TEST(what_a_child_says_at_its_end_does_not_hold_it),
        TEST(max_rss_brings_in_another_child),
        TEST(any_bytes_go_in_and_come_back),
        TEST(a_result_that_nobody_wants_is_read_all_the_same),
        TEST(retry_and_dead_carry_a_reason),
        TEST(what_breaks_the_protocol_costs_its_job_a_try),
        TEST(more_than_an_answer_costs_the_child),
        TEST(how_a_child_ended_is_evidence),
        TEST(a_cancelled_job_takes_its_child_along),
        TEST(nothing_of_a_child_s_tree_is_left),
        TEST(idle_children_that_do_not_leave_are_killed_at_the_end),
        TEST(a_slow_start_is_waited_for),
        TEST(a_start_that_fails_costs_a_try_and_says_why),
        TEST(a_command_that_is_gone_costs_a_try_and_says_why),
        TEST(no_descriptor_is_left),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
