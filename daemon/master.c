/* The master thread: one loop, callbacks only. A turn of it ends in on_turn: settles first, then
 * claims, and then the links write once each, so what was decided in a turn travels together. */
#include "daemon/master.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/admin.h"
#include "daemon/dispatch.h"
#include "daemon/durability.h"
#include "daemon/hang.h"
#include "daemon/life.h"
#include "daemon/probe.h"
#include "daemon/queue.h"
#include "daemon/supervisor.h"
#include "daemon/timer.h"
#include "daemon/tracking.h"
#include "worker/handler/handler.h"

#define RECORD_HEAD 65536 /* room for the head of a record in front of the largest payload */
#define BEAT_GAP_MS 100   /* no more than ten beats a second, whoever asks */
#define END_MS 1000       /* for the workers to end when nothing runs any more */
#define END_AT_ONCE_MS 400
#define END_MOVING_MS 15000 /* where something does */
#define END_MOVING_AT_ONCE_MS 3000

bool master_quiet(const struct master *m)
{
    return m->life > LIFE_RUNNING;
}

bool master_is_short(const struct master *m)
{
    return clock_now_ms() < m->again_at_ms;
}

static void on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    struct master *m = w->data;
    int64_t left = m->again_at_ms - clock_now_ms();
    if (left > 0) /* it counts from the beginning of the turn it was set in */
        return timer_in(m->loop, &m->again_timer, left);
    for (size_t i = 0; i < m->nqueues; i++)
        dispatch_pump(m->queues[i]); /* the turn's end claims and reads */
}

void master_short(struct master *m)
{
    if (!master_is_short(m))
        log_warn("short", "what='memory or processes are short: nothing is claimed for a second'");
    m->again_at_ms = clock_now_ms() + 1000;
    timer_in(m->loop, &m->again_timer, 1000);
}

void master_refuse(struct master *m, int code, const char *why)
{
    if (m->life == LIFE_ENDED)
        return;
    char quoted[LOG_QUOTE_MAX];
    log_error("refused", "exit=%d why=%s", code, log_quote(why, strlen(why), quoted));
    m->exit_code = code;
    m->life = LIFE_ENDED;
    ev_break(m->loop, EVBREAK_ALL);
}

void master_recovered(struct master *m)
{
    for (size_t i = 0; i < m->nqueues; i++)
        if (!m->queues[i]->recover.known)
            return;
    int r = lock_forget_dead(m->lock);
    if (r < 0)
        log_warn("lock-file", "error='%s' what='dead runs stay in it: they are looked for again'",
                 strerror(-r));
}

/* ---- beat and look ---- */

static void on_beat(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    struct master *m = w->data;
    m->beat_sent_ms = clock_now_ms();
    for (size_t i = 0; i < m->nqueues; i++)
        owner_beat(m->queues[i]);
    w->repeat = (double)m->conf->lease_ms / 3000;
    ev_timer_again(m->loop, w);
}

void master_beat_within(struct master *m, int64_t ms)
{
    int64_t since = clock_now_ms() - m->beat_sent_ms;
    if (ms < BEAT_GAP_MS - since)
        ms = BEAT_GAP_MS - since;
    if (ev_is_active(&m->beat) && ev_timer_remaining(m->loop, &m->beat) <= (double)ms / 1000)
        return;
    m->beat.repeat = ms > 0 ? (double)ms / 1000 : 0.001;
    ev_timer_again(m->loop, &m->beat);
}

static void on_look(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    struct master *m = w->data;
    for (size_t i = 0; i < m->nqueues; i++)
        look_at(m->queues[i]);
    hang_look(m->hang);
    supervisor_tell(m->supervisor);
    if (!m->conf->redis.wait && !redis_ever_connected(m->redis) && *redis_trouble(m->redis))
        master_refuse(m, 69, redis_trouble(m->redis));
}

/* ---- a turn ---- */

