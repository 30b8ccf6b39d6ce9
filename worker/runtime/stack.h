/* stack.h - stacks for coroutines: carved from slabs, guarded, pooled and used again (last in,
 * first out); internal to the runtime but for the name of the guard. Runs on: one thread at a time
 * per pool; stack_guard_name and stack_force_guard: any thread. Never awaits. Errors: NULL with
 * errno set. Units: bytes.
 *
 * Below each stack lies a guard. Which kind there is depends on the system and is probed once:
 *   madvise   a guard page by MADV_GUARD_INSTALL: costs no mapping, so a million fit
 *   mprotect  a guard page by mprotect: costs two mappings, so only a quarter of vm.max_map_count
 *   red zone  the lowest bytes must stay zero (never written, they take no memory); they are looked
 *             at when a coroutine gives up control, and damage ends the process, naming it
 * An idle stack is bounded: the first STACK_WARM of a pool keep their pages, others give all back.
 */
#ifndef RUNTIME_STACK_H
#define RUNTIME_STACK_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STACK_SANITIZED 1
#endif
#endif

#ifdef STACK_SANITIZED
#define STACK_BYTES ((size_t)256 << 10) /* instrumented frames are several times as large */
#else
#define STACK_BYTES ((size_t)64 << 10)
#endif
#define STACK_WARM 1024u
#define STACK_RED_ZONE ((size_t)512)

enum stack_guard { STACK_GUARD_MADVISE, STACK_GUARD_MPROTECT, STACK_GUARD_RED_ZONE };

struct stack {
    char *low;   /* lowest usable byte; a guard page ends here, or the red zone begins */
    size_t size; /* usable bytes, red zone included */
    struct stack *next;
    enum stack_guard guard;
    unsigned valgrind_id;
    size_t colour; /* bytes left unused at the top, so that not all stacks share one cache set */
};

struct stack_pool;

/* gives; `bytes` a stack, guard included, rounded up to pages; a slab holds `per_slab` of them */
struct stack_pool *stack_pool_new(size_t bytes, unsigned per_slab);
struct stack_pool *
stack_pool_free(struct stack_pool *p);         /* takes, with all its stacks; returns NULL */
struct stack *stack_get(struct stack_pool *p); /* borrows from the pool until stack_put */
void stack_put(struct stack_pool *p, struct stack *s);

/* The guard that new stacks get ("madvise guard pages" ...), for one line in the log. Any thread.
 */
const char *stack_guard_name(void);
/* For tests: new stacks get this guard; -1: what was probed.
 * RPOPD_STACK_GUARD=madvise|mprotect|redzone in the environment does the same. Any thread, before
 * the stacks are made. */
void stack_force_guard(int guard);

/* True where `address` is in the guard page of s. Safe in a signal handler. */
bool stack_guards(const struct stack *s, const void *address);
/* True where the red zone of s was written to; always false for stacks with a guard page. */
bool stack_damaged(const struct stack *s);

#endif
