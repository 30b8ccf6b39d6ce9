/* callout.h - runs a deep callee on the thread's own stack.
 * A task's stack is small; vsnprintf takes 5 KB of it, getaddrinfo 12. `callout` runs such a
 * function on the thread's own stack when it is called from a task, and in place elsewhere.
 * Runs on: any thread. Never awaits: `fn` must not await. Errors: none.
 * The runtime installs the way back to the thread's stack, a thread at a time. */
#ifndef COMMON_CALLOUT_H
#define COMMON_CALLOUT_H

typedef void (*callout_fn)(void *arg);

void callout(callout_fn fn, void *arg);

/* Called by the runtime on a loop's thread: `switcher` runs fn(arg) on that thread's own stack.
 * NULL: none. */
void callout_install(void (*switcher)(callout_fn fn, void *arg));

#endif
