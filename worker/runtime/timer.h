/* timer.h - what is due when: a heap ordered by deadline, equal deadlines by age; internal to the
 * runtime.
 * Runs on: one thread at a time. Never awaits. Errors: -ENOMEM. Units: ns on the monotonic clock.
 * A timer lies in its owner's storage; the heap borrows it until it is popped or removed. */
#ifndef RUNTIME_TIMER_H
#define RUNTIME_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/runtime/loop.h"

struct timer {
    struct loop_item item;
    size_t place; /* in the heap, from 1; 0: not in it */
};

struct timer_entry {
    int64_t due_ns;
    uint64_t age;
    struct timer *timer;
};

struct timers {
    struct timer_entry *heap; /* four children a node: half the cache misses of two */
    size_t count, room;
    uint64_t next_age;
};

int timers_add(struct timers *h, struct timer *t, int64_t due_ns); /* t->place must be 0 */
void timers_remove(struct timers *h, struct timer *t);             /* nothing where it is not in */
struct timer *timers_pop_due(struct timers *h,
                             int64_t now_ns); /* the first due before or now; NULL */
struct timer *timers_pop(struct timers *h);   /* any one; NULL when empty */
void timers_deinit(struct timers *h);
/* ms as ns; what is too far away for that: more than a hundred years. */
static inline int64_t timer_ns(int64_t ms)
{
    const int64_t far = INT64_MAX / 2000000;
    return (ms > far ? far : ms < -far ? -far : ms) * 1000000;
}
static inline bool timers_empty(const struct timers *h)
{
    return h->count == 0;
}
static inline int64_t timers_first_ns(const struct timers *h)
{
    return h->heap[0].due_ns;
}

#endif
