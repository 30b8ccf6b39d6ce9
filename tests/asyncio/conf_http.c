/* conf_http.c - scenarios of the area "http": GET requests to a server on 127.0.0.1. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/callout.h"
#include "tests/asyncio/conf.h"
#include "worker/runtime/executor.h"
#include "worker/runtime/gather.h"
#include "worker/runtime/io.h"
#include "worker/runtime/stream.h"
#include "worker/runtime/wait.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define BODY_MAX ((size_t)1 << 20)

struct reply {
    int status;
    size_t len;
    char *body; /* owned; a zero byte follows it */
};

static struct sockaddr_in server(void)
{
    const char *port = need(getenv("CONF_HTTP_PORT"));
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)strtol(port, NULL, 10)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

struct request {
    const char *path;
    char text[200];
    int len;
};

static void format_request(void *arg)
{
    struct request *q = arg;
    q->len = snprintf(q->text, sizeof q->text,
                      "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", q->path);
}

static int status_of(const char *head)
{
    const char *blank = strchr(head, ' ');
    return blank ? (int)strtol(blank, NULL, 10) : 0;
}

/* -- driven by the loop -- */

static int read_body(struct stream *s, struct reply *ret_reply, struct err *e)
{
    char *body = need(malloc(BODY_MAX + 1));
    size_t len = 0;
    ssize_t n;
    while ((n = stream_read(s, body + len, BODY_MAX - len, -1, e)) > 0)
        len += (size_t)n;
    if (n < 0) {
        free(body);
        return (int)n;
    }
    body[len] = '\0';
    ret_reply->body = body;
    ret_reply->len = len;
    return 0;
}

static int converse(struct stream *s, const char *path, struct reply *ret_reply, struct err *e)
{
    struct request q = {.path = path};
    const char *head;
    size_t len;
    callout(format_request, &q);
    int r = stream_write(s, q.text, (size_t)q.len, -1, e);
    if (r == 0)
        r = stream_read_until(s, "\r\n\r\n", &head, &len, -1, e);
    if (r < 0)
        return r;
    ret_reply->status = status_of(head);
    return read_body(s, ret_reply, e);
}

/* Awaits. 0 and the reply, whose body is the caller's to free. */
static int http_get(const char *path, struct reply *ret_reply, struct err *e)
{
    struct sockaddr_in addr = server();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    must(fd);
    struct stream *s = need(stream_new(fd, 0));
    int r = io_connect(fd, (struct sockaddr *)&addr, sizeof addr, -1, e);
    if (r == 0)
        r = converse(s, path, ret_reply, e);
    stream_free(s);
    return r;
}

/* -- with blocking calls, for the main thread and executors -- */

static struct reply parse_whole(char *raw, size_t len)
{
    char *end = need(memmem(raw, len, "\r\n\r\n", 4));
    struct reply p = {.status = status_of(raw), .len = len - (size_t)(end + 4 - raw), .body = raw};
    memmove(raw, end + 4, p.len + 1);
    return p;
}

static struct reply http_get_blocking(const char *path, int timeout_s)
{
    struct timeval limit = {.tv_sec = timeout_s};
    struct request q = {.path = path};
    struct sockaddr_in addr = server();
    char *raw = need(malloc(BODY_MAX + 1));
    size_t len = 0;
    ssize_t n;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd);
    must(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    must(connect(fd, (struct sockaddr *)&addr, sizeof addr));
    format_request(&q);
    must((int)send(fd, q.text, (size_t)q.len, MSG_NOSIGNAL));
    while ((n = recv(fd, raw + len, BODY_MAX - len, 0)) > 0)
        len += (size_t)n;
    must((int)n);
    (void)close(fd);
    raw[len] = '\0';
    return parse_whole(raw, len);
}

/* -- http-serial -- */

static const char *const slept[] = {"/sleep/3", "/sleep/5", "/sleep/8"};

