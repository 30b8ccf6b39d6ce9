/* Jobs that bring the daemon down: they are put away, their neighbours are not. The daemon is
 * rpopd-crash, whose `null` waits as `sleep` does and crashes where the payload says so. */
#include "tests/e2e/ctl.h"
#include "tests/e2e/proxy.h"
#include "tests/e2e/scene.h"

#define NEIGHBOURS 20
#define ALONE "500.5" /* runs until the test kills the daemon */

static const char *dead_letter(struct scene *s)
{
    return ask_text(s, "EVAL %s 1 rpopd:{queue}:dead",
                    "return redis.call('ZRANGE', KEYS[1], 0, -1)[1] or ''");
}

static long long kept(struct scene *s)
{
    return ask_int(s, "ZCARD rpopd:{queue}:dead");
}

static void crashes(struct scene *s, const char *how, int number)
{
    daemon_may_crash(s->daemon);
    push_numbers(s, "queue", "1.0", 0, NEIGHBOURS);
    push(s, "queue", how);
    scene_launch(s, "concurrency = 100; " ONE("null", ""));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), 128 + number);
        daemon_start(s->daemon);
    }
    scene_await(s, LIMIT_MS, kept(s) == 1);
    scene_check(s, strstr(dead_letter(s), "it brought the daemon down 3 times") != NULL);
    scene_check(s, strstr(dead_letter(s), how) != NULL);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == NEIGHBOURS);
    assert_int_equal(printed(s, "Done", "1.0", NEIGHBOURS).distinct, NEIGHBOURS);
    /* Nobody else is blamed: no recovery was counted, nothing is on trial. */
    assert_true(daemon_logged(s->daemon, "event=batch-found") >= 3);
    assert_int_equal(daemon_logged(s->daemon, "event=batch-found"),
                     daemon_logged(s->daemon, "recoveries=0"));
    assert_int_equal(daemon_logged(s->daemon, "event=trial"), 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(stat_of(s, "queue", "dead"), 1);
    assert_string_equal(left_over(s), "");
}

/* Byte for byte, and no dead letter beside it. */
static void it_goes_to_the_list_that_recoveries_to_names(void **state)
{
    static const char payload[] = "segv\n\0 \xff";
    struct scene *s = *state;
    daemon_may_crash(s->daemon);
    push_numbers(s, "queue", "600.", 0, NEIGHBOURS);
    assert_int_equal(ask_int(s, "LPUSH queue %b", payload, sizeof payload - 1), NEIGHBOURS + 1);
    scene_launch(s, ONE("null", "max_recoveries = 2; recoveries_to = \"poison\";"));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), 128 + SIGSEGV);
        daemon_start(s->daemon);
    }
    scene_await(s, LIMIT_MS, ask_int(s, "LLEN poison") == 1);
    assert_int_equal(ask_int(s, "LREM poison 0 %b", payload, sizeof payload - 1), 1);
    assert_int_equal(kept(s), 0);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 1);
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", NEIGHBOURS).total == 3 * NEIGHBOURS);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(held(s, "queue", "600.", NEIGHBOURS).total, NEIGHBOURS);
    assert_int_equal(ask_int(s, "DEL queue"), 1);
    assert_string_equal(left_over(s), "");
}

static void a_job_that_faults_is_dead_after_three_crashes(void **state)
{
    crashes(*state, "segv", SIGSEGV);
}

static void so_is_one_that_aborts(void **state)
{
    crashes(*state, "abrt", SIGABRT);
}

static void so_is_one_that_raises(void **state)
{
    crashes(*state, "fpe", SIGFPE);
}

static void so_is_one_that_overflows_its_stack(void **state)
{
    crashes(*state, "overflow", SIGSEGV);
}

static void two_of_them_are_put_away_both(void **state)
{
    struct scene *s = *state;
    int runs = 0;
    int64_t end = clock_now_ms() + LIMIT_MS;
    daemon_may_crash(s->daemon);
    push(s, "queue", "600.1");
    push(s, "queue", "segv a");
    push(s, "queue", "600.2");
    push(s, "queue", "segv b");
    scene_launch(s, ONE("null", ""));
    for (; kept(s) < 2 && runs < 20 && clock_now_ms() < end; runs++)
        if (daemon_wait(s->daemon, 100) != -ETIMEDOUT)
            daemon_start(s->daemon);
        else
            runs--;
    assert_int_equal(kept(s), 2);
    assert_in_range(runs, 4, 12);
    scene_await(s, LIMIT_MS, daemon_alive(s->daemon));
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 2);
}

