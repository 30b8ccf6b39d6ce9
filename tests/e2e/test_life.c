/* The daemon's life: jobs run together, signals drain or give back, nothing is left behind. */
#include "tests/e2e/scene.h"

static unsigned lines_before(struct scene *s, const char *text)
{
    const char *out = daemon_out(s->daemon, NULL), *found = strstr(out, text);
    unsigned n = 0;
    for (const char *p = out; found && p < found; p++)
        n += *p == '\n';
    return found ? n : 0;
}

/* Jobs of ten minutes, numbered, with `more` of them than slots; waits until those with a slot run.
 */
static void start_with_long_jobs(struct scene *s, const char *conf, unsigned jobs, unsigned slots)
{
    push_numbers(s, "queue", "600.", 0, jobs);
    scene_start(s, conf);
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", jobs).distinct == slots);
}

static void assert_all_back_in_order(struct scene *s, unsigned jobs)
{
    unsigned order[64], n = listed_order(s, "queue", "600.", order, 64);
    assert_int_equal(n, jobs);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(order[i], i);
    assert_int_equal(ask_int(s, "DEL queue"), 1);
    assert_string_equal(left_over(s), "");
}

static void the_four_jobs_of_the_demo_run_together(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", ""));
    int64_t start = clock_now_ms();
    assert_int_equal(ask_int(s, "LPUSH queue 1.5 3.0 0.7 0.7"), 4);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 3.0") == 1);
    assert_true(clock_now_ms() - start >= 3000);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(daemon_out(s->daemon, NULL),
                        "Waiting 1.5\nWaiting 3.0\nWaiting 0.7\nWaiting 0.7\n"
                        "Done 0.7\nDone 0.7\nDone 1.5\nDone 3.0\n");
    assert_int_equal(stat_of(s, "queue", "done"), 4);
    assert_string_equal(left_over(s), "");
}

static void the_demo_as_it_is_told_ends_after_five_seconds(void **state)
{
    struct scene *s = *state;
    if (!scene_long())
        skip(); /* the same as above, at its full length */
    scene_start(s, ONE("sleep", ""));
    int64_t start = clock_now_ms();
    assert_int_equal(ask_int(s, "LPUSH queue 2 5 1 1"), 4);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 5") == 1);
    assert_in_range(clock_now_ms() - start, 5000, 8500); /* not the sum of 9 s */
    assert_int_equal(lines_before(s, "Done"), 4);
    assert_non_null(strstr(daemon_out(s->daemon, NULL), "Done 1\nDone 1\nDone 2\nDone 5\n"));
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void term_lets_running_jobs_finish_and_claims_no_more(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "2.0", 0, 20);
    scene_start(s, "concurrency = 12; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "2.0", 20).distinct == 12);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(printed(s, "Waiting", "2.0", 20).total, 12);
    assert_int_equal(printed(s, "Done", "2.0", 20).distinct, 12);
    assert_int_equal(stat_of(s, "queue", "done"), 12);
    unsigned order[20], n = listed_order(s, "queue", "2.0", order, 20);
    assert_int_equal(n, 8);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(order[i], 12 + i);
    assert_int_equal(ask_int(s, "DEL queue"), 1);
    assert_string_equal(left_over(s), "");
}

static void drains(struct scene *s, int sig)
{
    scene_start(s, ONE("sleep", ""));
    push(s, "queue", "0.3");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting 0.3") == 1);
    scene_stop(s, sig, 0, LIMIT_MS);
    assert_int_equal(daemon_printed(s->daemon, "Done 0.3"), 1);
    assert_int_equal(stat_of(s, "queue", "done"), 1);
    assert_string_equal(left_over(s), "");
}

static void term_drains(void **state)
{
    drains(*state, SIGTERM);
}

static void int_drains(void **state)
{
    drains(*state, SIGINT);
}

static void an_idle_daemon_ends_at_once(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", "") "shutdown_timeout = 25.0;");
    int64_t start = clock_now_ms();
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_in_range(clock_now_ms() - start, 0, WITHIN(1000));
    assert_string_equal(left_over(s), "");
}

/* A push beside the signal: it may come before that is read, then the job runs. It is never in
 * between. */
static void push_beside_term(struct scene *s, unsigned life)
{
    char done[32];
    (void)snprintf(done, sizeof done, "Done 0.00%06u", life);
    scene_again(s);
    if (life % 2) { /* a job that runs meanwhile, so that the drain takes its time */
        push_numbers(s, "queue", "0.1", life, 1);
        scene_await(s, LIMIT_MS, printed(s, "Waiting", "0.1", life + 1).distinct == (life + 1) / 2);
    }
    daemon_signal(s->daemon, SIGTERM);
    push_numbers(s, "queue", "0.00", life, 1);
    assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), 0);
    scene_check(s, daemon_printed(s->daemon, done) + ask_int(s, "LLEN queue") == 1);
    (void)ask_int(s, "DEL queue");
    assert_string_equal(left_over(s), "");
}

