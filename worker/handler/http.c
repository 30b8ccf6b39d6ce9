/* http.c - a job is a request to a web server: its payload is the body, or stands in the url.
 * Awaits. 2xx is done; 408, 425, 429, 5xx and no whole answer are another try, with the delay that
 * Retry-After asks for, at most backoff.max; everything else is dead. Redirects are followed by
 * hand: libcurl cannot be told which hosts are allowed. 301, 302, 307 and 308 repeat the request,
 * so that the payload is not lost on the way; 303 asks with GET for what became of it. */
#include "worker/handler/handler.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/callout.h"
#include "common/clock.h"
#include "worker/handler/http_check.h"
#include "worker/handler/http_date.h"
#include "worker/handler/http_multi.h"
#include "worker/handler/http_sign.h"
#include "worker/handler/http_url.h"

#define OWN_LINES 7 /* at most, beside those of the configuration, with the NULL */
#define ID_LINE_MAX (3 * JOB_ID_MAX + 16)

struct http_queue { /* a queue at one worker */
    const struct conf_queue *conf;
    struct http_multi *multi;
    struct sign_key *key; /* NULL: nothing is signed */
    struct Curl_URL *url; /* of every job alike; NULL: each has its own */
    char *queue_line;     /* X-Rpopd-Queue */
    char **lines;         /* those of the configuration, as libcurl takes them */
    size_t nlines;
    bool has_body, has_type, has_expect;
};

struct
try { /* one try of a job */
    struct job *job;
    const struct http_queue *queue;
    const char *first;    /* of the template */
    char *expanded, *url; /* that, where it has words; of the last redirect; NULL: none */
    const char **lines;
    char id_line[ID_LINE_MAX], attempt_line[40], signature_line[32 + SIGN_HEX];
    struct http_request request;
    struct http_answer answer;
    int redirects;
    int code; /* of a callout */
    struct err *why;
};

/* A queue ----------------------------------------------------------------------------------------
 */

static bool is_field(const char *line, const char *name)
{
    size_t n = strlen(name);
    return !strncasecmp(line, name, n) && line[n] == ':';
}

/* "Name:" would tell libcurl to leave the field out. */
static char *line_for_curl(const char *line)
{
    size_t name = strcspn(line, ":");
    bool empty = !line[name + 1 + strspn(line + name + 1, " \t")];
    char *copy = strdup(line);
    if (copy && empty)
        strcpy(copy + name, ";");
    return copy;
}

static int copy_lines(struct http_queue *q)
{
    char *const *lines = q->conf->handler.http.headers;
    size_t n = 0;
    while (lines[n])
        n++;
    q->lines = calloc(n + 1, sizeof *q->lines);
    for (; q->lines && q->nlines < n; q->nlines++) {
        const char *line = lines[q->nlines];
        q->has_type = q->has_type || is_field(line, "Content-Type");
        q->has_expect = q->has_expect || is_field(line, "Expect");
        if (!(q->lines[q->nlines] = line_for_curl(line)))
            return -ENOMEM;
    }
    return q->lines ? 0 : -ENOMEM;
}

static int name_queue(struct http_queue *q)
{
    static const char field[] = "X-Rpopd-Queue: ";
    size_t size = sizeof field + 3 * strlen(q->conf->name) + 4;
    q->queue_line = malloc(size);
    if (!q->queue_line)
        return -ENOMEM;
    strcpy(q->queue_line, field);
    (void)http_url_visible(q->conf->name, q->queue_line + strlen(field), size - strlen(field));
    return 0;
}

static int parse_url(struct http_queue *q)
{
    const char *template = q->conf->handler.http.url;
    if (http_url_has_words(template))
        return 0;
    q->url = http_url_parse(template);
    return q->url ? 0 : -ENOMEM;
}

static void http_exit(void *state)
{
    struct http_queue *q = state;
    if (q->multi)
        http_multi_leave(q->multi);
    (void)sign_key_free(q->key);
    http_url_parse_free(q->url);
    for (size_t i = 0; i < q->nlines; i++)
        free(q->lines[i]);
    free(q->lines);
    free(q->queue_line);
    free(q);
}

static bool has_body(const char *method)
{
    return !strcmp(method, "POST") || !strcmp(method, "PUT") || !strcmp(method, "PATCH");
}

