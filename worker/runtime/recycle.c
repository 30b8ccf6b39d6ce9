#include "worker/runtime/recycle.h"

#include <stdlib.h>

#include "worker/runtime/stack.h"

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

void recycle_init(struct recycle *r, size_t bytes)
{
#ifdef STACK_SANITIZED
    r->max = 0;
#else
    r->max = RUNNING_ON_VALGRIND ? 0 : RECYCLE_MAX;
#endif
    r->first = NULL;
    r->count = 0;
    r->bytes = bytes;
}

void recycle_deinit(struct recycle *r)
{
    while (r->first) {
        void *p = r->first;
        r->first = *(void **)p;
        free(p);
    }
    r->count = 0;
}

void *recycle_get(struct recycle *r)
{
    void *p = r->first;
    if (!p)
        return malloc(r->bytes);
    r->first = *(void **)p;
    r->count--;
    return p;
}

void recycle_put(struct recycle *r, void *p)
{
    if (r->count >= r->max) {
        free(p);
        return;
    }
    *(void **)p = r->first;
    r->first = p;
    r->count++;
}
