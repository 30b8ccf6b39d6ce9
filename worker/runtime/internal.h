/* internal.h - what the files of the runtime share, and nobody else includes: the layouts of loop,
 * handle, future and task, and the steps between them. Runs on: the loop's thread, where nothing
 * else is said.
 *
 * Everything that can be in the ready queue is a `loop_item`, embedded in what it belongs to, so
 * that queueing allocates nothing: a task's next turn, a handle, a done callback, a sleeper's
 * alarm, a job. */
#ifndef RUNTIME_INTERNAL_H
#define RUNTIME_INTERNAL_H

#include <stdatomic.h>

#include <ev.h>

#include "worker/runtime/context.h"
#include "worker/runtime/coro.h"
#include "worker/runtime/coro_ctx.h"
#include "worker/runtime/future.h"
#include "worker/runtime/loop.h"
#include "worker/runtime/recycle.h"
#include "worker/runtime/task.h"
#include "worker/runtime/timer.h"

#pragma GCC visibility push(hidden)

#define CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

struct queue {
    struct loop_item *head, *tail;
};

static inline void queue_push(struct queue *q, struct loop_item *i)
{
    i->next = NULL;
    if (q->head)
        q->tail->next = i;
    else
        q->head = i;
    q->tail = i;
}

static inline struct loop_item *queue_pop(struct queue *q)
{
    struct loop_item *i = q->head;
    if (i)
        q->head = i->next;
    return i;
}

enum future_state { FUTURE_PENDING, FUTURE_FINISHED, FUTURE_FAILED, FUTURE_CANCELLED };

/* What kinds of future differ in; NULL pointers: as a plain future. */
struct future_kind {
    const char *lost_error; /* "Task exception was never retrieved" ... */
    bool (*cancel)(struct future *f);
    void (*end)(struct future *f); /* the last reference has gone: frees the object around it */
    bool completes_itself;         /* set_result and set_error are refused */
    bool keeps_result;             /* own_result is refused */
};

struct future {
    unsigned refs;
    unsigned char state; /* enum future_state */
    bool looked_at;      /* its error, if it has one, needs no report */
    bool seen;           /* scratch of who looks for duplicates in a list; false at rest */
    int code;            /* why it failed */
    struct loop *loop;   /* held */
    const struct future_kind *kind;
    union {
        void *result;
        struct error
            *error; /* NULL: no memory was left for it; cancelled: its message, NULL: none */
    };
    void (*free_result)(void *result);
    struct queue callbacks; /* done callbacks and waiting tasks, in order of registration */
};

/* A done callback in its owner's storage: adding it cannot fail, and its owner is told where it
 * will never be called. */
struct watch {
    struct loop_item item;
    struct future *future;         /* borrowed while it waits, held once it is queued */
    void (*done)(struct watch *w); /* the watch is the owner's again, also to free */
    void (*lost)(struct watch *w); /* the same, where the future or the loop has ended before */
};

struct task {
    struct future future;   /* first */
    struct loop_item turn;  /* in the ready queue, or among the callbacks of what it waits for */
    struct future *waiting; /* borrowed from the await in progress */
    struct sleep *sleep;    /* likewise */
    struct waiter *place;   /* likewise: in a row of waiters.h */
    struct coro_ctx ctx;
    coro_fn fn;
    void *arg;
    char *name;               /* owned; NULL: made from ctx.id when somebody asks */
    struct task *prev, *next; /* unfinished tasks of the loop */
    struct context *context;
    struct error *why; /* the message of the cancellation that it is told itself; NULL: none */
    /* Once, on the loop's stack, outcome in the loop's `end`; ERROR_CLOSED where the loop drops it.
     */
    void (*ended)(struct task *t, void *arg);
    void *ended_arg;
    unsigned cancel_requests;
    bool must_cancel, thrown, no_destroy_report;
};

struct handle {
    struct timer timer; /* its item is the handle's */
    unsigned refs;
    bool cancelled;
    loop_fn fn;
    void *arg;
    struct loop *loop; /* held */
    struct context *context;
};

