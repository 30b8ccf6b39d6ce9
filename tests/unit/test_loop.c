#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ev.h>

#include "worker/runtime/future.h"
#include "worker/runtime/loop.h"
#include "worker/runtime/task.h"

#define LETTER(text) ((void *)(uintptr_t)(text))

static char order[64]; /* what ran, a letter each; for the test in hand */

static void note(void *letter)
{
    size_t len = strlen(order);
    order[len] = *(const char *)letter;
    order[len + 1] = '\0';
}

static void stop(void *l)
{
    loop_stop(l);
}

static int setup(void **state)
{
    order[0] = '\0';
    *state = loop_new(0);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    loop_free(*state);
    return 0;
}

static void run_until_stopped(struct loop *l)
{
    assert_non_null(loop_call_soon(l, stop, l));
    assert_int_equal(loop_run_forever(l, NULL), 0);
}

static void callbacks_run_in_order(void **state)
{
    struct loop *l = *state;
    for (const char *c = "abc"; *c; c++)
        assert_non_null(loop_call_soon(l, note, LETTER(c)));
    run_until_stopped(l);
    assert_string_equal(order, "abc");
}

static void timers_of_one_time_run_in_order_of_creation(void **state)
{
    struct loop *l = *state;
    int64_t at = loop_time_ms(l) + 2;
    for (const char *c = "abcdefgh"; *c; c++)
        assert_non_null(loop_call_at(l, at, note, LETTER(c)));
    assert_non_null(loop_call_at(l, at, stop, l));
    assert_int_equal(loop_run_forever(l, NULL), 0);
    assert_string_equal(order, "abcdefgh");
}

static void spin(void *l)
{
    (void)loop_call_soon(l, spin, l);
}

/* Once in a loop that sleeps until then, once in one that looks at the clock all the time. */
static void a_timer_is_never_early(void **state)
{
    struct loop *l = *state;
    for (int i = 0; i < 20; i++) {
        int64_t at = loop_time_ms(l) + 3;
        assert_non_null(loop_call_at(l, at, stop, l));
        assert_int_equal(loop_run_forever(l, NULL), 0);
        assert_true(loop_time_ms(l) >= at);
        if (i == 10)
            spin(l);
    }
}

static void a_cancelled_handle_does_not_run(void **state)
{
    struct loop *l = *state;
    struct handle *soon = handle_ref(loop_call_soon(l, note, LETTER("x")));
    struct handle *later = handle_ref(loop_call_later(l, 0, note, LETTER("y")));
    handle_cancel(soon);
    handle_cancel(later);
    handle_cancel(later);
    run_until_stopped(l);
    assert_string_equal(order, "");
    assert_true(handle_cancelled(soon) && handle_cancelled(later));
    handle_unref(soon);
    handle_unref(later);
}

static void a_handle_outlives_its_loop(void **state)
{
    (void)state;
    struct loop *l = loop_new(0);
    struct handle *h = handle_ref(loop_call_later(l, 60000, note, LETTER("x")));
    loop_free(l);
    assert_false(handle_cancelled(h));
    handle_cancel(h);
    handle_unref(h);
}

static void a_closed_loop_says_so(void **state)
{
    struct loop *l = *state;
    struct err e;
    assert_int_equal(loop_close(l, NULL), 0);
    assert_int_equal(loop_close(l, NULL), 0);
    assert_true(loop_is_closed(l));
    assert_null(loop_call_soon(l, note, LETTER("x")));
    assert_int_equal(errno, -ERROR_CLOSED);
    assert_null(loop_call_later(l, 0, note, LETTER("x")));
    assert_int_equal(loop_call_soon_threadsafe(l, note, LETTER("x")), ERROR_CLOSED);
    assert_int_equal(loop_run_forever(l, &e), ERROR_CLOSED);
    assert_string_equal(e.text, "Event loop is closed");
}

struct nested {
    struct loop *mine, *other;
    int again, elsewhere, close;
    struct loop *running;
};

static void try_to_nest(void *arg)
{
    struct nested *n = arg;
    n->running = loop_running();
    n->again = loop_run_forever(n->mine, NULL);
    n->elsewhere = loop_run_forever(n->other, NULL);
    n->close = loop_close(n->mine, NULL);
}

static void a_running_loop_is_not_run_again(void **state)
{
    struct nested n = {.mine = *state, .other = loop_new(0)};
    assert_non_null(loop_call_soon(n.mine, try_to_nest, &n));
    run_until_stopped(n.mine);
    assert_ptr_equal(n.running, n.mine);
    assert_int_equal(n.again, ERROR_RUNNING);
    assert_int_equal(n.elsewhere, ERROR_OTHER_RUNNING);
    assert_int_equal(n.close, ERROR_CLOSE_RUNNING);
    assert_null(loop_running());
    assert_int_equal(errno, -ERROR_NO_LOOP);
    loop_free(n.other);
}

static void interrupt(void *l)
{
    loop_interrupt(l, ERROR_INTERRUPT);
}

