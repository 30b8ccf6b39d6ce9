/* LDFLAGS: -Wl,--wrap=loop_add_reader,--wrap=loop_call_later */
/* A pool's children while they have no job: they may end, and what looks after them is no job's. */
#include "tests/unit/pool_stage.h"

#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "worker/crash.h"
#include "worker/handler/cgroup.h"
#include "worker/runtime/context.h"
#include "worker/runtime/watch_fd.h"

/* ---- they end ---- */

static void a_child_that_ended_while_idle_costs_nothing(void **state)
{
    struct stage *s = *state;
    stage_open(s, "");
    assert_int_equal(stage_play(s, "ok 1"), JOB_DONE);
    assert_int_equal(kill(told_by("ok 1"), SIGKILL), 0);
    stage_await(pool_child_gone(told_by("ok 1")));
    assert_int_equal(stage_play(s, "ok 2"), JOB_DONE);
    assert_int_equal(told("start"), 2);
}

static void a_child_that_speaks_while_idle_costs_nothing(void **state)
{
    struct stage *s = *state;
    stage_open(s, "");
    assert_int_equal(stage_play(s, "late"), JOB_DONE); /* writes a line more, later */
    stage_await(told("spoken"));
    assert_int_equal(stage_play(s, "ok 2"), JOB_DONE);
    assert_int_equal(told("start"), 2);
}

/* The cgroup of the only child, and one below it, so that it cannot be removed. */
struct held_cgroup {
    char owner[PATH_MAX + 32], below[PATH_MAX + 128];
    bool made;
};

static void hold_cgroup(struct held_cgroup *h)
{
    char root[PATH_MAX];
    if (!cgroups_root(root))
        return;
    (void)snprintf(h->owner, sizeof h->owner, "%s/rpopd-%d", root, getpid());
    DIR *d = opendir(h->owner);
    for (const struct dirent *one; d && (one = readdir(d));)
        if (one->d_type == DT_DIR && one->d_name[0] != '.' &&
            snprintf(h->below, sizeof h->below, "%s/%.32s/held", h->owner, one->d_name) > 0)
            h->made = mkdir(h->below, 0755) == 0;
    if (d)
        (void)closedir(d);
}

struct last_job {
    struct stage *stage;
    struct held_cgroup cgroup;
    pid_t pid;
};

static int end_while_idle(void *arg, void **ret_result, struct err *e)
{
    struct last_job *l = arg;
    int64_t by = clock_now_ms() + 30000;
    (void)stage_run_main(l->stage, ret_result, e);
    (void)pool_child_told("ok", &l->pid);
    hold_cgroup(&l->cgroup);
    if (l->pid > 0)
        (void)kill(l->pid, SIGKILL);
    while (!is_reaped(l->pid) && clock_now_ms() < by)
        (void)task_sleep(1);
    return 0;
}

static void a_child_that_ended_while_idle_leaves_no_cgroup(void **state)
{
    struct stage *s = *state;
    struct last_job l = {.stage = s, .pid = -1};
    stage_open(s, "");
    s->job = stage_job(s, "ok", 2);
    assert_int_equal(run(end_while_idle, &l, NULL, NULL), 0);
    (void)job_free(s->job);
    assert_true(is_reaped(l.pid));
    if (!l.cgroup.made)
        skip(); /* none may be written here */
    assert_int_equal(rmdir(l.cgroup.below), 0);
    stage_close(s);
    assert_int_equal(access(l.cgroup.owner, F_OK), -1);
}

/* ---- who would pay for a crash ---- */

static struct {
    const void *pool;            /* the arg of what hears of an idle child's end */
    int readers, timers, behind; /* the job's own code goes on */
    int of_a_job;
} added;

int __real_loop_add_reader(struct loop *l, int fd, loop_fn fn, void *arg, struct err *e);
int __wrap_loop_add_reader(struct loop *l, int fd, loop_fn fn, void *arg, struct err *e);
struct handle *__real_loop_call_later(struct loop *l, int64_t ms, loop_fn fn, void *arg);
struct handle *__wrap_loop_call_later(struct loop *l, int64_t ms, loop_fn fn, void *arg);

static void note_context(int *count)
{
    struct context *c = context_copy();
    ++*count;
    added.of_a_job += c != NULL;
    context_unref(c);
}

int __wrap_loop_add_reader(struct loop *l, int fd, loop_fn fn, void *arg, struct err *e)
{
    if (added.pool && arg == added.pool)
        note_context(&added.readers);
    return __real_loop_add_reader(l, fd, fn, arg, e);
}

struct handle *__wrap_loop_call_later(struct loop *l, int64_t ms, loop_fn fn, void *arg)
{
    if (added.pool && !arg) /* reap */
        note_context(&added.timers);
    return __real_loop_call_later(l, ms, fn, arg);
}

static int run_as_a_worker_does(void *arg, void **ret_result, struct err *e)
{
    struct stage *s = arg;
    crash_job(s->job);
    (void)stage_run_main(s, ret_result, e);
    note_context(&added.behind);
    return 0;
}

static void what_outlives_a_job_does_not_name_it(void **state)
{
    struct stage *s = *state;
    stage_open(s, "");
    added.pool = s->state;
    s->job = stage_job(s, "ok", 2);
    assert_int_equal(run(run_as_a_worker_does, s, NULL, NULL), 0);
    added.pool = NULL;
    (void)job_free(s->job);
    assert_int_equal(s->outcome, JOB_DONE);
    assert_int_equal(added.readers, 1);
    assert_int_equal(added.timers, 1);
    assert_int_equal(added.behind, 1);
    assert_int_equal(added.of_a_job, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_new, stage_free)

int main(int argc, char *argv[])
{
    pool_child_main(argc, argv);
    const struct CMUnitTest tests[] = {
        TEST(what_outlives_a_job_does_not_name_it), /* first: a timer is added once a second */
        TEST(a_child_that_ended_while_idle_costs_nothing),
        TEST(a_child_that_speaks_while_idle_costs_nothing),
        TEST(a_child_that_ended_while_idle_leaves_no_cgroup),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