static void RUNS_ON(on_master) feed_each(struct master *m)
{
    size_t first = m->next_queue++ % m->nqueues; /* the first grip is another's next time */
    for (size_t i = 0; i < m->nqueues; i++)
        feed_kick(m->queues[(first + i) % m->nqueues]);
}

static void RUNS_ON(on_master) start_held_back(struct master *m)
{
    m->held_back = false;
    for (size_t i = 0; i < m->nqueues; i++)
        dispatch_pump(m->queues[i]);
}

static void RUNS_ON(on_master) recover_each(struct master *m)
{
    for (size_t i = 0; i < m->nqueues; i++)
        recover_kick(m->queues[i]);
}

static void RUNS_ON(on_master) on_turn(struct ev_loop *loop, ev_prepare *w, int revents)
{
    (void)loop, (void)revents;
    struct master *m = w->data;
    dispatch_take(m); /* also of a worker that does not come to wake it */
    settle_turn(m);
    if (master_quiet(m) || !m->nqueues)
        return;
    if (m->held_back && !m->condemned)
        start_held_back(m);
    if (m->trial.batches || m->trial.state != TRIAL_NONE)
        trial_step(m);
    if (m->waiting)
        recover_each(m); /* before any fresh claim */
    if (m->unread)
        feed_each(m);
    claim_turn(m);
    if (m->tracking)
        tracking_turn(m->tracking);
}

/* ---- links ---- */

static void RUNS_ON(on_master) on_control_up(struct redis_link *link, void *data)
{
    (void)link;
    struct master *m = data;
    durability_ask(m);
    for (size_t i = 0; i < m->nqueues; i++) {
        probe_rights(m->queues[i]);
        owner_kick(m->queues[i]);
    }
    master_beat_within(m, 0);
}

static void RUNS_ON(on_master) on_work_up(struct redis_link *link, void *data)
{
    (void)link;
    struct master *m = data;
    m->settled_kinds = 0;
    for (size_t i = 0; i < m->nqueues; i++)
        recover_start(m->queues[i], false);
}

static void RUNS_ON(on_master)
    on_work_down(struct redis_link *link, const struct err *why, void *data)
{
    (void)link, (void)why;
    struct master *m = data;
    for (size_t i = 0; i < m->nqueues; i++)
        owner_raise(m->queues[i]);
}

static void on_refused(struct redis_link *link, const struct err *why, void *data)
{
    (void)link;
    struct master *m = data;
    if (!redis_ever_connected(m->redis))
        master_refuse(m, 78, why->text);
}

static const struct redis_events control_events = {.up = on_control_up, .refused = on_refused};
static const struct redis_events work_events = {
    .up = on_work_up, .down = on_work_down, .refused = on_refused};

/* ---- building and ending ---- */

static void on_libev(const char *what)
{
    log_error("refused", "exit=70 why='libev: %s: %s'", what, strerrordesc_np(errno));
    _exit(70); /* it would abort */
}

static void on_nothing(struct ev_loop *loop, ev_async *w, int revents)
{
    (void)loop, (void)w, (void)revents;
}

/* libev tells the kernel of its pipe for signals and results now. Where that is refused it gives
 * the pipe up, and makes another one at the next occasion, which the second time is. */
static void RUNS_ON(on_master) open_pipe(struct ev_loop *loop)
{
    for (int i = 0; i < 2; i++) {
        ev_async w;
        ev_async_init(&w, on_nothing);
        ev_async_start(loop, &w);
        ev_run(loop, EVRUN_NOWAIT);
        ev_async_stop(loop, &w);
    }
}

static size_t largest_payload(const struct conf *conf)
{
    int64_t largest = 1 << 20;
    for (size_t i = 0; i < conf->nqueues; i++)
        if (conf->queues[i].max_payload > largest)
            largest = conf->queues[i].max_payload;
    return (size_t)largest;
}

