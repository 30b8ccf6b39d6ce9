/* rpopd:{queue}:paused: present, nothing runs; gone, it runs within two seconds. */
#include "tests/e2e/proxy.h"
#include "tests/e2e/scene.h"

static bool lies_in_the_list(struct scene *s, long long jobs)
{
    return ask_int(s, "LLEN queue") == jobs && claimed(s, "queue") == 0;
}

static unsigned started(struct scene *s)
{
    return printed(s, "Waiting", "", 0).total;
}

static void set_while_idle_it_keeps_the_next_job_in_the_list(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", ""));
    assert_int_equal(ask_int(s, "SET rpopd:{queue}:paused x"), 1);
    push(s, "queue", "0.01");
    scene_await(s, WITHIN(2000), lies_in_the_list(s, 1));
    scene_hold(s, 3000, lies_in_the_list(s, 1) && started(s) == 0);
    assert_int_equal(ask_int(s, "DEL rpopd:{queue}:paused"), 1);
    scene_await(s, WITHIN(2000), daemon_printed(s->daemon, "Done 0.01") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void again_and_again(void **state)
{
    struct scene *s = *state;
    const unsigned times = scene_long() ? 20 : 4;
    scene_start(s, ONE("sleep", ""));
    for (unsigned i = 0; i < times; i++) {
        assert_int_equal(ask_int(s, "SET rpopd:{queue}:paused x"), 1);
        push_numbers(s, "queue", "0.001", 3 * i, 3);
        scene_await(s, WITHIN(2000), lies_in_the_list(s, 3));
        scene_hold(s, 300, started(s) == 3 * i);
        assert_int_equal(ask_int(s, "DEL rpopd:{queue}:paused"), 1);
        scene_await(s, WITHIN(2000), started(s) == 3 * i + 3);
    }
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 3 * times);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(printed(s, "Done", "0.001", 3 * times).most, 1);
    assert_string_equal(left_over(s), "");
}

static void the_order_is_kept(void **state)
{
    struct scene *s = *state;
    unsigned order[10];
    scene_start(s, "concurrency = 1; " ONE("sleep", ""));
    assert_int_equal(ask_int(s, "SET rpopd:{queue}:paused x"), 1);
    push_numbers(s, "queue", "0.001", 0, 10);
    scene_await(s, WITHIN(2000), lies_in_the_list(s, 10));
    assert_int_equal(listed_order(s, "queue", "0.001", order, 10), 10);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(order[i], i);
    assert_int_equal(ask_int(s, "DEL rpopd:{queue}:paused"), 1);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 10);
    assert_int_equal(printed_order(s, "Waiting", "0.001", order, 10), 10);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(order[i], i);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void its_value_is_told_once(void **state)
{
    struct scene *s = *state;
    scene_start(s, "queues = (" QUEUE("queue", "sleep", "") ", " QUEUE("other", "sleep", "") ");");
    assert_int_equal(ask_int(s, "SET rpopd:{queue}:paused %s", "the shop\nis closed"), 1);
    assert_int_equal(ask_int(s, "SADD rpopd:{other}:paused x"), 1); /* has no value, and pauses */
    push(s, "queue", "0.01");
    push(s, "other", "0.02");
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "the shop\\nis closed") == 1);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "queue-paused") == 2);
    scene_hold(s, 1200, daemon_logged(s->daemon, "queue-paused") == 2 && started(s) == 0);
    assert_int_equal(ask_int(s, "DEL rpopd:{queue}:paused rpopd:{other}:paused"), 2);
    scene_await(s, LIMIT_MS, started(s) == 2 && daemon_logged(s->daemon, "queue-resumed") == 2);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void there_at_the_start_nothing_runs(void **state)
{
    struct scene *s = *state;
    assert_int_equal(ask_int(s, "SET rpopd:{queue}:paused x"), 1);
    push_numbers(s, "queue", "0.01", 0, 5);
    scene_start(s, ONE("sleep", ""));
    scene_hold(s, 2000, lies_in_the_list(s, 5) && started(s) == 0);
    assert_int_equal(ask_int(s, "DEL rpopd:{queue}:paused"), 1);
    scene_await(s, WITHIN(2000), started(s) == 5);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 5);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void in_mid_drain_what_runs_ends_and_no_more_starts(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "0.05", 0, 500);
    scene_start(s, "concurrency = 10; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, started(s) > 50);
    assert_int_equal(ask_int(s, "SET rpopd:{queue}:paused x"), 1);
    scene_await(s, WITHIN(2000), claimed(s, "queue") == 0);
    unsigned at = started(s);
    scene_hold(s, 1500, started(s) == at && claimed(s, "queue") == 0);
    assert_int_equal(printed(s, "Done", "0.05", 500).distinct, at); /* what ran was not cut short */
    assert_int_equal(stat_of(s, "queue", "done"), at);
    assert_int_equal(ask_int(s, "LLEN queue"), 500 - at);
    assert_int_equal(ask_int(s, "DEL rpopd:{queue}:paused"), 1);
    scene_await(s, WITHIN(2000), started(s) > at);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 500);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(printed(s, "Done", "0.05", 500).total, 500);
    assert_string_equal(left_over(s), "");
}

