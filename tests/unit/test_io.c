/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
#include "tests/unit/sockets.h"

#include <fcntl.h>
#include <sys/un.h>

#include "worker/runtime/watch_fd.h"

/* -- reading -- */

struct reading {
    int fd;
    int64_t limit_ms; /* NO_LIMIT */
    ssize_t n;
    int errno_after;
    char text[16];
    struct err e;
};

static int read_once(void *arg, void **ret_result, struct err *e)
{
    struct reading *r = arg;
    (void)ret_result, (void)e;
    errno = EXFULL;
    r->n = io_read(r->fd, r->text, sizeof r->text, r->limit_ms < 0 ? NO_LIMIT : in_ms(r->limit_ms),
                   &r->e);
    r->errno_after = errno;
    return r->n < 0 ? (int)r->n : 0;
}

static int reading_main(void *n, void **ret_result, struct err *e)
{
    int ends[2];
    (void)ret_result, (void)e;
    note(n, open_pair(ends));
    struct reading r = {.fd = ends[0], .limit_ms = NO_LIMIT};
    struct task *t = task_create(read_once, &r, NULL);
    note(n, turns(3));
    note(n, task_done(t));
    note(n, put(ends[1], "hello"));
    errno = 0;
    note(n, end_of(t));
    note(n, r.n);
    note(n, memcmp(r.text, "hello", 5));
    note(n, r.errno_after);
    t = task_create(read_once, &r, NULL);
    note(n, turns(3));
    io_close(loop_running(), ends[1]); /* the peer closes while it is awaited */
    note(n, end_of(t));
    note(n, r.n);
    io_close(loop_running(), ends[0]);
    return 0;
}

static void reading_waits_for_the_peer_and_leaves_errno_alone(void **state)
{
    (void)state;
    EXPECT(reading_main, 0, 0, 0, 5, 0, 5, 0, EXFULL, 0, 0, 0);
}

static int deadline_main(void *n, void **ret_result, struct err *e)
{
    int ends[2];
    (void)ret_result, (void)e;
    note(n, open_pair(ends));
    struct reading r = {.fd = ends[0], .limit_ms = SHORT_MS};
    int64_t begin = loop_time_ms(loop_running());
    note(n, read_once(&r, NULL, NULL));
    note(n, loop_time_ms(loop_running()) - begin >= SHORT_MS);
    note(n, r.errno_after);
    note(n, r.e.code);
    r.limit_ms = 0; /* over already: only what is there */
    note(n, read_once(&r, NULL, NULL));
    note(n, put(ends[1], "x"));
    note(n, read_once(&r, NULL, NULL));
    note(n, r.n);
    r.limit_ms = 60000; /* and a limit that is not reached leaves nothing behind */
    struct task *t = task_create(read_once, &r, NULL);
    note(n, turns(2));
    note(n, put(ends[1], "yz"));
    note(n, end_of(t));
    note(n, r.n);
    close_pair(ends);
    return 0;
}

static void the_deadline_ends_the_wait(void **state)
{
    (void)state;
    EXPECT(deadline_main, 0, -ETIMEDOUT, 1, EXFULL, -ETIMEDOUT, -ETIMEDOUT, 1, 0, 1, 0, 2, 0, 2);
}

static int cancel_main(void *n, void **ret_result, struct err *e)
{
    int ends[2];
    (void)ret_result, (void)e;
    note(n, open_pair(ends));
    struct reading r = {.fd = ends[0], .limit_ms = 60000};
    struct task *t = task_create(read_once, &r, NULL);
    note(n, turns(2));
    note(n, task_cancel(t));
    note(n, end_of(t));
    note(n, r.n);
    note(n, r.e.code);
    t = task_create(read_once, &r, NULL); /* it is free again to be awaited */
    note(n, turns(2));
    note(n, put(ends[1], "abc"));
    note(n, end_of(t));
    note(n, r.n);
    close_pair(ends);
    return 0;
}

static void cancelling_frees_the_descriptor(void **state)
{
    (void)state;
    EXPECT(cancel_main, 0, 0, 1, -ECANCELED, -ECANCELED, -ECANCELED, 0, 3, 0, 3);
}

/* Readiness and cancellation in one iteration, in each order: the bytes stay for the next. */
static int race_main(void *n, void **ret_result, struct err *e)
{
    int ends[2];
    (void)ret_result, (void)e;
    note(n, open_pair(ends));
    struct reading r = {.fd = ends[0], .limit_ms = NO_LIMIT}, next = r;
    for (int gap = 0; gap < 4; gap++) {
        struct task *t = task_create(read_once, &r, NULL);
        (void)turns(2);
        (void)put(ends[1], "abc");
        (void)turns(gap);
        (void)task_cancel(t);
        struct task *u = task_create(read_once, &next, NULL);
        int first = end_of(t);
        if (first == 0) /* it had them before */
            (void)put(ends[1], "abc");
        note(n, end_of(u) == 0 && next.n == 3);
    }
    close_pair(ends);
    return 0;
}

