/* The settles that are on the way: sent, and what their answers mean. */
#include "daemon/settle.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "daemon/master.h"
#include "daemon/queue.h"
#include "daemon/record.h"

#define PART_JOBS 1000
#define DELIVER_JOBS 100
#define DELIVER_BYTES ((size_t)256 << 10) /* one alone may have more */

enum settle_kind { SETTLE_PART, SETTLE_RECORD, SETTLE_DELIVERY, SETTLE_WHOLE };

struct settle_call {
    struct batch *batch;
    struct job *jobs; /* by job->next; of whole: those whose bits are not set yet */
    uint32_t lent;    /* slots that claims behind it count with */
    enum settle_kind kind;
};

/* Dead by an operator's will: counted apart. */
static bool is_cancelled(const struct job *j)
{
    return atomic_load(&j->cancel) == CANCEL_OPERATOR;
}

static uint64_t *counter(struct master *m, const struct job *j)
{
    if (j->outcome == JOB_DONE)
        return &m->done;
    if (j->outcome == JOB_RETRY)
        return &m->retried;
    return is_cancelled(j) ? &m->cancelled : &m->dead;
}

static void free_settled(struct job *j)
{
    struct queue *q = j->batch->queue;
    *counter(q->master, j) += 1;
    if (j->outcome == JOB_RETRY)
        due_within(q, j->delay_ms);
    settle_drop(j);
}

/* ---- sending ---- */

static struct settle_call *call_new(struct batch *b, enum settle_kind kind)
{
    struct settle_call *call = malloc(sizeof *call);
    if (call)
        *call = (struct settle_call){.batch = b, .kind = kind};
    return call;
}

static RUNS_ON(on_master) struct redis_command *begin(struct batch *b, const char *script,
                                                      unsigned nkeys)
{
    struct queue *q = b->queue;
    struct redis_command *c = queue_script(q, script, nkeys);
    redis_arg_text(c, b->list);
    redis_arg_text(c, b->acked);
    redis_arg_text(c, q->key.batches);
    redis_arg_text(c, q->key.stats);
    return c;
}

static void on_settled(struct redis_link *link, const struct redis_reply *r, void *data);

static int RUNS_ON(on_master) send(struct settle_call *call, struct redis_command *c)
{
    struct batch *b = call->batch;
    int r = redis_send(b->queue->master->work, c, 0, on_settled, call);
    if (r == 0)
        b->out++;
    return r;
}

/* What sets bits, or ends a batch, is as good as settled once it is on its way: claims behind it
 * may count with the slots. What was tried in vain keeps them, and so does what writes elsewhere,
 * which that other key alone may refuse for long, and what has not run yet over this link: where
 * Redis does not know a script, it is sent again behind the claim. A Redis that refuses a batch's
 * first settle, and takes the claim, holds more for once, until it accepts. */
static void lend_slots(struct settle_call *call)
{
    struct queue *q = call->batch->queue;
    if (call->batch->was_refused || !(q->master->settled_kinds & 1u << call->kind))
        return;
    for (const struct job *j = call->jobs; j; j = j->next)
        call->lent += !j->tried;
    q->settling += call->lent;
    q->master->settling += call->lent;
}

static void take_slots_back(struct settle_call *call)
{
    struct queue *q = call->batch->queue;
    q->settling -= call->lent;
    q->master->settling -= call->lent;
}

int settle_send_part(struct batch *b)
{
    struct settle_call *call = call_new(b, SETTLE_PART);
    if (!call)
        return -1;
    struct redis_command *c = begin(b, "part", 4);
    redis_arg_text(c, b->field);
    struct job **end = &b->done;
    for (unsigned n = 0; *end && n < PART_JOBS; n++, end = &(*end)->next)
        redis_arg_int(c, (*end)->index);
    if (send(call, c) < 0) {
        free(call);
        return -1;
    }
    call->jobs = b->done;
    b->done = *end;
    *end = NULL;
    b->parting = true;
    lend_slots(call);
    return 0;
}

static RUNS_ON(on_master) struct redis_command *begin_put_away(struct job *j)
{
    struct redis_command *c = begin(j->batch, "put_away", 5);
    redis_arg_text(c, j->conf->recoveries_to);
    redis_arg_text(c, j->batch->field);
    redis_arg_int(c, j->index);
    redis_arg_int(c, j->head);
    return c;
}

