/* The user's pause, rpopd:{Q}:paused. Present, in whatever type: nothing is claimed, taken over or
 * started; what runs ends. A claim or a take meets it; from then on it is asked for until it is
 * gone (of many queues tracking.c tells). Its value is the reason, for people. */
#include "daemon/queue.h"

#include <string.h>

#include "common/log.h"
#include "daemon/master.h"
#include "daemon/timer.h"
#include "daemon/tracking.h"

#define LOOK_MS 500

static void on_look(struct ev_loop *loop, ev_timer *w, int revents);

void pause_init(struct queue *q)
{
    ev_timer_init(&q->pause.look, on_look, 0, 0);
    q->pause.look.data = q;
}

void pause_deinit(struct queue *q)
{
    ev_timer_stop(q->master->loop, &q->pause.look);
}

static void look_in(struct queue *q, int64_t ms)
{
    timer_in(q->master->loop, &q->pause.look, ms);
}

static void RUNS_ON(on_master) resume(struct queue *q)
{
    q->pause.on = false;
    log_info("queue-resumed", "queue='%s'", q->conf->label);
    look_at(q);
    dispatch_pump(q);
    claim_kick(q);
}

static void tell(struct queue *q, const struct redis_reply *value)
{
    char key[LOG_QUOTE_MAX], quoted[LOG_QUOTE_MAX];
    const char *reason = value->type == REDIS_STRING ? value->str : "";
    if (q->pause.told)
        return;
    q->pause.told = true;
    log_info("queue-paused", "queue='%s' key=%s reason=%s", q->conf->label,
             log_quote(q->key.paused, strlen(q->key.paused), key),
             log_quote(reason, value->type == REDIS_STRING ? value->len : 0, quoted));
}

static void RUNS_ON(on_master)
    on_value(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    if (!q->pause.on)
        return;
    if (r && r->type == REDIS_NIL)
        return resume(q);
    if (r && (r->type != REDIS_ERROR || redis_is_error(r, "WRONGTYPE")))
        tell(q, r);
    if (!q->master->many || !q->pause.told)
        look_in(q, LOOK_MS);
}

static void RUNS_ON(on_master) ask(struct queue *q)
{
    struct redis_command *c = q->master->command;
    redis_begin(c, "GET");
    redis_arg_text(c, q->key.paused);
    if (redis_send(q->master->control, c, 0, on_value, q) < 0)
        look_in(q, LOOK_MS);
}

static void on_look(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    struct queue *q = w->data;
    if (!q->pause.told || !q->master->many)
        ask(q);
    else
        tracking_stale(q, TRACKED_PAUSED); /* its time is over */
}

void pause_begin(struct queue *q)
{
    if (q->pause.on)
        return;
    q->pause.on = true;
    q->pause.told = false;
    giveback_all(q);
    ask(q);
}

void pause_seen(struct queue *q, int64_t ttl_ms)
{
    if (ttl_ms >= 0)
        look_in(q, ttl_ms + 1);
    if (ttl_ms >= -1)
        return pause_begin(q);
    if (q->pause.on)
        resume(q);
}
