/* What becomes of a job that is not done: the time limit, further tries, dead letters; retries and
 * delayed payloads that are due; all of it through crashes, a full Redis, and beside fresh jobs. A
 * try fails by a limit of 0.2 s on a job of 600. */
#include "tests/e2e/scene.h"

#define FAILS "600.000000"
#define LIMIT "timeout = 0.2; "
#define SOON "backoff: { base = 0.05; factor = 1.0; jitter = 0.0; }; "
#define LATER "backoff: { base = 3000.0; }; "

static long long waiting(struct scene *s)
{
    return ask_int(s, "ZCARD rpopd:{queue}:retry");
}

/* The number behind `"name":` or the word behind it, of the first dead letter. */
static const char *dead_letter(struct scene *s)
{
    const char *text = ask_text(s, "EVAL %s 0",
                                "return redis.call('ZRANGE', 'rpopd:{queue}:dead', 0, 0)[1] or ''");
    return text ? text : "";
}

static void rest(struct scene *s)
{
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void a_job_that_takes_too_long_is_tried_again_and_then_dead(void **state)
{
    struct scene *s = *state;
    char id[96], attempt[8], reason[64];
    scene_start(s, ONE("sleep", LIMIT SOON "attempts = 3;"));
    push(s, "queue", FAILS);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 1);
    assert_int_equal(stat_of(s, "queue", "retry"), 2);
    assert_int_equal(daemon_printed(s->daemon, "Waiting " FAILS), 3);
    assert_int_equal(daemon_printed(s->daemon, "Done " FAILS), 0);
    assert_int_equal(
        sscanf(dead_letter(s), "%95s 1 %7s 0 %*s %*s {\"reason\":\"%63[^\"]", id, attempt, reason),
        3);
    assert_string_equal(attempt, "3");
    assert_string_equal(reason, "timeout after 0.2 s");
    assert_non_null(strstr(dead_letter(s), "\"instance\":\"e2e\"}\n" FAILS));
    push(s, "queue", "0.01"); /* the slots are free */
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    rest(s);
}

static void a_job_within_its_time_is_left_alone(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", "timeout = 0; attempts = 1;"));
    push(s, "queue", "0.3");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    rest(s);
}

/* Times by Redis' clock: the record says when it is due. */
static void the_delay_grows_and_counts_from_redis_clock(void **state)
{
    struct scene *s = *state;
    static const char script[] =
        "local r = redis.call('ZRANGE', 'rpopd:{queue}:retry', 0, 0, 'WITHSCORES') "
        "local t = redis.call('TIME') return math.floor((r[2] - t[1] * 1000) / 1000)";
    scene_start(s, ONE("sleep", LIMIT "backoff: { base = 5000.0; max = 6000.0; jitter = 0.0; };"));
    push(s, "queue", FAILS);
    scene_await(s, LIMIT_MS, waiting(s) == 1);
    assert_in_range(ask_int(s, "EVAL %s 0", script), 4900, 5001);
    assert_int_equal(ask_int(s, "EVAL %s 0",
                             "local k = 'rpopd:{queue}:retry' "
                             "redis.call('ZADD', k, 1, redis.call('ZRANGE', k, 0, 0)[1]) return 7"),
                     7);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "retry") == 2);
    assert_in_range(ask_int(s, "EVAL %s 0", script), 5900, 6001); /* 10,000 is over the maximum */
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "rpopd:{queue}:retry");
}

