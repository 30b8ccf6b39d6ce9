#include "daemon/admin_jobs.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/admin.h"
#include "daemon/master.h"
#include "daemon/queue.h"

#define TURN_PLACES 2000 /* in one turn of the loop */

/* ---- walking ---- */

static const struct batch *batch_from(const struct queue *q, uint64_t seq)
{
    const struct batch *b = q->batches;
    while (b && b->seq < seq)
        b = b->next;
    return b;
}

static const struct job *next_in_batch(const struct batch *b, struct jobs_cursor *at,
                                       unsigned *budget)
{
    while (b->job && at->index < b->read && *budget) {
        const struct job *j = b->job[at->index++];
        --*budget;
        if (j)
            return j;
    }
    return NULL;
}

static const struct job *next_in_queue(const struct queue *q, struct jobs_cursor *at,
                                       unsigned *budget)
{
    for (const struct batch *b = batch_from(q, at->seq); b; b = b->next) {
        if (b->seq != at->seq)
            at->index = 0;
        at->seq = b->seq;
        const struct job *j = next_in_batch(b, at, budget);
        if (j || !*budget)
            return j;
    }
    return NULL;
}

/* The next job and the cursor behind it; NULL: there is none. What comes meanwhile may be left
 * out, what stays is not. Looks at no more than *budget places and takes them off it: NULL and 0
 * left mean that it is to be asked again. */
static const struct job *next_job(const struct master *m, struct jobs_cursor *at, unsigned *budget)
{
    for (; at->queue < m->nqueues; *at = (struct jobs_cursor){.queue = at->queue + 1}) {
        const struct job *j = next_in_queue(m->queues[at->queue], at, budget);
        if (j || !*budget)
            return j;
    }
    return NULL;
}

/* NULL: it is not in this daemon. */
static struct job *find_job(const struct master *m, const char *id)
{
    char its[JOB_ID_MAX];
    struct jobs_cursor at = {0};
    unsigned all = UINT_MAX;
    const struct job *j = next_job(m, &at, &all);
    while (j && strcmp(job_id(j, its), id) != 0)
        j = next_job(m, &at, &all);
    return (struct job *)j;
}

static const char *state_of(const struct job *j)
{
    if (j->running)
        return "running";
    return j->outcome == JOB_NONE ? "waiting" : "settling";
}

/* ---- the command ---- */

static json_t *job_json(const struct job *j)
{
    char id[JOB_ID_MAX];
    const char *queue = j->conf->name, *handler = j->conf->handler.type;
    json_t *worker = j->running ? json_integer(j->worker) : json_null();
    int number = atomic_load(&j->pid);
    json_t *pid = number ? json_integer(number) : json_null();
    return json_pack("{s:s, s:o, s:I, s:s, s:o, s:s, s:o, s:i, s:I}", "id", job_id(j, id), "queue",
                     admin_text(queue, strlen(queue)), "age_ms",
                     (json_int_t)(clock_wall_ms() - j->first_ms), "state", state_of(j), "worker",
                     worker, "handler", handler, "pid", pid, "attempt", (int)j->attempt,
                     "payload_bytes", (json_int_t)j->len);
}

static void some_jobs(struct admin_call *c, void *data)
{
    struct jobs_cursor *at = data;
    unsigned budget = TURN_PLACES;
    thread_assert(&on_master);
    if (!admin_gone(c)) {
        for (const struct job *j; (j = next_job(admin_master(c), at, &budget));)
            admin_item(c, job_json(j));
        if (!budget)
            return admin_resume(c, some_jobs, at);
    }
    free(at);
    admin_ok(c, NULL);
}

void admin_jobs(struct admin_call *c)
{
    struct jobs_cursor *at = calloc(1, sizeof *at);
    if (!at)
        return admin_fail(c, "no memory for the answer");
    some_jobs(c, at);
}

void admin_cancel(struct admin_call *c)
{
    const char *id = admin_request(c)->id;
    struct job *j = find_job(admin_master(c), id);
    const char *state = j ? state_of(j) : "";
    if (!j)
        return admin_fail(
            c, "no job %s is in flight in this daemon: rpopctl jobs lists those that are", id);
    if (!dispatch_cancel_job(j))
        return admin_fail(c, "job %s has ended, or goes back to its list: Redis is being told", id);
    log_info("admin-cancel", "queue='%s' id=%s state=%s", j->conf->label, id, state);
    admin_ok(c, json_pack("{s:s, s:s}", "id", id, "state", state));
}

/* ---- into the log ---- */

void jobs_log(const struct job *j)
{
    char id[JOB_ID_MAX];
    log_info("job", "queue='%s' id=%s age_ms=%lld state=%s worker=%d handler=%s pid=%d attempt=%u",
             j->conf->label, job_id(j, id), (long long)(clock_wall_ms() - j->first_ms), state_of(j),
             j->running ? (int)j->worker : -1, j->conf->handler.type, atomic_load(&j->pid),
             j->attempt);
}

static void on_report(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)revents;
    thread_assert(&on_master);
    struct jobs_report *r = w->data;
    unsigned budget = TURN_PLACES;
    for (const struct job *j; (j = next_job(r->master, &r->at, &budget)); r->jobs++)
        jobs_log(j);
    if (!budget)
        return;
    log_info("jobs", "in_flight=%u", r->jobs);
    ev_timer_stop(loop, w);
}

void jobs_report_init(struct jobs_report *r, struct master *m)
{
    *r = (struct jobs_report){.master = m};
    ev_init(&r->next, on_report);
    r->next.repeat = 0.001;
    r->next.data = r;
}

void jobs_report(struct jobs_report *r)
{
    r->at = (struct jobs_cursor){0};
    r->jobs = 0;
    ev_timer_again(r->master->loop, &r->next);
}

void jobs_report_deinit(struct jobs_report *r)
{
    ev_timer_stop(r->master->loop, &r->next);
}
