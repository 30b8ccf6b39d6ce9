/* A payload is opaque bytes: whatever it holds it is handled, and what cannot be run is kept with
 * the reason. */
#include "tests/e2e/scene.h"

#include <hiredis/hiredis.h>

#define MIB (1024L * 1024)

static void push_bytes(struct scene *s, const char *queue, const void *bytes, size_t len)
{
    assert_true(ask_int(s, "LPUSH %s %b", queue, bytes, len) > 0);
}

static void await_stat(struct scene *s, const char *name, long long n)
{
    scene_await(s, 2 * LIMIT_MS, stat_of(s, "queue", name) == n);
}

static void stop_at_rest(struct scene *s)
{
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* Records ---------------------------------------------------------------------------------------
 */

struct record {
    char *raw;
    char id[128], evidence[8192], reason[1024];
    long long version, attempt, strikes, first_ms, last_ms;
    const char *payload;
    size_t len;
};

/* JSON is Redis' business here: what its cjson cannot read is none. "\1": it is no JSON with that
 * field. */
static const char *json_text(struct scene *s, const char *json, const char *field)
{
    static const char script[] = "local ok, v = pcall(cjson.decode, ARGV[1]) "
                                 "if not ok or type(v) ~= 'table' or type(v[ARGV[2]]) ~= 'string' "
                                 "then return '\\1' end return v[ARGV[2]]";
    return ask_text(s, "EVAL %s 0 %s %s", script, json, field);
}

/* `<job id> <version> <attempt> <strikes> <first ms> <last ms> <evidence>\n<payload>`, the n-th
 * from the oldest. */
static struct record dead_at(struct scene *s, int n)
{
    struct record r = {0};
    redisReply *all = redis_server_run(s->redis, "ZRANGE rpopd:{queue}:dead %d %d", n, n);
    assert_non_null(all);
    assert_int_equal(all->elements, 1);
    size_t len = all->element[0]->len;
    r.raw = malloc(len + 1);
    assert_non_null(r.raw);
    memcpy(r.raw, all->element[0]->str, len + 1);
    freeReplyObject(all);
    char *end = memchr(r.raw, '\n', len);
    assert_non_null(end);
    *end = 0;
    assert_int_equal(sscanf(r.raw, "%127s %lld %lld %lld %lld %lld %8191[^\n]", r.id, &r.version,
                            &r.attempt, &r.strikes, &r.first_ms, &r.last_ms, r.evidence),
                     7);
    r.payload = end + 1;
    r.len = len - (size_t)(r.payload - r.raw);
    (void)snprintf(r.reason, sizeof r.reason, "%s", json_text(s, r.evidence, "reason"));
    return r;
}

static void assert_sound(struct scene *s, const struct record *r)
{
    unsigned long long run;
    unsigned counter, batch, index;
    char rest[2];
    if (sscanf(r->id, "%16llx.%u-%u-%u%1s", &run, &counter, &batch, &index, rest) != 4)
        fail_msg("'%s' is no job id: <run>.<counter>-<n>-<i>", r->id);
    assert_int_equal(r->version, 1);
    assert_int_equal(r->attempt, 1);
    assert_int_equal(r->strikes, 0);
    assert_true(r->first_ms <= r->last_ms);
    long long now = (long long)clock_wall_ms();
    assert_true(now - r->first_ms < 120000 && now - r->last_ms >= -1000);
    assert_string_not_equal(r->reason, "\1");
    assert_true(strlen(r->reason) > 5); /* a sentence */
    assert_string_equal(json_text(s, r->evidence, "instance"), s->instance);
}

static void assert_dead(struct scene *s, int n, const void *payload, size_t len)
{
    struct record r = dead_at(s, n);
    assert_sound(s, &r);
    assert_int_equal(r.len, len);
    assert_memory_equal(r.payload, payload, len);
    free(r.raw);
}

/* What is handled --------------------------------------------------------------------------------
 */

static void equal_payloads_are_jobs_of_their_own(void **state)
{
    struct scene *s = *state;
    scene_start(s, "concurrency = 7; " ONE("sleep", ""));
    for (unsigned i = 0; i < 1000; i++)
        push(s, "queue", "0.001");
    await_stat(s, "done", 1000);
    assert_int_equal(daemon_printed(s->daemon, "Waiting 0.001"), 1000);
    assert_int_equal(daemon_printed(s->daemon, "Done 0.001"), 1000);
    stop_at_rest(s);
}

static void any_bytes_are_a_job_for_null(void **state)
{
    struct scene *s = *state;
    char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    scene_start(s, ONE("null", ""));
    push_bytes(s, "queue", "", 0);
    push_bytes(s, "queue", "\0", 1);
    push_bytes(s, "queue", "a\0b\0", 4);
    push_bytes(s, "queue", all, sizeof all);
    push_bytes(s, "queue", "\xff\xfe\xc0\x80\xed\xa0\x80", 7);
    push_bytes(s, "queue", "\r\n", 2);
    push_bytes(s, "queue", "$-1\r\n*2147483647\r\n", 18);
    push_bytes(s, "queue", "-ERR no such thing\r\n", 20);
    await_stat(s, "done", 8);
    stop_at_rest(s);
}

static void large_payloads_are_jobs_like_others(void **state)
{
    struct scene *s = *state;
    char *big = malloc(16 * MIB);
    assert_non_null(big);
    memset(big, 0, 16 * MIB);
    scene_start(s, ONE("null", ""));
    for (unsigned i = 0; i < 4; i++) {
        push_bytes(s, "queue", big, 16 * MIB);
        push_bytes(s, "queue", "small", 5);
    }
    await_stat(s, "done", 8);
    free(big);
    stop_at_rest(s);
}

static void a_megabyte_of_digits_is_no_more_than_a_number(void **state)
{
    struct scene *s = *state;
    char *digits = malloc(MIB);
    assert_non_null(digits);
    memset(digits, '0', MIB);
    digits[1] = '.';
    scene_start(s, ONE("sleep", ""));
    push_bytes(s, "queue", digits, MIB);
    push(s, "queue", "0.01");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.01") == 1);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") + stat_of(s, "queue", "dead") == 2);
    free(digits);
    stop_at_rest(s);
}