/* Payloads of any bytes come through their retries as they are. */
static void any_payload_is_tried_again_as_it_was(void **state)
{
    struct scene *s = *state;
    static const char puts[] =
        "for i, p in ipairs({'', 'a\\0b\\n', 'x 1 1 0 5 6 {}\\n600', '600', "
        "string.rep('y', 2000000)}) do "
        "redis.call('ZADD', 'rpopd:{queue}:retry', 1, 'id' .. i .. ' 1 3 0 5 6 {}\\n' .. p) end "
        "return redis.call('ZADD', 'rpopd:{queue}:retry', 2, 'no record\\nbut bytes')";
    static const char holds[] =
        "local n, all = 0, redis.call('ZRANGE', 'rpopd:{queue}:dead', 0, -1) "
        "for _, r in ipairs(all) do "
        "  local id, attempt, p = string.match(r, '^(%S+) 1 (%d+) [^\\n]*\\n(.*)$') "
        "  if id == 'id1' and p == '' and attempt == '4' then n = n + 1 end "
        "  if id == 'id2' and p == 'a\\0b\\n' and attempt == '4' then n = n + 10 end "
        "  if id == 'id3' and p == 'x 1 1 0 5 6 {}\\n600' then n = n + 100 end "
        "  if id == 'id4' and p == '600' and attempt == '4' then n = n + 1000 end "
        "  if id == 'id5' and p == string.rep('y', 2000000) then n = n + 10000 end "
        "  if p == 'no record\\nbut bytes' and attempt == '1' then n = n + 100000 end "
        "end return n";
    scene_start(s, ONE("sleep", LIMIT "attempts = 4;"));
    assert_int_equal(ask_int(s, "EVAL %s 0", puts), 1);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 6);
    assert_int_equal(ask_int(s, "EVAL %s 0", holds), 111111);
    rest(s);
}

static void a_record_that_is_too_large_is_dead_under_its_id(void **state)
{
    struct scene *s = *state;
    static const char puts[] = "return redis.call('ZADD', 'rpopd:{queue}:retry', 1, "
                               "'id1 1 1 0 5 6 {}\\n' .. string.rep('y', 3000000), 1, "
                               "'id2 1 1 0 5 6 {}\\n' .. string.rep('y', 5000))";
    static const char holds[] =
        "local n, all = 0, redis.call('ZRANGE', 'rpopd:{queue}:dead', 0, -1) "
        "for _, r in ipairs(all) do "
        "  local id, why, p = string.match(r, '^(%S+) 1 .*reason\":\"too (%a+)[^\\n]*\\n(.*)$') "
        "  if why == 'large' and id == 'id1' and #p == 3000000 then n = n + 1 end "
        "  if why == 'large' and id == 'id2' and #p == 5000 then n = n + 10 end "
        "end return n";
    scene_start(s, ONE("sleep", "max_payload = 1000;"));
    assert_int_equal(ask_int(s, "EVAL %s 0", puts), 2);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 2);
    assert_int_equal(ask_int(s, "EVAL %s 0", holds), 11);
    rest(s);
}

static void dead_letters_are_bounded(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", "dead_max = 5;"));
    push_numbers(s, "queue", "x", 0, 20);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 20);
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:dead"), 5);
    rest(s);
}

/* Beside fresh ones --------------------------------------------------------------------------- */

static void put_due(struct scene *s, unsigned n, const char *payload)
{
    assert_int_equal(ask_int(s, "EVAL %s 0 %u %s",
                             "for i = 1, ARGV[1] do redis.call('ZADD', 'rpopd:{queue}:retry', i, "
                             "'d-' .. i .. ' 1 1 0 5 6 {}\\n' .. ARGV[2]) end return 1",
                             n, payload),
                     1);
}

/* Of the next forty jobs that begin from the first due one on, how many are due ones. */
static unsigned due_among_forty(struct scene *s)
{
    size_t len;
    const char *line = strstr(daemon_out(s->daemon, &len), "Waiting 0.02\n");
    unsigned n = 0, due = 0;
    for (; line && n < 40; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        n += strncmp(line, "Waiting ", 8) == 0;
        due += strncmp(line, "Waiting 0.02\n", 13) == 0;
    }
    return n < 40 ? 0 : due;
}

/* One slot. Neither waits for the last of the others. */
static void due_and_fresh_ones_share_the_slots(void **state)
{
    struct scene *s = *state;
    put_due(s, 100, "0.02");
    push_numbers(s, "queue", "0.02", 0, 3000);
    scene_start(s, "concurrency = 1; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, due_among_forty(s) > 0);
    assert_in_range(due_among_forty(s), 10, 30);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
}

static void no_more_are_claimed_than_there_are_slots(void **state)
{
    struct scene *s = *state;
    put_due(s, 30, FAILS);
    scene_start(s, "concurrency = 4; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting " FAILS) == 4);
    scene_hold(s, 1000, claimed(s, "queue") <= 4 && waiting(s) == 26);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(waiting(s), 30); /* given back as they were */
    assert_int_equal(stat_of(s, "queue", "given_back"), 4);
    assert_int_equal(
        ask_int(s, "EVAL %s 0",
                "local n = 0 "
                "for _, r in ipairs(redis.call('ZRANGE', 'rpopd:{queue}:retry', 0, -1)) do "
                "if string.find(r, '^d%-%d+ 1 1 0 5 6 {}\\n600') then n = n + 1 end end "
                "return n"),
        30);
    assert_string_equal(left_over(s), "rpopd:{queue}:retry");
}

