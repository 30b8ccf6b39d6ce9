/* The command line, the exit codes and what stands at the start. */
#include "tests/e2e/scene.h"

#include <sys/stat.h>

#define RUN(...) ((const char *const[]){__VA_ARGS__, NULL})

static int run(struct scene *s, const char *const *args)
{
    daemon_start_with(s->daemon, args);
    return daemon_wait(s->daemon, LIMIT_MS);
}

static void configure(struct scene *s, const char *more)
{
    char *text = scene_conf(s, more);
    daemon_configure(s->daemon, text);
    free(text);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

/* The command line ------------------------------------------------------------------------------
 */

static void usage_is_64_with_a_sentence(void **state)
{
    struct scene *s = *state;
    configure(s, ONE("null", ""));
    const char *file = daemon_file(s->daemon);
    assert_int_equal(run(s, RUN("--no-such-option")), 64);
    assert_int_equal(daemon_logged(s->daemon, "no-such-option") > 0, 1);
    assert_int_equal(run(s, RUN("-Z")), 64);
    assert_int_equal(run(s, RUN("-c")), 64);
    assert_int_equal(run(s, RUN("-c", file, "surplus")), 64);
    assert_int_equal(daemon_logged(s->daemon, "surplus") > 0, 1);
    assert_string_equal(daemon_out(s->daemon, NULL), "");
    assert_string_equal(left_over(s), "");
}

static void help_names_every_option(void **state)
{
    struct scene *s = *state;
    static const char *const options[] = {"-c",           "-t", "-V", "-h", "--print-config",
                                          "--help-config"};
    assert_int_equal(run(s, RUN("-h")), 0);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        assert_non_null(strstr(daemon_out(s->daemon, NULL), options[i]));
    assert_string_equal(daemon_err(s->daemon, NULL), "");
}

static void version_is_one_line(void **state)
{
    struct scene *s = *state;
    assert_int_equal(run(s, RUN("-V")), 0);
    const char *out = daemon_out(s->daemon, NULL);
    assert_int_equal(strncmp(out, "rpopd", 5), 0);
    assert_int_equal(strcspn(out, "0123456789") < strlen(out), 1);
    assert_int_equal(strchr(out, '\n') == out + strlen(out) - 1, 1);
}

static void t_accepts_a_good_file_and_starts_nothing(void **state)
{
    struct scene *s = *state;
    configure(s, ONE("null", ""));
    long long before = ask_int(s, "EVAL %s 0", "return #redis.call('KEYS', '*')");
    assert_int_equal(run(s, RUN("-t", "-c", daemon_file(s->daemon))), 0);
    assert_int_equal(ask_int(s, "EVAL %s 0", "return #redis.call('KEYS', '*')"), before);
    assert_int_equal(access(s->runtime_dir, F_OK), -1);
}

static void t_accepts_a_file_whose_redis_is_not_there(void **state)
{
    struct scene *s = *state;
    redis_server_kill(s->redis);
    configure(s, ONE("null", ""));
    assert_int_equal(run(s, RUN("-t", "-c", daemon_file(s->daemon))), 0);
}

static void what_print_config_shows_is_a_file_that_says_the_same(void **state)
{
    struct scene *s = *state;
    char copy[128];
    configure(
        s, "workers = 3; concurrency = 17; lease = 4.5; shutdown_timeout = 1.25; "
           "queues = (" QUEUE("a \\\"quoted\\\" \\\\ name", "null",
                              "dead_max = 5; timeout = 0.5;") ", " QUEUE("queue", "sleep",
                                                                         "concurrency = 4;") ");");
    assert_int_equal(run(s, RUN("--print-config", "-c", daemon_file(s->daemon))), 0);
    char *first = strdup(daemon_out(s->daemon, NULL));
    assert_non_null(strstr(first, "concurrency = 17"));
    assert_non_null(strstr(first, "workers = 3"));
    assert_non_null(strstr(first, "lease = 4.5"));
    assert_non_null(strstr(first, "max_payload")); /* what is not in the file is shown too */
    (void)snprintf(copy, sizeof copy, "%s/copy.conf", s->folder);
    write_file(copy, first, 0600);
    assert_int_equal(run(s, RUN("-t", "-c", copy)), 0);
    assert_int_equal(run(s, RUN("--print-config", "-c", copy)), 0);
    const char *all = daemon_out(s->daemon, NULL); /* behind whatever -t has said */
    assert_string_equal(all + strlen(all) - strlen(first), first);
    free(first);
}

static void help_config_knows_every_setting(void **state)
{
    struct scene *s = *state;
    static const char *const names[] = {
        "instance",
        "runtime_dir",
        "url",
        "username",
        "password_file",
        "connect_timeout",
        "wait",
        "command_timeout",
        "workers",
        "lease",
        "concurrency",
        "shutdown_timeout",
        "queues",
        "name",
        "handler",
        "type",
        "weight",
        "priority",
        "timeout",
        "attempts",
        "backoff",
        "base",
        "factor",
        "max",
        "jitter",
        "delivery",
        "max_payload",
        "dead_max",
        "max_recoveries",
        "recoveries_to",
        "dead_age",
        "output_limit",
        "result",
        "list",
        "key_ttl",
        "on_success",
        "on_failure",
        "log",
        "level",
        "format",
        "admin",
        "socket",
        "http",
        "token_file",
    };
    assert_int_equal(run(s, RUN("--help-config")), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strstr(daemon_out(s->daemon, NULL), names[i]))
            fail_msg("--help-config says nothing of %s", names[i]);
}

/* Files -----------------------------------------------------------------------------------------
 */

static void a_file_that_cannot_be_read_is_78_and_named(void **state)
{
    struct scene *s = *state;
    assert_int_equal(run(s, RUN("-c", "/nonexistent/rpopd.conf")), 78);
    assert_int_equal(daemon_logged(s->daemon, "/nonexistent/rpopd.conf"), 1);
    assert_int_equal(run(s, RUN("-t", "-c", "/nonexistent/rpopd.conf")), 78);
    assert_int_equal(run(s, RUN("-t", "-c", s->folder)), 78);
    assert_int_equal(daemon_logged(s->daemon, s->folder), 1);
    assert_int_equal(run(s, RUN("-t", "-c", "/dev/zero")), 78);
    assert_int_equal(daemon_logged(s->daemon, "/dev/zero"), 1);
}

static void a_mistake_is_78_with_t_and_without(void **state)
{
    struct scene *s = *state;
    configure(s, "workers = -1; " ONE("null", ""));
    assert_int_equal(run(s, RUN("-t", "-c", daemon_file(s->daemon))), 78);
    assert_int_equal(run(s, RUN("-c", daemon_file(s->daemon))), 78);
    assert_int_equal(daemon_logged(s->daemon, "workers"), 2);
    assert_string_equal(left_over(s), "");
}

/* Redis at the start ----------------------------------------------------------------------------
 */

static void redis_away_and_not_waited_for_is_69(void **state)
{
    struct scene *s = *state;
    redis_server_kill(s->redis);
    s->redis_more = "wait = false;";
    scene_launch(s, ONE("null", ""));
    assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), 69);
    assert_int_equal(daemon_log_lines(s->daemon) > 0, 1);
}

