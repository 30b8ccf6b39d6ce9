/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
/* What a plugin may await, by the names of rpopd_plugin.h: each once, with what it gives and how it
 * fails. That the runtime beneath is right its own tests show. */
#include "tests/unit/plugin_job.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The body of a test: in the task of a job, which notes numbers. */
struct stage {
    struct notes *notes;
    struct rpopd_job job;
    void (*body)(struct notes *n, struct rpopd_job *job);
};

static int stage_main(void *arg, void **ret_result, struct err *e)
{
    struct stage *s = arg;
    struct job *j = job_new(&conf, "payload", 7);
    struct err why = {0};
    (void)ret_result, (void)e;
    j->birth = "run.1-2";
    plugin_job_init(&s->job, &hook, j, &why);
    s->job.task = task_current();
    s->body(s->notes, &s->job);
    note(s->notes, rpopd_tasks_end(&s->job, NULL));
    note(s->notes, s->job.children != NULL);
    (void)job_free(j);
    return 0;
}

static void play(void (*body)(struct notes *n, struct rpopd_job *job), const long *expected,
                 int count)
{
    struct notes n = {.count = 0};
    struct stage s = {.notes = &n, .body = body};
    hook_begin(4);
    assert_int_equal(run(stage_main, &s, NULL, NULL), 0);
    for (int i = 0; i < count && i < n.count; i++)
        if (n.seen[i] != expected[i])
            fail_msg("note %d is %ld, not %ld", i, n.seen[i], expected[i]);
    assert_int_equal(n.count, count);
    hook_end();
}

/* The numbers that the body notes; the two of stage_main are added. */
#define PLAYS(body, ...)                          \
    play(body, (const long[]){__VA_ARGS__, 0, 0}, \
         (int)(sizeof((const long[]){__VA_ARGS__, 0, 0}) / sizeof(long)))

static int give(void *arg, void **result, struct rpopd_error *e)
{
    *result = arg;
    return rpopd_sleep(0, e);
}

static int fail_with(void *arg, void **result, struct rpopd_error *e)
{
    (void)result;
    return rpopd_error(e, -EIO, "bad %ld", (long)(intptr_t)arg);
}

static int hang_on(void *notes, void **result, struct rpopd_error *e)
{
    (void)result;
    int r = rpopd_sleep(600000, e);
    note(notes, r);
    return r;
}

/* ---- time and tasks ---- */

static void sleeps(struct notes *n, struct rpopd_job *job)
{
    int64_t begun = rpopd_now_ms();
    struct rpopd_error e;
    (void)job;
    note(n, rpopd_sleep(20, &e));
    note(n, rpopd_sleep_until(begun + 40, NULL));
    note(n, rpopd_now_ms() >= begun + 40);
    note(n, rpopd_stack_bytes() >= 65536);
}

static void it_sleeps(void **state)
{
    (void)state;
    PLAYS(sleeps, 0, 0, 1, 1);
}

static void tasks(struct notes *n, struct rpopd_job *job)
{
    void *result = NULL;
    struct rpopd_error e = {0};
    struct rpopd_future *f = rpopd_task(job, give, BOX(5)),
                        *bad = rpopd_task(job, fail_with, BOX(7));
    note(n, rpopd_future_done(f));
    note(n, rpopd_future_result(f, NULL, NULL) == RPOPD_INVALID_STATE);
    note(n, rpopd_await(f, &result, &e));
    note(n, (intptr_t)result);
    note(n, rpopd_future_done(f));
    note(n, rpopd_await(bad, NULL, &e) == -EIO && e.code == -EIO && !strcmp(e.text, "bad 7"));
    note(n, rpopd_future_result(bad, NULL, &e) == -EIO);
    rpopd_future_unref(f);
    rpopd_future_unref(bad);
    f = rpopd_future_ref(rpopd_task(job, hang_on, n));
    (void)rpopd_sleep(0, NULL);
    note(n, rpopd_future_cancel(f));
    note(n, rpopd_await(f, NULL, NULL));
    note(n, rpopd_future_cancel(f));
    rpopd_future_unref(f);
    rpopd_future_unref(f);
    rpopd_future_unref(NULL);
}

static void a_task_gives_its_result_or_its_error(void **state)
{
    (void)state;
    PLAYS(tasks, 0, 1, 0, 5, 1, 1, 1, 1, -ECANCELED, -ECANCELED, 0);
}

static void left_tasks(struct notes *n, struct rpopd_job *job)
{
    for (int i = 0; i < 3; i++)
        rpopd_future_unref(rpopd_task(job, hang_on, n));
    (void)rpopd_sleep(0, NULL);
    rpopd_future_unref(rpopd_task(job, hang_on, n)); /* never begins */
    note(n, 1);
}

