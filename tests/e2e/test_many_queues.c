/* More than 64 queues in one daemon: their keys are tracked, which takes few links. */
#include <sys/stat.h>

#include "tests/e2e/ctl.h"
#include "tests/e2e/proxy.h"
#include "tests/e2e/shares.h"

#define SOME 80

static long long owned(struct scene *s)
{
    return ask_int(s, "EVAL %s 0", "return #redis.call('KEYS', 'rpopd:*:owner:e2e')");
}

/* A line of CLIENT LIST each. */
static unsigned links(struct scene *s)
{
    const char *list = ask_text(s, "CLIENT LIST");
    unsigned n = 0;
    while (list && (list = strstr(list, "name=rpopd:")))
        list++, n++;
    return n;
}

static void start_many(struct scene *s, unsigned n, const char *more)
{
    char *text = scene_queues(n, more);
    scene_start(s, text);
    free(text);
    scene_await(s, LIMIT_MS, owned(s) == n);
}

/* One job into each; the numbers tell them apart. */
static void push_each(struct scene *s, unsigned n, unsigned first)
{
    static const char script[] = "redis.call('LPUSH', 'queue', '0.00' .. ARGV[2]) "
                                 "for i = 1, ARGV[1] - 1 do "
                                 "  redis.call('LPUSH', 'q' .. i, '0.00' .. ARGV[2] + i) "
                                 "end return 1";
    assert_int_equal(ask_int(s, "EVAL %s 0 %u %u", script, n, first), 1);
}

static void each_is_done(struct scene *s, unsigned jobs)
{
    scene_await(s, LIMIT_MS, printed(s, "Done", "", 0).total == jobs);
}

