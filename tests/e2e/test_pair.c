/* Two daemons with names of their own share one drain, and something happens to one of them or to
 * Redis beneath both: each job is done, none is settled twice, nobody who lives is taken for dead.
 */
#include "tests/e2e/scene.h"

#include "tests/e2e/proxy.h"

#define JOBS_CONF "concurrency = 20; " ONE("sleep", "max_recoveries = 1000000;")
#define CONF "lease = 3.0; " JOBS_CONF  /* a machine that stands still for a second is no death */
#define QUICK "lease = 1.0; " JOBS_CONF /* for a daemon that is alone */
#define PREFIX "0.010"                  /* ten milliseconds */

/* Both at one list -------------------------------------------------------------------------------
 */

static void both(struct scene *s, unsigned jobs)
{
    push_numbers(s, "queue", PREFIX, 0, jobs);
    scene_start(s, CONF);
    scene_second(s, "other", CONF);
}

/* So many were done, or all that there were. */
static void reach(struct scene *s, unsigned done)
{
    scene_await(s, LIMIT_MS,
                stat_of(s, "queue", "done") >= done ||
                    (ask_int(s, "LLEN queue") == 0 && claimed(s, "queue") == 0));
}

static bool drained(struct scene *s, unsigned jobs)
{
    return printed_by_both(s, "Done", PREFIX, jobs).distinct == jobs && claimed(s, "queue") == 0;
}

/* Doubles: as many as the dead had in flight. */
static void end_of_both(struct scene *s, unsigned jobs, unsigned doubles)
{
    scene_await(s, 2 * LIMIT_MS, drained(s, jobs));
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS rpopd:{queue}:batches") == 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_stop(s->second, SIGTERM, LIMIT_MS), 0);
    assert_in_range(printed_by_both(s, "Done", PREFIX, jobs).total, jobs, jobs + doubles);
    assert_int_equal(stat_of(s, "queue", "done"), jobs);
    assert_string_equal(left_over(s), "");
}

static unsigned fenced(struct scene *s)
{
    return daemon_logged(s->daemon, "event=instance-fenced") +
           daemon_logged(s->second, "event=instance-fenced") +
           daemon_logged(s->daemon, "event=epoch-lost") +
           daemon_logged(s->second, "event=epoch-lost");
}

/* Deaths -----------------------------------------------------------------------------------------
 */

/* Until it is registered: who is told to end before that leaves its former life's owner key. */
static void come_back(struct scene *s, const struct daemon *d)
{
    if (d == s->daemon)
        scene_again(s);
    else
        scene_second(s, "other", CONF);
}

/* Each in turn is killed; it comes at once, or when the other has its jobs. */
static void killed_in_turn_in_one_drain(void **state)
{
    struct scene *s = *state;
    const unsigned kills = scene_long() ? 100 : 8, jobs = 300 * kills;
    unsigned doubles = 0;
    both(s, jobs);
    for (unsigned i = 1; i <= kills; i++) {
        struct daemon *d = i % 2 ? s->daemon : s->second;
        const char *name = i % 2 ? "e2e" : "other";
        reach(s, 200 * i);
        daemon_kill(d);
        doubles += (unsigned)claimed_by(s, "queue", name);
        if (i % 6 == 0)
            scene_await(s, LIMIT_MS, ask_int(s, "EXISTS rpopd:{queue}:owner:%s", name) == 0);
        if (i + 2 <= kills)
            daemon_start(d);
        else
            come_back(s, d);
    }
    end_of_both(s, jobs, doubles);
}

static void both_killed_at_once_and_one_comes_back(void **state)
{
    struct scene *s = *state;
    both(s, 1000);
    reach(s, 200);
    daemon_kill(s->daemon);
    daemon_kill(s->second);
    unsigned doubles = (unsigned)claimed(s, "queue");
    scene_again(s);
    scene_await(s, LIMIT_MS, ask_int(s, "LLEN queue") == 0 && claimed(s, "queue") == 0);
    come_back(s, s->second);
    end_of_both(s, 1000, doubles);
}

