/* loop.h - the event loop: callbacks, timers, threads that hand it work, running and stopping it.
 * Runs on: the loop's thread, that is the one that runs it (any one thread while it does not run);
 * functions marked *any thread* from everywhere. Never awaits. Errors: negative codes (error.h); a
 * function that returns a pointer gives NULL with errno = -code. Units: ms on the monotonic clock.
 * Source: CPython 3.11 asyncio.BaseEventLoop; an iteration is
 *   wait for I/O (not at all if something is ready), queue what I/O, other threads and due timers
 *   bring, then run exactly what is in the queue now; what that queues runs in the next iteration.
 * While the queue never gets empty, I/O is polled every 64 callbacks and every clock tick, not
 * every iteration: the system call would cost ten times what a task's turn does.
 *
 * Misuse, here and in all headers of the runtime. What a program can meet is an error code. What is
 * a mistake in the program ends the process with a sentence that names the function: a call on
 * another thread than the loop's while the loop runs, NULL where the contract does not allow it, an
 * error code that is not negative, giving back what a task is still in. What runs on another stack
 * than a task's (callbacks, callouts, coroutines resumed by hand) cannot await: ERROR_NO_TASK.
 *
 * Ownership. A handle is borrowed: valid until its callback has run or until the caller suspends,
 * whichever is first; who wants it for longer shares it (handle_ref). `arg` stays the caller's.
 * A loop lives on after loop_free until the last future, task or reference to it has gone. */
#ifndef RUNTIME_LOOP_H
#define RUNTIME_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "worker/runtime/coro.h"
#include "worker/runtime/error.h"

struct loop;
struct handle;
struct future;
struct task;
struct ev_loop;

typedef void (*loop_fn)(void *arg);

struct loop *
loop_new(size_t stack_bytes); /* gives; a task's stack, 0: STACK_BYTES; NULL with errno set */
/* Takes: closes it (it must not run: that ends the process with a sentence) and drops the reference
 * of loop_new. NULL is fine; returns NULL. */
struct loop *loop_free(struct loop *l);
struct loop *loop_ref(struct loop *l); /* shares; any thread */
void loop_unref(struct loop *l);       /* any thread; NULL is fine */
/* Drops all callbacks, timers and unfinished tasks; twice is fine. ERROR_CLOSE_RUNNING while it
 * runs. */
int loop_close(struct loop *l, struct err *e);
bool loop_is_closed(const struct loop *l);  /* any thread */
bool loop_is_running(const struct loop *l); /* any thread */
struct loop *loop_running(void); /* borrowed: the loop this thread runs; NULL, ERROR_NO_LOOP */
struct ev_loop *
loop_ev(struct loop *l); /* borrowed, until loop_close; for watchers of file descriptors */
int64_t loop_time_ms(const struct loop *l); /* any thread; what call_at counts in */

/* -- running. ERROR_CLOSED, ERROR_RUNNING, ERROR_OTHER_RUNNING (this thread runs another) -- */
int loop_run_forever(struct loop *l, struct err *e); /* 0 after loop_stop */
/* 0 and the result, or what the future failed with; ERROR_STOPPED. Borrows f. ret_result may be
 * NULL. */
int loop_run_until_complete(struct loop *l, struct future *f, void **ret_result, struct err *e);
int loop_run_coroutine(struct loop *l, coro_fn fn, void *arg, void **ret_result, struct err *e);
void loop_stop(struct loop *l); /* after the current iteration; before a run: that ends after one */
/* Makes the run return `code` at once, in the middle of an iteration: for KeyboardInterrupt. */
void loop_interrupt(struct loop *l, int code);

/* -- callbacks. ERROR_CLOSED, -ENOMEM -- */
struct handle *loop_call_soon(struct loop *l, loop_fn fn, void *arg);
struct handle *loop_call_later(struct loop *l, int64_t delay_ms, loop_fn fn, void *arg);
struct handle *loop_call_at(struct loop *l, int64_t when_ms, loop_fn fn, void *arg);
void handle_cancel(
    struct handle *h); /* it never runs, even when it is queued already; twice is fine */
