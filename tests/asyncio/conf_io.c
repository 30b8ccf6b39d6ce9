/* conf_io.c - scenarios of the area "io". */
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "tests/asyncio/conf.h"
#include "worker/runtime/watch_fd.h"

struct pipe_ends {
    int to, from;
    struct future *done;
};

static void on_readable(void *arg)
{
    struct pipe_ends *p = arg;
    struct loop *l = loop_running();
    char text[101];
    ssize_t n = read(p->from, text, sizeof text - 1);
    must((int)n);
    text[n] = '\0';
    if (n > 0) {
        tout("read %s", text);
        return;
    }
    tout("eof, removed: %s", yes(loop_remove_reader(l, p->from)));
    out("removed again: %s", yes(loop_remove_reader(l, p->from)));
    (void)close(p->from);
    must(future_set_result(p->done, NULL));
}

static void *write_slowly(void *arg)
{
    struct pipe_ends *p = arg;
    block(1);
    must((int)write(p->to, "one", 3));
    block(2);
    must((int)write(p->to, "two", 3));
    block(1);
    (void)close(p->to);
    return NULL;
}

static void say_timer(void *arg)
{
    (void)arg;
    tout("timer");
}

static int reader_main(void *arg, void **ret_result, struct err *e)
{
    struct loop *l = loop_running();
    struct pipe_ends p = {.done = need(loop_create_future(l))};
    pthread_t writer;
    int ends[2];
    (void)arg, (void)ret_result;
    must(pipe2(ends, O_CLOEXEC));
    p.from = ends[0], p.to = ends[1];
    start_clock();
    must(loop_add_reader(l, p.from, on_readable, &p, e));
    (void)later(l, 2, say_timer, NULL);
    must(-pthread_create(&writer, NULL, write_slowly, &p));
    must(future_await(p.done, NULL, e));
    tout("end");
    future_unref(p.done);
    must(-pthread_join(writer, NULL));
    return 0;
}

static void io_reader(void)
{
    must(run(reader_main, NULL, NULL, NULL));
}

const struct scenario io_scenarios[] = {
    {"io-reader", io_reader},
    {NULL, NULL},
};
