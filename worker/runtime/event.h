/* event.h - something has happened: all who wait go on, and nobody waits until it is cleared. Runs
 * on: the loop's thread (another one: lock.h). Awaits only where said. Errors: negative codes.
 * Ownership: the caller's storage. Source: CPython 3.11 asyncio.Event. */
#ifndef RUNTIME_EVENT_H
#define RUNTIME_EVENT_H

#include "worker/runtime/waiters.h"

struct event {
    bool set;
    struct waiters waiters;
};

void event_init(struct event *v);
void event_set(struct event *v); /* who waits goes on, also when it is cleared right behind */
void event_clear(struct event *v);
bool event_is_set(const struct event *v);
int event_wait(struct event *v, struct err *e); /* awaits; 0, -ECANCELED, ERROR_NO_TASK */

#endif