static void what_still_runs_at_the_end_is_cancelled(void **state)
{
    (void)state;
    PLAYS(left_tasks, 1, -ECANCELED, -ECANCELED, -ECANCELED);
}

static int end_tasks(void *job, void **result, struct rpopd_error *e)
{
    (void)result;
    return rpopd_tasks_end(job, e);
}

static void ends_others(struct notes *n, struct rpopd_job *job)
{
    struct rpopd_error e;
    struct rpopd_future *f = rpopd_task(job, end_tasks, job);
    note(n, rpopd_await(f, NULL, &e) == RPOPD_MISUSE);
    note(n, strcmp(e.text, "only run itself can end the job's tasks"));
    rpopd_future_unref(f);
}

static void a_task_cannot_end_itself(void **state)
{
    (void)state;
    PLAYS(ends_others, 1, 0);
}

/* ---- many ---- */

static void gathers(struct notes *n, struct rpopd_job *job)
{
    const struct rpopd_call calls[] = {{give, BOX(1)}, {fail_with, BOX(2)}, {give, BOX(3)}};
    struct rpopd_error e = {0};
    void *results = NULL;
    struct rpopd_future *all = rpopd_gather_calls(job, calls, 3, true);
    note(n, rpopd_await(all, &results, &e));
    const struct rpopd_gathered *g = results;
    note(n, (intptr_t)g[0].value * 10 + (intptr_t)g[2].value);
    note(n, g[1].code == -EIO && !strcmp(rpopd_failure_text(g[1].error), "bad 2"));
    note(n, strcmp(rpopd_failure_text(g[0].error), ""));
    rpopd_future_unref(all);
    all = rpopd_gather_calls(job, calls, 3, false);
    note(n, rpopd_await(all, NULL, &e) == -EIO && !strcmp(e.text, "bad 2"));
    rpopd_future_unref(all);
    struct rpopd_future *two[] = {rpopd_future_new(), rpopd_future_new()};
    all = rpopd_gather(two, 2, false);
    note(n, rpopd_future_set(two[0], 0, BOX(8)) + rpopd_future_set(two[1], 0, BOX(9)));
    note(n, rpopd_future_set(two[1], 0, NULL) == RPOPD_INVALID_STATE);
    note(n, rpopd_await(all, &results, &e));
    g = results;
    note(n, (intptr_t)g[0].value * 10 + (intptr_t)g[1].value);
    rpopd_future_unref(all);
    rpopd_future_unref(two[0]);
    rpopd_future_unref(two[1]);
    all = rpopd_gather_calls(job, NULL, 0, false);
    note(n, rpopd_await(all, NULL, NULL));
    rpopd_future_unref(all);
}

static void gather_keeps_the_order_and_the_errors(void **state)
{
    (void)state;
    PLAYS(gathers, 0, 13, 1, 0, 1, 0, 1, 0, 89, 0);
}

static void waits(struct notes *n, struct rpopd_job *job)
{
    struct rpopd_error e = {0};
    struct rpopd_future *fs[] = {rpopd_task(job, hang_on, n), rpopd_task(job, give, BOX(1))}, *slow;
    size_t done = 0;
    slow = fs[0];
    note(n, rpopd_wait(fs, 2, -1, RPOPD_FIRST_COMPLETED, &done, &e));
    note(n, done == 1 && fs[1] == slow);
    note(n, rpopd_wait(fs, 2, 1, RPOPD_ALL_COMPLETED, NULL, NULL));
    note(n, rpopd_wait_for(slow, 1, NULL, &e));
    rpopd_future_unref(fs[0]);
    rpopd_future_unref(fs[1]);
    struct rpopd_future *inner = rpopd_future_new(), *outer = rpopd_shield(inner);
    (void)rpopd_future_cancel(outer);
    note(n, rpopd_future_done(inner));
    note(n, rpopd_future_set(inner, -EPERM, NULL));
    note(n, rpopd_await(inner, NULL, &e));
    rpopd_future_unref(inner);
    rpopd_future_unref(outer);
    struct rpopd_timeout *t = rpopd_timeout_enter(1, &e);
    note(n, rpopd_timeout_exit(t, rpopd_sleep(600000, &e), &e));
    t = rpopd_timeout_enter(600000, &e);
    note(n, rpopd_timeout_exit(t, rpopd_sleep(0, &e), &e));
}

static void waits_have_limits(void **state)
{
    (void)state;
    PLAYS(waits, 0, 1, 0, -ECANCELED, -ETIMEDOUT, 0, 0, -EPERM, -ETIMEDOUT, 0);
}

/* ---- threads ---- */

static pthread_t loop_thread;