static int http_init(const struct conf_queue *queue, void **ret_state, struct err *e)
{
    const struct conf_http *c = &queue->handler.http;
    struct http_queue *q = calloc(1, sizeof *q);
    if (!q)
        return err_set(e, -ENOMEM, "no memory for queue '%s'", queue->name);
    q->conf = queue;
    q->has_body = has_body(c->method);
    q->multi = http_multi_join();
    if (c->secret)
        q->key = sign_key_new(c->secret);
    if (!q->multi || (c->secret && !q->key) || parse_url(q) < 0 || copy_lines(q) < 0 ||
        name_queue(q) < 0) {
        http_exit(q);
        return err_set(e, -ENOMEM, "no memory for queue '%s'", queue->name);
    }
    *ret_state = q;
    return 0;
}

/* The request ------------------------------------------------------------------------------------
 */

/* What opens a door at the one server is not shown to another. */
static bool is_for_the_first_alone(const char *line)
{
    return is_field(line, "Authorization") || is_field(line, "Cookie");
}

static void fill_lines(struct try *t, bool away)
{
    const struct http_queue *q = t->queue;
    size_t n = 0;
    for (size_t i = 0; i < q->nlines; i++)
        if (!away || !is_for_the_first_alone(q->lines[i]))
            t->lines[n++] = q->lines[i];
    t->lines[n++] = t->id_line;
    t->lines[n++] = q->queue_line;
    t->lines[n++] = t->attempt_line;
    if (q->key)
        t->lines[n++] = t->signature_line;
    if (t->request.body && !q->has_type)
        t->lines[n++] = "Content-Type: application/octet-stream";
    if (!q->has_expect)
        t->lines[n++] = "Expect:"; /* a server that ignores it would cost a second */
    t->lines[n] = NULL;
}

static int expand(struct try *t)
{
    const struct job *j = t->job;
    char id[JOB_ID_MAX];
    struct http_words words = {j->payload, j->len, t->queue->conf->name, job_id(j, id)};
    strcpy(t->id_line, "X-Rpopd-Id: ");
    size_t n = strlen(t->id_line);
    (void)http_url_visible(id, t->id_line + n, sizeof t->id_line - n);
    (void)snprintf(t->attempt_line, sizeof t->attempt_line, "X-Rpopd-Attempt: %u",
                   (unsigned)j->attempt);
    t->first = t->queue->conf->handler.http.url;
    if (t->queue->url)
        return 0;
    int r = http_url_expand(t->first, &words, &t->expanded, t->why);
    t->first = t->expanded;
    return r;
}

/* On the thread's own stack. */
static void prepare(void *arg)
{
    struct try *t = arg;
    const struct http_queue *q = t->queue;
    t->lines = calloc(q->nlines + OWN_LINES, sizeof *t->lines);
    t->code = t->lines ? expand(t) : err_set(t->why, -ENOMEM, "no memory for the request");
    if (t->code < 0)
        return;
    t->request = (struct http_request){
        .conf = &q->conf->handler.http,
        .url = t->first,
        .parsed = q->url,
        .method = q->conf->handler.http.method,
        .lines = t->lines,
        .body = q->has_body ? t->job->payload : NULL,
        .len = t->job->len,
        .whole = job_wants_result(t->job),
        .keep = (size_t)q->conf->output_limit,
    };
    fill_lines(t, false);
}

/* Awaits. */
static int sign(struct try *t)
{
    static const char field[] = "X-Rpopd-Signature: sha256=";
    if (!t->queue->key)
        return 0;
    strcpy(t->signature_line, field);
    int r =
        sign_hex(t->queue->key, t->job->payload, t->job->len, t->signature_line + strlen(field));
    return r == -ENOMEM ? err_set(t->why, r, "no memory for the signature") : r;
}

static void try_free(struct try *t)
{
    http_answer_free(&t->answer);
    free(t->url);
    free(t->expanded);
    free(t->lines);
    free(t);
}

/* Redirects --------------------------------------------------------------------------------------
 */

static bool is_redirect(const struct http_answer *a)
{
    int s = a->status;
    return a->location && (s == 301 || s == 302 || s == 303 || s == 307 || s == 308);
}

static void see_other(struct try *t)
{
    t->request.body = NULL;
    if (strcmp(t->request.method, "HEAD") != 0)
        t->request.method = "GET";
}