static bool all_held_once(struct scene *s, unsigned jobs)
{
    struct tally t = held(s, "queue", "600.", jobs);
    return t.distinct == jobs && t.total == jobs;
}

static long long batches_of_the_dead(struct scene *s)
{
    static const char script[] =
        "local n = 0 for _, f in ipairs(redis.call('HKEYS', 'rpopd:{queue}:batches')) do "
        "if string.find(f, 'e2e:', 1, true) == 1 then n = n + 1 end end return n";
    return ask_int(s, "EVAL %s 0", script);
}

static unsigned started(struct scene *s, unsigned jobs)
{
    return printed_by_both(s, "Waiting", "600.", jobs).total;
}

struct way {
    const char *kind, *arg;
};

/* The adopter, over the proxy; `at` counts only what it sends about the dead one: its fence, its
 * take. In the end it runs all, and what was cut runs nothing twice. Returns whether it came so
 * far. */
static bool adopter_broken_at(struct scene *s, const struct way *w, unsigned at, unsigned jobs)
{
    unsigned before = started(s, jobs);
    (void)proxy_arm(s->proxy, "match e2e");
    (void)proxy_arm(s->proxy, "%s %u %s", w->kind, at, w->arg);
    daemon_start(s->second);
    scene_await(s, LIMIT_MS, !daemon_alive(s->second) || started(s, jobs) == before + jobs);
    scene_check(s, all_held_once(s, jobs));
    bool hit = proxy_arm(s->proxy, "none").hits > 0;
    if (strncmp(w->kind, "kill", 4) == 0 && hit) {
        scene_check(s, daemon_wait(s->second, LIMIT_MS) == 128 + SIGKILL);
        before = started(s, jobs);
        daemon_start(s->second);
    }
    scene_await(s, LIMIT_MS, started(s, jobs) == before + jobs);
    scene_check(s, all_held_once(s, jobs));
    assert_int_equal(batches_of_the_dead(s), 0);
    return hit;
}

static void configure_adopter(struct scene *s)
{
    s->proxy = proxy_new(s->folder, redis_server_socket(s->redis));
    s->second = daemon_new(s->folder, "other");
    s->instance = "other";
    (void)snprintf(s->url, sizeof s->url, "%s", proxy_url(s->proxy));
    char *text = scene_conf(s, QUICK);
    daemon_configure(s->second, text);
    free(text);
    s->instance = "e2e";
    (void)snprintf(s->url, sizeof s->url, "%s", redis_server_url(s->redis));
}

/* On the way to the fence, between fence and take, behind it: it goes on, or its next life does. */
static void the_adopter_cut_or_killed_at_each_step(void **state)
{
    static const struct way ways[] = {{"kill-before", ""},
                                      {"cut-before", ""},
                                      {"kill-after", ""},
                                      {"cut-after", ""},
                                      {"late", "2"}};
    const unsigned n = sizeof ways / sizeof *ways;
    struct scene *s = *state;
    const unsigned jobs = 5, first = scene_random(n);
    unsigned at = 0;
    configure_adopter(s);
    for (bool more = true; more;) {
        at++;
        assert_int_equal(ask_int(s, "FLUSHALL"), 1);
        push_numbers(s, "queue", "600.", 0, jobs);
        scene_start(s, QUICK);
        scene_await(s, LIMIT_MS, claimed(s, "queue") == jobs);
        daemon_kill(s->daemon);
        more = adopter_broken_at(s, &ways[(at + first) % n], at, jobs);
        scene_stop_second(s, SIGQUIT);
        assert_int_equal(ask_int(s, "LLEN queue"), jobs);
        assert_int_equal(ask_int(s, "DEL queue"), 1);
        assert_string_equal(left_over(s), "");
    }
    print_message("# broken at each of %u commands about the dead one\n", at - 1);
    assert_true(at > 2);
}

/* A sleeper --------------------------------------------------------------------------------------
 */

#define FROZEN 1000
#define MANY_SLOTS "lease = 3.0; concurrency = 1000; " ONE("sleep", "max_recoveries = 1000000;")

