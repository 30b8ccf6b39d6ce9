/* thread.h - says which thread a function runs on, to the reader and to clang's -Wthread-safety.
 * Runs on: any thread. A thread names itself once (thread_enter); RUNS_ON(on_master) on a prototype
 * lets the compiler reject a call from elsewhere; callbacks, which escape it, assert it. */
#ifndef COMMON_THREAD_H
#define COMMON_THREAD_H

#if defined(__clang__)
#define THREAD_ATTR(x) __attribute__((x))
#else
#define THREAD_ATTR(x)
#endif
#define RUNS_ON(role) THREAD_ATTR(requires_capability(role))

struct THREAD_ATTR(capability("thread role")) thread_role {
    const char *name;
};

extern struct thread_role on_master; /* the main thread: Redis, signals, admin */
extern struct thread_role on_worker; /* a worker's event loop */
extern struct thread_role on_pool;   /* an executor's thread: may block, never awaits */

void thread_enter(struct thread_role *role) THREAD_ATTR(assert_capability(role));
void thread_leave(void);
/* Ends the process with a sentence where the calling thread has another role. */
void thread_assert(struct thread_role *role) THREAD_ATTR(assert_capability(role));

#endif
