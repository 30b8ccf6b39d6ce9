#include "worker/runtime/context.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "worker/runtime/error.h"

struct binding {
    const struct context_var *var;
    void *value;
};

struct context {
    atomic_uint refs;
    size_t count;
    struct binding bindings[];
};

_Thread_local struct context *context_current;

void *context_get(const struct context_var *v)
{
    GIVEN(v);
    for (size_t i = 0; context_current && i < context_current->count; i++)
        if (context_current->bindings[i].var == v)
            return context_current->bindings[i].value;
    return v->fallback;
}

int context_set(const struct context_var *v, void *value)
{
    GIVEN(v);
    size_t count = context_current ? context_current->count : 0, at = 0;
    while (at < count && context_current->bindings[at].var != v)
        at++;
    size_t grown = at == count ? count + 1 : count;
    struct context *c = malloc(sizeof *c + grown * sizeof c->bindings[0]);
    if (!c)
        return -ENOMEM;
    atomic_init(&c->refs, 1);
    c->count = grown;
    if (count)
        memcpy(c->bindings, context_current->bindings, count * sizeof c->bindings[0]);
    c->bindings[at] = (struct binding){.var = v, .value = value};
    context_unref(context_swap(c));
    return 0;
}

struct context *context_copy(void)
{
    return context_ref(context_current);
}

struct context *context_ref(struct context *c)
{
    if (c)
        atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void context_unref(struct context *c)
{
    if (c && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
        free(c);
}

struct context *context_swap(struct context *c)
{
    struct context *before = context_current;
    context_current = c;
    return before;
}
