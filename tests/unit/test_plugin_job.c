/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=stack_get */
/* The job as a plugin sees it, what it makes of its outcome, and a whole job. */
#include "tests/unit/plugin_job.h"

#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "worker/runtime/stack.h"

static void settings_are_found_by_their_whole_name(void **state)
{
    (void)state;
    char *pairs[] = {(char *)"po=1", (char *)"port=25", (char *)"text=a=b", (char *)"none=", NULL};
    const struct rpopd_settings s = {.pairs = pairs};
    assert_string_equal(rpopd_setting(&s, "port"), "25");
    assert_string_equal(rpopd_setting(&s, "po"), "1");
    assert_string_equal(rpopd_setting(&s, "text"), "a=b");
    assert_string_equal(rpopd_setting(&s, "none"), "");
    assert_null(rpopd_setting(&s, "por"));
    assert_null(rpopd_setting(&s, "ports"));
    assert_null(rpopd_setting(&s, ""));
    assert_string_equal(rpopd_setting_at(&s, 0), "po=1");
    assert_string_equal(rpopd_setting_at(&s, 3), "none=");
    assert_null(rpopd_setting_at(&s, 4));
    assert_null(rpopd_setting_at(&s, 5));
}

static void a_job_tells_what_it_is(void **state)
{
    (void)state;
    struct job *j = job_of(&conf, "abc");
    struct err why = {0};
    struct rpopd_job p;
    size_t len = 0;
    int64_t before = clock_wall_ms();
    hook_begin(1);
    plugin_job_init(&p, &hook, j, &why);
    assert_string_equal(rpopd_job_payload(&p, &len), "abc");
    assert_int_equal(len, 3);
    assert_ptr_equal(rpopd_job_payload(&p, NULL), j->payload);
    assert_string_equal(rpopd_job_id(&p), "run.1-2-3");
    assert_string_equal(rpopd_job_queue(&p), "q'1");
    assert_int_equal(rpopd_job_attempt(&p), 2);
    assert_int_equal(rpopd_job_attempts(&p), 7);
    assert_true(rpopd_job_deadline_ms(&p) >= before + 5000);
    assert_true(rpopd_job_deadline_ms(&p) <= clock_wall_ms() + 5000);
    assert_false(rpopd_job_cancelled(&p));
    (void)job_cancel(j, CANCEL_OPERATOR);
    assert_true(rpopd_job_cancelled(&p));
    (void)job_free(j);
    struct conf_queue endless = conf;
    endless.timeout_ms = 0;
    j = job_of(&endless, "");
    plugin_job_init(&p, &hook, j, &why);
    assert_int_equal(rpopd_job_deadline_ms(&p), 0);
    (void)job_free(j);
    hook_end();
}

static void what_it_says_lies_in_the_job(void **state)
{
    (void)state;
    struct job *j = job_of(&conf, "");
    struct err why = {0};
    struct rpopd_job p;
    plugin_job_init(&p, &hook, j, &why);
    assert_int_equal(rpopd_job_retry(&p, 1500, "in %d s", 15), RPOPD_RETRY);
    assert_int_equal(j->delay_ms, 1500);
    assert_string_equal(why.text, "in 15 s");
    assert_int_equal(rpopd_job_retry(&p, -7, "later"), RPOPD_RETRY);
    assert_int_equal(j->delay_ms, -1);
    assert_int_equal(rpopd_job_dead(&p, "never %s", "%s"), RPOPD_DEAD);
    assert_string_equal(why.text, "never %s");
    assert_int_equal(rpopd_job_output(&p, "123456", 6), 0);
    assert_int_equal(j->evidence.output_len, 4);
    assert_memory_equal(j->evidence.output, "3456", 4);
    assert_int_equal(rpopd_job_output(&p, NULL, 0), 0);
    assert_int_equal(j->evidence.output_len, 0);
    rpopd_job_exit_code(&p, 1);
    rpopd_job_signal(&p, 2);
    rpopd_job_status(&p, 3);
    assert_int_equal(j->evidence.exit_code + 10 * j->evidence.signal + 100 * j->evidence.status,
                     321);
    assert_int_equal(rpopd_job_result(&p, "r", 1), 0);
    assert_null(j->result); /* nobody gets it */
    (void)job_free(j);
    struct conf_queue wanting = conf;
    wanting.result_key_ttl_ms = 1;
    j = job_of(&wanting, "");
    plugin_job_init(&p, &hook, j, &why);
    assert_int_equal(rpopd_job_result(&p, "one", 3), 0);
    assert_int_equal(rpopd_job_result(&p, "a\0b", 3), 0);
    assert_int_equal(j->result_len, 3);
    assert_memory_equal(j->result, "a\0b", 3);
    assert_int_equal(rpopd_job_result(&p, NULL, 0), 0);
    assert_non_null(j->result); /* an empty one is one */
    assert_int_equal(j->result_len, 0);
    oom_arm(1);
    assert_int_equal(rpopd_job_result(&p, "x", 1), -ENOMEM);
    assert_true(oom_disarm());
    (void)job_free(j);
}