static int elsewhere(void *arg, void **result, struct rpopd_error *e)
{
    *result = pthread_equal(loop_thread, pthread_self()) ? NULL : arg;
    return (intptr_t)arg < 0 ? rpopd_error(e, (int)(intptr_t)arg, "from a thread") : 0;
}

static void set_flag(void *flag)
{
    *(int *)flag = 1;
}

static void threads(struct notes *n, struct rpopd_job *job)
{
    struct rpopd_error e = {0};
    void *result = NULL;
    int flag = 0;
    loop_thread = pthread_self();
    note(n, rpopd_to_thread(job, elsewhere, BOX(6), &result, &e));
    note(n, (intptr_t)result);
    note(n, rpopd_to_thread(job, elsewhere, BOX(-EDOM), NULL, &e));
    note(n, strcmp(e.text, "from a thread"));
    struct rpopd_future *f = rpopd_in_thread(job, elsewhere, BOX(7), &e);
    note(n, rpopd_await(f, &result, NULL));
    note(n, (intptr_t)result);
    rpopd_future_unref(f);
    rpopd_callout(set_flag, &flag);
    note(n, flag);
}

static void functions_run_in_threads(void **state)
{
    (void)state;
    PLAYS(threads, 0, 6, -EDOM, 0, 0, 7, 1);
}

/* ---- descriptors and processes ---- */

static void descriptors(struct notes *n, struct rpopd_job *job)
{
    struct rpopd_error e = {0};
    char got[8] = "";
    int pair[2];
    (void)job;
    (void)!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair);
    note(n, rpopd_wait_readable(pair[0], rpopd_now_ms() + 1, &e));
    note(n, rpopd_wait_writable(pair[0], -1, &e));
    note(n, rpopd_write(pair[0], "abc", 3, -1, &e));
    note(n, rpopd_read(pair[1], got, sizeof got, -1, &e));
    note(n, memcmp(got, "abc", 3));
    struct rpopd_stream *a = rpopd_stream_new(pair[0], 0), *b = rpopd_stream_new(pair[1], 16);
    const char *line;
    size_t len = 0;
    note(n, rpopd_stream_write(a, "one\ntwo three", 13, -1, &e));
    note(n, rpopd_stream_read_until(b, "\n", &line, &len, -1, &e));
    note(n, len == 4 && !memcmp(line, "one\n", 4));
    note(n, rpopd_stream_read_exactly(b, got, 4, -1, &e));
    note(n, rpopd_stream_read(b, got, sizeof got, -1, &e));
    rpopd_stream_free(a);
    note(n, rpopd_stream_read(b, got, sizeof got, -1, &e));
    rpopd_stream_free(b);
    rpopd_stream_free(NULL);
}

static void descriptors_are_read_and_written(void **state)
{
    (void)state;
    PLAYS(descriptors, -ETIMEDOUT, 0, 3, 3, 0, 0, 0, 1, 0, 5, 0);
}

static void connects(struct notes *n, struct rpopd_job *job)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/nowhere/at/all"};
    struct rpopd_error e = {0};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)job;
    note(n, rpopd_connect(fd, (struct sockaddr *)&address, sizeof address, -1, &e));
    rpopd_close(fd);
    note(n, fcntl(fd, F_GETFD) < 0 && errno == EBADF);
}

static void a_connection_that_is_refused_says_so(void **state)
{
    (void)state;
    PLAYS(connects, -ENOENT, 1);
}

static void processes(struct notes *n, struct rpopd_job *job)
{
    static const char *const say[] = {"sh", "-c", "echo said; exit 3", NULL}, *const hangs[] = {
                                                                                  "sleep", "600",
                                                                                  NULL};
    struct rpopd_error e = {0};
    char got[8] = "";
    int status = 0;
    (void)job;
    struct rpopd_process *p = rpopd_process_spawn(say, NULL, RPOPD_STDOUT, &e);
    int fd = rpopd_process_take_pipe(p, 1);
    note(n, rpopd_process_pid(p) > 0);
    note(n, rpopd_read(fd, got, sizeof got, -1, &e));
    note(n, strcmp(got, "said\n"));
    note(n, rpopd_process_wait(p, -1, &status, &e));
    note(n, status);
    rpopd_close(fd);
    rpopd_process_free(p);
    p = rpopd_process_spawn(hangs, NULL, 0, &e);
    note(n, rpopd_process_signal(p, SIGTERM));
    note(n, rpopd_process_wait(p, -1, &status, &e));
    note(n, status);
    rpopd_process_free(p);
    rpopd_process_free(NULL);
}

static void a_process_is_spoken_to(void **state)
{
    (void)state;
    if (getenv("MEMCHECK"))
        skip(); /* valgrind does not know pidfd_open */
    PLAYS(processes, 1, 5, 0, 0, 3, 0, 0, -SIGTERM);
}

/* ---- between tasks ---- */

