/* Every job of a queue, in one place: the ids of all that is in flight and not settled, waits for
 * its next try, or is dead, are read page by page and remembered, as many as memory allows a round.
 * One that was seen before is looked for in both places in one step: it may have moved meanwhile.
 * The list itself holds payloads, which have no id yet; it is not read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/admin_fsck.h"
#include "daemon/master.h"

/* Where: of two copies that of the larger number stays. Behind PLACE_BATCH: the number of a batch
 * among `fields`. At: the index in it; of records the score. */
enum { PLACE_DEAD, PLACE_RETRY, PLACE_BATCH };

/* ---- a job in two places ---- */

struct place { /* as the script gets it */
    char *key, *acked, *owner;
    const char *kind, *epoch;
    char at[32];
    struct entries field;
};

static void place_close(struct place *p)
{
    free(p->key);
    free(p->acked);
    free(p->owner);
    entries_clear(&p->field);
}

static void open_set(struct place *p, const struct keys *k, const char *kind)
{
    p->key = keys_join(k, kind, "");
    p->acked = keys_join(k, "none", "");
    p->owner = keys_join(k, "none", "");
    p->kind = "set";
    p->epoch = "";
}

static void open_batch(struct place *p, const struct keys *k, const char *field)
{
    if (!fsck_parse_field(field, &p->field))
        return; /* no memory: it was parsed before */
    const struct entry *e = p->field.at;
    p->key = keys_join(k, "inflight:", field);
    p->acked = keys_join(k, "acked:", field);
    p->owner = keys_join(k, "owner:", e->split);
    p->kind = e->records ? "records" : "list";
    p->epoch = e->epoch;
}

/* False: no memory. Closed in any case. */
static bool place_open(struct place *p, const struct fsck *f, struct id_place at)
{
    const struct keys *k = &fsck_queue(f)->key;
    *p = (struct place){0};
    (void)snprintf(p->at, sizeof p->at, "%.17g", at.at);
    if (at.where < PLACE_BATCH)
        open_set(p, k, at.where == PLACE_RETRY ? "retry" : "dead");
    else
        open_batch(p, k, f->fields[at.where - PLACE_BATCH]);
    return p->key && p->acked && p->owner;
}

static void add_keys(struct redis_command *c, const struct place *p)
{
    redis_arg_text(c, p->key);
    redis_arg_text(c, p->acked);
    redis_arg_text(c, p->owner);
}

static void add_place(struct redis_command *c, const struct place *p)
{
    redis_arg_text(c, p->kind);
    redis_arg_text(c, p->epoch);
    redis_arg_text(c, p->at);
}

static void RUNS_ON(on_master)
    check_twice(struct fsck *f, const char *id, const struct place *one, const struct place *other)
{
    char detail[ERR_TEXT_MAX];
    struct redis_command *c = queue_script(fsck_queue(f), "fsck_twice", 6);
    add_keys(c, one);
    add_keys(c, other);
    redis_arg_text(c, id);
    redis_arg_text(c, f->repair ? "1" : "0");
    add_place(c, one);
    add_place(c, other);
    (void)snprintf(detail, sizeof detail, "job %.100s, also in %s", id, one->key);
    fsck_check(f, fsck_queue(f), NULL, other->key, detail, c);
}

static int kind_of(struct id_place p)
{
    return p.where < PLACE_BATCH ? (int)p.where : PLACE_BATCH;
}

/* A page may bring a batch twice. */
static bool is_same(const struct fsck *f, struct id_place a, struct id_place b)
{
    return kind_of(a) == PLACE_BATCH && kind_of(b) == PLACE_BATCH && a.at == b.at &&
           strcmp(f->fields[a.where - PLACE_BATCH], f->fields[b.where - PLACE_BATCH]) == 0;
}

/* Of two records in one set the later one stays. */
static bool second_stays(struct id_place first, struct id_place second)
{
    if (kind_of(first) != kind_of(second))
        return kind_of(second) > kind_of(first);
    return kind_of(second) < PLACE_BATCH && second.at > first.at;
}

static void RUNS_ON(on_master) seen(struct fsck *f, const char *id, struct id_place at)
{
    struct id_place first;
    int r = ids_put(f->ids, id, strlen(id), at, &first);
    if (r < 0)
        return fsck_no_memory(f);
    if (r == 0 || is_same(f, first, at))
        return;
    struct place one, other;
    bool second = second_stays(first, at);
    bool ok = place_open(&one, f, second ? at : first);
    ok = place_open(&other, f, second ? first : at) && ok;
    if (ok)
        check_twice(f, id, &one, &other);
    else
        fsck_no_memory(f);
    place_close(&one);
    place_close(&other);
}

/* Three items a job: where it stands, what is wrong with it, and its id; behind the first one. */
static void RUNS_ON(on_master)
    see_all(struct fsck *f, const struct redis_reply *r, uint32_t where, const char *key)
{
    for (size_t i = 1; i + 2 < r->n; i += 3) {
        const struct redis_reply *at = &r->item[i], *what = at + 1, *id = at + 2;
        if (at->type != REDIS_STRING || what->type != REDIS_STRING || id->type != REDIS_STRING)
            continue;
        if (!what->len)
            seen(f, id->str, (struct id_place){where, strtod(at->str, NULL)});
        else if (!f->round)
            fsck_find(f, what->str, fsck_queue(f)->conf->name, key, id->str);
    }
}