/* What is not ------------------------------------------------------------------------------------
 */

static void what_is_no_number_is_dead_with_its_bytes_and_the_reason(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"abc", 3},
        {"", 0},
        {"-1", 2},
        {"nan", 3},
        {"inf", 3},
        {"1,5", 3},
        {"2x", 2},
        {"1\0", 2},
        {"\0", 1},
        {"\xff\xfe", 2},
        {"two\nlines", 9},
        {"$(reboot)", 9},
        {"0.1 1 0 0 0 0 {}\nx", 18},
        {"--", 2},
    };
    struct scene *s = *state;
    const int n = sizeof bad / sizeof *bad;
    scene_start(s, "concurrency = 1; " ONE("sleep", ""));
    for (int i = 0; i < n; i++) {
        push_bytes(s, "queue", bad[i].bytes, bad[i].len);
        await_stat(s, "dead", i + 1);
    }
    push(s, "queue", "0.01");
    await_stat(s, "done", 1);
    assert_string_equal(daemon_out(s->daemon, NULL), "Waiting 0.01\nDone 0.01\n");
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:dead"), n);
    for (int i = 0; i < n; i++) {
        bool found = false; /* those of one millisecond are sorted by their id */
        for (int k = 0; k < n && !found; k++) {
            struct record r = dead_at(s, k);
            found = r.len == bad[i].len && memcmp(r.payload, bad[i].bytes, r.len) == 0;
            if (found)
                assert_sound(s, &r);
            free(r.raw);
        }
        assert_true(found);
    }
    stop_at_rest(s);
}

static void a_dead_letter_says_when_it_died(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", ""));
    push(s, "queue", "abc");
    await_stat(s, "dead", 1);
    redisReply *r = redis_server_run(s->redis, "ZRANGE rpopd:{queue}:dead 0 0 WITHSCORES");
    assert_non_null(r);
    assert_int_equal(r->elements, 2);
    assert_true(llabs(atoll(r->element[1]->str) - (long long)clock_wall_ms()) < 60000);
    freeReplyObject(r);
    assert_true(daemon_logged(s->daemon, "abc") <= 1); /* at most one line about it */
    stop_at_rest(s);
}

static void bad_and_good_in_one_batch_do_not_touch_each_other(void **state)
{
    struct scene *s = *state;
    for (unsigned i = 0; i < 300; i++) {
        char payload[32];
        (void)snprintf(payload, sizeof payload, i % 3 == 0 ? "bad%06u" : "0.00%06u", i);
        push(s, "queue", payload);
    }
    scene_start(s, "concurrency = 100; " ONE("sleep", ""));
    await_stat(s, "dead", 100);
    await_stat(s, "done", 200);
    assert_int_equal(printed(s, "Done", "0.00", 300).distinct, 200);
    assert_int_equal(printed(s, "Done", "0.00", 300).total, 200);
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:dead"), 100);
    stop_at_rest(s);
}

static void dead_letters_are_bounded_by_dead_max(void **state)
{
    struct scene *s = *state;
    scene_start(s, "concurrency = 3; " ONE("sleep", "dead_max = 10;"));
    for (unsigned i = 0; i < 100; i++) {
        char payload[32];
        (void)snprintf(payload, sizeof payload, "bad%06u", i);
        push(s, "queue", payload);
    }
    while (stat_of(s, "queue", "dead") < 100) {
        scene_check(s, ask_int(s, "ZCARD rpopd:{queue}:dead") <= 10);
        scene_check(s, daemon_alive(s->daemon));
        scene_tick();
    }
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:dead"), 10);
    struct record r = dead_at(s, 0); /* the newest are kept */
    assert_true(r.len == 9 && atoi(r.payload + 3) >= 80);
    free(r.raw);
    stop_at_rest(s);
}

