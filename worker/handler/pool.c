/* pool.c - long-lived children that get one job after the other: rpopd.conf(5), "THE POOL'S
 * PROTOCOL".
 *
 *     idle (pool_shared.c) --take--> has a job --answered--> idle
 *        start ----------------------^   |
 *                                        `--failed, cancelled, worn out--> ended with all its tree
 *
 * Its job alone pays for what a child does wrong. */
#include "worker/handler/handler.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/callout.h"
#include "common/clock.h"
#include "common/log.h"
#include "worker/handler/exec_output.h"
#include "worker/handler/pool_member.h"
#include "worker/handler/pool_shared.h"
#include "worker/handler/tree.h"
#include "worker/runtime/context.h"
#include "worker/runtime/task.h"
#include "worker/runtime/watch_fd.h"

#define LEAVE_MS 1000 /* for a child that closed a pipe to tell how it ended */
#define REAP_MS 1000
#define LOOK_MS 250 /* while no child may be started: somebody else's may become idle */

struct pool { /* a worker's */
    const struct conf_queue *queue;
    struct program *program;
    struct pool_shared *shared;
    /* An epoll of the pidfds of those that it has kept: their end is for this worker, whose loop
     * may still hear of their pipes. -1: there were none yet. */
    int keeper;
};

struct turn { /* a job's */
    struct pool *pool;
    struct job *job;
    struct pool_member *member;
    struct output *output;
    struct err *why;
    int64_t deadline_ms; /* wall clock; 0: none */
};

/* ---- its end ---- */

static void hear(void *output, const char *bytes, size_t len)
{
    output_take(output, OUTPUT_STDERR, bytes, len);
}

static void listen_to(struct turn *t)
{
    t->member->pipes.hear = hear;
    t->member->pipes.arg = t->output;
    t->output->pid = t->member->pid;
    atomic_store(&t->job->pid, t->member->pid);
}

/* Awaits. Its status; *ret_own: it has ended by itself. */
static int end_member(struct turn *t, int64_t patience_ms, bool *ret_own)
{
    int status = pool_member_end(t->member, patience_ms, &t->job->at_once, ret_own);
    atomic_store(&t->job->pid, 0);
    t->member = NULL;
    return status;
}

static void say(const struct turn *t, const char *what)
{
    char quoted[LOG_QUOTE_MAX];
    log_warn("pool-child", "queue='%s' pid=%d what=%s", t->pool->queue->label, t->member->pid,
             log_quote(what, strlen(what), quoted));
}

/* ---- a child for the job ---- */

/* Awaits. That may have been disturbed by the cancelling that this job is to end with. */
static int drop_member(struct turn *t, const char *what)
{
    bool own;
    say(t, what);
    (void)end_member(t, 0, &own);
    return task_cancelling(task_current()) ? -ECANCELED : 0;
}

/* Awaits, where one that was idle is of no use any more. 0: t->member may be NULL still. */
static int take_idle(struct turn *t)
{
    while ((t->member = pool_shared_take(t->pool->shared))) {
        struct err e;
        int r = pool_member_join(t->member, t->pool->program, t->why);
        if (r < 0) {
            pool_shared_keep(t->pool->shared, t->member);
            t->member = NULL; /* anybody's again */
            return r;
        }
        listen_to(t);
        if (!pool_talk_stray(&t->member->pipes, &e))
            return 0;
        r = drop_member(t, e.text);
        if (r < 0)
            return r;
    }
    return 0;
}

static void start_failed(const struct turn *t, unsigned turn, const char *cause)
{
    char quoted[LOG_QUOTE_MAX];
    int64_t ms = pool_shared_failed(t->pool->shared, turn, cause);
    if (ms)
        log_warn("pool-start", "queue='%s' pause_ms=%lld why=%s", t->pool->queue->label,
                 (long long)ms, log_quote(cause, strlen(cause), quoted));
}

/* Awaits its turn. */
static int start_member(struct turn *t)
{
    unsigned turn;
    int64_t wait_ms = pool_shared_start(t->pool->shared, &turn);
    if (wait_ms)
        return task_sleep(wait_ms < LOOK_MS ? wait_ms : LOOK_MS);
    int r = pool_member_start(t->pool->program, t->pool->queue, &t->member, t->why);
    if (r == 0) {
        t->member->turn = turn;
        listen_to(t);
    } else if (r == -ECANCELED || err_is_shortage(r)) {
        pool_shared_again(t->pool->shared);
    } else {
        start_failed(t, turn, t->why->text);
    }
    return r;
}

