/* Two daemons with names of their own at one queue, both alive: whatever Redis does, neither takes
 * the other for dead. */
#include "tests/e2e/scene.h"

#include <sys/stat.h>

#include "tests/e2e/proxy.h"

#define LEASE "lease = 3.0; "
#define HOLD_MS 4000 /* more than a lease */

static unsigned others(struct scene *s, const char *line)
{
    unsigned n = 0;
    for (const char *p = daemon_out(s->second, NULL); (p = strstr(p, line)); p += strlen(line))
        n++;
    return n;
}

static unsigned fences(struct scene *s)
{
    return daemon_logged(s->daemon, "instance-fenced") +
           daemon_logged(s->second, "instance-fenced");
}

/* n long jobs at the first, all running, then a second beside it. */
static void first_holds(struct scene *s, const char *lease, unsigned n)
{
    char conf[200];
    push_numbers(s, "queue", "600.", 0, n);
    (void)snprintf(conf, sizeof conf, "%s concurrency = %u; " ONE("sleep", ""), lease, n);
    scene_start(s, conf);
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", n).distinct == n);
    scene_second(s, "other", conf);
}

/* Each exactly once, and nothing else is left. */
static void all_are_listed_again(struct scene *s, const char *prefix, unsigned n)
{
    struct tally t = held(s, "queue", prefix, n);
    assert_int_equal(t.distinct, n);
    assert_int_equal(t.total, n);
    assert_int_equal(ask_int(s, "LLEN queue"), n);
    assert_int_equal(ask_int(s, "DEL queue"), 1);
    assert_string_equal(left_over(s), "");
}

static bool nothing_has_changed(struct scene *s, unsigned n)
{
    return daemon_alive(s->daemon) && daemon_alive(s->second) && fences(s) == 0 &&
           printed(s, "Waiting", "600.", n).total == n && others(s, "Waiting") == 0;
}

static void nothing_was_taken(struct scene *s, unsigned n)
{
    scene_hold(s, HOLD_MS, nothing_has_changed(s, n));
    assert_int_equal(stat_of(s, "queue", "recovered"), 0);
    assert_int_equal(claimed(s, "queue"), n);
    assert_int_equal(ask_int(s, "EXISTS rpopd:{queue}:fenced"), 0);
    scene_stop_second(s, SIGQUIT);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    all_are_listed_again(s, "600.", n);
}

static void the_living_are_left_alone(void **state)
{
    if (!scene_long())
        skip();
    first_holds(*state, LEASE, 10);
    nothing_was_taken(*state, 10);
}

/* In the short form test_pair has it. */
static void nobody_is_dead_while_redis_is_frozen(void **state)
{
    if (!scene_long())
        skip();
    struct scene *s = *state;
    first_holds(s, LEASE, 10);
    redis_server_signal(s->redis, SIGSTOP);
    scene_hold(s, scene_long() ? 20000 : HOLD_MS, nothing_has_changed(s, 10));
    redis_server_signal(s->redis, SIGCONT);
    nothing_was_taken(s, 10);
}

static void nobody_is_dead_while_redis_is_away(void **state)
{
    if (!scene_long())
        skip();
    struct scene *s = *state;
    first_holds(s, LEASE, 10);
    redis_server_kill(s->redis);
    scene_hold(s, HOLD_MS, nothing_has_changed(s, 10));
    assert_int_equal(redis_server_restart(s->redis, true), 0);
    nothing_was_taken(s, 10);
}

static void nobody_is_dead_while_writes_are_held_back(void **state)
{
    struct scene *s = *state;
    first_holds(s, LEASE, 10);
    assert_int_equal(ask_int(s, "CLIENT PAUSE %d WRITE", HOLD_MS), 1);
    nothing_was_taken(s, 10);
}

/* Ways to have every write refused. */
enum refusal { NO_REPLICAS, NO_COPY, NO_MEMORY, REFUSALS };

static bool is_refused(struct scene *s)
{
    const char *says = ask_text(s, "SET written x");
    return says && strcmp(says, "OK") != 0;
}

