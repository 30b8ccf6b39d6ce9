/* status: the daemon, its workers, Redis, and a row for each queue. The rows are asked for in one
 * write over the work link and a PING beside them, so 1,000 queues cost one round trip; where Redis
 * does not answer within a moment the answer says what is known without it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/admin.h"
#include "daemon/hang.h"
#include "daemon/master.h"
#include "daemon/queue.h"

#define PATIENCE_MS 2000

struct status {
    struct admin_call *call; /* NULL: answered */
    struct master *master;
    struct row *rows; /* by queue */
    size_t nrows, pending;
    int64_t sent_ns, answered_ns; /* of the PING */
};

struct row {
    struct status *status;
    struct queue *queue;
    json_t *figures; /* of Redis; NULL: none came */
};

/* ---- what is known here ---- */

static json_t *text_or_null(const char *text)
{
    return *text ? admin_text(text, strlen(text)) : json_null();
}

static json_t *troubles(const struct trouble *t)
{
    json_t *all = json_array();
    for (unsigned i = 0; i < TROUBLE_PLACES; i++) {
        const char *code = trouble_code(t, i);
        if (code)
            (void)json_array_append_new(all, json_pack("{s:s, s:o}", "at", trouble_place(i),
                                                       "error", admin_text(code, strlen(code))));
    }
    return all;
}

static const char *life_name(const struct master *m)
{
    static const char *const names[] = {
        [LIFE_STARTING] = "starting",     [LIFE_RUNNING] = "running", [LIFE_DRAINING] = "draining",
        [LIFE_CANCELLING] = "cancelling", [LIFE_LEAVING] = "leaving", [LIFE_ENDED] = "ended",
    };
    return names[m->life];
}

static json_t *workers(const struct master *m)
{
    json_t *all = json_array();
    for (size_t i = 0; i < m->nworkers; i++)
        (void)json_array_append_new(all, json_pack("{s:i, s:i, s:I}", "worker", (int)i, "running",
                                                   (int)m->load[i], "hangs_ms",
                                                   (json_int_t)hang_ms(m->hang, i)));
    return all;
}

static json_t *since_start(const struct master *m)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "done", (json_int_t)m->done, "retried",
                     (json_int_t)m->retried, "dead", (json_int_t)m->dead, "cancelled",
                     (json_int_t)m->cancelled, "lost", (json_int_t)m->lost);
}

static json_t *redis(const struct status *s)
{
    const struct master *m = s->master;
    int64_t ns = s->answered_ns - s->sent_ns;
    json_t *rtt = s->answered_ns ? json_real((double)ns / 1e6) : json_null();
    return json_pack("{s:b, s:o, s:o, s:o, s:I}", "up", redis_link_up(m->control), "address",
                     text_or_null(redis_address(m->redis)), "error",
                     text_or_null(redis_trouble(m->redis)), "rtt_ms", rtt, "reconnects",
                     (json_int_t)redis_reconnects(m->redis));
}

static json_t *local_figures(const struct queue *q)
{
    uint32_t asked = q->claim.reserved + q->due.reserved + q->recover.reading;
    return json_pack("{s:o, s:i, s:i, s:i, s:b, s:o}", "queue",
                     admin_text(q->conf->name, strlen(q->conf->name)), "inflight",
                     (int)(q->held - asked), "running", (int)q->running, "waiting",
                     (int)q->waiting.n, "registered", q->owner.registered || q->rest.on, "troubles",
                     troubles(&q->trouble));
}

/* ---- what Redis says ---- */

static bool is_whole(const struct redis_reply *r)
{
    bool whole = r->type == REDIS_ARRAY && r->n == 6 && r->item[5].type == REDIS_ARRAY;
    for (size_t i = 0; i < 4 && whole; i++)
        whole = r->item[i].type == REDIS_INTEGER;
    return whole;
}

static json_t *counters(const struct redis_reply *pairs)
{
    static const char *const names[] = {"done",       "retry",     "dead",      "lost",
                                        "given_back", "cancelled", "recovered", "popped"};
    json_t *all = json_object();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)json_object_set_new(all, names[i], json_integer(0));
    for (size_t i = 0; i + 1 < pairs->n; i += 2)
        if (pairs->item[i].type == REDIS_STRING && pairs->item[i + 1].type == REDIS_STRING &&
            json_object_get(all, pairs->item[i].str))
            (void)json_object_set_new(all, pairs->item[i].str,
                                      json_integer(strtoll(pairs->item[i + 1].str, NULL, 10)));
    return all;
}

