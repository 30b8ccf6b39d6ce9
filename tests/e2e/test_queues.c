/* Several queues in one daemon: who gets the slots. */
#include "tests/e2e/scene.h"

#include <sys/stat.h>

/* Lines `Waiting <prefix>...` of each prefix among the first `max` such lines of all. */
static unsigned among_the_first(struct scene *s, unsigned max, const char *const *prefixes,
                                unsigned *ret_counts, unsigned n)
{
    size_t len;
    unsigned seen = 0;
    memset(ret_counts, 0, n * sizeof *ret_counts);
    for (const char *at = daemon_out(s->daemon, &len); at && seen < max;) {
        for (unsigned i = 0; i < n; i++) {
            char start[32];
            (void)snprintf(start, sizeof start, "Waiting %s", prefixes[i]);
            if (strncmp(at, start, strlen(start)) != 0)
                continue;
            ret_counts[i]++;
            seen++;
        }
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    return seen;
}

static const char *const three[] = {"0.001", "0.002", "0.003"};

/* Both limits of `slots` leave a burst's room around the exact share. */
static void are_shared(struct scene *s, unsigned slots, const unsigned *weights)
{
    unsigned seen[3], sum = weights[0] + weights[1] + weights[2], jobs = 900;
    scene_await(s, LIMIT_MS, among_the_first(s, jobs, three, seen, 3) == jobs);
    for (unsigned i = 0; i < 3; i++) {
        unsigned fair = jobs * weights[i] / sum;
        print_message("# weight %u: %u of %u, exactly %u\n", weights[i], seen[i], jobs, fair);
        assert_in_range(seen[i], fair - fair / 10 - slots, fair + fair / 10 + slots);
    }
}

#define THREE(a, b, c)                                                    \
    "queues = (" QUEUE("queue", "sleep", a) ", " QUEUE("second", "sleep", \
                                                       b) ", " QUEUE("third", "sleep", c) ");"

static void push_three(struct scene *s, unsigned each)
{
    push_numbers(s, "queue", three[0], 0, each);
    push_numbers(s, "second", three[1], 0, each);
    push_numbers(s, "third", three[2], 0, each);
}

static void slots_are_shared_by_weight(void **state)
{
    struct scene *s = *state;
    push_three(s, 700);
    scene_start(s, "concurrency = 10; " THREE("weight = 1;", "weight = 3;", "weight = 5;"));
    are_shared(s, 10, (const unsigned[]){1, 3, 5});
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void one_slot_is_shared_by_weight(void **state)
{
    struct scene *s = *state;
    push_three(s, 700);
    scene_start(s, "concurrency = 1; " THREE("weight = 1;", "weight = 3;", "weight = 5;"));
    are_shared(s, 1, (const unsigned[]){1, 3, 5});
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void without_weights_all_get_the_same(void **state)
{
    struct scene *s = *state;
    push_three(s, 500);
    scene_start(s, "concurrency = 10; workers = 2; " THREE("", "", ""));
    are_shared(s, 20, (const unsigned[]){1, 1, 1});
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* While the daemon stands still both lists fill; of each the pop that waited has brought one job,
 * and one of the two gets the only slot. */
static void a_higher_priority_is_served_first(void **state)
{
    struct scene *s = *state;
    unsigned seen[3];
    scene_start(s, "concurrency = 1; " THREE("priority = 1000;", "weight = 1000; priority = -2;",
                                             "priority = -1;"));
    push(s, "second", "0.0001");
    push(s, "third", "0.0002");
    scene_await(s, LIMIT_MS, stat_of(s, "second", "done") + stat_of(s, "third", "done") == 2);
    daemon_signal(s->daemon, SIGSTOP);
    push_numbers(s, "second", three[1], 0, 50);
    push_numbers(s, "third", three[2], 0, 50);
    daemon_signal(s->daemon, SIGCONT);
    scene_await(s, LIMIT_MS, among_the_first(s, 100, three, seen, 3) == 100);
    (void)among_the_first(s, 51, three, seen, 3);
    assert_int_equal(seen[2], 50);
    scene_await(s, LIMIT_MS, stat_of(s, "second", "done") == 51);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void put_due(struct scene *s, const char *queue, unsigned n, const char *payload)
{
    assert_int_equal(ask_int(s, "EVAL %s 0 %s %u %s",
                             "for i = 1, ARGV[2] do "
                             "  redis.call('ZADD', 'rpopd:{' .. ARGV[1] .. '}:retry', i, "
                             "    'd-' .. i .. ' 1 1 0 5 6 {}\\n' .. ARGV[3]) "
                             "end return 1",
                             queue, n, payload),
                     1);
}

/* The only slot is taken when both come; the fresh ones are known, for one was popped and went
 * back, before any is due. */
static void due_ones_of_a_lower_priority_wait_for_fresh_ones_of_a_higher(void **state)
{
    struct scene *s = *state;
    unsigned seen[3];
    scene_start(s, "concurrency = 1; " THREE("priority = 2;", "priority = 1;", ""));
    scene_await(s, LIMIT_MS, strstr(ask_text(s, "INFO clients"), "blocked_clients:3") != NULL);
    push(s, "queue", "1.5");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting 1.5") == 1);
    push_numbers(s, "second", "0.02", 0, 50);
    scene_await(s, LIMIT_MS,
                stat_of(s, "second", "given_back") == 1 ||
                    daemon_printed(s->daemon, "Done 1.5") == 1);
    bool in_time = stat_of(s, "second", "given_back") == 1; /* else the machine stood still */
    put_due(s, "third", 5, three[2]);
    static const char *const two[] = {"0.02", "0.003"};
    scene_await(s, LIMIT_MS, among_the_first(s, 55, two, seen, 2) == 55);
    assert_int_equal(among_the_first(s, 50, two, seen, 2), 50);
    assert_in_range(seen[0], in_time ? 50 : 0, 50);
    scene_await(s, LIMIT_MS, stat_of(s, "third", "done") == 5);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* From the first of them on, nothing comes between. */
static void fresh_ones_of_a_lower_priority_wait_for_due_ones_of_a_higher(void **state)
{
    struct scene *s = *state;
    size_t len;
    push_numbers(s, "third", "0.02", 0, 1000);
    scene_start(s, "concurrency = 1; " THREE("", "priority = 1;", ""));
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting 0.02000003") == 1);
    put_due(s, "second", 20, three[1]);
    scene_await(s, LIMIT_MS, stat_of(s, "second", "done") == 20);
    const char *line = strstr(daemon_out(s->daemon, &len), "Waiting 0.002");
    for (unsigned n = 0; n < 20; line = strchr(line, '\n') + 1)
        if (strncmp(line, "Waiting ", 8) == 0) {
            assert_int_equal(strncmp(line, "Waiting 0.002\n", 14), 0);
            n++;
        }
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
}

/* A queue's due and fresh ones count alike for its weight. */
static void due_ones_are_shared_by_weight(void **state)
{
    struct scene *s = *state;
    push_three(s, 700);
    put_due(s, "queue", 700, three[0]);
    put_due(s, "third", 700, three[2]);
    scene_start(s, "concurrency = 4; " THREE("weight = 1;", "weight = 3;", "weight = 5;"));
    are_shared(s, 10, (const unsigned[]){1, 3, 5});
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
}

static void a_lower_priority_gets_the_slots_that_no_higher_one_wants(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "600.1", 0, 50);
    push_numbers(s, "second", "600.2", 0, 2);
    push_numbers(s, "third", "600.3", 0, 50);
    scene_start(s, "concurrency = 10; " THREE("priority = 3; concurrency = 4;", "priority = 2;",
                                              "priority = 1;"));
    scene_await(s, LIMIT_MS,
                claimed(s, "queue") == 4 && claimed(s, "second") == 2 && claimed(s, "third") == 4);
    scene_hold(s, 500, claimed(s, "queue") + claimed(s, "second") + claimed(s, "third") == 10);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 50);
    assert_int_equal(ask_int(s, "LLEN second"), 2);
    assert_int_equal(ask_int(s, "LLEN third"), 50);
}

static void one_of_a_wrong_type_costs_the_others_nothing(void **state)
{
    struct scene *s = *state;
    assert_int_equal(ask_int(s, "SADD second x"), 1);
    assert_int_equal(ask_int(s, "SADD rpopd:{third}:popped x"), 1);
    scene_start(s, THREE("", "weight = 1000; priority = 9;", "weight = 1000; priority = 9;"));
    push_numbers(s, "queue", "0.00", 0, 1000);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1000);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "queue='second' at=") == 1);
    assert_int_equal(ask_int(s, "DEL second rpopd:{third}:popped"), 2);
    push_numbers(s, "second", "0.01", 0, 10);
    push_numbers(s, "third", "0.02", 0, 10);
    scene_await(s, LIMIT_MS, stat_of(s, "second", "done") == 10);
    scene_await(s, LIMIT_MS, stat_of(s, "third", "done") == 10);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* More than 64: their keys are tracked. */
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
        SCENE(slots_are_shared_by_weight),
        SCENE(one_slot_is_shared_by_weight),
        SCENE(without_weights_all_get_the_same),
        SCENE(a_higher_priority_is_served_first),
        SCENE(due_ones_of_a_lower_priority_wait_for_fresh_ones_of_a_higher),
        SCENE(fresh_ones_of_a_lower_priority_wait_for_due_ones_of_a_higher),
        SCENE(due_ones_are_shared_by_weight),
        SCENE(a_lower_priority_gets_the_slots_that_no_higher_one_wants),
        SCENE(one_of_a_wrong_type_costs_the_others_nothing),
        SCENE(a_thousand_queues_take_few_links_and_run_what_comes),
        SCENE(every_push_is_heard_of),
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
