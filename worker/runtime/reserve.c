#include "worker/runtime/reserve.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <ev.h>

struct block { /* in the reserve, in front of what libev sees */
    _Alignas(16) size_t bytes;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards used */
static size_t used;
static char *reserve; /* written once, under `once`; NULL: there is none */

static int in_reserve(const void *p)
{
    uintptr_t a = (uintptr_t)p, low = (uintptr_t)reserve;
    return a >= low && a < low + RESERVE_BYTES;
}

static size_t room_of(void *p)
{
    return in_reserve(p) ? ((struct block *)p - 1)->bytes : malloc_usable_size(p);
}

static void *draw(size_t bytes)
{
    void *p = NULL;
    size_t whole = sizeof(struct block) + (bytes + 15) / 16 * 16;
    (void)pthread_mutex_lock(&lock);
    if (whole <= RESERVE_BYTES - used) {
        struct block *b = (struct block *)(void *)(reserve + used);
        b->bytes = whole - sizeof *b;
        used += whole;
        p = b + 1;
    }
    (void)pthread_mutex_unlock(&lock);
    return p;
}

/* What is in the reserve stays there: it is drawn on rarely, and by arrays that only grow. */
static void *resize(void *p, long bytes)
{
    size_t room = p ? room_of(p) : 0, wanted = (size_t)bytes;
    if (bytes == 0) {
        if (!in_reserve(p))
            free(p);
        return NULL;
    }
    if (!in_reserve(p)) {
        void *grown = realloc(p, wanted);
        if (grown)
            return grown;
    }
    if (p && wanted <= room)
        return p;
    void *fresh = draw(wanted);
    if (fresh && p) {
        memcpy(fresh, p, room);
        if (!in_reserve(p))
            free(p);
    }
    return fresh;
}

static void install(void)
{
    void *map =
        mmap(NULL, RESERVE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return;
    reserve = map;
    ev_set_allocator(resize);
}

int reserve_install(void)
{
    (void)pthread_once(&once, install);
    return reserve ? 0 : -ENOMEM;
}

size_t reserve_used(void)
{
    (void)pthread_mutex_lock(&lock);
    size_t n = used;
    (void)pthread_mutex_unlock(&lock);
    return n;
}
