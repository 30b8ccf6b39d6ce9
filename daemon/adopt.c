/* Other owners: each look sees their beats. One whose beat stood still for a whole lease is fenced:
 * from there it cannot claim, and what it held is taken over. Strays, which are entries of an epoch
 * that nobody lives in, or of an owner that no beat is known of, are watched in the same way: a
 * comparison finds them, and one follows each departure of an owner. */
#include "daemon/recovery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/master.h"

#define INSTANCE_MAX 64

void adopt_init(struct queue *q)
{
    watch_init(&q->adopt.watch, q->master->conf->lease_ms);
}

void adopt_deinit(struct queue *q)
{
    watch_deinit(&q->adopt.watch);
}

/* ---- fence ---- */

struct fencing {
    struct queue *queue;
    char instance[INSTANCE_MAX + 1];
    char epoch[EPOCH_NAME_MAX]; /* of a stray */
};

static void RUNS_ON(on_master)
    on_fenced(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct fencing *f = data;
    struct queue *q = f->queue;
    char quoted[LOG_QUOTE_MAX];
    bool moved = r && (r->type == REDIS_STRING ? !r->len : !r->integer); /* it does live */
    if (!r || r->type == REDIS_ERROR) {
        watch_anew(&q->adopt.watch); /* it takes no writes: nobody can beat either */
        if (r)
            trouble_is(&q->trouble, TROUBLE_RECOVER, q->conf->name, r);
    } else if (!moved) {
        const char *epoch = r->type == REDIS_STRING ? r->str : f->epoch;
        log_warn("instance-fenced",
                 "queue='%s' instance=%s epoch=%s what='it is gone: its jobs are taken over'",
                 q->conf->label, f->instance, log_quote(epoch, strlen(epoch), quoted));
        recover_start(q, true);
    } else {
        recover_start(q, false); /* or it had no owner key: what it held belongs to nobody */
    }
    free(f);
}

/* how: its beat, or of a stray its epoch. */
static void RUNS_ON(on_master)
    fence(struct queue *q, const char *script, const char *instance, const char *how)
{
    bool stray = strcmp(script, "fence_epoch") == 0;
    char *owner = keys_join(&q->key, "owner:", instance);
    struct fencing *f = calloc(1, sizeof *f);
    if (!owner || !f) {
        free(owner);
        return free(f);
    }
    f->queue = q;
    (void)snprintf(f->instance, sizeof f->instance, "%s", instance);
    if (stray)
        (void)snprintf(f->epoch, sizeof f->epoch, "%s", how);
    struct redis_command *c = queue_script(q, script, 3);
    redis_arg_text(c, owner);
    redis_arg_text(c, q->key.owners);
    redis_arg_text(c, q->key.fenced);
    redis_arg_text(c, instance);
    redis_arg_text(c, how);
    if (stray)
        redis_arg_text(c, "0"); /* no proof: not where it lives after all */
    if (redis_send(q->master->control, c, 0, on_fenced, f) < 0)
        free(f);
    free(owner);
}

/* ---- owners ---- */

