/* Redis stops, dies, hangs, comes back: the daemon says so once, goes on by itself and loses
 * nothing. */
#include "tests/e2e/scene.h"

#include "tests/e2e/ctl.h"
#include "tests/e2e/drain.h"

static void killed_and_restarted_with_its_data_in_mid_drain(void **state)
{
    struct scene *s = *state;
    drain_begin(s, 3000, 50);
    drain_reach(s, 500);
    redis_server_kill(s->redis);
    scene_hold(s, 1500, daemon_alive(s->daemon));
    assert_int_equal(redis_server_restart(s->redis, true), 0);
    drain_heals(s);
    drain_end(s);
}

static void killed_many_times_in_one_drain(void **state)
{
    struct scene *s = *state;
    const unsigned times = scene_long() ? 30 : 6;
    drain_begin(s, 500 * times, 20);
    for (unsigned i = 0; i < times; i++) {
        drain_reach(s, 100 + 400 * i);
        assert_int_equal(redis_server_restart(s->redis, true), 0);
        drain_heals(s);
    }
    drain_end(s);
}

static void shut_down_and_started_again_in_mid_drain(void **state)
{
    struct scene *s = *state;
    drain_begin(s, 2000, 50);
    drain_reach(s, 500);
    (void)ask_text(s, "SHUTDOWN");
    scene_hold(s, 500, daemon_alive(s->daemon));
    assert_int_equal(redis_server_restart(s->redis, true), 0);
    drain_heals(s);
    drain_end(s);
}

static void an_outage_is_said_once_and_so_is_its_end(void **state)
{
    struct scene *s = *state;
    scene_start(s, "log: { level = \"warning\"; }; " ONE("sleep", ""));
    push(s, "queue", "0.01");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    unsigned before = daemon_log_lines(s->daemon);
    redis_server_kill(s->redis);
    scene_await(s, LIMIT_MS, daemon_log_lines(s->daemon) > before);
    scene_hold(s, 3000,
               daemon_log_lines(s->daemon) ==
                   before + 1); /* one cause, one warning, however many tries */
    assert_int_equal(redis_server_restart(s->redis, true), 0);
    push(s, "queue", "0.02");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.02") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_in_range(daemon_log_lines(s->daemon), before + 1, before + 2);
}

static void its_return_is_said_at_level_info(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", ""));
    unsigned before = daemon_log_lines(s->daemon);
    redis_server_kill(s->redis);
    scene_await(s, LIMIT_MS, daemon_log_lines(s->daemon) > before);
    unsigned down = daemon_log_lines(s->daemon);
    assert_int_equal(redis_server_restart(s->redis, true), 0);
    scene_await(s, LIMIT_MS, daemon_log_lines(s->daemon) > down);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void absent_at_the_start_it_is_waited_for_and_that_is_said(void **state)
{
    struct scene *s = *state;
    redis_server_kill(s->redis);
    scene_launch(s, ONE("sleep", ""));
    scene_await(s, LIMIT_MS,
                daemon_logged(s->daemon, "redis.sock") > 0); /* where it was looked for */
    unsigned lines = daemon_log_lines(s->daemon);
    scene_hold(s, 2000, daemon_alive(s->daemon) && daemon_log_lines(s->daemon) <= lines + 1);
    assert_true(daemon_usage(s->daemon).cpu_us < 300000 * SLOWNESS);
    assert_int_equal(redis_server_restart(s->redis, true), 0);
    push(s, "queue", "0.01");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.01") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void absent_at_the_start_term_still_ends_it(void **state)
{
    struct scene *s = *state;
    redis_server_kill(s->redis);
    scene_launch(s, ONE("sleep", ""));
    scene_await(s, LIMIT_MS, daemon_log_lines(s->daemon) > 0);
    int64_t start = clock_now_ms();
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_in_range(clock_now_ms() - start, 0, WITHIN(2000));
}

static void away_while_jobs_run_they_are_settled_after_its_return(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", ""));
    push_numbers(s, "queue", "1.0", 0, 50);
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "1.0", 50).distinct == 50);
    redis_server_kill(s->redis);
    scene_await(s, LIMIT_MS, printed(s, "Done", "1.0", 50).distinct == 50);
    assert_int_equal(redis_server_restart(s->redis, true), 0);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 50);
    assert_int_equal(printed(s, "Waiting", "1.0", 50).total, 50); /* none was run again */
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* An operator's word is kept until Redis hears it; the job is dead then, and nowhere else. */
static void cancelled_while_it_is_away_a_job_is_dead_once(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", ""));
    push(s, "queue", "600.000000");
    scene_await(s, LIMIT_MS, running(s) == 1);
    redis_server_kill(s->redis);
    ctl_cancel_one(s);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=redis-lost") > 0);
    assert_int_equal(redis_server_restart(s->redis, true), 0);
    int64_t back = clock_now_ms();
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "cancelled") == 1);
    assert_in_range(clock_now_ms() - back, 0, WITHIN(6000));
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:dead"), 1);
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_printed(s->daemon, "Waiting 600.000000"), 1);
    assert_int_equal(stat_of(s, "queue", "dead") + stat_of(s, "queue", "done"), 0);
    assert_string_equal(left_over(s), "");
}