static void a_paused_queue_claims_no_retries_and_moves_nothing(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", ""));
    assert_int_equal(
        ask_int(s, "EVAL %s 0", "redis.call('SET', 'rpopd:{queue}:paused', 'x') return 1"), 1);
    put_due(s, 5, "0.01");
    scene_hold(s, 1500, waiting(s) == 5);
    assert_int_equal(ask_int(s, "DEL rpopd:{queue}:paused"), 1);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 5);
    rest(s);
}

/* Crashes ------------------------------------------------------------------------------------- */

static void killed_with_retries_in_flight_loses_none_and_counts_no_try(void **state)
{
    struct scene *s = *state;
    const unsigned kills = scene_long() ? 60 : 8;
    put_due(s, 20, FAILS);
    scene_start(s, "concurrency = 50; " ONE("sleep", "max_recoveries = 1000000;"));
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 20);
    for (unsigned i = 0; i < kills; i++) {
        daemon_kill(s->daemon);
        scene_again(s);
        scene_await(s, LIMIT_MS,
                    claimed(s, "queue") == 20 &&
                        daemon_printed(s->daemon, "Waiting " FAILS) >= 20 * (i + 1));
    }
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(waiting(s), 20);
    assert_int_equal(
        ask_int(s, "EVAL %s 0",
                "local n = 0 "
                "for _, r in ipairs(redis.call('ZRANGE', 'rpopd:{queue}:retry', 0, -1)) do "
                "if string.find(r, '^d%-%d+ 1 1 0 ') then n = n + 1 end end return n"),
        20);
}

/* Killed at any moment of tries that fail: each ends after at most `attempts` counted ones. */
static void killed_while_tries_fail_each_is_dead_once(void **state)
{
    struct scene *s = *state;
    const unsigned jobs = 50;
    const unsigned kills = scene_long() ? 60 : 8;
    push_numbers(s, "queue", "600.", 0, jobs);
    scene_start(
        s, "concurrency = 50; " ONE("sleep", LIMIT SOON "attempts = 3; max_recoveries = 1000000;"));
    for (unsigned i = 0; i < kills; i++) {
        int64_t moment = clock_now_ms() + (int64_t)scene_random(300);
        scene_await(s, LIMIT_MS, clock_now_ms() >= moment);
        daemon_kill(s->daemon);
        scene_again(s);
    }
    scene_await(s, LIMIT_MS, ask_int(s, "ZCARD rpopd:{queue}:dead") == jobs);
    rest(s);
    assert_int_equal(stat_of(s, "queue", "dead"), jobs);
    assert_int_equal(stat_of(s, "queue", "retry"), 2 * jobs);
    assert_int_equal(
        ask_int(s, "EVAL %s 0",
                "local seen, n = {}, 0 "
                "for _, r in ipairs(redis.call('ZRANGE', 'rpopd:{queue}:dead', 0, -1)) do "
                "local id, p = string.match(r, '^(%S+) 1 3 [^\\n]*\\n(.*)$') "
                "if p and not seen[p] and not seen[id] then seen[p], seen[id] = 1, 1 "
                "n = n + 1 end end return n"),
        jobs);
}

/* Troubles ------------------------------------------------------------------------------------ */

static void a_full_redis_still_takes_retries(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", LIMIT SOON "attempts = 3;"));
    push(s, "queue", FAILS);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting " FAILS) == 1);
    (void)ask_text(s, "CONFIG SET maxmemory 1");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 1);
    (void)ask_text(s, "CONFIG SET maxmemory 0");
    rest(s);
}

