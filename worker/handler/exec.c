/* exec.c - a job is a program: the payload on its standard input, its exit code the outcome. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/callout.h"
#include "common/clock.h"
#include "common/log.h"
#include "worker/handler/exec_pipes.h"
#include "worker/handler/handler.h"
#include "worker/handler/program.h"

#define EXIT_DEAD 65 /* EX_DATAERR of sysexits.h */
#define NUMBER_MAX 48
#define QUICK_MS 10 /* what ends within has its output read once, at its end */

struct exec { /* what a queue has on a worker */
    struct program *program;
    char *queue; /* RPOPD_QUEUE=... */
    char attempts[NUMBER_MAX];
};

struct run { /* a job's */
    struct job *job;
    struct exec *exec;
    struct running *running;
    struct exec_pipes pipes;
    char id[sizeof "RPOPD_JOB_ID=" + JOB_ID_MAX], attempt[NUMBER_MAX], deadline[NUMBER_MAX];
    const char *env[PROGRAM_ENV_MAX + 1];
};

static void exec_exit(void *state)
{
    struct exec *x = state;
    if (!x)
        return;
    (void)program_free(x->program);
    free(x->queue);
    free(x);
}

static int exec_init(const struct conf_queue *queue, void **ret_state, struct err *e)
{
    struct exec *x = calloc(1, sizeof *x);
    if (!x || asprintf(&x->queue, "RPOPD_QUEUE=%s", queue->name) < 0) {
        free(x);
        return err_set(e, -ENOMEM, "no memory for the handler of the queue %s", queue->name);
    }
    (void)snprintf(x->attempts, sizeof x->attempts, "RPOPD_ATTEMPTS=%d", queue->attempts);
    x->program = program_new(queue, e);
    if (!x->program) {
        exec_exit(x);
        return -ENOMEM;
    }
    *ret_state = x;
    return 0;
}

static void write_environment(void *arg)
{
    struct run *r = arg;
    const struct job *j = r->job;
    char id[JOB_ID_MAX];
    size_t n = 0;
    (void)snprintf(r->id, sizeof r->id, "RPOPD_JOB_ID=%s", job_id(j, id));
    (void)snprintf(r->attempt, sizeof r->attempt, "RPOPD_ATTEMPT=%" PRIu32, j->attempt);
    r->env[n++] = r->id; /* the mark of all that the job starts */
    r->env[n++] = r->exec->queue;
    r->env[n++] = r->attempt;
    r->env[n++] = r->exec->attempts;
    if (j->conf->timeout_ms > 0) {
        (void)snprintf(r->deadline, sizeof r->deadline, "RPOPD_DEADLINE=%" PRId64,
                       clock_wall_ms() + j->conf->timeout_ms);
        r->env[n++] = r->deadline;
    }
    assert(n <= PROGRAM_ENV_MAX);
}

static int begin(struct run *r, struct err *e)
{
    callout(write_environment, r);
    int code = running_start(r->exec->program, r->env, EXEC_PIPES, true, &r->running, e);
    if (code < 0)
        return code;
    code = exec_pipes_open(&r->pipes, r->job, running_process(r->running), e);
    if (code < 0)
        r->running = running_free(r->running); /* kills */
    else
        atomic_store(&r->job->pid, process_pid(running_process(r->running)));
    return code;
}

static enum job_outcome not_begun(int code, struct err *why)
{
    if (code == -ECANCELED)
        why->code = 0;
    return code == -ECANCELED ? JOB_CANCELLED : err_is_shortage(code) ? JOB_AGAIN : JOB_RETRY;
}

/* What it has said on its descriptor 3. */
static void take_control(struct run *r)
{
    struct control *c = &r->pipes.control;
    char id[JOB_ID_MAX], quoted[LOG_QUOTE_MAX];
    r->job->delay_ms = c->delay_ms;
    if (c->bad > 0)
        log_warn("job-control",
                 "queue='%s' id=%s lines=%u line=%s what='not understood on "
                 "descriptor 3, known is retry-after: <seconds>'",
                 r->job->conf->label, job_id(r->job, id), c->bad,
                 log_quote(c->first_bad, c->first_bad_len, quoted));
}

static enum job_outcome was_done(struct run *r, struct err *why)
{
    struct exec_pipes *p = &r->pipes;
    if (!p->wants_result)
        return JOB_DONE;
    if (p->short_of_memory) {
        (void)err_set(why, -ENOMEM, "no memory for its result");
        return JOB_AGAIN;
    }
    if (p->result_too_large) {
        (void)err_set(why, -EMSGSIZE, "its result is larger than max_payload, %" PRId64 " bytes",
                      r->job->conf->max_payload);
        return JOB_DEAD;
    }
    job_result(r->job, p->result, p->result_len);
    p->result = NULL;
    return JOB_DONE;
}

static enum job_outcome judge(struct run *r, int status, struct err *why)
{
    if (status == 0)
        return was_done(r, why);
    if (status > 0)
        (void)err_set(why, -ECANCELED, "exit code %d", status);
    else
        (void)err_set(why, -ECANCELED, "signal %d (SIG%s)", -status,
                      sigabbrev_np(-status) ? sigabbrev_np(-status) : "?");
    return status == EXIT_DEAD ? JOB_DEAD : JOB_RETRY;
}

static void keep_evidence(struct run *r, int status)
{
    struct job *j = r->job;
    j->evidence.exit_code = status >= 0 ? status : -1;
    j->evidence.signal = status < 0 ? -status : 0;
    (void)output_keep(&r->pipes.output, j); /* without memory: without its output */
}

static int await_end(struct run *r)
{
    struct err e;
    int code = running_await_end(r->running, clock_now_ms() + QUICK_MS, &e);
    if (code == 0 && running_has_ended(r->running))
        return 0;
    int watched = exec_pipes_watch(&r->pipes, &e);
    if (code != -ETIMEDOUT)
        return code;
    return watched < 0 ? watched : running_await_end(r->running, -1, &e);
}

static enum job_outcome finish(struct run *r, struct err *why)
{
    char id[JOB_ID_MAX];
    int code = await_end(r);
    int status = running_end(r->running, &r->job->at_once);
    atomic_store(&r->job->pid, 0);
    int failed = code == 0 ? running_failed(r->running, why) : 0;
    exec_pipes_end(&r->pipes);
    if (failed)
        return not_begun(failed, why);
    take_control(r);
    enum job_outcome outcome = code == -ECANCELED ? JOB_CANCELLED
                               : code < 0         ? JOB_AGAIN
                                                  : judge(r, status, why);
    if (outcome != JOB_DONE)
        keep_evidence(r, status);
    log_debug("exec-ended", "queue='%s' id=%s attempt=%" PRIu32 " %s=%d cancelled=%d",
              r->job->conf->label, job_id(r->job, id), r->job->attempt,
              status < 0 ? "signal" : "exit", status < 0 ? -status : status, code == -ECANCELED);
    return outcome;
}

static enum job_outcome exec_run(struct job *j, void *state, struct err *why)
{
    struct run *r = calloc(1, sizeof *r);
    if (!r) {
        (void)err_set(why, -ENOMEM, "no memory to start a program");
        return JOB_AGAIN;
    }
    r->job = j;
    r->exec = state;
    int code = begin(r, why);
    enum job_outcome outcome = code < 0 ? not_begun(code, why) : finish(r, why);
    if (code == 0) {
        exec_pipes_close(&r->pipes);
        (void)running_free(r->running);
    }
    free(r);
    return outcome;
}

const struct handler handler_exec = {
    .type = "exec", .check = program_check, .init = exec_init, .run = exec_run, .exit = exec_exit};
