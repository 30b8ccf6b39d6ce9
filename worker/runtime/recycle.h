/* recycle.h - keeps ended objects of one size for the next ones; internal to the runtime. Runs on:
 * one thread at a time. Never awaits. Errors: NULL with errno set. At most RECYCLE_MAX are kept.
 * Under AddressSanitizer and valgrind's eyes nothing is kept, so that a use after the end is seen.
 */
#ifndef RUNTIME_RECYCLE_H
#define RUNTIME_RECYCLE_H

#include <stddef.h>

#define RECYCLE_MAX 4096u

struct recycle {
    void *first;
    unsigned count, max;
    size_t bytes;
};

void recycle_init(struct recycle *r, size_t bytes);
void recycle_deinit(struct recycle *r);       /* frees what is kept */
void *recycle_get(struct recycle *r);         /* gives, not cleared */
void recycle_put(struct recycle *r, void *p); /* takes */

#endif