/* Without a note ------------------------------------------------------------------------ */

static void restart(struct scene *s)
{
    daemon_kill(s->daemon);
    daemon_start(s->daemon);
}

static void one_at_whose_runs_the_daemon_is_killed_is_put_away_and_no_other(void **state)
{
    struct scene *s = *state;
    unsigned n = scene_long() ? 500 : 40, kills = 0;
    push_numbers(s, "queue", "0.05", 0, n / 2);
    push(s, "queue", ALONE);
    push_numbers(s, "queue", "0.05", n / 2, n - n / 2);
    scene_launch(s, "concurrency = 1000; " ONE("null", ""));
    for (int64_t end = clock_now_ms() + 4L * LIMIT_MS;
         (kept(s) < 1 || stat_of(s, "queue", "done") < n + (kills > 3)) && clock_now_ms() < end;
         scene_tick())
        if (daemon_printed(s->daemon, "Waiting " ALONE) > kills) {
            kills++;
            restart(s);
            if (kills == 4)
                push(s, "queue", "0.01"); /* fresh work goes on beside a trial */
        }
    print_message("# %u jobs beside it, killed %u times\n", n, kills);
    assert_in_range(kills, 3, 5);
    scene_check(s, kept(s) == 1 && stat_of(s, "queue", "done") == n + 1);
    scene_check(s, strstr(dead_letter(s), "the daemon died while it ran alone 2 times") != NULL);
    assert_int_equal(printed(s, "Done", "0.05", n).distinct, n);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* Once recovered, and twice alone; its payload goes to the list and leaves no dead letter. */
static void so_is_one_on_its_way_to_the_list_that_recoveries_to_names(void **state)
{
    struct scene *s = *state;
    const unsigned n = 8;
    unsigned kills = 0;
    push_numbers(s, "queue", "0.05", 0, n / 2);
    push(s, "queue", ALONE);
    push_numbers(s, "queue", "0.05", n / 2, n - n / 2);
    scene_launch(s, ONE("null", "max_recoveries = 1; recoveries_to = \"poison\";"));
    for (int64_t end = clock_now_ms() + 2L * LIMIT_MS;
         ask_int(s, "LLEN poison") == 0 && clock_now_ms() < end; scene_tick())
        if (daemon_printed(s->daemon, "Waiting " ALONE) > kills) {
            kills++;
            restart(s);
        }
    assert_in_range(kills, 2, 3);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == n);
    assert_int_equal(printed(s, "Done", "0.05", n).distinct, n);
    assert_string_equal(ask_text(s, "RPOP poison"), ALONE);
    assert_int_equal(stat_of(s, "queue", "dead"), 1);
    assert_int_equal(kept(s), 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* From one instance to the other: the count of its recoveries goes along, be it a fresh job or one
 * that was tried before. */
static void killed_in_turn_wherever_it_runs(struct scene *s)
{
    unsigned kills = 0, begun[2] = {0};
    scene_launch(s, "lease = 1.0; " ONE("null", ""));
    scene_second(s, "other", "lease = 1.0; " ONE("null", ""));
    struct daemon *daemons[] = {s->daemon, s->second};
    for (int64_t end = clock_now_ms() + 4L * LIMIT_MS; kept(s) < 1 && clock_now_ms() < end;
         scene_tick())
        for (unsigned i = 0; i < 2; i++) {
            if (daemon_printed(daemons[i], "Waiting " ALONE) == begun[i])
                continue;
            begun[i]++;
            kills++;
            daemon_kill(daemons[i]); /* it comes back when the other may have what it held */
            scene_await(s, LIMIT_MS,
                        ask_int(s, "EXISTS rpopd:{queue}:owner:%s", i ? "other" : "e2e") == 0);
            daemon_start(daemons[i]);
        }
    print_message("# killed %u times\n", kills);
    assert_int_equal(kept(s), 1);
    assert_in_range(kills, 3, 6);
}

static void one_that_is_passed_on_is_put_away_and_no_other(void **state)
{
    struct scene *s = *state;
    const unsigned n = 8;
    push_numbers(s, "queue", "0.3", 0, n / 2);
    push(s, "queue", ALONE);
    push_numbers(s, "queue", "0.3", n / 2, n - n / 2);
    killed_in_turn_wherever_it_runs(s);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == n);
    assert_int_equal(printed_by_both(s, "Done", "0.3", n).distinct, n);
    assert_int_equal(daemon_stop(s->second, SIGTERM, LIMIT_MS), 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void so_is_a_retry_that_is_passed_on(void **state)
{
    struct scene *s = *state;
    const unsigned n = 8;
    static const char script[] = "for i = 0, ARGV[2] - 1 do redis.call('ZADD', KEYS[1], 0, 'r-' .. "
                                 "i .. ' 1 1 0 1 1 {}\\n' .. (i == 5 and ARGV[1] or "
                                 "'0.3' .. string.format('%06d', i))) end return 1";
    assert_int_equal(ask_int(s, "EVAL %s 1 rpopd:{queue}:retry %s %u", script, ALONE, n), 1);
    killed_in_turn_wherever_it_runs(s);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == n - 1);
    scene_check(s, strncmp(dead_letter(s), "r-5 1 2 ", 8) == 0); /* the second try never counted */
    assert_int_equal(printed_by_both(s, "Done", "0.3", n).distinct, n - 1);
    assert_int_equal(daemon_stop(s->second, SIGTERM, LIMIT_MS), 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* After three deaths of the daemon its batch is on trial: one at a time, and none is condemned. */
static void a_trial_acquits_who_is_innocent(void **state)
{
    struct scene *s = *state;
    unsigned order[20];
    push_numbers(s, "queue", "1.0", 0, 5);
    scene_launch(s, ONE("null", ""));
    for (unsigned i = 1; i <= 3; i++) {
        scene_await(s, LIMIT_MS, printed(s, "Waiting", "1.0", 5).total == 5 * i);
        restart(s);
    }
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 5);
    assert_int_equal(kept(s), 0);
    assert_int_equal(daemon_logged(s->daemon, "event=trial"), 1);
    assert_int_equal(printed_order(s, "Waiting", "1.0", order, 20), 20);
    const char *out = daemon_out(s->daemon, NULL);
    for (int i = 0; i < 15; i++)
        out = strchr(out, '\n') + 1;
    for (int i = 0; i < 5; i++) { /* each has ended before the next begins */
        assert_int_equal(strncmp(out, "Waiting", 7), 0);
        out = strchr(out, '\n') + 1;
        assert_int_equal(strncmp(out, "Done", 4), 0);
        out = strchr(out, '\n') + 1;
    }
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* What a dead run of this name left, taken over too often already. */
static void leave_for_trial(struct scene *s, const char *payload)
{
    static const char script[] =
        "redis.call('LPUSH', 'rpopd:{queue}:inflight:e2e:e.1:1', ARGV[1]) "
        "redis.call('HSET', 'rpopd:{queue}:batches', 'e2e:e.1:1', '1 e.1-1 3 0 -') "
        "return redis.call('HSET', 'rpopd:{queue}:fenced', 'e.1', "
        "redis.call('TIME')[1] .. '000 open')";
    assert_int_equal(ask_int(s, "EVAL %s 0 %s", script, payload), 1);
}

/* It is no try and no reason to hurry: as at any other job, all rest for a second. */
static void on_trial_too_a_job_that_lacks_something_is_not_run_again_at_once(void **state)
{
    struct scene *s = *state;
    leave_for_trial(s, "short");
    scene_start(s, ONE("null", ""));
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    assert_int_equal(daemon_logged(s->daemon, "event=trial"), 1);
    assert_int_equal(daemon_logged(s->daemon, "event=short"), 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* So many jobs in the daemon are. */
static unsigned in_state(struct scene *s, const char *what)
{
    unsigned n = 0;
    json_t *jobs = CTL_JSON(s, 0, "jobs");
    for (size_t i = 0; i < json_array_size(jobs); i++)
        n += strcmp(ctl_text(json_array_get(jobs, i), "state"), what) == 0;
    json_decref(jobs);
    return n;
}

/* While it is being named another waits for the end of the trial, and runs then. */
static void a_job_on_trial_is_cancelled_and_no_other(void **state)
{
    struct scene *s = *state;
    char file[96], payload[128];
    (void)snprintf(file, sizeof file, "%s/go", s->folder);
    (void)snprintf(payload, sizeof payload, "short %s", file);
    s->redis_more = "command_timeout = 60.0;";
    s->proxy = proxy_new(s->folder, redis_server_socket(s->redis));
    (void)snprintf(s->url, sizeof s->url, "%s", proxy_url(s->proxy));
    scene_start(s, "lease = 1.5; " ONE("null", ""));
    push(s, "queue", payload);
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 1);
    leave_for_trial(s, "500.5");
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=trial") == 1);
    (void)proxy_arm(s->proxy, "match e.1-1"); /* in its entry alone */
    (void)proxy_arm(s->proxy, "hold 1");
    assert_int_equal(fclose(fopen(file, "we")), 0);
    scene_await(s, LIMIT_MS, in_state(s, "waiting") == 2);
    assert_int_equal(CTL(s, "cancel", "e.1-1-0")->code, 0);
    assert_int_equal(proxy_arm(s->proxy, "none").hits, 1);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "cancelled") == 1);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* Nor does a pause or a stop end what was found out: what returns has its count with it, and is on
 * trial again at the next death. */
static void what_is_given_back_from_a_trial_keeps_its_count(void **state)
{
    struct scene *s = *state;
    leave_for_trial(s, "600.5");
    assert_int_equal(ask_int(s, "LPUSH rpopd:{queue}:inflight:e2e:e.1:1 600.6"), 2);
    scene_start(s, ONE("null", ""));
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting 600.5") == 1);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:retry"), 2);
    scene_again(s);
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "", 0).total == 3);
    assert_int_equal(daemon_printed(s->daemon, "Waiting 600.6"), 1); /* one death is forgiven */
    assert_int_equal(daemon_logged(s->daemon, "event=trial"), 1);
    daemon_kill(s->daemon);
    scene_again(s);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=trial") == 2);
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "", 0).total == 4);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:retry"), 2);
    assert_true(strstr(ask_text(s, "EVAL %s 0",
                                "return table.concat(redis.call('ZRANGE', "
                                "'rpopd:{queue}:retry', 0, -1), ' ')"),
                       "e.1-1-0 1 0 5 ") != NULL);
    assert_string_equal(left_over(s), "rpopd:{queue}:retry");
}

