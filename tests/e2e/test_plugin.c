/* Jobs done by a shared object: what cannot be loaded, settings, hooks, outcomes, cancelling,
 * crashes, and the example that gathers. The plugins lie beside this program, in plugin/. */
#include "tests/e2e/plugin.h"

/* ---- what cannot be loaded ---- */

/* -t, and a start, end with 78 and this one line. */
static void refused(struct scene *s, const char *path, const char *more, const char *says)
{
    static const char *const ways[] = {"-t", NULL};
    char *queue = plugin_queue(path, more, "", ""), *text = scene_conf(s, queue);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        size_t before;
        (void)daemon_err(s->daemon, &before);
        daemon_configure(s->daemon, text);
        daemon_start_with(s->daemon,
                          (const char *const[]){"-c", daemon_file(s->daemon), ways[i], NULL});
        int code = daemon_wait(s->daemon, LIMIT_MS);
        const char *line = daemon_err(s->daemon, NULL) + before, *end = strchr(line, '\n');
        const char *place = strstr(line, ": queues[0].handler.");
        if (code != 78 || !end || end[1] || !place || place > end || !strstr(line, says) ||
            strncmp(line, daemon_file(s->daemon), strlen(daemon_file(s->daemon))) != 0)
            fail_msg("exit %d for %s %s\nwanted %s\nsaid %s", code, path, more, says, line);
    }
    free(text);
    free(queue);
}

static void what_is_no_plugin_is_refused_with_its_line(void **state)
{
    struct scene *s = *state;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/text.so", s->folder);
    refused(s, path, "", ".path: No such file or directory, allowed is a shared object built");
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    (void)fputs("this is text, and long enough to hold the header of a shared object\n", f);
    (void)fclose(f);
    refused(s, path, "", ".path: invalid ELF header, allowed is");
    refused(s, s->folder, "", ".path: is not a file, allowed is");
    refused(s, "/dev/null", "", ".path: is not a file, allowed is");
    refused(s, "plugin.so", "", ".path: does not begin with a /, allowed is an absolute path");
    refused(s, "", "", ".path: is 0 bytes long");
    assert_int_equal(chmod(path, 0), 0);
    if (getuid())
        refused(s, path, "", ".path: cannot open shared object file: Permission denied");
}

static void a_plugin_that_does_not_fit_is_refused_with_its_line(void **state)
{
    struct scene *s = *state;
    refused(s, plugin_path("undefined"), "",
            ".path: undefined symbol: rpopd_of_the_next_version, allowed is");
    const char *wrong = plugin_path("wrong");
    refused(s, wrong, "", ".symbol: 'rpopd_plugin' is not in the shared object");
    refused(s, wrong, "symbol = \"strlen_\";", ".symbol: 'strlen_' is not in the shared object");
    refused(s, wrong, "symbol = \"\";", ".symbol: is 0 bytes long");
    refused(s, wrong, "symbol = \"old_abi\";",
            ".path: it is built for plugin ABI 0, this rpopd takes 1 to 1: build it against");
    refused(s, wrong, "symbol = \"new_abi\";",
            ".path: it is built for plugin ABI 99, this rpopd takes 1 to 1: it needs a newer");
    refused(s, wrong, "symbol = \"short_size\";", ".path: the size in its 'short_size' is 16,");
    refused(s, wrong, "symbol = \"long_size\";", ".path: the size in its 'long_size' is 4096,");
    refused(s, wrong, "symbol = \"no_run\";", ".path: its 'no_run' has no run");
    refused(s, wrong, "symbol = \"no_name\";", ".path: its 'no_name' has no name");
    refused(s, wrong, "symbol = \"tiny\";", ".path: its 'tiny' is no struct rpopd_plugin");
    refused(s, wrong, "symbol = \"a_function\";", ".path: its 'a_function' is no struct");
}

/* ---- hooks and settings ---- */

