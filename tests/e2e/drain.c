#include "tests/e2e/drain.h"

static unsigned expected; /* one drain at a time, as one test at a time */

void drain_with(struct scene *s, unsigned jobs, const char *settings)
{
    char text[512];
    expected = jobs;
    push_numbers(s, "queue", DRAIN_PREFIX, 0, jobs);
    (void)snprintf(text, sizeof text, "%s " ONE("sleep", ""), settings);
    scene_start(s, text);
}

void drain_begin(struct scene *s, unsigned jobs, unsigned concurrency)
{
    char settings[64];
    (void)snprintf(settings, sizeof settings, "concurrency = %u;", concurrency);
    drain_with(s, jobs, settings);
}

void drain_reach(struct scene *s, unsigned jobs)
{
    scene_await(s, LIMIT_MS, printed(s, "Done", DRAIN_PREFIX, expected).distinct >= jobs);
    scene_check(s, daemon_alive(s->daemon));
}

void drain_heals(struct scene *s)
{
    drain_heals_within(s, 6000);
}

void drain_heals_within(struct scene *s, int64_t ms)
{
    unsigned before = printed(s, "Done", DRAIN_PREFIX, expected).distinct;
    int64_t healed = clock_now_ms();
    drain_reach(s, before < expected ? before + 1 : expected);
    assert_in_range(clock_now_ms() - healed, 0, WITHIN(ms));
}

void drain_end(struct scene *s)
{
    drain_reach(s, expected);
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(printed(s, "Done", DRAIN_PREFIX, expected).total, expected);
    assert_int_equal(stat_of(s, "queue", "done"), expected);
    assert_string_equal(left_over(s), "");
}