static void frozen_for_three_seconds_in_mid_drain(void **state)
{
    struct scene *s = *state;
    drain_begin(s, 2000, 50);
    drain_reach(s, 500);
    redis_server_signal(s->redis, SIGSTOP);
    scene_hold(s, 3000, daemon_alive(s->daemon));
    redis_server_signal(s->redis, SIGCONT);
    drain_heals(s);
    drain_end(s);
}

static void frozen_for_longer_than_its_patience(void **state)
{
    struct scene *s = *state;
    s->redis_more = "command_timeout = 0.5; connect_timeout = 0.5;";
    drain_begin(s, 2000, 50);
    for (unsigned i = 1; i <= 3; i++) {
        drain_reach(s, 400 * i);
        redis_server_signal(s->redis, SIGSTOP);
        scene_hold(s, 1500, daemon_alive(s->daemon));
        redis_server_signal(s->redis, SIGCONT);
        drain_heals(s);
    }
    drain_end(s);
}

static void frozen_for_longer_than_the_lease(void **state)
{
    struct scene *s = *state;
    s->redis_more = "command_timeout = 0.5; connect_timeout = 0.5;";
    drain_with(s, 1500, "concurrency = 20; lease = 1.0; ");
    drain_reach(s, 300);
    redis_server_signal(s->redis, SIGSTOP);
    scene_hold(s, 2500, daemon_alive(s->daemon));
    redis_server_signal(s->redis, SIGCONT);
    drain_heals(s);
    drain_end(s);
}

static bool redis_says(struct scene *s, const char *word)
{
    const char *text = ask_text(s, "PING");
    return !text || strncmp(text, word, strlen(word)) == 0; /* NULL: it does not even listen yet */
}

static void loading_its_data_for_a_while(void **state)
{
    struct scene *s = *state;
    drain_begin(s, 1000, 20);
    drain_reach(s, 200);
    static const char fill[] =
        "for i = 1, 3000 do redis.call('SET', 'filler' .. i, 'x') end return 1";
    static const char empty[] = "for i = 1, 3000 do redis.call('DEL', 'filler' .. i) end return 1";
    assert_int_equal(ask_int(s, "EVAL %s 0", fill), 1);
    assert_int_equal(redis_server_restart(s->redis, false),
                     0); /* half a millisecond a key: see SLOW */
    scene_await(s, LIMIT_MS, redis_says(s, "LOADING"));
    unsigned lines = daemon_log_lines(s->daemon);
    scene_await(s, LIMIT_MS, !redis_says(s, "LOADING"));
    assert_in_range(daemon_log_lines(s->daemon) - lines, 0, 4); /* no flood */
    drain_heals(s);
    assert_int_equal(ask_int(s, "EVAL %s 0", empty), 1);
    drain_end(s);
}

static void paused_by_client_pause(void **state)
{
    static const char *const modes[] = {"ALL", "WRITE"};
    struct scene *s = *state;
    drain_begin(s, 2000, 50);
    for (unsigned i = 0; i < 2; i++) {
        drain_reach(s, 400 + 400 * i);
        assert_int_equal(ask_int(s, "CLIENT PAUSE 1500 %s", modes[i]), 1);
        scene_hold(s, 1000, daemon_alive(s->daemon));
        drain_heals_within(s, 500 + 1000);
    }
    drain_end(s);
}

