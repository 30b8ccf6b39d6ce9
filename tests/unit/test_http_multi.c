/* LDFLAGS: -Wl,--wrap=loop_add_reader,--wrap=loop_add_writer,--wrap=loop_call_soon */
/* What a request leaves with the loop: connections and the timer are no job's, they outlive it. */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/conf.h"
#include "worker/crash.h"
#include "worker/handler/handler.h"
#include "worker/runtime/context.h"
#include "worker/runtime/task.h"
#include "worker/runtime/watch_fd.h"

static struct {
    bool counting;
    int watches, soon, of_a_job;
} added;

static void note_context(int *count)
{
    if (!added.counting)
        return;
    struct context *c = context_copy();
    ++*count;
    added.of_a_job += c != NULL;
    context_unref(c);
}

int __real_loop_add_reader(struct loop *l, int fd, loop_fn fn, void *arg, struct err *e);
int __wrap_loop_add_reader(struct loop *l, int fd, loop_fn fn, void *arg, struct err *e);
int __real_loop_add_writer(struct loop *l, int fd, loop_fn fn, void *arg, struct err *e);
int __wrap_loop_add_writer(struct loop *l, int fd, loop_fn fn, void *arg, struct err *e);
struct handle *__real_loop_call_soon(struct loop *l, loop_fn fn, void *arg);
struct handle *__wrap_loop_call_soon(struct loop *l, loop_fn fn, void *arg);

int __wrap_loop_add_reader(struct loop *l, int fd, loop_fn fn, void *arg, struct err *e)
{
    note_context(&added.watches);
    return __real_loop_add_reader(l, fd, fn, arg, e);
}

int __wrap_loop_add_writer(struct loop *l, int fd, loop_fn fn, void *arg, struct err *e)
{
    note_context(&added.watches);
    return __real_loop_add_writer(l, fd, fn, arg, e);
}

struct handle *__wrap_loop_call_soon(struct loop *l, loop_fn fn, void *arg)
{
    note_context(&added.soon);
    return __real_loop_call_soon(l, fn, arg);
}

/* A server for one request. */
static void *serve(void *arg)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    char request[4096];
    int at = *(const int *)arg, fd = accept(at, NULL, NULL);
    if (fd >= 0 && read(fd, request, sizeof request) > 0)
        (void)!write(fd, answer, sizeof answer - 1);
    while (fd >= 0 && read(fd, request, sizeof request) > 0)
        ;
    (void)close(fd);
    return NULL;
}

static int listen_at(int *ret_port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof to;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&to, &len), 0);
    *ret_port = ntohs(to.sin_port);
    return fd;
}

struct request {
    struct job *job;
    void *state;
    enum job_outcome outcome;
    struct err why;
};

static int run_as_a_worker_does(void *arg, void **ret_result, struct err *e)
{
    struct request *r = arg;
    (void)ret_result, (void)e;
    crash_job(r->job);
    added.counting = true;
    r->outcome = handler_http.run(r->job, r->state, &r->why);
    added.counting = false;
    return 0;
}

static void what_outlives_a_request_does_not_name_its_job(void **state)
{
    char text[200];
    struct conf *conf;
    struct request r = {0};
    pthread_t server;
    int port, at = listen_at(&port);
    (void)state;
    int n = snprintf(text, sizeof text,
                     "queues: ({ name = \"q\"; handler: { type = \"http\"; "
                     "url = \"http://127.0.0.1:%d/\"; }; });",
                     port);
    assert_int_equal(conf_load_text("test", text, (size_t)n, stderr, &conf), 0);
    assert_int_equal(handler_http.init(&conf->queues[0], &r.state, NULL), 0);
    assert_non_null(r.job = job_new(&conf->queues[0], "x", 1));
    r.job->birth = "run.1-1";
    assert_int_equal(pthread_create(&server, NULL, serve, &at), 0);
    struct loop *l = loop_new(0);
    assert_non_null(l);
    struct task *t = loop_create_task(l, run_as_a_worker_does, &r, NULL);
    assert_non_null(t);
    assert_int_equal(loop_run_until_complete(l, task_future(t), NULL, NULL), 0);
    task_unref(t);
    handler_http.exit(r.state); /* as in a worker: before its loop is freed */
    (void)loop_free(l);
    (void)shutdown(at, SHUT_RDWR);
    assert_int_equal(pthread_join(server, NULL), 0);
    (void)close(at);
    (void)job_free(r.job);
    (void)conf_free(conf);
    if (r.outcome != JOB_DONE)
        fail_msg("%d: %s", (int)r.outcome, r.why.text);
    assert_true(added.watches >= 1);
    assert_true(added.soon >= 1);
    assert_int_equal(added.of_a_job, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_outlives_a_request_does_not_name_its_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
