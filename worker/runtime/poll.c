#include "worker/runtime/internal.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "worker/runtime/reserve.h"

#define POLL_BUDGET 64 /* callbacks between two looks at I/O while the queue never gets empty */

static void on_wake(struct ev_loop *ev, ev_io *w, int events)
{
    struct loop *l = w->data;
    uint64_t count;
    (void)ev, (void)events;
    (void)!read(l->wake_fd, &count, sizeof count);
}

static void on_alarm(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)w,
        (void)events; /* it only ends the waiting: due timers are looked for anyway */
}

int poll_open(struct loop *l)
{
    int r = reserve_install();
    if (r < 0)
        return r;
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wake_fd < 0)
        return -errno;
    l->ev = ev_loop_new(EVFLAG_NOENV | EVFLAG_NOSIGMASK | EVBACKEND_EPOLL);
    if (!l->ev)
        return errno > 0 ? -errno : -ENOMEM;
    ev_io_init(&l->wake, on_wake, l->wake_fd, EV_READ);
    l->wake.data = l;
    ev_io_start(l->ev, &l->wake);
    ev_timer_init(&l->alarm, on_alarm, 0., 0.);
    ev_run(l->ev, EVRUN_NOWAIT); /* tells the kernel; refused, nobody could wake the loop */
    return ev_is_active(&l->wake) ? 0 : -ENOMEM;
}

void poll_close(struct loop *l)
{
    if (!l->ev)
        return;
    ev_timer_stop(l->ev, &l->alarm);
    ev_io_stop(l->ev, &l->wake);
    ev_loop_destroy(l->ev);
    l->ev = NULL;
}

static int64_t coarse_tick(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void poll_now(struct loop *l)
{
    int64_t tick = coarse_tick();
    if (l->budget > 0 && tick == l->tick)
        return;
    l->budget = POLL_BUDGET;
    l->tick = tick;
    ev_run(l->ev, EVRUN_NOWAIT);
}

/* libev counts from the time it read last, so it is made to read it: else the alarm would come
 * early. */
static void set_alarm(struct loop *l)
{
    int64_t left_ns = timers_first_ns(&l->timers) - clock_now_ns();
    ev_now_update(l->ev);
    l->alarm.repeat = left_ns > 0 ? (double)left_ns * 1e-9 : 1e-9;
    ev_timer_again(l->ev, &l->alarm);
}

void poll_wait(struct loop *l)
{
    atomic_store(&l->sleeping, true);
    if (atomic_load(&l->inbox)) {
        atomic_store(&l->sleeping, false);
        return;
    }
    if (!timers_empty(&l->timers))
        set_alarm(l);
    ev_run(l->ev, EVRUN_ONCE);
    ev_timer_stop(l->ev, &l->alarm);
    atomic_store_explicit(&l->sleeping, false, memory_order_relaxed);
    l->budget = POLL_BUDGET;
    l->tick = coarse_tick();
}

void poll_wake(struct loop *l)
{
    uint64_t one = 1;
    while (write(l->wake_fd, &one, sizeof one) < 0 && (errno == EINTR || errno == ENOMEM))
        ; /* nobody would wake it again; full: it is awake */
}