static void redis_there_and_not_waited_for_works(void **state)
{
    struct scene *s = *state;
    s->redis_more = "wait = false;";
    scene_start(s, ONE("sleep", ""));
    push(s, "queue", "0.01");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.01") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void a_password_that_is_missing_is_78(void **state)
{
    struct scene *s = *state;
    assert_int_equal(ask_int(s, "CONFIG SET requirepass geheim"), 1);
    scene_launch(s, ONE("null", ""));
    assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), 78);
    assert_int_equal(daemon_logged(s->daemon, "NOAUTH") > 0, 1);
}

static void a_password_that_is_wrong_is_78_and_never_shown(void **state)
{
    struct scene *s = *state;
    char file[128], more[200];
    assert_int_equal(ask_int(s, "CONFIG SET requirepass geheim"), 1);
    (void)snprintf(file, sizeof file, "%s/password", s->folder);
    write_file(file, "verraten\n", 0600);
    (void)snprintf(more, sizeof more, "password_file = \"%s\";", file);
    s->redis_more = more;
    scene_launch(s, ONE("null", "") "log: { level = \"debug\"; };");
    assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), 78);
    assert_int_equal(daemon_logged(s->daemon, "WRONGPASS") > 0, 1);
    assert_int_equal(daemon_logged(s->daemon, "verraten"), 0);
}

