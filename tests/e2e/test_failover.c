/* Sentinel makes a replica the master, in mid-drain, behind one address that follows it. What is
 * lost is what Redis itself lost, counted from outside between the two. The daemon goes on by
 * itself. */
#include "tests/e2e/scene.h"

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <hiredis/hiredis.h>

#include "tests/e2e/proxy.h"

#define PREFIX "0.050"
#define LONG_PREFIX "1.5"
#define JOBS 2000  /* of a round */
#define FRESH 20   /* pushed to the new master */
#define LATE 100   /* told to an old master that nobody follows any more */
#define RUNNING 10 /* while the address turns */
#define CONF "concurrency = 30; lease = 3.0; " ONE("sleep", "max_recoveries = 1000000;")

/* Sentinel ---------------------------------------------------------------------------------------
 */

static struct sentinel {
    char folder[96], socket[128];
    pid_t pid;
    redisContext *context;
} sentinel;

static void configure_sentinel(const char *path, int master)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    (void)fprintf(f,
                  "port 0\nunixsocket %s\ndir %s\nlogfile sentinel.log\n"
                  "sentinel monitor jobs 127.0.0.1 %d 1\n"
                  "sentinel down-after-milliseconds jobs 500\n"
                  "sentinel failover-timeout jobs 5000\n",
                  sentinel.socket, sentinel.folder, master);
    assert_int_equal(fclose(f), 0);
}

static void spawn_sentinel(const char *path)
{
    const char *program = getenv("REDIS_SERVER");
    sentinel.pid = fork();
    if (sentinel.pid)
        return;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)execlp(program ? program : "redis-server", "redis-sentinel", path, "--sentinel",
                 (char *)NULL);
    _exit(127);
}

static redisReply *ask_sentinel(const char *command)
{
    if (!sentinel.context)
        sentinel.context = redisConnectUnix(sentinel.socket);
    redisReply *r =
        sentinel.context && !sentinel.context->err ? redisCommand(sentinel.context, command) : NULL;
    if (r)
        return r;
    if (sentinel.context)
        redisFree(sentinel.context);
    sentinel.context = NULL;
    return NULL;
}

/* It follows the master, and knows its replica to be in order. */
static bool sentinel_is_ready(void)
{
    redisReply *r = ask_sentinel("SENTINEL REPLICAS jobs");
    bool ready = false;
    if (r && r->type == REDIS_REPLY_ARRAY && r->elements == 1)
        for (size_t i = 0; i + 1 < r->element[0]->elements; i += 2)
            ready = ready || (!strcmp(r->element[0]->element[i]->str, "master-link-status") &&
                              !strcmp(r->element[0]->element[i + 1]->str, "ok"));
    if (r)
        freeReplyObject(r);
    return ready;
}

static int sentinels_master(void)
{
    redisReply *r = ask_sentinel("SENTINEL GET-MASTER-ADDR-BY-NAME jobs");
    int port = r && r->type == REDIS_REPLY_ARRAY && r->elements == 2 ? atoi(r->element[1]->str) : 0;
    if (r)
        freeReplyObject(r);
    return port;
}

static void sentinel_stop(void)
{
    if (sentinel.context)
        redisFree(sentinel.context);
    if (sentinel.pid > 0) {
        kill(sentinel.pid, SIGKILL);
        (void)waitpid(sentinel.pid, NULL, 0);
    }
    (void)memset(&sentinel, 0, sizeof sentinel);
}

static void sentinel_start(struct scene *s)
{
    static unsigned number;
    char path[160];
    (void)snprintf(sentinel.folder, sizeof sentinel.folder, "%s/sentinel%u", s->folder, number++);
    (void)snprintf(sentinel.socket, sizeof sentinel.socket, "%s/socket", sentinel.folder);
    (void)snprintf(path, sizeof path, "%s/conf", sentinel.folder);
    assert_int_equal(mkdir(sentinel.folder, 0700), 0);
    configure_sentinel(path, redis_server_port(s->redis));
    spawn_sentinel(path);
    scene_await(s, LIMIT_MS, sentinel_is_ready());
}

/* Two servers ------------------------------------------------------------------------------------
 */

static int scene_new_pair(void **state)
{
    static const char *const args[] = {"--repl-diskless-sync-delay",
                                       "0",
                                       "--appendonly",
                                       "yes",
                                       "--appendfsync",
                                       "everysec",
                                       "--repl-ping-replica-period",
                                       "1",
                                       NULL};
    return scene_new_pair_with(state, args);
}

static int scene_free_pair(void **state)
{
    sentinel_stop();
    return scene_free(state);
}

static bool says(struct redis_server *r, const char *word)
{
    const char *text = redis_server_text(r, "INFO replication");
    return text && strstr(text, word);
}

static void follow(struct scene *s)
{
    assert_int_equal(
        redis_server_integer(s->other, "REPLICAOF 127.0.0.1 %d", redis_server_port(s->redis)), 1);
    scene_await(s, LIMIT_MS, says(s->other, "master_link_status:up"));
    assert_in_range(ask_int(s, "HSET rpopd:{queue}:stats copied 1"), 0, 1);
    assert_int_equal(ask_int(s, "WAIT 1 %d", LIMIT_MS), 1); /* from now on nothing is held back */
}

/* The address leads to the other one; the scene's own questions too. */
static void turn(struct scene *s)
{
    struct redis_server *old = s->redis;
    s->redis = s->other;
    s->other = old;
    (void)proxy_arm(s->proxy, "turn %s", redis_server_socket(s->redis));
}

