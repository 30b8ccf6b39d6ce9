/* libcurl says which sockets it waits for and until when; the loop calls it back. A transfer that
 * has ended completes the future that its task awaits. */
#include "worker/handler/http_multi.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/callout.h"
#include "worker/handler/http_socket.h"
#include "worker/handler/http_transfer.h"
#include "worker/runtime/context.h"

#define IDLE_MAX 128      /* easy handles without a request that are kept */
#define IDLE_URL_MAX 8192 /* bytes */
#define CONNECTIONS 256   /* that are kept open, at first */

struct http_multi {
    unsigned references;
    CURLM *curl;
    struct http_sockets sockets; /* their loop is that of the first request */
    struct handle *timer;
    struct transfer *transfers; /* under way */
    unsigned count;             /* of them */
    long connections;           /* that libcurl may keep */
    struct idle {
        CURL *easy;
        const struct conf_http *conf;  /* whose options it still has; NULL: none */
        const struct Curl_URL *parsed; /* the url likewise */
    } idle[IDLE_MAX];
    size_t nidle;
};

static _Thread_local struct http_multi *own;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode begun; /* written once, read behind `once` */

/* Transfers --------------------------------------------------------------------------------------
 */

static void link_up(struct http_multi *m, struct transfer *t)
{
    t->next = m->transfers;
    t->at = &m->transfers;
    if (t->next)
        t->next->at = &t->next;
    m->transfers = t;
    m->count++;
}

static void unlink_it(struct http_multi *m, struct transfer *t)
{
    *t->at = t->next;
    if (t->next)
        t->next->at = t->at;
    t->at = NULL;
    m->count--;
}

static void complete(struct transfer *t)
{
    if (!future_done(t->done))
        (void)future_set_result(t->done, NULL);
}

/* Nothing tells any more when to go on: what is under way is to be asked again. */
static void give_up(struct http_multi *m)
{
    for (struct transfer *t = m->transfers; t; t = t->next) {
        t->no_memory = true;
        complete(t);
    }
}

/* It was read from: the connection's own, not one of those that were tried for it. */
static void keep_socket(struct http_multi *m, CURL *easy, int fd)
{
    curl_socket_t used;
    if (curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &used) == CURLE_OK && used == fd)
        http_socket_keep(&m->sockets, fd);
}

