/* The dead letters, a page of at most 1 MiB at a time: listed, shown, replayed, dropped. Each page
 * is the answer to the one before, and is asked for once the client has read enough. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"
#include "common/log.h"
#include "daemon/admin.h"
#include "daemon/master.h"
#include "daemon/queue.h"

#define PAGE 100
#define LIST_DEFAULT 100
#define PIECE_BYTES 262144 /* of a payload */

struct dead {
    struct admin_call *call;
    struct queue *queue;
    char cursor[24]; /* of a scan, or a rank */
    long long at, left;
    double newest; /* what came since is not listed in between */
    long long took, bad;
    void (*next)(struct dead *d);
    void (*answered)(struct dead *d, const struct redis_reply *r);
};

static void on_page(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    thread_assert(&on_master);
    struct dead *d = data;
    if (r && r->type == REDIS_ARRAY && r->n)
        return d->answered(d, r);
    admin_refused(d->call, r);
    free(d);
}

static void RUNS_ON(on_master) ask(struct dead *d, struct redis_command *c)
{
    if (redis_send(d->queue->master->work, c, 0, on_page, d) == 0)
        return;
    admin_refused(d->call, NULL);
    free(d);
}

static void end(struct dead *d, json_t *more)
{
    thread_assert(&on_master);
    admin_ok(d->call, more);
    free(d);
}

static void go_on(struct admin_call *c, void *data)
{
    thread_assert(&on_master);
    struct dead *d = data;
    if (admin_gone(c))
        end(d, NULL);
    else
        d->next(d);
}

static struct dead *begin(struct admin_call *c, void (*next)(struct dead *d),
                          void (*answered)(struct dead *d, const struct redis_reply *r))
{
    thread_assert(&on_master);
    struct queue *q = admin_queue(c);
    struct dead *d = q ? calloc(1, sizeof *d) : NULL;
    if (d)
        *d =
            (struct dead){.call = c, .queue = q, .cursor = "0", .next = next, .answered = answered};
    else if (q)
        admin_fail(c, "no memory for the answer");
    return d;
}

static const char *text_at(const struct redis_reply *r, size_t i)
{
    return r->item[i].type == REDIS_STRING ? r->item[i].str : "";
}

static void set_cursor(struct dead *d, const char *text)
{
    (void)snprintf(d->cursor, sizeof d->cursor, "%s", text);
}

/* ---- a letter as JSON ---- */

static json_t *number_at(const struct redis_reply *r, size_t i)
{
    return json_integer((json_int_t)strtod(text_at(r, i), NULL));
}

/* A long one was cut by the script, within its last member: its output. */
static json_t *load_evidence(const char *text, size_t len)
{
    static const char last[] = ",\"output"; /* within a string the quote would be escaped */
    json_t *evidence = json_loadb(text, len, JSON_ALLOW_NUL, NULL);
    const char *cut = evidence ? NULL : memmem(text, len, last, sizeof last - 1);
    char *whole;
    if (!cut || asprintf(&whole, "%.*s}", (int)(cut - text), text) < 0)
        return evidence;
    evidence = json_loads(whole, JSON_ALLOW_NUL, NULL);
    free(whole);
    return evidence;
}

/* What the evidence says, beside the record's own fields. */
static void add_evidence(json_t *o, const struct redis_reply *text)
{
    json_t *evidence = text->type == REDIS_STRING ? load_evidence(text->str, text->len) : NULL;
    (void)json_object_set_new(o, "reason", json_null());
    if (json_is_object(evidence))
        (void)json_object_update(o, evidence);
    json_decref(evidence);
}

/* at: of the time of death; id, attempt, first, last and evidence follow. */
static json_t *letter(const struct redis_reply *r, size_t at)
{
    const struct redis_reply *id = &r->item[at + 1];
    json_t *o = json_object();
    add_evidence(o, &r->item[at + 5]);
    (void)json_object_set_new(o, "id", admin_text(id->str, id->len));
    (void)json_object_set_new(o, "died_ms", number_at(r, at));
    (void)json_object_set_new(o, "attempts", number_at(r, at + 2));
    (void)json_object_set_new(o, "first_ms", number_at(r, at + 3));
    (void)json_object_set_new(o, "last_ms", number_at(r, at + 4));
    (void)json_object_set_new(o, "payload_bytes", json_integer(r->item[at + 6].integer));
    return o;
}

static bool is_letter(const struct redis_reply *r, size_t at)
{
    bool whole = r->type == REDIS_ARRAY && r->n >= at + 7 && r->item[at + 6].type == REDIS_INTEGER;
    for (size_t i = 0; i < 6 && whole; i++)
        whole = r->item[at + i].type == REDIS_STRING;
    return whole;
}

/* ---- list ---- */

static void list_item(struct dead *d, const struct redis_reply *r)
{
    if (r->type != REDIS_ARRAY || r->n < 2)
        return;
    double score = strtod(text_at(r, 0), NULL);
    if (d->at && score > d->newest)
        return;
    d->newest = score;
    if (is_letter(r, 0))
        return admin_item(d->call, letter(r, 0));
    admin_item(d->call, json_pack("{s:n, s:o, s:o}", "id", "died_ms", number_at(r, 0), "unreadable",
                                  admin_text(text_at(r, 1), strlen(text_at(r, 1)))));
}