static void a_key_of_another_type_is_told_once_and_mended(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", LIMIT SOON "attempts = 2;"));
    (void)ask_text(s, "SET rpopd:{queue}:retry x");
    push(s, "queue", FAILS);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "WRONGTYPE") >= 1);
    scene_hold(s, 1500, daemon_logged(s->daemon, "redis-refused") == 1);
    push(s, "queue", "0.01"); /* the rest goes on */
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    (void)ask_text(s, "DEL rpopd:{queue}:retry");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 1);
    rest(s);
}

/* Delayed ------------------------------------------------------------------------------------- */

static void a_delayed_payload_runs_once_it_is_due(void **state)
{
    struct scene *s = *state;
    static const char puts[] =
        "local t = redis.call('TIME') t = t[1] + t[2] / 1000000 "
        "return redis.call('ZADD', 'rpopd:{queue}:delayed', t + 1.5, '0.01', t + 900, '0.02', "
        "t - 5, '0.03')";
    scene_start(s, ONE("sleep", ""));
    assert_int_equal(ask_int(s, "EVAL %s 0", puts), 3);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.03") == 1);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.01") == 1);
    /* Not before its time, by Redis' clock: the score has passed. */
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:delayed"), 1);
    assert_int_equal(daemon_printed(s->daemon, "Waiting 0.02"), 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "rpopd:{queue}:delayed");
}

static void delayed_of_another_type_does_not_hold_up_the_retries(void **state)
{
    struct scene *s = *state;
    (void)ask_text(s, "SET rpopd:{queue}:delayed x");
    put_due(s, 3, "0.01");
    scene_start(s, ONE("sleep", ""));
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 3);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "WRONGTYPE") == 1);
    (void)ask_text(s, "DEL rpopd:{queue}:delayed");
    assert_int_equal(ask_int(s, "ZADD rpopd:{queue}:delayed 1.5 0.01"), 1);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 4);
    rest(s);
}

/* Hollowing ----------------------------------------------------------------------------------- */

static void a_job_that_runs_long_pins_no_payload_but_its_own(void **state)
{
    struct scene *s = *state;
    static const char puts[] =
        "redis.call('LPUSH', 'queue', '600') for i = 1, 40 do "
        "redis.call('LPUSH', 'queue', '0.0' .. string.rep('0', 20000)) end return 1";
    static const char size[] =
        "local n = 0 for _, k in ipairs(redis.call('KEYS', 'rpopd:{queue}:inflight:*')) do "
        "for _, p in ipairs(redis.call('LRANGE', k, 0, -1)) do n = n + #p end end return n";
    assert_int_equal(ask_int(s, "EVAL %s 0", puts), 1);
    scene_start(s, "concurrency = 100; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 40);
    scene_await(s, LIMIT_MS, ask_int(s, "EVAL %s 0", size) == 3);
    daemon_kill(s->daemon);
    scene_again(s);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting 600") == 2);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(stat_of(s, "queue", "done"), 40);
    assert_string_equal(ask_text(s, "LPOP queue"), "600");
    assert_string_equal(left_over(s), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_job_that_takes_too_long_is_tried_again_and_then_dead),
        SCENE(a_job_within_its_time_is_left_alone),
        SCENE(the_delay_grows_and_counts_from_redis_clock),
        SCENE(any_payload_is_tried_again_as_it_was),
        SCENE(a_record_that_is_too_large_is_dead_under_its_id),
        SCENE(dead_letters_are_bounded),
        SCENE(due_and_fresh_ones_share_the_slots),
        SCENE(no_more_are_claimed_than_there_are_slots),
        SCENE(a_paused_queue_claims_no_retries_and_moves_nothing),
        SCENE(killed_with_retries_in_flight_loses_none_and_counts_no_try),
        SCENE(killed_while_tries_fail_each_is_dead_once),
        SCENE(a_full_redis_still_takes_retries),
        SCENE(a_key_of_another_type_is_told_once_and_mended),
        SCENE(a_delayed_payload_runs_once_it_is_due),
        SCENE(delayed_of_another_type_does_not_hold_up_the_retries),
        SCENE(a_job_that_runs_long_pins_no_payload_but_its_own),
    };
    return scene_run(tests);
}
