/* May this run have anything of the queue: registration, the beat, the link number, release.
 *
 *   unregistered --register: ok--> registered --beat 0--> unregistered
 *        |                                                     |
 *        |  register again, the same epoch: ok (the key was deleted), or
 *        |      fenced: the epoch is lost, a new one begins
 *        +----- other: an epoch of a dead run is fenced at once; a foreign one is watched: its beat
 *               moves twice -> refuse to run, stands still for a lease -> fence */
#include "daemon/queue.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/master.h"
#include "daemon/timer.h"

/* Without a confirmed beat for half an hour: who runs a job knows of no other that runs it. */
#define SILENT_MS 1800000

struct asked { /* what a register or beat was about */
    struct queue *queue;
    struct epoch *epoch;
    uint64_t number;
    int64_t sent_ms; /* boot clock */
};

static int64_t lease_ms(const struct queue *q)
{
    return q->master->conf->lease_ms;
}

static void on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    owner_kick(w->data);
}

static void kick_after(struct queue *q, int64_t ms)
{
    timer_in(q->master->loop, &q->owner.again, ms);
}

void owner_init(struct queue *q)
{
    q->owner.number = 1;
    ev_timer_init(&q->owner.again, on_again, 0, 0);
    q->owner.again.data = q;
}

void owner_deinit(struct queue *q)
{
    ev_timer_stop(q->master->loop, &q->owner.again);
}

bool owner_sure(const struct queue *q)
{
    return q->owner.registered && clock_boot_ms() < atomic_load(&q->epoch->start_until);
}

bool owner_current(const struct queue *q)
{
    return q->owner.registered && q->owner.confirmed == q->owner.number && !q->releasing;
}

static struct asked *ask_about(struct queue *q)
{
    struct asked *a = malloc(sizeof *a);
    if (!a)
        return NULL;
    *a = (struct asked){.queue = q,
                        .epoch = epoch_ref(q->epoch),
                        .number = q->owner.number,
                        .sent_ms = clock_boot_ms()};
    return a;
}

static void asked_free(struct asked *a)
{
    if (a)
        (void)epoch_unref(a->epoch);
    free(a);
}

/* Confirmed means: as of when it was sent. */
static void confirmed(struct queue *q, const struct asked *a)
{
    int64_t until = a->sent_ms + lease_ms(q) * 14 / 15;
    if (until > atomic_load(&q->epoch->start_until))
        atomic_store(&q->epoch->start_until, until);
    if (a->sent_ms > q->owner.confirmed_ms)
        q->owner.confirmed_ms = a->sent_ms;
}

int owner_new_epoch(struct queue *q)
{
    struct epoch *e = epoch_new(lock_run(q->master->lock), q->master->epoch_numbers + 1);
    if (!e) {
        master_short(q->master);
        return -ENOMEM;
    }
    q->master->epoch_numbers++;
    (void)epoch_unref(q->epoch);
    q->epoch = e;
    q->owner.number = 1;
    owner_released(q);
    return 0;
}

void owner_released(struct queue *q)
{
    q->owner.confirmed = 0;
    q->owner.registered = false;
}

/* Nothing of this epoch is started any more; its tasks end now. What had ended is settled if it can
 * be. */
static void RUNS_ON(on_master) lose(struct queue *q, const char *why)
{
    struct epoch *old = epoch_ref(q->epoch);
    if (owner_new_epoch(q) < 0) {
        kick_after(q, 1000); /* it will be told the same */
    } else {
        log_error("epoch-lost", "queue='%s' epoch=%s why='%s' running=%u", q->conf->label,
                  old->name, why, old->running);
        atomic_store(&old->start_until, INT64_MIN);
        dispatch_abandon(q);
        claim_stop(q);
        owner_kick(q);
    }
    (void)epoch_unref(old);
}

void owner_look(struct queue *q)
{
    if (q->owner.registered && clock_boot_ms() - q->owner.confirmed_ms > SILENT_MS)
        lose(q, "no beat was confirmed for 30 minutes");
}

static void RUNS_ON(on_master)
    on_fenced(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    q->owner.asking = false;
    if (!r || r->type == REDIS_INTEGER)
        return owner_kick(q);
    trouble_is(&q->trouble, TROUBLE_OWNER, q->conf->name, r);
    kick_after(q, 500);
}

static void RUNS_ON(on_master) other_is_dead(struct queue *q, const char *epoch)
{
    struct redis_command *c = queue_script(q, "fence_epoch", 3);
    redis_arg_text(c, q->key.owner);
    redis_arg_text(c, q->key.owners);
    redis_arg_text(c, q->key.fenced);
    redis_arg_text(c, q->instance);
    redis_arg_text(c, epoch);
    redis_arg_text(c, "1");
    q->owner.asking = redis_send(q->master->control, c, 0, on_fenced, q) == 0;
    if (!q->owner.asking)
        return kick_after(q, 1000);
    log_info("own-run-fenced", "queue='%s' epoch=%s", q->conf->label, epoch);
}