static void list_answered(struct dead *d, const struct redis_reply *r)
{
    thread_assert(&on_master);
    json_int_t total = r->item[0].integer;
    for (size_t i = 1; i < r->n; i++)
        list_item(d, &r->item[i]);
    d->at += (long long)r->n - 1;
    d->left -= (long long)r->n - 1;
    if (r->n == 1 || d->left <= 0)
        end(d, json_pack("{s:I}", "total", total));
    else
        admin_resume(d->call, go_on, d);
}

static void list_next(struct dead *d)
{
    thread_assert(&on_master);
    struct redis_command *c = queue_script(d->queue, "dead_list", 1);
    redis_arg_text(c, d->queue->key.dead);
    redis_arg_int(c, d->at);
    redis_arg_int(c, d->left < PAGE ? d->left : PAGE);
    ask(d, c);
}

void admin_dead_list(struct admin_call *c)
{
    struct dead *d = begin(c, list_next, list_answered);
    if (!d)
        return;
    d->left = admin_request(c)->limit ? admin_request(c)->limit : LIST_DEFAULT;
    list_next(d);
}

/* ---- show ---- */

static void RUNS_ON(on_master) no_letter(struct dead *d)
{
    admin_fail(d->call,
               "no dead letter %s lies in queue '%s': rpopctl dead list names those that do",
               admin_request(d->call)->id, d->queue->conf->name);
    free(d);
}

static void RUNS_ON(on_master) unreadable(struct dead *d)
{
    admin_fail(d->call,
               "the record of %s cannot be read: a newer version or somebody else wrote it; it is "
               "left alone",
               admin_request(d->call)->id);
    free(d);
}

static json_t *piece(const struct redis_reply *r)
{
    char *text = r->type == REDIS_STRING ? base64_encode(r->str, r->len) : NULL;
    json_t *item = text ? json_pack("{s:s}", "piece_base64", text) : NULL;
    free(text);
    return item;
}

static void show_answered(struct dead *d, const struct redis_reply *r)
{
    thread_assert(&on_master);
    if (r->n == 1) {
        set_cursor(d, text_at(r, 0));
        return strcmp(d->cursor, "0") == 0 ? no_letter(d) : d->next(d);
    }
    if (r->n != 9 || !is_letter(r, 1))
        return unreadable(d);
    if (!d->at)
        admin_item(d->call, letter(r, 1));
    admin_item(d->call, piece(&r->item[8]));
    d->at += PIECE_BYTES;
    if (d->at >= r->item[7].integer)
        end(d, NULL);
    else
        admin_resume(d->call, go_on, d);
}

static void show_next(struct dead *d)
{
    thread_assert(&on_master);
    struct redis_command *c = queue_script(d->queue, "dead_show", 1);
    redis_arg_text(c, d->queue->key.dead);
    redis_arg_text(c, admin_request(d->call)->id);
    redis_arg_text(c, d->cursor);
    redis_arg_int(c, d->at);
    redis_arg_int(c, PIECE_BYTES);
    ask(d, c);
}

void admin_dead_show(struct admin_call *c)
{
    struct dead *d = begin(c, show_next, show_answered);
    if (d)
        show_next(d);
}

/* ---- retry, drop ---- */

static const char *what_of(const struct dead *d)
{
    return admin_request(d->call)->command == ADMIN_DEAD_RETRY ? "retry" : "drop";
}

static void RUNS_ON(on_master) taken(struct dead *d)
{
    const struct admin_request *r = admin_request(d->call);
    log_info("admin-dead", "queue='%s' what=%s id=%s jobs=%lld", d->queue->conf->label, what_of(d),
             *r->id ? r->id : "all", d->took);
    end(d, json_pack("{s:I, s:I}", r->command == ADMIN_DEAD_RETRY ? "retried" : "dropped",
                     (json_int_t)d->took, "unreadable", (json_int_t)d->bad));
}

static void RUNS_ON(on_master) took_by_id(struct dead *d)
{
    if (d->took)
        taken(d);
    else if (d->bad)
        unreadable(d);
    else if (strcmp(d->cursor, "0") == 0)
        no_letter(d);
    else
        d->next(d);
}

static void take_answered(struct dead *d, const struct redis_reply *r)
{
    thread_assert(&on_master);
    if (r->n != 4) {
        admin_refused(d->call, r);
        free(d);
        return;
    }
    long long went = r->item[1].integer + r->item[2].integer;
    set_cursor(d, text_at(r, 0));
    d->took += r->item[1].integer;
    d->bad += r->item[2].integer;
    if (*admin_request(d->call)->id)
        return took_by_id(d);
    if (!d->at++ && r->item[1].integer + r->item[3].integer < d->left)
        d->left = r->item[1].integer + r->item[3].integer; /* what lay there at the beginning */
    d->left -= went;
    if (!went || d->left <= 0)
        taken(d);
    else
        admin_resume(d->call, go_on, d);
}

static void take_next(struct dead *d)
{
    thread_assert(&on_master);
    struct queue *q = d->queue;
    struct redis_command *c = queue_script(q, "dead_take", 2);
    redis_arg_text(c, q->key.dead);
    redis_arg_text(c, q->key.retry);
    redis_arg_text(c, what_of(d));
    redis_arg_text(c, admin_request(d->call)->id);
    redis_arg_text(c, d->cursor);
    redis_arg_int(c, d->left < PAGE ? d->left : PAGE);
    ask(d, c);
}

void admin_dead_take(struct admin_call *c)
{
    struct dead *d = begin(c, take_next, take_answered);
    if (!d)
        return;
    d->left = admin_request(c)->limit ? admin_request(c)->limit : ADMIN_LIMIT_MAX;
    take_next(d);
}
