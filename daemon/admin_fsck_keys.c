/* All keys of ours, by SCAN: batches, bits and owners are judged; what belongs to no queue of this
 * daemon must be some other daemon's. */
#include <stdlib.h>
#include <string.h>

#include "daemon/admin_fsck.h"
#include "daemon/master.h"
#include "daemon/script.h"

/* The longest prefix counts: one queue's may begin another's. `kind`: only where what follows is
 * known. */
static struct queue *queue_of(const struct master *m, const char *key, bool kind,
                              const char **ret_rest)
{
    size_t best = 0;
    struct queue *found = NULL;
    for (size_t i = 0; i < m->nqueues; i++) {
        const char *prefix = m->queues[i]->key.prefix;
        size_t len = strlen(prefix);
        if (len > best && strncmp(key, prefix, len) == 0 && (!kind || keys_is_kind(key + len))) {
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

/* ---- queues that are not in the configuration ---- */

static void RUNS_ON(on_master) judge_stranger(struct fsck *f, const char *name, const char *key)
{
    struct keys k;
    if (keys_init(&k, name, "") < 0)
        return fsck_no_memory(f);
    struct redis_command *c = f->master->command;
    const char *const keys[] = {k.none, key, k.owners, k.batches, k.popped, k.retry, k.dead};
    redis_begin_script(c, script_find("fsck_queue"), sizeof keys / sizeof *keys);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        redis_arg_text(c, keys[i]);
    fsck_check(f, NULL, name, key, "", c);
    keys_deinit(&k);
}

/* What lies there while its daemon is stopped, or has nothing to do with it, is nobody's business:
 * counters, dead letters, results, a pause, what the user delays. */
static bool rests(const char *rest)
{
    static const char *const kinds[] = {"stats", "dead", "fenced", "paused", "delayed", "result:"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (behind(rest, kinds[i]))
            return true;
    return false;
}

/* Each queue is judged by the first of its keys that needs a daemon. */
static void RUNS_ON(on_master)
    stranger(struct fsck *f, const char *name, size_t len, const char *key)
{
    struct id_place first;
    int r = ids_put(f->ids, name, len, (struct id_place){0}, &first);
    char *copy = r == 0 ? strndup(name, len) : NULL;
    if (copy)
        judge_stranger(f, copy, key);
    else if (r <= 0)
        fsck_no_memory(f);
    free(copy);
}

/* ---- a key ---- */

static void RUNS_ON(on_master) nobodys(struct fsck *f, const char *key)
{
    size_t len;
    const char *rest, *name = keys_queue(key, &len);
    if (name) /* behind it: } or nothing, and : */
        return rests(strchr(name + len, ':') + 1) ? (void)0 : stranger(f, name, len, key);
    const struct queue *q = queue_of(f->master, key, false, &rest);
    fsck_find(f, "unknown", q ? q->conf->name : "", key, "");
}

static void RUNS_ON(on_master) look_at_key(struct fsck *f, const char *key)
{
    const char *rest, *name;
    struct queue *q = queue_of(f->master, key, true, &rest);
    if (!q)
        return nobodys(f, key);
    f->keys++;
    if ((name = behind(rest, "inflight:")))
        fsck_check_batch(f, q, "list", name, key);
    else if ((name = behind(rest, "acked:")))
        fsck_check_batch(f, q, "acked", name, key);
    else if ((name = behind(rest, "owner:")))
        fsck_check_owner(f, q, "key", name);
}

/* ---- all of them ---- */

static void on_keys(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    thread_assert(&on_master);
    struct fsck *f = data;
    f->no_scan = redis_is_error(r, "NOPERM");
    if (f->no_scan) {
        fsck_find(f, "no-scan", "", "", r->str);
        fsck_turn_page(f, "0");
    } else if (!fsck_is_page(r)) {
        fsck_fail(f, r);
    } else {
        for (size_t i = 0; i < r->item[1].n; i++)
            if (fsck_is_text(&r->item[1].item[i]))
                look_at_key(f, r->item[1].item[i].str);
        fsck_turn_page(f, r->item[0].str); /* behind the last one `ids` is emptied */
    }
    fsck_answered(f);
}

void fsck_ask_keys(struct fsck *f)
{
    struct redis_command *c = f->master->command;
    redis_begin(c, "SCAN");
    redis_arg_text(c, *f->cursor ? f->cursor : "0");
    redis_arg_text(c, "MATCH");
    redis_arg_text(c, "rpopd:*");
    redis_arg_text(c, "COUNT");
    redis_arg_text(c, FSCK_PAGE);
    fsck_ask(f, c, on_keys);
}