static void dead_letters_are_bounded_by_dead_age(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", "dead_age = 1.0;"));
    push(s, "queue", "old");
    await_stat(s, "dead", 1);
    int64_t old = clock_now_ms() + 1100;
    scene_await(s, LIMIT_MS, clock_now_ms() > old);
    push(s, "queue", "new");
    await_stat(s, "dead", 2);
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:dead"), 1);
    assert_dead(s, 0, "new", 3);
    stop_at_rest(s);
}

/* Too large --------------------------------------------------------------------------------------
 */

static void max_payload_itself_is_not_too_large(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", "max_payload = 10;"));
    push(s, "queue", "0.00000001");
    await_stat(s, "done", 1);
    push(s, "queue", "0.000000001");
    await_stat(s, "dead", 1);
    assert_string_equal(daemon_out(s->daemon, NULL), "Waiting 0.00000001\nDone 0.00000001\n");
    struct record r = dead_at(s, 0);
    assert_sound(s, &r);
    assert_non_null(strstr(r.reason, "too large"));
    assert_int_equal(r.len, 11);
    free(r.raw);
    stop_at_rest(s);
}

static void too_large_is_dead_for_null_too(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("null", "max_payload = 1;"));
    push(s, "queue", "xy");
    push(s, "queue", "x");
    push_bytes(s, "queue", "", 0);
    await_stat(s, "dead", 1);
    await_stat(s, "done", 2);
    assert_dead(s, 0, "xy", 2);
    stop_at_rest(s);
}

/* The daemon hears of the length before the bytes, and never keeps them. */
static void huge_payloads_cost_no_memory(void **state)
{
    struct scene *s = *state;
    const unsigned n = scene_long() ? 8 : 2;
    char *huge = malloc(100 * MIB);
    assert_non_null(huge);
    memset(huge, '7', 100 * MIB);
    scene_start(s, ONE("sleep", "max_payload = 1048576;"));
    push(s, "queue", "0.001");
    await_stat(s, "done", 1);
    int64_t before = daemon_usage(s->daemon).peak_kb;
    for (unsigned i = 1; i <= n; i++) {
        push_bytes(s, "queue", huge, 100 * MIB);
        push(s, "queue", "0.002");
        await_stat(s, "dead", i);
        await_stat(s, "done", 1 + i);
    }
    assert_in_range(daemon_usage(s->daemon).peak_kb - before, 0, 16 * 1024);
    assert_int_equal(printed(s, "Waiting", "", 0).total, 1 + n);
    assert_int_equal(
        ask_int(s, "EVAL %s 0", "return #redis.call('ZRANGE', 'rpopd:{queue}:dead', 0, 0)[1]") >
            100 * MIB,
        1);
    free(huge);
    stop_at_rest(s);
}

static void huge_payloads_in_a_backlog_hold_nothing_up(void **state)
{
    struct scene *s = *state;
    char *large = malloc(3 * MIB);
    assert_non_null(large);
    memset(large, '7', 3 * MIB);
    for (unsigned i = 0; i < 20; i++) {
        push_bytes(s, "queue", large, 3 * MIB);
        push_numbers(s, "queue", "0.00", i * 10, 10);
    }
    free(large);
    scene_start(s, ONE("sleep", "max_payload = 1048576;"));
    await_stat(s, "dead", 20);
    await_stat(s, "done", 200);
    assert_int_equal(printed(s, "Done", "0.00", 200).distinct, 200);
    assert_int_equal(printed(s, "Done", "0.00", 200).total, 200);
    stop_at_rest(s);
}

/* The log -----------------------------------------------------------------------------------------
 */

static void a_queue_s_name_forges_no_field_of_the_log(void **state)
{
    struct scene *s = *state;
    push(s, "a' event='forged' b=\\\n", "no number");
    scene_start(s, "log: { format = \"json\"; }; queues = (" QUEUE("queue", "sleep", "") ", " QUEUE(
                       "a' event='forged' b=\\\\\\n", "sleep", "") "); ");
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "\"event\":\"job-dead\"") == 1);
    assert_int_equal(
        daemon_logged(
            s->daemon,
            "\"event\":\"job-dead\",\"queue\":\"a' event='forged' b=\\\\\\u000a\",\"id\":"),
        1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(equal_payloads_are_jobs_of_their_own),
        SCENE(any_bytes_are_a_job_for_null),
        SCENE(large_payloads_are_jobs_like_others),
        SCENE(a_megabyte_of_digits_is_no_more_than_a_number),
        SCENE(what_is_no_number_is_dead_with_its_bytes_and_the_reason),
        SCENE(a_dead_letter_says_when_it_died),
        SCENE(bad_and_good_in_one_batch_do_not_touch_each_other),
        SCENE(dead_letters_are_bounded_by_dead_max),
        SCENE(dead_letters_are_bounded_by_dead_age),
        SCENE(max_payload_itself_is_not_too_large),
        SCENE(too_large_is_dead_for_null_too),
        SCENE(huge_payloads_cost_no_memory),
        SCENE(huge_payloads_in_a_backlog_hold_nothing_up),
        SCENE(a_queue_s_name_forges_no_field_of_the_log),
    };
    return scene_run(tests);
}
