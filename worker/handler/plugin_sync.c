/* plugin_sync.c - what tasks of one worker share: the runtime's locks, events, semaphores and
 * queues, on the heap, so that their layout stays the daemon's. */
#include <stdlib.h>

#include "worker/handler/plugin.h"
#include "worker/runtime/aqueue.h"
#include "worker/runtime/event.h"
#include "worker/runtime/lock.h"
#include "worker/runtime/semaphore.h"

struct rpopd_lock {
    struct lock lock;
};
struct rpopd_event {
    struct event event;
};
struct rpopd_semaphore {
    struct semaphore semaphore;
};

struct rpopd_lock *rpopd_lock_new(void)
{
    struct rpopd_lock *l = malloc(sizeof *l);
    if (l)
        lock_init(&l->lock);
    return l;
}

void rpopd_lock_free(struct rpopd_lock *l)
{
    free(l);
}

int rpopd_lock_acquire(struct rpopd_lock *l, struct rpopd_error *e)
{
    return lock_acquire(&l->lock, plugin_err(e));
}

int rpopd_lock_release(struct rpopd_lock *l, struct rpopd_error *e)
{
    return lock_release(&l->lock, plugin_err(e));
}

struct rpopd_event *rpopd_event_new(void)
{
    struct rpopd_event *v = malloc(sizeof *v);
    if (v)
        event_init(&v->event);
    return v;
}

void rpopd_event_free(struct rpopd_event *v)
{
    free(v);
}

void rpopd_event_set(struct rpopd_event *v)
{
    event_set(&v->event);
}

void rpopd_event_clear(struct rpopd_event *v)
{
    event_clear(&v->event);
}

bool rpopd_event_is_set(const struct rpopd_event *v)
{
    return event_is_set(&v->event);
}

int rpopd_event_wait(struct rpopd_event *v, struct rpopd_error *e)
{
    return event_wait(&v->event, plugin_err(e));
}

struct rpopd_semaphore *rpopd_semaphore_new(unsigned value)
{
    struct rpopd_semaphore *s = malloc(sizeof *s);
    if (s)
        semaphore_init(&s->semaphore, value);
    return s;
}

void rpopd_semaphore_free(struct rpopd_semaphore *s)
{
    free(s);
}

int rpopd_semaphore_acquire(struct rpopd_semaphore *s, struct rpopd_error *e)
{
    return semaphore_acquire(&s->semaphore, plugin_err(e));
}

int rpopd_semaphore_release(struct rpopd_semaphore *s, struct rpopd_error *e)
{
    return semaphore_release(&s->semaphore, plugin_err(e));
}

/* ---- queues ---- */

static struct aqueue *aqueue(struct rpopd_queue *q)
{
    return (struct aqueue *)(void *)q;
}

struct rpopd_queue *rpopd_queue_new(size_t room)
{
    return (struct rpopd_queue *)(void *)aqueue_new(room);
}

void rpopd_queue_free(struct rpopd_queue *q)
{
    (void)aqueue_free(aqueue(q));
}

int rpopd_queue_put(struct rpopd_queue *q, void *item, struct rpopd_error *e)
{
    return aqueue_put(aqueue(q), item, plugin_err(e));
}

int rpopd_queue_get(struct rpopd_queue *q, void **item, struct rpopd_error *e)
{
    return aqueue_get(aqueue(q), item, plugin_err(e));
}

int rpopd_queue_put_nowait(struct rpopd_queue *q, void *item, struct rpopd_error *e)
{
    return aqueue_put_nowait(aqueue(q), item, plugin_err(e));
}

int rpopd_queue_get_nowait(struct rpopd_queue *q, void **item, struct rpopd_error *e)
{
    return aqueue_get_nowait(aqueue(q), item, plugin_err(e));
}

size_t rpopd_queue_size(const struct rpopd_queue *q)
{
    return aqueue_size((const struct aqueue *)(const void *)q);
}
