#include "worker/runtime/timeout.h"

#include <errno.h>
#include <stddef.h>

#include "worker/runtime/internal.h"

static void on_alarm(void *arg)
{
    struct timeout *t = arg;
    (void)task_cancel(t->task);
    t->state = TIMEOUT_EXPIRING;
}

static void drop_alarm(struct timeout *t)
{
    if (!t->alarm)
        return;
    handle_cancel(t->alarm);
    handle_unref(t->alarm);
    t->alarm = NULL;
}

static int keep_alarm(struct timeout *t, struct handle *h, struct err *e)
{
    if (!h)
        return error_set(e, -errno);
    t->alarm = handle_ref(h);
    return 0;
}

static int set_alarm(struct timeout *t, struct err *e)
{
    struct loop *l = future_loop(task_future(t->task));
    if (t->when_ms < 0)
        return 0;
    if (t->when_ms <= loop_time_ms(l))
        return keep_alarm(t, loop_call_soon(l, on_alarm, t), e);
    return keep_alarm(t, loop_call_at(l, t->when_ms, on_alarm, t), e);
}

static int begin(struct timeout *t, int64_t when_ms, struct err *e)
{
    struct task *task = task_current();
    if (!task)
        return err_set(e, ERROR_NO_TASK, "Timeout should be used inside a task");
    *t = (struct timeout){.state = TIMEOUT_ACTIVE,
                          .cancelling = task_cancelling(task),
                          .when_ms = when_ms < 0 ? -1 : when_ms,
                          .task = task};
    return 0;
}

int timeout_enter_at(struct timeout *t, int64_t when_ms, struct err *e)
{
    GIVEN(t);
    int r = begin(t, when_ms, e);
    return r < 0 ? r : set_alarm(t, e);
}

static int64_t later(int64_t now_ms, int64_t delay_ms)
{
    return delay_ms > INT64_MAX - now_ms ? INT64_MAX : now_ms + delay_ms;
}

/* The alarm counts from now to the nanosecond: a deadline in whole ms would come early. */
int timeout_enter(struct timeout *t, int64_t delay_ms, struct err *e)
{
    GIVEN(t);
    struct loop *l = loop_running();
    int64_t now_ms = l ? loop_time_ms(l) : 0;
    int r = begin(t, delay_ms < 0 ? -1 : later(now_ms, delay_ms), e);
    if (r < 0 || delay_ms < 0)
        return r;
    if (delay_ms == 0)
        return keep_alarm(t, loop_call_soon(l, on_alarm, t), e);
    return keep_alarm(t, loop_call_later(l, delay_ms, on_alarm, t), e);
}

int timeout_exit(struct timeout *t, int code, struct err *e)
{
    GIVEN(t);
    if (t->state != TIMEOUT_ACTIVE && t->state != TIMEOUT_EXPIRING)
        error_fatal("timeout_exit: the block was left before");
    if (t->task != task_current())
        error_fatal("timeout_exit: by another task than the one that began the block");
    drop_alarm(t);
    if (t->state != TIMEOUT_EXPIRING) {
        t->state = TIMEOUT_FINISHED;
        return code;
    }
    t->state = TIMEOUT_EXPIRED;
    bool ours = task_uncancel(t->task) <= t->cancelling;
    return ours && code == -ECANCELED ? error_set(e, -ETIMEDOUT) : code;
}

int timeout_reschedule(struct timeout *t, int64_t when_ms, struct err *e)
{
    GIVEN(t);
    static const char *const names[] = {[TIMEOUT_EXPIRING] = "expiring",
                                        [TIMEOUT_EXPIRED] = "expired",
                                        [TIMEOUT_FINISHED] = "finished"};
    if (t->state != TIMEOUT_ACTIVE)
        return err_set(e, ERROR_RUNTIME, "Cannot change state of %s Timeout", names[t->state]);
    task_check(t->task, __func__);
    drop_alarm(t);
    t->when_ms = when_ms < 0 ? -1 : when_ms;
    return set_alarm(t, e);
}

int64_t timeout_when_ms(const struct timeout *t)
{
    GIVEN(t);
    return t->when_ms;
}

bool timeout_expired(const struct timeout *t)
{
    GIVEN(t);
    return t->state == TIMEOUT_EXPIRING || t->state == TIMEOUT_EXPIRED;
}
