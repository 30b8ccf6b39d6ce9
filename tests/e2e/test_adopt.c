/* Two daemons with names of their own at one queue: what a dead one held is taken over by the
 * other. */
#include "tests/e2e/scene.h"

#include "tests/e2e/proxy.h"

#define LEASE "lease = 1.0; "
#define LEASE_MS 1000

static unsigned others(struct scene *s, const char *line)
{
    unsigned n = 0;
    for (const char *p = daemon_out(s->second, NULL); (p = strstr(p, line)); p += strlen(line))
        n++;
    return n;
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

/* A fence as another daemon would write it. */
static void fence_first(struct scene *s)
{
    static const char script[] =
        "local e = string.match(redis.call('GET', KEYS[1]), '^1 (%S+)') "
        "redis.call('HSET', KEYS[2], e, redis.call('TIME')[1] * 1000 .. ' open') "
        "redis.call('ZREM', KEYS[3], 'e2e') return redis.call('DEL', KEYS[1])";
    assert_int_equal(ask_int(s,
                             "EVAL %s 3 rpopd:{queue}:owner:e2e rpopd:{queue}:fenced "
                             "rpopd:{queue}:owners",
                             script),
                     1);
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

static void adopted(struct scene *s, const char *lease, int64_t lease_ms, int64_t limit_ms)
{
    char epoch[64];
    first_holds(s, lease, 30);
    assert_int_equal(sscanf(ask_text(s, "GET rpopd:{queue}:owner:e2e"), "1 %63s", epoch), 1);
    daemon_kill(s->daemon);
    int64_t start = clock_now_ms();
    scene_await(s, LIMIT_MS, others(s, "Waiting 600.") == 30);
    /* A beat may be a third of a lease old when its owner dies. */
    assert_in_range(clock_now_ms() - start, lease_ms / 4, limit_ms);
    assert_int_equal(stat_of(s, "queue", "recovered"), 30);
    assert_int_equal(daemon_logged(s->second, "instance-fenced"), 1);
    char entry[128];
    (void)snprintf(
        entry, sizeof entry, "%s",
        ask_text(s, "EVAL %s 1 rpopd:{queue}:batches", "return redis.call('HVALS', KEYS[1])[1]"));
    assert_int_equal(strncmp(entry, "1 ", 2), 0);
    assert_int_equal(strncmp(entry + 2, epoch, strlen(epoch)), 0); /* the ids are the first's */
    assert_string_equal(strstr(entry, " 1 0 -"), " 1 0 -");        /* recovered once */
    scene_stop_second(s, SIGQUIT);
    all_are_listed_again(s, "600.", 30);
}

static void what_a_dead_one_held_is_adopted_after_a_lease(void **state)
{
    adopted(*state, LEASE, LEASE_MS, WITHIN(LEASE_MS + 1000));
}

static void with_the_default_lease_it_takes_less_than_20_seconds(void **state)
{
    if (!scene_long())
        skip();
    adopted(*state, "", 15000, 20000);
}

/* Nobody of those who were there comes back. */
static void what_two_dead_ones_held_is_adopted_by_a_third(void **state)
{
    struct scene *s = *state;
    first_holds(s, LEASE, 6);
    push_numbers(s, "queue", "600.", 6, 6);
    scene_await(s, LIMIT_MS, others(s, "Waiting 600.") == 6);
    daemon_kill(s->daemon);
    daemon_kill(s->second);
    scene_second(s, "third", LEASE "concurrency = 12; " ONE("sleep", ""));
    int64_t start = clock_now_ms();
    scene_await(s, LIMIT_MS, others(s, "Waiting 600.") == 6 + 12);
    assert_in_range(clock_now_ms() - start, 0, WITHIN(LEASE_MS + 1000));
    scene_stop_second(s, SIGQUIT);
    all_are_listed_again(s, "600.", 12);
}

static void after_the_adoption_nothing_is_open_for_long(void **state)
{
    struct scene *s = *state;
    first_holds(s, LEASE, 3);
    daemon_kill(s->daemon);
    scene_await(s, LIMIT_MS, others(s, "Waiting 600.") == 3);
    scene_await(s, LIMIT_MS,
                ask_int(s, "EVAL %s 1 rpopd:{queue}:fenced",
                        "local n = 0 for _, v in ipairs(redis.call('HVALS', KEYS[1])) do n = n + "
                        "(string.find(v, ' empty') and 0 or 1) end return n") == 0);
    assert_int_equal(ask_int(s, "HLEN rpopd:{queue}:fenced"), 1);
    assert_in_range(ask_int(s, "TTL rpopd:{queue}:fenced"), 3000, 3600);
    scene_stop_second(s, SIGQUIT);
}

static void each_that_adopts_counts_one_recovery_more(void **state)
{
    struct scene *s = *state;
    first_holds(s, LEASE, 5);
    daemon_kill(s->daemon);
    scene_await(s, LIMIT_MS, others(s, "Waiting 600.") == 5);
    scene_start(s, LEASE "concurrency = 5; " ONE("sleep", ""));
    daemon_kill(s->second);
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", 5).total == 10);
    assert_non_null(strstr(
        ask_text(s, "EVAL %s 1 rpopd:{queue}:batches", "return redis.call('HVALS', KEYS[1])[1]"),
        " 2 0 -"));
    assert_int_equal(stat_of(s, "queue", "recovered"), 10);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    all_are_listed_again(s, "600.", 5);
}

/* The owner is dead, and -------------------------------------------------------------------------
 */

static void one_that_died_while_redis_was_frozen_is_adopted(void **state)
{
    struct scene *s = *state;
    first_holds(s, LEASE, 10);
    redis_server_signal(s->redis, SIGSTOP);
    daemon_kill(s->daemon);
    scene_hold(s, 2 * LEASE_MS, daemon_alive(s->second));
    redis_server_signal(s->redis, SIGCONT);
    scene_await(s, LIMIT_MS, others(s, "Waiting 600.") == 10);
    assert_int_equal(stat_of(s, "queue", "recovered"), 10);
    scene_stop_second(s, SIGQUIT);
    all_are_listed_again(s, "600.", 10);
}

static void a_full_redis_is_adopted_from(void **state)
{
    struct scene *s = *state;
    first_holds(s, LEASE, 10);
    assert_int_equal(ask_int(s, "CONFIG SET maxmemory 1"), 1);
    daemon_kill(s->daemon);
    scene_await(s, LIMIT_MS, others(s, "Waiting 600.") == 10);
    assert_int_equal(ask_int(s, "CONFIG SET maxmemory 0"), 1);
    scene_stop_second(s, SIGQUIT);
    all_are_listed_again(s, "600.", 10);
}

static void a_paused_queue_is_fenced_and_taken_from_when_it_is_resumed(void **state)
{
    struct scene *s = *state;
    first_holds(s, LEASE, 5);
    assert_int_equal(ask_int(s, "SET rpopd:{queue}:paused why"), 1);
    daemon_kill(s->daemon);
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS rpopd:{queue}:fenced") == 1);
    push(s, "queue", "0.01");
    scene_hold(s, LEASE_MS, others(s, "Waiting") == 0 && claimed(s, "queue") == 5);
    assert_int_equal(ask_int(s, "DEL rpopd:{queue}:paused"), 1);
    scene_await(s, LIMIT_MS, others(s, "Waiting 600.") == 5);
    scene_stop_second(s, SIGQUIT);
    assert_int_equal(stat_of(s, "queue", "recovered"), 5);
}

/* With one slot that is not free: what waits in the list does not overtake what is to be taken. */
static void what_is_to_be_taken_goes_before_what_is_fresh(void **state)
{
    struct scene *s = *state;
    push(s, "queue", "600.5");
    scene_start(s, "lease = 3.0; concurrency = 1; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting 600.5") == 1);
    scene_second(s, "other", "lease = 3.0; concurrency = 1; " ONE("sleep", ""));
    push(s, "queue", "4.0");
    scene_await(s, LIMIT_MS, others(s, "Waiting 4.0") == 1);
    daemon_kill(s->daemon);
    fence_first(s);
    push(s, "queue", "0.3");
    scene_await(s, LIMIT_MS, others(s, "Waiting 600.5") + others(s, "Waiting 0.3") == 1);
    assert_int_equal(others(s, "Waiting 600.5"), 1);
    scene_stop_second(s, SIGQUIT);
    assert_int_equal(ask_int(s, "LLEN queue"), 2);
}

/* What it has no slot for within a lease is anybody's: under its id, and no try was made. */
static void a_batch_larger_than_anyones_slots_is_taken_all_the_same(void **state)
{
    struct scene *s = *state;
    static const char record[] =
        "local n = 0 for _, r in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do "
        "if string.match(r, '^%x+%.1%-%d+%-%d 1 0 1 %d+ %d+ {}\\n600%.00000%d$') then n = n + 1 "
        "end "
        "end return n";
    push_numbers(s, "queue", "600.", 0, 8);
    scene_start(s, LEASE "concurrency = 8; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", 8).distinct == 8);
    scene_second(s, "other", LEASE "concurrency = 1; " ONE("sleep", ""));
    daemon_kill(s->daemon);
    scene_await(s, LIMIT_MS, others(s, "Waiting 600.") == 1);
    scene_await(s, LIMIT_MS, ask_int(s, "EVAL %s 1 rpopd:{queue}:retry", record) == 7);
    assert_int_equal(claimed(s, "queue"), 1);
    scene_again(s);
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", 8).total == 8 + 7);
    assert_int_equal(others(s, "Waiting 600."), 1);
    scene_stop_second(s, SIGQUIT);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "EVAL %s 1 rpopd:{queue}:retry", record), 7);
    assert_int_equal(ask_int(s, "LLEN queue"), 1);
    assert_int_equal(ask_int(s, "DEL queue rpopd:{queue}:retry"), 2);
    assert_string_equal(left_over(s), "");
}