/* On the thread's own stack. */
static void redirect(void *arg)
{
    struct try *t = arg;
    const struct conf_http *c = &t->queue->conf->handler.http;
    char *url;
    bool away;
    t->code = -EPERM;
    if (t->redirects == c->redirects) {
        (void)err_set(t->why, t->code, "answered %d, a redirect, and redirects allows %d of them",
                      t->answer.status, c->redirects);
        return;
    }
    t->code = http_url_redirect(t->first, t->request.url, t->answer.location, c->redirect_hosts,
                                &url, &away, t->why);
    if (t->code < 0) {
        (void)err_prefix(t->why, "answered %d", t->answer.status);
        return;
    }
    free(t->url);
    t->url = url;
    t->request.url = url;
    t->request.parsed = NULL;
    t->redirects++;
    if (t->answer.status == 303)
        see_other(t);
    fill_lines(t, away);
}

/* The outcome ------------------------------------------------------------------------------------
 */

static enum job_outcome failed(int code)
{
    switch (code) {
    case -ECANCELED:
        return JOB_CANCELLED;
    case -EIO:
        return JOB_RETRY;
    case -EINVAL:
    case -EPERM:
        return JOB_DEAD;
    default:
        return JOB_AGAIN;
    }
}

/* By the server's own clock where it says the time. */
static void take_delay(struct try *t)
{
    const struct http_answer *a = &t->answer;
    int64_t now = clock_wall_ms() / 1000, s, limit = t->queue->conf->backoff_max_ms;
    if (!a->retry_after)
        return;
    if (a->date)
        (void)http_date_parse(a->date, now, &now);
    if (http_retry_after(a->retry_after, now, &s) == 0 && s > 0)
        t->job->delay_ms = s * 1000 < limit ? s * 1000 : limit;
}

static enum job_outcome done(struct try *t)
{
    struct http_answer *a = &t->answer;
    if (!t->request.whole)
        return JOB_DONE;
    if (a->cut) {
        (void)err_set(t->why, -EMSGSIZE,
                      "answered %d with more than the %lld bytes of response_limit: no result",
                      a->status, (long long)t->request.conf->response_limit);
        return JOB_DEAD;
    }
    if (!a->body && !(a->body = malloc(1))) { /* an empty result is one too */
        (void)err_set(t->why, -ENOMEM, "no memory for the result");
        return JOB_AGAIN;
    }
    job_result(t->job, a->body, a->len);
    a->body = NULL;
    return JOB_DONE;
}

static bool is_for_later(int status)
{
    return status == 408 || status == 425 || status == 429 || (status >= 500 && status < 600);
}

static enum job_outcome judge(struct try *t)
{
    int status = t->answer.status;
    if (status >= 200 && status < 300)
        return done(t);
    (void)err_set(t->why, -EPROTO, "answered %d", status);
    if (!is_for_later(status))
        return JOB_DEAD;
    take_delay(t);
    return JOB_RETRY;
}

static void keep_evidence(struct try *t)
{
    t->job->evidence.status = t->answer.status;
    if (t->answer.body)
        (void)job_output(t->job, t->answer.body, t->answer.len); /* without memory: without it */
}

/* Awaits. */
static enum job_outcome follow(struct try *t)
{
    for (;;) {
        int r = http_multi_request(t->queue->multi, &t->request, &t->answer, t->why);
        if (r < 0)
            return failed(r);
        if (!is_redirect(&t->answer))
            return judge(t);
        callout(redirect, t);
        if (t->code < 0)
            return failed(t->code);
        http_answer_free(&t->answer);
    }
}

static enum job_outcome http_run(struct job *j, void *state, struct err *why)
{
    struct try *t = calloc(1, sizeof *t);
    if (!t) {
        (void)err_set(why, -ENOMEM, "no memory for the request");
        return JOB_AGAIN;
    }
    t->job = j;
    t->queue = state;
    t->why = why;
    callout(prepare, t);
    if (t->code == 0)
        t->code = sign(t);
    enum job_outcome outcome = t->code < 0 ? failed(t->code) : follow(t);
    if (outcome == JOB_RETRY || outcome == JOB_DEAD)
        keep_evidence(t);
    try_free(t);
    return outcome;
}

const struct handler handler_http = {
    .type = "http", .check = http_check, .init = http_init, .run = http_run, .exit = http_exit};