/* The trial waits for what runs; once its queue is paused, nobody waits for the trial. */
static void a_pause_of_its_queue_ends_the_wait_for_a_trial(void **state)
{
    struct scene *s = *state;
    push(s, "other", "600.5");
    scene_start(s, "lease = 1.5; queues = (" QUEUE("queue", "null", "") ", " QUEUE("other", "null",
                                                                                   "") "); ");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting 600.5") == 1);
    leave_for_trial(s, "500.5");
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=trial") == 1);
    assert_int_equal(ask_int(s, "SET rpopd:{queue}:paused x"), 1);
    push(s, "queue", "600.6"); /* met by the pop that is out: so the pause is */
    push(s, "other", "0.01");
    scene_await(s, LIMIT_MS, stat_of(s, "other", "done") == 1);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(daemon_printed(s->daemon, "Waiting 500.5"), 0);
}

/* One of its jobs, then ordinary work for as long as that took, then the next. */
static void a_trial_leaves_time_for_other_work(void **state)
{
    struct scene *s = *state;
    const unsigned n = 8;
    push_numbers(s, "queue", "0.3", 0, n);
    scene_launch(s, ONE("null", ""));
    for (unsigned i = 1; i <= 3; i++) {
        scene_await(s, LIMIT_MS, printed(s, "Waiting", "0.3", n).total == n * i);
        restart(s);
    }
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "0.3", n).total == 3 * n + 1);
    push(s, "queue", "0.01");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.01") == 1);
    assert_in_range(printed(s, "Waiting", "0.3", n).total, 3 * n + 1, 4 * n - 1);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
}