static void a_thousand_jobs_of_a_frozen_owner(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "600.", 0, FROZEN);
    scene_start(s, MANY_SLOTS);
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", FROZEN).distinct == FROZEN);
    scene_second(s, "other", MANY_SLOTS);
    daemon_signal(s->daemon, SIGSTOP);
    scene_await(s, LIMIT_MS, printed_by_both(s, "Waiting", "600.", FROZEN).total == 2 * FROZEN);
    daemon_signal(s->daemon, SIGCONT);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "lost") == FROZEN);
    assert_int_equal(daemon_logged(s->daemon, "event=epoch-lost"), 1);
    assert_int_equal(claimed(s, "queue"), FROZEN); /* the other's */
    scene_stop_second(s, SIGQUIT);
    /* It lives on, under a new epoch, and may have them again. */
    scene_await(s, LIMIT_MS, printed_by_both(s, "Waiting", "600.", FROZEN).total == 3 * FROZEN);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_true(all_held_once(s, FROZEN));
    assert_int_equal(ask_int(s, "LLEN queue"), FROZEN);
    assert_int_equal(printed_by_both(s, "Waiting", "600.", FROZEN).most, 3);
    assert_int_equal(ask_int(s, "DEL queue"), 1);
    assert_string_equal(left_over(s), "");
}

/* Redis beneath both ------------------------------------------------------------------------------
 */

static void a_full_redis_is_drained_by_both_and_by_the_survivor(void **state)
{
    struct scene *s = *state;
    const int64_t lease_ms = 3000;
    both(s, 1500);
    reach(s, 100);
    int64_t start = clock_now_ms();
    assert_int_equal(ask_int(s, "CONFIG SET maxmemory 1"), 1);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1500);
    int64_t held_for = scene_long() ? 60000 : lease_ms + lease_ms / 2;
    scene_await(s, 3L * LIMIT_MS, clock_now_ms() - start > held_for);
    assert_int_equal(fenced(s), 0);
    assert_int_equal(ask_int(s, "CONFIG SET maxmemory 0"), 1);
    push_numbers(s, "queue", PREFIX, 1500, 500);
    reach(s, 1600);
    assert_int_equal(ask_int(s, "CONFIG SET maxmemory 1"), 1);
    daemon_kill(s->daemon);
    unsigned doubles = (unsigned)claimed_by(s, "queue", "e2e");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 2000);
    assert_int_equal(ask_int(s, "CONFIG SET maxmemory 0"), 1);
    scene_again(s);
    end_of_both(s, 2000, doubles);
}

static void a_frozen_redis_makes_nobody_dead(void **state)
{
    struct scene *s = *state;
    both(s, 1500);
    for (unsigned i = 1; i <= 2; i++) {
        reach(s, 400 * i);
        redis_server_signal(s->redis, SIGSTOP);
        scene_hold(s, i * 2500, daemon_alive(s->daemon) && daemon_alive(s->second));
        redis_server_signal(s->redis, SIGCONT);
    }
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1500);
    assert_int_equal(fenced(s), 0);
    end_of_both(s, 1500, 0);
}

static void everything_flushed_beneath_both(void **state)
{
    struct scene *s = *state;
    both(s, 400);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(ask_int(s, "FLUSHALL"), 1);
        push_numbers(s, "queue", "0.02", 50 * i, 50);
        scene_await(s, LIMIT_MS, printed_by_both(s, "Done", "0.02", 200).distinct == 50 * (i + 1));
    }
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_stop(s->second, SIGTERM, LIMIT_MS), 0);
    assert_int_equal(printed_by_both(s, "Done", "0.02", 200).most, 1);
    assert_string_equal(left_over(s), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(killed_in_turn_in_one_drain),
        SCENE(both_killed_at_once_and_one_comes_back),
        SCENE(the_adopter_cut_or_killed_at_each_step),
        SCENE(a_thousand_jobs_of_a_frozen_owner),
        SCENE(a_full_redis_is_drained_by_both_and_by_the_survivor),
        SCENE(a_frozen_redis_makes_nobody_dead),
        SCENE(everything_flushed_beneath_both),
    };
    return scene_run(tests);
}