/* Whoever fenced it may die before it has taken anything. */
static void what_was_fenced_and_not_taken_is_open_to_all(void **state)
{
    struct scene *s = *state;
    char link[256];
    push_numbers(s, "queue", "600.", 0, 10);
    scene_start(s, LEASE "concurrency = 10; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", 10).distinct == 10);
    (void)snprintf(link, sizeof link, "%s", s->url);
    s->proxy = proxy_new(s->folder, redis_server_socket(s->redis));
    (void)snprintf(s->url, sizeof s->url, "%s", proxy_url(s->proxy));
    scene_second(s, "other", LEASE "concurrency = 10; " ONE("sleep", ""));
    (void)proxy_arm(s->proxy, "match :inflight:e2e:");
    (void)proxy_arm(s->proxy, "kill-before 1");
    daemon_kill(s->daemon);
    assert_int_equal(daemon_wait(s->second, LIMIT_MS), 128 + SIGKILL);
    assert_int_equal(others(s, "Waiting"), 0);
    assert_int_equal(ask_int(s, "EXISTS rpopd:{queue}:fenced"), 1);
    s->second = daemon_free(s->second);
    assert_int_equal(claimed(s, "queue"), 10);
    (void)snprintf(s->url, sizeof s->url, "%s", link);
    scene_second(s, "third", "concurrency = 10; " ONE("sleep", "")); /* a lease of 15 s */
    int64_t start = clock_now_ms();
    scene_await(s, LIMIT_MS, others(s, "Waiting 600.") == 10);
    if (SLOWNESS == 1)
        assert_in_range(clock_now_ms() - start, 0, 10000); /* no lease is waited for */
    scene_stop_second(s, SIGQUIT);
    assert_int_equal(held(s, "queue", "600.", 10).distinct, 10);
    assert_int_equal(held(s, "queue", "600.", 10).total, 10);
}