static void an_interrupt_ends_the_run_at_once(void **state)
{
    struct loop *l = *state;
    assert_non_null(loop_call_soon(l, note, LETTER("a")));
    assert_non_null(loop_call_soon(l, interrupt, l));
    assert_non_null(loop_call_soon(l, note, LETTER("b")));
    assert_int_equal(loop_run_forever(l, NULL), ERROR_INTERRUPT);
    assert_string_equal(order, "a");
    run_until_stopped(l);
    assert_string_equal(order, "ab"); /* what was queued is not lost */
}

struct pipe_end {
    int fd, seen;
};

static void on_readable(struct ev_loop *ev, ev_io *w, int events)
{
    struct pipe_end *p = w->data;
    (void)events;
    p->seen++;
    ev_io_stop(ev, w);
}

static void spin_until_seen(void *arg)
{
    void **pair = arg;
    struct pipe_end *p = pair[1];
    if (p->seen)
        loop_stop(pair[0]);
    else
        (void)loop_call_soon(pair[0], spin_until_seen, arg);
}

static void a_busy_loop_sees_descriptors(void **state)
{
    struct loop *l = *state;
    struct pipe_end p = {.seen = 0};
    int fds[2];
    ev_io w;
    void *pair[] = {l, &p};
    assert_int_equal(pipe(fds), 0);
    ev_io_init(&w, on_readable, fds[0], EV_READ);
    w.data = &p;
    ev_io_start(loop_ev(l), &w);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_non_null(loop_call_soon(l, spin_until_seen, pair));
    assert_int_equal(loop_run_forever(l, NULL), 0);
    assert_int_equal(p.seen, 1);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

struct reports {
    int count, code;
    char message[64], text[64];
};

static int keep_report(struct loop *l, const struct loop_report *r, void *arg, struct err *e)
{
    struct reports *x = arg;
    (void)l, (void)e;
    x->count++;
    x->code = r->code;
    (void)snprintf(x->message, sizeof x->message, "%s", r->message);
    (void)snprintf(x->text, sizeof x->text, "%s", r->text ? r->text : "");
    return 0;
}

static void raise_value(void *arg)
{
    (void)arg;
    (void)loop_raise(-EINVAL, "bad %d", 3);
}

static void what_a_callback_raises_is_reported(void **state)
{
    struct loop *l = *state;
    struct reports x = {.count = 0};
    loop_set_exception_handler(l, keep_report, &x);
    assert_non_null(loop_call_soon(l, raise_value, NULL));
    assert_non_null(loop_call_soon(l, note, LETTER("a")));
    run_until_stopped(l);
    assert_int_equal(x.count, 1);
    assert_int_equal(x.code, -EINVAL);
    assert_string_equal(x.text, "bad 3");
    assert_string_equal(order, "a");
}

struct part {
    struct loop_part part; /* first */
    int closed;
};

static int shutdown_part(struct loop_part *p, struct err *e)
{
    (void)p, (void)e;
    return 0;
}

static void close_part(struct loop_part *p)
{
    ((struct part *)(void *)p)->closed++;
}

static void parts_are_closed_with_the_loop(void **state)
{
    struct loop *l = *state;
    struct part p = {.part = {.shutdown = shutdown_part, .close = close_part}};
    loop_add_part(l, &p.part);
    assert_int_equal(loop_close(l, NULL), 0);
    assert_int_equal(p.closed, 1);
}

static void *call_from_elsewhere(void *l)
{
    (void)loop_call_soon(l, note, LETTER("x"));
    return NULL;
}

static void misuse(void *l)
{
    pthread_t t;
    (void)pthread_create(&t, NULL, call_from_elsewhere, l);
    (void)pthread_join(t, NULL);
}

static void a_call_from_the_wrong_thread_ends_the_process(void **state)
{
    int fds[2], status;
    char text[256] = "";
    (void)state;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGABRT, SIG_DFL); /* cmocka's would go on with the tests */
        (void)dup2(fds[1], STDERR_FILENO);
        struct loop *l = loop_new(0);
        (void)loop_call_soon(l, misuse, l);
        (void)loop_run_forever(l, NULL);
        _exit(0);
    }
    (void)close(fds[1]);
    assert_true(read(fds[0], text, sizeof text - 1) > 0);
    (void)close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(text, "fatal: loop_call_soon: called from another thread"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(callbacks_run_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(timers_of_one_time_run_in_order_of_creation, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_timer_is_never_early, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cancelled_handle_does_not_run, setup, teardown),
        cmocka_unit_test(a_handle_outlives_its_loop),
        cmocka_unit_test_setup_teardown(a_closed_loop_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(a_running_loop_is_not_run_again, setup, teardown),
        cmocka_unit_test_setup_teardown(an_interrupt_ends_the_run_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_busy_loop_sees_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_callback_raises_is_reported, setup, teardown),
        cmocka_unit_test_setup_teardown(parts_are_closed_with_the_loop, setup, teardown),
        cmocka_unit_test(a_call_from_the_wrong_thread_ends_the_process),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