static void a_cancelled_reader_takes_nothing_from_the_next(void **state)
{
    (void)state;
    EXPECT(race_main, 0, 1, 1, 1, 1);
}

static int closed_main(void *n, void **ret_result, struct err *e)
{
    int ends[2];
    (void)ret_result;
    note(n, open_pair(ends));
    struct reading r = {.fd = ends[0], .limit_ms = NO_LIMIT};
    struct task *t = task_create(read_once, &r, NULL);
    note(n, turns(2));
    io_close(loop_running(), ends[0]);
    note(n, end_of(t));
    note(n, read_once(&r, NULL, NULL));
    note(n, strcmp(r.e.text, "") != 0);
    note(n, io_wait_readable(-1, NO_LIMIT, e));
    note(n, fcntl(ends[0], F_GETFD) < 0);
    io_close(loop_running(), ends[1]);
    return 0;
}

static void closing_wakes_who_awaits_it(void **state)
{
    (void)state;
    EXPECT(closed_main, 0, 0, -EBADF, -EBADF, 1, -EBADF, 1);
}

/* -- writing -- */

struct flow {
    int fd;
    size_t len, done;
    char *bytes;
};

static int write_flow(void *arg, void **ret_result, struct err *e)
{
    struct flow *x = arg;
    (void)ret_result;
    while (x->done < x->len) {
        ssize_t n = io_write(x->fd, x->bytes + x->done, x->len - x->done, NO_LIMIT, e);
        if (n < 0)
            return (int)n;
        x->done += (size_t)n;
    }
    return 0;
}

static int read_flow(void *arg, void **ret_result, struct err *e)
{
    struct flow *x = arg;
    (void)ret_result;
    while (x->done < x->len) {
        ssize_t n = io_read(x->fd, x->bytes + x->done, x->len - x->done, NO_LIMIT, e);
        if (n <= 0)
            return n < 0 ? (int)n : -ENODATA;
        x->done += (size_t)n;
    }
    return 0;
}

#define FLOW_BYTES 2000000

/* More than the sockets hold, both ways, on the same two descriptors. */
static int both_ways_main(void *n, void **ret_result, struct err *e)
{
    static char sent[2][FLOW_BYTES], got[2][FLOW_BYTES];
    int ends[2];
    struct task *t[4];
    (void)ret_result, (void)e;
    note(n, open_pair(ends));
    struct flow out[2], in[2];
    for (int i = 0; i < 2; i++) {
        for (size_t k = 0; k < FLOW_BYTES; k++)
            sent[i][k] = (char)(k * 7 + k / 251 + (size_t)i);
        out[i] = (struct flow){ends[i], FLOW_BYTES, 0, sent[i]};
        in[i] = (struct flow){ends[i], FLOW_BYTES, 0, got[i]};
    }
    for (int i = 0; i < 2; i++)
        t[i] = task_create(write_flow, &out[i], NULL);
    (void)turns(2);
    note(n, out[0].done < FLOW_BYTES && out[1].done < FLOW_BYTES); /* both are stuck */
    for (int i = 0; i < 2; i++)
        t[2 + i] = task_create(read_flow, &in[i], NULL);
    for (int i = 0; i < 4; i++)
        note(n, end_of(t[i]));
    note(n, memcmp(sent[0], got[1], FLOW_BYTES) == 0 && memcmp(sent[1], got[0], FLOW_BYTES) == 0);
    close_pair(ends);
    return 0;
}

static void both_directions_flow_at_once(void **state)
{
    (void)state;
    EXPECT(both_ways_main, 0, 1, 0, 0, 0, 0, 1);
}

static int broken_main(void *n, void **ret_result, struct err *e)
{
    int ends[2], tube[2];
    (void)ret_result;
    note(n, open_pair(ends));
    io_close(loop_running(), ends[1]);
    note(n, io_write(ends[0], "x", 1, NO_LIMIT, e)); /* and no SIGPIPE */
    io_close(loop_running(), ends[0]);
    note(n, pipe2(tube, O_CLOEXEC | O_NONBLOCK));
    note(n, io_write(tube[1], "pipe", 4, NO_LIMIT, e));
    struct reading r = {.fd = tube[0], .limit_ms = NO_LIMIT};
    note(n, read_once(&r, NULL, NULL));
    note(n, r.n);
    close_pair(tube);
    return 0;
}