struct shared {
    struct notes *notes;
    struct rpopd_lock *lock;
    struct rpopd_event *event;
    struct rpopd_semaphore *semaphore;
    struct rpopd_queue *queue;
};

static int other(void *arg, void **result, struct rpopd_error *e)
{
    struct shared *s = arg;
    void *item = NULL;
    (void)result;
    note(s->notes, rpopd_lock_acquire(s->lock, e));
    note(s->notes, 20);
    (void)rpopd_lock_release(s->lock, e);
    note(s->notes, rpopd_event_wait(s->event, e));
    note(s->notes, rpopd_semaphore_acquire(s->semaphore, e));
    note(s->notes, rpopd_queue_get(s->queue, &item, e));
    note(s->notes, (intptr_t)item);
    return rpopd_semaphore_release(s->semaphore, e);
}

static void shares(struct notes *n, struct rpopd_job *job)
{
    struct shared s = {n, rpopd_lock_new(), rpopd_event_new(), rpopd_semaphore_new(1),
                       rpopd_queue_new(1)};
    struct rpopd_error e = {0};
    void *item;
    note(n, rpopd_lock_release(s.lock, &e) == RPOPD_NOT_LOCKED);
    (void)rpopd_lock_acquire(s.lock, &e);
    struct rpopd_future *f = rpopd_task(job, other, &s);
    (void)rpopd_sleep(0, NULL);
    note(n, 10);
    (void)rpopd_lock_release(s.lock, &e);
    (void)rpopd_semaphore_acquire(s.semaphore, &e);
    rpopd_event_set(s.event);
    note(n, rpopd_event_is_set(s.event));
    (void)rpopd_sleep(5, NULL);
    rpopd_event_clear(s.event);
    (void)rpopd_semaphore_release(s.semaphore, &e);
    note(n, rpopd_queue_get_nowait(s.queue, &item, &e) == RPOPD_QUEUE_EMPTY);
    (void)rpopd_queue_put(s.queue, BOX(30), &e);
    note(n, rpopd_queue_put_nowait(s.queue, NULL, &e) == RPOPD_QUEUE_FULL);
    note(n, (long)rpopd_queue_size(s.queue));
    note(n, rpopd_await(f, NULL, &e));
    note(n, rpopd_event_is_set(s.event));
    rpopd_future_unref(f);
    rpopd_lock_free(s.lock);
    rpopd_event_free(s.event);
    rpopd_semaphore_free(s.semaphore);
    rpopd_queue_free(s.queue);
}

static void tasks_wait_for_each_other(void **state)
{
    (void)state;
    PLAYS(shares, 1, 10, 1, 0, 20, 0, 1, 1, 1, 0, 0, 30, 0, 0);
}

/* ---- memory ---- */

static int poor_main(void *arg, void **ret_result, struct err *e)
{
    static const struct rpopd_call calls[] = {{give, BOX(1)}, {give, BOX(2)}};
    struct rpopd_job *p = arg;
    (void)ret_result;
    struct rpopd_future *all = rpopd_gather_calls(p, calls, 2, false);
    int r = all ? rpopd_await(all, NULL, plugin_error(e)) : -errno;
    rpopd_future_unref(all);
    if (r == 0)
        r = rpopd_to_thread(p, elsewhere, NULL, NULL, plugin_error(e));
    struct rpopd_timeout *t = r == 0 ? rpopd_timeout_enter(1000, plugin_error(e)) : NULL;
    return t ? rpopd_timeout_exit(t, 0, plugin_error(e)) : r ? r : e->code;
}

static int poor_body(void *arg, void **ret_result, struct err *e)
{
    static struct job none = {.magic = JOB_MAGIC, .conf = &conf};
    struct rpopd_job p = {.hook = &hook, .job = &none, .task = task_current()};
    struct err own = {0};
    (void)arg, (void)e;
    int r = poor_main(&p, ret_result, &own);
    (void)rpopd_tasks_end(&p, NULL);
    return p.children ? -EPROTO : r;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    hook_begin(1);
    check_each_allocation(poor_body);
    hook_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_sleeps),
        cmocka_unit_test(a_task_gives_its_result_or_its_error),
        cmocka_unit_test(what_still_runs_at_the_end_is_cancelled),
        cmocka_unit_test(a_task_cannot_end_itself),
        cmocka_unit_test(gather_keeps_the_order_and_the_errors),
        cmocka_unit_test(waits_have_limits),
        cmocka_unit_test(functions_run_in_threads),
        cmocka_unit_test(descriptors_are_read_and_written),
        cmocka_unit_test(a_connection_that_is_refused_says_so),
        cmocka_unit_test(a_process_is_spoken_to),
        cmocka_unit_test(tasks_wait_for_each_other),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("plugin_await", tests, NULL, NULL);
}
