/* fsck: is every job in one place, and is every key somebody's? First all keys; then each queue:
 * types, entries, owners, jobs, passage. Each page is asked for when the one before is judged and
 * the client has read enough. */
#include "daemon/admin_fsck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "daemon/master.h"

#define PASSAGE_MS 300              /* what is in passage for so long ... */
#define PASSAGE_LOOKS 3             /* ... each time is not on its way */
#define IDS_SLOTS ((size_t)1 << 20) /* 24 MiB, where there are 400,000 ids or more */

struct check { /* one script that is out */
    struct fsck *fsck;
    struct queue *queue;             /* NULL: of a queue that is not in the configuration */
    const char *name, *key, *detail; /* in `text` */
    char text[];
};

static void RUNS_ON(on_master) next(struct fsck *f);

struct queue *fsck_queue(const struct fsck *f)
{
    return f->master->queues[f->queue];
}

/* ---- findings ---- */

void fsck_find(struct fsck *f, const char *kind, const char *queue, const char *key,
               const char *detail)
{
    bool repaired;
    json_t *o = finding_json(kind, queue, key, detail, f->repair, &repaired);
    f->findings++;
    f->repaired += repaired;
    admin_item(f->call, o);
}

void fsck_fail(struct fsck *f, const struct redis_reply *r)
{
    (void)snprintf(f->why, sizeof f->why, "%s",
                   r && r->type == REDIS_ERROR ? r->str : "Redis does not answer");
    f->failed = f->why;
}

void fsck_no_memory(struct fsck *f)
{
    f->failed = "no memory";
}

/* ---- asking ---- */

static void go_on(struct admin_call *c, void *data)
{
    (void)c;
    thread_assert(&on_master);
    next(data);
}

void fsck_answered(struct fsck *f)
{
    if (--f->pending == 0)
        admin_resume(f->call, go_on, f);
}

/* fn gets the answer and data, where it was sent. */
static bool RUNS_ON(on_master) ask(struct fsck *f, struct redis_command *c, redis_fn fn, void *data)
{
    bool sent = redis_send(f->master->work, c, 0, fn, data) == 0;
    if (sent)
        f->pending++;
    else
        fsck_fail(f, NULL);
    return sent;
}

void fsck_ask(struct fsck *f, struct redis_command *c, redis_fn fn)
{
    (void)ask(f, c, fn, f);
}

/* ---- one check ---- */

/* A line each: the kind and, behind a blank, more. */
static void RUNS_ON(on_master) told(struct fsck *f, const struct check *k, const char *lines)
{
    for (const char *line = lines; *line; line += *line == '\n') {
        char kind[32], more[ERR_TEXT_MAX];
        size_t len = strcspn(line, "\n"), n = strcspn(line, " \n");
        (void)snprintf(kind, sizeof kind, "%.*s", (int)n, line);
        (void)snprintf(more, sizeof more, "%.*s", (int)(len - n - (n < len)), line + n + (n < len));
        fsck_find(f, kind, k->name, k->key, *more ? more : k->detail);
        line += len;
    }
    if (*lines && f->repair && k->queue) {
        f->removed++;
        recover_start(k->queue, false); /* what became visible is taken */
    }
}

static void on_check(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    thread_assert(&on_master);
    struct check *k = data;
    struct fsck *f = k->fsck;
    bool foreign = !k->queue && redis_is_error(r, "NOPERM"); /* it is for others to judge */
    if (redis_is_error(r, "WRONGTYPE"))
        fsck_find(f, "wrong-type", k->name, k->key, r->str);
    else if (!foreign && (!r || r->type != REDIS_STRING))
        fsck_fail(f, r);
    else if (!foreign)
        told(f, k, r->str);
    free(k);
    fsck_answered(f);
}

