/* coro.h - coroutines: the switch of stacks, and the coroutine object.
 * Runs on: the thread that first entered the coroutine; it never moves to another. Errors: negative
 * codes (error.h). Source: CPython's coroutine objects (create, await once, resume by hand).
 *
 * The switch (coro_x86_64.S, coro_aarch64.S; ucontext elsewhere and with -DCORO_UCONTEXT) keeps the
 * callee-saved registers and, as the ABI demands, the control words of floating point: they are
 * read and compared, and written only where the two sides differ, because the write is what costs
 * 90 ns. So a coroutine that sets its own rounding mode keeps it to itself and nobody else pays. */
#ifndef RUNTIME_CORO_H
#define RUNTIME_CORO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "worker/runtime/stack.h"

/* The body of a coroutine: 0 and *ret_result (NULL unless set), or a negative code with *e filled.
 * -ECANCELED leaving it means cancelled. Awaiting a nested coroutine is a plain C call of it. */
typedef int (*coro_fn)(void *arg, void **ret_result, struct err *e);

/* -- the switch; tasks are built on it -- */
struct coro_ctx {
    void *sp;                 /* where it is suspended */
    void *back;               /* where the one that entered it is suspended */
    struct coro_ctx *resumer; /* NULL: the thread's own stack */
    struct stack *stack;
    void (*entry)(struct coro_ctx *c);
    const char *name; /* borrowed, for the message on an overflow; NULL: "Task-<id>" */
    uint64_t id;
    bool ended;
    void *fake, *fiber, *back_fiber; /* for the sanitizers */
    const void *back_low;
    size_t back_size;
};

/* Prepares c to run entry(c) on `s` (borrowed until coro_ctx_deinit). entry may return: then it has
 * ended. */
void coro_ctx_init(struct coro_ctx *c, struct stack *s, void (*entry)(struct coro_ctx *c));
void coro_ctx_deinit(struct coro_ctx *c); /* suspended or ended; the stack is the caller's again */
void coro_ctx_enter(struct coro_ctx *c);  /* until it leaves or ends (c->ended) */
void coro_ctx_leave(void);                /* from inside: back to the one that entered */
struct coro_ctx *
coro_ctx_running(void); /* NULL: on the thread's own stack. Safe in a signal handler. */
/* Makes deep callees run on this thread's own stack (callout.h) and stack overflows be named.
 * Idempotent. */
void coro_thread_init(void);

/* -- the coroutine object: inert until it is awaited, wrapped in a task, or resumed by hand -- */
struct coro;

struct coro *coro_new(coro_fn fn, void *arg); /* gives; NULL with errno set */
struct coro *
coro_free(struct coro *c); /* takes; a suspended one is dropped where it stands; returns NULL */
/* Awaits: runs it here, as a call. ERROR_REUSED where it was awaited, wrapped or resumed before. */
int coro_await(struct coro *c, void **ret_result, struct err *e);
/* By hand, without a loop: runs it to its next coro_yield: 1, or to its end: 0 and *ret_result, or
 * its negative code; ERROR_REUSED when it has ended before, -ENOMEM. `ret_result` may be NULL. */
int coro_resume(struct coro *c, void **ret_result, struct err *e);
/* Gives up control to the one who resumes by hand; ERROR_RUNTIME outside of such a coroutine. */
int coro_yield(struct err *e);
/* Takes the body out of an untouched object, to wrap it in a task: ERROR_REUSED else. */
int coro_consume(struct coro *c, coro_fn *ret_fn, void **ret_arg, struct err *e);

#endif