static int RUNS_ON(on_master) open_redis(struct master *m, struct err *e)
{
    const struct conf *c = m->conf;
    char name[96];
    (void)snprintf(name, sizeof name, "rpopd:%s", c->instance);
    m->redis = redis_new(m->loop,
                         &(struct redis_options){.url = c->redis.url,
                                                 .username = c->redis.username,
                                                 .password = c->redis.password,
                                                 .client_name = name,
                                                 .connect_timeout_ms = c->redis.connect_timeout_ms,
                                                 .command_timeout_ms = c->redis.command_timeout_ms,
                                                 .max_bulk = largest_payload(c) + RECORD_HEAD},
                         e);
    if (!m->redis)
        return e->code;
    m->command = redis_command_new();
    m->control = redis_link_new(m->redis, "control", &control_events, m);
    m->work = redis_link_new(m->redis, "work", &work_events, m);
    if (!m->command || !m->control || !m->work)
        return err_set(e, -ENOMEM, "no memory for the links to Redis");
    m->lock = lock_open(c->runtime_dir, c->instance, redis_address(m->redis), e);
    return m->lock ? 0 : e->code;
}

static int start_workers(struct master *m, struct err *e, int *ret_exit)
{
    m->workers = calloc((size_t)m->conf->workers, sizeof(struct worker *));
    m->load = calloc((size_t)m->conf->workers, sizeof *m->load);
    if (!m->workers || !m->load)
        return err_set(e, -ENOMEM, "no memory for %d workers", m->conf->workers);
    for (; m->nworkers < (size_t)m->conf->workers; m->nworkers++)
        if (!(m->workers[m->nworkers] =
                  worker_new(m->conf, (unsigned)m->nworkers, &m->results, e))) {
            if (e->code == -EINVAL) /* a handler's own settings are wrong */
                *ret_exit = 78;
            return e->code;
        }
    worker_note_crashes(lock_note_fd(m->lock), lock_run(m->lock));
    return 0;
}

static int RUNS_ON(on_master) open_queues(struct master *m, struct err *e)
{
    m->many = m->conf->nqueues > MANY_QUEUES;
    m->queues = calloc(m->conf->nqueues, sizeof(struct queue *));
    m->telling = calloc(m->conf->nqueues, sizeof(struct queue *));
    m->claims = claims_new(m, m->conf->nqueues);
    if (!m->queues || !m->telling || !m->claims)
        return err_set(e, -ENOMEM, "no memory for the queues");
    for (; m->nqueues < m->conf->nqueues; m->nqueues++)
        if (!(m->queues[m->nqueues] = queue_new(m, &m->conf->queues[m->nqueues])))
            return err_set(e, -ENOMEM, "no memory for queue '%s'",
                           m->conf->queues[m->nqueues].name);
    if (m->many && !(m->tracking = tracking_new(m)))
        return err_set(e, -ENOMEM, "no memory for %zu queues", m->nqueues);
    return 0;
}

static void start_timers(struct master *m)
{
    double look = (double)m->conf->lease_ms * 2 / 15000;
    ev_prepare_init(&m->turn, on_turn);
    ev_set_priority(&m->turn, EV_MAXPRI); /* before the links write */
    ev_init(&m->beat, on_beat);
    ev_timer_init(&m->look, on_look, look, look);
    ev_timer_init(&m->again_timer, on_again, 0, 0);
    trial_init(m);
    m->turn.data = m->beat.data = m->look.data = m->again_timer.data = m;
    ev_prepare_start(m->loop, &m->turn);
    ev_timer_start(m->loop, &m->look);
    master_beat_within(m, m->conf->lease_ms / 3);
}