static json_t *figures_of(const struct redis_reply *r)
{
    if (r->type == REDIS_ERROR)
        return json_pack("{s:o}", "error", admin_text(r->str, r->len));
    if (!is_whole(r))
        return NULL;
    const struct redis_reply *why = &r->item[4];
    bool paused = why->type == REDIS_STRING;
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:b, s:o, s:o}", "depth", (json_int_t)r->item[0].integer, "retry",
        (json_int_t)r->item[1].integer, "delayed", (json_int_t)r->item[2].integer, "dead",
        (json_int_t)r->item[3].integer, "paused", paused, "reason",
        paused ? admin_text(why->str, why->len) : json_null(), "stats", counters(&r->item[5]));
}

/* The keys stay the same where Redis has told nothing. */
static json_t *unknown_figures(void)
{
    return json_pack("{s:n, s:n, s:n, s:n, s:n, s:n, s:n}", "depth", "retry", "delayed", "dead",
                     "paused", "reason", "stats");
}

/* ---- the answer ---- */

static json_t *row_json(struct row *row)
{
    json_t *all = local_figures(row->queue), *unknown = unknown_figures();
    bool ok = all && unknown && json_object_update(all, unknown) == 0;
    if (ok && row->figures)
        ok = json_object_update(all, row->figures) == 0;
    json_decref(unknown);
    json_decref(row->figures);
    row->figures = NULL;
    if (ok)
        return all;
    json_decref(all);
    return NULL;
}

static void RUNS_ON(on_master) answer(struct status *s)
{
    struct admin_call *c = s->call;
    const struct master *m = s->master;
    s->call = NULL;
    for (size_t i = 0; i < s->nrows; i++)
        admin_item(c, row_json(&s->rows[i]));
    admin_ok(
        c, json_pack("{s:s, s:o, s:i, s:I, s:s, s:o, s:o, s:i, s:o, s:I}", "version", RPOPD_VERSION,
                     "instance", admin_text(m->conf->instance, strlen(m->conf->instance)), "pid",
                     (int)getpid(), "uptime_ms", (json_int_t)admin_uptime_ms(c), "life",
                     life_name(m), "redis", redis(s), "workers", workers(m), "slots", (int)m->slots,
                     "since_start", since_start(m), "log_dropped", (json_int_t)log_dropped()));
}

static void status_free(struct status *s)
{
    for (size_t i = 0; i < s->nrows; i++)
        json_decref(s->rows[i].figures);
    free(s->rows);
    free(s);
}

/* What comes later is thrown away. */
static void on_patience(struct admin_call *c, void *data)
{
    (void)c;
    thread_assert(&on_master);
    answer(data);
}

static void RUNS_ON(on_master) on_answer(struct status *s)
{
    if (--s->pending)
        return;
    if (s->call)
        answer(s);
    status_free(s);
}

static void RUNS_ON(on_master)
    on_row(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct row *row = data;
    if (r && row->status->call)
        row->figures = figures_of(r);
    on_answer(row->status);
}

static void RUNS_ON(on_master)
    on_pong(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct status *s = data;
    if (r)
        s->answered_ns = clock_now_ns();
    on_answer(s);
}

static void RUNS_ON(on_master) ask_row(struct row *row)
{
    struct queue *q = row->queue;
    struct redis_command *c = queue_script(q, "status", 6);
    const char *const keys[] = {q->key.queue, q->key.retry,  q->key.delayed,
                                q->key.dead,  q->key.paused, q->key.stats};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        redis_arg_text(c, keys[i]);
    row->status->pending += redis_send(q->master->work, c, 0, on_row, row) == 0;
}

void admin_status(struct admin_call *c)
{
    struct master *m = admin_master(c);
    struct status *s = calloc(1, sizeof *s);
    struct row *rows = calloc(m->nqueues, sizeof *rows);
    if (!s || !rows) {
        free(s);
        free(rows);
        return admin_fail(c, "no memory for the answer");
    }
    *s = (struct status){.call = c, .master = m, .rows = rows, .nrows = m->nqueues, .pending = 1};
    redis_begin(m->command, "PING");
    s->sent_ns = clock_now_ns();
    s->pending += redis_send(m->work, m->command, 0, on_pong, s) == 0;
    for (size_t i = 0; i < s->nrows; i++) {
        rows[i] = (struct row){.status = s, .queue = m->queues[i]};
        ask_row(&rows[i]);
    }
    admin_later(c, PATIENCE_MS, on_patience, s);
    on_answer(s); /* the one it began with: nothing is out */
}