static RUNS_ON(on_master) struct redis_command *begin_record(struct job *j, const char *head)
{
    struct batch *b = j->batch;
    struct queue *q = b->queue;
    if (j->condemned && *conf_put_away(q->conf))
        return begin_put_away(j);
    bool again = j->outcome == JOB_RETRY;
    const char *as = is_cancelled(j) ? "cancelled" : "dead";
    if (b->once)
        return once_dead(j, head, as);
    struct redis_command *c = begin(b, again ? "retry" : "dead", again ? 5 : 6);
    redis_arg_text(c, again ? q->key.retry : q->key.dead);
    if (!again)
        redis_arg_text(c, queue_target(q, q->conf->on_failure));
    redis_arg_text(c, b->field);
    redis_arg_int(c, j->index);
    redis_arg_text(c, head);
    redis_arg_int(c, j->head);
    if (again) {
        redis_arg_int(c, j->delay_ms);
        return c;
    }
    redis_arg_int(c, q->conf->dead_max);
    redis_arg_int(c, q->conf->dead_age_ms);
    redis_arg_text(c, as);
    return c;
}

/* Only the head travels: the payload is joined where it lies. */
int settle_send_record(struct batch *b)
{
    struct job *j = b->failed;
    const char *head = record_head(j, b->queue->instance);
    struct settle_call *call = head ? call_new(b, SETTLE_RECORD) : NULL;
    if (!call)
        return -1;
    if (send(call, begin_record(j, head)) < 0) {
        free(call);
        return -1;
    }
    call->jobs = j;
    b->failed = j->next;
    j->next = NULL;
    return 0;
}

/* What one script delivers; the command borrows ids and keys until it is sent. */
struct delivery {
    unsigned n;
    struct job *job[DELIVER_JOBS];
    char id[DELIVER_JOBS][JOB_ID_MAX];
    char *key[DELIVER_JOBS]; /* of the results; NULL: none is kept */
};

/* In the order in which they ended. */
static void choose(struct delivery *d, const struct batch *b)
{
    size_t bytes = 0;
    for (struct job *j = b->owing.head; j && d->n < DELIVER_JOBS; j = j->next) {
        if (!deliver_may(j) || (d->n && deliver_grows(j) != deliver_grows(d->job[0])))
            continue;
        bytes += deliver_bytes(j);
        if (d->n && bytes > DELIVER_BYTES)
            return;
        d->job[d->n++] = j;
    }
}

/* False: no memory. */
static bool name_results(struct delivery *d, const struct queue *q)
{
    for (unsigned i = 0; i < d->n; i++) {
        (void)job_id(d->job[i], d->id[i]);
        if (q->conf->result_key_ttl_ms && !(d->key[i] = keys_join(&q->key, "result:", d->id[i])))
            return false;
    }
    return true;
}

/* The keys and arguments of all jobs alike. */
static RUNS_ON(on_master) struct redis_command *begin_delivery(struct batch *b,
                                                               const struct delivery *d)
{
    struct queue *q = b->queue;
    const struct conf_queue *conf = q->conf;
    unsigned keys = conf->result_key_ttl_ms ? d->n : 0;
    struct redis_command *c;
    if (b->once) {
        c = queue_script(q, "deliver_once", 3 + keys);
        redis_arg_text(c, q->key.stats);
    } else {
        c = begin(b, "deliver", 6 + keys);
    }
    redis_arg_text(c, queue_target(q, conf->result_list));
    redis_arg_text(c, queue_target(q, conf->on_success));
    for (unsigned i = 0; i < keys; i++)
        redis_arg_text(c, d->key[i]);
    if (!b->once)
        redis_arg_text(c, b->field);
    redis_arg_int(c, deliver_grows(d->job[0]));
    redis_arg_int(c, conf->result_key_ttl_ms);
    return c;
}

/* What it returned; or its payload, which lies in Redis, unless it was popped. */
static void add_delivered(struct redis_command *c, const struct job *j, const char *id)
{
    if (!j->once) {
        redis_arg_int(c, j->index);
        redis_arg_int(c, j->head);
    }
    redis_arg_text(c, j->result ? id : "");
    if (j->once && !j->result)
        redis_arg(c, j->payload, j->len);
    else
        redis_arg(c, j->result, j->result_len);
}

static int RUNS_ON(on_master) send_delivery(struct settle_call *call, struct delivery *d)
{
    struct batch *b = call->batch;
    int r = -1;
    if (name_results(d, b->queue)) {
        struct redis_command *c = begin_delivery(b, d);
        for (unsigned i = 0; i < d->n; i++)
            add_delivered(c, d->job[i], d->id[i]);
        r = send(call, c);
    }
    for (unsigned i = 0; i < d->n; i++)
        free(d->key[i]);
    return r;
}

static void leave_owing(struct settle_call *call, const struct delivery *d)
{
    for (unsigned i = d->n; i > 0; i--) {
        job_list_remove(&call->batch->owing, d->job[i - 1]);
        d->job[i - 1]->next = call->jobs;
        call->jobs = d->job[i - 1];
    }
}

int settle_send_deliveries(struct batch *b)
{
    while (b->owing.n) {
        struct delivery d = {.n = 0};
        choose(&d, b);
        if (!d.n)
            return 0; /* they wait until Redis accepts them */
        struct settle_call *call = call_new(b, SETTLE_DELIVERY);
        if (!call || send_delivery(call, &d) < 0) {
            free(call);
            return -1;
        }
        leave_owing(call, &d);
    }
    return 0;
}

