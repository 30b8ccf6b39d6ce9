/* A plugin with `blocking = true`: its function has a thread and cannot be interrupted. What
 * becomes of the job, its slot and the loop. */
#include "tests/e2e/plugin.h"

#define BLOCKING "blocking = true;"
#define LEFT_MAX 64 /* as rpopd_plugin(3) says */

static void the_loop_goes_on_beside_many_that_block(void **state)
{
    struct scene *s = *state;
    char *text = NULL;
    assert_true(asprintf(&text,
                         "queues = ({ name = \"queue\"; handler: { type = \"plugin\"; path = "
                         "\"%s\"; blocking = true; }; }, " QUEUE("naps", "sleep", "") ");",
                         plugin_path("act")) > 0);
    scene_start(s, text);
    free(text);
    for (int i = 0; i < 40; i++) /* many more than there are processors: each has a thread */
        push(s, "queue", "poll");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "poll begins") == 40);
    push(s, "naps", "0.01");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.01") == 1);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 40);
}

static void it_ends_as_it_says(void **state)
{
    struct scene *s = *state;
    plugin_start(s, "act", BLOCKING, "", "attempts = 1;");
    push(s, "queue", "x");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    assert_int_equal(daemon_printed(s->daemon, "done x of queue"), 1);
    push(s, "queue", "retry");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 1);
    const char *record = plugin_dead_letter(s);
    scene_check(s, strstr(record, "not yet, try 1 of 1") && strstr(record, "\"exit\":3") &&
                       strstr(record, "the last words"));
    push(s, "queue", "slow"); /* an await where there is no task */
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 2);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_printed(s->daemon, "exit"), 1);
    assert_int_equal(daemon_printed(s->daemon, "unloaded"), 1);
    assert_int_equal(daemon_logged(s->daemon, "plugin-left-behind"), 0);
}

/* What looks whether it is cancelled ends at once, and the job with its reason. */
static void it_is_told_that_it_is_cancelled(void **state)
{
    struct scene *s = *state;
    plugin_start(s, "act", BLOCKING, "", "attempts = 1; timeout = 0.2;");
    push(s, "queue", "poll");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 1);
    assert_int_equal(daemon_printed(s->daemon, "poll ends"), 1);
    scene_check(s, strstr(plugin_dead_letter(s), "timeout after 0.2 s") != NULL);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_logged(s->daemon, "plugin-left-behind"), 0);
    assert_int_equal(daemon_printed(s->daemon, "exit"), 1);
}

/* What ends within the grace has done its job, whatever its time. */
static void one_that_ends_soon_behind_its_time_has_ended(void **state)
{
    struct scene *s = *state;
    plugin_start(s, "act", BLOCKING, "", "attempts = 1; timeout = 0.2;");
    push(s, "queue", "late");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    assert_int_equal(daemon_printed(s->daemon, "late ends"), 1);
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:dead"), 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* One that does not: its slot is free, its job settled; what it returns later is dropped. */
static void a_deaf_one_is_left_behind(void **state)
{
    struct scene *s = *state;
    plugin_start(s, "act", BLOCKING, "concurrency = 1; ", "attempts = 1;");
    plugin_push_deaf(s, "deaf");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "deaf begins") == 1);
    ctl_cancel_one(s);
    push(s, "queue", "next");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "done next of queue") == 1);
    assert_int_equal(stat_of(s, "queue", "cancelled"), 1);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    assert_int_equal(daemon_logged(s->daemon, "event=plugin-left-behind queue='queue' id="), 1);
    plugin_let_go(s);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "deaf ends") == 1);
    push(s, "queue", "last");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 2);
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:dead"), 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_printed(s->daemon, "exit"), 1); /* it has returned: all is in order */
}

/* Then the next one keeps its slot until it returns. */
static void no_more_than_so_many_are_left_behind(void **state)
{
    struct scene *s = *state;
    plugin_start(s, "act", BLOCKING, "", "attempts = 1; timeout = 0.2;");
    for (int i = 0; i <= LEFT_MAX; i++)
        plugin_push_deaf(s, "deaf");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == LEFT_MAX);
    assert_int_equal(daemon_logged(s->daemon, "plugin-left-behind"), LEFT_MAX);
    scene_hold(s, 300, claimed(s, "queue") == 1);
    plugin_let_go(s);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "deaf ends") == LEFT_MAX + 1);
    assert_int_equal(stat_of(s, "queue", "dead"), LEFT_MAX);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void a_stop_gives_a_deaf_one_back(void **state)
{
    struct scene *s = *state;
    plugin_start(s, "act", BLOCKING, "shutdown_timeout = 0.1; ", "attempts = 1;");
    plugin_push_deaf(s, "deaf");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "deaf begins") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 1);
    assert_int_equal(daemon_printed(s->daemon, "exit"), 0);     /* its state is in use to the end */
    assert_int_equal(daemon_printed(s->daemon, "unloaded"), 0); /* and so is what is static */
    assert_int_equal(daemon_logged(s->daemon, "event=plugin-left-behind queue='queue' calls=1"), 1);
    assert_string_equal(left_over(s), "queue");
}

static void quit_ends_beside_a_deaf_one_at_once(void **state)
{
    struct scene *s = *state;
    plugin_start(s, "act", BLOCKING, "", "attempts = 1;");
    plugin_push_deaf(s, "deaf");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "deaf begins") == 1);
    scene_stop(s, SIGQUIT, 0, WITHIN(1000));
    assert_int_equal(ask_int(s, "LLEN queue"), 1);
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:dead"), 0);
}

static void a_crash_in_its_thread_is_its_jobs(void **state)
{
    struct scene *s = *state;
    daemon_may_crash(s->daemon);
    plugin_start(s, "act", BLOCKING, "", "max_recoveries = 1;");
    push(s, "queue", "poll");
    push(s, "queue", "crash segv");
    assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), 128 + SIGSEGV);
    daemon_start(s->daemon);
    scene_await(s, LIMIT_MS, ask_int(s, "ZCARD rpopd:{queue}:dead") == 1);
    scene_check(s, strstr(plugin_dead_letter(s), "crash segv") != NULL);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 1);
}

static void the_example_blocks(void **state)
{
    struct scene *s = *state;
    char path[128], settings[160];
    (void)snprintf(path, sizeof path, "%s/file", s->folder);
    (void)snprintf(settings, sizeof settings, BLOCKING " settings: { directory = \"%s\"; };",
                   s->folder);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    (void)fputs("abc", f);
    (void)fclose(f);
    plugin_start(s, "block", settings, "", "attempts = 1;");
    push(s, "queue", "file");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    assert_int_equal(daemon_logged(s->daemon, "what='file: 3 bytes, sum 00018823'"), 1);
    push(s, "queue", "../file");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 1);
    scene_check(s, strstr(plugin_dead_letter(s), "the payload is no name of a file") != NULL);
    push(s, "queue", "nothing");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 2);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(the_loop_goes_on_beside_many_that_block),
        SCENE(it_ends_as_it_says),
        SCENE(it_is_told_that_it_is_cancelled),
        SCENE(one_that_ends_soon_behind_its_time_has_ended),
        SCENE(a_deaf_one_is_left_behind),
        SCENE(no_more_than_so_many_are_left_behind),
        SCENE(a_stop_gives_a_deaf_one_back),
        SCENE(quit_ends_beside_a_deaf_one_at_once),
        SCENE(a_crash_in_its_thread_is_its_jobs),
        SCENE(the_example_blocks),
    };
    return scene_run(tests);
}
