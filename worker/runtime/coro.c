#include "worker/runtime/coro.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/callout.h"
#include "worker/runtime/coro_ctx.h"
#include "worker/runtime/error.h"
#include "worker/runtime/overflow.h"

#if !defined(__x86_64__) && !defined(__aarch64__) && !defined(CORO_UCONTEXT)
#define CORO_UCONTEXT 1
#endif
#ifdef CORO_UCONTEXT
#include <ucontext.h>
#endif

_Thread_local struct coro_thread coro_thread;

static void coro_main(struct coro_ctx *c);

#ifdef CORO_UCONTEXT
void coro_switch(void **save_sp, void *to_sp)
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
void coro_trampoline(void);

/* Builds what coro_switch pops: the layouts are those of the .S files. */
static void *first_frame(struct coro_ctx *c)
{
    uintptr_t *top = (uintptr_t *)(void *)(c->stack->low + c->stack->size - c->stack->colour);
#ifdef __x86_64__
    uintptr_t *sp = top - 10; /* control word, r15 r14 r13 r12 rbx rbp, return address, 2 spare */
    uint16_t control;
    __asm__ volatile("fnstcw %0" : "=m"(control));
    sp[0] = control;
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

static void coro_main(struct coro_ctx *c)
{
    coro_note_inside(c);
    c->entry(c);
    c->ended = true;
    coro_ctx_leave(c);
    abort();
}

void coro_ctx_init(struct coro_ctx *c, struct stack *s, void (*entry)(struct coro_ctx *c))
{
    c->stack = s;
    c->entry = entry;
    c->ended = false;
    c->sp = first_frame(c);
#ifdef CORO_ASAN
    c->fake = NULL;
#endif
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
    struct coro_ctx *c = coro_thread.running;
    if (!c) {
        fn(arg);
        return;
    }
    coro_thread.wanted = fn;
    coro_thread.wanted_arg = arg;
    coro_ctx_leave(c);
}

void coro_ctx_serve(struct coro_ctx *c)
{
    while (coro_thread.wanted) {
        callout_fn fn = coro_thread.wanted;
        coro_thread.wanted = NULL;
        call_below(fn, coro_thread.wanted_arg);
        coro_switch_in(c);
    }
}

void coro_ctx_check(const struct coro_ctx *c)
{
    if (stack_damaged(c->stack))
        overflow_die(c);
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

enum coro_state { CORO_INERT, CORO_CONSUMED, CORO_RUNNING, CORO_SUSPENDED, CORO_ENDED };

struct coro {
    struct coro_ctx ctx; /* first: coro_yield finds the object by it */
    enum coro_state state;
    coro_fn fn;
    void *arg, *result;
    struct stack_pool *pool;          /* of its one stack; NULL until it is resumed by hand */
    const struct coro_thread *thread; /* that resumed it first; compared, never looked into */
    int code;
    struct err err;
};

struct coro *coro_new(coro_fn fn, void *arg)
{
    GIVEN(fn);
    struct coro *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->fn = fn;
    c->arg = arg;
    return c;
}

struct coro *coro_free(struct coro *c)
{
    if (c && c->state == CORO_RUNNING)
        error_fatal("coro_free: the coroutine is running");
    if (c && c->pool) {
        coro_ctx_deinit(&c->ctx);
        c->pool = stack_pool_free(c->pool);
    }
    free(c);
    return NULL;
}

int coro_consume(struct coro *c, coro_fn *ret_fn, void **ret_arg, struct err *e)
{
    GIVEN(c);
    GIVEN(ret_fn);
    GIVEN(ret_arg);
    if (c->state != CORO_INERT)
        return error_set(e, ERROR_REUSED);
    c->state = CORO_CONSUMED;
    *ret_fn = c->fn;
    *ret_arg = c->arg;
    return 0;
}

int coro_await(struct coro *c, void **ret_result, struct err *e)
{
    GIVEN(c);
    void *result = NULL;
    if (c->state != CORO_INERT)
        return error_set(e, ERROR_REUSED);
    c->state = CORO_CONSUMED;
    int r = c->fn(c->arg, &result, e);
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
    c->thread = &coro_thread;
    c->ctx.name = "coroutine";
    coro_ctx_init(&c->ctx, s, object_main);
    return 0;
}

static int prepare(struct coro *c, struct err *e)
{
    switch (c->state) {
    case CORO_INERT:
        return start(c, e);
    case CORO_RUNNING:
        return err_set(e, -EINVAL, "coroutine already executing");
    case CORO_SUSPENDED:
        if (c->thread == &coro_thread)
            return 0;
        return err_set(e, ERROR_RUNTIME, "a coroutine goes on only on the thread it began on");
    default:
        return error_set(e, ERROR_REUSED);
    }
}

int coro_resume(struct coro *c, void **ret_result, struct err *e)
{
    GIVEN(c);
    int r = prepare(c, e);
    if (r < 0)
        return r;
    c->state = CORO_RUNNING;
    coro_ctx_enter(&c->ctx);
    if (!c->ctx.ended) {
        c->state = CORO_SUSPENDED;
        return 1;
    }
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
    struct coro_ctx *c = coro_thread.running;
    if (!c || c->entry != object_main)
        return err_set(e, ERROR_RUNTIME, "coro_yield outside of a coroutine resumed by hand");
    coro_ctx_leave(c);
    return 0;
}