struct master *master_new(const struct conf *conf, struct err *e, int *ret_exit)
{
    struct master *m = calloc(1, sizeof *m);
    *ret_exit = 70;
    ev_set_syserr_cb(on_libev);
    if (!m || !(m->loop = ev_loop_new(EVFLAG_NOENV | EVFLAG_NOSIGMASK | EVBACKEND_EPOLL))) {
        (void)err_set(e, -ENOMEM, "cannot make the master's loop: %s", strerrordesc_np(errno));
        free(m);
        return NULL;
    }
    open_pipe(m->loop);
    m->conf = conf;
    m->slots = (uint32_t)conf->workers * (uint32_t)conf->concurrency;
    m->life = LIFE_RUNNING;
    dispatch_open(m);
    start_timers(m);
    life_open(m); /* first of all: a TERM during the start ends it in order */
    m->supervisor = supervisor_new(m);
    m->hang = hang_new(m);
    if (!m->supervisor || !m->hang)
        (void)err_set(e, -ENOMEM, "no memory for the supervisor");
    if (!m->supervisor || !m->hang || open_redis(m, e) < 0 || start_workers(m, e, ret_exit) < 0 ||
        open_queues(m, e) < 0)
        return master_free(m);
    m->admin = admin_new(m, e);
    if (m->admin)
        return m;
    *ret_exit = err_is_shortage(e->code) ? 70 : 78;
    return master_free(m);
}

int master_run(struct master *m)
{
    log_info("started", "instance=%s workers=%zu concurrency=%d queues=%zu redis=%s stacks='%s'",
             m->conf->instance, m->nworkers, m->conf->concurrency, m->nqueues,
             redis_address(m->redis), worker_stack_guard());
    (void)ev_run(m->loop, 0);
    log_info("stopped", "exit=%d", m->exit_code);
    return m->exit_code;
}

/* A task does not end, or keeps its loop: all that concerns Redis was done, and what it still uses
 * cannot be freed. */
static void RUNS_ON(on_master) end_beside(const struct master *m, size_t stuck)
{
    log_warn("worker-stuck", "workers=%zu what='a job does not end: the process ends beside it'",
             stuck);
    worker_kill_children();
    (void)fflush(stdout);
    _exit(m->exit_code);
}

/* One whose loop goes round may be waiting for what its jobs have started: that is to end, too. */
static bool RUNS_ON(on_master) ends(const struct master *m, struct worker *w, int64_t from_ms)
{
    bool at_once = atomic_load(&handler_at_once);
    if (worker_ended(w, from_ms + (at_once ? END_AT_ONCE_MS : END_MS)))
        return true;
    if (!worker_moves(w) || !(m->running || m->gave_up))
        return false;
    return worker_ended(w, from_ms + (at_once ? END_MOVING_AT_ONCE_MS : END_MOVING_MS));
}

static void RUNS_ON(on_master) end_workers(struct master *m)
{
    int64_t from_ms = clock_now_ms();
    size_t stuck = 0;
    for (size_t i = 0; i < m->nworkers; i++)
        worker_stop(m->workers[i]);
    for (size_t i = 0; i < m->nworkers; i++)
        stuck += !ends(m, m->workers[i], from_ms);
    if (stuck)
        end_beside(m, stuck);
    for (size_t i = 0; i < m->nworkers; i++)
        (void)worker_free(m->workers[i]); /* their last jobs lie in the mailbox */
}

struct master *master_free(struct master *m)
{
    if (!m)
        return NULL;
    m->life = LIFE_ENDED;
    m->admin = admin_free(m->admin);
    end_workers(m);
    dispatch_close(m);
    for (size_t i = 0; i < m->nqueues; i++)
        claim_close(m->queues[i]);
    m->claims = claims_free(m->claims);
    m->tracking = tracking_free(m->tracking);
    m->control = redis_link_free(m->control);
    m->work = redis_link_free(m->work);
    m->redis = redis_free(m->redis);
    for (size_t i = 0; i < m->nqueues; i++)
        (void)queue_free(m->queues[i]);
    trial_deinit(m);
    life_close(m);
    m->supervisor = supervisor_free(m->supervisor);
    m->hang = hang_free(m->hang);
    ev_prepare_stop(m->loop, &m->turn);
    ev_loop_destroy(m->loop);
    (void)redis_command_free(m->command);
    (void)lock_close(m->lock);
    free(m->queues);
    free(m->telling);
    free(m->workers);
    free(m->load);
    free(m);
    return NULL;
}
