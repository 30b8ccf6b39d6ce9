#include "worker/runtime/timer.h"

#include <errno.h>
#include <stdlib.h>

#define CHILDREN 4

static bool before(const struct timer_entry *a, const struct timer_entry *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->age < b->age;
}

static void put(struct timers *h, size_t at, struct timer_entry e)
{
    h->heap[at] = e;
    e.timer->place = at + 1;
}

static void move_up(struct timers *h, size_t at, struct timer_entry e)
{
    while (at > 0 && before(&e, &h->heap[(at - 1) / CHILDREN])) {
        put(h, at, h->heap[(at - 1) / CHILDREN]);
        at = (at - 1) / CHILDREN;
    }
    put(h, at, e);
}

static void move_down(struct timers *h, size_t at, struct timer_entry e)
{
    for (;;) {
        size_t first = at * CHILDREN + 1, least = first;
        if (first >= h->count)
            break;
        for (size_t i = first + 1; i < first + CHILDREN && i < h->count; i++)
            if (before(&h->heap[i], &h->heap[least]))
                least = i;
        if (!before(&h->heap[least], &e))
            break;
        put(h, at, h->heap[least]);
        at = least;
    }
    put(h, at, e);
}

int timers_add(struct timers *h, struct timer *t, int64_t due_ns)
{
    if (h->count == h->room) {
        size_t room = h->room ? h->room * 2 : 64;
        struct timer_entry *heap = realloc(h->heap, room * sizeof *heap);
        if (!heap)
            return -ENOMEM;
        h->heap = heap;
        h->room = room;
    }
    struct timer_entry e = {.due_ns = due_ns, .age = h->next_age++, .timer = t};
    move_up(h, h->count++, e);
    return 0;
}

void timers_remove(struct timers *h, struct timer *t)
{
    if (!t->place)
        return;
    size_t at = t->place - 1;
    t->place = 0;
    struct timer_entry last = h->heap[--h->count];
    if (at == h->count)
        return;
    if (at > 0 && before(&last, &h->heap[(at - 1) / CHILDREN]))
        move_up(h, at, last);
    else
        move_down(h, at, last);
}

struct timer *timers_pop(struct timers *h)
{
    if (h->count == 0)
        return NULL;
    struct timer *t = h->heap[0].timer;
    timers_remove(h, t);
    return t;
}

struct timer *timers_pop_due(struct timers *h, int64_t now_ns)
{
    return h->count && h->heap[0].due_ns <= now_ns ? timers_pop(h) : NULL;
}

void timers_deinit(struct timers *h)
{
    free(h->heap);
    *h = (struct timers){.heap = NULL};
}