static struct check *check_new(struct fsck *f, struct queue *q, const char *name, const char *key,
                               const char *detail)
{
    size_t a = strlen(name) + 1, b = strlen(key) + 1, c = strlen(detail) + 1;
    struct check *k = malloc(sizeof *k + a + b + c);
    if (!k)
        return NULL;
    *k = (struct check){
        .fsck = f, .queue = q, .name = k->text, .key = k->text + a, .detail = k->text + a + b};
    memcpy(k->text, name, a);
    memcpy(k->text + a, key, b);
    memcpy(k->text + a + b, detail, c);
    return k;
}

void fsck_check(struct fsck *f, struct queue *q, const char *name, const char *key,
                const char *detail, struct redis_command *c)
{
    struct check *k = check_new(f, q, q ? q->conf->name : name, key, detail);
    if (!k)
        return fsck_no_memory(f);
    if (!ask(f, c, on_check, k))
        free(k);
}

bool fsck_parse_field(const char *field, struct entries *ret)
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

void fsck_check_batch(struct fsck *f, struct queue *q, const char *part, const char *field,
                      const char *key)
{
    struct entries parsed;
    if (!fsck_parse_field(field, &parsed)) {
        entries_clear(&parsed);
        return fsck_find(f, strcmp(part, "entry") == 0 ? "bad-field" : "unknown", q->conf->name,
                         key, "");
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
        fsck_check(f, q, NULL, key, "", c);
    } else {
        fsck_no_memory(f);
    }
    free(list);
    free(acked);
    free(owner);
    entries_clear(&parsed);
}

void fsck_check_owner(struct fsck *f, struct queue *q, const char *part, const char *instance)
{
    char *owner = keys_join(&q->key, "owner:", instance);
    if (!owner)
        return fsck_no_memory(f);
    struct redis_command *c = queue_script(q, "fsck_owner", 2);
    redis_arg_text(c, owner);
    redis_arg_text(c, q->key.owners);
    redis_arg_text(c, part);
    redis_arg_text(c, instance);
    redis_arg_text(c, f->repair ? "1" : "0");
    fsck_check(f, q, NULL, owner, "", c);
    free(owner);
}

/* ---- pages ---- */

bool fsck_is_page(const struct redis_reply *r)
{
    return r && r->type == REDIS_ARRAY && r->n == 2 && r->item[0].type == REDIS_STRING &&
           r->item[1].type == REDIS_ARRAY;
}

bool fsck_is_text(const struct redis_reply *r)
{
    return r->type == REDIS_STRING && strlen(r->str) == r->len;
}

/* Behind the jobs there may be a further round of them. */
static void end_step(struct fsck *f)
{
    if (f->step == FSCK_SCAN)
        while (ids_next_round(f->ids))
            continue;
    if (f->step++ != FSCK_DEAD)
        return;
    fsck_forget_jobs(f);
    bool more = ids_next_round(f->ids);
    f->round = more ? f->round + 1 : 0;
    if (more)
        f->step = FSCK_INFLIGHT;
}

void fsck_ask_page(struct fsck *f, const char *scan, const char *key, redis_fn fn)
{
    struct redis_command *c = f->master->command;
    redis_begin(c, scan);
    redis_arg_text(c, key);
    redis_arg_text(c, *f->cursor ? f->cursor : "0");
    redis_arg_text(c, "COUNT");
    redis_arg_text(c, FSCK_PAGE);
    fsck_ask(f, c, fn);
}

bool fsck_has_page(struct fsck *f, const struct redis_reply *r)
{
    bool page = fsck_is_page(r);
    if (!page && !redis_is_error(r, "WRONGTYPE")) /* which was said */
        fsck_fail(f, r);
    return page;
}

void fsck_turn_page(struct fsck *f, const char *cursor)
{
    bool last = strcmp(cursor, "0") == 0 || strcmp(cursor, "-1") == 0;
    (void)snprintf(f->cursor, sizeof f->cursor, "%s", last ? "" : cursor);
    if (last)
        end_step(f);
}

/* ---- one queue ---- */

