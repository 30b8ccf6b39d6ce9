/* The pool in the daemon: its processes are kept and shared, and nothing of them outlives a job
 * that is to end, or the daemon. */
#include "tests/e2e/ctl.h"
#include "tests/lib/pool_child.h"

static unsigned told(const char *what)
{
    return pool_child_told(what, NULL);
}

static pid_t told_by(const char *what)
{
    pid_t pid = -1;
    assert_true(pool_child_told(what, &pid) > 0);
    return pid;
}

/* One queue with a pool, with further settings of the handler, of the queue and at the top. */
static void start_pool(struct scene *s, const char *handler, const char *queue, const char *top)
{
    char command[POOL_CHILD_COMMAND_MAX], log[120], conf[2000];
    (void)snprintf(log, sizeof log, "%s/told", s->folder);
    setenv("POOL_CHILD_LOG", log, 1);
    (void)snprintf(conf, sizeof conf,
                   "%s queues = ({ name = \"queue\"; %s handler: { type = \"pool\"; "
                   "command = [ %s ]; env = [ \"POOL_CHILD_LOG=%s\" ]; %s }; });",
                   top, queue, pool_child_command(command), log, handler);
    scene_start(s, conf);
}

static void await_stat(struct scene *s, const char *name, long long n)
{
    scene_await(s, LIMIT_MS, stat_of(s, "queue", name) >= n);
}

static bool child_gone(const char *what)
{
    pid_t pid;
    return pool_child_told(what, &pid) && pool_child_gone(pid);
}

static const char *dead_letter(struct scene *s)
{
    return ask_text(s, "EVAL %s 1 rpopd:{queue}:dead",
                    "return redis.call('ZRANGE', KEYS[1], 0, 0)[1]");
}

/* ---- warm ---- */

static void the_processes_are_kept(void **state)
{
    struct scene *s = *state;
    start_pool(s, "processes = 4;", "", "workers = 2;");
    for (int i = 1; i <= 20; i++) { /* one at a time: no second process is needed */
        push(s, "queue", "ok");
        await_stat(s, "done", i);
    }
    assert_int_equal(told("start"), 1);
    assert_int_equal(told("ok"), 20);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_true(child_gone("ok"));
    assert_string_equal(left_over(s), "");
}

/* Each waits for the others: all of the pool's processes are at work at once, and no more. */
static void two_workers_have_one_pool(void **state)
{
    struct scene *s = *state;
    char gather[64], payload[80];
    (void)snprintf(gather, sizeof gather, "%s", s->folder);
    (void)snprintf(payload, sizeof payload, "meet 3 %s", gather);
    start_pool(s, "processes = 3;", "", "workers = 2;");
    for (int i = 0; i < 12; i++)
        push(s, "queue", payload);
    await_stat(s, "done", 12);
    assert_int_equal(told("start"), 3);
    assert_int_equal(daemon_logged(s->daemon, "event=pool-child"), 0);
}

static void a_worn_out_process_is_replaced_and_leaves_nothing(void **state)
{
    struct scene *s = *state;
    int jobs = scene_number("JOBS", 200 / SLOWNESS);
    start_pool(s, "processes = 1; max_jobs = 10; kill_grace = 600.0;", "", "");
    push(s, "queue", "ok first");
    await_stat(s, "done", 1);
    int fds = daemon_usage(s->daemon).fds;
    for (int i = 0; i < jobs; i++)
        push(s, "queue", "ok");
    await_stat(s, "done", jobs + 1);
    assert_int_equal(told("start"), jobs / 10 + 1);
    scene_await(s, LIMIT_MS, daemon_usage(s->daemon).fds == fds);
    assert_int_equal(told("eof"), jobs / 10); /* each was asked to leave */
}

static void what_it_writes_to_2_is_logged_with_the_job(void **state)
{
    struct scene *s = *state;
    char words[120];
    start_pool(s, "processes = 1;", "", "");
    push(s, "queue", "err it's %s");
    await_stat(s, "done", 1);
    (void)snprintf(words, sizeof words, " pid=%d stream=stderr line='it\\'s %%s'",
                   told_by("err it's %s"));
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, words) == 1);
}