static void writing_tells_that_the_peer_has_gone(void **state)
{
    (void)state;
    EXPECT(broken_main, 0, -EPIPE, 0, 4, 0, 4);
}

/* -- connecting -- */

static struct sockaddr_un unix_name(socklen_t *ret_len)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    *ret_len = sizeof(sa_family_t); /* bind(2) chooses a free abstract name */
    return a;
}

static int connect_main(void *n, void **ret_result, struct err *e)
{
    socklen_t len, room = sizeof(struct sockaddr_un);
    struct sockaddr_un a = unix_name(&len);
    int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    int door = socket(AF_UNIX, type, 0), fd = socket(AF_UNIX, type, 0), last;
    struct sockaddr *name = (struct sockaddr *)&a;
    (void)ret_result;
    note(n, bind(door, name, len));
    note(n, getsockname(door, name, &room));
    note(n, io_connect(fd, name, room, NO_LIMIT, e)); /* nobody listens */
    note(n, listen(door, 0));
    note(n, io_connect(fd, name, room, NO_LIMIT, e));
    last = socket(AF_UNIX, type, 0);
    note(n, io_connect(last, name, room, in_ms(SHORT_MS), e)); /* the backlog is full */
    io_close(loop_running(), accept4(door, NULL, NULL, SOCK_CLOEXEC));
    note(n, io_connect(last, name, room, in_ms(60000), e));
    io_close(loop_running(), last);
    int set[2] = {door, fd};
    close_pair(set);
    return 0;
}

static void connecting_waits_for_a_full_backlog(void **state)
{
    (void)state;
    EXPECT(connect_main, 0, 0, -ECONNREFUSED, 0, 0, -ETIMEDOUT, 0);
}

/* -- misuse -- */

static int misuse_main(void *n, void **ret_result, struct err *e)
{
    int ends[2], tube[2];
    (void)ret_result;
    note(n, open_pair(ends));
    struct reading r = {.fd = ends[0], .limit_ms = NO_LIMIT}, second = r;
    struct task *t = task_create(read_once, &r, NULL);
    note(n, turns(2));
    note(n, read_once(&second, NULL, NULL));
    note(n, strstr(second.e.text, "is awaited for reading already") != NULL);
    note(n, loop_add_reader(loop_running(), ends[0], cancel_future, NULL, e));
    note(n, loop_remove_reader(loop_running(), ends[0])); /* it is the task's */
    note(n, put(ends[1], "1"));
    note(n, end_of(t)); /* undisturbed */
    note(n, pipe2(tube, O_CLOEXEC));
    note(n, io_read(tube[0], r.text, 1, NO_LIMIT, e));
    note(n, strstr(e->text, "must be non-blocking") != NULL);
    close_pair(tube);
    close_pair(ends);
    return 0;
}

static void misuse_is_an_error_with_a_sentence(void **state)
{
    char byte;
    struct err e;
    (void)state;
    EXPECT(misuse_main, 0, 0, ERROR_RUNTIME, 1, ERROR_RUNTIME, 0, 1, 0, 0, -EINVAL, 1);
    assert_int_equal(io_read(0, &byte, 1, NO_LIMIT, &e), ERROR_NO_TASK);
    assert_int_equal(io_wait_readable(0, NO_LIMIT, &e), ERROR_NO_TASK);
}

/* A task that still awaits when its loop is closed is dropped; what it awaited is let go. */
static void closing_the_loop_lets_go_of_everything(void **state)
{
    int ends[2];
    struct err e;
    struct lost lost = {.count = 0};
    struct loop *l = loop_new(0);
    (void)state;
    assert_int_equal(open_pair(ends), 0);
    struct reading r = {.fd = ends[0], .limit_ms = 60000};
    loop_set_exception_handler(l, note_lost, &lost);
    task_unref(loop_create_task(l, read_once, &r, NULL));
    assert_int_equal(loop_add_writer(l, ends[0], cancel_future, NULL, &e), 0);
    assert_int_equal(loop_add_reader(l, ends[1], cancel_future, NULL, &e), 0);
    assert_true(loop_remove_writer(l, ends[0]));
    loop_stop(l);
    assert_int_equal(loop_run_forever(l, &e), 0);
    assert_int_equal(loop_close(l, &e), 0);
    assert_int_equal(lost.count, 1);
    assert_int_equal(loop_add_reader(l, ends[0], cancel_future, NULL, &e), ERROR_CLOSED);
    assert_string_equal(e.text, "Event loop is closed");
    assert_false(loop_remove_reader(l, ends[1]));
    io_close(l, ends[0]);
    io_close(l, ends[1]);
    loop_free(l);
}

/* -- callbacks -- */

struct seen {
    int fd, first, second;
    struct loop *loop;
};

