#include "worker/runtime/aqueue.h"

#include <errno.h>
#include <stdlib.h>

enum order { ORDER_FIFO, ORDER_LIFO, ORDER_PRIORITY };

struct aqueue {
    enum order order;
    bool (*before)(const void *a, const void *b);
    size_t maxsize;
    void **item; /* a ring where first in is first out, else from 0 */
    size_t room, first, n;
    size_t unfinished;
    struct waiters getters, putters;
    struct event finished;
};

static struct aqueue *new_queue(enum order order, size_t maxsize)
{
    struct aqueue *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    q->order = order;
    q->maxsize = maxsize;
    event_init(&q->finished);
    event_set(&q->finished);
    return q;
}

struct aqueue *aqueue_new(size_t maxsize)
{
    return new_queue(ORDER_FIFO, maxsize);
}

struct aqueue *aqueue_new_lifo(size_t maxsize)
{
    return new_queue(ORDER_LIFO, maxsize);
}

struct aqueue *aqueue_new_priority(size_t maxsize, bool (*before)(const void *a, const void *b))
{
    GIVEN(before);
    struct aqueue *q = new_queue(ORDER_PRIORITY, maxsize);
    if (q)
        q->before = before;
    return q;
}

struct aqueue *aqueue_free(struct aqueue *q)
{
    if (!q)
        return NULL;
    waiters_check(&q->getters, __func__);
    if (q->getters.inside || q->putters.inside || q->finished.waiters.inside)
        error_fatal("aqueue_free: a task still waits in the queue");
    free(q->item);
    free(q);
    return NULL;
}

size_t aqueue_size(const struct aqueue *q)
{
    GIVEN(q);
    waiters_check(&q->getters, __func__);
    return q->n;
}

bool aqueue_empty(const struct aqueue *q)
{
    GIVEN(q);
    waiters_check(&q->getters, __func__);
    return q->n == 0;
}

bool aqueue_full(const struct aqueue *q)
{
    GIVEN(q);
    waiters_check(&q->getters, __func__);
    return q->maxsize && q->n >= q->maxsize;
}

static int grow(struct aqueue *q)
{
    size_t room = q->room ? q->room * 2 : 8;
    void **item = calloc(room, sizeof *item);
    if (!item)
        return -ENOMEM;
    for (size_t i = 0; i < q->n; i++)
        item[i] = q->item[(q->first + i) % q->room];
    free(q->item);
    q->item = item;
    q->room = room;
    q->first = 0;
    return 0;
}

static void swap(struct aqueue *q, size_t a, size_t b)
{
    void *item = q->item[a];
    q->item[a] = q->item[b];
    q->item[b] = item;
}

static void sift_up(struct aqueue *q, size_t i)
{
    for (; i && q->before(q->item[i], q->item[(i - 1) / 2]); i = (i - 1) / 2)
        swap(q, i, (i - 1) / 2);
}

static void sift_down(struct aqueue *q)
{
    for (size_t i = 0, least;; i = least) {
        least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < q->n; child++)
            if (q->before(q->item[child], q->item[least]))
                least = child;
        if (least == i)
            return;
        swap(q, i, least);
    }
}

static void *take_out(struct aqueue *q)
{
    void *item;
    q->n--;
    switch (q->order) {
    case ORDER_FIFO:
        item = q->item[q->first];
        q->first = (q->first + 1) % q->room;
        return item;
    case ORDER_LIFO:
        return q->item[q->n];
    case ORDER_PRIORITY:
        item = q->item[0];
        q->item[0] = q->item[q->n];
        sift_down(q);
        return item;
    }
    abort();
}

int aqueue_put_nowait(struct aqueue *q, void *item, struct err *e)
{
    GIVEN(q);
    int r = waiters_enter(&q->getters, e);
    if (r < 0)
        return r;
    if (aqueue_full(q))
        return error_set(e, ERROR_QUEUE_FULL);
    if (q->n == q->room && grow(q) < 0)
        return error_set(e, -ENOMEM);
    q->item[(q->first + q->n) % q->room] = item;
    q->n++;
    if (q->order == ORDER_PRIORITY)
        sift_up(q, q->n - 1);
    q->unfinished++;
    event_clear(&q->finished);
    (void)waiters_pop(&q->getters);
    return 0;
}

int aqueue_get_nowait(struct aqueue *q, void **ret_item, struct err *e)
{
    GIVEN(q);
    GIVEN(ret_item);
    int r = waiters_enter(&q->getters, e);
    if (r < 0)
        return r;
    if (aqueue_empty(q))
        return error_set(e, ERROR_QUEUE_EMPTY);
    *ret_item = take_out(q);
    (void)waiters_pop(&q->putters);
    return 0;
}

int aqueue_put(struct aqueue *q, void *item, struct err *e)
{
    GIVEN(q);
    int r = waiters_enter(&q->getters, e);
    if (r < 0)
        return r;
    while (aqueue_full(q)) {
        bool woken;
        r = waiters_wait(&q->putters, &woken, e);
        if (r == 0)
            continue;
        if (woken && !aqueue_full(q))
            (void)waiters_pop(&q->putters); /* its place is for the next */
        return r;
    }
    return aqueue_put_nowait(q, item, e);
}

int aqueue_get(struct aqueue *q, void **ret_item, struct err *e)
{
    GIVEN(q);
    GIVEN(ret_item);
    int r = waiters_enter(&q->getters, e);
    if (r < 0)
        return r;
    while (aqueue_empty(q)) {
        bool woken;
        r = waiters_wait(&q->getters, &woken, e);
        if (r == 0)
            continue;
        if (woken && !aqueue_empty(q))
            (void)waiters_pop(&q->getters);
        return r;
    }
    return aqueue_get_nowait(q, ret_item, e);
}

int aqueue_task_done(struct aqueue *q, struct err *e)
{
    GIVEN(q);
    int r = waiters_enter(&q->getters, e);
    if (r < 0)
        return r;
    if (!q->unfinished)
        return err_set(e, -EINVAL, "task_done() called too many times");
    if (--q->unfinished == 0)
        event_set(&q->finished);
    return 0;
}

int aqueue_join(struct aqueue *q, struct err *e)
{
    GIVEN(q);
    int r = waiters_enter(&q->getters, e);
    if (r < 0)
        return r;
    return q->unfinished ? event_wait(&q->finished, e) : 0;
}