static void collect(struct http_multi *m, curl_socket_t fd)
{
    int left;
    for (CURLMsg *msg; (msg = curl_multi_info_read(m->curl, &left));) {
        struct transfer *t = NULL;
        if (msg->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        t->code = msg->data.result;
        if (t->code == CURLE_OK && fd >= 0 && !http_socket_is_kept(&m->sockets, fd))
            keep_socket(m, msg->easy_handle, fd);
        complete(t);
    }
}

static void act(struct http_multi *m, curl_socket_t fd, int ready)
{
    int running;
    if (curl_multi_socket_action(m->curl, fd, ready, &running) != CURLM_OK)
        give_up(m);
    collect(m, fd);
}

/* What libcurl waits for -------------------------------------------------------------------------
 */

static void on_ready(void *arg, int fd, int how)
{
    act(arg, fd, how);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket)
{
    struct http_multi *m = arg;
    (void)easy, (void)socket;
    if (http_socket_await(&m->sockets, fd, what) < 0)
        give_up(m); /* -1 would be the end of the multi handle */
    return 0;
}

static void drop_timer(struct http_multi *m)
{
    if (!m->timer)
        return;
    handle_cancel(m->timer);
    handle_unref(m->timer);
    m->timer = NULL;
}

static void on_time(void *arg)
{
    struct http_multi *m = arg;
    drop_timer(m);
    act(m, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer(CURLM *curl, long ms, void *arg)
{
    struct http_multi *m = arg;
    (void)curl;
    drop_timer(m);
    if (ms < 0 || !m->sockets.loop) /* without a loop nothing was ever asked */
        return 0;
    struct context *of_job = context_swap(NULL); /* the timer is of all requests */
    struct handle *h = ms ? loop_call_later(m->sockets.loop, ms, on_time, m)
                          : loop_call_soon(m->sockets.loop, on_time, m);
    (void)context_swap(of_job);
    if (h)
        m->timer = handle_ref(h);
    else
        give_up(m);
    return 0;
}

/* A connection may end long after the request that made it. */
static int on_close(void *arg, curl_socket_t fd)
{
    struct http_multi *m = arg;
    http_socket_close(&m->sockets, fd);
    return 0;
}

/* The multi handle -------------------------------------------------------------------------------
 */

static void begin_curl(void)
{
    begun = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static struct http_multi *multi_free(struct http_multi *m)
{
    while (m->nidle)
        curl_easy_cleanup(m->idle[--m->nidle].easy);
    (void)curl_multi_cleanup(m->curl);
    drop_timer(m);
    http_sockets_deinit(&m->sockets);
    free(m);
    return NULL;
}

static bool set_up(struct http_multi *m)
{
    m->connections = CONNECTIONS;
    return m->curl && curl_multi_setopt(m->curl, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
           curl_multi_setopt(m->curl, CURLMOPT_SOCKETDATA, m) == CURLM_OK &&
           curl_multi_setopt(m->curl, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK &&
           curl_multi_setopt(m->curl, CURLMOPT_TIMERDATA, m) == CURLM_OK &&
           curl_multi_setopt(m->curl, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) == CURLM_OK &&
           curl_multi_setopt(m->curl, CURLMOPT_MAXCONNECTS, m->connections) == CURLM_OK;
}

static struct http_multi *multi_new(void)
{
    (void)pthread_once(&once, begin_curl);
    struct http_multi *m = begun == CURLE_OK ? calloc(1, sizeof *m) : NULL;
    if (!m)
        return NULL;
    m->curl = curl_multi_init();
    m->sockets = (struct http_sockets){.ready = on_ready, .arg = m};
    return set_up(m) ? m : multi_free(m);
}

struct http_multi *http_multi_join(void)
{
    if (!own)
        own = multi_new();
    if (own)
        own->references++;
    return own;
}

void http_multi_leave(struct http_multi *m)
{
    assert(m == own && m->references && !m->transfers);
    for (size_t i = 0; i < m->nidle; i++)
        m->idle[i].conf = NULL; /* it may be freed now, and another have its address */
    if (--m->references == 0)
        own = multi_free(m);
}

/* More at a time than are kept: each that ends would close another's. */
static void keep_enough(struct http_multi *m)
{
    if ((long)m->count * 2 <= m->connections)
        return;
    m->connections *= 2;
    (void)curl_multi_setopt(m->curl, CURLMOPT_MAXCONNECTS, m->connections);
}

/* A request --------------------------------------------------------------------------------------
 */

struct call { /* of a task, on the thread's own stack */
    struct http_multi *multi;
    const struct http_request *request;
    struct http_answer *answer;
    struct err *e;
    struct transfer *transfer;
    int code;
};

/* One that was set up for another queue, or for none, is set up anew. */
static CURL *take_easy(struct http_multi *m, const struct http_request *q, bool *ret_fresh)
{
    struct idle i = m->nidle ? m->idle[--m->nidle] : (struct idle){.easy = curl_easy_init()};
    *ret_fresh = i.conf != q->conf || i.parsed != q->parsed;
    if (!i.easy || !*ret_fresh)
        return i.easy;
    curl_easy_reset(i.easy);
    if (curl_easy_setopt(i.easy, CURLOPT_CLOSESOCKETFUNCTION, on_close) == CURLE_OK &&
        curl_easy_setopt(i.easy, CURLOPT_CLOSESOCKETDATA, m) == CURLE_OK)
        return i.easy;
    curl_easy_cleanup(i.easy);
    return NULL;
}

/* It keeps its options, which takes a tenth of a request's time to set, but no long url. */
static void put_easy(struct http_multi *m, CURL *easy, const struct http_request *q)
{
    if (m->nidle == IDLE_MAX || strlen(q->url) > IDLE_URL_MAX)
        curl_easy_cleanup(easy);
    else
        m->idle[m->nidle++] = (struct idle){easy, q->conf, q->parsed};
}

static void begin(void *arg)
{
    struct call *c = arg;
    struct http_multi *m = c->multi;
    bool fresh;
    CURL *easy = take_easy(m, c->request, &fresh);
    struct transfer *t = easy ? transfer_new(c->request, m->sockets.loop, easy, fresh) : NULL;
    c->code = t ? 0 : -ENOMEM;
    if (t) {
        link_up(m, t);
        keep_enough(m);
    }
    if (t && curl_multi_add_handle(m->curl, easy) != CURLM_OK) {
        unlink_it(m, t);
        t = transfer_free(t);
        c->code = -ENOMEM;
    }
    if (c->code < 0)
        curl_easy_cleanup(easy);
    c->transfer = t;
}

/* Of what was cancelled the connection is closed here. */
static void end(void *arg)
{
    struct call *c = arg;
    struct transfer *t = c->transfer;
    CURL *easy = t->easy;
    if (c->code == 0)
        c->code = transfer_result(t, c->answer, c->e);
    (void)curl_multi_remove_handle(c->multi->curl, easy);
    unlink_it(c->multi, t);
    (void)transfer_free(t);
    put_easy(c->multi, easy, c->request);
}

int http_multi_request(struct http_multi *m, const struct http_request *q, struct http_answer *ret,
                       struct err *e)
{
    struct call c = {.multi = m, .request = q, .answer = ret, .e = e};
    if (!m->sockets.loop)
        m->sockets.loop = loop_running();
    callout(begin, &c);
    if (c.code < 0)
        return err_set(e, c.code, "no memory for the request");
    c.code = future_await(c.transfer->done, NULL, NULL);
    if (c.code < 0 && c.code != -ECANCELED)
        c.code = err_set(e, -ENOMEM, "no memory to await the answer");
    callout(end, &c);
    return c.code;
}

void http_answer_free(struct http_answer *a)
{
    free(a->body);
    free(a->location);
    free(a->retry_after);
    free(a->date);
    *a = (struct http_answer){0};
}
