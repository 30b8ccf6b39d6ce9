#include "common/mailbox.h"

#include <stddef.h>

void mailbox_init(struct mailbox *m, void (*wake)(void *arg), void *wake_arg)
{
    atomic_init(&m->newest, NULL);
    m->wake = wake;
    m->wake_arg = wake_arg;
}

void mailbox_push(struct mailbox *m, struct mail *message)
{
    struct mail *before = atomic_load_explicit(&m->newest, memory_order_relaxed);
    do
        message->next = before;
    while (!atomic_compare_exchange_weak_explicit(&m->newest, &before, message,
                                                  memory_order_release, memory_order_relaxed));
}

void mailbox_wake(struct mailbox *m)
{
    m->wake(m->wake_arg);
}

struct mail *mailbox_take(struct mailbox *m)
{
    struct mail *newest = atomic_exchange_explicit(&m->newest, NULL, memory_order_acquire);
    struct mail *oldest = NULL;
    while (newest) {
        struct mail *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}
