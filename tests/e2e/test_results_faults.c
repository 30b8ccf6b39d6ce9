/* Results and chains through what breaks: kill -9 at random and at every command, the connection
 * broken at every command, two daemons. For each job that is settled its result is delivered once;
 * and as each job that was pushed is settled once, however often it ran, the lists hold exactly as
 * many elements as there were jobs, at every step of a chain. */
#include "tests/e2e/results.h"

#include <time.h>

#include "tests/e2e/proxy.h"

/* The first delivers everywhere; what it hands on is a job of the second, and so on. */
#define CHAIN                                                                                      \
    "queues = (" QUEUE(                                                                            \
        "queue", "null",                                                                           \
        "result: { list = \"first\"; }; on_success = \"second\"; on_failure = "                    \
        "\"broken\"; max_recoveries = 1000000;") ", " QUEUE("second", "null",                      \
                                                            "on_success = "                        \
                                                            "\"third\"; "                          \
                                                            "max_recoveries = "                    \
                                                            "1000000;") ", " QUEUE("third",        \
                                                                                   "null",         \
                                                                                   "result: { "    \
                                                                                   "list = "       \
                                                                                   "\"last\"; }; " \
                                                                                   "max_"          \
                                                                                   "recoveries = " \
                                                                                   "1000000;") ")" \
                                                                                               ";" \
                                                                                               " "

static void configure(struct scene *s, const char *more)
{
    char *text = scene_conf(s, more);
    daemon_configure(s->daemon, text);
    free(text);
}

/* Each once, under an id of its own, with what its own job returned. */
static bool is_each_once(struct scene *s, const char *list, const char *front, unsigned jobs)
{
    struct results r = results_of(s, list, front);
    if (r.total == jobs && r.ids == jobs && r.numbers == jobs)
        return true;
    print_error("%s: %u results, %u ids, of %u of %u jobs\n", list, r.total, r.ids, r.numbers,
                jobs);
    return false;
}

/* ---- kill -9 in a drain ---- */

#define PREFIX "0.010" /* ten milliseconds */

/* Lives that end in the midst of their jobs, some before their first command; returns how many jobs
 * were pushed. */
static unsigned kill_many(struct scene *s)
{
    const unsigned kills = (unsigned)scene_number("E2E_KILLS", scene_long() ? 1000 : 60 / SLOWNESS);
    unsigned pushed = 0;
    for (unsigned life = 0; life < kills; life++) {
        if (ask_int(s, "LLEN queue") < 200) {
            push_numbers(s, "queue", PREFIX, pushed, 500);
            pushed += 500;
        }
        if (life % 4)
            scene_again(s);
        else
            daemon_start(s->daemon);
        (void)nanosleep(&(struct timespec){.tv_nsec = (long)scene_random(30000) * 1000}, NULL);
        daemon_kill(s->daemon);
    }
    scene_again(s);
    print_message("# %u kills, %u jobs\n", kills, pushed);
    return pushed;
}

static void end_of_chain(struct scene *s, unsigned pushed)
{
    scene_await(s, 2 * LIMIT_MS, stat_of(s, "third", "done") >= pushed);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    scene_check(s, is_each_once(s, "first", "r:" PREFIX, pushed));
    scene_check(s, is_each_once(s, "last", "r:r:r:" PREFIX, pushed));
    assert_int_equal(stat_of(s, "queue", "done"), pushed);
    assert_int_equal(stat_of(s, "third", "done"), pushed);
    assert_int_equal(ask_int(s, "DEL first last"), 2);
    assert_string_equal(left_over(s), "");
}

static void many_kills_in_a_chain_of_three_queues(void **state)
{
    struct scene *s = *state;
    configure(s, "concurrency = 20; " CHAIN);
    end_of_chain(s, kill_many(s));
}