static void the_right_password_works_and_is_never_shown(void **state)
{
    struct scene *s = *state;
    char file[128], more[200];
    assert_int_equal(ask_int(s, "CONFIG SET requirepass geheim"), 1);
    redis_server_login(s->redis, "geheim");
    (void)snprintf(file, sizeof file, "%s/password", s->folder);
    write_file(file, "geheim\n", 0600);
    (void)snprintf(more, sizeof more, "password_file = \"%s\";", file);
    s->redis_more = more;
    scene_start(s, ONE("sleep", "") "log: { level = \"debug\"; };");
    push(s, "queue", "0.01");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.01") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_logged(s->daemon, "geheim"), 0);
    assert_int_equal(run(s, RUN("--print-config", "-c", daemon_file(s->daemon))), 0);
    assert_null(strstr(daemon_out(s->daemon, NULL), "geheim"));
}

static void a_password_asked_for_by_a_redis_that_came_late_is_78_too(void **state)
{
    struct scene *s = *state;
    assert_int_equal(ask_int(s, "CONFIG SET requirepass geheim"), 1);
    redis_server_signal(s->redis,
                        SIGSTOP); /* the connect is accepted by the kernel, nobody answers */
    scene_launch(s, ONE("null", ""));
    scene_hold(s, 500, daemon_alive(s->daemon));
    redis_server_signal(s->redis, SIGCONT);
    assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), 78);
}

static void a_right_that_is_missing_at_the_start_is_78_and_named(void **state)
{
    struct scene *s = *state;
    assert_int_equal(ask_int(s, "ACL SETUSER default -lmove"), 1);
    scene_launch(s, ONE("null", ""));
    assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), 78);
    assert_int_equal(daemon_logged(s->daemon, "lmove") + daemon_logged(s->daemon, "LMOVE") > 0, 1);
    assert_string_equal(left_over(s), "");
}

static void a_database_number_is_kept(void **state)
{
    struct scene *s = *state;
    (void)snprintf(s->url, sizeof s->url, "%s?db=3", redis_server_url(s->redis));
    assert_int_equal(ask_int(s, "SELECT 3"), 1);
    scene_start(s, ONE("sleep", ""));
    push(s, "queue", "0.01");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.01") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "SELECT 0"), 1);
    assert_int_equal(ask_int(s, "DBSIZE"), 0);
}

/* Other instances -------------------------------------------------------------------------------
 */

static void a_second_daemon_of_the_same_name_is_70_and_harms_nobody(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", ""));
    push(s, "queue", "0.5");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting 0.5") == 1);
    s->second = daemon_new(s->folder, "second");
    char *text = scene_conf(s, ONE("sleep", ""));
    daemon_configure(s->second, text);
    free(text);
    daemon_start(s->second);
    assert_int_equal(daemon_wait(s->second, LIMIT_MS), 70);
    assert_int_equal(daemon_logged(s->second, "e2e"), 1);
    assert_int_equal(daemon_logged(s->second, "already running"), 1);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.5") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(stat_of(s, "queue", "done"), 1);
    assert_string_equal(left_over(s), "");
}

static void two_names_on_one_database_share_the_work(void **state)
{
    struct scene *s = *state;
    scene_start(s, "concurrency = 1; " ONE("sleep", ""));
    s->second = daemon_new(s->folder, "second");
    s->instance = "other";
    char *text = scene_conf(s, "concurrency = 1; " ONE("sleep", ""));
    daemon_configure(s->second, text);
    free(text);
    daemon_start(s->second);
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS rpopd:{queue}:owner:other") == 1);
    assert_int_equal(ask_int(s, "LPUSH queue 600.1 600.2"), 2);
    scene_await(s, LIMIT_MS,
                strstr(daemon_out(s->daemon, NULL), "Waiting 600.") &&
                    strstr(daemon_out(s->second, NULL), "Waiting 600."));
    scene_stop_second(s, SIGQUIT);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 2);
}

