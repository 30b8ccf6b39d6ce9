/* mailbox.h - hands messages from many threads to one, without a lock.
 * Runs on: push on any thread, take on the owner's. Never awaits, never allocates: the message
 * carries its own link. Unbounded by itself: what is pushed is bounded by the slots that its sender
 * holds. Whoever pushes wakes the owner behind the last of its messages, so many share one wake-up;
 * the owner therefore takes all of them each time. Source: asyncio's call_soon_threadsafe. */
#ifndef COMMON_MAILBOX_H
#define COMMON_MAILBOX_H

#include <stdatomic.h>

struct mail { /* embedded in the message */
    struct mail *next;
};

struct mailbox {
    _Atomic(struct mail *) newest;
    void (*wake)(void *arg); /* any thread; must not block */
    void *wake_arg;
};

void mailbox_init(struct mailbox *m, void (*wake)(void *arg), void *wake_arg);
/* Takes the message: it belongs to the owner's thread from here. */
void mailbox_push(struct mailbox *m, struct mail *message);
/* Any thread: what was pushed is to be taken now. */
void mailbox_wake(struct mailbox *m);
/* Gives all messages, oldest first, linked by `next`; NULL when there are none. */
struct mail *mailbox_take(struct mailbox *m);

#endif