static void an_error_is_filled_and_cut(void **state)
{
    (void)state;
    struct rpopd_error e;
    char filler[500];
    memset(filler, 'x', sizeof filler - 1);
    filler[sizeof filler - 1] = '\0';
    assert_int_equal(rpopd_error(&e, -EIO, "disk %d", 3), -EIO);
    assert_int_equal(e.code, -EIO);
    assert_string_equal(e.text, "disk 3");
    assert_int_equal(rpopd_error(&e, -EIO, "%s", filler), -EIO);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    assert_int_equal(rpopd_error(NULL, -EPERM, "nobody"), -EPERM);
}

static void what_run_returns_is_an_outcome(void **state)
{
    (void)state;
    static const struct {
        int code;
        enum job_cancel cancel;
        struct err why;
        enum job_outcome outcome;
        const char *text; /* NULL: no reason */
    } rows[] = {
        {0, CANCEL_NONE, {-EIO, "an error that did not matter"}, JOB_DONE, NULL},
        {0, CANCEL_OPERATOR, {0}, JOB_DONE, NULL},
        {RPOPD_RETRY, CANCEL_NONE, {-5002, "said"}, JOB_RETRY, "said"},
        {RPOPD_RETRY, CANCEL_NONE, {0}, JOB_RETRY, "the plugin gives no reason"},
        {RPOPD_RETRY, CANCEL_TIMEOUT, {-5002, "said"}, JOB_CANCELLED, ""},
        {RPOPD_DEAD, CANCEL_NONE, {-5002, "said"}, JOB_DEAD, "said"},
        {RPOPD_DEAD, CANCEL_SHUTDOWN, {-5002, "said"}, JOB_DEAD, "said"},
        {RPOPD_AGAIN, CANCEL_NONE, {0}, JOB_AGAIN, "the plugin gives no reason"},
        {RPOPD_AGAIN, CANCEL_LOST, {0}, JOB_CANCELLED, ""},
        {-ENOMEM, CANCEL_NONE, {-ENOMEM, "no memory"}, JOB_AGAIN, "no memory"},
        {-EMFILE, CANCEL_NONE, {0}, JOB_AGAIN, "Too many open files"},
        {-ENFILE, CANCEL_NONE, {0}, JOB_AGAIN, "Too many open files in system"},
        {-ECANCELED, CANCEL_TIMEOUT, {0}, JOB_CANCELLED, ""},
        {-ECANCELED, CANCEL_NONE, {0}, JOB_CANCELLED, ""},
        {-EIO, CANCEL_NONE, {-EIO, "the last error"}, JOB_RETRY, "the last error"},
        {-EIO, CANCEL_NONE, {-EPERM, "of another"}, JOB_RETRY, "Input/output error"},
        {-EIO, CANCEL_SHUTDOWN, {-EIO, "the last error"}, JOB_CANCELLED, ""},
        {4, CANCEL_NONE, {0}, JOB_RETRY, "the plugin returned 4, which is no outcome"},
        {INT32_MIN, CANCEL_NONE, {0}, JOB_RETRY, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct job *j = job_of(&conf, "");
        struct err why = rows[i].why;
        (void)job_cancel(j, rows[i].cancel);
        enum job_outcome outcome = plugin_outcome(j, rows[i].code, &why);
        (void)job_free(j);
        if (outcome != rows[i].outcome || (outcome == JOB_DONE && why.code) ||
            (rows[i].text && rows[i].text[0] && (!why.code || strcmp(why.text, rows[i].text) != 0)))
            fail_msg("row %zu: %d, %d '%s'", i, (int)outcome, why.code, why.text);
    }
    struct job *j = job_of(&conf, "");
    struct err large = {0};
    job_result(j, malloc(101), 101);
    assert_int_equal(plugin_outcome(j, RPOPD_DONE, &large), JOB_DEAD);
    assert_string_equal(large.text, "its result is larger than max_payload, 100 bytes");
    assert_null(j->result);
    (void)job_free(j);
    j = job_of(&conf, "");
    struct err open = {.code = -EIO};
    memset(open.text, 'x', sizeof open.text); /* a plugin forgot the NUL */
    assert_int_equal(plugin_outcome(j, -EIO, &open), JOB_RETRY);
    assert_int_equal(strlen(open.text), sizeof open.text - 1);
    (void)job_free(j);
}

/* ---- a whole job, of both kinds ---- */

static int fill(struct rpopd_job *job, void *state, struct rpopd_error *e)
{
    int *runs = state;
    size_t len;
    ++*runs;
    if (strcmp(rpopd_job_payload(job, &len), "fill") != 0 || len != 4)
        return rpopd_job_dead(job, "payload");
    if (strcmp(rpopd_job_id(job), "run.1-2-3") != 0 || rpopd_job_attempt(job) != 2)
        return rpopd_job_dead(job, "id");
    int r = rpopd_sleep(1, NULL);
    if (r == -ENOMEM)
        return r;
    if (r != (job->hook->conf.handler.blocking ? RPOPD_NO_TASK : 0))
        return rpopd_job_dead(job, "await");
    if (rpopd_job_output(job, "output", 6) < 0 || rpopd_job_result(job, "result", 6) < 0)
        return -ENOMEM;
    rpopd_job_exit_code(job, 9);
    (void)rpopd_job_retry(job, 77, "not me");
    return rpopd_error(e, -EIO, "the last error");
}

struct blocking {
    struct job *job;
    enum job_outcome outcome;
    struct err why;
};

static int run_one(void *arg, void **ret_result, struct err *e)
{
    struct blocking *b = arg;
    (void)ret_result, (void)e;
    b->outcome = plugin_run(b->job, &hook, &b->why);
    return 0;
}

static void what_it_says_comes_to_its_job(bool blocking)
{
    int runs = 0;
    struct conf_queue wanting = conf;
    wanting.result_key_ttl_ms = 1;
    hook_begin(2);
    hook.conf.handler.blocking = blocking;
    hook.plugin.run = fill;
    hook.state = &runs;
    struct blocking b = {.job = job_of(&wanting, "fill")};
    assert_int_equal(run(run_one, &b, NULL, NULL), 0);
    assert_int_equal(b.outcome, JOB_RETRY);
    assert_string_equal(b.why.text, "the last error");
    assert_int_equal(b.job->delay_ms, 77);
    assert_int_equal(b.job->evidence.exit_code, 9);
    assert_memory_equal(b.job->evidence.output, "tput", 4);
    assert_memory_equal(b.job->result, "result", 6);
    assert_int_equal(runs, 1);
    assert_int_equal(hook.left, 0);
    (void)job_free(b.job);
    hook_end();
}

static void what_a_coroutine_says_comes_to_its_job(void **state)
{
    (void)state;
    what_it_says_comes_to_its_job(false);
}

static void what_a_blocking_one_says_comes_to_its_job(void **state)
{
    (void)state;
    what_it_says_comes_to_its_job(true);
}

static struct blocking poor;

static int poor_body(void *arg, void **ret_result, struct err *e)
{
    (void)arg;
    (void)run_one(&poor, ret_result, e);
    return poor.outcome == JOB_AGAIN ? -ENOMEM : poor.outcome == JOB_RETRY ? 0 : -EPROTO;
}

static void without_memory_for(bool blocking)
{
    int runs = 0;
    hook_begin(2);
    hook.conf.handler.blocking = blocking;
    hook.plugin.run = fill;
    hook.state = &runs;
    poor = (struct blocking){.job = job_of(&conf, "fill")};
    check_each_allocation(poor_body);
    assert_true(runs >= 1);
    (void)job_free(poor.job);
    hook_end();
}

static void without_memory_for_a_coroutine_it_is_run_again(void **state)
{
    (void)state;
    without_memory_for(false);
}

static void without_memory_for_a_blocking_one_it_is_run_again(void **state)
{
    (void)state;
    without_memory_for(true);
}

static bool no_stack;
struct stack *__real_stack_get(struct stack_pool *p);
struct stack *__wrap_stack_get(struct stack_pool *p);

struct stack *__wrap_stack_get(struct stack_pool *p)
{
    return no_stack ? NULL : __real_stack_get(p);
}

static int run_one_without_a_stack(void *arg, void **ret_result, struct err *e)
{
    struct lost lost = {0};
    loop_set_exception_handler(loop_running(), note_lost, &lost);
    no_stack = true;
    (void)run_one(arg, ret_result, e);
    no_stack = false;
    loop_set_exception_handler(loop_running(), NULL, NULL);
    return lost.count ? -EPROTO : 0;
}

static void without_a_stack_it_is_run_again(void **state)
{
    int runs = 0;
    struct blocking b = {.job = job_of(&conf, "fill")};
    (void)state;
    hook_begin(1);
    hook.plugin.run = fill;
    hook.state = &runs;
    assert_int_equal(run(run_one_without_a_stack, &b, NULL, NULL), 0);
    assert_int_equal(b.outcome, JOB_AGAIN);
    assert_int_equal(b.why.code, -ENOMEM);
    assert_int_equal(runs, 0);
    (void)job_free(b.job);
    hook_end();
}

/* ---- its task is cancelled while its function blocks a thread, and memory has run out ---- */

static struct {
    sem_t go;
    atomic_int begun;
    unsigned number; /* of the allocation that fails */
    bool failed;
} held;

static int holds_its_thread(struct rpopd_job *job, void *state, struct rpopd_error *e)
{
    (void)state, (void)e;
    (void)rpopd_job_output(job, "before", 6);
    atomic_fetch_add(&held.begun, 1);
    while (sem_wait(&held.go) < 0)
        ;
    (void)rpopd_job_output(job, "behind", 6); /* into what is its own still */
    return RPOPD_DONE;
}

static int run_one_in_need(void *arg, void **ret_result, struct err *e)
{
    oom_arm(held.number);
    return run_one(arg, ret_result, e);
}

static int cancel_both(void *arg, void **ret_result, struct err *e)
{
    struct blocking *b = arg;
    struct task *t[2];
    (void)ret_result, (void)e;
    for (int i = 0; i < 2; i++) {
        t[i] = task_create(run_one_in_need, &b[i], NULL);
        do
            (void)task_sleep(1);
        while (!task_done(t[i]) && atomic_load(&held.begun) == 0);
        held.failed |= oom_disarm();
    }
    for (int i = 0; i < 2; i++) {
        (void)job_cancel(b[i].job, CANCEL_TIMEOUT);
        atomic_store(&b[i].job->at_once, true);
        (void)task_cancel(t[i]);
        (void)task_await(t[i], NULL, NULL);
        task_unref(t[i]);
    }
    (void)sem_post(&held.go);
    return 0;
}

/* One of the two has the thread, the other one waits for it. */
static void cancelled_in_need(void)
{
    struct blocking b[2] = {{.job = job_of(&conf, "")}, {.job = job_of(&conf, "")}};
    hook_begin(1);
    hook.conf.handler.blocking = true;
    hook.plugin.run = holds_its_thread;
    held.failed = false;
    atomic_store(&held.begun, 0);
    (void)sem_init(&held.go, 0, 0);
    assert_int_equal(run(cancel_both, b, NULL, NULL), 0);
    hook_end();
    assert_true(atomic_load(&held.begun) <= 1);
    for (int i = 0; i < 2; i++) {
        if (b[i].outcome != JOB_AGAIN)
            assert_int_equal(b[i].outcome, JOB_CANCELLED);
        assert_null(b[i].job->evidence.output);
        (void)job_free(b[i].job);
    }
    (void)sem_destroy(&held.go);
}

static void cancelled_without_memory_it_is_not_done(void **state)
{
    (void)state;
    for (held.number = 1, held.failed = true; held.failed; held.number++)
        cancelled_in_need();
    assert_true(held.number > 4);
}

static void outside_of_a_task_each_call_says_so(void **state)
{
    (void)state;
    struct rpopd_error e = {0};
    struct job *j = job_of(&conf, "");
    struct rpopd_job p;
    struct err why;
    hook_begin(1);
    plugin_job_init(&p, &hook, j, &why);
    assert_int_equal(rpopd_to_thread(&p, NULL, NULL, NULL, &e), RPOPD_NO_TASK);
    assert_null(rpopd_in_thread(&p, (rpopd_function)0x1, NULL, &e));
    assert_int_equal(e.code, RPOPD_NO_LOOP);
    assert_null(rpopd_future_new());
    assert_int_equal(errno, -RPOPD_NO_LOOP);
    assert_null(rpopd_task(&p, NULL, NULL));
    assert_int_equal(rpopd_tasks_end(&p, &e), RPOPD_MISUSE);
    assert_null(rpopd_timeout_enter(1, &e));
    assert_int_equal(e.code, RPOPD_NO_TASK);
    (void)job_free(j);
    hook_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_are_found_by_their_whole_name),
        cmocka_unit_test(a_job_tells_what_it_is),
        cmocka_unit_test(what_it_says_lies_in_the_job),
        cmocka_unit_test(an_error_is_filled_and_cut),
        cmocka_unit_test(what_run_returns_is_an_outcome),
        cmocka_unit_test(what_a_coroutine_says_comes_to_its_job),
        cmocka_unit_test(what_a_blocking_one_says_comes_to_its_job),
        cmocka_unit_test(without_memory_for_a_coroutine_it_is_run_again),
        cmocka_unit_test(without_memory_for_a_blocking_one_it_is_run_again),
        cmocka_unit_test(without_a_stack_it_is_run_again),
        cmocka_unit_test(cancelled_without_memory_it_is_not_done),
        cmocka_unit_test(outside_of_a_task_each_call_says_so),
    };
    return cmocka_run_group_tests_name("plugin_job", tests, NULL, NULL);
}