static int find_member(struct turn *t)
{
    int r = 0;
    while (r == 0 && !t->member) {
        r = take_idle(t);
        if (r == 0 && !t->member)
            r = start_member(t);
    }
    return r;
}

/* ---- what came of it ---- */

static enum job_outcome answered(struct turn *t, struct pool_talk_end *end)
{
    const struct pool_frame_answer *a = &end->answer;
    if (a->outcome == JOB_DONE) {
        job_result(t->job, end->result, a->len);
        return JOB_DONE;
    }
    t->job->delay_ms = a->delay_ms;
    (void)err_set(t->why, -EPROTO, "%s",
                  *a->error ? a->error : "its child gives no reason for its answer");
    return a->outcome;
}

/* It has been of use so often, or has become so large, that another one shall be. */
static const char *worn_out(const struct turn *t, const struct pool_talk_end *end)
{
    const struct conf_handler *h = &t->pool->queue->handler;
    if (end->surplus) {
        say(t, "it wrote more than its answer, and is ended");
        return "surplus";
    }
    if (h->max_jobs && t->member->jobs >= (unsigned)h->max_jobs)
        return "max_jobs";
    return h->max_rss && pool_member_rss(t->member) > h->max_rss ? "max_rss" : NULL;
}

static _Thread_local int64_t reap_ms; /* when this worker will look */

static void reap(void *arg);

/* What a process has let go of is nobody's to wait for while it is kept: behind its jobs, and as
 * long as any of it lives, this looks once a second. */
static void reap_soon(void)
{
    int64_t now = clock_now_ms();
    if (now < reap_ms)
        return;
    struct context *of_job = context_swap(NULL); /* a crash in there is not the job's */
    if (loop_call_later(loop_running(), REAP_MS, reap, NULL))
        reap_ms = now + REAP_MS;
    (void)context_swap(of_job);
}

static void reap(void *arg)
{
    (void)arg;
    reap_ms = 0;
    if (tree_reap())
        reap_soon();
}

/* Its last words belong to no job. */
static void bury(struct pool *p, struct pool_member *m)
{
    char words[200], quoted[LOG_QUOTE_MAX];
    ssize_t n = read(m->pipes.err, words, sizeof words);
    log_warn("pool-child", "queue='%s' pid=%d what='it ended while it had no job' words=%s",
             p->queue->label, m->pid, log_quote(words, n > 0 ? (size_t)n : 0, quoted));
    /* For its cgroup, which empties a little later; without memory it stays there. */
    (void)pool_member_join(m, p->program, NULL);
    pool_member_free(m);
    reap_soon();
}

static void on_idle_end(void *arg)
{
    struct pool *p = arg;
    for (struct pool_member *m; (m = pool_shared_ended(p->shared, p->keeper));)
        bury(p, m);
}

static void watch_idle(struct pool *p)
{
    if (p->keeper >= 0 || (p->keeper = epoll_create1(EPOLL_CLOEXEC)) < 0)
        return;
    struct context *of_job = context_swap(NULL); /* it outlives the job */
    int r = loop_add_reader(loop_running(), p->keeper, on_idle_end, p, NULL);
    (void)context_swap(of_job);
    if (r == 0)
        return;
    (void)close(p->keeper);
    p->keeper = -1;
}

/* Awaits where it is not to be kept. */
static void put_back(struct turn *t, const struct pool_talk_end *end)
{
    bool own;
    if (t->member->jobs++ == 0)
        pool_shared_good(t->pool->shared);
    const char *why = worn_out(t, end);
    if (why) {
        log_debug("pool-child", "queue='%s' pid=%d ends=%s", t->pool->queue->label, t->member->pid,
                  why);
        (void)end_member(t, t->pool->queue->handler.kill_grace_ms, &own);
        return;
    }
    atomic_store(&t->job->pid, 0);
    pool_member_leave(t->member);
    watch_idle(t->pool);
    t->member->keeper = t->pool->keeper;
    pool_shared_keep(t->pool->shared, t->member);
    reap_soon();
}