/* A Redis that writes before it answers keeps job and result, or neither. */
static void redis_killed_under_a_chain(void **state)
{
    struct scene *s = *state;
    const unsigned jobs = 1000;
    push_numbers(s, "queue", PREFIX, 0, jobs);
    scene_start(s, "concurrency = 20; " CHAIN);
    for (unsigned i = 1; i <= 5; i++) {
        scene_await(s, LIMIT_MS, stat_of(s, "third", "done") >= i * jobs / 10);
        redis_server_kill(s->redis);
        assert_int_equal(redis_server_restart(s->redis, true), 0);
    }
    end_of_chain(s, jobs);
}

/* The newest job was handed on: none that is older is on its way any more. */
static bool newest_came(struct scene *s, unsigned number)
{
    static const char script[] = "return redis.call('LPOS', KEYS[1], ARGV[1]) and 1 or 0";
    char result[32];
    (void)snprintf(result, sizeof result, "r:" PREFIX "%06u", number);
    return ask_int(s, "EVAL %s 1 next %s", script, result) == 1;
}

/* Popped before they run: what a kill takes is lost, nothing is delivered twice. */
static void many_kills_of_jobs_that_are_delivered_at_most_once(void **state)
{
    struct scene *s = *state;
    configure(s, "concurrency = 20; " ONE("null", "delivery = \"at-most-once\"; result: { list = "
                                                  "\"first\"; }; on_success = \"next\";"));
    unsigned pushed = kill_many(s);
    push_numbers(s, "queue", PREFIX, pushed++, 1);
    scene_await(s, LIMIT_MS, newest_came(s, pushed - 1));
    scene_stop(s, SIGTERM, 0, LIMIT_MS); /* what runs is done and delivered before */
    long long done = stat_of(s, "queue", "done"), next = ask_int(s, "LLEN next");
    print_message("# %lld of %u jobs are done\n", done, pushed);
    assert_in_range(done, 1, pushed);
    scene_check(s, is_each_once(s, "first", "r:" PREFIX, (unsigned)done));
    assert_int_equal(next, done);
    assert_int_equal(ask_int(s, "DEL first next"), 2);
    assert_string_equal(left_over(s), "");
}

/* ---- every command ---- */

#define AT_START 3
#define LATER 2 /* each meets a pop */
#define JOBS (AT_START + LATER)

static unsigned arrived(struct scene *s)
{
    return results_of(s, "last", "r:r:r:job").numbers;
}

static bool ended(struct scene *s, unsigned jobs)
{
    return (arrived(s) >= jobs && ask_int(s, "LLEN broken") == 1) || !daemon_alive(s->daemon);
}

/* Jobs from a list, jobs from pops, one that is dead, an exit. The proxy may end it anywhere. */
static void short_life(struct scene *s)
{
    push_numbers(s, "queue", "job", 0, AT_START);
    push(s, "queue", "dead");
    daemon_start(s->daemon);
    for (unsigned i = AT_START; i <= JOBS; i++) {
        scene_await(s, LIMIT_MS, ended(s, i));
        if (i < JOBS)
            push_numbers(s, "queue", "job", i, 1);
    }
    if (daemon_alive(s->daemon))
        kill(daemon_pid(s->daemon), SIGTERM);
    scene_check(s, daemon_wait(s->daemon, LIMIT_MS) != -ETIMEDOUT);
}

static void fresh_life(struct scene *s)
{
    assert_int_equal(ask_int(s, "FLUSHALL"), 1);
    (void)proxy_arm(s->proxy, "none");
}