/* The owner sleeps and wakes up: it learns that it was taken for dead, stops what it lost, settles
 * nothing of it, and works on. */
static void one_that_was_frozen_wakes_up_and_each_job_is_settled_once(void **state)
{
    struct scene *s = *state;
    unsigned n = scene_long() ? 1000 : 100;
    char conf[200];
    push_numbers(s, "queue", scene_long() ? "40." : "4.", 0, n);
    (void)snprintf(conf, sizeof conf, "%s concurrency = %u; " ONE("sleep", ""),
                   scene_long() ? "" : LEASE, n);
    scene_start(s, conf);
    scene_await(s, LIMIT_MS, printed(s, "Waiting", scene_long() ? "40." : "4.", n).distinct == n);
    daemon_signal(s->daemon, SIGSTOP);
    scene_second(s, "other", conf);
    scene_await(s, LIMIT_MS, others(s, "Waiting ") == n);
    daemon_signal(s->daemon, SIGCONT);
    int64_t awake = clock_now_ms(), lease_ms = scene_long() ? 15000 : LEASE_MS;
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "epoch-lost") == 1);
    assert_in_range(clock_now_ms() - awake, 0, WITHIN(lease_ms + 1000));
    scene_await(s, 3L * LIMIT_MS,
                stat_of(s, "queue", "done") == n && stat_of(s, "queue", "lost") == n);
    assert_int_equal(stat_of(s, "queue", "recovered"), n);
    assert_int_equal(others(s, "Done "), n);
    scene_stop_second(s, SIGTERM);
    push(s, "queue", "0.01");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.01") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(stat_of(s, "queue", "done"), n + 1);
    assert_int_equal(printed(s, "Waiting", scene_long() ? "40." : "4.", n).most, 1);
    assert_string_equal(left_over(s), "");
}