/* A signal from outside is no crash of a job. */
static void a_kill_by_another_leaves_no_note(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "600.", 0, 3);
    scene_start(s, ONE("null", ""));
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", 3).distinct == 3);
    daemon_signal(s->daemon, SIGABRT);
    assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), 128 + SIGABRT);
    scene_again(s);
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", 3).total == 6);
    scene_check(s, strstr(ask_text(s, "EVAL %s 1 rpopd:{queue}:batches",
                                   "return redis.call('HVALS', KEYS[1])[1]"),
                          " 1 0 -") != NULL);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
}

/* Its epoch is lost while a task of it does not end: until then the job is nobody's again. */
static void a_job_is_not_taken_back_before_its_last_task_has_ended(void **state)
{
    struct scene *s = *state;
    push(s, "queue", "stubborn");
    scene_start(s, "lease = 1.5; " ONE("null", ""));
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Stays") == 1);
    lose_epoch(s);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Stays") == 2);
    assert_int_equal(daemon_printed(s->daemon, "Goes"), 1);
    scene_check(s, strcmp(daemon_out(s->daemon, NULL), "Stays\nGoes\nStays\n") == 0);
    assert_int_equal(stat_of(s, "queue", "recovered"), 1);
    daemon_kill(s->daemon);
}

/* Orders at the end --------------------------------------------------------------------- */

