/* kill -9 at any moment: every job is done at least once, none is left behind or lost in between.
 */
#include "tests/e2e/scene.h"

#include "tests/e2e/proxy.h"

#include <time.h>

/* A moment that is not a condition: the point of these tests is that any will do. */
static void random_moment(unsigned below_us)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)scene_random(below_us) * 1000}, NULL);
}

static void stop_and_assert_rest(struct scene *s)
{
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* 100,000 null jobs ------------------------------------------------------------------------------
 */

static void push_null_jobs(struct scene *s, unsigned n)
{
    static const char script[] =
        "for i = 1, ARGV[1] do redis.call('LPUSH', KEYS[1], 'a payload of 16 B') end return 1";
    assert_int_equal(ask_int(s, "EVAL %s 1 queue %u", script, n), 1);
}

/* Kills each life at a random moment, from before its first command to well into the drain. The
 * list is filled up whenever it runs dry, so that every kill comes while jobs drain. Returns how
 * many were pushed. */
static unsigned kill_while_draining(struct scene *s, unsigned kills)
{
    unsigned pushed = 0;
    for (unsigned i = 0; i < kills; i++) {
        if (ask_int(s, "LLEN queue") < 20000 / SLOWNESS) {
            push_null_jobs(s, 100000 / SLOWNESS);
            pushed += 100000 / SLOWNESS;
        }
        if (i % 2)
            scene_again(s);
        else
            daemon_start(s->daemon);
        random_moment(i % 2 ? 60000 : 30000);
        daemon_kill(s->daemon);
    }
    return pushed;
}

static void killed_at_random_while_null_jobs_drain_loses_none(void **state)
{
    struct scene *s = *state;
    unsigned kills = (unsigned)scene_number("E2E_KILLS", scene_long() ? 500 : 40);
    char *text = scene_conf(s, "concurrency = 2000; " ONE("null", "max_recoveries = 1000000;"));
    daemon_configure(s->daemon, text);
    free(text);
    unsigned pushed = kill_while_draining(s, kills);
    scene_again(s);
    scene_await(s, 4 * LIMIT_MS, ask_int(s, "LLEN queue") == 0 && claimed(s, "queue") == 0);
    stop_and_assert_rest(s);
    /* Each job is settled once, however often it was started. */
    assert_int_equal(stat_of(s, "queue", "done"), pushed);
    assert_int_equal(stat_of(s, "queue", "dead"), 0);
}

/* Jobs that are told apart -----------------------------------------------------------------------
 */

static void each_numbered_job_is_done_and_few_twice(void **state)
{
    struct scene *s = *state;
    const unsigned jobs = 6000, slots = 20, kills = scene_long() ? 200 : 25;
    char *text = scene_conf(s, "concurrency = 20; " ONE("sleep", "max_recoveries = 1000000;"));
    daemon_configure(s->daemon, text);
    free(text);
    push_numbers(s, "queue", "0.00", 0, jobs); /* up to 10 ms */
    for (unsigned i = 0; i < kills; i++) {
        daemon_start(s->daemon);
        random_moment(80000);
        daemon_kill(s->daemon);
    }
    scene_again(s);
    scene_await(s, 2 * LIMIT_MS, printed(s, "Done", "0.00", jobs).distinct == jobs);
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 0);
    stop_and_assert_rest(s);
    assert_int_equal(stat_of(s, "queue", "done"), jobs);
    assert_in_range(printed(s, "Done", "0.00", jobs).total, jobs, jobs + kills * slots);
}

/* Fifty jobs of ten minutes ----------------------------------------------------------------------
 */

#define FIFTY \
    "concurrency = 50; lease = 15.0; " ONE("sleep", "timeout = 3600.0; max_recoveries = 1000000;")

static bool all_are_there_once(struct scene *s, unsigned jobs)
{
    struct tally t = held(s, "queue", "600.", jobs);
    return t.distinct == jobs && t.total == jobs;
}

static void the_payloads_in_redis_are_those_that_were_pushed_after_each_kill(void **state)
{
    struct scene *s = *state;
    unsigned kills = scene_long() ? 200 : 20;
    push_numbers(s, "queue", "600.", 0, 80);
    scene_start(s, FIFTY);
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", 80).distinct == 50);
    for (unsigned i = 0; i < kills; i++) {
        daemon_kill(s->daemon);
        scene_hold(s, 20, all_are_there_once(s, 80)); /* also while what was under way arrives */
        daemon_start(s->daemon);
        random_moment(100000);
        scene_check(s, all_are_there_once(s, 80)); /* and at any moment of the restart */
    }
    unsigned before = printed(s, "Waiting", "600.", 80).total;
    daemon_kill(s->daemon);
    scene_again(s);
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", 80).total == before + 50);
    assert_int_equal(claimed(s, "queue"), 50);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 80);
    assert_true(all_are_there_once(s, 80));
    assert_int_equal(ask_int(s, "DEL queue"), 1);
    assert_string_equal(left_over(s), "");
}