/* A round ----------------------------------------------------------------------------------------
 */

struct sum {
    unsigned pushed, lost, again, said;
};

static void reach(struct scene *s, unsigned done, unsigned pushed)
{
    scene_await(s, LIMIT_MS, printed(s, "Done", PREFIX, pushed).total >= done);
}

/* What it is told of while nobody copies it goes with it; so do the jobs that run meanwhile. It is
 * told directly, until Sentinel makes a replica of it: then it refuses, or hangs up. */
static void tell_the_old_one(struct scene *s, struct sum *sum)
{
    static const char script[] =
        "local function push(prefix, first, n) for i = first, first + n - 1 do "
        "redis.call('RPUSH', KEYS[1], prefix .. string.format('%06d', i)) end end "
        "push(ARGV[1], ARGV[2], ARGV[3]) push(ARGV[4], ARGV[5], ARGV[6]) return 1";
    bool told = ask_int(s, "EVAL %s 1 queue %s %u %u %s %u %u", script, PREFIX, sum->pushed, LATE,
                        LONG_PREFIX, sum->said, RUNNING) == 1;
    sum->pushed += LATE;
    if (!told)
        return;
    sum->said += RUNNING;
    scene_await(s, LIMIT_MS, printed(s, "Waiting", LONG_PREFIX, sum->said).distinct == sum->said);
}

/* The master dies; or it is told to go, does not hear of it for a while, and is cut off then. */
static void fail_over(struct scene *s, bool dies, struct sum *sum)
{
    if (dies) {
        redis_server_kill(s->redis);
    } else {
        redisReply *r = ask_sentinel("SENTINEL FAILOVER jobs");
        scene_check(s, r && r->type == REDIS_REPLY_STATUS);
        freeReplyObject(r);
    }
    scene_await(s, LIMIT_MS,
                sentinels_master() == redis_server_port(s->other) && says(s->other, "role:master"));
    if (dies)
        return;
    tell_the_old_one(s, sum);
    assert_int_equal(redis_server_signal(s->redis, SIGSTOP), 0);
}

/* But for those that outlast the turn. */
static bool rests(struct scene *s, const struct sum *sum)
{
    unsigned all = running(s), waiting = printed(s, "Waiting", LONG_PREFIX, sum->said).distinct;
    return all <= waiting - printed(s, "Done", LONG_PREFIX, sum->said).distinct;
}

/* Back as a replica of the one that took its place. */
static void revive(struct scene *s)
{
    sentinel_stop();
    redis_server_kill(s->other);
    assert_int_equal(redis_server_restart(s->other, true), 0);
}

static void a_round(struct scene *s, bool dies, struct sum *sum)
{
    unsigned before = printed(s, "Done", PREFIX, sum->pushed).total, said = sum->said,
             vanished = daemon_logged(s->daemon, "event=batch-vanished");
    follow(s);
    sentinel_start(s);
    push_numbers(s, "queue", PREFIX, sum->pushed, JOBS);
    sum->pushed += JOBS;
    reach(s, before + 100, sum->pushed);
    fail_over(s, dies, sum);
    scene_await(s, LIMIT_MS, rests(s, sum));
    struct redis_server *old = s->redis;
    s->redis = s->other; /* where the rest lies now */
    struct fates f = fates(s, "queue", PREFIX, sum->pushed);
    s->redis = old;
    sum->lost = f.nowhere;
    sum->again += f.twice;
    before = printed(s, "Done", PREFIX, sum->pushed).total;
    turn(s);
    int64_t there = clock_now_ms();
    scene_await(s, LIMIT_MS, ask_int(s, "LLEN queue") >= 0);
    push_numbers(s, "queue", PREFIX, sum->pushed, FRESH);
    sum->pushed += FRESH;
    reach(s, before + 1, sum->pushed);
    assert_in_range(clock_now_ms() - there, 0, WITHIN(10000));
    print_message("# %s: %lld ms, %u jobs lost by Redis\n", dies ? "killed" : "ordered",
                  (long long)(clock_now_ms() - there), sum->lost);
    scene_await(s, LIMIT_MS, ask_int(s, "LLEN queue") == 0 && claimed(s, "queue") == 0);
    scene_await(s, LIMIT_MS, printed(s, "Done", LONG_PREFIX, sum->said).distinct == sum->said);
    if (sum->said > said)
        scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=batch-vanished") > vanished);
    assert_int_equal(fates(s, "queue", PREFIX, sum->pushed).nowhere, sum->lost);
    revive(s);
}

static void sentinel_turns_in_mid_drain(void **state)
{
    struct scene *s = *state;
    const unsigned rounds = scene_long() ? 12 : 2;
    struct sum sum = {0};
    scene_start(s, CONF);
    for (unsigned i = 0; i < rounds; i++)
        a_round(s, i % 2, &sum);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    struct tally done = printed(s, "Done", PREFIX, sum.pushed);
    print_message("# %u jobs, %u lost by Redis, %u run again\n", sum.pushed, sum.lost,
                  done.total - done.distinct - sum.said);
    assert_int_equal(done.distinct, sum.pushed - sum.lost);
    assert_in_range(done.total - sum.said, done.distinct, done.distinct + sum.again);
    assert_string_equal(left_over(s), "");
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* Sentinel kills the clients of whom it moves */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sentinel_turns_in_mid_drain, scene_new_pair,
                                        scene_free_pair),
    };
    return scene_run(tests);
}