static void a_job_pushed_beside_term_is_run_or_stays_in_the_list(void **state)
{
    struct scene *s = *state;
    char *text = scene_conf(s, ONE("sleep", ""));
    daemon_configure(s->daemon, text);
    free(text);
    for (unsigned life = 0; life < (scene_long() ? 400 : 40); life++)
        push_beside_term(s, life);
}

static void a_job_that_was_just_claimed_is_given_back_too(void **state)
{
    struct scene *s = *state;
    char *text = scene_conf(s, "shutdown_timeout = 0.0; " ONE("sleep", ""));
    daemon_configure(s->daemon, text);
    free(text);
    for (unsigned life = 0; life < (scene_long() ? 400 : 40); life++) {
        if (life % 2)
            push(s, "queue", "600.5"); /* taken by a burst; else by a pop */
        scene_again(s);
        if (life % 2 == 0)
            push(s, "queue", "600.5");
        scene_await(s, LIMIT_MS, claimed(s, "queue") == 1); /* its claim may not even be answered */
        scene_stop(s, life % 4 < 2 ? SIGQUIT : SIGTERM, 0, LIMIT_MS);
        scene_check(s, ask_int(s, "LLEN queue") == 1);
        assert_int_equal(ask_int(s, "DEL queue"), 1);
        assert_string_equal(left_over(s), "");
    }
}

static void jobs_longer_than_shutdown_timeout_go_back_in_order(void **state)
{
    struct scene *s = *state;
    start_with_long_jobs(
        s, "concurrency = 10; shutdown_timeout = 0.5; " ONE("sleep", "timeout = 3600.0;"), 15, 10);
    int64_t start = clock_now_ms();
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_in_range(clock_now_ms() - start, 500, WITHIN(2500));
    assert_int_equal(stat_of(s, "queue", "given_back"), 10);
    assert_all_back_in_order(s, 15);
}

static void what_is_done_in_the_midst_of_a_batch_does_not_go_back(void **state)
{
    struct scene *s = *state;
    for (unsigned i = 0; i < 20; i++) {
        char payload[32];
        (void)snprintf(payload, sizeof payload, i % 3 == 1 ? "0.001%03u" : "600.%06u",
                       i % 3 == 1 ? i : i - (i + 1) / 3);
        push(s, "queue", payload);
    }
    scene_start(s, "concurrency = 18; shutdown_timeout = 0.3; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 7 && claimed(s, "queue") == 13);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(stat_of(s, "queue", "done"), 7);
    assert_int_equal(stat_of(s, "queue", "given_back"), 13);
    assert_all_back_in_order(s, 13);
}

/* On a machine held up the second may be over before all have gone back: then none is lost, and the
 * next start finds the rest. */
static bool was_held_up(struct scene *s, unsigned jobs)
{
    assert_int_equal(held(s, "queue", "600.", jobs).distinct, jobs);
    assert_int_equal(held(s, "queue", "600.", jobs).total, jobs);
    return daemon_logged(s->daemon, "left-behind") > 0;
}

static void given_back_by(struct scene *s, int first, int second)
{
    start_with_long_jobs(s, "concurrency = 10; " ONE("sleep", ""), 25, 10);
    if (first) {
        daemon_signal(s->daemon, first);
        scene_hold(s, 300,
                   daemon_alive(s->daemon)); /* it drains: ten minutes of sleep, 25 s of patience */
    }
    int64_t start = clock_now_ms();
    scene_stop(s, second, 0, LIMIT_MS);
    assert_in_range(clock_now_ms() - start, 0, WITHIN(1000));
    if (was_held_up(s, 25))
        return;
    assert_int_equal(stat_of(s, "queue", "given_back"), 10);
    assert_all_back_in_order(s, 25);
}

static void a_second_term_gives_all_back_within_a_second(void **state)
{
    given_back_by(*state, SIGTERM, SIGTERM);
}

static void a_second_int_gives_all_back_within_a_second(void **state)
{
    given_back_by(*state, SIGINT, SIGINT);
}

static void int_after_term_is_a_second_signal(void **state)
{
    given_back_by(*state, SIGTERM, SIGINT);
}

static void quit_gives_all_back_within_a_second(void **state)
{
    given_back_by(*state, 0, SIGQUIT);
}

static void quit_while_draining_gives_all_back_within_a_second(void **state)
{
    given_back_by(*state, SIGTERM, SIGQUIT);
}

/* Both stand still in the midst of it, Redis first; nothing could be confirmed until both go on. */
static void time_in_which_it_stands_still_is_not_counted(void **state)
{
    struct scene *s = *state;
    start_with_long_jobs(s, "concurrency = 10; " ONE("sleep", ""), 25, 10);
    redis_server_signal(s->redis, SIGSTOP);
    daemon_signal(s->daemon, SIGQUIT);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=cancelling") == 1);
    daemon_signal(s->daemon, SIGSTOP);
    bool in_time = daemon_alive(s->daemon); /* else this test was held up, not the daemon */
    redis_server_signal(s->redis, SIGCONT);
    scene_hold(s, in_time ? 1200 : 0, daemon_alive(s->daemon));
    if (in_time)
        daemon_signal(s->daemon, SIGCONT);
    assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), 0);
    if (in_time)
        assert_all_back_in_order(s, 25);
}

