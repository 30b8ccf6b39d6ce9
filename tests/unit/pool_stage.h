/* pool_stage.h - a queue with a pool whose children are this program's (tests/lib/pool_child.h),
 * jobs for it, and the file in which the children tell what they saw. */
#ifndef TESTS_UNIT_POOL_STAGE_H
#define TESTS_UNIT_POOL_STAGE_H

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/conf.h"
#include "tests/lib/pool_child.h"
#include "worker/handler/handler.h"
#include "worker/runtime/run.h"
#include "worker/runtime/task.h"

#define UNUSED __attribute__((unused))

struct stage {
    char folder[64], told[96];
    struct conf *conf;
    void *state; /* of the handler; NULL: not begun */
    struct job *job;
    enum job_outcome outcome;
    struct err why;
};

static UNUSED int stage_new(void **state)
{
    struct stage *s = calloc(1, sizeof *s);
    assert_non_null(s);
    (void)strcpy(s->folder, "/tmp/rpopd-pool.XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    (void)snprintf(s->told, sizeof s->told, "%s/told", s->folder);
    setenv("POOL_CHILD_LOG", s->told, 1);
    unsetenv("POOL_CHILD_START");
    *state = s;
    return 0;
}

static UNUSED void stage_begin(struct stage *s)
{
    struct err e = {0};
    if (handler_pool.init(&s->conf->queues[0], &s->state, &e) < 0)
        fail_msg("%s", e.text);
}

static UNUSED void stage_close(struct stage *s)
{
    if (s->state)
        handler_pool.exit(s->state);
    s->state = NULL;
}

/* With these words as the command, and further settings of the handler. */
static UNUSED void stage_open_with(struct stage *s, const char *command, const char *more)
{
    char text[2000];
    int n = snprintf(text, sizeof text,
                     "queues: ({ name = \"q\"; result: { list = \"results\"; }; "
                     "handler: { type = \"pool\"; command = [ %s ]; %s }; });",
                     command, more);
    assert_int_equal(conf_load_text("test", text, (size_t)n, stderr, &s->conf), 0);
    stage_begin(s);
}

static UNUSED void stage_open(struct stage *s, const char *more)
{
    char command[POOL_CHILD_COMMAND_MAX];
    stage_open_with(s, pool_child_command(command), more);
}

static UNUSED int stage_free(void **state)
{
    struct stage *s = *state;
    stage_close(s);
    (void)conf_free(s->conf);
    (void)unlink(s->told);
    (void)rmdir(s->folder);
    free(s);
    return 0;
}

static UNUSED struct job *stage_job(const struct stage *s, const char *payload, size_t len)
{
    struct job *j = job_new(&s->conf->queues[0], payload, len);
    assert_non_null(j);
    j->birth = "vm-1-1";
    j->attempt = 1;
    return j;
}

static int stage_run_main(void *arg, void **ret_result, struct err *e)
{
    struct stage *s = arg;
    (void)ret_result, (void)e;
    s->outcome = handler_pool.run(s->job, s->state, &s->why);
    return 0;
}

/* In a task of its own; what it says is in s->why. */
static UNUSED enum job_outcome stage_run(struct stage *s, struct job *j)
{
    struct err e;
    s->job = j;
    s->why = (struct err){0};
    assert_int_equal(run(stage_run_main, s, NULL, &e), 0);
    if (s->outcome != JOB_DONE && s->outcome != JOB_CANCELLED)
        assert_int_not_equal(s->why.code, 0);
    return s->outcome;
}

static UNUSED enum job_outcome stage_play(struct stage *s, const char *payload)
{
    struct job *j = stage_job(s, payload, strlen(payload));
    enum job_outcome outcome = stage_run(s, j);
    (void)job_free(j);
    return outcome;
}

static UNUSED unsigned told(const char *what)
{
    return pool_child_told(what, NULL);
}

static UNUSED pid_t told_by(const char *what)
{
    pid_t pid = -1;
    assert_true(pool_child_told(what, &pid) > 0);
    return pid;
}

static UNUSED bool is_reaped(pid_t pid)
{
    return kill(pid, 0) < 0 && errno == ESRCH;
}

#define stage_await(condition)                               \
    for (int i_ = 0; !(condition); (void)usleep(1000), i_++) \
    assert_true(i_ < 30000)

#endif
