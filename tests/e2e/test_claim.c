/* What is claimed, in which order, and never more than there are slots for. */
#include "tests/e2e/exec.h"
#include "tests/e2e/proxy.h"
#include "tests/e2e/scene.h"

static void no_more_is_claimed_than_workers_times_concurrency(void **state)
{
    struct scene *s = *state;
    scene_start(s, "workers = 2; concurrency = 10; " ONE("sleep", ""));
    push_numbers(s, "queue", "600.", 0, 100);
    scene_await(s, LIMIT_MS, running(s) == 20);
    scene_hold(s, 1500, claimed(s, "queue") == 20 && ask_int(s, "LLEN queue") == 80);
    assert_int_equal(running(s), 20);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 100);
}

static void no_more_is_claimed_than_the_queues_own_concurrency(void **state)
{
    struct scene *s = *state;
    scene_start(s, "concurrency = 20; queues = (" QUEUE(
                       "queue", "sleep", "concurrency = 5;") ", " QUEUE("other", "sleep", "") ");");
    push_numbers(s, "queue", "600.1", 0, 50);
    scene_await(s, LIMIT_MS, running(s) == 5);
    push_numbers(s, "other", "600.2", 0, 50);
    scene_await(s, LIMIT_MS, running(s) == 20);
    scene_hold(s, 1500, claimed(s, "queue") == 5 && claimed(s, "other") == 15);
    assert_int_equal(printed(s, "Waiting", "600.1", 50).distinct, 5);
    assert_int_equal(printed(s, "Waiting", "600.2", 50).distinct, 15);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 50);
    assert_int_equal(ask_int(s, "LLEN other"), 50);
}

static void the_limits_hold_at_every_moment_of_a_drain(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "0.00", 0, 4000);
    push_numbers(s, "other", "0.01", 0, 2000);
    scene_start(s, "workers = 2; concurrency = 15; queues = (" QUEUE(
                       "queue", "sleep", "concurrency = 8;") ", " QUEUE("other", "sleep", "") ");");
    while (stat_of(s, "queue", "done") + stat_of(s, "other", "done") < 6000) {
        long long mine = claimed(s, "queue"), others = claimed(s, "other");
        scene_check(s, mine <= 8);
        scene_check(s, others <= 30);
        scene_check(s, running(s) <= 30);
        scene_check(s, daemon_alive(s->daemon));
        scene_tick();
    }
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(printed(s, "Done", "0.00", 4000).distinct, 4000);
    assert_int_equal(printed(s, "Done", "0.01", 2000).distinct, 2000);
    assert_int_equal(stat_of(s, "queue", "done"), 4000);
    assert_int_equal(stat_of(s, "other", "done"), 2000);
    assert_string_equal(left_over(s), "");
}

static void the_sum_of_two_queues_stays_within_the_slots(void **state)
{
    struct scene *s = *state;
    scene_start(s, "concurrency = 10; queues = (" QUEUE("queue", "sleep",
                                                        "") ", " QUEUE("other", "sleep", "") ");");
    push_numbers(s, "queue", "600.1", 0, 30);
    push_numbers(s, "other", "600.2", 0, 30);
    scene_await(s, LIMIT_MS, claimed(s, "queue") + claimed(s, "other") == 10);
    scene_hold(s, 1500, claimed(s, "queue") + claimed(s, "other") == 10);
    scene_await(s, LIMIT_MS, running(s) == 10);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue") + ask_int(s, "LLEN other"), 60);
}

/* A job that ends when the file is there, and says so; where it never comes, in some time. */
static const char *until(struct scene *s, const char *file)
{
    return exec_text("for i in $(seq 3000); do [ -e %s/%s ] && break; sleep 0.01; done; echo %s",
                     s->folder, file, file);
}

/* The first that is done of a small batch is settled at once, the others behind its answer. */
static void what_ends_while_a_settle_is_out_waits_for_its_answer(void **state)
{
    struct scene *s = *state;
    s->proxy = proxy_new(s->folder, redis_server_socket(s->redis));
    (void)snprintf(s->url, sizeof s->url, "%s", proxy_url(s->proxy));
    scene_start(s, "concurrency = 8; " SH("kill_grace = 0.1; ", ""));
    /* A pop has the first; the others are one batch. */
    assert_int_equal(
        ask_int(s, "LPUSH queue %s %s %s", until(s, "end"), until(s, "known"), until(s, "end")), 3);
    (void)exec_make(s, "known", "", 0600);
    scene_await(s, LIMIT_MS, exec_done(s) == 1); /* Redis knows the script */
    assert_int_equal(ask_int(s, "LPUSH queue %s %s %s %s %s", until(s, "end"), until(s, "first"),
                             until(s, "then"), until(s, "then"), until(s, "end")),
                     5);
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 7);
    (void)proxy_arm(s->proxy, "match :acked:");
    (void)proxy_arm(s->proxy, "hold 1");
    (void)exec_make(s, "first", "", 0600);
    scene_await(s, LIMIT_MS, exec_done(s) == 2); /* the daemon does not know it */
    (void)exec_make(s, "then", "", 0600);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "line='then'") == 2);
    scene_hold(s, 200, exec_done(s) == 2);
    (void)proxy_arm(s->proxy, "none");
    scene_await(s, LIMIT_MS, exec_done(s) == 4);
    (void)exec_make(s, "end", "", 0600);
    scene_await(s, LIMIT_MS, exec_done(s) == 8);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* One of three jobs is done, which the daemon is not told; the next is claimed behind it. */