/* How it ended tells more than which of its pipes was closed first. */
static void explain(struct job_evidence *v, int status, struct err *e)
{
    static const char ended[] = "it ended before it had answered";
    if (status >= 0) {
        v->exit_code = status;
        (void)err_set(e, -EPIPE, "%s: exit code %d", ended, status);
    } else {
        v->signal = -status;
        (void)err_set(e, -EPIPE, "%s: signal %d (SIG%s)", ended, -status,
                      sigabbrev_np(-status) ? sigabbrev_np(-status) : "?");
    }
}

/* Awaits. */
static enum job_outcome failed(struct turn *t, int r, struct err *e)
{
    pid_t pid = t->member->pid;
    unsigned turn = t->member->turn;
    bool own, fresh = t->member->jobs == 0, silent = r == -EPIPE || r == -ENOTCONN;
    int status = end_member(t, silent ? LEAVE_MS : 0, &own);
    if (fresh && (r == -ECANCELED || err_is_shortage(r)))
        pool_shared_again(t->pool->shared);
    if (r == -ECANCELED)
        return JOB_CANCELLED;
    if (silent && own)
        explain(&t->job->evidence, status, e);
    if (fresh && !err_is_shortage(r))
        start_failed(t, turn, e->text);
    (void)err_set(t->why, r, "child %d: %s", pid, e->text);
    return err_is_shortage(r) ? JOB_AGAIN : JOB_RETRY;
}

/* Awaits. As pool_talk, with a child in t->member; none: it has not begun, and *t->why says why. */
static int talk(struct turn *t, struct pool_talk_end *end, struct err *e)
{
    int r = find_member(t);
    while (r == 0) {
        r = pool_talk(&t->member->pipes, t->job, t->deadline_ms, end, e);
        if (r != -ENOTCONN || !t->member->jobs)
            break;
        r = drop_member(t, e->text); /* it was gone before the job came: the next one */
        if (r == 0)
            r = find_member(t);
    }
    return r;
}

static enum job_outcome run(struct turn *t)
{
    struct pool_talk_end end = {0};
    struct err e = {0};
    int r = talk(t, &end, &e);
    if (r < 0 && t->member)
        return failed(t, r, &e);
    if (r < 0)
        return r == -ECANCELED ? JOB_CANCELLED : err_is_shortage(r) ? JOB_AGAIN : JOB_RETRY;
    put_back(t, &end);
    return answered(t, &end);
}

static void end_output(void *output)
{
    output_end(output);
}

static enum job_outcome pool_run(struct job *j, void *state, struct err *why)
{
    struct output *output = malloc(sizeof *output);
    struct turn t = {.pool = state, .job = j, .output = output, .why = why};
    if (!output) {
        (void)err_set(why, -ENOMEM, "no memory for a job");
        return JOB_AGAIN;
    }
    if (j->conf->timeout_ms)
        t.deadline_ms = clock_wall_ms() + j->conf->timeout_ms;
    output_init(output, j);
    enum job_outcome outcome = run(&t);
    callout(end_output, output);
    if (outcome == JOB_CANCELLED)
        why->code = 0; /* why it is cancelled knows who did it */
    if (outcome != JOB_DONE)
        (void)output_keep(output, j); /* without memory: a dead letter without its output */
    output_deinit(output);
    free(output);
    return outcome;
}

/* ---- a worker's part ---- */

static void pool_exit(void *state)
{
    struct pool *p = state;
    if (!p)
        return;
    if (p->keeper >= 0)
        (void)close(p->keeper); /* the loop has ended before */
    pool_shared_put(p->shared);
    (void)program_free(p->program);
    free(p);
}

static int pool_init(const struct conf_queue *queue, void **ret_state, struct err *e)
{
    struct pool *p = calloc(1, sizeof *p);
    if (p) {
        p->queue = queue;
        p->keeper = -1;
        p->program = program_new(queue, e);
        p->shared = pool_shared_get(queue);
    }
    if (!p || !p->program || !p->shared) {
        pool_exit(p);
        return err_set(e, -ENOMEM, "no memory for the pool of the queue %s", queue->name);
    }
    *ret_state = p;
    return 0;
}

const struct handler handler_pool = {
    .type = "pool", .check = program_check, .init = pool_init, .run = pool_run, .exit = pool_exit};
