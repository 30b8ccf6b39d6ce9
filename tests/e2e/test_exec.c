/* The handler exec: what a program's end means, what it is given, and what cannot be started. */
#include "tests/e2e/exec.h"

#include <fcntl.h>

/* What their end means ------------------------------------------------------------------------- */

static void an_exit_code_of_zero_is_done(void **state)
{
    struct scene *s = *state;
    scene_start(s, SH("", "attempts = 1;"));
    push(s, "queue", "exit 0");
    scene_await(s, LIMIT_MS, exec_done(s) == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void an_exit_code_of_65_is_dead_at_once_and_others_are_tried_again(void **state)
{
    struct scene *s = *state;
    scene_start(s, SH("", "attempts = 3; " AT_ONCE));
    json_t *o = exec_dies(s, "echo what is this >&2; sleep 0.1; exit 65");
    assert_string_equal(ctl_text(o, "reason"), "exit code 65");
    assert_int_equal(ctl_number(o, "attempts"), 1);
    assert_int_equal(ctl_number(o, "exit"), 65);
    assert_string_equal(ctl_text(o, "output"), "what is this\n");
    assert_in_range(ctl_number(o, "run_ms"), 99, LIMIT_MS);
    assert_int_equal(daemon_logged(s->daemon, exec_text("attempt=1 run_ms=%d reason=",
                                                        (int)ctl_number(o, "run_ms"))),
                     1);
    json_decref(o);
    static const int codes[] = {1, 75, 64, 66, 127, 255};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        const char *text, *want;
        text = exec_text("exit %d", codes[i]);
        want = exec_text("exit code %d", codes[i]);
        o = exec_dies(s, text);
        assert_string_equal(ctl_text(o, "reason"), want);
        assert_int_equal(ctl_number(o, "attempts"), 3);
        assert_int_equal(ctl_number(o, "exit"), codes[i]);
        json_decref(o);
    }
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void a_signal_is_named(void **state)
{
    struct scene *s = *state;
    static const struct {
        const char *script, *reason;
        int number;
    } rows[] = {{"kill -9 $$", "signal 9 (SIGKILL)", 9},
                {"kill -SEGV $$", "signal 11 (SIGSEGV)", 11},
                {"kill -PIPE $$", "signal 13 (SIGPIPE)", 13}};
    scene_start(s, SH("rlimits = [ \"core=0\" ]; ", "attempts = 2; " AT_ONCE));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *o = exec_dies(s, rows[i].script);
        assert_string_equal(ctl_text(o, "reason"), rows[i].reason);
        assert_int_equal(ctl_number(o, "attempts"), 2);
        assert_int_equal(ctl_number(o, "signal"), rows[i].number);
        json_decref(o);
    }
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* How many of the dead letters have this number as `member`, and the reason that begins so. */
static unsigned letters_with(const json_t *all, const char *member, int n, const char *reason)
{
    unsigned found = 0;
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *o = json_array_get(all, i);
        found += json_integer_value(json_object_get(o, member)) == n &&
                 strncmp(ctl_text(o, "reason"), reason, strlen(reason)) == 0;
    }
    return found;
}

static void every_exit_code_and_every_signal_is_told(void **state)
{
    struct scene *s = *state;
    unsigned codes = 255, signals = 0, harmless = 0;
    scene_start(
        s, exec_text("concurrency = 8; %s", SH("rlimits = [ \"core=0\" ]; ", "attempts = 1; ")));
    for (int code = 0; code <= 255; code++)
        push(s, "queue", exec_text("exit %d", code));
    for (int sig = 1; sig <= 64; sig++) {
        bool ignored = sig == SIGCHLD || sig == SIGCONT || sig == SIGURG || sig == SIGWINCH;
        if (sig >= SIGSTOP && sig <= SIGTTOU) /* it would stand still */
            continue;
        push(s, "queue", exec_text("kill -%d $$; exit 0", sig));
        signals += !ignored;
        harmless += ignored;
    }
    scene_await(s, 4 * LIMIT_MS, exec_dead(s) == codes + signals);
    scene_await(s, LIMIT_MS, exec_done(s) == 1 + harmless);
    json_t *all = CTL_JSON(s, 0, "dead", "list", "queue", "--limit", "400");
    for (int code = 1; code <= 255; code++)
        assert_int_equal(letters_with(all, "exit", code, exec_text("exit code %d", code)), 1);
    unsigned told = 0;
    for (int sig = 1; sig <= 64; sig++)
        told += letters_with(all, "signal", sig, exec_text("signal %d", sig));
    assert_int_equal(told, signals);
    json_decref(all);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void a_line_on_descriptor_3_sets_the_delay(void **state)
{
    struct scene *s = *state;
    scene_start(s, SH("", "attempts = 5; "));
    push(s, "queue", "echo retry-after: 86400 >&3; exit 1");
    scene_await(s, LIMIT_MS, ask_int(s, "ZCARD rpopd:{queue}:retry") == 1);
    scene_check(s, daemon_logged(s->daemon, "delay_ms=86400000") == 1);
    push(s, "queue", "echo retry-after: soon >&3; echo retry-after: 3600.5 >&3; exit 75");
    scene_await(s, LIMIT_MS, ask_int(s, "ZCARD rpopd:{queue}:retry") == 2);
    scene_check(s, daemon_logged(s->daemon, "delay_ms=3600500") == 1);
    scene_check(s, daemon_logged(s->daemon, "line='retry-after: soon'") == 1);
    /* Without it the first delay is about a second. */
    push(s, "queue", "exit 1");
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "attempt=2 of=5") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* What they are given ---------------------------------------------------------------------------
 */

static void the_environment_names_the_job_and_lacks_what_is_the_daemons(void **state)
{
    struct scene *s = *state;
    const char *text;
    daemon_setenv(s->daemon, "CREDENTIALS_DIRECTORY", "/run/credentials");
    daemon_setenv(s->daemon, "LISTEN_FDS", "1");
    daemon_setenv(s->daemon, "WATCHDOG_PID", "1");
    daemon_setenv(s->daemon, "RPOPD_ATTEMPT", "77");
    daemon_setenv(s->daemon, "KEPT", "1");
    daemon_setenv(s->daemon, "CHANGED", "1");
    scene_start(
        s, SH("env = [ \"CHANGED=2\", \"NEW=a b\" ]; ", "attempts = 7; timeout = 100.0; " AT_ONCE));
    text = exec_text("env >%s/env; [ $RPOPD_ATTEMPT = 2 ]", s->folder);
    push(s, "queue", text);
    scene_await(s, LIMIT_MS, exec_done(s) == 1);
    const char *env = exec_file(s, "env", NULL);
    static const char *const there[] = {"RPOPD_QUEUE=queue\n", "RPOPD_ATTEMPT=2\n",
                                        "RPOPD_ATTEMPTS=7\n",  "KEPT=1\n",
                                        "CHANGED=2\n",         "NEW=a b\n"},
                             *const gone[] = {"CREDENTIALS_DIRECTORY", "LISTEN_FDS", "WATCHDOG_PID",
                                              "NOTIFY_SOCKET",         "CHANGED=1",  "ATTEMPT=77"};
    for (size_t i = 0; i < sizeof there / sizeof *there; i++)
        if (!strstr(env, there[i]))
            fail_msg("%s is not in\n%s", there[i], env);
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
        if (strstr(env, gone[i]))
            fail_msg("%s is in\n%s", gone[i], env);
    assert_non_null(strstr(env, "RPOPD_JOB_ID="));
    const char *deadline = strstr(env, "RPOPD_DEADLINE=");
    assert_non_null(deadline);
    int64_t left_ms = atoll(deadline + 15) - clock_wall_ms();
    assert_in_range(left_ms, 1, 100000);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void nothing_of_the_daemon_leaks_into_them(void **state)
{
    struct scene *s = *state;
    const char *text;
    (void)signal(SIGHUP, SIG_IGN); /* as nohup does; the daemon begins with it */
    scene_start(s, SH("cwd = \"/usr\"; ", "attempts = 1; "));
    (void)signal(SIGHUP, SIG_DFL);
    text = exec_text("grep -h 'Sig[BI]' /proc/self/status >%s/signals; cut "
                     "-d' ' -f5,6 /proc/$$/stat >%s/session; "
                     "echo $$ >>%s/session; ls /proc/$$/fd; exit 65",
                     s->folder, s->folder, s->folder);
    json_t *o = exec_dies(s, text);
    assert_string_equal(ctl_text(o, "output"), "0\n1\n2\n3\n");
    json_decref(o);
    long long blocked = -1, ignored = -1;
    assert_int_equal(
        sscanf(exec_file(s, "signals", NULL), "SigBlk: %llx SigIgn: %llx", &blocked, &ignored), 2);
    assert_int_equal(blocked, 0);
    assert_int_equal(ignored, 0);
    int group, session, pid;
    assert_int_equal(sscanf(exec_file(s, "session", NULL), "%d %d %d", &group, &session, &pid), 3);
    assert_int_equal(group, pid);
    assert_int_equal(session, pid);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void what_the_launcher_sets_is_set(void **state)
{
    struct scene *s = *state;
    const char *text;
    scene_start(s, SH("umask = \"027\"; nice = 3; rlimits = [ \"nofile=77\", \"core=0:4096\" ]; "
                      "no_new_privs = true; cwd = \"/usr\"; ",
                      "attempts = 1; "));
    text = exec_text(
        "{ umask; nice; ulimit -Sn; ulimit -Hn; ulimit -Sc; grep NoNew /proc/self/status; pwd; } "
        ">%s/set; ls /proc/$$/fd; exit 65",
        s->folder);
    int own = nice(0);
    json_t *o = exec_dies(s, text);
    assert_string_equal(ctl_text(o, "output"), "0\n1\n2\n3\n");
    json_decref(o);
    const char *want;
    want = exec_text("0027\n%d\n77\n77\n0\nNoNewPrivs:\t1\n/usr\n", own + 3 > 19 ? 19 : own + 3);
    assert_string_equal(exec_file(s, "set", NULL), want);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void a_user_is_become_with_the_users_groups(void **state)
{
    struct scene *s = *state;
    if (geteuid() != 0)
        skip();
    scene_start(s, SH("user = \"nobody\"; ", "attempts = 1; output_limit = 200; "));
    json_t *o = exec_dies(s, "id -un; id -G; exit 65");
    assert_memory_equal(ctl_text(o, "output"), "nobody\n65534\n", 13);
    json_decref(o);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void the_launchers_failure_is_a_sentence(void **state)
{
    struct scene *s = *state;
    scene_start(s, SH("rlimits = [ \"nofile=999999999999\" ]; ", "attempts = 1; "));
    json_t *o = exec_dies(s, "exit 0");
    assert_string_equal(ctl_text(o, "reason"),
                        "cannot set the limit nofile=999999999999: Operation not permitted");
    json_decref(o);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* Programs that cannot be started ---------------------------------------------------------------
 */

static void refuses(struct scene *s, const char *settings, const char *name, const char *words)
{
    const char *conf;
    char front[256];
    conf =
        exec_text("queues = ({ name = \"queue\"; handler: { type = \"exec\"; %s }; });", settings);
    char *text = scene_conf(s, conf);
    daemon_configure(s->daemon, text);
    free(text);
    for (int start_it = 0; start_it < 2; start_it++) {
        size_t before;
        (void)daemon_err(s->daemon, &before);
        daemon_start_with(
            s->daemon, start_it ? (const char *const[]){"-c", daemon_file(s->daemon), NULL}
                                : (const char *const[]){"-t", "-c", daemon_file(s->daemon), NULL});
        assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), 78);
        (void)snprintf(front, sizeof front, "%s:4: queues[0].%s: ", daemon_file(s->daemon), name);
        const char *said = daemon_err(s->daemon, NULL) + before;
        if (strncmp(said, front, strlen(front)) != 0 || !strstr(said, words))
            fail_msg("wanted %s...%s\nsaid %s", front, words, said);
    }
}

static void a_command_that_cannot_run_is_refused_at_start(void **state)
{
    struct scene *s = *state;
    const char *settings, *path;
    refuses(s, "command = [ \"/nowhere/at-all\" ];", "handler.command",
            "\"/nowhere/at-all\": No such file or directory, allowed is ");
    refuses(s, "command = [ \"no-such-program-here\" ];", "handler.command", "is not in PATH");
    refuses(s, "command = [ \"/usr\" ];", "handler.command", "\"/usr\" is no file");
    path = exec_make(s, "plain", "#!/bin/sh\n", 0644);
    settings = exec_text("command = [ \"%s\" ];", path);
    refuses(s, settings, "handler.command", "must not be executed");
    path = exec_make(s, "bad", "#! /no/interpreter -x\n", 0755);
    settings = exec_text("command = [ \"%s\" ];", path);
    refuses(s, settings, "handler.command", "the interpreter \"/no/interpreter\" of ");
    refuses(s, "command = [ \"/bin/true\" ]; cwd = \"/no/such\";", "handler.cwd",
            "\"/no/such\" is no directory");
    refuses(s, "command = [ \"/bin/true\" ]; user = \"no-such-user\";", "handler.user",
            "there is no user \"no-such-user\"");
    refuses(s, "command = [ \"/bin/true\" ]; rlimits = [ \"files=3\" ];", "handler.rlimits",
            "[0]: \"files=3\" is not a limit");
    refuses(s, "command = [ \"/bin/true\" ]; umask = \"8\";", "handler.umask", "is not a mask");
    refuses(s, "command = [ \"/bin/true\" ]; env = [ \"X\" ];", "handler.env",
            "\"X\" is not a variable");
}

/* The daemon of another user, who may read and write what root may. */
static void become_nobody(struct scene *s)
{
    const char *named = getenv("RPOPD");
    char *program = realpath(named ? named : "build/rpopd", NULL);
    assert_non_null(program);
    const char *wrapper =
        exec_make(s, "rpopd.sh",
                  exec_text("#!/bin/sh\nexec setpriv --reuid 65534 --inh-caps +dac_override "
                            "--ambient-caps +dac_override -- %s \"$@\"\n",
                            program),
                  0755);
    assert_int_equal(setenv("RPOPD", wrapper, 1), 0);
    s->daemon = (daemon_free(s->daemon), daemon_new(s->folder, "rpopd"));
    assert_int_equal(setenv("RPOPD", program, 1), 0);
    free(program);
}

static void a_user_is_refused_where_the_daemon_is_not_roots(void **state)
{
    struct scene *s = *state;
    if (geteuid() == 0)
        become_nobody(s);
    refuses(s, "command = [ \"/bin/true\" ]; user = \"nobody\";", "handler.user",
            "cannot become \"nobody\", allowed is a user where the daemon is started as root");
}

static void a_command_that_goes_away_fails_the_try_with_a_sentence(void **state)
{
    struct scene *s = *state;
    const char *path, *conf, *want;
    path = exec_make(s, "prog", "#!/bin/sh\nexit 0\n", 0755);
    conf = exec_text("queues = ({ name = \"queue\"; attempts = 2; " AT_ONCE
                     "handler: { type = \"exec\"; command = [ \"%s\" ]; }; });",
                     path);
    scene_start(s, conf);
    push(s, "queue", "x");
    scene_await(s, LIMIT_MS, exec_done(s) == 1);
    assert_int_equal(unlink(path), 0);
    json_t *o = exec_dies(s, "x");
    want = exec_text("cannot start '%s': \"%s\": No such file or directory", path, path);
    assert_string_equal(ctl_text(o, "reason"), want);
    assert_int_equal(ctl_number(o, "attempts"), 2);
    json_decref(o);
    path = exec_make(s, "prog", "no program\n", 0755);
    o = exec_dies(s, "x");
    assert_non_null(strstr(ctl_text(o, "reason"), "Exec format error"));
    json_decref(o);
    path = exec_make(s, "prog", "#!/bin/sh\n", 0755);
    push(s, "queue", "x");
    scene_await(s, LIMIT_MS, exec_done(s) == 2);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void a_command_that_is_being_written_fails_the_try_with_a_sentence(void **state)
{
    struct scene *s = *state;
    const char *path = exec_make(s, "prog", "#!/bin/sh\nexit 0\n", 0755);
    scene_start(s, exec_text("queues = ({ name = \"queue\"; attempts = 2; " AT_ONCE
                             "handler: { type = \"exec\"; command = [ \"%s\" ]; }; });",
                             path));
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    if (system(exec_text("%s 2>/dev/null", path)) == 0) {
        print_message("this system runs what is being written\n");
        (void)close(fd);
        skip();
    }
    json_t *o = exec_dies(s, "x");
    assert_non_null(strstr(ctl_text(o, "reason"), "Text file busy"));
    assert_int_equal(ctl_number(o, "attempts"), 2);
    json_decref(o);
    assert_int_equal(close(fd), 0);
    push(s, "queue", "x");
    scene_await(s, LIMIT_MS, exec_done(s) == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(an_exit_code_of_zero_is_done),
        SCENE(an_exit_code_of_65_is_dead_at_once_and_others_are_tried_again),
        SCENE(a_signal_is_named),
        SCENE(every_exit_code_and_every_signal_is_told),
        SCENE(a_line_on_descriptor_3_sets_the_delay),
        SCENE(the_environment_names_the_job_and_lacks_what_is_the_daemons),
        SCENE(nothing_of_the_daemon_leaks_into_them),
        SCENE(what_the_launcher_sets_is_set),
        SCENE(a_user_is_become_with_the_users_groups),
        SCENE(the_launchers_failure_is_a_sentence),
        SCENE(a_command_that_cannot_run_is_refused_at_start),
        SCENE(a_user_is_refused_where_the_daemon_is_not_roots),
        SCENE(a_command_that_goes_away_fails_the_try_with_a_sentence),
        SCENE(a_command_that_is_being_written_fails_the_try_with_a_sentence),
    };
    return scene_run(tests);
}