/* It is not waited for, and what is older goes back in front of it. */
static void what_will_not_end_goes_back_in_its_order(void **state)
{
    struct scene *s = *state;
    push(s, "queue", "600.1");
    scene_start(s, ONE("null", ""));
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting 600.1") == 1);
    push(s, "queue", "stubborn");
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 2);
    push(s, "queue", "600.2");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting 600.2") == 1);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(claimed(s, "queue"), 0);
    assert_int_equal(stat_of(s, "queue", "given_back"), 3);
    assert_string_equal(ask_text(s, "RPOP queue"), "600.1");
    assert_string_equal(ask_text(s, "RPOP queue"), "stubborn");
    assert_string_equal(ask_text(s, "RPOP queue"), "600.2");
    assert_string_equal(left_over(s), "");
}

static void what_runs_again_returns_nothing_of_the_try_before(void **state)
{
    struct scene *s = *state;
    push(s, "queue", "short");
    scene_start(s, ONE("null", "result: { list = \"results\"; };"));
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    assert_int_equal(ask_int(s, "LLEN results"), 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* No slot waits for the end of the pause. */
static void what_lacks_something_in_a_pause_goes_back(struct scene *s, const char *conf)
{
    char file[96], payload[128];
    (void)snprintf(file, sizeof file, "%s/go", s->folder);
    (void)snprintf(payload, sizeof payload, "short %s", file);
    push(s, "queue", payload);
    scene_start(s, conf);
    scene_await(s, LIMIT_MS, in_state(s, "running") == 1);
    assert_int_equal(ask_int(s, "SET rpopd:{queue}:paused x"), 1);
    push(s, "queue", "600.5");
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "queue-paused") == 1);
    assert_int_equal(fclose(fopen(file, "we")), 0);
    scene_await(s, LIMIT_MS, ask_int(s, "LLEN queue") == 2);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void what_lacks_something_in_a_pause_waits_in_the_list(void **state)
{
    what_lacks_something_in_a_pause_goes_back(*state, ONE("null", ""));
}

static void so_does_what_is_delivered_at_most_once(void **state)
{
    what_lacks_something_in_a_pause_goes_back(*state, ONE("null", "delivery = \"at-most-once\";"));
}

/* Its handler was called once, and the thread that it was handed to again never came to it. */
static void what_was_not_begun_again_goes_back(void **state)
{
    struct scene *s = *state;
    push(s, "queue", "hog");
    scene_start(s, ONE("null", "delivery = \"at-most-once\";"));
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=short") == 1);
    scene_await(s, LIMIT_MS, in_state(s, "waiting") == 0);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(daemon_logged(s->daemon, "event=given-up"), 1);
    assert_int_equal(kept(s), 0);
    assert_string_equal(ask_text(s, "RPOP queue"), "hog");
    assert_string_equal(left_over(s), "");
}

int main(void)
{
    scene_program("tests/e2e/rpopd-crash");
    const struct CMUnitTest tests[] = {
        SCENE(a_job_that_faults_is_dead_after_three_crashes),
        SCENE(it_goes_to_the_list_that_recoveries_to_names),
        SCENE(so_is_one_that_aborts),
        SCENE(so_is_one_that_raises),
        SCENE(so_is_one_that_overflows_its_stack),
        SCENE(two_of_them_are_put_away_both),
        SCENE(one_at_whose_runs_the_daemon_is_killed_is_put_away_and_no_other),
        SCENE(a_trial_acquits_who_is_innocent),
        SCENE(on_trial_too_a_job_that_lacks_something_is_not_run_again_at_once),
        SCENE(a_job_on_trial_is_cancelled_and_no_other),
        SCENE(what_is_given_back_from_a_trial_keeps_its_count),
        SCENE(a_pause_of_its_queue_ends_the_wait_for_a_trial),
        SCENE(a_trial_leaves_time_for_other_work),
        SCENE(a_kill_by_another_leaves_no_note),
        SCENE(so_is_one_on_its_way_to_the_list_that_recoveries_to_names),
        SCENE(one_that_is_passed_on_is_put_away_and_no_other),
        SCENE(so_is_a_retry_that_is_passed_on),
        SCENE(a_job_is_not_taken_back_before_its_last_task_has_ended),
        SCENE(what_runs_again_returns_nothing_of_the_try_before),
        SCENE(what_lacks_something_in_a_pause_waits_in_the_list),
        SCENE(so_does_what_is_delivered_at_most_once),
        SCENE(what_was_not_begun_again_goes_back),
        SCENE(what_will_not_end_goes_back_in_its_order),
    };
    return scene_run(tests);
}
