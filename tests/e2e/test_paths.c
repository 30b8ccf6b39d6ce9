/* The way to Redis: silent for ever, slow, or none to be had. The daemon finds out by itself, goes
 * on, loses nothing and runs nothing twice. */
#include "tests/e2e/drain.h"

#include <sys/resource.h>

#include "tests/e2e/proxy.h"

#define IMPATIENT "command_timeout = 0.5; connect_timeout = 0.5;"

static void through_the_proxy(struct scene *s)
{
    s->proxy = proxy_new(s->folder, redis_server_socket(s->redis));
    (void)snprintf(s->url, sizeof s->url, "%s", proxy_url(s->proxy));
}

static void silent_for_ever_in_mid_drain(void **state)
{
    struct scene *s = *state;
    through_the_proxy(s);
    s->redis_more = IMPATIENT;
    drain_begin(s, 1000, 20);
    drain_reach(s, 300);
    (void)proxy_arm(s->proxy, "hole");
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=redis-lost") > 0);
    scene_hold(s, 1000, daemon_alive(s->daemon)); /* what connects meanwhile is silent too */
    (void)proxy_arm(s->proxy, "none");
    drain_heals(s);
    drain_end(s);
}

/* A pop waits longer than any command: its own end, and the patience for an answer. */
static void silent_for_ever_while_idle(void **state)
{
    struct scene *s = *state;
    through_the_proxy(s);
    s->redis_more = IMPATIENT;
    scene_start(s, ONE("sleep", ""));
    push(s, "queue", "0.001");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    (void)proxy_arm(s->proxy, "hole");
    push(s, "queue", "0.002"); /* into the passage of a pop that nobody hears of */
    (void)proxy_arm(s->proxy, "none");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.002") == 1);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 2);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_printed(s->daemon, "Done 0.002"), 1);
    assert_string_equal(left_over(s), "");
}

static void answers_that_come_late_are_answers(void **state)
{
    struct scene *s = *state;
    through_the_proxy(s);
    (void)proxy_arm(s->proxy, "slow %d", scene_long() ? 1000 : 300);
    int64_t start = clock_now_ms();
    drain_begin(s, 100, 50);
    drain_reach(s, 100);
    /* While it waits it sleeps. */
    assert_in_range(daemon_usage(s->daemon).cpu_us, 0,
                    (clock_now_ms() - start) * 1000 / 3 * SLOWNESS);
    drain_end(s);
    assert_int_equal(daemon_logged(s->daemon, "level=error"), 0);
    assert_int_equal(daemon_logged(s->daemon, "event=redis-lost"), 0);
}

/* What is large, or waits, has a link of its own: beats come through beside it, and jobs begin. */
static void a_link_that_is_silent_holds_up_no_beat(void **state)
{
    struct scene *s = *state;
    through_the_proxy(s);
    s->redis_more = "command_timeout = 100.0;";
    scene_start(s, "lease = 1.0; " ONE("sleep", ""));
    push(s, "queue", "0.00");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1); /* Redis has the script now */
    (void)proxy_arm(s->proxy, "match :acked:");
    (void)proxy_arm(s->proxy, "stall 1"); /* the next settle */
    push(s, "queue", "0.01");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 2);
    int64_t end = clock_now_ms() + 2000;
    scene_await(s, LIMIT_MS, clock_now_ms() >= end);
    push(s, "queue", "0.02");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.02") == 1);
    assert_int_equal(proxy_arm(s->proxy, "none").hits, 1);
    daemon_kill(s->daemon);
}

/* Each connection is reset as soon as something is sent over it: it is tried again, ever more
 * seldom. */
static void resets_of_all_that_is_sent(void **state)
{
    struct scene *s = *state;
    s->proxy = proxy_new_tcp(redis_server_socket(s->redis));
    (void)snprintf(s->url, sizeof s->url, "%s", proxy_url(s->proxy));
    drain_begin(s, 1000, 20);
    drain_reach(s, 200);
    (void)proxy_arm(s->proxy, "rst");
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=redis-lost") > 0);
    int64_t cpu = daemon_usage(s->daemon).cpu_us;
    scene_hold(s, 2000, daemon_alive(s->daemon));
    cpu = daemon_usage(s->daemon).cpu_us - cpu;
    unsigned resets = proxy_arm(s->proxy, "none").hits;
    print_message("# %u connections were reset, which took %lld ms of CPU\n", resets,
                  (long long)cpu / 1000);
    assert_in_range(resets, 1, 60);
    assert_in_range(cpu, 0, 500000 * SLOWNESS);
    drain_heals(s);
    drain_end(s);
}