/* All commands, or writes alone, for moments; and links are killed while they wait. */
static void paused_and_killed_again_and_again(void **state)
{
    struct scene *s = *state;
    const unsigned times = scene_long() ? 300 : 30;
    drain_begin(s, 60 * times, 20);
    for (unsigned i = 0; i < times; i++) {
        drain_reach(s, 50 * i);
        assert_int_equal(ask_int(s, "CLIENT PAUSE %u %s", 20 + scene_random(100),
                                 scene_random(2) ? "ALL" : "WRITE"),
                         1);
        if (scene_random(2))
            (void)ask_int(s, "CLIENT KILL TYPE normal SKIPME yes");
    }
    drain_end(s);
}

static void every_link_killed_again_and_again(void **state)
{
    struct scene *s = *state;
    const unsigned times = scene_long() ? 400 : 40;
    drain_begin(s, 60 * times, 20);
    for (unsigned i = 0; i < times; i++) {
        drain_reach(s, 20 * i);
        (void)ask_int(s, "CLIENT KILL TYPE normal SKIPME yes");
    }
    drain_heals(s);
    drain_end(s);
    assert_int_equal(printed(s, "Done", DRAIN_PREFIX, 60 * times).most,
                     1); /* a cut link runs nothing twice */
}

/* The cut is not even noticed when the signal comes, or it is being mended. */
static void stopped_beside_a_cut_nothing_is_left_behind(void **state)
{
    struct scene *s = *state;
    char *text = scene_conf(s, ONE("sleep", ""));
    daemon_configure(s->daemon, text);
    free(text);
    for (unsigned life = 0; life < (scene_long() ? 400 : 30); life++) {
        push_numbers(s, "queue", "0.00", life, 1);
        scene_again(s);
        scene_await(s, LIMIT_MS, printed(s, "Done", "0.00", life + 1).distinct == life + 1);
        (void)ask_int(s, "CLIENT KILL TYPE normal SKIPME yes");
        int64_t then = clock_now_ns() + scene_random(60) * 1000000LL;
        while (life % 2 && clock_now_ns() < then)
            scene_tick();
        scene_stop(s, life % 3 ? SIGTERM : SIGQUIT, 0, LIMIT_MS);
        scene_check(s, left_over(s)[0] == 0);
    }
    assert_int_equal(stat_of(s, "queue", "done"), printed(s, "Done", "0.00", 400).total);
}

static void started_anew_without_its_data(void **state)
{
    struct scene *s = *state; /* nothing is kept on disk here */
    scene_start(s, ONE("sleep", ""));
    push_numbers(s, "queue", "0.5", 0, 10);
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "0.5", 10).distinct == 10);
    assert_int_equal(redis_server_restart(s->redis, true), 0);
    push_numbers(s, "queue", "0.1", 0, 10);
    scene_await(s, LIMIT_MS, printed(s, "Done", "0.1", 10).distinct == 10);
    scene_await(s, LIMIT_MS,
                printed(s, "Done", "0.5", 10).distinct == 10); /* nobody else will run them */
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 10);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "lost") == 10);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static int scene_new_slow(void **state)
{
    return scene_new_with(state, (const char *const[]){"--appendonly", "yes", "--appendfsync",
                                                       "always", "--key-load-delay", "500",
                                                       "--loading-process-events-interval-bytes",
                                                       "1024", NULL});
}

int main(void)
{
#define SLOW(test) cmocka_unit_test_setup_teardown(test, scene_new_slow, scene_free)
    const struct CMUnitTest tests[] = {
        DURABLE(killed_and_restarted_with_its_data_in_mid_drain),
        DURABLE(killed_many_times_in_one_drain),
        DURABLE(shut_down_and_started_again_in_mid_drain),
        DURABLE(an_outage_is_said_once_and_so_is_its_end),
        DURABLE(its_return_is_said_at_level_info),
        SCENE(absent_at_the_start_it_is_waited_for_and_that_is_said),
        SCENE(absent_at_the_start_term_still_ends_it),
        DURABLE(away_while_jobs_run_they_are_settled_after_its_return),
        DURABLE(cancelled_while_it_is_away_a_job_is_dead_once),
        SCENE(frozen_for_three_seconds_in_mid_drain),
        SCENE(frozen_for_longer_than_its_patience),
        SCENE(frozen_for_longer_than_the_lease),
        SLOW(loading_its_data_for_a_while),
        SCENE(paused_by_client_pause),
        SCENE(paused_and_killed_again_and_again),
        SCENE(every_link_killed_again_and_again),
        SCENE(stopped_beside_a_cut_nothing_is_left_behind),
        SCENE(started_anew_without_its_data),
    };
    return scene_run(tests);
}
