/* A coroutine of a plugin that does not end when it is cancelled: it goes on awaiting, or never
 * awaits. What becomes of its job, of its neighbours and of the end of the daemon. */
#include "tests/e2e/exec.h"
#include "tests/e2e/plugin.h"

/* What does not listen is left behind: its slot is free, its job settled; what it returns at last
 * is dropped. */
static void a_deaf_one_is_left_behind(void **state)
{
    struct scene *s = *state;
    plugin_start(s, "act", "", "concurrency = 1; ", "result: { list = \"results\"; };");
    plugin_push_deaf(s, "stubborn");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "stubborn begins") == 1);
    ctl_cancel_one(s);
    push(s, "queue", "next");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    assert_int_equal(stat_of(s, "queue", "cancelled"), 1);
    assert_int_equal(daemon_logged(s->daemon, "event=plugin-left-behind queue='queue' id="), 1);
    plugin_let_go(s);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "stubborn ends, cancelled") == 1);
    push(s, "queue", "last");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 2);
    assert_int_equal(ask_int(s, "LLEN results"), 2);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_printed(s->daemon, "exit"), 1); /* it has returned: all is in order */
}

/* The process ends beside it: what it did is given back, what its neighbours did is settled. */
static void the_end_comes_beside(struct scene *s, const char *how, int signal, int64_t limit_ms)
{
    char begins[32];
    (void)snprintf(begins, sizeof begins, "%s begins", how);
    plugin_start(s, "act", "", "shutdown_timeout = 0.1; ", "");
    push(s, "queue", "done before");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    plugin_push_deaf(s, how);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, begins) == 1);
    scene_stop(s, signal, 0, limit_ms);
    assert_int_equal(daemon_logged(s->daemon, "event=worker-stuck"), 1);
    assert_int_equal(daemon_printed(s->daemon, "exit"), 0);
    assert_int_equal(ask_int(s, "LLEN queue"), 1);
    assert_int_equal(stat_of(s, "queue", "given_back"), 1);
    assert_string_equal(left_over(s), "queue");
}

static void the_daemon_ends_beside_a_deaf_one(void **state)
{
    the_end_comes_beside(*state, "stubborn", SIGTERM, LIMIT_MS);
}

static void quit_ends_beside_one_that_never_awaits_at_once(void **state)
{
    the_end_comes_beside(*state, "hog", SIGQUIT, WITHIN(1000));
}

/* Its worker is no use any more: what else it ran is given back, and ended. */
static void its_neighbours_are_given_back(void **state)
{
    struct scene *s = *state;
    char *text = NULL;
    assert_true(asprintf(&text,
                         "shutdown_timeout = 0.1; queues = ({ name = \"queue\"; handler: { type = "
                         "\"plugin\"; path = \"%s\"; }; }, { name = \"scripts\"; handler: { type "
                         "= \"exec\"; command = [ \"/bin/sh\" ]; env = [ \"MARK=%s-mark\" ]; "
                         "kill_grace = 0.1; }; }, { name = \"popped\"; delivery = "
                         "\"at-most-once\"; handler: { type = \"sleep\"; }; });",
                         plugin_path("act"), s->folder) > 0);
    scene_start(s, text);
    free(text);
    push(s, "scripts", "echo up; sleep 1000 & sleep 1000");
    push(s, "popped", "1000");
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "line='up'") == 1);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting 1000") == 1);
    plugin_push_deaf(s, "hog");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "hog begins") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 1);
    assert_int_equal(ask_int(s, "LLEN scripts"), 1);
    assert_int_equal(stat_of(s, "queue", "given_back"), 1);
    assert_int_equal(daemon_logged(s->daemon, "event=worker-stuck"), 1);
    assert_int_equal(stat_of(s, "popped", "dead"), 1); /* it had begun */
    scene_await(s, LIMIT_MS, exec_alive(s) == 0);
}

static long long hangs_ms(struct scene *s)
{
    json_t *json = CTL_JSON(s, 0, "status");
    long long ms = ctl_number(json_array_get(json_object_get(json, "workers"), 0), "hangs_ms");
    json_decref(json);
    return ms;
}

/* The log says it once, with queue and id, and status as long as it lasts. */
static void who_never_awaits_is_told_of(void **state)
{
    struct scene *s = *state;
    plugin_start(s, "act", "", "lease = 1.0; workers = 1; ", "");
    plugin_push_deaf(s, "hog");
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=worker-hangs worker=0 ") == 1);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=job queue='queue' id=") == 1);
    assert_true(hangs_ms(s) > 0);
    plugin_let_go(s);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=worker-goes-on worker=0 ") == 1);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    assert_int_equal(hangs_ms(s), 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_logged(s->daemon, "event=worker-hangs"), 1);
}

static void what_comes_back_late_is_not_settled(void **state)
{
    struct scene *s = *state;
    plugin_start(s, "act", "", "shutdown_timeout = 0.1; ", "result: { list = \"results\"; };");
    plugin_push_deaf(s, "hog");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "hog begins") == 1);
    daemon_signal(s->daemon, SIGTERM);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=given-up running=1") == 1);
    plugin_let_go(s);
    assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), 0);
    assert_int_equal(ask_int(s, "LLEN queue"), 1);
    assert_int_equal(ask_int(s, "LLEN results"), 0);
    assert_string_equal(left_over(s), "queue");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_deaf_one_is_left_behind),
        SCENE(the_daemon_ends_beside_a_deaf_one),
        SCENE(quit_ends_beside_one_that_never_awaits_at_once),
        SCENE(its_neighbours_are_given_back),
        SCENE(who_never_awaits_is_told_of),
        SCENE(what_comes_back_late_is_not_settled),
    };
    return scene_run(tests);
}
