/* Error replies and keys of a wrong type: one log line, no busy loop, the other queues go on, all
 * is well after the cure. */
#include "tests/e2e/drain.h"

#include <sys/stat.h>

#include "tests/e2e/exec.h"

#define TWO "queues = (" QUEUE("queue", "sleep", "") ", " QUEUE("other", "sleep", "") "); "

/* A sixth of a CPU at most, few log lines, and it stays alive: no busy loop, no line for each try.
 */
static void assert_calm_for(struct scene *s, int64_t ms)
{
    unsigned lines = daemon_log_lines(s->daemon);
    int64_t cpu = daemon_usage(s->daemon).cpu_us, start = clock_now_ms();
    scene_hold(s, ms, daemon_alive(s->daemon));
    cpu = daemon_usage(s->daemon).cpu_us - cpu;
    ms = clock_now_ms() - start; /* on a busy machine more than was asked for */
    lines = daemon_log_lines(s->daemon) - lines;
    if (cpu <= ms * 1000 / 6 * SLOWNESS && lines <= 4)
        return;
    (void)fprintf(stderr, "in %lld ms %lld us of CPU and %u log lines\n", (long long)ms,
                  (long long)cpu, lines);
    scene_fail(s, "is not calm", __FILE__, __LINE__);
}

static void assert_calm(struct scene *s)
{
    assert_calm_for(s, scene_long() ? 10000 : 1000);
}

static void run_one(struct scene *s, const char *queue, const char *payload)
{
    char line[64];
    (void)snprintf(line, sizeof line, "Done %s", payload);
    push(s, queue, payload);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, line) == 1);
}

/* Keys of a wrong type ---------------------------------------------------------------------------
 */

static void a_queue_of_a_wrong_type_is_said_once_and_others_go_on(void **state)
{
    struct scene *s = *state;
    scene_start(s, TWO);
    run_one(s, "queue", "0.001");
    assert_int_equal(ask_int(s, "SET queue x"), 1);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "WRONGTYPE") > 0);
    assert_int_equal(daemon_logged(s->daemon, "(LLEN queue)"), 1);
    run_one(s, "other", "0.002");
    assert_calm_for(s, 3000);
    assert_int_equal(daemon_logged(s->daemon, "WRONGTYPE"), 1);
    assert_string_equal(ask_text(s, "GET queue"), "x"); /* the user's key is the user's */
    assert_int_equal(ask_int(s, "DEL queue"), 1);
    run_one(s, "queue", "0.003");
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void a_queue_of_a_wrong_type_at_the_start(void **state)
{
    struct scene *s = *state;
    assert_int_equal(ask_int(s, "SADD queue x"), 1);
    scene_start(s, TWO);
    run_one(s, "other", "0.002");
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "WRONGTYPE") > 0);
    assert_calm(s);
    assert_int_equal(ask_int(s, "DEL queue"), 1);
    run_one(s, "queue", "0.003");
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* Replaces a key of its own by one of another type while it is idle, pushes jobs, and takes it away
 * again. */
static void survives_a_wrong(struct scene *s, const char *key)
{
    scene_start(s, TWO);
    run_one(s, "queue", "0.001");
    (void)ask_int(s, "DEL %s", key);
    const bool list = strstr(key, "popped") == NULL;
    assert_int_equal(list ? ask_int(s, "RPUSH %s wrong", key) : ask_int(s, "SET %s wrong", key), 1);
    push_numbers(s, "queue", "0.01", 0, 20);
    run_one(s, "other", "0.002");
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, key) > 0);
    assert_calm(s);
    assert_int_equal(ask_int(s, "DEL %s", key), 1);
    int64_t cured = clock_now_ms();
    scene_await(s, LIMIT_MS, printed(s, "Done", "0.01", 20).distinct == 20);
    assert_in_range(clock_now_ms() - cured, 0, WITHIN(6000));
    run_one(s, "queue", "0.003");
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(printed(s, "Done", "0.01", 20).most, 1);
    (void)ask_int(s, "DEL %s", key);
    assert_string_equal(left_over(s), "");
}

