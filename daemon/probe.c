#include "daemon/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/master.h"
#include "daemon/queue.h"

/* The plain commands, on a key that never exists; the answer's error names the one that is refused.
 */
static const char *const plain[][6] = {
    {"EVAL", "return 1", "1", "KEY"},
    {"HSCAN", "KEY", "0"},
    {"LRANGE", "KEY", "0", "0"},
    {"HGETALL", "KEY"},
    {"LLEN", "KEY"},
    {"GET", "KEY"},
};

/* Asked at the first queue alone: an idle Redis ends it only after up to 100 ms. Of many queues
 * none is popped by blocking: their keys are tracked. */
static const char *const pop[6] = {"BLMOVE", "KEY", "KEY", "RIGHT", "LEFT", "0.001"};
static const char *const tracked[][6] = {{"PTTL", "KEY"}, {"ZCARD", "KEY"}};

static bool is_refusal(const struct redis_reply *r)
{
    return redis_is_error(r, "NOPERM");
}

static void RUNS_ON(on_master) refuse(struct queue *q, const char *what)
{
    char why[ERR_TEXT_MAX];
    (void)snprintf(
        why, sizeof why,
        "the Redis user lacks rights that queue '%.60s' needs: %s; grant them with ACL SETUSER",
        q->conf->name, what);
    master_refuse(q->master, 78, why);
}

static void on_plain(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    thread_assert(&on_master);
    if (is_refusal(r))
        refuse(data, r->str);
}

/* A list of the user's that something is pushed to. */
struct target {
    struct queue *queue;
    const char *setting, *list;
};

static void on_target(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    thread_assert(&on_master);
    struct target *t = data;
    char what[100];
    (void)snprintf(what, sizeof what, "~%.60s (%.20s)", t->list, t->setting);
    if (is_refusal(r))
        refuse(t->queue, what);
    free(t);
}

/* Moves nothing: what it would move does not exist. */
static void RUNS_ON(on_master) try_target(struct queue *q, const char *setting, const char *list)
{
    struct target *t = list[0] ? malloc(sizeof *t) : NULL;
    if (!t)
        return; /* without memory to ask: refusals are logged where they come */
    *t = (struct target){q, setting, list};
    struct redis_command *c = q->master->command;
    redis_begin(c, "LMOVE");
    redis_arg_text(c, q->key.none);
    redis_arg_text(c, list);
    redis_arg_text(c, "RIGHT");
    redis_arg_text(c, "LEFT");
    if (redis_send(q->master->control, c, 0, on_target, t) < 0)
        free(t);
}

static void on_scripts(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    thread_assert(&on_master);
    struct queue *q = data;
    q->probed = r != NULL; /* cut: asked again on the next connection */
    if (!r)
        return;
    /* A script's first command is UNLINK: a refusal that names nothing is its own. */
    if (is_refusal(r))
        refuse(q, strstr(r->str, "can't run") ? "UNLINK" : r->str);
    else if (r->type == REDIS_STRING && r->len)
        refuse(q, r->str);
    owner_kick(q); /* only now: who is refused leaves nothing in Redis */
}

static void RUNS_ON(on_master) try_plain(struct queue *q, const char *const words[6])
{
    struct redis_command *c = q->master->command;
    redis_begin(c, words[0]);
    for (size_t n = 1; n < 6 && words[n]; n++)
        redis_arg_text(c, strcmp(words[n], "KEY") == 0 ? q->key.none : words[n]);
    (void)redis_send(q->master->control, c, 0, on_plain, q);
}

void probe_rights(struct queue *q)
{
    struct redis_link *control = q->master->control;
    if (q->probed)
        return;
    for (size_t i = 0; q->master->many && i < sizeof tracked / sizeof *tracked; i++)
        try_plain(q, tracked[i]);
    if (!q->master->many && q == q->master->queues[0])
        try_plain(q, pop);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        try_plain(q, plain[i]);
    try_target(q, "result.list", q->conf->result_list);
    try_target(q, "on_success", q->conf->on_success);
    try_target(q, "on_failure", q->conf->on_failure);
    try_target(q, "recoveries_to", conf_put_away(q->conf));
    struct redis_command *c = queue_script(q, "probe", 11);
    const char *const keys[] = {q->key.queue,  q->key.owner,  q->key.owners,  q->key.fenced,
                                q->key.paused, q->key.popped, q->key.batches, q->key.stats,
                                q->key.retry,  q->key.dead,   q->key.delayed};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        redis_arg_text(c, keys[i]);
    if (redis_send(control, c, 0, on_scripts, q) == 0)
        return;
    q->probed = true; /* no memory to ask: refusals are logged where they come */
    owner_kick(q);
}