bool handle_cancelled(const struct handle *h);
struct handle *handle_ref(struct handle *h); /* shares */
void handle_unref(struct handle *h);         /* NULL is fine */

/* -- from other threads. What one thread hands over keeps its order; many share one wake-up -- */
int loop_call_soon_threadsafe(struct loop *l, loop_fn fn,
                              void *arg); /* any thread; ERROR_CLOSED, -ENOMEM */

/* The same without an allocation: the item lies in the caller's storage and is the loop's until
 * `run` or `drop` begins, on the loop's thread (`drop`: the loop was closed before; on the thread
 * that closes). */
struct loop_item {
    struct loop_item *next; /* the loop's */
    const struct loop_item_ops *ops;
};
struct loop_item_ops {
    void (*run)(struct loop_item *i);
    void (*drop)(struct loop_item *i);
};
int loop_post(struct loop *l,
              struct loop_item *i); /* any thread; ERROR_CLOSED: i is still the caller's */

/* A coroutine handed over in the caller's storage, for masses of jobs: no allocation by who
 * submits. */
struct loop_job {
    struct loop_item item; /* the loop's */
    coro_fn fn;
    void *arg;
    const char *name;  /* copied when the task starts; NULL is fine */
    struct task *task; /* on the loop's thread, borrowed while it runs (to cancel it); else NULL */
    /* On the loop's thread and its own stack, when the task has ended; the job is the caller's
     * again. code 0 and result, or the negative code and *e (borrowed): -ENOMEM where it could not
     * start, ERROR_CLOSED where the loop was closed first. */
    void (*done)(struct loop_job *job, int code, void *result, const struct err *e);
};
int loop_submit(struct loop *l, struct loop_job *job); /* any thread; ERROR_CLOSED: never taken */

/* -- errors that nobody else gets -- */
struct loop_report {
    const char *message;
    int code; /* 0: no error belongs to it */
    const char *text;
    struct future *future; /* borrowed; a task's too (task_of); NULL: none */
};
/* Runs on the loop's thread. A negative code (with *e): the handler itself failed; the default one
 * says so. */
typedef int (*loop_exception_fn)(struct loop *l, const struct loop_report *r, void *arg,
                                 struct err *e);
void loop_set_exception_handler(struct loop *l, loop_exception_fn fn,
                                void *arg); /* NULL: the default */
void loop_call_exception_handler(struct loop *l, const struct loop_report *r);
/* The default handler: one line on standard error. */
void loop_default_exception_handler(struct loop *l, const struct loop_report *r);
/* Debug mode: who keeps the loop for `slow_ms` or longer (a callback, or a task between two awaits)
 * is reported, "Executing ... took 0.123 seconds". 0: off, as at first; asyncio's limit is 100. */
void loop_set_debug(struct loop *l, int64_t slow_ms);
/* A callback's way to raise: reported ("Unhandled exception in callback") when the callback
 * returns. Outside of a running loop nobody hears it. Returns the code. */
int loop_raise(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* -- parts that a loop carries (executors ...): ended by run() and by loop_close -- */
struct loop_part {
    struct loop_part *next;
    /* Awaits: a coroutine that run() drives after all tasks have ended. */
    int (*shutdown)(struct loop_part *p, struct err *e);
    void (*close)(struct loop_part *p); /* by loop_close; p is the part's own again */
};
void loop_add_part(struct loop *l, struct loop_part *p); /* borrows until p->close */

/* -- all unfinished tasks, in order of creation -- */
int task_all(struct loop *l, struct task ***ret_tasks,
             size_t *ret_count);                       /* gives; shares each; -ENOMEM */
void task_all_free(struct task **tasks, size_t count); /* takes */

#endif