static void survives_wrong_stats(void **state)
{
    survives_a_wrong(*state, "rpopd:{queue}:stats");
}

static void survives_wrong_batches(void **state)
{
    survives_a_wrong(*state, "rpopd:{queue}:batches");
}

static void survives_a_wrong_passage(void **state)
{
    survives_a_wrong(*state, "rpopd:{queue}:popped");
}

static void survives_wrong_owners(void **state)
{
    survives_a_wrong(*state, "rpopd:{queue}:owners");
}

static void survives_a_wrong_owner_key(void **state)
{
    survives_a_wrong(*state, "rpopd:{queue}:owner:e2e");
}

static void survives_wrong_fences(void **state)
{
    survives_a_wrong(*state, "rpopd:{queue}:fenced");
}

static void wrong_stats_hold_no_job(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", ""));
    (void)ask_int(s, "DEL rpopd:{queue}:stats");
    assert_int_equal(ask_int(s, "SET rpopd:{queue}:stats x"), 1);
    push_numbers(s, "queue", "0.01", 0, 50);
    scene_await(s, LIMIT_MS, printed(s, "Done", "0.01", 50).distinct == 50);
    assert_calm(s);
    assert_int_equal(ask_int(s, "DEL rpopd:{queue}:stats"), 1);
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(printed(s, "Done", "0.01", 50).most, 1);
    assert_string_equal(left_over(s), "");
}

static void a_deleted_owner_key_is_written_again(void **state)
{
    struct scene *s = *state;
    scene_start(s, "lease = 1.5; " ONE("sleep", ""));
    run_one(s, "queue", "0.001");
    assert_int_equal(ask_int(s, "DEL rpopd:{queue}:owner:e2e"), 1);
    push_numbers(s, "queue", "0.01", 0, 20);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 21);
    assert_int_equal(ask_int(s, "EXISTS rpopd:{queue}:owner:e2e"), 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(printed(s, "Done", "0.01", 20).most, 1);
    assert_string_equal(left_over(s), "");
}

/* A server that refuses ---------------------------------------------------------------------------
 */

static void a_full_redis_is_drained(void **state)
{
    struct scene *s = *state;
    drain_begin(s, 1500, 20);
    drain_reach(s, 100);
    assert_int_equal(ask_int(s, "CONFIG SET maxmemory 1"), 1);
    scene_await(s, LIMIT_MS,
                ask_int(s, "LLEN queue") == 0 && claimed(s, "queue") == 0); /* it stays full */
    assert_int_equal(stat_of(s, "queue", "done"), 1500);
    assert_calm(s);
    assert_int_equal(ask_int(s, "CONFIG SET maxmemory 0"), 1);
    run_one(s, "queue", "0.5");
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(printed(s, "Done", DRAIN_PREFIX, 1500).most, 1);
    assert_string_equal(left_over(s), "");
}

static void a_redis_that_is_full_at_the_start_is_drained(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "0.01", 0, 500);
    push(s, "queue", "bad");
    assert_int_equal(ask_int(s, "CONFIG SET maxmemory 1"), 1);
    scene_start(s, ONE("sleep", ""));
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 500);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void scripts_flushed_again_and_again_in_mid_drain(void **state)
{
    struct scene *s = *state;
    drain_begin(s, 2000, 20);
    for (unsigned i = 0; i < 20; i++) {
        drain_reach(s, 90 * i);
        assert_int_equal(ask_int(s, "SCRIPT FLUSH"), 1);
        drain_heals(s);
    }
    drain_end(s);
}

static void a_busy_script_in_mid_drain(void **state)
{
    struct scene *s = *state;
    drain_begin(s, 1500, 20);
    drain_reach(s, 200);
    assert_int_equal(ask_int(s, "CONFIG SET lua-time-limit 100"), 1);
    char command[256];
    (void)snprintf(command, sizeof command,
                   "timeout 10 redis-cli -s %s EVAL 'while true do end' 0 >%s/busy 2>&1 &",
                   redis_server_socket(s->redis), s->folder);
    assert_int_equal(system(command), 0);
    scene_await(s, LIMIT_MS, strncmp(ask_text(s, "PING"), "BUSY", 4) == 0);
    assert_calm(s);
    assert_int_equal(ask_int(s, "SCRIPT KILL"), 1);
    drain_heals(s);
    drain_end(s);
}