static bool is_instance(const char *name, size_t len)
{
    return len && len <= INSTANCE_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

void adopt_look(struct queue *q, const struct redis_reply *owners, int64_t sent_ms)
{
    struct watch *w = &q->adopt.watch;
    int64_t now = clock_boot_ms();
    (void)watch_answered(w, redis_link_cuts(q->master->control), sent_ms, now);
    for (size_t i = 0; i + 1 < owners->n; i += 2) {
        const struct redis_reply *name = &owners->item[i], *beat = name + 1;
        if (name->type != REDIS_STRING || beat->type != REDIS_STRING ||
            !is_instance(name->str, name->len) || redis_is(name, q->instance) ||
            watch_see(w, name->str, beat->str, sent_ms, now) != 1)
            continue;
        watch_forget(w, name->str); /* refused, it is waited for anew */
        fence(q, "fence", name->str, beat->str);
    }
    if (watch_tidy(w, now))
        recover_start(q, false); /* released, or what it held belongs to nobody now */
}

/* ---- strays ---- */

struct asked {
    struct recovery *recovery;
    int64_t sent_ms;
    size_t n;
    size_t entry[]; /* the first of each instance that is asked about */
};

static bool is_stray(const struct recovery *x, const struct entry *e)
{
    bool mine = strcmp(e->split, x->queue->instance) == 0 && strcmp(e->epoch, x->epoch->name) == 0;
    return !mine && is_instance(e->split, strlen(e->split)) && !epochs_have(&x->open, e->epoch);
}

/* One epoch of another, or a former one of this name; live and beat: of its instance. */
static void RUNS_ON(on_master) judge(struct recovery *x, const struct entry *e, const char *live,
                                     const char *beat, int64_t sent_ms)
{
    struct queue *q = x->queue;
    char name[INSTANCE_MAX + 1 + EPOCH_NAME_MAX];
    bool lives = strcmp(live, e->epoch) == 0;
    if (lives && *beat && strcmp(e->split, q->instance) != 0) /* as a look sees it */
        (void)watch_see(&q->adopt.watch, e->split, beat, sent_ms, clock_boot_ms());
    if (strcmp(live, "?") == 0 || (lives && *beat))
        return; /* of a newer version, or well */
    (void)snprintf(name, sizeof name, "%s:%s", e->split, e->epoch);
    q->adopt.strays = true;
    if (watch_see(&q->adopt.watch, name, lives ? "silent" : "gone", sent_ms, clock_boot_ms()) != 1)
        return;
    watch_forget(&q->adopt.watch, name);
    if (lives)
        fence(q, "fence", e->split, "");
    else
        fence(q, "fence_epoch", e->split, e->epoch);
}

static void RUNS_ON(on_master) judge_instance(struct recovery *x, const struct entry *of,
                                              const struct redis_reply *at, int64_t sent_ms)
{
    if (at[0].type != REDIS_STRING || at[1].type != REDIS_STRING)
        return;
    const char *last = "";
    for (size_t i = 0; i < x->entries.n; i++) {
        const struct entry *e = &x->entries.at[i]; /* sorted by epoch */
        if (strcmp(e->split, of->split) != 0 || !is_stray(x, e) || strcmp(e->epoch, last) == 0)
            continue;
        last = e->epoch;
        judge(x, e, at[0].str, at[1].str, sent_ms);
    }
}

static void RUNS_ON(on_master)
    on_live(struct redis_link *link, const struct redis_reply *r, void *data)
{
    struct asked *a = data;
    struct recovery *x = a->recovery;
    struct queue *q = x->queue;
    if (recover_unusable(x, r, REDIS_ARRAY)) {
        watch_anew(&q->adopt.watch);
        return free(a);
    }
    q->adopt.strays = false;
    (void)watch_answered(&q->adopt.watch, redis_link_cuts(link), a->sent_ms, clock_boot_ms());
    for (size_t i = 0; i < a->n && 2 * i + 1 < r->n; i++)
        judge_instance(x, &x->entries.at[a->entry[i]], &r->item[2 * i], a->sent_ms);
    free(a);
    take_next(x);
}

static bool is_asked_about(const struct asked *a, const char *instance)
{
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->recovery->entries.at[a->entry[i]].split, instance) == 0)
            return true;
    return false;
}

static void find_instances(struct asked *a)
{
    const struct recovery *x = a->recovery;
    for (size_t i = 0; i < x->entries.n; i++)
        if (is_stray(x, &x->entries.at[i]) && !is_asked_about(a, x->entries.at[i].split))
            a->entry[a->n++] = i;
}

static int RUNS_ON(on_master) ask_who_lives(struct asked *a)
{
    struct recovery *x = a->recovery;
    struct queue *q = x->queue;
    int r = 0;
    char **owner = calloc(a->n, sizeof *owner);
    for (size_t i = 0; owner && i < a->n; i++)
        if (!(owner[i] = keys_join(&q->key, "owner:", x->entries.at[a->entry[i]].split)))
            r = -1;
    if (owner && !r) {
        struct redis_command *c = queue_script(q, "live", (unsigned)a->n + 1);
        redis_arg_text(c, q->key.owners);
        for (size_t i = 0; i < a->n; i++)
            redis_arg_text(c, owner[i]);
        for (size_t i = 0; i < a->n; i++)
            redis_arg_text(c, x->entries.at[a->entry[i]].split);
        a->sent_ms = clock_boot_ms();
        r = redis_send(q->master->control, c, 0, on_live, a);
    }
    for (size_t i = 0; owner && i < a->n; i++)
        free(owner[i]);
    free(owner);
    return owner ? r : -1;
}

void adopt_strays(struct recovery *x)
{
    struct asked *a = calloc(1, sizeof *a + x->entries.n * sizeof *a->entry);
    if (!a)
        return recover_give_up(x);
    a->recovery = x;
    find_instances(a);
    if (a->n && ask_who_lives(a) == 0)
        return;
    bool none = !a->n;
    free(a);
    if (!none)
        return recover_give_up(x);
    x->queue->adopt.strays = false;
    take_next(x);
}