/* The next life over the same proxy, which breaks nothing now. */
static void next_life(struct scene *s)
{
    (void)proxy_arm(s->proxy, "none");
    scene_again(s);
    scene_await(s, LIMIT_MS, arrived(s) == JOBS && ask_int(s, "LLEN broken") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void assert_all_once(struct scene *s, const char *kind, unsigned at)
{
    bool once = is_each_once(s, "first", "r:job", JOBS) &&
                is_each_once(s, "last", "r:r:r:job", JOBS) && ask_int(s, "LLEN broken") == 1 &&
                stat_of(s, "queue", "done") == JOBS && stat_of(s, "queue", "dead") == 1 &&
                ask_int(s, "DEL first last broken") == 3;
    const char *left = left_over(s);
    if (once && !left[0])
        return;
    print_error("%s at command %u: left '%s'\n", kind, at, left);
    scene_fail(s, "a result is missing, doubled or left behind", __FILE__, __LINE__);
}

static void break_at(struct scene *s, const char *kind, unsigned at)
{
    fresh_life(s);
    (void)proxy_arm(s->proxy, "%s %u 4", kind, at);
    short_life(s);
    next_life(s);
    assert_all_once(s, kind, at);
}

/* One in `step` commands is broken in one of the ways, in the long form each in all of them; a step
 * that shares no factor with their number meets them all. */
static void broken_everywhere(struct scene *s, const char *const *kinds, unsigned n, unsigned step)
{
    s->proxy = proxy_new(s->folder, redis_server_socket(s->redis));
    (void)snprintf(s->url, sizeof s->url, "%s", proxy_url(s->proxy));
    s->redis_more = "command_timeout = 0.5; connect_timeout = 0.5;";
    configure(s, "concurrency = 5; " CHAIN);
    short_life(s);
    unsigned commands = proxy_arm(s->proxy, "none").commands, first = scene_random(n);
    next_life(s);
    assert_all_once(s, "no fault", 0);
    print_message("# %u commands in a clean life\n", commands);
    step = scene_long() ? 1 : SLOWNESS > 1 ? step * 3 : step;
    for (unsigned at = 1 + scene_random(step); at <= commands; at += step)
        for (unsigned k = 0; k < n; k++)
            if (scene_long() || (at + first) % n == k)
                break_at(s, kinds[k], at);
}

static void killed_before_or_behind_each_command(void **state)
{
    static const char *const kinds[] = {"kill-before", "kill-after"};
    broken_everywhere(*state, kinds, 2, 5);
}

static void cut_before_or_behind_each_command(void **state)
{
    static const char *const kinds[] = {"cut-before", "cut-after", "half", "late", "orphan"};
    broken_everywhere(*state, kinds, 5, 7);
}

/* ---- two daemons ---- */

#define WAITING 20 /* jobs that are done and cannot be delivered */

/* The first has done its jobs and cannot deliver; it freezes, the second takes them over and does
 * them too. Both deliver what they may: the first wakes up and may nothing. */
static void who_was_frozen_and_lost_its_jobs_delivers_nothing(void **state)
{
    struct scene *s = *state;
    static const char conf[] =
        "lease = 1.0; concurrency = 40; " ONE("null", "result: { list = \"first\"; };");
    assert_int_equal(ask_int(s, "SADD first x"), 1);
    scene_start(s, conf);
    push_numbers(s, "queue", "0.00", 0, WAITING);
    scene_await(s, LIMIT_MS, printed(s, "Done", "0.00", WAITING).distinct == WAITING);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "at=deliver") == 1);
    daemon_signal(s->daemon, SIGSTOP);
    scene_second(s, "other", conf);
    scene_await(s, LIMIT_MS, printed_by_both(s, "Done", "0.00", WAITING).total == 2 * WAITING);
    assert_int_equal(ask_int(s, "DEL first"), 1);
    daemon_signal(s->daemon, SIGCONT); /* its own question comes first, or the other's: no matter */
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 0);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=epoch-lost") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_stop(s->second, SIGTERM, LIMIT_MS), 0);
    scene_check(s, is_each_once(s, "first", "r:0.00", WAITING));
    assert_int_equal(stat_of(s, "queue", "done"), WAITING);
    assert_int_equal(ask_int(s, "DEL first"), 1);
    assert_string_equal(left_over(s), "");
}

int main(void)
{
    results_use_daemon();
    const struct CMUnitTest tests[] = {
        SCENE(many_kills_in_a_chain_of_three_queues),
        DURABLE(redis_killed_under_a_chain),
        SCENE(many_kills_of_jobs_that_are_delivered_at_most_once),
        SCENE(killed_before_or_behind_each_command),
        SCENE(cut_before_or_behind_each_command),
        SCENE(who_was_frozen_and_lost_its_jobs_delivers_nothing),
    };
    return scene_run(tests);
}
