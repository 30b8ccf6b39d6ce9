/* fsck: is every job in one place, and is every key somebody's? First all keys, by SCAN, a page at
 * a time; then each queue: types, entries, owners, records, passage. What looks wrong is judged by
 * a script, in one step, which with --repair puts it right in the same step, so that nothing is
 * said or done of what changes meanwhile. Each page is asked for when the one before is judged and
 * the client has read enough. */
#include "daemon/admin_fsck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "daemon/admin.h"
#include "daemon/entries.h"
#include "daemon/master.h"
#include "daemon/queue.h"

#define PAGE "500"
#define PASSAGE_MS 300 /* what is in passage for so long is not on its way */

enum step { STEP_SCAN, STEP_TYPES, STEP_ENTRIES, STEP_OWNERS, STEP_RETRY, STEP_DEAD, STEP_PASSAGE };

struct fsck {
    struct admin_call *call;
    struct master *master;
    enum step step;
    size_t queue;    /* being looked at, from STEP_TYPES on */
    char cursor[24]; /* of the page; "": of the first */
    unsigned pending;
    bool repair, no_scan, twice; /* twice: passage was full before */
    const char *failed;          /* a sentence: it cannot go on */
    char why[ERR_TEXT_MAX];
    long long findings, repaired, keys;
};

struct check { /* one script that is out */
    struct fsck *fsck;
    struct queue *queue;
    char key[]; /* what it is about */
};

static void RUNS_ON(on_master) next(struct fsck *f);

/* ---- findings ---- */

static void find(struct fsck *f, const char *kind, const char *queue, const char *key,
                 const char *detail)
{
    bool repaired;
    json_t *o = finding_json(kind, queue, key, detail, f->repair, &repaired);
    f->findings++;
    f->repaired += repaired;
    admin_item(f->call, o);
}

static void RUNS_ON(on_master) fail(struct fsck *f, const struct redis_reply *r)
{
    (void)snprintf(f->why, sizeof f->why, "%s",
                   r && r->type == REDIS_ERROR ? r->str : "Redis does not answer");
    f->failed = f->why;
}

static void go_on(struct admin_call *c, void *data)
{
    (void)c;
    thread_assert(&on_master);
    next(data);
}

static void RUNS_ON(on_master) answered(struct fsck *f)
{
    if (--f->pending == 0)
        admin_resume(f->call, go_on, f);
}

/* fn gets the answer; data as it is sent. */
static void RUNS_ON(on_master)
    ask(struct fsck *f, struct redis_command *c, redis_fn fn, void *data, bool *ret_sent)
{
    *ret_sent = redis_send(f->master->work, c, 0, fn, data) == 0;
    if (*ret_sent)
        f->pending++;
    else
        fail(f, NULL);
}

static void RUNS_ON(on_master) ask_page(struct fsck *f, struct redis_command *c, redis_fn fn)
{
    bool sent;
    ask(f, c, fn, f, &sent);
}

/* ---- one check ---- */

static void on_check(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    thread_assert(&on_master);
    struct check *k = data;
    struct fsck *f = k->fsck;
    const char *queue = k->queue->conf->name;
    if (redis_is_error(r, "WRONGTYPE"))
        find(f, "wrong-type", queue, k->key, r->str);
    else if (!r || r->type != REDIS_STRING)
        fail(f, r);
    else if (r->len)
        find(f, r->str, queue, k->key, "");
    if (r && r->type == REDIS_STRING && r->len && f->repair)
        recover_start(k->queue, false); /* what became visible is taken */
    free(k);
    answered(f);
}

static void RUNS_ON(on_master)
    send_check(struct fsck *f, struct queue *q, const char *key, struct redis_command *c)
{
    struct check *k = malloc(sizeof *k + strlen(key) + 1);
    bool sent = false;
    if (k) {
        k->fsck = f;
        k->queue = q;
        (void)strcpy(k->key, key);
        ask(f, c, on_check, k, &sent);
    } else {
        fail(f, NULL);
    }
    if (!sent)
        free(k);
}