static void settings_are_passed_on_and_hooks_run_once_a_worker(void **state)
{
    struct scene *s = *state;
    plugin_start(
        s, "act",
        "settings: { server = \"a b=c\"; port = 25; wait = 0.5; tls = true; none = \"\"; };",
        "workers = 2; ", "");
    assert_int_equal(daemon_printed(s->daemon, "setting server=a b=c"), 2);
    assert_int_equal(daemon_printed(s->daemon, "setting port=25"), 2);
    assert_int_equal(daemon_printed(s->daemon, "setting wait=0.5"), 2);
    assert_int_equal(daemon_printed(s->daemon, "setting tls=true"), 2);
    assert_int_equal(daemon_printed(s->daemon, "setting none="), 2);
    assert_int_equal(daemon_printed(s->daemon, "init"), 2);
    for (int i = 0; i < 20; i++)
        push(s, "queue", "x");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "done x of queue") == 20);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 20);
    assert_int_equal(daemon_printed(s->daemon, "exit"), 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_printed(s->daemon, "init"), 2);
    assert_int_equal(daemon_printed(s->daemon, "exit"), 2);
    assert_int_equal(daemon_logged(s->daemon, "event=plugin queue='queue' id="), 20);
    assert_int_equal(daemon_logged(s->daemon, "what='done \\'x\\''"), 20);
    assert_string_equal(left_over(s), "");
}

static void another_symbol_is_another_plugin(void **state)
{
    struct scene *s = *state;
    plugin_start(s, "act", "symbol = \"another\";", "", "");
    push(s, "queue", "y");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "done y of queue") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_printed(s->daemon, "init"), 0);
}

static void init_refuses(struct scene *s, const char *settings, int code, const char *says)
{
    char *text = plugin_queue(plugin_path("act"), settings, "", "");
    scene_launch(s, text);
    free(text);
    assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), code);
    if (!daemon_logged(s->daemon, says))
        fail_msg("wanted %s\nsaid %s", says, daemon_err(s->daemon, NULL));
    assert_int_equal(daemon_printed(s->daemon, "exit"), 0);
}

static void a_failing_init_ends_the_start_with_its_sentence(void **state)
{
    struct scene *s = *state;
    init_refuses(s, "settings: { fail = 22; };", 78,
                 "event=refused exit=78 why='queue \\'queue\\': init of plugin \\'act\\': "
                 "settings.fail: 22, as it was asked for'");
    init_refuses(s, "settings: { fail = 111; };", 70,
                 "event=refused exit=70 why='queue \\'queue\\': init of plugin \\'act\\': "
                 "settings.fail: 111, as it was asked for'");
}

/* ---- outcomes ---- */

/* Pushed alone it goes to the dead letters, with these words in the record. */
static void dies(struct scene *s, const char *payload, const char *words)
{
    (void)ask_int(s, "DEL rpopd:{queue}:dead");
    push(s, "queue", payload);
    scene_await(s, LIMIT_MS, ask_int(s, "ZCARD rpopd:{queue}:dead") == 1);
    const char *record = plugin_dead_letter(s);
    if (!strstr(record, words))
        fail_msg("%s: wanted %s\nrecord %s", payload, words, record);
}

static void outcomes_have_their_reason(void **state)
{
    struct scene *s = *state;
    plugin_start(s, "act", "", "", "attempts = 1; backoff: { base = 0.0; };");
    dies(s, "dead", "\"'dead' is no job\"");
    dies(s, "retry", "\"not yet, try 1 of 1\"");
    dies(s, "code 5", "\"the last error\"");
    dies(s, "return -5", "\"Input/output error\"");
    dies(s, "return 1", "\"the plugin gives no reason\"");
    dies(s, "return 2", "\"the plugin gives no reason\"");
    dies(s, "return 17", "\"the plugin returned 17, which is no outcome\"");
    dies(s, "return -125", "nobody cancelled it");
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void a_failed_try_leaves_evidence_and_is_tried_again(void **state)
{
    struct scene *s = *state;
    plugin_start(s, "act", "", "", "attempts = 3; backoff: { base = 3600.0; };");
    dies(s, "retry", "\"not yet, try 3 of 3\""); /* at once: so it asked */
    const char *record = plugin_dead_letter(s);
    scene_check(s, strstr(record, "\"exit\":3") && strstr(record, "\"signal\":9") &&
                       strstr(record, "\"status\":503") && strstr(record, "the last words"));
    assert_int_equal(stat_of(s, "queue", "retry"), 2);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void without_memory_it_is_given_back(void **state)
{
    struct scene *s = *state;
    plugin_start(s, "act", "", "", "attempts = 1;");
    push(s, "queue", "return 3");
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=short"));
    push(s, "queue", "code 12");
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=short") > 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 2);
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:dead"), 0);
}

static void a_result_is_delivered(struct scene *s, const char *handler)
{
    plugin_start(s, "act", handler, "", "result: { list = \"results\"; };");
    push(s, "queue", "what it was given");
    scene_await(s, LIMIT_MS, ask_int(s, "LLEN results") == 1);
    const char *element = ask_text(s, "LPOP results"), *line = strchr(element, '\n');
    assert_non_null(line);
    assert_string_equal(line + 1, "what it was given");
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void what_a_coroutine_returns_is_delivered(void **state)
{
    a_result_is_delivered(*state, "");
}

static void so_is_what_a_function_returns(void **state)
{
    a_result_is_delivered(*state, "blocking = true;");
}

/* ---- cancelling ---- */

static void cancelled_by_its_id_it_cleans_up(void **state)
{
    struct scene *s = *state;
    plugin_start(s, "act", "", "", "");
    push(s, "queue", "slow");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "slow begins") == 1);
    ctl_cancel_one(s);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "cancelled") == 1);
    assert_int_equal(daemon_printed(s->daemon, "slow has cleaned up"), 1);
    scene_check(s, strstr(plugin_dead_letter(s), "\"cancelled\"") != NULL);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_printed(s->daemon, "exit"), 1);
}

