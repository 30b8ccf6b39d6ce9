/* The same faults with records in flight: beside jobs that are done there are jobs whose every try
 * fails. Each of those is dead once, with as many tries as it was allowed, and nothing is left. */
#include "tests/e2e/scene.h"

#include "tests/e2e/proxy.h"

#define GOOD "0.010" /* ten milliseconds */
#define BAD "600."   /* longer than the time limit */
#define TRIES 3
#define TRYING                                                             \
    ONE("sleep", "timeout = 0.2; attempts = 3; max_recoveries = 1000000; " \
                 "backoff: { base = 0.05; factor = 1.0; jitter = 0.0; };")
#define CONF "lease = 3.0; concurrency = 40; " TRYING

struct load {
    unsigned good, bad;
};

static void begin(struct scene *s, struct load l)
{
    push_numbers(s, "queue", BAD, 0, l.bad);
    push_numbers(s, "queue", GOOD, 0, l.good);
    scene_start(s, CONF);
}

static bool over(struct scene *s, struct load l)
{
    return stat_of(s, "queue", "dead") >= l.bad && stat_of(s, "queue", "done") >= l.good;
}

/* So many came to an end, or all. */
static void reach(struct scene *s, struct load l, unsigned ended)
{
    scene_await(s, LIMIT_MS,
                over(s, l) || stat_of(s, "queue", "dead") + stat_of(s, "queue", "done") >= ended);
}

/* Dead letters with as many tries as are allowed; of different payloads. */
static long long well_dead(struct scene *s)
{
    static const char script[] =
        "local seen, n = {}, 0 for _, r in ipairs(redis.call('ZRANGE', 'rpopd:{queue}:dead', 0, "
        "-1)) "
        "do local tries, payload = string.match(r, '^%S+ 1 (%d+) [^\\n]*\\n(.*)$') "
        "if tries == ARGV[1] and not seen[payload] then n = n + 1 seen[payload] = true end end "
        "return n";
    return ask_int(s, "EVAL %s 0 %d", script, TRIES);
}

/* Neither daemon died: nothing ran more often than it had to. */
static void end(struct scene *s, struct load l)
{
    scene_await(s, 2 * LIMIT_MS, over(s, l));
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS rpopd:{queue}:batches") == 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(printed(s, "Done", GOOD, l.good).distinct, l.good);
    assert_int_equal(printed(s, "Done", GOOD, l.good).total, l.good);
    assert_int_equal(printed(s, "Waiting", BAD, l.bad).distinct, l.bad);
    assert_int_equal(printed(s, "Waiting", BAD, l.bad).most, TRIES);
    assert_int_equal(stat_of(s, "queue", "done"), l.good);
    assert_int_equal(stat_of(s, "queue", "dead"), l.bad);
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:dead"), l.bad);
    assert_int_equal(well_dead(s), l.bad);
    scene_check(s, stat_of(s, "queue", "lost") == 0);
    assert_int_equal(daemon_logged(s->daemon, "event=batch-vanished"), 0);
    assert_string_equal(left_over(s), "");
}

/* Links, scripts, servers ------------------------------------------------------------------------
 */

static void every_link_killed_again_and_again(void **state)
{
    struct scene *s = *state;
    const struct load l = {.good = 600, .bad = 60};
    begin(s, l);
    for (unsigned i = 1; i <= 20; i++) {
        reach(s, l, 30 * i);
        (void)ask_int(s, "CLIENT KILL TYPE normal SKIPME yes");
    }
    end(s, l);
}

static void scripts_flushed_again_and_again(void **state)
{
    struct scene *s = *state;
    const struct load l = {.good = 600, .bad = 60};
    begin(s, l);
    for (unsigned i = 1; i <= 20; i++) {
        reach(s, l, 30 * i);
        assert_int_equal(ask_int(s, "SCRIPT FLUSH"), 1);
    }
    end(s, l);
}

static void redis_killed_again_and_again(void **state)
{
    struct scene *s = *state;
    const struct load l = {.good = 600, .bad = 60};
    begin(s, l);
    for (unsigned i = 1; i <= 6; i++) {
        reach(s, l, 90 * i);
        assert_int_equal(redis_server_restart(s->redis, true), 0);
    }
    end(s, l);
}

/* Each command -----------------------------------------------------------------------------------
 */

#define FEW ((struct load){.good = 2, .bad = 1})

struct way {
    const char *kind, *arg;
};

static unsigned broken_at(struct scene *s, const struct way *w, unsigned at)
{
    scene_fresh(s);
    (void)proxy_arm(s->proxy, "%s %u %s", w->kind, at, w->arg);
    print_message("# %s %u\n", w->kind, at);
    push_numbers(s, "queue", BAD, 0, FEW.bad);
    push_numbers(s, "queue", GOOD, 0, FEW.good);
    scene_launch(s, CONF);
    end(s, FEW);
    return proxy_arm(s->proxy, "none").commands;
}

/* In one of the ways, or in the long form in each of them. */
static void broken_at_each_command(void **state)
{
    static const struct way ways[] = {
        {"cut-before", ""},
        {"cut-after", ""},
        {"half", ""},
        {"late", "4"},
        {"error", "OOM command not allowed when used memory > 'maxmemory'."}};
    const unsigned n = sizeof ways / sizeof *ways, step = scene_long() ? 1 : 3;
    struct scene *s = *state;
    s->proxy = proxy_new(s->folder, redis_server_socket(s->redis));
    (void)snprintf(s->url, sizeof s->url, "%s", proxy_url(s->proxy));
    s->redis_more = "command_timeout = 0.5; connect_timeout = 0.5;";
    unsigned commands = broken_at(s, &(struct way){"none", ""}, 0), first = scene_random(n * step);
    for (unsigned at = 1; at <= commands; at++)
        for (unsigned k = 0; k < n; k++)
            if (scene_long() || (at % step == first % step && (at / step + first) % n == k))
                (void)broken_at(s, &ways[k], at);
}

/* Deaths -----------------------------------------------------------------------------------------
 */

/* A second daemon has what the first one held, retries too; no try of the dead one counts. */
static void adopted_with_tries_in_flight(void **state)
{
    struct scene *s = *state;
    const struct load l = {.good = 600, .bad = 120};
    begin(s, l);
    scene_second(s, "other", CONF);
    reach(s, l, 200);
    daemon_kill(s->daemon);
    unsigned in_flight = (unsigned)claimed(s, "queue");
    scene_await(s, LIMIT_MS, over(s, l));
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS rpopd:{queue}:batches") == 0);
    assert_int_equal(daemon_stop(s->second, SIGTERM, LIMIT_MS), 0);
    struct tally good = printed_by_both(s, "Done", GOOD, l.good),
                 bad = printed_by_both(s, "Waiting", BAD, l.bad);
    assert_int_equal(good.distinct, l.good);
    assert_in_range(good.total, l.good, l.good + in_flight);
    assert_int_equal(bad.distinct, l.bad);
    assert_in_range(bad.most, TRIES, TRIES + 1);
    assert_int_equal(stat_of(s, "queue", "done"), l.good);
    assert_int_equal(stat_of(s, "queue", "dead"), l.bad);
    assert_int_equal(well_dead(s), l.bad);
    assert_int_equal(ask_int(s, "EXISTS rpopd:{queue}:retry queue"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(every_link_killed_again_and_again), SCENE(scripts_flushed_again_and_again),
        DURABLE(redis_killed_again_and_again),    SCENE(broken_at_each_command),
        SCENE(adopted_with_tries_in_flight),
    };
    return scene_run(tests);
}