/* What is wrong with it is mended while the next try is waited for: that is a part of a lease. */
static void what_redis_refused_to_hand_over_is_tried_again_soon(void **state)
{
    struct scene *s = *state;
    char acked[160];
    first_holds(s, LEASE, 6);
    (void)snprintf(
        acked, sizeof acked, "rpopd:{queue}:acked:%s",
        ask_text(s, "EVAL %s 1 rpopd:{queue}:batches", "return redis.call('HKEYS', KEYS[1])[1]"));
    assert_int_equal(ask_int(s, "RPUSH %s no-bitmap", acked), 1);
    daemon_kill(s->daemon);
    scene_await(s, LIMIT_MS, daemon_logged(s->second, "redis-refused") == 1);
    int64_t start = clock_now_ms();
    assert_int_equal(ask_int(s, "DEL %s", acked), 1);
    scene_await(s, LIMIT_MS, others(s, "Waiting 600.") == 6);
    assert_in_range(clock_now_ms() - start, 0, 4 * LEASE_MS);
    scene_stop_second(s, SIGQUIT);
    all_are_listed_again(s, "600.", 6);
}

/* Strays ------------------------------------------------------------------------------------------
 */

static void entries_of_nobody_are_taken_after_a_lease(void **state)
{
    struct scene *s = *state;
    first_holds(s, LEASE, 6);
    daemon_kill(s->daemon);
    assert_int_equal(ask_int(s, "DEL rpopd:{queue}:owner:e2e"), 1);
    assert_int_equal(ask_int(s, "ZREM rpopd:{queue}:owners e2e"), 1);
    daemon_signal(s->second, SIGKILL); /* its successor compares at once, not after a minute */
    assert_int_equal(daemon_wait(s->second, LIMIT_MS), 128 + SIGKILL);
    scene_second(s, "other", LEASE "concurrency = 6; " ONE("sleep", ""));
    int64_t start = clock_now_ms();
    scene_await(s, LIMIT_MS, others(s, "Waiting 600.") == 6);
    assert_in_range(clock_now_ms() - start, LEASE_MS, LIMIT_MS);
    scene_stop_second(s, SIGQUIT);
    all_are_listed_again(s, "600.", 6);
}

