/* Another server behind the same address, or the same one with older data: what it does not know
 * any more is found out, what it still knows is run, and what was pushed before is done. */
#include "tests/e2e/drain.h"

#include <sys/stat.h>

#include "tests/e2e/proxy.h"

/* Two servers, of which one follows the other. The daemon knows the proxy alone. ------------------
 */

#define JOBS 600
#define CONF "concurrency = 20; lease = 1.5; " ONE("sleep", "max_recoveries = 1000000;")

static int scene_new_pair(void **state)
{
    static const char *const args[] = {"--repl-diskless-sync-delay", "0",
                                       "--repl-ping-replica-period", "1", NULL};
    return scene_new_pair_with(state, args);
}

#define PAIR(test) cmocka_unit_test_setup_teardown(test, scene_new_pair, scene_free)

static bool has_word(struct redis_server *r, const char *section, const char *word)
{
    const char *text = redis_server_text(r, "INFO %s", section);
    return text && strstr(text, word);
}

/* The other one has all that was settled up to here. */
static void copied(struct scene *s)
{
    assert_in_range(ask_int(s, "HSET rpopd:{queue}:stats copied 1"), 0, 1);
    assert_int_equal(ask_int(s, "WAIT 1 %d", LIMIT_MS), 1);
}

/* The other one copies what this one has, and goes on copying. */
static void follow(struct scene *s)
{
    assert_int_equal(
        redis_server_integer(s->other, "REPLICAOF 127.0.0.1 %d", redis_server_port(s->redis)), 1);
    scene_await(s, LIMIT_MS, has_word(s->other, "replication", "master_link_status:up"));
    copied(s);
}

/* From here on they part: what the old one is told the new one never knows. */
static void promote(struct scene *s)
{
    copied(s);
    assert_int_equal(redis_server_integer(s->other, "REPLICAOF NO ONE"), 1);
}

/* The address leads to the other one now. */
static void turn(struct scene *s)
{
    struct redis_server *old = s->redis;
    s->redis = s->other;
    s->other = old;
    (void)proxy_arm(s->proxy, "turn %s", redis_server_socket(s->redis));
}

static void await_all_and_rest(struct scene *s, unsigned jobs, unsigned doubles)
{
    scene_await(s, LIMIT_MS, printed(s, "Done", DRAIN_PREFIX, jobs).distinct == jobs);
    scene_await(s, LIMIT_MS, ask_int(s, "LLEN queue") == 0 && claimed(s, "queue") == 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    unsigned total = printed(s, "Done", DRAIN_PREFIX, jobs).total;
    print_message("# %u jobs, %u run again, of %u at most\n", jobs, total - jobs, doubles);
    assert_in_range(total, jobs, jobs + doubles);
    assert_string_equal(left_over(s), "");
}

static unsigned done_so_far(struct scene *s)
{
    return printed(s, "Done", DRAIN_PREFIX, JOBS).total;
}

/* So many were done, or all that there were. */
static void reach(struct scene *s, unsigned jobs)
{
    scene_await(s, LIMIT_MS,
                done_so_far(s) >= jobs ||
                    (ask_int(s, "LLEN queue") == 0 && claimed(s, "queue") == 0));
}

static void a_failover_that_loses_writes_loses_no_job(void **state)
{
    struct scene *s = *state;
    const unsigned rounds = 3;
    unsigned doubles = 0;
    scene_start(s, CONF);
    for (unsigned i = 0; i < rounds; i++) {
        follow(s);
        unsigned before = done_so_far(s);
        push_numbers(s, "queue", DRAIN_PREFIX, i * JOBS, JOBS);
        reach(s, before + 100);
        before = done_so_far(s);
        promote(s);
        reach(s, before + 200); /* the lost time */
        turn(s);
        doubles += done_so_far(s) - before + 20; /* and what ran at either end of it */
        scene_await(s, LIMIT_MS,
                    printed(s, "Done", DRAIN_PREFIX, rounds * JOBS).distinct == (i + 1) * JOBS);
    }
    await_all_and_rest(s, rounds * JOBS, doubles + rounds * 20);
}

static void drain_on_a_pair(struct scene *s)
{
    scene_start(s, CONF);
    follow(s);
    push_numbers(s, "queue", DRAIN_PREFIX, 0, JOBS);
    reach(s, 100);
}

/* What the new server holds of its owner is older than that life. */
static void a_failover_to_before_the_present_life(void **state)
{
    struct scene *s = *state;
    drain_on_a_pair(s);
    unsigned before = done_so_far(s);
    promote(s);
    daemon_kill(s->daemon);
    scene_again(s);
    reach(s, before + 150);
    turn(s);
    await_all_and_rest(s, JOBS, done_so_far(s) - before + 3 * 20);
}

static void an_old_master_that_became_a_replica(void **state)
{
    struct scene *s = *state;
    drain_on_a_pair(s);
    unsigned before = done_so_far(s);
    promote(s);
    assert_int_equal(
        redis_server_integer(s->redis, "REPLICAOF 127.0.0.1 %d", redis_server_port(s->other)), 1);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "READONLY") > 0);
    unsigned lines = daemon_log_lines(s->daemon);
    scene_hold(s, 1000, daemon_alive(s->daemon) && daemon_log_lines(s->daemon) <= lines + 4);
    turn(s); /* as the address of a service follows */
    await_all_and_rest(s, JOBS, done_so_far(s) - before + 2 * 20);
}