static void say(struct reply *p)
{
    tout("%d %s", p->status, p->body);
    free(p->body);
}

static int request(void *path, void **ret_result, struct err *e)
{
    struct reply p;
    (void)ret_result;
    int r = http_get(path, &p, e);
    if (r == 0)
        say(&p);
    return r;
}

static int serial_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg;
    for (size_t i = 0; i < COUNT(slept); i++)
        must(request(BOX(slept[i]), ret_result, e));
    return 0;
}

static void http_serial(void)
{
    start_clock();
    for (size_t i = 0; i < COUNT(slept); i++) {
        struct reply p = http_get_blocking(slept[i], 0);
        say(&p);
    }
    tout("blocking total");
    start_clock();
    must(run(serial_main, NULL, NULL, NULL));
    tout("awaited serially total");
}

/* -- http-tasks -- */

static int tasks_main(void *arg, void **ret_result, struct err *e)
{
    struct task *t[COUNT(slept)];
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    for (size_t i = 0; i < COUNT(slept); i++)
        t[i] = need(task_create(request, BOX(slept[i]), NULL));
    for (size_t i = 0; i < COUNT(slept); i++) {
        (void)value_of(t[i]);
        task_unref(t[i]);
    }
    tout("total");
    return 0;
}

static void http_tasks(void)
{
    must(run(tasks_main, NULL, NULL, NULL));
}

/* -- http-unawaited -- */

struct job {
    const char *name, *path;
    bool cancelled;
};

static int job(void *arg, void **ret_result, struct err *e)
{
    struct job *j = arg;
    tout("enter %s", j->name);
    int r = request(BOX(j->path), ret_result, e);
    j->cancelled = r == -ECANCELED;
    if (r == 0)
        tout("%s end", j->name);
    return r;
}

struct two_jobs {
    bool wait;
    struct job a, b;
};

static int unawaited_main(void *arg, void **ret_result, struct err *e)
{
    struct two_jobs *x = arg;
    (void)ret_result, (void)e;
    struct task *a = need(task_create(job, &x->a, NULL));
    must(task_spawn(job, &x->b, NULL));
    if (x->wait)
        (void)value_of(a);
    tout("main ends");
    task_unref(a);
    return 0;
}

static void http_unawaited(void)
{
    for (int i = 0; i < 2; i++) {
        struct two_jobs x = {i == 1, {"task1", "/sleep/3", false}, {"task2", "/sleep/5", false}};
        start_clock();
        must(run(unawaited_main, &x, NULL, NULL));
        tout("cancelled: [%s%s%s]", x.a.cancelled ? x.a.name : "",
             x.a.cancelled && x.b.cancelled ? ", " : "", x.b.cancelled ? x.b.name : "");
    }
}

/* -- http-gather -- */

static int line_of(void *path, void **ret_result, struct err *e)
{
    struct reply *p = need(malloc(sizeof *p));
    *ret_result = p;
    return http_get(path, p, e);
}

static int gather_main(void *arg, void **ret_result, struct err *e)
{
    const struct gather_call calls[] = {{line_of, BOX("/sleep/8")},
                                        {line_of, BOX("/sleep/3")},
                                        {line_of, BOX("/sleep/5")},
                                        {line_of, BOX("/missing")}};
    void *v;
    (void)arg, (void)ret_result;
    start_clock();
    struct future *g = need(gather_calls(calls, COUNT(calls), 0));
    must(future_await(g, &v, e));
    struct gathered *results = v;
    for (size_t i = 0; i < COUNT(calls); i++) {
        say(results[i].value);
        free(results[i].value);
    }
    future_unref(g);
    return 0;
}

static void http_gather(void)
{
    must(run(gather_main, NULL, NULL, NULL));
}

/* -- http-download -- */

struct download {
    int size, timeout_s; /* 0: no limit, and by run_in_executor instead of to_thread */
    const char *folder;
    struct reply reply;
    char path[32], name[128];
};