/* There is a folder where the copy is to be written. */
static void fail_its_copy(struct scene *s)
{
    char path[160];
    (void)snprintf(path, sizeof path, "%s/dump.rdb", redis_server_dir(s->redis));
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(ask_int(s, "CONFIG SET save %s", "3600 100000"), 1);
    (void)ask_text(s, "BGSAVE");
}

static void while_refused(struct scene *s, enum refusal why)
{
    static const char *const cures[] = {"min-replicas-to-write 0", "stop-writes-on-bgsave-error no",
                                        "maxmemory 0"};
    char cure[64];
    (void)snprintf(cure, sizeof cure, "CONFIG SET %s", cures[why]);
    first_holds(s, LEASE, 10);
    if (why == NO_REPLICAS)
        assert_int_equal(ask_int(s, "CONFIG SET min-replicas-to-write 1"), 1);
    else if (why == NO_COPY)
        fail_its_copy(s);
    else
        assert_int_equal(ask_int(s, "CONFIG SET maxmemory 1"), 1);
    scene_await(s, LIMIT_MS, is_refused(s));
    scene_hold(s, HOLD_MS, nothing_has_changed(s, 10));
    scene_check(s, is_refused(s));
    assert_int_equal(ask_int(s, cure), 1);
    scene_await(s, LIMIT_MS, !is_refused(s));
    assert_int_equal(ask_int(s, "DEL written"), 1);
    nothing_was_taken(s, 10);
}

static void nobody_is_dead_while_writes_are_refused(void **state)
{
    enum refusal why = scene_random(REFUSALS);
    print_message("# %s\n", (const char *[]){"NOREPLICAS", "MISCONF", "OOM"}[why]);
    while_refused(*state, why);
}

static void nobody_is_dead_while_too_few_replicas_are_there(void **state)
{
    if (!scene_long())
        skip();
    while_refused(*state, NO_REPLICAS);
}

static void nobody_is_dead_while_no_copy_can_be_written(void **state)
{
    if (!scene_long())
        skip();
    while_refused(*state, NO_COPY);
}

static void nobody_is_dead_while_redis_is_full(void **state)
{
    if (!scene_long())
        skip();
    while_refused(*state, NO_MEMORY);
}

/* A line of 256 kbit/s, jobs of 60 KB: payloads take longer than a lease to come: the beats have a
 * connection of their own. */
static void nobody_is_dead_behind_a_slow_path(void **state)
{
    static const char fill[] = "for i = 1, ARGV[1] do redis.call('LPUSH', KEYS[1], string.rep('x', "
                               "60000) .. i) end return 1";
    struct scene *s = *state;
    s->proxy = proxy_new(s->folder, redis_server_socket(s->redis));
    (void)snprintf(s->url, sizeof s->url, "%s", proxy_url(s->proxy));
    scene_start(s, LEASE ONE("null", ""));
    scene_second(s, "other", LEASE ONE("null", ""));
    (void)proxy_arm(s->proxy, "rate 32000");
    const unsigned jobs = scene_long() ? 25 : 3;
    int64_t start = clock_now_ms();
    assert_int_equal(ask_int(s, "EVAL %s 1 queue %u", fill, jobs), 1);
    scene_await(s, 3L * LIMIT_MS, stat_of(s, "queue", "done") == jobs);
    assert_true(clock_now_ms() - start > 3000);
    assert_int_equal(fences(s), 0);
    assert_int_equal(stat_of(s, "queue", "recovered") + stat_of(s, "queue", "lost"), 0);
    scene_stop_second(s, SIGTERM);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(the_living_are_left_alone),
        SCENE(nobody_is_dead_while_redis_is_frozen),
        DURABLE(nobody_is_dead_while_redis_is_away),
        SCENE(nobody_is_dead_while_writes_are_held_back),
        SCENE(nobody_is_dead_while_writes_are_refused),
        SCENE(nobody_is_dead_while_too_few_replicas_are_there),
        SCENE(nobody_is_dead_while_no_copy_can_be_written),
        SCENE(nobody_is_dead_while_redis_is_full),
        SCENE(nobody_is_dead_behind_a_slow_path),
    };
    return scene_run(tests);
}
