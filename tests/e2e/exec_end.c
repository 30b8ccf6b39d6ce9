#include "tests/e2e/exec.h"

/* Scripts that try to outlive their job; each writes a line to its output once it is there. */
static const char *const stubborn[] = {
    "trap '' TERM; echo up; while :; do sleep 1000; done",
    "(trap '' TERM; echo up; while :; do sleep 1000; done) & wait",
    "setsid sh -c \"trap '' TERM; echo up; while :; do sleep 1000; done\" & wait",
    "(setsid sh -c \"trap '' TERM; echo up; while :; do sleep 1000; done\" &) ; sleep 1000",
    "echo up; kill -STOP $$",
    "for i in $(seq 100); do sleep 1000 & done; echo up; trap '' TERM; wait; wait; sleep 1000",
};
#define LEAVES_ITS_SESSION 3
#define NSTUBBORN (sizeof stubborn / sizeof *stubborn)

static void await_up(struct scene *s, unsigned n)
{
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "line='up'") >= n);
    assert_true(exec_alive(s) >= 1);
}

static void nothing_outlives_its_time(void **state)
{
    struct scene *s = *state;
    scene_start(s, exec_text("concurrency = %zu; %s", NSTUBBORN,
                             MARKED(s, "kill_grace = 0.2; ", "attempts = 1; timeout = 4.0; ")));
    for (size_t i = 0; i < NSTUBBORN; i++)
        push(s, "queue", stubborn[i]);
    await_up(s, NSTUBBORN);
    push(s, "queue", "exit 0"); /* they have all the slots */
    scene_await(s, WITHIN(4000 + 200 + 1000), exec_dead(s) == NSTUBBORN);
    scene_await(s, LIMIT_MS, exec_done(s) == 1);
    assert_int_equal(exec_alive(s), 0);
    scene_await(s, LIMIT_MS, exec_zombies(s) == 0);
    json_t *all = CTL_JSON(s, 0, "dead", "list", "queue");
    assert_int_equal(json_array_size(all), NSTUBBORN);
    for (size_t i = 0; i < NSTUBBORN; i++) {
        const json_t *o = json_array_get(all, i);
        assert_string_equal(ctl_text(o, "reason"), "timeout after 4 s");
        assert_string_equal(ctl_text(o, "output"), "up\n");
        assert_true(ctl_number(o, "signal") > 0);
    }
    json_decref(all);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void what_a_job_leaves_behind_ends_with_it(void **state)
{
    struct scene *s = *state;
    static const char *const scripts[] = {
        "sleep 1000 & exit 65",
        "(setsid sleep 1000 &); exit 65",
        "(trap '' TERM; while :; do sleep 1000; done) & exit 65",
        "(setsid sh -c \"trap '' TERM; (sleep 1000 &); while :; do sleep 1000; done\" &); exit 65",
    };
    scene_start(s, MARKED(s, "kill_grace = 0.2; ", "attempts = 1; "));
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        json_t *o = exec_dies(s, scripts[i]);
        assert_string_equal(ctl_text(o, "reason"), "exit code 65");
        assert_int_equal(exec_alive(s), 0);
        assert_int_equal(exec_zombies(s), 0);
        json_decref(o);
    }
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void a_process_that_hears_term_has_its_grace(void **state)
{
    struct scene *s = *state;
    scene_start(s, MARKED(s, "kill_grace = 60.0; ", "attempts = 1; timeout = 1.0; "));
    json_t *o =
        exec_dies(s, "trap 'sleep 0.3; echo bye; exit 7' TERM; while :; do sleep 0.1; done");
    assert_non_null(strstr(ctl_text(o, "output"), "bye\n"));
    assert_int_equal(ctl_number(o, "exit"), 7);
    json_decref(o);
    assert_int_equal(exec_alive(s), 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void a_cancelled_job_frees_its_slot(void **state)
{
    struct scene *s = *state;
    scene_start(s, MARKED(s, "kill_grace = 0.2; ", "attempts = 3; concurrency = 1; "));
    push(s, "queue", stubborn[LEAVES_ITS_SESSION]);
    await_up(s, 1);
    json_t *jobs = CTL_JSON(s, 0, "jobs");
    const char *id = exec_text("%s", ctl_text(json_array_get(jobs, 0), "id"));
    json_decref(jobs);
    assert_int_equal(CTL(s, "cancel", id)->code, 0);
    scene_await(s, WITHIN(200 + 1000), exec_dead(s) == 1);
    assert_int_equal(exec_alive(s), 0);
    json_t *o = exec_letter(s);
    assert_string_equal(ctl_text(o, "reason"), "cancelled");
    assert_int_equal(ctl_number(o, "attempts"), 1);
    json_decref(o);
    push(s, "queue", "exit 0"); /* there is one slot */
    scene_await(s, LIMIT_MS, exec_done(s) == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void given_back(struct scene *s, unsigned n)
{
    assert_int_equal(exec_alive(s), 0);
    assert_int_equal(ask_int(s, "LLEN queue"), n);
    assert_int_equal(stat_of(s, "queue", "given_back"), n);
    assert_int_equal(exec_done(s) + exec_dead(s), 0);
    assert_int_equal(ask_int(s, "DEL queue"), 1);
    assert_string_equal(left_over(s), "");
}

static void quit_kills_without_grace_and_gives_back(void **state)
{
    struct scene *s = *state;
    scene_start(s, MARKED(s, "kill_grace = 600.0; ", ""));
    for (size_t i = 0; i < NSTUBBORN; i++)
        push(s, "queue", stubborn[i]);
    await_up(s, NSTUBBORN);
    scene_stop(s, SIGQUIT, 0, WITHIN(1000));
    given_back(s, NSTUBBORN);
}

static void a_second_signal_kills_without_more_grace(void **state)
{
    struct scene *s = *state;
    scene_start(s, exec_text("shutdown_timeout = 0.1; %s",
                             MARKED(s, "kill_grace = 600.0; ", "timeout = 0.0; ")));
    for (size_t i = 0; i < NSTUBBORN; i++)
        push(s, "queue", stubborn[i]);
    await_up(s, NSTUBBORN);
    daemon_signal(s->daemon, SIGTERM);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=cancelling") == 1);
    assert_true(exec_alive(s) > 0);
    scene_stop(s, SIGTERM, 0, WITHIN(1000));
    given_back(s, NSTUBBORN);
}

static void the_end_waits_for_the_grace_and_gives_back(void **state)
{
    struct scene *s = *state;
    scene_start(s, exec_text("shutdown_timeout = 0.1; %s", MARKED(s, "kill_grace = 1.0; ", "")));
    for (size_t i = 0; i < NSTUBBORN; i++)
        push(s, "queue", stubborn[i]);
    await_up(s, NSTUBBORN);
    scene_stop(s, SIGTERM, 0, WITHIN(100 + 1000 + 1000));
    given_back(s, NSTUBBORN);
}

#define AT_A_TIME 8

/* Each slot keeps a cgroup from its first job on: they run at the same time. */
static int open_when_all_ran(struct scene *s)
{
    for (int i = 0; i < AT_A_TIME; i++)
        push(s, "queue",
             exec_text("echo up; for i in $(seq 3000); do [ -e %s/go ] && break; sleep 0.01; done",
                       s->folder));
    await_up(s, AT_A_TIME);
    (void)exec_make(s, "go", "", 0600);
    scene_await(s, LIMIT_MS, exec_done(s) == AT_A_TIME);
    return daemon_usage(s->daemon).fds;
}

/* The cgroup of what was killed goes when a later job ends. */
static bool no_more_is_open(struct scene *s, int fds)
{
    long long done = exec_done(s);
    push(s, "queue", "exit 0");
    scene_await(s, LIMIT_MS, exec_done(s) == done + 1);
    return daemon_usage(s->daemon).fds <= fds;
}

static void nothing_is_left_of_many_jobs(void **state)
{
    struct scene *s = *state;
    static const char *const some[] = {
        "(setsid sleep 1000 &); echo y >&2",
        "(setsid sh -c \"trap '' TERM; sleep 1000\" &); exit 0",
        "echo x; exit 0",
    };
    unsigned jobs = scene_long() ? 10000 : 400 / SLOWNESS;
    scene_start(s, MARKED(s, "kill_grace = 0.2; ", "attempts = 1; concurrency = 8; "));
    int fds = open_when_all_ran(s);
    for (unsigned i = 0; i < jobs; i++)
        push(s, "queue", some[i % 10 < 2 ? i % 10 : 2]);
    scene_await(s, 20 * LIMIT_MS, exec_done(s) == AT_A_TIME + jobs);
    assert_int_equal(exec_alive(s), 0);
    assert_int_equal(exec_zombies(s), 0);
    scene_await(s, LIMIT_MS, no_more_is_open(s, fds));
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* What it lost is another's to run: here nobody's, since the queue is paused, until it resumes. */
static void with_its_epoch_a_job_loses_its_processes(void **state)
{
    struct scene *s = *state;
    scene_start(s, exec_text("lease = 1.5; %s", MARKED(s, "kill_grace = 0.2; ", "")));
    for (size_t i = 0; i < NSTUBBORN; i++)
        push(s, "queue", stubborn[i]);
    await_up(s, NSTUBBORN);
    assert_int_equal(ask_int(s, "SET rpopd:{queue}:paused x"), 1);
    lose_epoch(s);
    int64_t start = clock_now_ms();
    scene_await(s, LIMIT_MS, exec_alive(s) == 0);
    assert_in_range(clock_now_ms() - start, 0, WITHIN(200 + 1000));
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "lost") == NSTUBBORN);
    scene_await(s, LIMIT_MS, exec_zombies(s) == 0);
    assert_int_equal(claimed(s, "queue"), NSTUBBORN);
    assert_int_equal(ask_int(s, "DEL rpopd:{queue}:paused"), 1);
    await_up(s, 2 * NSTUBBORN);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    given_back(s, NSTUBBORN);
}

/* No environment and no session tell where it comes from: only its cgroup does. */
static void without_environment_and_session_it_ends_where_cgroups_may_be_written(void **state)
{
    struct scene *s = *state;
    scene_start(s, exec_text("log: { level = \"debug\"; }; %s",
                             MARKED(s, "kill_grace = 0.2; ", "attempts = 1; ")));
    if (daemon_logged(s->daemon, "event=program-ready queue='queue' cgroup=none"))
        skip();
    json_t *o = exec_dies(
        s, exec_text("(env -i setsid sh -c \"trap '' TERM; while :; do sleep 1000; done\" "
                     "%s-mark &); exit 65",
                     s->folder));
    json_decref(o);
    assert_int_equal(exec_alive(s), 0);
    assert_int_equal(exec_zombies(s), 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

int exec_end_run(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(nothing_outlives_its_time),
        SCENE(what_a_job_leaves_behind_ends_with_it),
        SCENE(a_process_that_hears_term_has_its_grace),
        SCENE(a_cancelled_job_frees_its_slot),
        SCENE(quit_kills_without_grace_and_gives_back),
        SCENE(a_second_signal_kills_without_more_grace),
        SCENE(the_end_waits_for_the_grace_and_gives_back),
        SCENE(with_its_epoch_a_job_loses_its_processes),
        SCENE(nothing_is_left_of_many_jobs),
        SCENE(without_environment_and_session_it_ends_where_cgroups_may_be_written),
    };
    return scene_run(tests);
}
