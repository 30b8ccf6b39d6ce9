/* The same name without the kept runtime directory: the beat alone says whether the other lives. */
#include "tests/e2e/scene.h"

/* Who cannot beat for so long is taken for dead: longer than a busy machine holds a daemon up. */
#define LEASE "3.0"

/* The second life of the name, as on another machine. */
static void elsewhere(struct scene *s, const char *conf)
{
    (void)snprintf(s->runtime_dir, sizeof s->runtime_dir, "%s/elsewhere", s->folder);
    s->second = daemon_new(s->folder, "second");
    char *text = scene_conf(s, conf);
    daemon_configure(s->second, text);
    free(text);
    daemon_start(s->second);
}

static unsigned second_printed(struct scene *s, const char *verb)
{
    const char *out = daemon_out(s->second, NULL);
    unsigned n = 0;
    for (const char *p = out; (p = strstr(p, verb)); p += strlen(verb))
        n++;
    return n;
}

static void the_jobs_of_a_dead_one_are_taken_over_after_a_lease(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "600.", 0, 30);
    scene_start(s, "lease = " LEASE "; concurrency = 20; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", 30).distinct == 20);
    daemon_kill(s->daemon);
    int64_t start = clock_now_ms();
    elsewhere(s, "lease = " LEASE "; concurrency = 30; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, second_printed(s, "Waiting 600.") == 30);
    /* A lease, for nothing else proves that the other is dead. */
    assert_true(clock_now_ms() - start >= 2900);
    assert_int_equal(stat_of(s, "queue", "recovered"), 20);
    scene_stop_second(s, SIGQUIT);
    assert_int_equal(held(s, "queue", "600.", 30).distinct, 30);
    assert_int_equal(held(s, "queue", "600.", 30).total, 30);
    assert_int_equal(ask_int(s, "DEL queue"), 1);
    assert_string_equal(left_over(s), "");
}

static void a_live_one_is_left_alone_and_the_second_refuses(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "600.", 0, 5);
    scene_start(s, "lease = " LEASE "; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", 5).distinct == 5);
    elsewhere(s, "lease = " LEASE "; " ONE("sleep", ""));
    assert_int_equal(daemon_wait(s->second, LIMIT_MS), 70);
    assert_int_equal(daemon_logged(s->second, "already running"), 1);
    assert_int_equal(daemon_logged(s->second, "e2e") > 0, 1);
    assert_int_equal(second_printed(s, "Waiting"), 0);
    scene_hold(s, 1500, daemon_alive(s->daemon) && claimed(s, "queue") == 5);
    assert_int_equal(printed(s, "Waiting", "600.", 5).total, 5);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 5);
}

static void after_a_clean_exit_nothing_is_waited_for(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", ""));
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    push(s, "queue", "0.01");
    int64_t start = clock_now_ms();
    elsewhere(s, ONE("sleep", ""));
    scene_await(s, LIMIT_MS, second_printed(s, "Done 0.01") == 1);
    assert_in_range(clock_now_ms() - start, 0, WITHIN(2000)); /* the lease is 15 s */
    assert_int_equal(daemon_stop(s->second, SIGTERM, LIMIT_MS), 0);
    assert_string_equal(left_over(s), "");
}

/* Nobody but its writer knows what a newer version's owner key says. */
static void a_silent_one_of_a_newer_version_is_waited_for_and_said_once(void **state)
{
    struct scene *s = *state;
    assert_int_equal(ask_int(s, "SET rpopd:{queue}:owner:e2e %s", "2 0123456789abcdef.1 1 host 7"),
                     1);
    assert_int_equal(ask_int(s, "ZADD rpopd:{queue}:owners 1700000000000 e2e"), 1);
    push(s, "queue", "0.01");
    scene_launch(s, "lease = 1.0; " ONE("sleep", ""));
    scene_hold(s, 3000, daemon_alive(s->daemon) && ask_int(s, "LLEN queue") == 1);
    assert_int_equal(daemon_logged(s->daemon, "name-is-taken"), 1);
    assert_int_equal(daemon_logged(s->daemon, "silent-namesake-fenced"), 0);
    assert_int_equal(ask_int(s, "DEL rpopd:{queue}:owner:e2e rpopd:{queue}:owners"), 2);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.01") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* What is fenced and may not be taken now is nobody's: no reason to stay. */
static void one_that_ends_at_a_paused_queue_leaves_no_owner_behind(void **state)
{
    struct scene *s = *state;
    push(s, "queue", "600.1");
    scene_start(s, ONE("sleep", ""));
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting 600.1") == 1);
    daemon_kill(s->daemon);
    assert_int_equal(ask_int(s, "SET rpopd:{queue}:paused why"), 1);
    scene_again(s);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "queue-paused") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_logged(s->daemon, "left-behind"), 0);
    assert_int_equal(ask_int(s, "EXISTS rpopd:{queue}:owner:e2e rpopd:{queue}:owners"), 0);
    assert_int_equal(ask_int(s, "DEL rpopd:{queue}:paused"), 1);
    scene_again(s);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting 600.1") == 2);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 1);
}

static void one_that_was_frozen_and_lost_its_jobs_settles_nothing(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "6.0", 0, 5);
    scene_start(s, "lease = " LEASE "; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "6.0", 5).distinct == 5);
    daemon_signal(s->daemon, SIGSTOP);
    elsewhere(s, "lease = " LEASE "; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, second_printed(s, "Waiting 6.0") == 5);
    daemon_signal(s->daemon, SIGCONT);
    /* It finds out; its tasks are cancelled, and it never runs them again. Under one name one of
     * the two goes. */
    scene_await(s, LIMIT_MS,
                second_printed(s, "Done 6.0") == 5 && stat_of(s, "queue", "done") == 5);
    assert_int_equal(printed(s, "Waiting", "6.0", 5).total, 5);
    assert_int_equal(stat_of(s, "queue", "done"), 5);
    assert_int_equal(daemon_stop(s->second, SIGTERM, LIMIT_MS), 0);
}

/* Redis carried out its claim while it slept; then somebody else had the job. It starts nothing
 * before it has asked. */
static void a_claim_that_was_answered_while_it_slept_is_not_begun(void **state)
{
    struct scene *s = *state;
    scene_start(s, "lease = " LEASE "; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, strstr(ask_text(s, "INFO clients"), "blocked_clients:1") != NULL);
    daemon_signal(s->daemon, SIGSTOP);
    push(s, "queue", "600.000000");
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 1);
    scene_second(s, "other", "lease = " LEASE "; " ONE("sleep", ""));
    scene_await(s, LIMIT_MS, second_printed(s, "Waiting 600.") == 1);
    daemon_signal(s->daemon, SIGCONT);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=epoch-lost") == 1);
    push(s, "queue", "0.001");
    push(s, "queue", "0.002"); /* both take what comes from now on */
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 2);
    assert_int_equal(printed(s, "Waiting", "600.", 1).distinct, 0);
    scene_stop_second(s, SIGQUIT);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(the_jobs_of_a_dead_one_are_taken_over_after_a_lease),
        SCENE(a_live_one_is_left_alone_and_the_second_refuses),
        SCENE(after_a_clean_exit_nothing_is_waited_for),
        SCENE(a_silent_one_of_a_newer_version_is_waited_for_and_said_once),
        SCENE(one_that_ends_at_a_paused_queue_leaves_no_owner_behind),
        SCENE(one_that_was_frozen_and_lost_its_jobs_settles_nothing),
        SCENE(a_claim_that_was_answered_while_it_slept_is_not_begun),
    };
    return scene_run(tests);
}
