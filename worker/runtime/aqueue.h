/* aqueue.h - a queue between tasks: first in first out, last in first out, or by priority. Runs
 * on: the loop's thread. Awaits only where said. Errors: negative codes; what awaits gives
 * ERROR_NO_TASK outside of a task, and another loop's queue ERROR_OTHER_LOOP (lock.h). Ownership:
 * items are the caller's pointers and are handed on; what is left at aqueue_free is the caller's
 * to have taken out before. Source: CPython 3.11 asyncio.Queue, LifoQueue, PriorityQueue. */
#ifndef RUNTIME_AQUEUE_H
#define RUNTIME_AQUEUE_H

#include <stddef.h>

#include "worker/runtime/event.h"

struct aqueue;

/* maxsize 0: no bound. Gives; NULL with errno set. */
struct aqueue *aqueue_new(size_t maxsize);
struct aqueue *aqueue_new_lifo(size_t maxsize);
/* The smallest is first; before(a, b): a comes out before b. Equal ones in any order. */
struct aqueue *aqueue_new_priority(size_t maxsize, bool (*before)(const void *a, const void *b));
struct aqueue *
aqueue_free(struct aqueue *q); /* takes; nobody may wait (fatal); NULL is fine; returns NULL */

int aqueue_put(struct aqueue *q, void *item,
               struct err *e); /* awaits a free place; -ECANCELED, -ENOMEM */
int aqueue_get(struct aqueue *q, void **ret_item, struct err *e);   /* awaits an item; -ECANCELED */
int aqueue_put_nowait(struct aqueue *q, void *item, struct err *e); /* ERROR_QUEUE_FULL, -ENOMEM */
int aqueue_get_nowait(struct aqueue *q, void **ret_item, struct err *e); /* ERROR_QUEUE_EMPTY */

size_t aqueue_size(const struct aqueue *q);
bool aqueue_empty(const struct aqueue *q);
bool aqueue_full(const struct aqueue *q);

/* An item that was got is worked off; -EINVAL where that was said of more than were put. */
int aqueue_task_done(struct aqueue *q, struct err *e);
int aqueue_join(struct aqueue *q, struct err *e); /* awaits until all items are worked off */

#endif