static void quit_of_ten_thousand_running_jobs_takes_no_longer(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "600.", 0, MANY);
    scene_start(s, "concurrency = 10000; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", MANY).distinct == MANY);
    int64_t start = clock_now_ms();
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_in_range(clock_now_ms() - start, 0, WITHIN(1000));
    if (was_held_up(s, MANY))
        return;
    static unsigned order[MANY];
    assert_int_equal(listed_order(s, "queue", "600.", order, MANY), MANY);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(order[i], i);
    assert_int_equal(ask_int(s, "DEL queue"), 1);
    assert_string_equal(left_over(s), "");
}

static void what_was_given_back_runs_in_the_next_life(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "2.0", 0, 5);
    scene_start(s, "concurrency = 3; shutdown_timeout = 0.0; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "2.0", 5).distinct == 3);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 5);
    scene_start(s, "concurrency = 5; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, printed(s, "Done", "2.0", 5).distinct == 5);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 5);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(printed(s, "Done", "2.0", 5).total, 5);
    assert_string_equal(left_over(s), "");
}

static void redis_gone_while_draining_does_not_hold_the_exit_for_ever(void **state)
{
    struct scene *s = *state;
    s->redis_more = "command_timeout = 1.0;";
    start_with_long_jobs(s, "concurrency = 3; shutdown_timeout = 0.5; " ONE("sleep", ""), 3, 3);
    redis_server_signal(s->redis, SIGSTOP);
    daemon_signal(s->daemon, SIGTERM);
    int code =
        daemon_wait(s->daemon, LIMIT_MS); /* shutdown_timeout + command_timeout, and a margin */
    redis_server_signal(s->redis, SIGCONT);
    assert_int_not_equal(code, -ETIMEDOUT);
    scene_await(s, LIMIT_MS, held(s, "queue", "600.", 3).distinct == 3);
    assert_int_equal(held(s, "queue", "600.", 3).total, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(the_four_jobs_of_the_demo_run_together),
        SCENE(the_demo_as_it_is_told_ends_after_five_seconds),
        SCENE(term_lets_running_jobs_finish_and_claims_no_more),
        SCENE(term_drains),
        SCENE(int_drains),
        SCENE(an_idle_daemon_ends_at_once),
        SCENE(a_job_pushed_beside_term_is_run_or_stays_in_the_list),
        SCENE(a_job_that_was_just_claimed_is_given_back_too),
        SCENE(jobs_longer_than_shutdown_timeout_go_back_in_order),
        SCENE(what_is_done_in_the_midst_of_a_batch_does_not_go_back),
        SCENE(a_second_term_gives_all_back_within_a_second),
        SCENE(a_second_int_gives_all_back_within_a_second),
        SCENE(int_after_term_is_a_second_signal),
        SCENE(quit_gives_all_back_within_a_second),
        SCENE(quit_while_draining_gives_all_back_within_a_second),
        SCENE(time_in_which_it_stands_still_is_not_counted),
        SCENE(quit_of_ten_thousand_running_jobs_takes_no_longer),
        SCENE(what_was_given_back_runs_in_the_next_life),
        SCENE(redis_gone_while_draining_does_not_hold_the_exit_for_ever),
    };
    return scene_run(tests);
}