static void a_replica_that_takes_no_writes(void **state)
{
    struct scene *s = *state;
    drain_begin(s, 1500, 20);
    drain_reach(s, 200);
    assert_int_equal(ask_int(s, "REPLICAOF 127.0.0.1 1"), 1);
    assert_calm(s);
    assert_in_range(daemon_logged(s->daemon, "READONLY"), 1, 3);
    assert_int_equal(ask_int(s, "REPLICAOF NO ONE"), 1);
    drain_heals(s);
    drain_end(s);
}

static void a_replica_whose_master_is_down(void **state)
{
    struct scene *s = *state;
    drain_begin(s, 1500, 20);
    drain_reach(s, 200);
    assert_int_equal(ask_int(s, "CONFIG SET replica-serve-stale-data no"), 1);
    assert_int_equal(ask_int(s, "REPLICAOF 127.0.0.1 1"), 1);
    assert_calm(s);
    assert_int_equal(ask_int(s, "REPLICAOF NO ONE"), 1);
    drain_heals(s);
    drain_end(s);
}

static void too_few_replicas(void **state)
{
    struct scene *s = *state;
    drain_begin(s, 1500, 20);
    drain_reach(s, 200);
    assert_int_equal(ask_int(s, "CONFIG SET min-replicas-to-write 1"), 1);
    assert_calm(s);
    assert_int_equal(ask_int(s, "CONFIG SET min-replicas-to-write 0"), 1);
    drain_heals(s);
    drain_end(s);
}

/* What Redis could not write down it does not take. */
static void a_copy_that_cannot_be_written(void **state)
{
    struct scene *s = *state;
    char path[160];
    (void)snprintf(path, sizeof path, "%s/dump.rdb", redis_server_dir(s->redis));
    drain_begin(s, 1500, 20);
    drain_reach(s, 200);
    assert_int_equal(mkdir(path, 0700), 0); /* in its place */
    assert_int_equal(ask_int(s, "CONFIG SET save %s", "3600 100000"), 1);
    (void)ask_text(s, "BGSAVE");
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "MISCONF") > 0);
    assert_calm(s);
    assert_in_range(daemon_logged(s->daemon, "MISCONF"), 1, 3);
    assert_int_equal(ask_int(s, "CONFIG SET stop-writes-on-bgsave-error no"), 1);
    drain_heals(s);
    drain_end(s);
}

/* The server asks for another password than the daemon gives, and then for that again. */
static void shut_out(struct scene *s, const char *other, const char *given, const char *error)
{
    drain_begin(s, 1500, 20);
    drain_reach(s, 200);
    assert_int_equal(ask_int(s, "CONFIG SET requirepass %s", other), 1);
    redis_server_login(s->redis, other);
    (void)ask_int(s, "CLIENT KILL TYPE normal SKIPME yes");
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, error) > 0);
    assert_calm(s);
    assert_int_equal(daemon_logged(s->daemon, error), 1);
    json_t *status = CTL_JSON(s, 0, "status");
    assert_non_null(strstr(ctl_text(json_object_get(status, "redis"), "error"), error));
    json_decref(status);
    assert_int_equal(ask_int(s, "CONFIG SET requirepass %s", given), 1);
    redis_server_login(s->redis, *given ? given : NULL);
    drain_heals(s);
    drain_end(s);
}

static void a_password_asked_for_in_mid_drain_is_waited_out(void **state)
{
    shut_out(*state, "geheim", "", "NOAUTH");
}

static void another_password_in_mid_drain_is_waited_out_and_none_is_shown(void **state)
{
    struct scene *s = *state;
    char more[200];
    (void)snprintf(more, sizeof more, "password_file = \"%s\";",
                   exec_make(s, "password", "verraten\n", 0600));
    s->redis_more = more;
    assert_int_equal(ask_int(s, "CONFIG SET requirepass verraten"), 1);
    redis_server_login(s->redis, "verraten");
    shut_out(s, "geheim", "verraten", "WRONGPASS");
    assert_int_equal(daemon_logged(s->daemon, "geheim") + daemon_logged(s->daemon, "verraten"), 0);
}

