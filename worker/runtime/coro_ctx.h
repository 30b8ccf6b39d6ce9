/* coro_ctx.h - the switch of stacks that coroutine objects and tasks are built on; the runtime's
 * own. Runs on: the thread that first entered the coroutine; it never moves to another. Errors:
 * none.
 *
 * The switch (coro_x86_64.S, coro_aarch64.S; ucontext elsewhere and with -DCORO_UCONTEXT) keeps the
 * callee-saved registers and the floating-point environment of <fenv.h>: the control word is read
 * and compared, and written only where the two sides differ, because the write is what is slow. So
 * a coroutine that sets its own rounding mode keeps it to itself and nobody else pays.
 *
 * Entering and leaving are inline, and end in one jump: each return that follows a switch is one
 * that the processor predicts wrongly, because the calls it remembers were made on the other stack.
 */
#ifndef RUNTIME_CORO_CTX_H
#define RUNTIME_CORO_CTX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/callout.h"
#include "worker/runtime/stack.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CORO_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define CORO_TSAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define CORO_ASAN 1
#endif
#ifdef __SANITIZE_THREAD__
#define CORO_TSAN 1
#endif
#ifdef CORO_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef CORO_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#pragma GCC visibility push(hidden)

struct coro_ctx {
    void *sp;                 /* where it is suspended */
    void *back;               /* where the one that entered it is suspended */
    struct coro_ctx *resumer; /* NULL: the thread's own stack */
    struct stack *stack;
    void (*entry)(struct coro_ctx *c);
    const char *name; /* borrowed, for the message on an overflow; NULL: "Task-<id>" */
    uint64_t id;
    bool ended;
#ifdef CORO_ASAN
    void *fake;
    const void *back_low;
    size_t back_size;
#endif
#ifdef CORO_TSAN
    void *fiber, *back_fiber;
#endif
};

struct coro_thread {          /* what a thread knows of its coroutines */
    struct coro_ctx *running; /* NULL: on the thread's own stack */
    callout_fn wanted; /* a coroutine that left wants this run on its resumer's stack; NULL: none */
    void *wanted_arg;
};
extern _Thread_local struct coro_thread coro_thread;

/* Prepares c to run entry(c) on `s` (borrowed until coro_ctx_deinit). entry may return: then it has
 * ended. */
void coro_ctx_init(struct coro_ctx *c, struct stack *s, void (*entry)(struct coro_ctx *c));
void coro_ctx_deinit(struct coro_ctx *c); /* suspended or ended; the stack is the caller's again */
/* Makes deep callees run on this thread's own stack (callout.h) and stack overflows be named.
 * Idempotent. */
void coro_thread_init(void);

void coro_switch(void **save_sp, void *to_sp);
void coro_ctx_serve(struct coro_ctx *c);       /* runs what c wants, and enters it again */
void coro_ctx_check(const struct coro_ctx *c); /* ends the process where its red zone is damaged */

static inline void coro_note_enter(struct coro_ctx *c, void **ret_fake)
{
    (void)c, (void)ret_fake;
#ifdef CORO_ASAN
    __sanitizer_start_switch_fiber(ret_fake, c->stack->low, c->stack->size);
#endif
#ifdef CORO_TSAN
    c->back_fiber = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(c->fiber, 0);
#endif
}

static inline void coro_note_back(void *fake)
{
    (void)fake;
#ifdef CORO_ASAN
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
}

static inline void coro_note_leave(struct coro_ctx *c)
{
    (void)c;
#ifdef CORO_ASAN
    /* Who has ended never comes back: its fake frames may go. */
    __sanitizer_start_switch_fiber(c->ended ? NULL : &c->fake, c->back_low, c->back_size);
#endif
#ifdef CORO_TSAN
    __tsan_switch_to_fiber(c->back_fiber, 0);
#endif
}

static inline void coro_note_inside(struct coro_ctx *c)
{
    (void)c;
#ifdef CORO_ASAN
    __sanitizer_finish_switch_fiber(c->fake, &c->back_low, &c->back_size);
#endif
}

static inline void coro_switch_in(struct coro_ctx *c)
{
    void *fake = NULL;
    coro_thread.running = c;
    coro_note_enter(c, &fake);
    coro_switch(&c->back, c->sp);
    coro_note_back(fake);
    coro_thread.running = c->resumer;
}

/* Runs c until it leaves or ends (c->ended). */
static inline void coro_ctx_enter(struct coro_ctx *c)
{
    c->resumer = coro_thread.running;
    coro_switch_in(c);
    if (__builtin_expect(coro_thread.wanted != NULL, 0))
        coro_ctx_serve(c);
    if (__builtin_expect(c->stack->guard == STACK_GUARD_RED_ZONE, 0))
        coro_ctx_check(c);
}

/* From inside c: back to the one that entered it. */
static inline void coro_ctx_leave(struct coro_ctx *c)
{
    coro_note_leave(c);
    coro_switch(&c->sp, c->back);
    coro_note_inside(c);
}

#pragma GCC visibility pop

#endif
