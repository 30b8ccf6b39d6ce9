/* process_pool.h - functions that compute run in other processes, so that neither the loop nor a
 * lock of this process waits for them, and a crash ends one of those alone.
 * Runs on: any thread, unless said otherwise. Errors: negative codes and *e. Units: bytes. Source:
 * CPython 3.11 concurrent.futures.ProcessPoolExecutor, started by `spawn`; man 3 posix_spawn.
 *
 * A child is this very program, started anew (/proc/self/exe; a process with threads never forks):
 * its main() calls process_pool_child, which waits there for calls. Functions are known by name;
 * arguments and results cross as bytes, errors as code and sentence. Nothing else is shared: a
 * child's stdin is /dev/null, of other descriptors it has stdout and stderr alone. A child starts
 * when a call finds none idle, has one call at a time, and ends with the pool or with this process.
 *
 * A pool is an executor (executor.h): executor_ref, _unref and _shutdown mean the same, and calls
 * begin in the order of submission. A child that ends by itself or sends what is no answer breaks
 * the pool: what was called fails with ERROR_BROKEN_POOL, the other children are killed. */
#ifndef RUNTIME_PROCESS_POOL_H
#define RUNTIME_PROCESS_POOL_H

#include <stddef.h>

#include "worker/runtime/executor.h"

#define PROCESS_BYTES_MAX ((size_t)1 << 30) /* the longest argument or result */

/* Runs in a child, on its main thread; may block. 0 and a result from malloc (gives; NULL with 0
 * bytes is fine), or a negative code and *e. `arg` is borrowed, and aligned as by malloc. */
typedef int (*process_fn)(const void *arg, size_t len, void **ret_result, size_t *ret_len,
                          struct err *e);

struct process_function {
    const char *name;
    process_fn fn;
};

/* First of all in main(). Keeps the table, which an empty row ends. Returns in this program; in a
 * child of a pool it runs calls until the pool has ended, and then ends the process by exit(). */
void process_pool_child(int argc, char **argv, const struct process_function *functions);

/* A pool of up to max_processes children (0: one per CPU). Gives. NULL with errno set: -ENOMEM,
 * -EMFILE, ERROR_RUNTIME (process_pool_child was not called: a child would be one more parent). */
struct executor *executor_new_processes(unsigned max_processes);

struct process_bytes { /* a result; the future frees it */
    size_t len;
    _Alignas(16) char data[]; /* a NUL stands behind it */
};

/* Gives the future of the function `name`, whose result is a struct process_bytes; copies `arg`. On
 * the loop's thread. A call that has begun cannot be stopped, as in executor.h. NULL with errno set
 * and *e: -EINVAL (no such function), -EMSGSIZE, ERROR_TYPE (x is a pool of threads),
 * ERROR_BROKEN_POOL, ERROR_RUNTIME (after a shutdown), those of run_in_executor. The future may
 * fail with: ERROR_BROKEN_POOL, -EAGAIN, -ENOMEM, -EMFILE ... (no process can be started: the pool
 * is whole), -ENOMEM (here or in the child), -EMSGSIZE (the result), what the function returned. */
struct future *run_in_process(struct executor *x, const char *name, const void *arg, size_t len,
                              struct err *e);

#endif