static void hold_a_settle(struct scene *s)
{
    s->proxy = proxy_new(s->folder, redis_server_socket(s->redis));
    (void)snprintf(s->url, sizeof s->url, "%s", proxy_url(s->proxy));
    scene_start(s, "concurrency = 1; " ONE("sleep", ""));
    push(s, "queue", "0.000");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    (void)proxy_arm(s->proxy, "match :acked:");
    (void)proxy_arm(s->proxy, "hold 1");
    assert_int_equal(ask_int(s, "LPUSH queue 0.001 0.002 0.003"), 3);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 2); /* the daemon does not know it */
    scene_await(s, LIMIT_MS, ask_int(s, "LLEN queue") == 1);
    assert_int_equal(claimed(s, "queue"), 1);
}

static void the_next_is_claimed_behind_what_settles(void **state)
{
    struct scene *s = *state;
    hold_a_settle(s);
    assert_int_equal(proxy_arm(s->proxy, "none").hits, 1);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 4);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void it_ends_while_that_is_out(void **state)
{
    struct scene *s = *state;
    hold_a_settle(s);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(claimed(s, "queue") + ask_int(s, "LLEN queue"), 2);
}

static void the_oldest_is_taken_first(void **state)
{
    struct scene *s = *state;
    unsigned order[200];
    push_numbers(s, "queue", "0.001", 0, 100);
    scene_start(s, "concurrency = 1; " ONE("sleep", ""));
    push_numbers(s, "queue", "0.001", 100, 100);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 200);
    assert_int_equal(printed_order(s, "Waiting", "0.001", order, 200), 200);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(order[i], i);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void ten_thousand_jobs_of_a_second_take_three(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "1.00", 0, MANY);
    int64_t start = clock_now_ms();
    scene_start(s, "concurrency = 10000; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, printed(s, "Done", "1.00", MANY).distinct == MANY);
    assert_in_range(clock_now_ms() - start, 1000, WITHIN(3000));
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == MANY);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(printed(s, "Done", "1.00", MANY).most, 1);
    assert_string_equal(left_over(s), "");
}

static unsigned workers_that_woke(struct scene *s, const struct daemon_thread *before, unsigned n,
                                  int64_t often)
{
    struct daemon_thread now[64];
    unsigned woke = 0, m = daemon_workers(s->daemon, now, 64);
    for (unsigned i = 0; i < m; i++)
        for (unsigned k = 0; k < n; k++)
            woke += now[i].tid == before[k].tid && now[i].switches - before[k].switches >= often;
    return woke;
}

/* A long job, then a short one, again and again. Dealt in turn one worker would get all the long
 * ones, and the other would sleep while they end one after the other. */
static void a_job_goes_to_the_worker_that_has_least_to_do(void **state)
{
    struct scene *s = *state;
    struct daemon_thread before[64];
    scene_start(s, "workers = 2; concurrency = 50; " ONE("sleep", ""));
    for (unsigned i = 0; i < 10; i++) {
        char payload[32], done[48];
        (void)snprintf(payload, sizeof payload, "%u.%02u", SLOWNESS > 1 ? 15 : 5, i * 10);
        push(s, "queue", payload);
        scene_await(s, LIMIT_MS, printed(s, "Waiting", "", 0).total == 2 * i + 1);
        (void)snprintf(payload, sizeof payload, "0.00%u", i);
        (void)snprintf(done, sizeof done, "Done %s", payload);
        push(s, "queue", payload);
        scene_await(s, LIMIT_MS, daemon_printed(s->daemon, done) == 1);
        scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == i + 1); /* its slot is free again */
    }
    unsigned n = daemon_workers(s->daemon, before, 64);
    scene_check(s, printed(s, "Done", "", 0).total == 10); /* the short ones */
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 20);
    assert_int_equal(workers_that_woke(s, before, n, 3), 2);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void four_workers_run_as_many_jobs_as_they_have_slots(void **state)
{
    struct scene *s = *state;
    scene_start(s, "workers = 4; concurrency = 3; " ONE("sleep", ""));
    push_numbers(s, "queue", "1.5", 0, 24);
    scene_await(s, LIMIT_MS, running(s) == 12);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 24);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(printed(s, "Done", "1.5", 24).most, 1);
}

