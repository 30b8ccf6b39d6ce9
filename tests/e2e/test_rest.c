/* Of many queues: one at which nothing happens for four leases is released, costs nothing, and is
 * taken up again as soon as something is there, whoever put it there. */
#include "tests/e2e/ctl.h"
#include "tests/e2e/proxy.h"
#include "tests/e2e/scene.h"

#define SOME 80 /* more than 64 are many */

static long long owners(struct scene *s)
{
    return ask_int(s, "EVAL %s 0", "return #redis.call('KEYS', 'rpopd:*:owner:*')");
}

static void all_rest_but(struct scene *s, long long some)
{
    scene_await(s, LIMIT_MS, owners(s) == some);
}

static void start_some(struct scene *s)
{
    char *conf = scene_queues(SOME, "shutdown_timeout = 600.0; lease = 1.0;");
    scene_start(s, conf);
    free(conf);
    scene_await(s, LIMIT_MS, owners(s) == SOME);
}

/* Calls of one command, or of all, since the statistics were reset. */
static long long calls(struct scene *s, const char *command)
{
    const char *text = ask_text(s, "INFO commandstats");
    long long sum = 0;
    for (const char *at = text; at && (at = strstr(at, "cmdstat_")); at++) {
        const char *name = at + strlen("cmdstat_"), *n = strstr(at, ":calls=");
        if (n && (!command || strncmp(name, command, (size_t)(n - name)) == 0))
            sum += atoll(n + strlen(":calls="));
    }
    return sum;
}

/* No script runs: no beat, no look, no comparison. What is left is a sweep of six reads a queue,
 * twice a minute, and two questions every five seconds. */
static void what_rests_costs_nothing_and_does_what_comes(void **state)
{
    struct scene *s = *state;
    start_some(s);
    all_rest_but(s, 0);
    (void)ask_text(s, "CONFIG RESETSTAT");
    int64_t end = clock_now_ms() + 2000;
    scene_await(s, LIMIT_MS, clock_now_ms() >= end);
    assert_int_equal(calls(s, "evalsha"), 0);
    assert_in_range(calls(s, NULL), 0, 2 * 6 * SOME + 40);
    push(s, "q7", "0.01");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.01") == 1);
    assert_int_equal(ask_int(s, "ZADD rpopd:{q8}:retry 1 %s", "id 1 1 0 5 6 {}\n0.02"), 1);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.02") == 1);
    assert_int_equal(ask_int(s, "ZADD rpopd:{q9}:delayed 1 0.03"), 1);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.03") == 1);
    assert_int_equal(ask_int(s, "LPUSH rpopd:{q10}:popped 0.04"), 1); /* of a pop that was cut */
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.04") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static unsigned begun(struct daemon *d)
{
    return daemon_printed(d, "Waiting 600.1");
}

/* Both rest, until one of them claims. From then on the other keeps watch, for longer than it would
 * have rested after, and adopts. */
static void who_claims_is_watched(void **state)
{
    struct scene *s = *state;
    start_some(s);
    char *conf = scene_queues(SOME, "lease = 1.0;");
    scene_second(s, "other", conf);
    free(conf);
    all_rest_but(s, 0);
    push(s, "q5", "600.1");
    scene_await(s, LIMIT_MS, begun(s->daemon) + begun(s->second) == 1);
    int64_t end = clock_now_ms() + 6000;
    scene_await(s, LIMIT_MS, clock_now_ms() >= end);
    scene_await(s, LIMIT_MS, owners(s) == 2); /* both, of q5 alone */
    const char *entry =
        ask_text(s, "EVAL %s 0", "return redis.call('HKEYS', 'rpopd:{q5}:batches')[1]");
    bool first = entry && strncmp(entry, "e2e:", 4) == 0;
    struct daemon *other = first ? s->second : s->daemon;
    unsigned before = begun(other);
    daemon_kill(first ? s->daemon : s->second);
    scene_await(s, LIMIT_MS, begun(other) > before);
    if (first)
        scene_stop_second(s, SIGQUIT);
    else
        scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN q5"), 1);
}

/* The id of the connection of that name; 0: there is none. */
static long long connection(struct scene *s, const char *name)
{
    const char *list = ask_text(s, "CLIENT LIST"), *at = strstr(list, name);
    while (at && at > list && at[-1] != '\n')
        at--;
    return at ? atoll(at + strlen("id=")) : 0;
}

static void cancel_the_only_job(struct scene *s)
{
    json_t *jobs = CTL_JSON(s, 0, "jobs");
    assert_int_equal(CTL(s, "cancel", ctl_text(json_array_get(jobs, 0), "id"))->code, 0);
    json_decref(jobs);
}

/* Its link number was raised while the release was out, which is refused. */
static void one_that_cannot_be_released_goes_on(void **state)
{
    struct scene *s = *state;
    s->redis_more = "command_timeout = 60.0;";
    s->proxy = proxy_new(s->folder, redis_server_socket(s->redis));
    (void)snprintf(s->url, sizeof s->url, "%s", proxy_url(s->proxy));
    push(s, "q1", "600.1");
    assert_int_equal(ask_int(s, "ZADD rpopd:{q5}:retry 9e12 x"), 1); /* it does not rest yet */
    start_some(s);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting 600.1") == 1);
    (void)proxy_arm(s->proxy, "match rpopd:{q5}:owner:e2e.*rpopd:{q5}:popped");
    (void)proxy_arm(s->proxy, "hold 1 READONLY You can't write against a read only replica.");
    assert_int_equal(ask_int(s, "ZREM rpopd:{q5}:retry x"), 1);
    scene_await(s, LIMIT_MS, proxy_arm(s->proxy, "look").hits == 1);
    long long work = connection(s, "name=rpopd:e2e:work ");
    assert_int_equal(ask_int(s, "CLIENT KILL ID %lld", work), 1);
    cancel_the_only_job(s); /* over that connection Redis is to be told */
    scene_await(s, LIMIT_MS, connection(s, "name=rpopd:e2e:work ") > work);
    assert_int_equal(proxy_arm(s->proxy, "none").hits, 1);
    push(s, "q5", "0.01");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.01") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void at_the_end_none_is_taken_up_again(void **state)
{
    struct scene *s = *state;
    start_some(s);
    push(s, "q5", "600.1");
    all_rest_but(s, 1);
    daemon_signal(s->daemon, SIGTERM);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=stopping") == 1);
    for (unsigned i = 0; i < 20; i++) {
        push(s, "q7", "0.01");
        scene_hold(s, 50, owners(s) == 1);
    }
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN q5"), 1);
    assert_int_equal(ask_int(s, "LLEN q7"), 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(what_rests_costs_nothing_and_does_what_comes),
        SCENE(who_claims_is_watched),
        SCENE(one_that_cannot_be_released_goes_on),
        SCENE(at_the_end_none_is_taken_up_again),
    };
    return scene_run(tests);
}