static void with_a_ttl_it_resumes_by_itself(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", ""));
    int64_t start = clock_now_ms();
    assert_int_equal(ask_int(s, "SET rpopd:{queue}:paused x PX 2500"), 1);
    push(s, "queue", "0.01");
    scene_await(s, LIMIT_MS, started(s) == 1);
    assert_in_range(clock_now_ms() - start, 2400, WITHIN(4500));
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void of_one_queue_it_does_not_hold_another(void **state)
{
    struct scene *s = *state;
    scene_start(s, "queues = (" QUEUE("queue", "sleep", "") ", " QUEUE("other", "sleep", "") ");");
    assert_int_equal(ask_int(s, "SET rpopd:{queue}:paused x"), 1);
    push(s, "queue", "0.01");
    push(s, "other", "0.02");
    scene_await(s, WITHIN(2000), daemon_printed(s->daemon, "Done 0.02") == 1);
    scene_await(s, WITHIN(2000), lies_in_the_list(s, 1));
    assert_int_equal(daemon_printed(s->daemon, "Waiting 0.01"), 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 1);
}

static void term_while_paused_leaves_the_list_and_the_pause(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", ""));
    assert_int_equal(ask_int(s, "SET rpopd:{queue}:paused maintenance"), 1);
    push_numbers(s, "queue", "0.01", 0, 3);
    scene_await(s, WITHIN(2000), lies_in_the_list(s, 3));
    int64_t start = clock_now_ms();
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_in_range(clock_now_ms() - start, 0, WITHIN(1500));
    assert_int_equal(ask_int(s, "LLEN queue"), 3);
    assert_string_equal(ask_text(s, "GET rpopd:{queue}:paused"), "maintenance");
    assert_int_equal(ask_int(s, "DEL queue rpopd:{queue}:paused"), 2);
    assert_string_equal(left_over(s), "");
}

static void a_restart_while_paused_takes_back_and_runs_nothing_until_the_end(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "3.0", 0, 5);
    scene_start(s, ONE("sleep", ""));
    scene_await(s, LIMIT_MS, started(s) == 5);
    daemon_kill(s->daemon);
    assert_int_equal(ask_int(s, "SET rpopd:{queue}:paused x"), 1);
    scene_again(s);
    scene_hold(s, 1500, started(s) == 5);
    assert_int_equal(held(s, "queue", "3.0", 5).distinct, 5);
    assert_int_equal(held(s, "queue", "3.0", 5).total, 5);
    assert_int_equal(ask_int(s, "DEL rpopd:{queue}:paused"), 1);
    scene_await(s, WITHIN(2000), started(s) == 10);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 5);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void behind_a_proxy(struct scene *s)
{
    s->redis_more = "command_timeout = 60.0;";
    s->proxy = proxy_new(s->folder, redis_server_socket(s->redis));
    (void)snprintf(s->url, sizeof s->url, "%s", proxy_url(s->proxy));
}

static unsigned pops(struct scene *s)
{
    unsigned n = 0;
    for (const char *at = ask_text(s, "CLIENT LIST"); at && (at = strstr(at, "cmd=blmove")); at++)
        n++;
    return n;
}

/* A burst's answer is on its way when the pause is met; `word` stands in claims. */
static void pause_behind_a_burst(struct scene *s, const char *more, const char *word)
{
    char conf[256];
    behind_a_proxy(s);
    (void)snprintf(conf, sizeof conf,
                   "concurrency = 30; queues = (" QUEUE("queue", "sleep",
                                                        "%s") ", " QUEUE("other", "sleep", "") ");",
                   more);
    scene_start(s, conf);
    push(s, "queue", "0.01"); /* Redis knows the script from now on */
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1 && pops(s) == 2);
    (void)proxy_arm(s->proxy, "match %s", word);
    (void)proxy_arm(s->proxy, "hold 1");
    push_numbers(s, "queue", "600.", 0, 3); /* one for the pop that is out */
    scene_await(s, LIMIT_MS, started(s) == 2 && ask_int(s, "LLEN queue") == 0);
    assert_int_equal(ask_int(s, "SET rpopd:{queue}:paused x"), 1);
    assert_int_equal(ask_int(s, "ZADD rpopd:{queue}:retry 1 %s", "id 1 1 0 5 6 {}\n600.5"), 1);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "queue-paused") == 1);
}