/* At each command the address leads to a server that knows of nothing but the list.
 * ----------------
 */

#define FEW 3

static void few_jobs_on_both(struct scene *s)
{
    assert_int_equal(ask_int(s, "FLUSHALL"), 1);
    push_numbers(s, "queue", "0.00", 0, FEW);
    turn(s);
    assert_int_equal(ask_int(s, "FLUSHALL"), 1);
    push_numbers(s, "queue", "0.00", 0, FEW);
    turn(s);
    (void)unlink(daemon_file(s->daemon));
    s->daemon = daemon_free(s->daemon);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/rpopd.out", s->folder);
    (void)unlink(path);
    s->daemon = daemon_new(s->folder, "rpopd");
}

/* A life of few jobs and an exit, begun at one server and, from a command on, at the other. Returns
 * how many commands it had; `at` 0: it stays. */
static unsigned a_life_that_is_turned(struct scene *s, unsigned at)
{
    few_jobs_on_both(s);
    (void)proxy_arm(s->proxy, "turn-before %u %s", at, redis_server_socket(s->other));
    scene_launch(s, CONF);
    scene_await(s, LIMIT_MS, printed(s, "Done", "0.00", FEW).distinct == FEW);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    struct proxy_counts c = proxy_arm(s->proxy, "none");
    if (c.hits)
        turn(s); /* so it was: from here on the other one is this one */
    /* Where the turn came beside the exit, jobs that are done lie in the list of the other. */
    const char *left = left_over(s);
    scene_check(s, left[0] == 0 || strcmp(left, "queue") == 0);
    scene_check(s, printed(s, "Done", "0.00", FEW).most <= 2);
    return c.commands;
}

static void at_each_command_to_a_server_that_knows_of_nothing(void **state)
{
    struct scene *s = *state;
    unsigned commands = a_life_that_is_turned(s, 0), step = scene_long() ? 1 : 3;
    for (unsigned at = 1 + scene_random(step); at <= commands; at += step)
        (void)a_life_that_is_turned(s, at);
}

/* The same server ---------------------------------------------------------------------------------
 */

static void started_again_with_an_older_copy(void **state)
{
    struct scene *s = *state;
    unsigned doubles = 0;
    push_numbers(s, "queue", DRAIN_PREFIX, 0, JOBS);
    scene_start(s, CONF);
    for (unsigned i = 1; i <= 3; i++) {
        reach(s, 150 * i);
        unsigned before = done_so_far(s);
        assert_int_equal(ask_int(s, "SAVE"), 1);
        reach(s, before + 80);
        assert_int_equal(redis_server_restart(s->redis, true), 0);
        doubles += done_so_far(s) - before + 20;
    }
    await_all_and_rest(s, JOBS, doubles + 3 * 20);
}