static void on_types(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    thread_assert(&on_master);
    struct fsck *f = data;
    if (!r || r->type != REDIS_ARRAY)
        fsck_fail(f, r);
    for (size_t i = 0; r && r->type == REDIS_ARRAY && i + 1 < r->n; i += 2)
        if (fsck_is_text(&r->item[i]) && fsck_is_text(&r->item[i + 1]))
            fsck_find(f, r->item[i].str, fsck_queue(f)->conf->name, r->item[i + 1].str, "");
    fsck_turn_page(f, "0");
    fsck_answered(f);
}

static void RUNS_ON(on_master) ask_types(struct fsck *f)
{
    struct queue *q = fsck_queue(f);
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
    redis_arg_text(c, f->repair ? "1" : "0");
    fsck_ask(f, c, on_types);
}

static void on_entries(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    thread_assert(&on_master);
    struct fsck *f = data;
    bool page = fsck_has_page(f, r);
    for (size_t i = 0; page && i < r->item[1].n; i += 2)
        if (fsck_is_text(&r->item[1].item[i]))
            fsck_check_batch(f, fsck_queue(f), f->no_scan ? "any" : "entry", r->item[1].item[i].str,
                             r->item[1].item[i].str);
    fsck_turn_page(f, page ? r->item[0].str : "0");
    fsck_answered(f);
}

static void RUNS_ON(on_master) ask_entries(struct fsck *f)
{
    fsck_ask_page(f, "HSCAN", fsck_queue(f)->key.batches, on_entries);
}

static void on_owners(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    thread_assert(&on_master);
    struct fsck *f = data;
    bool page = fsck_has_page(f, r);
    for (size_t i = 0; page && i < r->item[1].n; i += 2)
        if (fsck_is_text(&r->item[1].item[i]))
            fsck_check_owner(f, fsck_queue(f), f->no_scan ? "any" : "beat", r->item[1].item[i].str);
    fsck_turn_page(f, page ? r->item[0].str : "0");
    fsck_answered(f);
}

static void RUNS_ON(on_master) ask_owners(struct fsck *f)
{
    fsck_ask_page(f, "ZSCAN", fsck_queue(f)->key.owners, on_owners);
}

/* What is seen once may be on its way from a pop to its owner. */
static void on_passage(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    thread_assert(&on_master);
    struct fsck *f = data;
    struct queue *q = fsck_queue(f);
    bool full = r && r->type == REDIS_INTEGER && r->integer;
    if (!r)
        fsck_fail(f, r);
    if (full && ++f->full < PASSAGE_LOOKS) {
        f->pending--;
        return admin_later(f->call, PASSAGE_MS, go_on, f);
    }
    if (full)
        fsck_find(f, "popped", q->conf->name, q->key.popped, "");
    if (full && f->repair)
        passage_clear(q);
    f->full = 0;
    fsck_turn_page(f, "0");
    fsck_answered(f);
}

static void RUNS_ON(on_master) ask_passage(struct fsck *f)
{
    struct redis_command *c = f->master->command;
    redis_begin(c, "LLEN");
    redis_arg_text(c, fsck_queue(f)->key.popped);
    fsck_ask(f, c, on_passage);
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
    fsck_forget_jobs(f);
    (void)ids_free(f->ids);
    free(f);
}

static void RUNS_ON(on_master) next(struct fsck *f)
{
    static void (*const steps[FSCK_STEPS])(struct fsck * f) = {
        [FSCK_SCAN] = fsck_ask_keys,         [FSCK_TYPES] = ask_types,
        [FSCK_ENTRIES] = ask_entries,        [FSCK_OWNERS] = ask_owners,
        [FSCK_INFLIGHT] = fsck_ask_inflight, [FSCK_RETRY] = fsck_ask_records,
        [FSCK_DEAD] = fsck_ask_records,      [FSCK_PASSAGE] = ask_passage};
    if (f->step == FSCK_STEPS) {
        f->step = FSCK_TYPES;
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
    struct ids *ids = f ? ids_new(IDS_SLOTS) : NULL;
    if (!ids) {
        free(f);
        return admin_fail(c, "no memory for the answer");
    }
    *f = (struct fsck){
        .call = c, .master = admin_master(c), .ids = ids, .repair = admin_request(c)->repair};
    next(f);
}
