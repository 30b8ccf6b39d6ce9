/* Clocks that do not go as they should: the host's wall clock jumps, the host sleeps, an hour goes
 * by without Redis. Redis' clock decides when a job is due, the boot clock who may start one. */
#include "tests/e2e/drain.h"

#include "tests/e2e/shaken.h"

#define HOUR_MS 3600000

/* The wall clock --------------------------------------------------------------------------------
 */

static void the_wall_clock_jumps_in_mid_drain(void **state)
{
    static const int64_t jumps[] = {HOUR_MS, -3 * HOUR_MS, 0, -24 * HOUR_MS, 1000LL * HOUR_MS, 0};
    struct scene *s = *state;
    drain_with(s, 1800, "lease = 1.5; concurrency = 20;");
    for (unsigned i = 0; i < sizeof jumps / sizeof *jumps; i++) {
        drain_reach(s, 100 + 280 * i);
        atomic_store(&shaken->wall_ms, jumps[i]);
    }
    drain_end(s);
    assert_int_equal(daemon_logged(s->daemon, "level=warning"), 0);
    assert_int_equal(daemon_logged(s->daemon, "level=error"), 0);
}

static int64_t redis_ms(struct scene *s)
{
    return ask_int(s, "EVAL %s 0",
                   "local t = redis.call('TIME') return t[1] * 1000 + math.floor(t[2] / 1000)");
}

/* A try that failed and a delayed payload come when Redis' clock says so, wherever the host's is.
 */
static void due_by_the_clock_of_redis(struct scene *s, int64_t jump_ms)
{
    const int64_t wait_ms = 2000;
    scene_start(s, ONE("sleep", "timeout = 0.1; attempts = 2; "
                                "backoff: { base = 2.0; factor = 1.0; jitter = 0.0; };"));
    int64_t begin = redis_ms(s);
    assert_int_equal(ask_int(s, "ZADD rpopd:{queue}:delayed %lld 0.05", begin / 1000 + 2), 1);
    push(s, "queue", "600.5");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting 600.5") == 1);
    int64_t failed = redis_ms(s);
    atomic_store(&shaken->wall_ms, jump_ms);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting 600.5") == 2);
    assert_in_range(redis_ms(s) - failed, wait_ms - 10, WITHIN(wait_ms + 1000 + 100));
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.05") == 1);
    assert_in_range(redis_ms(s), (begin / 1000 + 2) * 1000, begin + WITHIN(wait_ms + 1500));
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 1);
    assert_int_equal(ask_int(s, "EVAL %s 0",
                             "return math.abs(redis.call('ZRANGE', 'rpopd:{queue}:dead', 0, 0, "
                             "'WITHSCORES')[2] / 1000 - redis.call('TIME')[1]) < 60 and 1 or 0"),
                     1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void an_hour_ahead_nothing_comes_early(void **state)
{
    due_by_the_clock_of_redis(*state, HOUR_MS);
}

static void three_hours_behind_nothing_stays_away(void **state)
{
    due_by_the_clock_of_redis(*state, -3 * HOUR_MS);
}

/* Sleep -----------------------------------------------------------------------------------------
 */

/* The host wakes from long sleep: it asks before it starts anything, and takes nobody for dead whom
 * it did not see stand still. */
static void the_host_slept_in_mid_drain(void **state)
{
    struct scene *s = *state;
    drain_with(s, 1500, "lease = 3.0; concurrency = 20;");
    scene_second(s, "other", "lease = 3.0; concurrency = 20; " ONE("sleep", ""));
    for (unsigned i = 1; i <= 4; i++) {
        scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") >= 250 * i);
        atomic_store(&shaken->boot_ms, 100000 * i);
        long long done = stat_of(s, "queue", "done");
        int64_t awake = clock_now_ms();
        scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") > done);
        assert_in_range(clock_now_ms() - awake, 0, WITHIN(3000));
    }
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1500);
    scene_hold(s, 1000, daemon_alive(s->daemon) && daemon_alive(s->second));
    assert_int_equal(daemon_logged(s->daemon, "event=instance-fenced"), 0);
    assert_int_equal(daemon_logged(s->second, "event=instance-fenced"), 0);
    assert_int_equal(daemon_logged(s->daemon, "event=epoch-lost"), 0);
    assert_int_equal(daemon_stop(s->second, SIGTERM, LIMIT_MS), 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(printed_by_both(s, "Done", DRAIN_PREFIX, 1500).total, 1500);
    assert_string_equal(left_over(s), "");
}

/* An hour ---------------------------------------------------------------------------------------
 */

#define RUNNING 20

/* It tries all the time, which costs less than a thousandth of a CPU. What runs for longer than
 * half an hour of it is cancelled, said, and runs again. */
static void an_hour_without_redis(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "90000.", 0, RUNNING);
    scene_start(s, ONE("sleep", "timeout = 0.0; max_recoveries = 1000000;"));
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "90000.", RUNNING).distinct == RUNNING);
    struct daemon_usage before = daemon_usage(s->daemon);
    unsigned lines = daemon_log_lines(s->daemon);
    redis_server_kill(s->redis);
    int64_t begin = shaken_now_ms(shaken);
    shaken_pace(shaken, scene_long() ? 100 : 500);
    scene_await(s, 4L * LIMIT_MS, shaken_now_ms(shaken) - begin > HOUR_MS);
    shaken_pace(shaken, 1);
    struct daemon_usage after = daemon_usage(s->daemon);
    print_message("# %lld ms of CPU, %lld KiB more, in an hour\n",
                  (long long)(after.cpu_us - before.cpu_us) / 1000,
                  (long long)(after.rss_kb - before.rss_kb));
    if (SLOWNESS == 1) {
        assert_in_range(after.cpu_us - before.cpu_us, 0, HOUR_MS);
        assert_in_range(after.rss_kb - before.rss_kb + 2048, 0, 4096);
    }
    assert_in_range(after.fds, 1, before.fds);
    assert_int_equal(daemon_logged(s->daemon, "for 30 minutes"), 1);
    assert_in_range(daemon_log_lines(s->daemon) - lines, 2, 4);
    assert_int_equal(redis_server_restart(s->redis, true), 0);
    int64_t back = clock_now_ms();
    push(s, "queue", "0.001");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.001") == 1);
    assert_in_range(clock_now_ms() - back, 0, WITHIN(6000)); /* a pause between two tries is 5 s */
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "90000.", RUNNING).total == 2 * RUNNING + 1);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "lost") == RUNNING);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(held(s, "queue", "90000.", RUNNING).total, RUNNING);
}

int main(void)
{
    scene_program("tests/e2e/rpopd-shaken");
    const struct CMUnitTest tests[] = {
        SHAKEN(the_wall_clock_jumps_in_mid_drain),
        SHAKEN(an_hour_ahead_nothing_comes_early),
        SHAKEN(three_hours_behind_nothing_stays_away),
        SHAKEN(the_host_slept_in_mid_drain),
        SHAKEN(an_hour_without_redis),
    };
    return scene_run(tests);
}
