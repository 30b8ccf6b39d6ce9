/* Which loops run now, by number: an object that remembers its loop's number can ask for it when
 * the loop itself may be gone. */
#include "worker/runtime/internal.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards first, and running_next of all */
static struct loop *first;

void running_add(struct loop *l)
{
    (void)pthread_mutex_lock(&lock);
    l->running_next = first;
    first = l;
    (void)pthread_mutex_unlock(&lock);
}

void running_remove(struct loop *l)
{
    struct loop **at = &first;
    (void)pthread_mutex_lock(&lock);
    while (*at != l)
        at = &(*at)->running_next;
    *at = l->running_next;
    (void)pthread_mutex_unlock(&lock);
}

bool running_has(uint64_t number)
{
    (void)pthread_mutex_lock(&lock);
    const struct loop *l = first;
    while (l && l->number != number)
        l = l->running_next;
    (void)pthread_mutex_unlock(&lock);
    return l;
}