static void RUNS_ON(on_master)
    on_silent(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    char quoted[LOG_QUOTE_MAX];
    if (r && r->type != REDIS_STRING)
        trouble_is(&q->trouble, TROUBLE_OWNER, q->conf->name, r);
    else if (r && r->len) /* else its beat has moved after all */
        log_info("silent-namesake-fenced", "queue='%s' epoch=%s", q->conf->label,
                 log_quote(r->str, r->len, quoted));
}

static void RUNS_ON(on_master) other_stands_still(struct queue *q)
{
    struct redis_command *c = queue_script(q, "fence", 3);
    redis_arg_text(c, q->key.owner);
    redis_arg_text(c, q->key.owners);
    redis_arg_text(c, q->key.fenced);
    redis_arg_text(c, q->instance);
    redis_arg_text(c, q->owner.rival_score);
    (void)redis_send(q->master->control, c, 0, on_silent, q);
}

/* A foreign run holds the name: its beat decides. */
static void RUNS_ON(on_master) watch_rival(struct queue *q, const char *epoch, const char *who,
                                           const struct redis_reply *score, int64_t sent)
{
    struct owner *o = &q->owner;
    char beat[sizeof o->rival_score] = "", quoted[LOG_QUOTE_MAX];
    int64_t now = clock_boot_ms();
    if (score->type == REDIS_STRING && score->len < sizeof beat)
        memcpy(beat, score->str, score->len + 1);
    bool newer = strchr(epoch, ' '); /* the whole value: nobody but its writer fences it */
    if (strcmp(o->rival, epoch) != 0) {
        (void)snprintf(o->rival, sizeof o->rival, "%s", epoch);
        (void)strcpy(o->rival_score, beat);
        o->rival_moves = 0;
        o->rival_since_ms = o->rival_seen_ms = now;
        log_warn("name-is-taken", "queue='%s' instance=%s by=%s what='%s'", q->conf->label,
                 q->instance, log_quote(who, strlen(who), quoted),
                 newer ? "a newer version holds this name: waiting for its end"
                       : "another run holds this name: waiting whether it lives");
    }
    if (strcmp(o->rival_score, beat) != 0) {
        (void)strcpy(o->rival_score, beat);
        o->rival_since_ms = now;
        if (++o->rival_moves >= 2) {
            char why[ERR_TEXT_MAX];
            (void)snprintf(why, sizeof why, "instance %s is already running at queue '%s': %s",
                           q->instance, q->conf->name, who);
            return master_refuse(q->master, 70, why);
        }
    }
    /* A gap, or an answer that was long on the way, proves nothing: the wait begins anew. */
    if (sent - o->rival_seen_ms > lease_ms(q) * 4 / 15 || now - sent > lease_ms(q) / 15)
        o->rival_since_ms = now;
    o->rival_seen_ms = now;
    if (!newer && sent - o->rival_since_ms >= lease_ms(q)) {
        o->rival_since_ms = now; /* refused, it is waited for anew */
        other_stands_still(q);
    }
    kick_after(q, lease_ms(q) / 15);
}

static void RUNS_ON(on_master) on_other(struct queue *q, const struct redis_reply *r, int64_t sent)
{
    char epoch[EPOCH_NAME_MAX], who[160];
    q->owner.registered = false;
    (void)snprintf(who, sizeof who, "%.*s", r->item[1].len < 150 ? (int)r->item[1].len : 150,
                   r->item[1].str);
    if (sscanf(who, "1 %39s", epoch) != 1)
        (void)snprintf(epoch, sizeof epoch, "%.39s",
                       who); /* a newer version's: only its beat is understood */
    if (!lock_is_own_run(q->master->lock, epoch, strcspn(epoch, ".")))
        return watch_rival(q, epoch, who, &r->item[2], sent);
    other_is_dead(q, epoch);
}

static void RUNS_ON(on_master)
    on_registered(struct queue *q, const struct asked *a, uint64_t number)
{
    q->owner.registered = true;
    q->owner.missed = false;
    q->owner.confirmed = number;
    if (q->owner.number < number)
        q->owner.number = number;
    *q->owner.rival = '\0';
    confirmed(q, a);
    dispatch_pump(q);
    if (owner_current(q))
        recover_start(q, true);
    else
        owner_kick(q); /* cut again meanwhile */
}

