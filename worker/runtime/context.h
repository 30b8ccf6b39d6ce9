/* context.h - context variables: values that belong to a task and what it calls.
 * Runs on: any thread, each has a current context. Never awaits. Errors: -ENOMEM.
 * A context is immutable and counted (atomically): setting a variable replaces the current one, so
 * that a copy, taken when a task or a callback is made, costs nothing. Values are borrowed
 * pointers. Source: PEP 567, CPython's contextvars. */
#ifndef RUNTIME_CONTEXT_H
#define RUNTIME_CONTEXT_H

struct context; /* NULL is the empty context */

struct context_var { /* static storage; its address is its identity */
    const char *name;
    void *fallback;
};

void *context_get(const struct context_var *v);
int context_set(const struct context_var *v, void *value); /* in the current context; -ENOMEM */

struct context *context_copy(void); /* gives a reference to the current one (may be NULL) */
struct context *context_ref(struct context *c);
void context_unref(struct context *c);
/* Makes c the current one (takes c) and gives back the one before; pairs nest. */
struct context *context_swap(struct context *c);

/* The runtime's own: the current context of this thread, with a reference. */
extern _Thread_local struct context *context_current __attribute__((visibility("hidden")));

#endif