static void on_second(void *arg)
{
    struct seen *s = arg;
    if (++s->second == 3)
        loop_stop(s->loop);
}

static void on_first(void *arg)
{
    struct seen *s = arg;
    s->first++;
    (void)loop_add_reader(s->loop, s->fd, on_second, s, NULL); /* replaces itself */
}

static void a_callback_may_replace_itself_and_comes_until_removed(void **state)
{
    struct err e;
    int ends[2];
    struct seen s = {.loop = loop_new(0)};
    (void)state;
    assert_int_equal(open_pair(ends), 0);
    s.fd = ends[0];
    assert_int_equal(put(ends[1], "x"), 1);
    assert_int_equal(loop_add_reader(s.loop, s.fd, on_first, &s, &e), 0);
    assert_int_equal(loop_run_forever(s.loop, &e), 0);
    assert_int_equal(s.first, 1);
    assert_int_equal(s.second, 3); /* level triggered: nobody has read */
    assert_true(loop_remove_reader(s.loop, s.fd));
    assert_false(loop_remove_reader(s.loop, s.fd));
    loop_stop(s.loop);
    assert_int_equal(loop_run_forever(s.loop, &e), 0);
    assert_int_equal(s.second, 3);
    assert_int_equal(loop_add_reader(s.loop, -1, on_first, &s, &e), -EBADF);
    io_close(s.loop, ends[0]);
    io_close(s.loop, ends[1]);
    loop_free(s.loop);
}

struct rivals { /* two readers of the same end; whoever is called removes the other one */
    struct loop *loop;
    int fds[2], calls[2];
};

static void remove_rival(struct rivals *x, int me)
{
    x->calls[me]++;
    (void)loop_remove_reader(x->loop, x->fds[1 - me]);
    loop_stop(x->loop);
}

static void on_rival_0(void *arg)
{
    remove_rival(arg, 0);
}

static void on_rival_1(void *arg)
{
    remove_rival(arg, 1);
}

static void a_callback_removed_in_the_same_iteration_is_skipped(void **state)
{
    struct err e;
    int ends[2];
    struct rivals x = {.loop = loop_new(0)};
    (void)state;
    assert_int_equal(open_pair(ends), 0);
    x.fds[0] = ends[0];
    x.fds[1] = dup(ends[0]);
    assert_int_equal(put(ends[1], "x"), 1);
    assert_int_equal(loop_add_reader(x.loop, x.fds[0], on_rival_0, &x, &e), 0);
    assert_int_equal(loop_add_reader(x.loop, x.fds[1], on_rival_1, &x, &e), 0);
    assert_int_equal(loop_run_forever(x.loop, &e), 0);
    assert_int_equal(x.calls[0] + x.calls[1], 1);
    io_close(x.loop, x.fds[1]);
    io_close(x.loop, ends[0]);
    io_close(x.loop, ends[1]);
    loop_free(x.loop);
}

/* -- memory -- */

static int play_waits(void *arg, void **ret_result, struct err *e)
{
    int ends[2], far;
    (void)arg, (void)ret_result;
    if (open_pair(ends) < 0)
        return -errno;
    far = fcntl(ends[0], F_DUPFD_CLOEXEC, 200); /* the table grows */
    int r = io_wait_writable(ends[1], in_ms(60000), e);
    if (r == 0)
        r = loop_add_reader(loop_running(), far, cancel_future, NULL, e);
    if (r == 0 && !loop_remove_reader(loop_running(), far))
        r = -ENOENT;
    io_close(loop_running(), far);
    close_pair(ends);
    return r;
}

static void no_memory_is_an_error_and_leaves_nothing_behind(void **state)
{
    (void)state;
    check_each_allocation(play_waits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading_waits_for_the_peer_and_leaves_errno_alone),
        cmocka_unit_test(the_deadline_ends_the_wait),
        cmocka_unit_test(cancelling_frees_the_descriptor),
        cmocka_unit_test(a_cancelled_reader_takes_nothing_from_the_next),
        cmocka_unit_test(closing_wakes_who_awaits_it),
        cmocka_unit_test(both_directions_flow_at_once),
        cmocka_unit_test(writing_tells_that_the_peer_has_gone),
        cmocka_unit_test(connecting_waits_for_a_full_backlog),
        cmocka_unit_test(misuse_is_an_error_with_a_sentence),
        cmocka_unit_test(closing_the_loop_lets_go_of_everything),
        cmocka_unit_test(a_callback_may_replace_itself_and_comes_until_removed),
        cmocka_unit_test(a_callback_removed_in_the_same_iteration_is_skipped),
        cmocka_unit_test(no_memory_is_an_error_and_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