static void a_restart_takes_its_jobs_back_within_a_second(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "600.", 0, 50);
    scene_start(s, FIFTY);
    for (unsigned life = 1; life <= 5; life++) {
        scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", 50).total == 50 * life);
        daemon_kill(s->daemon);
        int64_t start = clock_now_ms();
        daemon_start(s->daemon);
        scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", 50).total == 50 * (life + 1));
        assert_in_range(clock_now_ms() - start, 0, WITHIN(1000));
    }
    assert_int_equal(printed(s, "Waiting", "600.", 50).most, 6); /* each once a life */
    assert_int_equal(stat_of(s, "queue", "recovered"), 250);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_true(all_are_there_once(s, 50));
}

static void a_restart_takes_ten_thousand_jobs_back_within_a_second(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "600.", 0, MANY);
    scene_start(s, "concurrency = 10000; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", MANY).distinct == MANY);
    daemon_kill(s->daemon);
    int64_t start = clock_now_ms();
    daemon_start(s->daemon);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "recovered") == MANY);
    assert_in_range(clock_now_ms() - start, 0, WITHIN(1000));
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", MANY).total == 2 * MANY);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_true(all_are_there_once(s, MANY));
}

/* Each comes by itself, to a pop. */
static void hold_batches_of_one(struct scene *s, unsigned jobs)
{
    scene_start(s, "concurrency = 10000; " ONE("sleep", "max_recoveries = 1000;"));
    for (unsigned i = 0; i < jobs; i++) {
        push_numbers(s, "queue", "600.", i, 1);
        for (int64_t end = clock_now_ms() + LIMIT_MS; ask_int(s, "LLEN queue");)
            scene_check(s, clock_now_ms() < end);
    }
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", jobs).distinct == jobs);
    assert_in_range(ask_int(s, "HLEN rpopd:{queue}:batches"), jobs / 2, jobs);
}

/* As many takes as jobs. */
static void so_it_does_with_batches_of_one_job(void **state)
{
    struct scene *s = *state;
    const unsigned jobs = MANY / 4;
    hold_batches_of_one(s, jobs);
    daemon_kill(s->daemon);
    int64_t start = clock_now_ms();
    daemon_start(s->daemon);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "recovered") == jobs);
    assert_in_range(clock_now_ms() - start, 0, WITHIN(1000));
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", jobs).total == 2 * jobs);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_true(all_are_there_once(s, jobs));
}

/* Every answer takes 60 ms: batch by batch, what is asked of 300 would take at least nine seconds
 * (150 batches), eighteen rather. */
static void what_is_asked_of_many_batches_is_asked_at_once(void **state)
{
    struct scene *s = *state;
    const unsigned jobs = 300, slow = 60;
    s->proxy = proxy_new(s->folder, redis_server_socket(s->redis));
    (void)snprintf(s->url, sizeof s->url, "%s", proxy_url(s->proxy));
    hold_batches_of_one(s, jobs);
    int64_t one_by_one = ask_int(s, "HLEN rpopd:{queue}:batches") * slow;
    (void)proxy_arm(s->proxy, "slow %u", slow);
    daemon_kill(s->daemon);
    int64_t start = clock_now_ms();
    daemon_start(s->daemon);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "recovered") == jobs);
    assert_in_range(clock_now_ms() - start, 0, one_by_one - 1);
    (void)proxy_arm(s->proxy, "none");
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", jobs).total == 2 * jobs);

    (void)proxy_arm(s->proxy, "slow %u", slow);
    (void)ask_int(s, "CLIENT KILL TYPE normal SKIPME yes");
    start = clock_now_ms();
    push(s, "queue", "0.01"); /* fresh: it is claimed once the comparison is over */
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.01") == 1);
    assert_in_range(clock_now_ms() - start, 0, one_by_one - 1);
    (void)proxy_arm(s->proxy, "none");
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_true(all_are_there_once(s, jobs));
}

/* Of the takes that are out at once some have run, one has and its answer is lost, others are not
 * even read. */
static void a_cut_among_many_takes_loses_and_doubles_none(void **state)
{
    static const char *const ways[] = {"cut-before", "cut-after", "late", "error"};
    struct scene *s = *state;
    const unsigned jobs = 60;
    s->proxy = proxy_new(s->folder, redis_server_socket(s->redis));
    (void)snprintf(s->url, sizeof s->url, "%s", proxy_url(s->proxy));
    hold_batches_of_one(s, jobs);
    for (unsigned i = 0; i < 4; i++) {
        daemon_kill(s->daemon);
        (void)proxy_arm(s->proxy, "match :inflight:e2e:");
        (void)proxy_arm(s->proxy, "%s 20 %s", ways[i], i == 3 ? "LOADING it reads" : "3");
        daemon_start(s->daemon);
        scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", jobs).total == (i + 2) * jobs);
        assert_int_equal(proxy_arm(s->proxy, "none").hits, 1);
        assert_int_equal(printed(s, "Waiting", "600.", jobs).most, i + 2); /* each once a life */
        assert_int_equal(claimed(s, "queue"), jobs);
    }
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_true(all_are_there_once(s, jobs));
}