static void started_again_with_an_older_copy_while_the_daemon_was_dead(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", DRAIN_PREFIX, 0, JOBS);
    scene_start(s, CONF);
    reach(s, 150);
    unsigned before = done_so_far(s);
    assert_int_equal(ask_int(s, "SAVE"), 1);
    reach(s, before + 80);
    daemon_kill(s->daemon);
    assert_int_equal(redis_server_restart(s->redis, true), 0);
    unsigned doubles = done_so_far(s) - before + 2 * 20;
    scene_again(s);
    await_all_and_rest(s, JOBS, doubles);
}

/* The end of the log is missing, as after a power cut. Once: what Redis 7.0 writes behind a
 * transaction that was cut in two it does not read again. */
static void started_again_with_a_log_cut_short(void **state)
{
    struct scene *s = *state;
    char path[160];
    struct stat st;
    push_numbers(s, "queue", DRAIN_PREFIX, 0, JOBS);
    scene_start(s, CONF);
    reach(s, 150);
    (void)snprintf(path, sizeof path, "%s/appendonlydir/appendonly.aof.1.incr.aof",
                   redis_server_dir(s->redis));
    redis_server_kill(s->redis);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size - 100 - (off_t)scene_random(1000)), 0);
    assert_int_equal(redis_server_restart(s->redis, true), 0);
    await_all_and_rest(s, JOBS, 3 * 20);
}

/* What runs when its server forgets everything is said to be lost, and settles nothing. */
static void flushed_while_jobs_run(void **state)
{
    struct scene *s = *state;
    scene_start(s, CONF);
    push_numbers(s, "queue", "3.0", 0, 10);
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "3.0", 10).distinct == 10);
    long long batches = ask_int(s, "HLEN rpopd:{queue}:batches");
    assert_int_equal(ask_int(s, "FLUSHALL"), 1);
    push_numbers(s, "queue", "0.0", 0, 10);
    scene_await(s, LIMIT_MS, printed(s, "Done", "0.0", 10).distinct == 10);
    scene_await(s, LIMIT_MS, printed(s, "Done", "3.0", 10).distinct == 10);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "lost") == 10);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 10);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_logged(s->daemon, "event=batch-vanished"), batches); /* once each */
    assert_int_equal(printed(s, "Done", "", 0).total, 20);
    assert_string_equal(left_over(s), "");
}

/* What it is told of a server at the start
 * ---------------------------------------------------------
 */

static void a_server_that_may_evict_is_warned_of_once(void **state)
{
    struct scene *s = *state;
    assert_int_equal(ask_int(s, "CONFIG SET maxmemory-policy allkeys-lru"), 1);
    scene_start(s, ONE("sleep", ""));
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=redis-may-evict") == 1);
    (void)ask_int(s, "CLIENT KILL TYPE normal SKIPME yes");
    push(s, "queue", "0.01");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_logged(s->daemon, "maxmemory-policy=allkeys-lru"), 1);
    assert_int_equal(daemon_logged(s->daemon, "appendonly=no"), 1);
}

static void a_server_that_keeps_what_it_is_given_is_no_matter(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", ""));
    push(s, "queue", "0.01");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_logged(s->daemon, "maxmemory-policy"), 0);
    assert_int_equal(daemon_logged(s->daemon, "appendonly"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR(a_failover_that_loses_writes_loses_no_job),
        PAIR(a_failover_to_before_the_present_life),
        PAIR(an_old_master_that_became_a_replica),
        PAIR(at_each_command_to_a_server_that_knows_of_nothing),
        SCENE(started_again_with_an_older_copy),
        SCENE(started_again_with_an_older_copy_while_the_daemon_was_dead),
        DURABLE(started_again_with_a_log_cut_short),
        SCENE(flushed_while_jobs_run),
        SCENE(a_server_that_may_evict_is_warned_of_once),
        DURABLE(a_server_that_keeps_what_it_is_given_is_no_matter),
    };
    return scene_run(tests);
}
