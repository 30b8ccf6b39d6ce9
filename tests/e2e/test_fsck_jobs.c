/* rpopctl fsck: a job in two places, what would expire, and keys of queues that nobody serves; made
 * by hand, told, put right, and each job is run once. */
#include "tests/e2e/fsck.h"

#define ID(n) "00000000000000aa.1-7-" n
#define RECORD(n, payload) "'" ID(n) " 1 1 0 5 6 {}\\n" payload "'"
#define R_FIELD "gone:00000000000000aa.1:r8"

static void eval(struct scene *s, const char *text)
{
    (void)ask_text(s, "EVAL %s 0", text);
}

/* A pause keeps the daemon from what a dead run left and was given up: nothing is wrong with it. */
static void start_paused(struct scene *s)
{
    (void)ask_text(s, "SET rpopd:{queue}:paused x");
    scene_start(s, "lease = 3.0; " ONE("sleep", ""));
}

/* Behind all that is left: an epoch of which nothing lies there does not stay open. */
static void give_up(struct scene *s)
{
    (void)ask_int(s, "HSET rpopd:{queue}:fenced 00000000000000aa.1 %s", "1 open");
}

static void leave_records(struct scene *s, const char *records)
{
    char text[512];
    (void)snprintf(text, sizeof text,
                   "redis.call('LPUSH', 'rpopd:{queue}:inflight:" R_FIELD "', %s) "
                   "redis.call('HSET', 'rpopd:{queue}:batches', '" R_FIELD
                   "', '1 00000000000000aa.1-r8 0 0 -')",
                   records);
    eval(s, text);
}

static void resume(struct scene *s, int done)
{
    assert_int_equal(ask_int(s, "DEL rpopd:{queue}:paused"), 1);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == done);
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS rpopd:{queue}:batches rpopd:{queue}:retry") == 0);
    fsck_clean(s);
}

static void is_done_once(struct scene *s, const char *payload)
{
    char line[32];
    (void)snprintf(line, sizeof line, "Done %s", payload);
    assert_int_equal(daemon_printed(s->daemon, line), 1);
}

/* ---- twice ---- */

/* In flight and among the retries, in flight and dead, in two batches, among the retries and in
 * flight as a record, among the retries and dead, twice among the retries. */
static void a_job_in_two_places_is_run_once(void **state)
{
    static const char *const jobs[] = {"0.000", "0.002", "0.003", "0.004",
                                       "0.010", "0.011", "0.012"};
    struct scene *s = *state;
    start_paused(s);
    fsck_leave_batch(s, "queue", ENTRY);
    leave_records(s, RECORD("3", "0.003") ", " RECORD("10", "0.010"));
    eval(s,
         "for _, r in ipairs({" RECORD("0", "0.000") ", " RECORD("10", "0.010") ", " RECORD(
             "11",
             "0.011") ", " RECORD("12",
                                  "0.012") "}) do "
                                           "redis.call('ZADD', 'rpopd:{queue}:retry', 7, r) end "
                                           "redis.call('ZADD', 'rpopd:{queue}:retry', 8, '" ID(
                                               "12") " 1 2 0 5 6 {}\\n0.012') "
                                                     "for _, r in ipairs({" RECORD(
                                                         "2",
                                                         "0.002") ", " RECORD("11",
                                                                              "0.011") "}) do "
                                                                                       "redis.call("
                                                                                       "'ZADD', "
                                                                                       "'rpopd:{"
                                                                                       "queue}:"
                                                                                       "dead', 7, "
                                                                                       "r) end");
    give_up(s);
    fsck_repairs(s, "twice", 6);
    assert_int_equal(ask_int(s, "EXISTS rpopd:{queue}:dead"), 0);
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:retry"), 2);
    assert_int_equal(ask_int(s, "ZCOUNT rpopd:{queue}:retry 8 8"), 1); /* the later of the two */
    resume(s, 7);
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++)
        is_done_once(s, jobs[i]);
}

/* More than a page: what a repair removes shifts what is still to be read. */
static void many_copies_are_told_and_removed_at_once(void **state)
{
    struct scene *s = *state;
    scene_start(s, CALM ONE("sleep", ""));
    eval(s, "for i = 1, 1000 do for _, k in ipairs({'retry', 'dead'}) do "
            "redis.call('ZADD', 'rpopd:{queue}:' .. k, 9999999999000 + i, "
            "'00000000000000aa.1-7-' .. i .. ' 1 1 0 5 6 {}\\n0.01') end end");
    fsck_repairs(s, "twice", 1000);
    assert_int_equal(ask_int(s, "EXISTS rpopd:{queue}:dead"), 0);
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:retry"), 1000);
}