static void a_runtime_folder_of_another_user_is_refused(void **state)
{
    struct scene *s = *state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(mkdir(s->runtime_dir, 0777), 0);
    assert_int_equal(chown(s->runtime_dir, 65534, 65534), 0);
    scene_launch(s, ONE("null", ""));
    int code = daemon_wait(s->daemon, LIMIT_MS);
    assert_int_equal(code == 78 || code == 70 || code == 1, 1);
    assert_int_equal(daemon_logged(s->daemon, s->runtime_dir) > 0, 1);
}

static void an_odd_environment_changes_nothing(void **state)
{
    struct scene *s = *state;
    char *large = malloc(100001), name[16];
    assert_non_null(large);
    memset(large, 'x', 100000);
    large[100000] = '\0';
    for (int i = 0; i < 10; i++) {
        (void)snprintf(name, sizeof name, "LARGE%d", i);
        daemon_setenv(s->daemon, name, large);
    }
    free(large);
    daemon_setenv(s->daemon, "LIBEV_FLAGS", "65535"); /* would be other ways to wait */
    daemon_setenv(s->daemon, "LANG", "\xff\xfe.\n");
    daemon_setenv(s->daemon, "LC_ALL", "\xff");
    daemon_setenv(s->daemon, "PATH", "");
    scene_start(s, "queues = (" QUEUE("queue", "sleep",
                                      "") ", { name = \"other\"; handler: { "
                                          "type = \"exec\"; command = [ \"/bin/true\" ]; }; }); ");
    push(s, "queue", "0.01");
    push(s, "other", "x");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.01") == 1);
    scene_await(s, LIMIT_MS, stat_of(s, "other", "done") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* Nothing that it opens may come into their places. */
static void started_without_its_standard_files_it_has_null_ones(void **state)
{
    struct scene *s = *state;
    char path[96], target[64], *before = getenv("RPOPD") ? strdup(getenv("RPOPD")) : NULL;
    (void)snprintf(path, sizeof path, "%s/closed", s->folder);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    char *program = realpath(before ? before : "build/rpopd", NULL);
    (void)fprintf(f, "#!/bin/sh\nexec '%s' \"$@\" 0<&- 1>&- 2>&-\n", program);
    (void)fclose(f);
    free(program);
    assert_int_equal(chmod(path, 0755), 0);
    (void)setenv("RPOPD", path, 1);
    s->daemon = (daemon_free(s->daemon), daemon_new(s->folder, "rpopd"));
    before ? (void)setenv("RPOPD", before, 1) : (void)unsetenv("RPOPD");
    free(before);
    push_numbers(s, "queue", "0.01", 0, 20);
    scene_start(s, ONE("sleep", ""));
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 20);
    for (int fd = 0; fd < 3; fd++) {
        (void)snprintf(path, sizeof path, "/proc/%d/fd/%d", daemon_pid(s->daemon), fd);
        ssize_t n = readlink(path, target, sizeof target - 1);
        target[n < 0 ? 0 : n] = '\0';
        assert_string_equal(target, "/dev/null");
    }
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(usage_is_64_with_a_sentence),
        SCENE(help_names_every_option),
        SCENE(version_is_one_line),
        SCENE(t_accepts_a_good_file_and_starts_nothing),
        SCENE(t_accepts_a_file_whose_redis_is_not_there),
        SCENE(what_print_config_shows_is_a_file_that_says_the_same),
        SCENE(help_config_knows_every_setting),
        SCENE(a_file_that_cannot_be_read_is_78_and_named),
        SCENE(a_mistake_is_78_with_t_and_without),
        SCENE(redis_away_and_not_waited_for_is_69),
        SCENE(redis_there_and_not_waited_for_works),
        SCENE(a_password_that_is_missing_is_78),
        SCENE(a_password_that_is_wrong_is_78_and_never_shown),
        SCENE(the_right_password_works_and_is_never_shown),
        SCENE(a_password_asked_for_by_a_redis_that_came_late_is_78_too),
        SCENE(a_right_that_is_missing_at_the_start_is_78_and_named),
        SCENE(a_database_number_is_kept),
        SCENE(a_second_daemon_of_the_same_name_is_70_and_harms_nobody),
        SCENE(two_names_on_one_database_share_the_work),
        SCENE(a_runtime_folder_of_another_user_is_refused),
        SCENE(an_odd_environment_changes_nothing),
        SCENE(started_without_its_standard_files_it_has_null_ones),
    };
    return scene_run(tests);
}
