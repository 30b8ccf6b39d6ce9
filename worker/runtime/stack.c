#include "worker/runtime/stack.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef STACK_SANITIZED
#include <sanitizer/asan_interface.h>
#endif
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(start, end) 0u
#define VALGRIND_STACK_DEREGISTER(id) (void)(id)
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13; missing in older headers */
#endif

#define STACK_BYTES_MAX ((size_t)1 << 36) /* a slab of them is still far from SIZE_MAX */
#define COLOURS ((size_t)16)
#define COLOUR_STEP ((size_t)64)

struct slab {
    struct slab *next;
    char *map;
    size_t map_bytes;
    unsigned carved, count;
    struct stack stacks[];
};

struct stack_pool {
    size_t bytes; /* of a stack and its guard */
    unsigned per_slab, warm_count;
    struct slab *slabs;
    struct stack *warm, *cold; /* idle: with their pages, without */
};

static pthread_once_t probed = PTHREAD_ONCE_INIT;
static enum stack_guard best; /* written once, under `probed` */
static long mprotect_max;     /* written once, under `probed` */
static atomic_int forced = -1;
static atomic_long mprotect_count;

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* qemu-user answers 0 to the advice and guards nothing: only a fault proves a guard. */
static bool madvise_guards(void)
{
    size_t page = page_bytes();
    int fds[2];
    char *map = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return false;
    bool works = false;
    if (pipe2(fds, O_CLOEXEC) == 0) {
        works = madvise(map, page, MADV_GUARD_INSTALL) == 0 && write(fds[1], map, 1) < 0 &&
                errno == EFAULT;
        (void)close(fds[0]);
        (void)close(fds[1]);
    }
    (void)munmap(map, page);
    return works;
}

static long read_max_map_count(void)
{
    char text[32];
    int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 65530;
    ssize_t n = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (n <= 0)
        return 65530;
    text[n] = '\0';
    return strtol(text, NULL, 10);
}

static void probe(void)
{
    static const char *const words[] = {"madvise", "mprotect", "redzone"};
    best = madvise_guards() ? STACK_GUARD_MADVISE : STACK_GUARD_MPROTECT;
    mprotect_max = read_max_map_count() / 4;
    const char *word = getenv("RPOPD_STACK_GUARD");
    for (int i = 0; word && i < 3; i++)
        if (strcmp(word, words[i]) == 0)
            best = (enum stack_guard)i;
}

static enum stack_guard wanted_guard(void)
{
    (void)pthread_once(&probed, probe);
    int f = atomic_load_explicit(&forced, memory_order_relaxed);
    enum stack_guard g = f < 0 ? best : (enum stack_guard)f;
    if (g == STACK_GUARD_MPROTECT && atomic_load(&mprotect_count) >= mprotect_max)
        return STACK_GUARD_RED_ZONE;
    return g;
}

const char *stack_guard_name(void)
{
    switch (wanted_guard()) {
    case STACK_GUARD_MADVISE:
        return "guard pages by madvise";
    case STACK_GUARD_MPROTECT:
        return "guard pages by mprotect, then a red zone";
    default:
        return "a red zone checked at each switch";
    }
}

void stack_force_guard(int guard)
{
    atomic_store(&forced, guard);
}

struct stack_pool *stack_pool_new(size_t bytes, unsigned per_slab)
{
    size_t page = page_bytes();
    struct stack_pool *p = bytes <= STACK_BYTES_MAX ? calloc(1, sizeof *p) : NULL;
    if (!p) {
        errno = ENOMEM;
        return NULL;
    }
    p->bytes = (bytes + page - 1) / page * page;
    if (p->bytes < 4 * page)
        p->bytes = 4 * page;
    p->per_slab = per_slab ? per_slab : 1;
    return p;
}