/* It is not a comparison without a cause that finds them: that comes after four leases, and then
 * they are watched for one more. */
static void entries_that_become_nobodys_are_found_at_once(void **state)
{
    struct scene *s = *state;
    first_holds(s, "lease = 3.0; ", 6);
    daemon_kill(s->daemon);
    int64_t start = clock_now_ms();
    assert_int_equal(ask_int(s, "DEL rpopd:{queue}:owner:e2e"), 1);
    assert_int_equal(ask_int(s, "ZREM rpopd:{queue}:owners e2e"), 1);
    scene_await(s, LIMIT_MS, others(s, "Waiting 600.") == 6);
    assert_in_range(clock_now_ms() - start, 3000, 4 * 3000);
    scene_stop_second(s, SIGQUIT);
    all_are_listed_again(s, "600.", 6);
}

static void an_owner_of_which_no_beat_is_known_is_taken_from_after_a_lease(void **state)
{
    struct scene *s = *state;
    first_holds(s, LEASE, 6);
    daemon_kill(s->daemon);
    daemon_kill(s->second);
    assert_int_equal(ask_int(s, "ZREM rpopd:{queue}:owners e2e"), 1);
    scene_second(s, "other", LEASE "concurrency = 6; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, others(s, "Waiting 600.") == 6);
    assert_int_equal(ask_int(s, "EXISTS rpopd:{queue}:owner:e2e"), 0);
    scene_stop_second(s, SIGQUIT);
    all_are_listed_again(s, "600.", 6);
}

static void what_was_marked_empty_by_mistake_is_opened_again(void **state)
{
    struct scene *s = *state;
    first_holds(s, LEASE, 6);
    daemon_kill(s->daemon);
    daemon_kill(s->second);
    fence_first(s);
    assert_int_equal(ask_int(s, "EVAL %s 1 rpopd:{queue}:fenced",
                             "local e = redis.call('HKEYS', KEYS[1])[1] "
                             "redis.call('HSET', KEYS[1], e, '1 empty') return 1"),
                     1);
    scene_second(s, "other", LEASE "concurrency = 6; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, others(s, "Waiting 600.") == 6);
    scene_stop_second(s, SIGQUIT);
    all_are_listed_again(s, "600.", 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(what_a_dead_one_held_is_adopted_after_a_lease),
        SCENE(what_two_dead_ones_held_is_adopted_by_a_third),
        SCENE(with_the_default_lease_it_takes_less_than_20_seconds),
        SCENE(after_the_adoption_nothing_is_open_for_long),
        SCENE(each_that_adopts_counts_one_recovery_more),
        SCENE(one_that_died_while_redis_was_frozen_is_adopted),
        SCENE(a_full_redis_is_adopted_from),
        SCENE(a_paused_queue_is_fenced_and_taken_from_when_it_is_resumed),
        SCENE(what_is_to_be_taken_goes_before_what_is_fresh),
        SCENE(a_batch_larger_than_anyones_slots_is_taken_all_the_same),
        SCENE(what_was_fenced_and_not_taken_is_open_to_all),
        SCENE(one_that_was_frozen_wakes_up_and_each_job_is_settled_once),
        SCENE(what_redis_refused_to_hand_over_is_tried_again_soon),
        SCENE(entries_of_nobody_are_taken_after_a_lease),
        SCENE(entries_that_become_nobodys_are_found_at_once),
        SCENE(an_owner_of_which_no_beat_is_known_is_taken_from_after_a_lease),
        SCENE(what_was_marked_empty_by_mistake_is_opened_again),
    };
    return scene_run(tests);
}
