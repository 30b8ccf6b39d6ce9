/* watch_fd.h - callbacks for file descriptors that can be read or written.
 * Runs on: the loop's thread. Never awaits. Errors: negative codes. Descriptors are borrowed:
 * remove both callbacks before close(2), or use io_close (io.h).
 * Source: CPython 3.11 asyncio add_reader, add_writer, remove_reader, remove_writer.
 *
 * The callback is queued like call_soon in every iteration in which the descriptor is ready (level
 * triggered), in the context in which it was added. Reader and writer of one descriptor are
 * independent. A second one replaces the first; what was queued of the first is skipped. */
#ifndef RUNTIME_WATCH_FD_H
#define RUNTIME_WATCH_FD_H

#include "worker/runtime/loop.h"

/* 0; -EBADF, -ENOMEM, ERROR_CLOSED; ERROR_RUNTIME where a task awaits it for that (io.h). */
int loop_add_reader(struct loop *l, int fd, loop_fn fn, void *arg, struct err *e);
int loop_add_writer(struct loop *l, int fd, loop_fn fn, void *arg, struct err *e);
/* True where there was one; false otherwise, also on a closed loop. */
bool loop_remove_reader(struct loop *l, int fd);
bool loop_remove_writer(struct loop *l, int fd);

#endif
