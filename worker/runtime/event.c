#include "worker/runtime/event.h"

void event_init(struct event *v)
{
    GIVEN(v);
    *v = (struct event){0};
}

void event_set(struct event *v)
{
    GIVEN(v);
    if (v->set)
        return;
    v->set = true;
    waiters_wake_all(&v->waiters);
}

void event_clear(struct event *v)
{
    GIVEN(v);
    v->set = false;
}

bool event_is_set(const struct event *v)
{
    GIVEN(v);
    return v->set;
}

int event_wait(struct event *v, struct err *e)
{
    GIVEN(v);
    bool woken;
    return v->set ? 0 : waiters_wait(&v->waiters, &woken, e);
}