static void a_flood_is_cut_in_the_log_and_takes_no_memory(void **state)
{
    static const char end[] = "a line of the flood\\nthe end\\n\"}\nflood ";
    struct scene *s = *state;
    char flood[32];
    (void)snprintf(flood, sizeof flood, "flood %d", scene_long() ? 1024 : 32 / SLOWNESS);
    start_pool(s, "processes = 1;", "timeout = 600.0;", "");
    push(s, "queue", "ok");
    await_stat(s, "done", 1);
    int64_t before_kb = daemon_usage(s->daemon).rss_kb;
    push(s, "queue", flood);
    scene_await(s, 20 * LIMIT_MS, stat_of(s, "queue", "dead") == 1);
    assert_true(daemon_logged(s->daemon, "a line of the flood") <= 100 * 1000);
    scene_check(s, daemon_logged(s->daemon, "event=job-output-cut") >= 1);
    int64_t peak_kb = daemon_usage(s->daemon).peak_kb;
    if (SLOWNESS == 1 && peak_kb > before_kb + 2048)
        fail_msg("%lld KiB before, %lld at most", (long long)before_kb, (long long)peak_kb);
    const char *letter = dead_letter(s);
    assert_non_null(strstr(letter, end));
    assert_in_range(strlen(letter), 65536, 65536 + 65536 / 19 + 500); /* a line end is two bytes */
    push(s, "queue", "ok");
    await_stat(s, "done", 2);
    assert_int_equal(told("start"), 1);
}

static void a_large_payload_goes_in_and_its_output_is_logged(void **state)
{
    struct scene *s = *state;
    size_t len = (size_t)64 << 20;
    char *payload = malloc(len + 1);
    assert_non_null(payload);
    memset(payload, 'x', len);
    memcpy(payload, "length", 6);
    payload[6] = ' ';
    payload[len] = '\0';
    start_pool(s, "processes = 1;", "", "");
    push(s, "queue", payload);
    free(payload);
    await_stat(s, "done", 1);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "line='67108864 bytes'") == 1);
    assert_int_equal(daemon_logged(s->daemon, "event=job-output queue='queue' id="), 1);
}

/* ---- a job that ends before its answer ---- */

static void a_killed_process_costs_its_job_a_try(void **state)
{
    struct scene *s = *state;
    start_pool(s, "processes = 1;", "attempts = 1;", "");
    push(s, "queue", "hang");
    scene_await(s, LIMIT_MS, told("hang") == 1);
    assert_int_equal(kill(told_by("hang"), SIGKILL), 0);
    await_stat(s, "dead", 1);
    assert_non_null(strstr(dead_letter(s), "it ended before it had answered: signal 9 (SIGKILL)"));
    assert_non_null(strstr(dead_letter(s), "\"signal\":"));
    push(s, "queue", "ok");
    await_stat(s, "done", 1);
    assert_int_equal(told("start"), 2);
}

static void a_hung_process_ends_with_the_time_of_its_job(void **state)
{
    struct scene *s = *state;
    char conf[64], reason[64]; /* as long as one that is slow to start may take for the last job */
    (void)snprintf(conf, sizeof conf, "attempts = 1; timeout = %d.0;", 1 + SLOWNESS);
    (void)snprintf(reason, sizeof reason, "timeout after %d s", 1 + SLOWNESS);
    start_pool(s, "processes = 1; kill_grace = 0.1;", conf, "");
    push(s, "queue", "tree");
    await_stat(s, "dead", 1);
    assert_non_null(strstr(dead_letter(s), reason));
    if (told("tree")) /* the time may have been over before it had begun */
        assert_true(child_gone("tree"));
    if (told("grandchild"))
        assert_true(child_gone("grandchild"));
    push(s, "queue", "ok");
    await_stat(s, "done", 1);
}

static void cancelling_by_id_frees_the_slot(void **state)
{
    struct scene *s = *state;
    char id[128];
    start_pool(s, "processes = 1; kill_grace = 0.2;", "", "");
    push(s, "queue", "hang-hard");
    scene_await(s, LIMIT_MS, told("hang-hard") == 1);
    push(s, "queue", "ok");
    json_t *all = CTL_JSON(s, 0, "jobs");
    const json_t *jobs = json_is_array(all) ? all : json_object_get(all, "jobs");
    assert_int_equal(json_array_size(jobs), 1); /* the other one is not claimed */
    (void)snprintf(id, sizeof id, "%s", ctl_text(json_array_get(jobs, 0), "id"));
    json_decref(all);
    assert_int_equal(CTL(s, "cancel", id)->code, 0);
    await_stat(s, "done", 1);
    await_stat(s, "cancelled", 1);
    assert_true(child_gone("hang-hard"));
    assert_non_null(strstr(dead_letter(s), "cancelled"));
}

static void with_its_epoch_a_job_loses_its_process(void **state)
{
    struct scene *s = *state;
    start_pool(s, "processes = 1; kill_grace = 0.2;", "", "lease = 1.5;");
    push(s, "queue", "hang-hard");
    scene_await(s, LIMIT_MS, told("hang-hard") == 1);
    pid_t pid = told_by("hang-hard");
    lose_epoch(s);
    int64_t start = clock_now_ms();
    scene_await(s, LIMIT_MS, pool_child_gone(pid));
    assert_in_range(clock_now_ms() - start, 0, WITHIN(200 + 1000));
    scene_await(s, LIMIT_MS, told("hang-hard") == 2); /* it takes the job back */
    await_stat(s, "lost", 1);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 1);
}