int settle_send_whole(struct batch *b)
{
    struct settle_call *call = call_new(b, SETTLE_WHOLE);
    if (!call)
        return -1;
    struct redis_command *c = begin(b, "whole", 4);
    redis_arg_text(c, b->field);
    redis_arg_int(c, b->length);
    if (send(call, c) < 0) {
        free(call);
        return -1;
    }
    call->jobs = b->done;
    b->done = NULL;
    lend_slots(call);
    return 0;
}

/* ---- answers ---- */

/* No answer; or a refusal of what a script does behind the end of a batch: a repeat may find that
 * it was settled. Any other refusal is of a script's first steps. */
static bool may_have_run(const struct redis_reply *r)
{
    return !r || r->type != REDIS_ERROR || strstr(r->str, "(HDEL ") || strstr(r->str, "(HINCRBY ");
}

static void unsettle(struct job *list, bool tried)
{
    for (struct job *j = list, *next; j; j = next) {
        next = j->next;
        j->tried = j->tried || tried;
        settle_to_list(j);
    }
}

/* The list is gone: at a repeat it was settled already, at the first try it is lost. */
static void list_gone(struct settle_call *call)
{
    struct batch *b = call->batch;
    bool former = b->epoch != b->queue->epoch, repeated = b->tried || b->gone;
    for (const struct job *j = call->jobs; j; j = j->next)
        repeated = repeated || j->tried;
    if (!repeated)
        recover_vanished(b);
    for (struct job *j = call->jobs, *next; j; j = next) {
        next = j->next;
        if (j->tried) {
            free_settled(j);
            continue;
        }
        if (former && atomic_load(&j->cancel) != CANCEL_LOST) /* else it was counted then */
            settle_lost(b->queue, 1);
        settle_drop(j);
    }
    b->gone = b->gone || call->kind == SETTLE_WHOLE;
}

/* Its bits are set one by one, then it is read again. */
static void not_the_length(struct settle_call *call)
{
    struct batch *b = call->batch;
    b->changed = true;
    log_error("batch-changed",
              "queue='%s' batch=%s what='its list has not the length that is known: somebody else "
              "wrote to it; it is read again'",
              b->queue->conf->label, b->field);
    unsettle(call->jobs, false);
}

static void confirmed(struct settle_call *call)
{
    for (struct job *j = call->jobs, *next; j; j = next) {
        next = j->next;
        free_settled(j);
    }
    if (call->kind == SETTLE_WHOLE)
        call->batch->gone = true;
}

/* Nothing in Redis tells whether it has run. */
static void unanswered_once(struct settle_call *call)
{
    unsigned n = 0;
    for (const struct job *j = call->jobs; j; j = j->next)
        n++;
    once_undelivered(call->batch->queue, n);
    confirmed(call);
}

/* What is in the way is left out: a repeat would be refused for ever. False: there is nothing of it
 * that could be. */
static bool made_smaller(struct job *j)
{
    struct job_evidence *v = &j->evidence;
    bool output = j->outcome != JOB_DONE && v->output;
    if (j->outcome == JOB_DONE && j->result) {
        outcome_undelivered(j);
        return true;
    }
    if (!output)
        return false;
    free(v->output);
    free(j->record);
    v->output = NULL;
    v->output_len = 0;
    j->record = NULL;
    settle_to_list(j);
    return true;
}

static void unconfirmed(struct settle_call *call, const struct redis_reply *r)
{
    struct batch *b = call->batch;
    bool alone = call->jobs && !call->jobs->next;
    if (r && alone && redis_is_too_large(r) && made_smaller(call->jobs))
        return;
    bool unheard = !r || r->type != REDIS_ERROR;
    if (unheard && b->once && call->kind == SETTLE_DELIVERY)
        return unanswered_once(call);
    bool tried = may_have_run(r);
    b->tried = b->tried || (tried && call->kind == SETTLE_WHOLE);
    unsettle(call->jobs, tried);
    if (r && call->kind == SETTLE_DELIVERY)
        deliver_refused(b->queue, r);
    else if (r)
        settle_refused(b, r);
}

static void on_settled(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct settle_call *call = data;
    struct batch *b = call->batch;
    b->out--;
    if (call->kind == SETTLE_PART)
        b->parting = false;
    take_slots_back(call);
    if (!r || r->type != REDIS_INTEGER) {
        unconfirmed(call, r);
    } else {
        b->queue->master->settled_kinds |= 1u << call->kind;
        if (call->kind == SETTLE_DELIVERY)
            deliver_accepted(b->queue);
        else
            settle_accepted(b);
        if (r->integer < -1)
            not_the_length(call);
        else if (r->integer == -1)
            list_gone(call);
        else
            confirmed(call);
    }
    settle_dirty(b);
    free(call);
}