static void a_thousand_queues_take_few_links_and_run_what_comes(void **state)
{
    struct scene *s = *state;
    const unsigned n = 1000 / SLOWNESS;
    char line[48];
    start_many(s, n, "");
    assert_in_range(links(s), 3, 10);
    push_each(s, n, 100000);
    each_is_done(s, n);
    for (unsigned i = 1; i < 50; i++) { /* one by one, so that none is found by the others' noise */
        (void)snprintf(line, sizeof line, "q%u", i * 13 % (n - 1) + 1);
        push(s, line, "0.0001");
        each_is_done(s, n + i);
    }
    scene_await(s, LIMIT_MS, ask_int(s, "DBSIZE") > 0 && claimed(s, "q1") == 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* A second job would wait for the sweep, of which there are two a minute, if the first had not been
 * heard of: hundreds in a row prove that they are. */
static void every_push_is_heard_of(void **state)
{
    struct scene *s = *state;
    start_many(s, SOME, "");
    int64_t start = clock_now_ms();
    for (unsigned i = 1; i <= 300; i++) {
        push(s, i % 2 ? "q7" : "q8", "0.0001");
        each_is_done(s, i);
    }
    print_message("# 300 jobs one after the other: %lld ms\n", (long long)(clock_now_ms() - start));
    assert_int_equal(daemon_logged(s->daemon, "not-tracking"), 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* The shares_of, and others at which nothing lies. */
static void start_three_among_many(struct scene *s, const char *top, const char *three_queues)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    assert_non_null(f);
    (void)fprintf(f, "%s queues = (%s", top, three_queues);
    for (unsigned i = 4; i <= SOME; i++)
        (void)fprintf(f, ", { name = \"q%u\"; handler: { type = \"sleep\"; }; }", i);
    (void)fputs(");\n", f);
    assert_int_equal(fclose(f), 0);
    scene_start(s, text);
    free(text);
}

static void slots_are_shared_by_weight_among_many(void **state)
{
    struct scene *s = *state;
    shares_push(s, 700);
    start_three_among_many(s, "concurrency = 10;",
                           THREE_OF("weight = 1;", "weight = 3;", "weight = 5;"));
    shares_are(s, 10, (const unsigned[]){1, 3, 5});
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static long long tracked_keys(struct scene *s)
{
    const char *at = strstr(ask_text(s, "INFO stats"), "tracking_total_keys:");
    return at ? atoll(at + strlen("tracking_total_keys:")) : -1;
}

/* The only slot is taken until the daemon has heard of both: before it is told to cancel what has
 * it.
 */
static void a_higher_priority_is_served_first_among_many(void **state)
{
    struct scene *s = *state;
    unsigned seen[3];
    start_three_among_many(s, "concurrency = 1;",
                           THREE_OF("", "weight = 1000; priority = 1;", "priority = 2;"));
    push(s, "queue", "600.5");
    scene_await(s, LIMIT_MS, running(s) == 1);
    scene_await(s, LIMIT_MS, tracked_keys(s) >= 4LL * SOME);
    push_numbers(s, "second", shares_of[1], 0, 50);
    push_numbers(s, "third", shares_of[2], 0, 50);
    ctl_cancel_one(s);
    scene_await(s, LIMIT_MS, shares_seen(s, 100, shares_of, seen, 3) == 100);
    (void)shares_seen(s, 50, shares_of, seen, 3);
    assert_int_equal(seen[2], 50);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* The one who hears of pushes hears nothing more, and is asked in vain for longer than that. */
static void what_nobody_told_is_found_by_the_sweep(void **state)
{
    struct scene *s = *state;
    if (!scene_long())
        skip();
    s->proxy = proxy_new(s->folder, redis_server_socket(s->redis));
    (void)snprintf(s->url, sizeof s->url, "%s", proxy_url(s->proxy));
    s->redis_more = "command_timeout = 100.0;";
    start_many(s, SOME, "");
    scene_await(s, LIMIT_MS, tracked_keys(s) >= 4LL * SOME);
    (void)proxy_arm(s->proxy, "match ^\\*1\\s+\\$4\\s+PING");
    scene_await(s, LIMIT_MS, proxy_arm(s->proxy, "stall 1").hits == 1);
    (void)proxy_arm(s->proxy, "none");
    int64_t start = clock_now_ms();
    push(s, "q7", "0.01");
    scene_await(s, 2L * LIMIT_MS, stat_of(s, "q7", "done") == 1);
    print_message("# found after %lld ms\n", (long long)(clock_now_ms() - start));
    assert_in_range(clock_now_ms() - start, 0, WITHIN(31000));
    assert_int_equal(daemon_logged(s->daemon, "event=redis-lost"), 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void limits_hold_among_many(void **state)
{
    struct scene *s = *state;
    start_many(s, SOME, "concurrency = 7;");
    push_numbers(s, "q1", "600.", 0, 50);
    push_numbers(s, "q2", "600.", 50, 50);
    scene_await(s, LIMIT_MS, claimed(s, "q1") + claimed(s, "q2") == 7);
    scene_hold(s, 500, claimed(s, "q1") + claimed(s, "q2") == 7);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN q1") + ask_int(s, "LLEN q2"), 100);
}

static void what_is_delayed_among_many_comes_in_time(void **state)
{
    struct scene *s = *state;
    start_many(s, SOME, "");
    scene_hold(s, 1500, daemon_alive(s->daemon)); /* nothing looks for it any more */
    assert_int_equal(ask_int(s, "ZADD rpopd:{q9}:delayed 1 0.01"), 1);
    each_is_done(s, 1);
    assert_int_equal(ask_int(s, "EVAL %s 0",
                             "return redis.call('ZADD', 'rpopd:{q9}:delayed', "
                             "redis.call('TIME')[1] + 2, '0.02')"),
                     1);
    each_is_done(s, 2);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void a_pause_of_one_of_many_begins_and_ends(void **state)
{
    struct scene *s = *state;
    start_many(s, SOME, "");
    assert_int_equal(ask_int(s, "SET rpopd:{q5}:paused closed"), 1);
    scene_await(s, LIMIT_MS,
                daemon_logged(s->daemon, "reason='closed'") == 1 ||
                    daemon_logged(s->daemon, "reason=closed") == 1);
    push(s, "q5", "0.01");
    push(s, "q6", "0.02");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.02") == 1);
    scene_hold(s, 1500, ask_int(s, "LLEN q5") == 1);
    assert_int_equal(ask_int(s, "DEL rpopd:{q5}:paused"), 1);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.01") == 1);
    assert_int_equal(ask_int(s, "SET rpopd:{q5}:paused again PX 1500"), 1);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "again") == 1);
    push(s, "q5", "0.03");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.03") == 1);
    assert_int_equal(daemon_logged(s->daemon, "queue-resumed"), 2);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* The id of the hearer's connection; 0: there is none. */
static long long hearer(struct scene *s)
{
    const char *list = ask_text(s, "CLIENT LIST");
    for (const char *line = list; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        const char *name = strstr(line, "name=rpopd:e2e:hearer "), *end = strchr(line, '\n');
        if (name && end && name < end)
            return atoll(line + strlen("id="));
    }
    return 0;
}

static void a_hearer_that_is_killed_comes_back(void **state)
{
    struct scene *s = *state;
    start_many(s, SOME, "");
    push_each(s, SOME, 1000);
    each_is_done(s, SOME);
    for (unsigned i = 1; i <= 5; i++) {
        long long old = hearer(s);
        assert_int_equal(ask_int(s, "CLIENT KILL ID %lld", old), 1);
        push_each(s, SOME, 1000 * (i + 1)); /* while nobody hears */
        each_is_done(s, SOME * (i + 1));
        scene_await(s, LIMIT_MS, hearer(s) > old);
    }
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* Redis forgets what was tracked, and says so. */
static void a_flush_is_survived(void **state)
{
    struct scene *s = *state;
    start_many(s, SOME, "");
    int64_t quickest = INT64_MAX;
    for (unsigned i = 0; i < 3; i++) {
        int64_t start = clock_now_ms();
        assert_int_equal(ask_int(s, "FLUSHALL"), 1);
        push_each(s, SOME, 1000 * (i + 1));
        each_is_done(s, SOME * (i + 1));
        if (i && clock_now_ms() - start < quickest)
            quickest = clock_now_ms() - start;
    }
    /* Found by sweeps alone, each round behind the first would end with one, half a minute later.
     */
    scene_check(s, quickest < 20000);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void a_server_that_went_away_is_tracked_again(void **state)
{
    struct scene *s = *state;
    start_many(s, SOME, "");
    redis_server_kill(s->redis);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "redis-lost") == 1);
    assert_int_equal(redis_server_restart(s->redis, true), 0);
    scene_await(s, LIMIT_MS, owned(s) == SOME);
    for (unsigned i = 0; i < 3; i++) {
        push_each(s, SOME, 1000 * (i + 1));
        each_is_done(s, SOME * (i + 1));
    }
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* Asked for jobs once a second, and said once. With the right it goes on as it should. */
static void who_may_not_track_is_slower_and_told(void **state)
{
    struct scene *s = *state;
    assert_int_equal(ask_int(s, "ACL SETUSER rpopd on >secret ~* resetchannels +@all -subscribe"),
                     1);
    char path[128], more[192];
    (void)snprintf(path, sizeof path, "%s/password", s->folder);
    (void)snprintf(more, sizeof more, "username = \"rpopd\"; password_file = \"%s\";", path);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs("secret", f) >= 0);
    assert_int_equal(fchmod(fileno(f), 0600), 0);
    assert_int_equal(fclose(f), 0);
    s->redis_more = more;
    start_many(s, SOME, "");
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "not-tracking") == 1);
    for (unsigned i = 0; i < 2; i++) {
        push_each(s, SOME, 1000 * (i + 1));
        each_is_done(s, SOME * (i + 1));
    }
    assert_int_equal(ask_int(s, "ACL SETUSER rpopd allchannels +subscribe"), 1);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=tracking ") == 1);
    push_each(s, SOME, 9000);
    each_is_done(s, SOME * 3);
    assert_int_equal(daemon_logged(s->daemon, "not-tracking"), 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void a_wrong_type_among_many_is_said_and_cured(void **state)
{
    struct scene *s = *state;
    assert_int_equal(ask_int(s, "SADD q3 x"), 1);
    start_many(s, SOME, "");
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "queue='q3'") == 1);
    push(s, "q4", "0.01");
    each_is_done(s, 1);
    assert_int_equal(ask_int(s, "DEL q3"), 1);
    push(s, "q3", "0.02");
    each_is_done(s, 2);
    assert_int_equal(daemon_logged(s->daemon, "level=warn"), 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_thousand_queues_take_few_links_and_run_what_comes),
        SCENE(every_push_is_heard_of),
        SCENE(slots_are_shared_by_weight_among_many),
        SCENE(a_higher_priority_is_served_first_among_many),
        SCENE(what_nobody_told_is_found_by_the_sweep),
        SCENE(limits_hold_among_many),
        SCENE(what_is_delayed_among_many_comes_in_time),
        SCENE(a_pause_of_one_of_many_begins_and_ends),
        SCENE(a_hearer_that_is_killed_comes_back),
        SCENE(a_flush_is_survived),
        SCENE(a_server_that_went_away_is_tracked_again),
        SCENE(who_may_not_track_is_slower_and_told),
        SCENE(a_wrong_type_among_many_is_said_and_cured),
    };
    return scene_run(tests);
}