static void a_copy_of_what_runs_is_removed(void **state)
{
    struct scene *s = *state;
    char id[128];
    scene_start(s, CALM ONE("sleep", ""));
    push(s, "queue", "600");
    scene_await(s, LIMIT_MS, running(s) == 1);
    json_t *jobs = CTL_JSON(s, 0, "jobs");
    (void)snprintf(id, sizeof id, "%s", ctl_text(json_array_get(jobs, 0), "id"));
    json_decref(jobs);
    (void)ask_text(s, "EVAL %s 0 %s",
                   "redis.call('ZADD', 'rpopd:{queue}:retry', 9999999999999, ARGV[1] .. ' 1 1 0 5 "
                   "6 {}\\n600')",
                   id);
    json_t *json = CTL_JSON(s, 1, "fsck", "--repair");
    const json_t *f = json_array_get(json_object_get(json, "findings"), 0);
    assert_string_equal(ctl_text(f, "key"), "rpopd:{queue}:retry");
    assert_non_null(strstr(ctl_text(f, "detail"), id));
    assert_non_null(strstr(ctl_text(f, "detail"), "also in rpopd:{queue}:inflight:e2e:"));
    json_decref(json);
    fsck_clean(s);
    json_decref(CTL_JSON(s, 0, "cancel", id));
    scene_await(s, LIMIT_MS, ask_int(s, "ZCARD rpopd:{queue}:dead") == 1);
    assert_int_equal(ask_int(s, "EXISTS rpopd:{queue}:retry"), 0);
    fsck_clean(s);
}

static void two_jobs_of_one_id_are_both_left(void **state)
{
    struct scene *s = *state;
    start_paused(s);
    fsck_leave_batch(s, "queue", ENTRY);
    eval(s, "redis.call('ZADD', 'rpopd:{queue}:retry', 7, " RECORD("0", "0.010") ")");
    give_up(s);
    fsck_leaves(s, "queue", "differs", 1);
    resume(s, 5);
    is_done_once(s, "0.000");
    is_done_once(s, "0.010");
}

static void a_record_in_flight_that_cannot_be_read_is_told(void **state)
{
    struct scene *s = *state;
    start_paused(s);
    leave_records(s, RECORD("0", "0.010") ", 'rubbish'");
    give_up(s);
    fsck_leaves(s, "queue", "unreadable", 1);
    assert_int_equal(ask_int(s, "DEL rpopd:{queue}:paused"), 1);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 1 && stat_of(s, "queue", "done") == 1);
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS rpopd:{queue}:batches") == 0);
    is_done_once(s, "0.010");
    fsck_clean(s);
}

/* Jobs go from batch to retry to batch to the dead letters as fast as they can. */
static void jobs_on_their_way_are_no_findings(void **state)
{
    struct scene *s = *state;
    const int n = MANY / 20;
    scene_start(s, "concurrency = 50; lease = 3.0; " ONE(
                       "sleep", "timeout = 0.01; attempts = 3; backoff: { base = 0.01; };"));
    (void)ask_text(s, "EVAL %s 1 queue %d",
                   "for i = 1, ARGV[1] do redis.call('LPUSH', KEYS[1], '600') end", n);
    while (stat_of(s, "queue", "dead") < n)
        json_decref(CTL_JSON(s, 0, "fsck", "--repair"));
    assert_int_equal(stat_of(s, "queue", "retry"), 2 * n);
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:dead"), n);
    fsck_clean(s);
}

/* ---- what would expire ---- */

static void what_would_expire_with_jobs_stays(void **state)
{
    struct scene *s = *state;
    start_paused(s);
    fsck_leave_batch(s, "queue", ENTRY);
    eval(
        s,
        "redis.call('ZADD', 'rpopd:{queue}:retry', 7, " RECORD(
            "9",
            "0.009") ") "
                     "redis.call('ZADD', 'rpopd:{queue}:dead', 7, " RECORD(
                         "8",
                         "0.008") ") "
                                  "for _, k in ipairs({'retry', 'dead', 'batches', 'inflight:" FIELD
                                  "', 'acked:" FIELD
                                  "'}) do redis.call('EXPIRE', 'rpopd:{queue}:' .. k, 900) end");
    give_up(s);
    fsck_repairs(s, "expires", 4); /* list and bits are one */
    assert_int_equal(ask_int(s, "PTTL rpopd:{queue}:inflight:" FIELD), -1);
    assert_int_equal(ask_int(s, "PTTL rpopd:{queue}:acked:" FIELD), -1);
    resume(s, 5);
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:dead"), 1);
}