/* The field's parts in `at`; false where it is no batch's. */
static bool parse_field(const char *field, struct entries *ret)
{
    char *copy = strdup(field), none[] = "";
    struct redis_reply pair[2] = {{.type = REDIS_STRING, .str = copy, .len = strlen(field)},
                                  {.type = REDIS_STRING, .str = none, .len = 0}};
    struct redis_reply pairs = {.type = REDIS_ARRAY, .item = pair, .n = 2};
    *ret = (struct entries){0};
    bool ok = copy && entries_add(ret, &pairs) == 0 && ret->n == 1;
    free(copy);
    return ok;
}

static void RUNS_ON(on_master) check_batch(struct fsck *f, struct queue *q, const char *part,
                                           const char *field, const char *key)
{
    struct entries parsed;
    if (!parse_field(field, &parsed)) {
        entries_clear(&parsed);
        return find(f, strcmp(part, "entry") == 0 ? "bad-field" : "unknown", q->conf->name, key,
                    "");
    }
    const struct entry *e = parsed.at;
    char *list = keys_join(&q->key, "inflight:", field),
         *acked = keys_join(&q->key, "acked:", field),
         *owner = keys_join(&q->key, "owner:", e->split), fresh[96];
    (void)snprintf(fresh, sizeof fresh, "1 %s-%s 0 0 -", e->epoch, e->name);
    if (list && acked && owner) {
        struct redis_command *c = queue_script(q, "fsck_batch", 5);
        const char *const args[] = {list, acked, q->key.batches, owner, q->key.fenced,
                                    part, field, e->epoch,       fresh, f->repair ? "1" : "0"};
        for (size_t i = 0; i < sizeof args / sizeof *args; i++)
            redis_arg_text(c, args[i]);
        send_check(f, q, key, c);
    } else {
        fail(f, NULL);
    }
    free(list);
    free(acked);
    free(owner);
    entries_clear(&parsed);
}

static void RUNS_ON(on_master)
    check_owner(struct fsck *f, struct queue *q, const char *part, const char *instance)
{
    char *owner = keys_join(&q->key, "owner:", instance);
    if (!owner)
        return fail(f, NULL);
    struct redis_command *c = queue_script(q, "fsck_owner", 2);
    redis_arg_text(c, owner);
    redis_arg_text(c, q->key.owners);
    redis_arg_text(c, part);
    redis_arg_text(c, instance);
    redis_arg_text(c, f->repair ? "1" : "0");
    send_check(f, q, owner, c);
    free(owner);
}

/* ---- all keys ---- */

/* The longest prefix counts: one queue's may begin another's. */
static struct queue *queue_of(const struct master *m, const char *key, const char **ret_rest)
{
    size_t best = 0;
    struct queue *found = NULL;
    for (size_t i = 0; i < m->nqueues; i++) {
        size_t len = strlen(m->queues[i]->key.prefix);
        if (len > best && strncmp(key, m->queues[i]->key.prefix, len) == 0) {
            best = len;
            found = m->queues[i];
        }
    }
    *ret_rest = key + best;
    return found;
}

static const char *behind(const char *text, const char *front)
{
    size_t len = strlen(front);
    return strncmp(text, front, len) == 0 ? text + len : NULL;
}

static bool is_known(const char *rest)
{
    static const char *const names[] = {"owners", "fenced", "paused", "popped", "batches",
                                        "stats",  "retry",  "dead",   "delayed"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(rest, names[i]) == 0)
            return true;
    return behind(rest, "result:") != NULL;
}

static void RUNS_ON(on_master) look_at_key(struct fsck *f, const char *key)
{
    const char *rest, *name;
    struct queue *q = queue_of(f->master, key, &rest);
    if (!q)
        return; /* of a queue that is not in this daemon's configuration */
    f->keys++;
    if ((name = behind(rest, "inflight:")))
        check_batch(f, q, "list", name, key);
    else if ((name = behind(rest, "acked:")))
        check_batch(f, q, "acked", name, key);
    else if ((name = behind(rest, "owner:")))
        check_owner(f, q, "key", name);
    else if (!is_known(rest))
        find(f, "unknown", q->conf->name, key, "");
}

static bool is_page(const struct redis_reply *r)
{
    return r && r->type == REDIS_ARRAY && r->n == 2 && r->item[0].type == REDIS_STRING &&
           r->item[1].type == REDIS_ARRAY;
}

static bool is_text(const struct redis_reply *r)
{
    return r->type == REDIS_STRING && strlen(r->str) == r->len;
}