struct loop {
    /* touched by every turn */
    struct queue ready;
    struct task *current;
    struct loop_item *last; /* of the iteration that runs */
    bool stopping, raised;
    int interrupt;   /* the code with which the run returns at once; 0: none */
    int64_t slow_ns; /* debug mode: what keeps the loop longer is reported; 0: off */
    unsigned budget; /* callbacks until the next look at I/O */
    int64_t tick;    /* the coarse clock at the last look */
    struct timers timers;
    struct recycle tasks, handles, callbacks, futures;
    struct stack_pool *stacks;
    uint64_t next_id;
    struct task *first_task, *last_task;
    struct { /* how the task that ended last did */
        int code;
        void *result;
        struct err err;
    } end;
    struct err raise;
    struct error *why; /* the message of the cancellation that is being asked for; NULL: none */
    loop_exception_fn on_exception;
    void *on_exception_arg;
    struct loop_part *parts;
    unsigned long objects; /* futures alive: together they hold one reference */
    uint64_t number;       /* from 1, never used again */
    struct loop *running_next;
    struct ev_loop *ev;
    ev_io wake;
    ev_timer alarm;
    int wake_fd; /* eventfd; open until the loop's last reference */
    atomic_bool running, closed;
    atomic_uint refs;
    /* touched by other threads: on a cache line of its own, or they slow down every turn */
    char apart[64];
    _Atomic(struct loop_item *) inbox; /* newest first */
    atomic_bool sleeping;              /* whoever takes it back to false wakes the loop */
    char apart_too[64];
};

/* loop.c */
void loop_hold(struct loop *l);    /* for an object that points to it */
void loop_release(struct loop *l); /* may be the end of it */
void loop_check_other(const struct loop *l, const char *who);
/* running.c: any thread */
void running_add(struct loop *l);
void running_remove(struct loop *l);
bool running_has(uint64_t number); /* of a loop: some thread runs it */
/* poll.c: libev */
int poll_open(struct loop *l);
void poll_close(struct loop *l);
void poll_now(struct loop *l);  /* what is there, without waiting */
void poll_wait(struct loop *l); /* until something happens or the first timer is due */
void poll_wake(struct loop *l); /* any thread */
/* inbox.c */
bool inbox_take(struct loop *l);  /* moves what other threads handed over to the ready queue */
void inbox_close(struct loop *l); /* drops what came too late; from now on ERROR_CLOSED */
/* future.c */
void future_init(struct future *f, struct loop *l, const struct future_kind *kind);
void future_finish(struct future *f, enum future_state state, int code, void *value);
void future_deinit(struct future *f); /* reports, frees what it holds; not the object */
bool future_unlink(struct future *f, struct loop_item *i);
/* watch.c */
extern const struct loop_item_ops watch_ops;
void future_watch(struct future *f, struct watch *w); /* w->done and w->lost are set */
bool future_unwatch(struct watch *w); /* false: it is queued, `done` or `lost` will come */
/* task.c */
struct task *task_of_turn(struct loop_item *i); /* borrowed; NULL: it is no task's turn */
void task_drop_all(struct loop *l);             /* the loop's references, at its close */
int task_new(struct loop *l, coro_fn fn, void *arg, const char *name, struct task **ret_task);
bool task_pass_cancel(struct task *t); /* to what it waits for, with its message */
/* Gives up control until the turn of t, the current task, comes. As in CPython, a cancellation
 * asked for while it ran reaches what it now begins to wait for. */
static inline void task_wait(struct task *t)
{
    if (__builtin_expect(t->must_cancel, 0) && t->waiting && task_pass_cancel(t))
        t->must_cancel = false;
    coro_ctx_leave(&t->ctx);
}

extern _Thread_local struct loop *loop_of_thread; /* the loop that this thread runs; NULL */

/* The task whose stack this is; NULL outside of one: in a callback, in a callout, in a coroutine
 * that a task resumes by hand. */
static inline struct task *task_here(void)
{
    struct task *t = loop_of_thread ? loop_of_thread->current : NULL;
    return t && coro_thread.running == &t->ctx ? t : NULL;
}

/* The first line of a function that belongs to the loop's thread: misuse ends the process with a
 * sentence. Any thread is right for a loop that does not run. */
static inline void loop_check_thread(const struct loop *l, const char *who)
{
    if (__builtin_expect(!l || loop_of_thread != l, 0))
        loop_check_other(l, who);
}

static inline void future_check(const struct future *f, const char *who)
{
    if (__builtin_expect(!f, 0))
        error_not_given(who, "the future");
    loop_check_thread(f->loop, who);
}

static inline void task_check(const struct task *t, const char *who)
{
    if (__builtin_expect(!t, 0))
        error_not_given(who, "the task");
    loop_check_thread(t->future.loop, who);
}

#pragma GCC visibility pop

#endif