static void a_slow_job_does_not_hold_the_slots_of_its_batch(void **state)
{
    struct scene *s = *state;
    push(s, "queue", "600.5");
    push_numbers(s, "queue", "0.00", 0, 500);
    scene_start(s, "concurrency = 4; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, printed(s, "Done", "0.00", 500).distinct == 500);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 500);
    assert_int_equal(claimed(s, "queue"), 1);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_string_equal(ask_text(s, "LPOP queue"), "600.5");
    assert_string_equal(left_over(s), "");
}

static void a_queue_with_a_backlog_does_not_starve_its_neighbour(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "0.02", 0, 5000);
    scene_start(s, "concurrency = 10; queues = (" QUEUE("queue", "sleep",
                                                        "") ", " QUEUE("other", "sleep", "") ");");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") > 50);
    push(s, "other", "0.001");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.001") == 1);
    assert_true(ask_int(s, "LLEN queue") > 1000);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void nor_one_whose_list_was_empty(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "0.02", 0, 5000);
    scene_start(s, "concurrency = 1; queues = (" QUEUE("queue", "sleep",
                                                       "") ", " QUEUE("other", "sleep", "") ");");
    for (int i = 1; i <= 5; i++) {
        scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") > 10ll * i);
        push(s, "other", "0.01");
        scene_await(s, LIMIT_MS, stat_of(s, "other", "done") == i);
    }
    assert_true(ask_int(s, "LLEN queue") > 0);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
}

static void queues_of_odd_names_work_and_share_no_key(void **state)
{
    struct scene *s = *state;
    static const char *const names[] = {"queue", "a b", "q\xc3\xbcx", "{t}x",
                                        "x:y",   "a}b", "{}",         "*"};
    scene_start(
        s, "queues = (" QUEUE("queue", "sleep", "") "," QUEUE("a b", "sleep", "") "," QUEUE(
               "q\xc3\xbcx", "sleep",
               "") "," QUEUE("{t}x", "sleep",
                             "") "," QUEUE("x:y", "sleep",
                                           "") "," QUEUE("a}b", "sleep",
                                                         "") "," QUEUE("{}", "sleep",
                                                                       "") "," QUEUE("*", "sleep",
                                                                                     "") ");");
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        char payload[32];
        (void)snprintf(payload, sizeof payload, "0.00%06u", i);
        push(s, names[i], payload);
    }
    scene_await(s, LIMIT_MS, printed(s, "Done", "0.00", 8).distinct == 8);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(stat_of(s, "queue", "done"), 1);
    assert_string_equal(ask_text(s, "HGET rpopd:t4:{t}x:stats done"), "1");
    assert_int_equal(ask_int(s, "EVAL %s 0", "return #redis.call('KEYS', '*:stats')"), 8);
    assert_string_equal(left_over(s), "");
}

/* Pick-up is not by polling: an idle daemon waits in Redis. */
static void an_idle_daemon_takes_a_job_at_once(void **state)
{
    struct scene *s = *state;
    int64_t worst = 0, sum = 0;
    scene_start(s, ONE("sleep", ""));
    for (unsigned i = 0; i < 50; i++) {
        char payload[32], line[48];
        (void)snprintf(payload, sizeof payload, "0.00%06u", i);
        (void)snprintf(line, sizeof line, "Waiting %s", payload);
        int64_t start = clock_now_ms();
        push(s, "queue", payload);
        scene_await(s, LIMIT_MS, daemon_printed(s->daemon, line) == 1);
        int64_t took = clock_now_ms() - start;
        worst = took > worst ? took : worst;
        sum += took;
    }
    /* Far from a second of polling, far above the microseconds it takes. */
    assert_in_range(sum / 50, 0, scene_long() ? 50 : 500);
    assert_in_range(worst, 0, WITHIN(1000));
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(no_more_is_claimed_than_workers_times_concurrency),
        SCENE(no_more_is_claimed_than_the_queues_own_concurrency),
        SCENE(the_limits_hold_at_every_moment_of_a_drain),
        SCENE(the_sum_of_two_queues_stays_within_the_slots),
        SCENE(what_ends_while_a_settle_is_out_waits_for_its_answer),
        SCENE(the_next_is_claimed_behind_what_settles),
        SCENE(it_ends_while_that_is_out),
        SCENE(the_oldest_is_taken_first),
        SCENE(ten_thousand_jobs_of_a_second_take_three),
        SCENE(a_job_goes_to_the_worker_that_has_least_to_do),
        SCENE(four_workers_run_as_many_jobs_as_they_have_slots),
        SCENE(a_slow_job_does_not_hold_the_slots_of_its_batch),
        SCENE(a_queue_with_a_backlog_does_not_starve_its_neighbour),
        SCENE(nor_one_whose_list_was_empty),
        SCENE(queues_of_odd_names_work_and_share_no_key),
        SCENE(an_idle_daemon_takes_a_job_at_once),
    };
    return scene_run(tests);
}