static int fetch(void *arg, void **ret_result, struct err *e)
{
    struct download *d = arg;
    (void)ret_result, (void)e;
    d->reply = http_get_blocking(d->path, d->timeout_s);
    return 0;
}

static void format_names(void *arg)
{
    struct download *d = arg;
    (void)snprintf(d->path, sizeof d->path, "/bytes/%d", d->size);
    (void)snprintf(d->name, sizeof d->name, "%s/%d.bin", d->folder, d->size);
}

static int save(struct download *d)
{
    struct stat st;
    FILE *f = need(fopen(d->name, "wbe"));
    if (fwrite(d->reply.body, 1, d->reply.len, f) != d->reply.len || fclose(f) != 0)
        must(-EIO);
    free(d->reply.body);
    must(stat(d->name, &st));
    return (int)st.st_size;
}

static int fetch_awaited(struct download *d, struct err *e)
{
    if (d->timeout_s)
        return to_thread(fetch, d, NULL, e);
    struct future *f = need(run_in_executor(NULL, fetch, d));
    int r = future_await(f, NULL, e);
    future_unref(f);
    return r;
}

static int download(void *arg, void **ret_result, struct err *e)
{
    struct download *d = arg;
    out("start %d", d->size);
    callout(format_names, d);
    int r = fetch_awaited(d, e);
    if (r == 0)
        *ret_result = BOX(save(d));
    return r;
}

static int by_number(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

static void download_by_executor(struct download *d, struct err *e)
{
    struct future *f[3];
    size_t done, pending;
    int sizes[3];
    for (size_t i = 0; i < 3; i++)
        f[i] = task_future(need(task_create(download, &d[i], NULL)));
    must(future_wait(f, 3, -1, WAIT_ALL_COMPLETED, &done, &pending, e));
    for (size_t i = 0; i < 3; i++) {
        void *v;
        must(future_result(f[i], &v, e));
        sizes[i] = NUMBER(v);
        future_unref(f[i]);
    }
    qsort(sizes, 3, sizeof sizes[0], by_number);
    out("executor [%d, %d, %d] pending %zu", sizes[0], sizes[1], sizes[2], pending);
}

static void download_by_to_thread(struct download *d, struct err *e)
{
    const struct gather_call calls[] = {{download, &d[0]}, {download, &d[1]}, {download, &d[2]}};
    void *v;
    struct future *g = need(gather_calls(calls, COUNT(calls), 0));
    must(future_await(g, &v, e));
    const struct gathered *r = v;
    out("to_thread [%d, %d, %d]", NUMBER(r[0].value), NUMBER(r[1].value), NUMBER(r[2].value));
    future_unref(g);
}

static int download_main(void *arg, void **ret_result, struct err *e)
{
    static const int sizes[] = {100, 20000, 300000, 200, 30000, 100000};
    char folder[] = "/tmp/conf-http-XXXXXX";
    struct download d[COUNT(sizes)];
    int files = 0;
    (void)arg, (void)ret_result;
    (void)need(mkdtemp(folder));
    for (size_t i = 0; i < COUNT(sizes); i++)
        d[i] = (struct download){.size = sizes[i], .timeout_s = i < 3 ? 0 : 10, .folder = folder};
    download_by_executor(d, e);
    download_by_to_thread(d + 3, e);
    for (size_t i = 0; i < COUNT(sizes); i++)
        files += unlink(d[i].name) == 0;
    must(rmdir(folder)); /* nothing else is in it */
    out("files %d", files);
    return 0;
}

static void http_download(void)
{
    must(run(download_main, NULL, NULL, NULL));
}

const struct scenario http_scenarios[] = {
    {"http-download", http_download},   {"http-gather", http_gather},
    {"http-serial", http_serial},       {"http-tasks", http_tasks},
    {"http-unawaited", http_unawaited}, {NULL, NULL},
};