static void drop_slab(struct slab *s)
{
    for (unsigned i = 0; i < s->carved; i++) {
        VALGRIND_STACK_DEREGISTER(s->stacks[i].valgrind_id);
        if (s->stacks[i].guard == STACK_GUARD_MPROTECT)
            atomic_fetch_sub(&mprotect_count, 1);
    }
    (void)munmap(s->map, s->map_bytes);
    free(s);
}

struct stack_pool *stack_pool_free(struct stack_pool *p)
{
    while (p && p->slabs) {
        struct slab *s = p->slabs;
        p->slabs = s->next;
        drop_slab(s);
    }
    free(p);
    return NULL;
}

static struct slab *add_slab(struct stack_pool *p)
{
    struct slab *s = calloc(1, sizeof *s + p->per_slab * sizeof s->stacks[0]);
    if (!s)
        return NULL;
    s->map_bytes = p->bytes * p->per_slab;
    s->map = mmap(NULL, s->map_bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (s->map == MAP_FAILED) {
        free(s);
        errno = ENOMEM;
        return NULL;
    }
    /* One huge page would make 32 stacks resident where one was touched. */
    (void)madvise(s->map, s->map_bytes, MADV_NOHUGEPAGE);
    s->count = p->per_slab;
    s->next = p->slabs;
    p->slabs = s;
    return s;
}

static enum stack_guard install_guard(char *map, size_t page)
{
    enum stack_guard g = wanted_guard();
    if (g == STACK_GUARD_MADVISE && madvise(map, page, MADV_GUARD_INSTALL) == 0)
        return g;
    if (g != STACK_GUARD_RED_ZONE && mprotect(map, page, PROT_NONE) == 0) {
        atomic_fetch_add(&mprotect_count, 1);
        return STACK_GUARD_MPROTECT;
    }
    return STACK_GUARD_RED_ZONE;
}

static struct stack *carve(struct stack_pool *p)
{
    struct slab *slab = p->slabs;
    if (!slab || slab->carved == slab->count)
        slab = add_slab(p);
    if (!slab)
        return NULL;
    size_t page = page_bytes();
    char *map = slab->map + p->bytes * slab->carved;
    struct stack *s = &slab->stacks[slab->carved];
    s->guard = install_guard(map, page);
    size_t guard_bytes = s->guard == STACK_GUARD_RED_ZONE ? 0 : page;
    s->low = map + guard_bytes;
    s->size = p->bytes - guard_bytes;
    s->colour = slab->carved % COLOURS * COLOUR_STEP;
    s->valgrind_id = VALGRIND_STACK_REGISTER(s->low, s->low + s->size);
    slab->carved++;
    return s;
}

static struct stack *pop(struct stack **list)
{
    struct stack *s = *list;
    if (s)
        *list = s->next;
    return s;
}

struct stack *stack_get(struct stack_pool *p)
{
    struct stack *s = pop(&p->warm);
    if (s)
        p->warm_count--;
    else
        s = pop(&p->cold);
    if (!s)
        s = carve(p);
#ifdef STACK_SANITIZED
    if (s) /* frames that never returned left their red zones behind */
        ASAN_UNPOISON_MEMORY_REGION(s->low, s->size);
#endif
    return s;
}

void stack_put(struct stack_pool *p, struct stack *s)
{
    struct stack **list = &p->warm;
    if (p->warm_count == STACK_WARM && madvise(s->low, s->size, MADV_DONTNEED) == 0)
        list = &p->cold;
    else
        p->warm_count++;
    s->next = *list;
    *list = s;
}

bool stack_guards(const struct stack *s, const void *address)
{
    uintptr_t a = (uintptr_t)address, low = (uintptr_t)s->low;
    return s->guard != STACK_GUARD_RED_ZONE && a < low && a >= low - page_bytes();
}

bool stack_damaged(const struct stack *s)
{
    if (s->guard != STACK_GUARD_RED_ZONE)
        return false;
    const uint64_t *words = (const uint64_t *)(const void *)s->low;
    uint64_t any = 0;
    for (size_t i = 0; i < STACK_RED_ZONE / sizeof *words; i++)
        any |= words[i];
    return any != 0;
}