static void what_breaks_the_protocol_costs_its_job_a_try(void **state)
{
    struct scene *s = *state;
    start_pool(s, "processes = 1;", "attempts = 1;", "");
    push(s, "queue", "babble Hello");
    await_stat(s, "dead", 1);
    assert_non_null(strstr(dead_letter(s), "which is no JSON object"));
    push(s, "queue", "ok");
    await_stat(s, "done", 1);
}

static bool reaped(pid_t pid)
{
    return kill(pid, 0) < 0 && errno == ESRCH;
}

/* Nobody waits for the next job with that. */
static void one_that_ends_while_idle_is_no_zombie(void **state)
{
    struct scene *s = *state;
    start_pool(s, "processes = 3;", "", "workers = 2;");
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < 3; i++)
            push(s, "queue", "sleep 100");
        await_stat(s, "done", 3 * round);
        pid_t pid = told_by("start");
        assert_int_equal(kill(pid, SIGKILL), 0);
        scene_await(s, LIMIT_MS, reaped(pid));
        scene_await(s, LIMIT_MS,
                    daemon_logged(s->daemon, "what='it ended while it had no job'") ==
                        (unsigned)round);
    }
    assert_int_equal(stat_of(s, "queue", "retry"), 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* ---- starts ---- */

static void a_failed_start_is_logged_once_a_cause(void **state)
{
    struct scene *s = *state;
    daemon_setenv(s->daemon, "POOL_CHILD_START", "fail");
    start_pool(s, "processes = 1;", "attempts = 1;", "");
    for (int i = 0; i < 4; i++)
        push(s, "queue", "ok");
    await_stat(s, "dead", 4);
    assert_int_equal(told("start"), 4);
    assert_int_equal(daemon_logged(s->daemon, "event=pool-start"), 1);
    assert_non_null(strstr(dead_letter(s), "exit code 3"));
    assert_non_null(strstr(dead_letter(s), "no such module"));
}

/* ---- the daemon's end ---- */

static void term_lets_a_job_finish_and_tells_all_to_leave(void **state)
{
    struct scene *s = *state;
    start_pool(s, "processes = 2;", "", "");
    push(s, "queue", "sleep 500");
    push(s, "queue", "ok");
    await_stat(s, "done", 1);
    scene_await(s, LIMIT_MS, told("sleep 500") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(stat_of(s, "queue", "done"), 2);
    assert_true(child_gone("sleep 500") && child_gone("ok"));
    assert_string_equal(left_over(s), "");
}

static void quit_takes_all_along_at_once(void **state)
{
    struct scene *s = *state;
    start_pool(s, "processes = 3; kill_grace = 600.0;", "", "");
    push(s, "queue", "hang-hard");
    scene_await(s, LIMIT_MS, told("hang-hard") == 1);
    push(s, "queue", "stay"); /* its process ignores TERM and end of file while it is idle */
    await_stat(s, "done", 1);
    int64_t start = clock_now_ms();
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_in_range(clock_now_ms() - start, 0, WITHIN(1000));
    assert_true(child_gone("stay") && child_gone("hang-hard"));
    assert_int_equal(ask_int(s, "LLEN queue"), 1);
}

static void a_daemon_that_is_killed_leaves_none_for_long(void **state)
{
    struct scene *s = *state;
    start_pool(s, "processes = 2;", "", "");
    push(s, "queue", "sleep 300");
    scene_await(s, LIMIT_MS, told("sleep 300") == 1);
    push(s, "queue", "ok");
    await_stat(s, "done", 1);
    daemon_kill(s->daemon);
    scene_await(s, LIMIT_MS, child_gone("sleep 300") && child_gone("ok"));
}

int main(int argc, char *argv[])
{
    pool_child_main(argc, argv);
    const struct CMUnitTest tests[] = {
        SCENE(the_processes_are_kept),
        SCENE(two_workers_have_one_pool),
        SCENE(a_worn_out_process_is_replaced_and_leaves_nothing),
        SCENE(what_it_writes_to_2_is_logged_with_the_job),
        SCENE(a_flood_is_cut_in_the_log_and_takes_no_memory),
        SCENE(a_large_payload_goes_in_and_its_output_is_logged),
        SCENE(a_killed_process_costs_its_job_a_try),
        SCENE(a_hung_process_ends_with_the_time_of_its_job),
        SCENE(cancelling_by_id_frees_the_slot),
        SCENE(with_its_epoch_a_job_loses_its_process),
        SCENE(what_breaks_the_protocol_costs_its_job_a_try),
        SCENE(one_that_ends_while_idle_is_no_zombie),
        SCENE(a_failed_start_is_logged_once_a_cause),
        SCENE(term_lets_a_job_finish_and_tells_all_to_leave),
        SCENE(quit_takes_all_along_at_once),
        SCENE(a_daemon_that_is_killed_leaves_none_for_long),
    };
    return scene_run(tests);
}