/* The shape of such an answer; else it is the end of the page, or of fsck. */
static bool RUNS_ON(on_master) is_page(struct fsck *f, const struct redis_reply *r)
{
    bool page = r && r->type == REDIS_ARRAY && r->n && r->item[0].type == REDIS_INTEGER;
    if (!page && !redis_is_error(r, "WRONGTYPE")) /* which was said */
        fsck_fail(f, r);
    return page;
}

/* ---- in flight ---- */

void fsck_forget_jobs(struct fsck *f)
{
    for (size_t i = 0; i < f->nfields; i++)
        free(f->fields[i]);
    free(f->fields);
    f->fields = NULL;
    f->nfields = f->room = 0;
    entries_clear(&f->batches);
}

static bool remember_field(struct fsck *f, const char *field)
{
    if (f->nfields == f->room) {
        size_t room = f->room ? f->room * 2 : 64;
        char **more = realloc(f->fields, room * sizeof *more);
        if (!more)
            return false;
        f->fields = more;
        f->room = room;
    }
    f->fields[f->nfields] = strdup(field);
    return f->fields[f->nfields] && ++f->nfields;
}

static void next_batch(struct fsck *f)
{
    char cursor[sizeof f->cursor];
    f->from = 0;
    if (++f->batch < f->batches.n)
        return;
    entries_clear(&f->batches);
    memcpy(cursor, f->cursor, sizeof cursor);
    fsck_turn_page(f, cursor);
}

static void on_jobs(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    thread_assert(&on_master);
    struct fsck *f = data;
    bool page = is_page(f, r);
    char *list = keys_join(&fsck_queue(f)->key, "inflight:", f->batches.at[f->batch].field);
    if (page && list)
        see_all(f, r, PLACE_BATCH + (uint32_t)f->nfields - 1, list);
    else if (page)
        fsck_no_memory(f);
    free(list);
    f->from = page ? r->item[0].integer : -1;
    if (f->from < 0)
        next_batch(f);
    fsck_answered(f);
}

static void RUNS_ON(on_master) ask_jobs(struct fsck *f)
{
    struct queue *q = fsck_queue(f);
    const struct entry *e = &f->batches.at[f->batch];
    char *list = keys_join(&q->key, "inflight:", e->field),
         *acked = keys_join(&q->key, "acked:", e->field);
    if (list && acked && (f->from || remember_field(f, e->field))) {
        struct redis_command *c = queue_script(q, "fsck_jobs", 3);
        redis_arg_text(c, list);
        redis_arg_text(c, acked);
        redis_arg_text(c, q->key.batches);
        redis_arg_text(c, e->field);
        redis_arg_text(c, e->records ? "1" : "0");
        redis_arg_int(c, f->from);
        redis_arg_text(c, FSCK_RECORDS);
        fsck_ask(f, c, on_jobs);
    } else {
        fsck_no_memory(f);
    }
    free(list);
    free(acked);
}

static void on_batches(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    thread_assert(&on_master);
    struct fsck *f = data;
    bool page = fsck_has_page(f, r);
    if (page && entries_add(&f->batches, &r->item[1]) < 0)
        fsck_no_memory(f);
    f->batch = 0;
    f->from = 0;
    if (f->batches.n)
        (void)snprintf(f->cursor, sizeof f->cursor, "%s", r->item[0].str);
    else
        fsck_turn_page(f, page ? r->item[0].str : "0");
    fsck_answered(f);
}

/* A batch after the other, and the next page of them. */
void fsck_ask_inflight(struct fsck *f)
{
    if (f->batches.n)
        return ask_jobs(f);
    fsck_ask_page(f, "HSCAN", fsck_queue(f)->key.batches, on_batches);
}

/* ---- retries and dead letters ---- */

static const char *records_key(const struct fsck *f)
{
    const struct keys *k = &fsck_queue(f)->key;
    return f->step == FSCK_RETRY ? k->retry : k->dead;
}

static void on_records(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    thread_assert(&on_master);
    struct fsck *f = data;
    char at[sizeof f->cursor] = "-1";
    if (is_page(f, r)) {
        (void)snprintf(at, sizeof at, "%lld", (long long)r->item[0].integer);
        see_all(f, r, f->step == FSCK_RETRY ? PLACE_RETRY : PLACE_DEAD, records_key(f));
    }
    fsck_turn_page(f, at);
    fsck_answered(f);
}

void fsck_ask_records(struct fsck *f)
{
    long long at = strtoll(f->cursor, NULL, 10) - f->removed;
    f->removed = 0;
    struct redis_command *c = queue_script(fsck_queue(f), "fsck_records", 1);
    redis_arg_text(c, records_key(f));
    redis_arg_int(c, at > 0 ? at : 0);
    redis_arg_text(c, FSCK_RECORDS);
    fsck_ask(f, c, on_records);
}