static bool runs_at_most(struct scene *s, const char *prefix, unsigned jobs, unsigned dead,
                         unsigned slots)
{
    unsigned ended = printed(s, "Done", prefix, jobs).total;
    return printed(s, "Waiting", prefix, jobs).total - dead - ended <= slots;
}

static void a_smaller_restart_runs_what_a_larger_life_had_claimed(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "0.5", 0, 40);
    scene_start(s, "concurrency = 40; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "0.5", 40).distinct == 40);
    daemon_kill(s->daemon);
    scene_start(s, "concurrency = 7; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS,
                stat_of(s, "queue", "done") == 40 || !runs_at_most(s, "0.5", 40, 40, 7));
    scene_check(s, stat_of(s, "queue", "done") == 40);
    stop_and_assert_rest(s);
    assert_int_equal(printed(s, "Done", "0.5", 40).total, 40);
}

static void what_was_settled_before_the_kill_is_not_run_again(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "600.", 0, 5);
    push_numbers(s, "queue", "0.01", 0, 30);
    scene_start(s, "concurrency = 50; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 30);
    daemon_kill(s->daemon);
    scene_again(s);
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", 5).most == 2);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(printed(s, "Waiting", "0.01", 30).most, 1);
    assert_int_equal(stat_of(s, "queue", "recovered"), 5);
    assert_int_equal(ask_int(s, "LLEN queue"), 5);
}

static void killed_with_a_pop_out_strands_no_job(void **state)
{
    struct scene *s = *state;
    unsigned lives = scene_long() ? 100 : 15;
    char *text = scene_conf(s, ONE("sleep", ""));
    daemon_configure(s->daemon, text);
    free(text);
    for (unsigned i = 0; i < lives; i++) {
        char payload[32];
        scene_again(s);
        random_moment(20000);
        daemon_signal(s->daemon, SIGKILL); /* not reaped yet: the push races with its end */
        (void)snprintf(payload, sizeof payload, "0.00%06u", i);
        push(s, "queue", payload);
        daemon_kill(s->daemon);
    }
    scene_again(s);
    scene_await(s, LIMIT_MS, printed(s, "Done", "0.00", lives).distinct == lives);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == lives);
    stop_and_assert_rest(s);
}

static void what_lies_in_passage_at_the_start_is_run(void **state)
{
    struct scene *s = *state;
    assert_int_equal(ask_int(s, "RPUSH rpopd:{queue}:popped 0.01 0.02 0.03"), 3);
    scene_start(s, ONE("sleep", ""));
    scene_await(s, WITHIN(3000),
                stat_of(s, "queue", "done") == 3); /* by the first look, or the next */
    assert_int_equal(daemon_printed(s->daemon, "Done 0.01"), 1);
    assert_int_equal(daemon_printed(s->daemon, "Done 0.03"), 1);
    stop_and_assert_rest(s);
}

static void killed_while_it_gives_back_loses_none(void **state)
{
    struct scene *s = *state;
    unsigned lives = scene_long() ? 60 : 12;
    char *text = scene_conf(s, "concurrency = 3000; shutdown_timeout = 0.0; " ONE(
                                   "sleep", "max_recoveries = 1000000;"));
    daemon_configure(s->daemon, text);
    free(text);
    push_numbers(s, "queue", "600.", 0, 3000);
    for (unsigned i = 0; i < lives; i++) {
        scene_again(s);
        scene_await(s, LIMIT_MS, claimed(s, "queue") > 0);
        random_moment(50000);
        daemon_signal(s->daemon, SIGTERM);
        random_moment(20000);
        daemon_kill(s->daemon);
        scene_hold(s, 10, all_are_there_once(s, 3000));
    }
    scene_again(s);
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 3000);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_true(all_are_there_once(s, 3000));
    assert_int_equal(ask_int(s, "LLEN queue"), 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(killed_at_random_while_null_jobs_drain_loses_none),
        SCENE(each_numbered_job_is_done_and_few_twice),
        SCENE(the_payloads_in_redis_are_those_that_were_pushed_after_each_kill),
        SCENE(a_restart_takes_its_jobs_back_within_a_second),
        SCENE(a_restart_takes_ten_thousand_jobs_back_within_a_second),
        SCENE(so_it_does_with_batches_of_one_job),
        SCENE(what_is_asked_of_many_batches_is_asked_at_once),
        SCENE(a_cut_among_many_takes_loses_and_doubles_none),
        SCENE(a_smaller_restart_runs_what_a_larger_life_had_claimed),
        SCENE(what_was_settled_before_the_kill_is_not_run_again),
        SCENE(killed_with_a_pop_out_strands_no_job),
        SCENE(what_lies_in_passage_at_the_start_is_run),
        SCENE(killed_while_it_gives_back_loses_none),
    };
    return scene_run(tests);
}
