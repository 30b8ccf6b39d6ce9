#include "worker/runtime/coro.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/callout.h"
#include "worker/runtime/error.h"
#include "worker/runtime/overflow.h"

#if !defined(__x86_64__) && !defined(__aarch64__) && !defined(CORO_UCONTEXT)
#define CORO_UCONTEXT 1
#endif
#ifdef CORO_UCONTEXT
#include <ucontext.h>
#endif

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

static _Thread_local struct coro_ctx *running;
static _Thread_local struct {
    callout_fn fn; /* NULL: none */
    void *arg;
} wanted; /* what a coroutine that left wants run on its resumer's stack */

static void coro_main(struct coro_ctx *c);

#ifdef CORO_UCONTEXT
static void coro_switch(void **save_sp, void *to_sp)
{
    ucontext_t here; /* stays valid: this frame sleeps until somebody switches back */
    *save_sp = &here;
    (void)swapcontext(&here, to_sp);
}

static void ucontext_main(unsigned high, unsigned low)
{
    coro_main((struct coro_ctx *)(((uintptr_t)high << 16 << 16) | low)); // NOLINT
}

static void *first_frame(struct coro_ctx *c)
{
    size_t room = (sizeof(ucontext_t) + c->stack->colour + 63) / 64 * 64;
    ucontext_t *uc = (ucontext_t *)(void *)(c->stack->low + c->stack->size - room);
    uintptr_t self = (uintptr_t)c;
    (void)getcontext(uc);
    uc->uc_link = NULL;
    uc->uc_stack.ss_sp = c->stack->low;
    uc->uc_stack.ss_size = c->stack->size - room;
    makecontext(uc, (void (*)(void))ucontext_main, 2, (unsigned)(self >> 16 >> 16), // NOLINT
                (unsigned)self);
    return uc;
}
#else
void coro_switch(void **save_sp, void *to_sp);
void coro_trampoline(void);

/* Builds what coro_switch pops: the layouts are those of the .S files. */
static void *first_frame(struct coro_ctx *c)
{
    uintptr_t *top = (uintptr_t *)(void *)(c->stack->low + c->stack->size - c->stack->colour);
#ifdef __x86_64__
    uint32_t control[2] = {0, 0};
    uintptr_t *sp = top - 10; /* control words, r15 r14 r13 r12 rbx rbp, return address, 2 spare */
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(control[0]), "=m"(control[1]));
    memcpy(sp, control, sizeof control);
    sp[3] = (uintptr_t)coro_main;
    sp[4] = (uintptr_t)c;
    sp[7] = (uintptr_t)coro_trampoline;
#else
    uintptr_t *sp = top - 22; /* x19 .. x30, d8 .. d15, FPCR, padding */
    memset(sp, 0, 22 * sizeof *sp);
    __asm__ volatile("mrs %0, fpcr" : "=r"(sp[20]));
    sp[0] = (uintptr_t)c;
    sp[1] = (uintptr_t)coro_main;
    sp[11] = (uintptr_t)coro_trampoline;
#endif
    return sp;
}
#endif

/* The four notes that sanitizers need about a switch. */
static void note_enter(struct coro_ctx *c, void **ret_fake)
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

static void note_entered_back(void *fake)
{
    (void)fake;
#ifdef CORO_ASAN
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
}

static void note_leave(struct coro_ctx *c)
{
    (void)c;
#ifdef CORO_ASAN
    __sanitizer_start_switch_fiber(c->ended ? NULL : &c->fake, c->back_low, c->back_size);
#endif
#ifdef CORO_TSAN
    __tsan_switch_to_fiber(c->back_fiber, 0);
#endif
}

static void note_inside(struct coro_ctx *c)
{
    (void)c;
#ifdef CORO_ASAN
    __sanitizer_finish_switch_fiber(c->fake, &c->back_low, &c->back_size);
#endif
}

static void switch_in(struct coro_ctx *c)
{
    void *fake = NULL;
    running = c;
    note_enter(c, &fake);
    coro_switch(&c->back, c->sp);
    note_entered_back(fake);
    running = c->resumer;
}

static void switch_out(struct coro_ctx *c)
{
    note_leave(c);
    coro_switch(&c->sp, c->back);
    note_inside(c);
}

static void coro_main(struct coro_ctx *c)
{
    note_inside(c);
    c->entry(c);
    c->ended = true;
    switch_out(c);
    abort();
}