static void a_timeout_is_a_failed_try_whatever_the_plugin_makes_of_it(void **state)
{
    struct scene *s = *state;
    plugin_start(s, "act", "", "", "attempts = 1; timeout = 0.2;");
    dies(s, "slow", "\"timeout after 0.2 s\"");
    assert_int_equal(daemon_printed(s->daemon, "slow has cleaned up"), 1);
    dies(s, "swallow", "\"timeout after 0.2 s\"");
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void at_the_end_of_the_daemon_it_is_given_back(void **state)
{
    struct scene *s = *state;
    plugin_start(s, "act", "", "shutdown_timeout = 0.1; ", "attempts = 1;");
    push(s, "queue", "slow");
    push(s, "queue", "swallow");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "slow begins") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_printed(s->daemon, "slow has cleaned up"), 1);
    assert_int_equal(daemon_printed(s->daemon, "exit"), 1);
    assert_int_equal(ask_int(s, "LLEN queue"), 2);
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:dead"), 0);
}

static void a_task_of_a_job_ends_with_it(void **state)
{
    struct scene *s = *state;
    plugin_start(s, "act", "", "", "");
    push(s, "queue", "child");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    assert_int_equal(daemon_printed(s->daemon, "child returns"), 1);
    assert_int_equal(daemon_printed(s->daemon, "child has cleaned up"), 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* ---- threads and crashes ---- */

static void a_function_in_a_thread_holds_nobody_up(void **state)
{
    struct scene *s = *state;
    plugin_start(s, "act", "", "", "");
    push(s, "queue", "thread 0");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "dozed") == 1);
    push(s, "queue", "thread 600");
    push(s, "queue", "z");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 2);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS); /* long before the 600 seconds are over */
    assert_int_equal(daemon_logged(s->daemon, "event=plugin-left-behind queue='queue' calls=1"), 1);
    assert_int_equal(daemon_printed(s->daemon, "exit"), 0);
    assert_int_equal(ask_int(s, "LLEN queue"), 1);
}

static void crashes(struct scene *s, const char *how, int number)
{
    daemon_may_crash(s->daemon);
    push(s, "queue", "slow innocent");
    push(s, "queue", how);
    char *text = plugin_queue(plugin_path("act"), "", "", "");
    scene_launch(s, text);
    free(text);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), 128 + number);
        daemon_start(s->daemon);
    }
    scene_await(s, LIMIT_MS, ask_int(s, "ZCARD rpopd:{queue}:dead") == 1);
    scene_check(s, strstr(plugin_dead_letter(s), "it brought the daemon down 3 times") != NULL);
    scene_check(s, strstr(plugin_dead_letter(s), how) != NULL);
    assert_int_equal(daemon_logged(s->daemon, "event=trial"), 0);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 1);
}

static void a_crash_is_its_jobs(void **state)
{
    crashes(*state, "crash segv", SIGSEGV);
}

static void so_is_one_in_a_thread(void **state)
{
    crashes(*state, "crash in thread", SIGSEGV);
}

static void so_is_an_overflow_of_its_stack(void **state)
{
    crashes(*state, "crash overflow", SIGSEGV);
}