/* What did not begin is in the list, and the other queue gets its slots. */
static void assert_two_are_back(struct scene *s)
{
    scene_await(s, LIMIT_MS, ask_int(s, "LLEN queue") == 2);
    push_numbers(s, "other", "600.", 3, 29);
    scene_await(s, LIMIT_MS, started(s) == 31);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
}

static void a_burst_that_comes_behind_it_goes_back(void **state)
{
    struct scene *s = *state;
    pause_behind_a_burst(s, "", ":inflight:e2e:");
    assert_int_equal(proxy_arm(s->proxy, "none").hits, 1);
    assert_two_are_back(s);
    assert_int_equal(held(s, "queue", "600.", 3).total, 3);
}

static void so_does_one_that_a_comparison_finds(void **state)
{
    struct scene *s = *state;
    pause_behind_a_burst(s, "", ":inflight:e2e:");
    assert_int_equal(proxy_arm(s->proxy, "turn %s", redis_server_socket(s->redis)).hits, 1);
    assert_two_are_back(s);
    assert_int_equal(held(s, "queue", "600.", 3).total, 3);
}

static void so_does_one_of_jobs_delivered_at_most_once(void **state)
{
    struct scene *s = *state;
    pause_behind_a_burst(s, "delivery = \"at-most-once\";", "rpopd:{queue}:dead");
    long long before = stat_of(s, "queue", "given_back");
    assert_int_equal(proxy_arm(s->proxy, "none").hits, 1);
    assert_two_are_back(s);
    assert_int_equal(stat_of(s, "queue", "given_back") - before, 2);
}

/* Its answer is on its way when a pop meets the pause. */
static void a_due_one_that_comes_behind_it_is_due_again(void **state)
{
    struct scene *s = *state;
    char epoch[64];
    behind_a_proxy(s);
    scene_start(s, ONE("sleep", ""));
    assert_int_equal(ask_int(s, "ZADD rpopd:{queue}:retry 1 %s", "a 1 1 0 5 6 {}\n0.01"), 1);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    assert_int_equal(sscanf(ask_text(s, "GET rpopd:{queue}:owner:e2e"), "1 %63s", epoch), 1);
    (void)proxy_arm(s->proxy, "match %s:r", epoch);
    (void)proxy_arm(s->proxy, "hold 1");
    assert_int_equal(ask_int(s, "ZADD rpopd:{queue}:retry 1 %s", "b 1 1 0 5 6 {}\n600.5"), 1);
    scene_await(s, LIMIT_MS, ask_int(s, "ZCARD rpopd:{queue}:retry") == 0);
    assert_int_equal(ask_int(s, "SET rpopd:{queue}:paused x"), 1);
    push(s, "queue", "600.6");
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "queue-paused") == 1);
    assert_int_equal(proxy_arm(s->proxy, "none").hits, 1);
    scene_await(s, LIMIT_MS, ask_int(s, "ZCARD rpopd:{queue}:retry") == 1);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(started(s), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(set_while_idle_it_keeps_the_next_job_in_the_list),
        SCENE(again_and_again),
        SCENE(the_order_is_kept),
        SCENE(its_value_is_told_once),
        SCENE(there_at_the_start_nothing_runs),
        SCENE(in_mid_drain_what_runs_ends_and_no_more_starts),
        SCENE(with_a_ttl_it_resumes_by_itself),
        SCENE(of_one_queue_it_does_not_hold_another),
        SCENE(term_while_paused_leaves_the_list_and_the_pause),
        SCENE(a_burst_that_comes_behind_it_goes_back),
        SCENE(so_does_one_that_a_comparison_finds),
        SCENE(so_does_one_of_jobs_delivered_at_most_once),
        SCENE(a_due_one_that_comes_behind_it_is_due_again),
        SCENE(a_restart_while_paused_takes_back_and_runs_nothing_until_the_end),
    };
    return scene_run(tests);
}