static void rights_taken_in_mid_drain_are_waited_out(void **state)
{
    static const char *const rights[] = {"-lmove",  "-@list", "-hset", "-evalsha -eval",
                                         "-unlink", "-zadd",  "-@all"};
    struct scene *s = *state;
    const unsigned n = scene_long() ? sizeof rights / sizeof *rights : 3;
    drain_begin(s, 400 * (n + 1), 20);
    for (unsigned i = 0; i < n; i++) {
        unsigned pick = scene_long() ? i : scene_random(7);
        char command[128];
        drain_reach(s, 200 + 400 * i);
        (void)snprintf(command, sizeof command, "redis-cli -s %s ACL SETUSER default %s >/dev/null",
                       redis_server_socket(s->redis), rights[pick]);
        print_message("# %s\n", rights[pick]);
        assert_int_equal(ask_int(s, "ACL SETUSER helper on nopass ~* &* +@all"), 1);
        assert_int_equal(system(command), 0);
        scene_hold(s, 1000, daemon_alive(s->daemon));
        (void)snprintf(
            command, sizeof command,
            "redis-cli -s %s --user helper --pass x ACL SETUSER default +@all >/dev/null 2>&1",
            redis_server_socket(s->redis));
        assert_int_equal(system(command), 0);
        drain_heals(s);
    }
    drain_end(s);
}

static void everything_flushed_in_mid_drain(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "0.01", 0, 2000);
    scene_start(s, "concurrency = 20; " ONE("sleep", ""));
    for (unsigned i = 0; i < 5; i++) {
        scene_await(s, LIMIT_MS, printed(s, "Done", "0.01", 2000).distinct >= 100 * (i + 1));
        assert_int_equal(ask_int(s, "FLUSHALL"), 1);
        push_numbers(s, "queue", "0.01", 0, 2000);
    }
    assert_int_equal(ask_int(s, "FLUSHALL"), 1);
    push_numbers(s, "queue", "0.02", 0, 50);
    scene_await(s, LIMIT_MS, printed(s, "Done", "0.02", 50).distinct == 50);
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void the_list_deleted_in_mid_drain(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "0.01", 0, 500);
    scene_start(s, "concurrency = 20; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, printed(s, "Done", "0.01", 500).distinct >= 100);
    assert_int_equal(ask_int(s, "DEL queue"), 1);
    run_one(s, "queue", "0.5");
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_queue_of_a_wrong_type_is_said_once_and_others_go_on),
        SCENE(a_queue_of_a_wrong_type_at_the_start),
        SCENE(survives_wrong_stats),
        SCENE(survives_wrong_batches),
        SCENE(survives_a_wrong_passage),
        SCENE(survives_wrong_owners),
        SCENE(survives_a_wrong_owner_key),
        SCENE(survives_wrong_fences),
        SCENE(wrong_stats_hold_no_job),
        SCENE(a_deleted_owner_key_is_written_again),
        SCENE(a_full_redis_is_drained),
        SCENE(a_redis_that_is_full_at_the_start_is_drained),
        SCENE(scripts_flushed_again_and_again_in_mid_drain),
        SCENE(a_busy_script_in_mid_drain),
        SCENE(a_replica_that_takes_no_writes),
        SCENE(a_replica_whose_master_is_down),
        SCENE(too_few_replicas),
        SCENE(a_copy_that_cannot_be_written),
        SCENE(a_password_asked_for_in_mid_drain_is_waited_out),
        SCENE(another_password_in_mid_drain_is_waited_out_and_none_is_shown),
        SCENE(rights_taken_in_mid_drain_are_waited_out),
        SCENE(everything_flushed_in_mid_drain),
        SCENE(the_list_deleted_in_mid_drain),
    };
    return scene_run(tests);
}
