/* reserve.h - memory for libev, which ends the process where an allocation fails: a reserve stands
 * in; internal to the runtime. Runs on: any thread. Never awaits. Once a loop has drawn on it,
 * reserve_used() says so, and new loops and watchers should be refused until the process is short
 * of memory no more. */
#ifndef RUNTIME_RESERVE_H
#define RUNTIME_RESERVE_H

#include <stddef.h>

int reserve_install(void); /* once for the process, before the first loop; 0 or -ENOMEM */
size_t reserve_used(void); /* bytes drawn so far, of RESERVE_BYTES */

#define RESERVE_BYTES ((size_t)4 << 20)

#endif