static void so_is_a_jump_out_of_it(void **state)
{
    if (SLOWNESS > 1)
        skip(); /* a sanitizer ends the process itself */
    crashes(*state, "crash jump", SIGABRT);
}

static void a_jump_within_it_is_nothing(void **state)
{
    struct scene *s = *state;
    push(s, "queue", "jump");
    plugin_start(s, "act", "", "", "");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    assert_int_equal(daemon_printed(s->daemon, "jumped"), 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* It ends with this code, and is started again, until a job is dead. */
static bool dies_of_it(struct scene *s, int code, unsigned *ends)
{
    int r = daemon_wait(s->daemon, 0);
    if (r == code) {
        daemon_start(s->daemon);
        ++*ends;
    } else
        assert_int_equal(r, -ETIMEDOUT);
    return ask_int(s, "ZCARD rpopd:{queue}:dead") == 1;
}

/* No signal says whose it was: a trial finds it. */
static void one_that_exits_is_found_by_a_trial(void **state)
{
    struct scene *s = *state;
    unsigned ends = 0;
    if (SLOWNESS > 1)
        skip(); /* a sanitizer looks at the end of the process, which has a code of its own then */
    push(s, "queue", "exit 3");
    push(s, "queue", "innocent");
    char *text = plugin_queue(plugin_path("act"), "", "", "");
    scene_launch(s, text);
    free(text);
    scene_await(s, 2 * LIMIT_MS, dies_of_it(s, 3, &ends));
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    assert_int_equal(ends, 5); /* three beside the other, two alone */
    assert_int_equal(stat_of(s, "queue", "dead"), 1);
    scene_check(s, strstr(plugin_dead_letter(s), "the daemon died while it ran alone") != NULL);
    scene_check(s, strstr(plugin_dead_letter(s), "exit 3") != NULL);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* ---- the example ---- */

static void the_example_gathers(void **state)
{
    struct scene *s = *state;
    plugin_start(s, "gather", "settings: { nap = 50; };", "", "");
    push(s, "queue", "one two");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    assert_int_equal(daemon_logged(s->daemon, "what='slept, found, one two'"), 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void the_example_is_cancelled_in_the_middle(void **state)
{
    struct scene *s = *state;
    plugin_start(s, "gather", "settings: { nap = 600000; };", "", "");
    push(s, "queue", "one two");
    scene_await(s, LIMIT_MS, ask_int(s, "LLEN queue") == 0);
    ctl_cancel_one(s);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "cancelled") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void the_examples_settings_are_checked_by_it(void **state)
{
    struct scene *s = *state;
    char *text = plugin_queue(plugin_path("gather"), "settings: { nap = -1; };", "", "");
    scene_launch(s, text);
    free(text);
    assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), 78);
    assert_int_equal(daemon_logged(s->daemon, "settings.nap: -1 is below 0, allowed is a"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(what_is_no_plugin_is_refused_with_its_line),
        SCENE(a_plugin_that_does_not_fit_is_refused_with_its_line),
        SCENE(settings_are_passed_on_and_hooks_run_once_a_worker),
        SCENE(another_symbol_is_another_plugin),
        SCENE(a_failing_init_ends_the_start_with_its_sentence),
        SCENE(outcomes_have_their_reason),
        SCENE(a_failed_try_leaves_evidence_and_is_tried_again),
        SCENE(without_memory_it_is_given_back),
        SCENE(what_a_coroutine_returns_is_delivered),
        SCENE(so_is_what_a_function_returns),
        SCENE(cancelled_by_its_id_it_cleans_up),
        SCENE(a_timeout_is_a_failed_try_whatever_the_plugin_makes_of_it),
        SCENE(at_the_end_of_the_daemon_it_is_given_back),
        SCENE(a_task_of_a_job_ends_with_it),
        SCENE(a_function_in_a_thread_holds_nobody_up),
        SCENE(a_crash_is_its_jobs),
        SCENE(so_is_one_in_a_thread),
        SCENE(so_is_an_overflow_of_its_stack),
        SCENE(so_is_a_jump_out_of_it),
        SCENE(a_jump_within_it_is_nothing),
        SCENE(one_that_exits_is_found_by_a_trial),
        SCENE(the_example_gathers),
        SCENE(the_example_is_cancelled_in_the_middle),
        SCENE(the_examples_settings_are_checked_by_it),
    };
    return scene_run(tests);
}