void coro_ctx_init(struct coro_ctx *c, struct stack *s, void (*entry)(struct coro_ctx *c))
{
    c->stack = s;
    c->entry = entry;
    c->ended = false;
    c->fake = NULL;
    c->sp = first_frame(c);
#ifdef CORO_TSAN
    c->fiber = __tsan_create_fiber(0);
#endif
}

void coro_ctx_deinit(struct coro_ctx *c)
{
#ifdef CORO_TSAN
    __tsan_destroy_fiber(c->fiber);
#endif
    c->stack = NULL;
}

/* On the thread's own stack this is the call itself; from a coroutine its resumer does it. */
static void call_below(callout_fn fn, void *arg)
{
    struct coro_ctx *c = running;
    if (!c) {
        fn(arg);
        return;
    }
    wanted.fn = fn;
    wanted.arg = arg;
    switch_out(c);
}

static void check_red_zone(const struct coro_ctx *c)
{
    if (__builtin_expect(stack_damaged(c->stack), 0))
        overflow_die(c);
}

void coro_ctx_enter(struct coro_ctx *c)
{
    c->resumer = running;
    switch_in(c);
    while (__builtin_expect(wanted.fn != NULL, 0)) {
        callout_fn fn = wanted.fn;
        wanted.fn = NULL;
        check_red_zone(c);
        call_below(fn, wanted.arg);
        switch_in(c);
    }
    check_red_zone(c);
}

void coro_ctx_leave(void)
{
    switch_out(running);
}

struct coro_ctx *coro_ctx_running(void)
{
    return running;
}

void coro_thread_init(void)
{
    static _Thread_local bool ready;
    if (ready)
        return;
    ready = true;
    callout_install(call_below);
    overflow_thread_init();
}

enum coro_state { CORO_INERT, CORO_CONSUMED, CORO_SUSPENDED, CORO_ENDED };

struct coro {
    struct coro_ctx ctx; /* first: coro_yield finds the object by it */
    enum coro_state state;
    coro_fn fn;
    void *arg, *result;
    struct stack_pool *pool; /* of its one stack; NULL until it is resumed by hand */
    int code;
    struct err err;
};

struct coro *coro_new(coro_fn fn, void *arg)
{
    struct coro *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->fn = fn;
    c->arg = arg;
    return c;
}

struct coro *coro_free(struct coro *c)
{
    if (c && c->pool) {
        coro_ctx_deinit(&c->ctx);
        c->pool = stack_pool_free(c->pool);
    }
    free(c);
    return NULL;
}

int coro_consume(struct coro *c, coro_fn *ret_fn, void **ret_arg, struct err *e)
{
    if (c->state != CORO_INERT)
        return error_set(e, ERROR_REUSED);
    c->state = CORO_CONSUMED;
    *ret_fn = c->fn;
    *ret_arg = c->arg;
    return 0;
}

int coro_await(struct coro *c, void **ret_result, struct err *e)
{
    coro_fn fn;
    void *arg, *result = NULL;
    int r = coro_consume(c, &fn, &arg, e);
    if (r == 0)
        r = fn(arg, &result, e);
    if (r == 0 && ret_result)
        *ret_result = result;
    return r;
}

static void object_main(struct coro_ctx *ctx)
{
    struct coro *c = (struct coro *)(void *)ctx;
    c->code = c->fn(c->arg, &c->result, &c->err);
}

static int start(struct coro *c, struct err *e)
{
    coro_thread_init();
    struct stack_pool *pool = stack_pool_new(STACK_BYTES, 1);
    struct stack *s = pool ? stack_get(pool) : NULL;
    if (!s) {
        (void)stack_pool_free(pool);
        return error_set(e, -ENOMEM);
    }
    c->pool = pool;
    c->ctx.name = "coroutine";
    coro_ctx_init(&c->ctx, s, object_main);
    return 0;
}

int coro_resume(struct coro *c, void **ret_result, struct err *e)
{
    if (c->state == CORO_CONSUMED || c->state == CORO_ENDED)
        return error_set(e, ERROR_REUSED);
    int r = c->state == CORO_INERT ? start(c, e) : 0;
    if (r < 0)
        return r;
    c->state = CORO_SUSPENDED;
    coro_ctx_enter(&c->ctx);
    if (!c->ctx.ended)
        return 1;
    c->state = CORO_ENDED;
    if (c->code < 0) {
        if (e)
            *e = c->err;
        return c->code;
    }
    if (ret_result)
        *ret_result = c->result;
    return 0;
}

int coro_yield(struct err *e)
{
    if (!running || running->entry != object_main)
        return err_set(e, ERROR_RUNTIME, "coro_yield outside of a coroutine resumed by hand");
    coro_ctx_leave();
    return 0;
}
