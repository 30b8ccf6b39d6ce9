/* Keys of jobs in flight that somebody gave a time to live, and that expire: the daemon goes on,
 * says what is lost, restores what it can, and other jobs run. */
#include "tests/e2e/scene.h"

#define Q "rpopd:{queue}:"

static bool finished(struct scene *s, const char *payload)
{
    char line[64];
    (void)snprintf(line, sizeof line, "Done %s", payload);
    return daemon_printed(s->daemon, line) == 1;
}

/* The key that fits the pattern expires, and a job that comes then runs. */
static void expires(struct scene *s, const char *pattern)
{
    static const char script[] = "local key = redis.call('KEYS', ARGV[1])[1] "
                                 "return redis.call('PEXPIRE', key, 20) == 1 and key";
    static unsigned n;
    char key[160], payload[32];
    const char *found = ask_text(s, "EVAL %s 0 %s", script, pattern);
    (void)snprintf(key, sizeof key, "%s", found ? found : "");
    assert_true(key[0]);
    scene_await(s, LIMIT_MS, ask_int(s, "PTTL %s", key) < 0);
    (void)snprintf(payload, sizeof payload, "0.0101%u", n++);
    push(s, "queue", payload);
    scene_await(s, LIMIT_MS, finished(s, payload));
}

static unsigned logged(struct scene *s, const char *event)
{
    return daemon_logged(s->daemon, event);
}

static void whichever_key_expires_other_jobs_run(void **state)
{
    struct scene *s = *state;
    push(s, "queue", "600.5");
    push(s, "queue", "0.01"); /* of one batch with the other: its bit is set */
    scene_start(s, "lease = 1.0; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS " Q "stats") == 1);
    expires(s, Q "acked:*");
    expires(s, Q "stats");
    expires(s, Q "owners");
    expires(s, Q "batches");
    expires(s, Q "owner:e2e");
    scene_await(s, LIMIT_MS, ask_int(s, "HLEN " Q "batches") == 1); /* the long one's */
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS " Q "owner:e2e " Q "owners") == 2);
    assert_int_equal(logged(s, "event=batch-vanished"), 0);
    expires(s, Q "inflight:*");
    expires(s, Q "owner:e2e"); /* what is registered anew is compared */
    scene_await(s, LIMIT_MS, logged(s, "event=batch-vanished") == 1);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "lost") == 1);
    assert_int_equal(logged(s, "event=epoch-lost"), 0);
    assert_int_equal(logged(s, "level=error"), 1);
    assert_in_range(daemon_log_lines(s->daemon), 1, 20);
    assert_int_equal(daemon_printed(s->daemon, "Waiting 600.5"), 1);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* No slot is free for a pop, whose end would be followed by a comparison at the end. */
static void nothing_is_left_of_a_list_that_went(void **state)
{
    struct scene *s = *state;
    push(s, "queue", "600.5");
    scene_start(s, "concurrency = 1; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting 600.5") == 1);
    assert_int_equal(ask_int(s, "EVAL %s 0 " Q "inflight:*",
                             "return redis.call('DEL', unpack(redis.call('KEYS', ARGV[1])))"),
                     1);
    (void)ask_int(s, "CLIENT KILL TYPE normal SKIPME yes");
    scene_await(s, LIMIT_MS, logged(s, "event=batch-vanished") == 1);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "lost") == 1);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* Nobody is left to say it: the records were nowhere else. Those that come later are run. */
static void retries_that_expire_hold_no_later_ones_up(void **state)
{
    struct scene *s = *state;
    scene_start(s, "lease = 1.0; " ONE("sleep", ""));
    assert_int_equal(ask_int(s, "ZADD " Q "retry 99999999999999 %s", "r.1-1-0 1 1 0 1 1 {}\n0.011"),
                     1);
    expires(s, Q "retry");
    assert_int_equal(ask_int(s, "ZADD " Q "retry 1 %s", "r.1-1-1 1 1 0 1 1 {}\n0.012"), 1);
    scene_await(s, LIMIT_MS, finished(s, "0.012"));
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(finished(s, "0.011"), 0);
    assert_string_equal(left_over(s), "");
}

/* A key keeps its time to live when it is renamed: what was taken over expires at the taker. */
static void a_batch_that_is_taken_over_expires_too(void **state)
{
    struct scene *s = *state;
    scene_start(s, "lease = 1.0; " ONE("sleep", ""));
    push(s, "queue", "600.5");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting 600.5") == 1);
    daemon_kill(s->daemon);
    assert_int_equal(
        ask_int(s, "EVAL %s 0",
                "return redis.call('EXPIRE', redis.call('KEYS', '*inflight*')[1], 600)"),
        1);
    scene_again(s);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting 600.5") == 2);
    expires(s, Q "inflight:*");
    expires(s, Q "owner:e2e");
    scene_await(s, LIMIT_MS, logged(s, "event=batch-vanished") == 1);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(whichever_key_expires_other_jobs_run),
        SCENE(nothing_is_left_of_a_list_that_went),
        SCENE(retries_that_expire_hold_no_later_ones_up),
        SCENE(a_batch_that_is_taken_over_expires_too),
    };
    return scene_run(tests);
}