static bool is_registration(const struct redis_reply *r)
{
    if (r->type != REDIS_ARRAY || !r->n)
        return false;
    if (redis_is(&r->item[0], "ok"))
        return r->n == 2 && r->item[1].type == REDIS_INTEGER;
    if (redis_is(&r->item[0], "other"))
        return r->n == 3 && r->item[1].type == REDIS_STRING && r->item[2].type == REDIS_STRING;
    return r->n == 1 && redis_is(&r->item[0], "fenced");
}

/* No answer, or none that the script gives. */
static bool may_have_run(const struct redis_reply *r)
{
    return !r || (r->type != REDIS_ERROR && !is_registration(r));
}

static void RUNS_ON(on_master)
    on_register(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct asked *a = data;
    struct queue *q = a->queue;
    q->owner.asking = false;
    q->owner.unsure = a->epoch == q->epoch && may_have_run(r);
    if (!r || a->epoch != q->epoch) {
        asked_free(a); /* cut: the link coming up kicks again */
        return owner_kick(q);
    }
    if (!is_registration(r)) {
        trouble_is(&q->trouble, TROUBLE_OWNER, q->conf->name, r);
        kick_after(q, 500);
    } else {
        trouble_over(&q->trouble, TROUBLE_OWNER);
        if (redis_is(&r->item[0], "ok")) {
            on_registered(q, a, (uint64_t)r->item[1].integer);
        } else if (redis_is(&r->item[0], "fenced")) {
            lose(q, "taken for dead");
        } else {
            on_other(q, r, a->sent_ms);
        }
    }
    asked_free(a);
}

void owner_kick(struct queue *q)
{
    char host[HOST_NAME_MAX + 1] = "?", who[HOST_NAME_MAX + 16];
    struct owner *o = &q->owner;
    if (o->asking || owner_current(q) || !q->probed || q->releasing || q->released || q->rest.on ||
        q->master->life == LIFE_ENDED || !redis_link_up(q->master->control))
        return;
    struct asked *a = ask_about(q);
    if (!a)
        return kick_after(q, 1000);
    (void)gethostname(host, sizeof host - 1);
    (void)snprintf(who, sizeof who, "%s %d", host, (int)getpid());
    struct redis_command *c = queue_script(q, "register", 3);
    redis_arg_text(c, q->key.owner);
    redis_arg_text(c, q->key.owners);
    redis_arg_text(c, q->key.fenced);
    redis_arg_text(c, q->epoch->name);
    redis_arg_int(c, (int64_t)o->number);
    redis_arg_text(c, who);
    redis_arg_text(c, q->instance);
    o->asking = redis_send(q->master->control, c, 0, on_register, a) == 0;
    if (!o->asking) {
        asked_free(a);
        kick_after(q, 1000);
    }
}

void owner_raise(struct queue *q)
{
    q->owner.number++; /* always: what was confirmed may have been used and doubted since */
    owner_kick(q);
}

void owner_doubt(struct queue *q)
{
    q->owner.confirmed = 0;
    owner_kick(q);
}

static void RUNS_ON(on_master)
    on_beat(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct asked *a = data;
    struct queue *q = a->queue;
    if (r && a->epoch == q->epoch) {
        if (r->type != REDIS_INTEGER) {
            trouble_is(&q->trouble, TROUBLE_OWNER, q->conf->name, r);
            master_beat_within(q->master, 300);
        } else if (r->integer == 1) {
            trouble_over(&q->trouble, TROUBLE_OWNER);
            confirmed(q, a);
            dispatch_pump(q);
        } else {
            if (!q->owner.asking && !q->owner.missed) {
                q->owner.missed = true;
                log_warn("owner-key-gone", "queue='%s' epoch=%s what='registering again'",
                         q->conf->label, q->epoch->name);
            }
            owner_doubt(q);
        }
    }
    asked_free(a);
}

void owner_beat(struct queue *q)
{
    if (!q->owner.registered || q->releasing || q->released || !redis_link_up(q->master->control))
        return;
    struct asked *a = ask_about(q);
    if (!a)
        return;
    struct redis_command *c = queue_script(q, "beat", 3);
    redis_arg_text(c, q->key.owner);
    redis_arg_text(c, q->key.owners);
    redis_arg_text(c, q->key.fenced);
    redis_arg_text(c, q->epoch->name);
    redis_arg_text(c, q->instance);
    if (redis_send(q->master->control, c, 0, on_beat, a) < 0)
        asked_free(a);
}

int owner_release(struct queue *q, redis_fn fn)
{
    struct redis_command *c = queue_script(q, "release", 3);
    redis_arg_text(c, q->key.owner);
    redis_arg_text(c, q->key.owners);
    redis_arg_text(c, q->key.popped);
    redis_arg_text(c, q->epoch->name);
    redis_arg_text(c, q->instance);
    return redis_send(q->master->control, c, 0, fn, q);
}