static void what_is_the_users_may_expire_and_is_told(void **state)
{
    struct scene *s = *state;
    start_paused(s);
    push(s, "queue", "0.001");
    assert_int_equal(ask_int(s, "EXPIRE queue 900"), 1);
    fsck_leaves(s, "queue", "yours-expires", 1);
    assert_int_equal(ask_int(s, "PERSIST queue"), 1);
    fsck_clean(s);
    resume(s, 1);
}

/* ---- owners and queues that nobody serves ---- */

static void an_instance_that_is_long_gone_is_told_and_given_up(void **state)
{
    struct scene *s = *state;
    scene_start(s, CALM ONE("sleep", ""));
    fsck_leave_batch(s, "queue", ENTRY);
    (void)ask_text(s, "SET rpopd:{queue}:owner:gone %s", "1 00000000000000aa.1 1 host 5");
    eval(s, "redis.call('ZADD', 'rpopd:{queue}:owners', redis.call('TIME')[1] * 1000, 'gone')");
    fsck_clean(s);
    eval(s, "redis.call('ZADD', 'rpopd:{queue}:owners', redis.call('TIME')[1] * 1000 - 3700000, "
            "'gone')");
    fsck_leaves(s, "queue", "gone", 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    scene_start(s, "lease = 1.5; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 4);
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS rpopd:{queue}:owner:gone") == 0);
    is_done_once(s, "0.004");
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS rpopd:{queue}:batches") == 0);
    fsck_clean(s);
}

static void keys_of_a_queue_that_nobody_serves_are_told(void **state)
{
    struct scene *s = *state;
    scene_start(s, CALM ONE("sleep", ""));
    fsck_leave_batch(s, "other", ENTRY);
    fsck_leaves(s, "other", "no-queue", 1);
    eval(s, "redis.call('ZADD', 'rpopd:{other}:owners', redis.call('TIME')[1] * 1000, 'i')");
    fsck_clean(s); /* another daemon's */
    (void)ask_int(s, "DEL rpopd:{other}:owners");
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    scene_start(s, "lease = 1.5; queues = (" QUEUE("queue", "sleep",
                                                   "") ", " QUEUE("other", "sleep", "") ");");
    scene_await(s, LIMIT_MS, stat_of(s, "other", "done") == 4);
    is_done_once(s, "0.002");
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS rpopd:{other}:batches") == 0);
    fsck_clean(s);
}

static void any_key_in_need_of_a_daemon_tells_such_a_queue_once(void **state)
{
    static const struct {
        const char *kind, *queue, *make, *undo;
    } cases[] = {
        {"no-queue", "other", "ZADD rpopd:{other}:retry 7 x", "DEL rpopd:{other}:retry"},
        {"no-queue", "a{b}", "LPUSH rpopd:t4:a{b}:popped x", "DEL rpopd:t4:a{b}:popped"},
        {"no-queue", "queue}:x", "LPUSH rpopd:{queue}:x}:popped x",
         "DEL rpopd:{queue}:x}:popped"}, /* behind a prefix that is ours */
        {"unknown", "", "SET rpopd:other x", "DEL rpopd:other"},
        {"unknown", "", "SET rpopd:{other}:what x", "DEL rpopd:{other}:what"},
    };
    struct scene *s = *state;
    scene_start(s, CALM ONE("sleep", ""));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        (void)ask_text(s, cases[i].make);
        fsck_finds(s, true, cases[i].queue, cases[i].kind, 1, false);
        (void)ask_text(s, cases[i].undo);
    }
    eval(s, "for i = 1, 5000 do redis.call('SET', 'rpopd:{other}:result:0a.1-7-' .. i, 'x') end "
            "redis.call('ZADD', 'rpopd:{other}:dead', 7, 'x') "
            "for _, k in ipairs({'stats', 'fenced', 'paused', 'delayed'}) do "
            "redis.call('SET', 'rpopd:{other}:' .. k, 'x') end");
    fsck_clean(s);
    eval(s, "for i = 1, 5000 do redis.call('SET', 'rpopd:{other}:acked:i:0a.1:' .. i, 'x') end");
    fsck_finds(s, false, "other", "no-queue", 1, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_job_in_two_places_is_run_once),
        SCENE(many_copies_are_told_and_removed_at_once),
        SCENE(a_copy_of_what_runs_is_removed),
        SCENE(two_jobs_of_one_id_are_both_left),
        SCENE(a_record_in_flight_that_cannot_be_read_is_told),
        SCENE(jobs_on_their_way_are_no_findings),
        SCENE(what_would_expire_with_jobs_stays),
        SCENE(what_is_the_users_may_expire_and_is_told),
        SCENE(an_instance_that_is_long_gone_is_told_and_given_up),
        SCENE(keys_of_a_queue_that_nobody_serves_are_told),
        SCENE(any_key_in_need_of_a_daemon_tells_such_a_queue_once),
    };
    return scene_run(tests);
}
