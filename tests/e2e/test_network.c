/* The network between the daemon and Redis, below the connections: packets that are lost, one way
 * or both, some or all, and a cable that is out. Nobody is told; the kernel's time limits notice
 * it. No job is lost, none is run again. */
#include "tests/e2e/drain.h"

#include "tests/e2e/deaf.h"

#define ALL 100 /* percent */
#define NOTICED_MS 15000
#define BACK_MS 20000

static void over_tcp(struct scene *s)
{
    redis_server_stop(s->redis);
    s->redis = redis_server_start(true, NULL);
    assert_non_null(s->redis);
    (void)snprintf(s->url, sizeof s->url, "%s", redis_server_tcp_url(s->redis));
}

/* What the daemon sends is lost; what is sent to it. New connections fare likewise. */
static void requests_lost(struct scene *s, unsigned percent)
{
    int r = deaf(redis_server_pid(s->redis), redis_server_port(s->redis), percent);
    if (r == -EPERM || r == -ENOSYS)
        skip();
    assert_true(r > 0);
}

/* Noticed by the daemon's own time limits; without this by the kernel's, which takes longer. */
#define IMPATIENT "command_timeout = 1.0; connect_timeout = 1.0;"

static bool answers_lost(struct scene *s, unsigned percent)
{
    return deaf(daemon_pid(s->daemon), redis_server_port(s->redis), percent) >= 0;
}

static void await_noticed(struct scene *s, bool answers_too)
{
    int64_t start = clock_now_ms();
    scene_await(s, LIMIT_MS,
                (!answers_too || answers_lost(s, ALL)) &&
                    daemon_logged(s->daemon, "event=redis-lost") > 0);
    assert_in_range(clock_now_ms() - start, 0, WITHIN(NOTICED_MS));
}

static void requests_lost_in_mid_drain(void **state)
{
    struct scene *s = *state;
    over_tcp(s);
    drain_begin(s, 1000, 20);
    drain_reach(s, 300);
    requests_lost(s, ALL);
    await_noticed(s, false);
    requests_lost(s, 0);
    int64_t healed = clock_now_ms();
    drain_reach(s, 400);
    assert_in_range(clock_now_ms() - healed, 0, WITHIN(BACK_MS));
    drain_end(s);
}

/* They were carried out: what a claim moved is found, what was settled is not settled again. */
static void answers_lost_in_mid_drain(void **state)
{
    struct scene *s = *state;
    over_tcp(s);
    s->redis_more = scene_long() ? "" : IMPATIENT;
    drain_begin(s, 1000, 20);
    drain_reach(s, 300);
    if (!answers_lost(s, ALL))
        skip();
    await_noticed(s, true);
    assert_true(answers_lost(s, 0));
    int64_t healed = clock_now_ms();
    drain_reach(s, 400);
    assert_in_range(clock_now_ms() - healed, 0, WITHIN(BACK_MS));
    drain_end(s);
}

/* A job comes meanwhile, into the pop of a connection that is no more. */
static void silent_both_ways_while_idle(void **state)
{
    struct scene *s = *state;
    over_tcp(s);
    scene_start(s, ONE("sleep", ""));
    push(s, "queue", "0.001");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    scene_await(s, LIMIT_MS, strstr(ask_text(s, "INFO clients"), "blocked_clients:1") != NULL);
    requests_lost(s, ALL);
    assert_true(answers_lost(s, ALL));
    push(s, "queue", "0.002");
    await_noticed(s, true);
    assert_int_equal(daemon_printed(s->daemon, "Waiting 0.002"), 0);
    requests_lost(s, 0);
    assert_true(answers_lost(s, 0));
    int64_t healed = clock_now_ms();
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 2);
    assert_in_range(clock_now_ms() - healed, 0, WITHIN(BACK_MS));
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_printed(s->daemon, "Done 0.002"), 1);
    assert_string_equal(left_over(s), "");
}

static void some_of_all_packets_lost(void **state)
{
    struct scene *s = *state;
    over_tcp(s);
    drain_begin(s, 300, 100);
    for (int64_t end = clock_now_ms() + 2 * LIMIT_MS; /* each look reaches the new connections */
         printed(s, "Done", DRAIN_PREFIX, 300).distinct < 300 && clock_now_ms() < end;
         scene_tick()) {
        requests_lost(s, 15);
        if (!answers_lost(s, 15))
            skip();
    }
    requests_lost(s, 0);
    assert_true(answers_lost(s, 0));
    drain_end(s);
}

/* Shorter than anybody's patience, the kernel bridges it; longer, the daemon connects anew. */
static void cable(struct scene *s, int64_t out_ms, bool noticed)
{
    if (deaf_own_network() < 0)
        skip();
    over_tcp(s);
    s->redis_more = noticed && !scene_long() ? IMPATIENT : "";
    drain_begin(s, 1000, 20);
    drain_reach(s, 200);
    assert_int_equal(deaf_cable(0), 0);
    if (noticed)
        await_noticed(s, false);
    scene_hold(s, out_ms, daemon_alive(s->daemon));
    assert_int_equal(deaf_cable(1), 0);
    int64_t healed = clock_now_ms();
    drain_reach(s, 300);
    assert_in_range(clock_now_ms() - healed, 0, WITHIN(BACK_MS));
    drain_end(s);
}

static void a_cable_out_for_a_moment(void **state)
{
    cable(*state, 1500, false);
}

static void a_cable_out_for_long(void **state)
{
    cable(*state, scene_long() ? 60000 : 0, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(requests_lost_in_mid_drain),  SCENE(answers_lost_in_mid_drain),
        SCENE(silent_both_ways_while_idle), SCENE(some_of_all_packets_lost),
        SCENE(a_cable_out_for_a_moment),    SCENE(a_cable_out_for_long),
    };
    return scene_run(tests);
}
