/* The way to Redis: silent for ever, slow, reset again and again, a network that is unplugged. The
 * daemon finds out by itself, goes on, loses nothing and runs nothing twice. */
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
    (void)proxy_arm(s->proxy, "slow %d", scene_long() ? 1000 : 200);
    drain_begin(s, 600, 300);
    drain_end(s);
    assert_int_equal(daemon_logged(s->daemon, "level=error"), 0);
    assert_int_equal(daemon_logged(s->daemon, "event=redis-lost"), 0);
}

/* Reconnects -------------------------------------------------------------------------------------
 */

#define QUEUES 50

static void many_queues(struct scene *s)
{
    char conf[8192] = "concurrency = 100; queues = (" QUEUE("queue", "sleep", "");
    for (unsigned i = 1; i < QUEUES; i++)
        (void)snprintf(conf + strlen(conf), sizeof conf - strlen(conf),
                       ", { name = \"queue%u\"; handler: { type = \"sleep\"; }; }", i);
    strcat(conf, ");");
    scene_start(s, conf);
}

/* A job at the first queue and at the last. */
static void a_round(struct scene *s, unsigned round)
{
    char last[16];
    (void)snprintf(last, sizeof last, "queue%u", QUEUES - 1);
    push_numbers(s, "queue", "0.00", 2 * round, 1);
    push_numbers(s, last, "0.00", 2 * round + 1, 1);
    scene_await(s, LIMIT_MS, printed(s, "Done", "0.00", 2 * round + 2).distinct == 2 * round + 2);
}

static void reconnects_without_number_leave_no_trace(void **state)
{
    struct scene *s = *state;
    const long long wanted = scene_long() ? 100000 : 1000;
    long long cuts = 0;
    unsigned rounds = 0;
    many_queues(s);
    a_round(s, rounds++);
    int fds = daemon_usage(s->daemon).fds;
    int64_t memory = 0;
    for (; cuts < wanted; rounds++) {
        cuts += ask_int(s, "CLIENT KILL TYPE normal SKIPME yes");
        a_round(s, rounds);
        if (rounds == 10)
            memory = daemon_usage(s->daemon).rss_kb;
    }
    print_message("# %lld connections cut in %u rounds\n", cuts, rounds);
    if (SLOWNESS == 1) /* a sanitizer keeps what was freed */
        assert_in_range(daemon_usage(s->daemon).rss_kb - memory + 1024, 0, 2048);
    scene_await(s, LIMIT_MS, daemon_usage(s->daemon).fds <= fds);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(printed(s, "Done", "0.00", 2 * rounds).total, 2 * rounds);
    assert_string_equal(left_over(s), "");
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

static void a_server_with_too_many_clients(void **state)
{
    struct scene *s = *state;
    drain_begin(s, 1000, 20);
    drain_reach(s, 200);
    assert_int_equal(ask_int(s, "CONFIG SET maxclients 1"), 1);
    all_links_cut_and_calm(s);
    assert_null(strstr(ask_text(s, "INFO stats"), "rejected_connections:0\r"));
    assert_int_equal(ask_int(s, "CONFIG SET maxclients 1000"), 1);
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
    assert_int_equal(prlimit(daemon_pid(s->daemon), RLIMIT_NOFILE, &before, NULL), 0);
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
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 20);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(silent_for_ever_in_mid_drain),
        SCENE(silent_for_ever_while_idle),
        SCENE(answers_that_come_late_are_answers),
        SCENE(a_server_with_too_many_clients),
        SCENE(no_descriptor_for_a_connection),
        SCENE(a_server_that_cuts_large_answers_off),
        SCENE(reconnects_without_number_leave_no_trace),
    };
    return scene_run(tests);
}