/* Where the next page begins; "" and the next step behind the last. */
static void turn_page(struct fsck *f, const char *cursor)
{
    bool last = strcmp(cursor, "0") == 0 || strcmp(cursor, "-1") == 0;
    (void)snprintf(f->cursor, sizeof f->cursor, "%s", last ? "" : cursor);
    if (last)
        f->step++;
}

static void on_keys(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    thread_assert(&on_master);
    struct fsck *f = data;
    f->no_scan = redis_is_error(r, "NOPERM");
    if (f->no_scan) {
        find(f, "no-scan", "", "", r->str);
        turn_page(f, "0");
    } else if (!is_page(r)) {
        fail(f, r);
    } else {
        turn_page(f, r->item[0].str);
        for (size_t i = 0; i < r->item[1].n; i++)
            if (is_text(&r->item[1].item[i]))
                look_at_key(f, r->item[1].item[i].str);
    }
    answered(f);
}

static void RUNS_ON(on_master) ask_keys(struct fsck *f)
{
    struct redis_command *c = f->master->command;
    redis_begin(c, "SCAN");
    redis_arg_text(c, *f->cursor ? f->cursor : "0");
    redis_arg_text(c, "MATCH");
    redis_arg_text(c, "rpopd:*");
    redis_arg_text(c, "COUNT");
    redis_arg_text(c, PAGE);
    ask_page(f, c, on_keys);
}

/* ---- one queue ---- */

static struct queue *queue_now(const struct fsck *f)
{
    return f->master->queues[f->queue];
}

static void on_types(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    thread_assert(&on_master);
    struct fsck *f = data;
    if (!r || r->type != REDIS_ARRAY)
        fail(f, r);
    for (size_t i = 0; r && r->type == REDIS_ARRAY && i < r->n; i++)
        find(f, "wrong-type", queue_now(f)->conf->name, r->item[i].str, "");
    turn_page(f, "0");
    answered(f);
}

static void RUNS_ON(on_master) ask_types(struct fsck *f)
{
    struct queue *q = queue_now(f);
    struct redis_command *c = queue_script(q, "fsck_types", 14);
    const char *const keys[] = {q->key.queue,
                                q->key.retry,
                                q->key.delayed,
                                q->key.dead,
                                q->key.popped,
                                q->key.batches,
                                q->key.fenced,
                                q->key.owners,
                                q->key.stats,
                                q->key.paused,
                                queue_target(q, q->conf->result_list),
                                queue_target(q, q->conf->on_success),
                                queue_target(q, q->conf->on_failure),
                                queue_target(q, conf_put_away(q->conf))};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        redis_arg_text(c, keys[i]);
    ask_page(f, c, on_types);
}

static void on_entries(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    thread_assert(&on_master);
    struct fsck *f = data;
    bool page = is_page(r);
    if (!page && !redis_is_error(r, "WRONGTYPE")) /* which was said */
        fail(f, r);
    for (size_t i = 0; page && i < r->item[1].n; i += 2)
        if (is_text(&r->item[1].item[i]))
            check_batch(f, queue_now(f), f->no_scan ? "any" : "entry", r->item[1].item[i].str,
                        r->item[1].item[i].str);
    turn_page(f, page ? r->item[0].str : "0");
    answered(f);
}

static void RUNS_ON(on_master) ask_entries(struct fsck *f)
{
    struct redis_command *c = f->master->command;
    redis_begin(c, "HSCAN");
    redis_arg_text(c, queue_now(f)->key.batches);
    redis_arg_text(c, *f->cursor ? f->cursor : "0");
    redis_arg_text(c, "COUNT");
    redis_arg_text(c, PAGE);
    ask_page(f, c, on_entries);
}

static void on_owners(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    thread_assert(&on_master);
    struct fsck *f = data;
    bool page = is_page(r);
    if (!page && !redis_is_error(r, "WRONGTYPE"))
        fail(f, r);
    for (size_t i = 0; page && i < r->item[1].n; i += 2)
        if (is_text(&r->item[1].item[i]))
            check_owner(f, queue_now(f), f->no_scan ? "any" : "beat", r->item[1].item[i].str);
    turn_page(f, page ? r->item[0].str : "0");
    answered(f);
}