/* Connections that cannot be had -----------------------------------------------------------------
 */

static void all_links_cut_and_calm(struct scene *s)
{
    (void)ask_int(s, "CLIENT KILL TYPE normal SKIPME yes");
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=redis-lost") > 0);
    unsigned lines = daemon_log_lines(s->daemon);
    scene_hold(s, 1000, daemon_alive(s->daemon) && daemon_log_lines(s->daemon) <= lines + 3);
}

/* What keeps the links away is said too, and once. */
static bool says_once(struct scene *s, const char *why)
{
    return daemon_logged(s->daemon, why) == 1;
}

static void a_server_with_too_many_clients(void **state)
{
    struct scene *s = *state;
    drain_begin(s, 1000, 20);
    drain_reach(s, 200);
    assert_int_equal(ask_int(s, "CONFIG SET maxclients 1"), 1);
    all_links_cut_and_calm(s);
    assert_null(strstr(ask_text(s, "INFO stats"), "rejected_connections:0\r"));
    scene_check(s, says_once(s, "max number of clients reached"));
    assert_int_equal(ask_int(s, "CONFIG SET maxclients 1000"), 1);
    drain_heals(s);
    drain_end(s);
}

static void no_descriptor_for_a_connection(void **state)
{
    struct scene *s = *state;
    struct rlimit before, few = {.rlim_cur = 3}; /* what is open stays open */
    drain_begin(s, 1000, 20);
    drain_reach(s, 200);
    assert_int_equal(prlimit(daemon_pid(s->daemon), RLIMIT_NOFILE, NULL, &before), 0);
    few.rlim_max = before.rlim_max;
    assert_int_equal(prlimit(daemon_pid(s->daemon), RLIMIT_NOFILE, &few, NULL), 0);
    all_links_cut_and_calm(s);
    assert_non_null(strstr(ask_text(s, "INFO clients"), "connected_clients:1\r")); /* mine */
    scene_check(s, says_once(s, "Too many open files"));
    assert_int_equal(prlimit(daemon_pid(s->daemon), RLIMIT_NOFILE, &before, NULL), 0);
    drain_heals(s);
    drain_end(s);
}

/* The answer to a claim or a reading is larger than the server keeps for a client: it cuts the
 * link each time. */
static void a_server_that_cuts_large_answers_off(void **state)
{
    struct scene *s = *state;
    static const char push[] = "for i = 1, 20 do redis.call('LPUSH', KEYS[1], "
                               "string.rep('x', 300000) .. i) end return 1";
    assert_int_equal(ask_int(s, "CONFIG SET client-output-buffer-limit %s", "normal 65536 0 0"), 1);
    assert_int_equal(ask_int(s, "EVAL %s 1 queue", push), 1);
    scene_start(s, ONE("null", ""));
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=redis-lost") > 0);
    scene_hold(s, 1000, daemon_alive(s->daemon));
    assert_in_range(daemon_usage(s->daemon).cpu_us, 0, 500000 * SLOWNESS);
    assert_int_equal(ask_int(s, "CONFIG SET client-output-buffer-limit %s", "normal 0 0 0"), 1);
    int64_t healed = clock_now_ms();
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 20);
    assert_in_range(clock_now_ms() - healed, 0, WITHIN(6000));
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(silent_for_ever_in_mid_drain),       SCENE(silent_for_ever_while_idle),
        SCENE(answers_that_come_late_are_answers), SCENE(a_link_that_is_silent_holds_up_no_beat),
        SCENE(resets_of_all_that_is_sent),         SCENE(a_server_with_too_many_clients),
        SCENE(no_descriptor_for_a_connection),     SCENE(a_server_that_cuts_large_answers_off),
    };
    return scene_run(tests);
}
