#include "worker/runtime/event.h"

void event_init(struct event *v)
{
    GIVEN(v);
    *v = (struct event){0};
}

void event_set(struct event *v)
{
    GIVEN(v);
    waiters_must_enter(&v->waiters, __func__);
    if (v->set)
        return;
    v->set = true;
    waiters_wake_all(&v->waiters);
}

void event_clear(struct event *v)
{
    GIVEN(v);
    waiters_must_enter(&v->waiters, __func__);
    v->set = false;
}

bool event_is_set(const struct event *v)
{
    GIVEN(v);
    waiters_check(&v->waiters, __func__);
    return v->set;
}

int event_wait(struct event *v, struct err *e)
{
    GIVEN(v);
    bool woken;
    int r = waiters_enter(&v->waiters, e);
    return r < 0 || v->set ? r : waiters_wait(&v->waiters, &woken, e);
}