static void RUNS_ON(on_master) ask_owners(struct fsck *f)
{
    struct redis_command *c = f->master->command;
    redis_begin(c, "ZSCAN");
    redis_arg_text(c, queue_now(f)->key.owners);
    redis_arg_text(c, *f->cursor ? f->cursor : "0");
    redis_arg_text(c, "COUNT");
    redis_arg_text(c, PAGE);
    ask_page(f, c, on_owners);
}

static const char *records_key(const struct fsck *f)
{
    return f->step == STEP_RETRY ? queue_now(f)->key.retry : queue_now(f)->key.dead;
}

static void on_records(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    thread_assert(&on_master);
    struct fsck *f = data;
    char at[24] = "-1";
    bool page = r && r->type == REDIS_ARRAY && r->n && r->item[0].type == REDIS_INTEGER;
    if (!page && !redis_is_error(r, "WRONGTYPE"))
        fail(f, r);
    if (page)
        (void)snprintf(at, sizeof at, "%lld", (long long)r->item[0].integer);
    for (size_t i = 1; page && i + 1 < r->n; i += 2)
        find(f, r->item[i].str, queue_now(f)->conf->name, records_key(f), r->item[i + 1].str);
    turn_page(f, at);
    answered(f);
}

static void RUNS_ON(on_master) ask_records(struct fsck *f)
{
    struct redis_command *c = queue_script(queue_now(f), "fsck_records", 1);
    redis_arg_text(c, records_key(f));
    redis_arg_text(c, *f->cursor ? f->cursor : "0");
    redis_arg_text(c, PAGE);
    ask_page(f, c, on_records);
}

/* What is seen once may be on its way from a pop to its owner. */
static void on_passage(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    thread_assert(&on_master);
    struct fsck *f = data;
    struct queue *q = queue_now(f);
    bool full = r && r->type == REDIS_INTEGER && r->integer;
    if (!r)
        fail(f, r);
    if (full && !f->twice) {
        f->twice = true;
        f->pending--;
        return admin_later(f->call, PASSAGE_MS, go_on, f);
    }
    if (full)
        find(f, "popped", q->conf->name, q->key.popped, "");
    if (full && f->repair)
        claim_put_back(q);
    f->twice = false;
    turn_page(f, "0");
    answered(f);
}

static void RUNS_ON(on_master) ask_passage(struct fsck *f)
{
    struct redis_command *c = f->master->command;
    redis_begin(c, "LLEN");
    redis_arg_text(c, queue_now(f)->key.popped);
    ask_page(f, c, on_passage);
}

/* ---- the walk ---- */

static void RUNS_ON(on_master) end(struct fsck *f)
{
    if (f->repair)
        log_info("admin-fsck", "findings=%lld repaired=%lld", f->findings, f->repaired);
    if (f->failed)
        admin_fail(f->call, "fsck did not come to its end: %s", f->failed);
    else
        admin_ok(f->call,
                 json_pack("{s:I, s:I, s:I, s:I}", "found", (json_int_t)f->findings, "repaired",
                           (json_int_t)f->repaired, "keys", (json_int_t)f->keys, "of_queues",
                           (json_int_t)f->master->nqueues));
    free(f);
}

static void RUNS_ON(on_master) next(struct fsck *f)
{
    static void (*const steps[])(struct fsck * f) = {
        [STEP_SCAN] = ask_keys,      [STEP_TYPES] = ask_types,   [STEP_ENTRIES] = ask_entries,
        [STEP_OWNERS] = ask_owners,  [STEP_RETRY] = ask_records, [STEP_DEAD] = ask_records,
        [STEP_PASSAGE] = ask_passage};
    if (f->step > STEP_PASSAGE) {
        f->step = STEP_TYPES;
        f->queue++;
    }
    if (f->failed || admin_gone(f->call) || f->queue == f->master->nqueues)
        return end(f);
    steps[f->step](f);
    if (!f->pending)
        end(f); /* it could not be sent */
}

void admin_fsck(struct admin_call *c)
{
    struct fsck *f = calloc(1, sizeof *f);
    if (!f)
        return admin_fail(c, "no memory for the answer");
    f->call = c;
    f->master = admin_master(c);
    f->repair = admin_request(c)->repair;
    next(f);
}
