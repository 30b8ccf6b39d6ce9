/* What it costs to do nothing: few wake-ups, no CPU, no descriptor that stays behind. */
#include "tests/e2e/scene.h"

static void an_idle_daemon_sleeps(struct scene *s, const char *conf, int64_t for_ms)
{
    scene_start(s, conf);
    push(s, "queue", "0.001");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    struct daemon_usage before = daemon_usage(s->daemon);
    int64_t end = clock_now_ms() + for_ms;
    scene_await(s, for_ms + LIMIT_MS, clock_now_ms() >= end);
    struct daemon_usage after = daemon_usage(s->daemon);
    int64_t wake_ups = (after.switches - before.switches) * 1000 / for_ms,
            cpu = after.cpu_us - before.cpu_us;
    print_message("# %lld wake-ups a second, %lld us of CPU in %lld ms\n", (long long)wake_ups,
                  (long long)cpu, (long long)for_ms);
    assert_in_range(wake_ups, 0, 8);
    assert_in_range(cpu, 0, for_ms * 10 * SLOWNESS); /* a hundredth */
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void ten_seconds_of_nothing(void **state)
{
    an_idle_daemon_sleeps(*state, ONE("sleep", ""), 10000);
}

static void four_workers_wake_no_more_often(void **state)
{
    an_idle_daemon_sleeps(*state, "workers = 4; " ONE("sleep", ""), 3000);
}

/* Beats and looks of all of them travel together; nothing else is asked. */
static void a_thousand_queues_cost_next_to_nothing(void **state)
{
    struct scene *s = *state;
    char *conf = scene_queues(1000, "");
    scene_start(s, conf);
    free(conf);
    scene_await(s, LIMIT_MS,
                ask_int(s, "EVAL %s 0", "return #redis.call('KEYS', 'rpopd:*:owner:*')") == 1000);
    int64_t from = clock_now_ms() + 2000, end = from + 10000;
    scene_await(s, 2LL * LIMIT_MS, clock_now_ms() >= from);
    struct daemon_usage before = daemon_usage(s->daemon);
    scene_await(s, 2LL * LIMIT_MS, clock_now_ms() >= end);
    struct daemon_usage after = daemon_usage(s->daemon);
    print_message("# %lld sleeps, %lld us of CPU in 10 s, %lld kB, %d descriptors\n",
                  (long long)(after.switches - before.switches),
                  (long long)(after.cpu_us - before.cpu_us), (long long)after.rss_kb, after.fds);
    assert_in_range(after.cpu_us - before.cpu_us, 0,
                    200000); /* a fiftieth; a three-hundredth is usual */
    assert_in_range(after.fds, 0, 40);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static long long number_behind(const char *text, const char *name)
{
    const char *at = text ? strstr(text, name) : NULL;
    return at ? atoll(at + strlen(name)) : 0;
}

/* Each waits as many seconds as there are pops out: together one ends in a second, and no more. */
static void the_pops_of_sixty_queues_last_for_a_minute(void **state)
{
    struct scene *s = *state;
    char *conf = scene_queues(60, "");
    scene_start(s, conf);
    free(conf);
    scene_await(s, LIMIT_MS, number_behind(ask_text(s, "INFO clients"), "blocked_clients:") == 60);
    (void)ask_text(s, "CONFIG RESETSTAT");
    int64_t end = clock_now_ms() + 6000;
    scene_await(s, LIMIT_MS, clock_now_ms() >= end);
    assert_in_range(number_behind(ask_text(s, "INFO commandstats"), "cmdstat_blmove:calls="), 0,
                    20);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void jobs_that_sleep_cost_nothing(void **state)
{
    struct scene *s = *state;
    scene_start(s, "concurrency = 1000; " ONE("sleep", ""));
    push_numbers(s, "queue", "600.", 0, 1000);
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", 1000).distinct == 1000);
    int64_t settled = clock_now_ms() + 500;
    scene_await(s, LIMIT_MS, clock_now_ms() > settled);
    struct daemon_usage before = daemon_usage(s->daemon);
    scene_hold(s, 3000, daemon_alive(s->daemon));
    assert_in_range(daemon_usage(s->daemon).cpu_us - before.cpu_us, 0, 60000 * SLOWNESS);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
}

static void descriptors_do_not_grow_with_reconnects(void **state)
{
    struct scene *s = *state;
    const unsigned wanted = scene_long() ? 1000 : 200;
    unsigned links = 0;
    scene_start(s, ONE("sleep", ""));
    push(s, "queue", "0.5");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    int before = daemon_usage(s->daemon).fds;
    for (unsigned i = 0; links < wanted; i++) {
        char payload[32], line[48];
        links += (unsigned)ask_int(s, "CLIENT KILL TYPE normal SKIPME yes");
        (void)snprintf(payload, sizeof payload, "0.00%06u", i);
        (void)snprintf(line, sizeof line, "Done %s", payload);
        push(s, "queue", payload);
        scene_await(s, LIMIT_MS, daemon_printed(s->daemon, line) == 1);
    }
    scene_await(s, LIMIT_MS, daemon_usage(s->daemon).fds <= before);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void memory_does_not_grow_with_jobs(void **state)
{
    struct scene *s = *state;
    const unsigned rounds = scene_long() ? 20 : 4;
    static const char script[] =
        "for i = 1, ARGV[1] do redis.call('LPUSH', KEYS[1], 'a payload of 16 B') end return 1";
    scene_start(s, "concurrency = 1000; " ONE("null", ""));
    int64_t first = 0;
    for (unsigned i = 1; i <= rounds; i++) {
        assert_int_equal(ask_int(s, "EVAL %s 1 queue 100000", script), 1);
        scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 100000LL * i);
        if (i == 1)
            first = daemon_usage(s->daemon).peak_kb;
    }
    if (SLOWNESS == 1) /* a sanitizer keeps what was freed */
        assert_in_range(daemon_usage(s->daemon).peak_kb - first, 0, 4096);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(ten_seconds_of_nothing),
        SCENE(four_workers_wake_no_more_often),
        SCENE(a_thousand_queues_cost_next_to_nothing),
        SCENE(the_pops_of_sixty_queues_last_for_a_minute),
        SCENE(jobs_that_sleep_cost_nothing),
        SCENE(descriptors_do_not_grow_with_reconnects),
        SCENE(memory_does_not_grow_with_jobs),
    };
    return scene_run(tests);
}
