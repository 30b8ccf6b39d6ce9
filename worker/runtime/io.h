/* io.h - reading and writing file descriptors without keeping the loop.
 * Runs on: the loop's thread, in a task. Awaits; what is there at once does not suspend. Errors:
 * negative codes and *e; errno is left as it was. Units: bytes; a deadline is in ms of the
 * monotonic clock (loop_time_ms), negative: none. Descriptors are borrowed, and must be
 * non-blocking. Source: CPython 3.11 asyncio sock_recv, sock_sendall, sock_connect; man 7 epoll,
 * man 2 connect.
 *
 * One task at a time awaits a descriptor for reading and one for writing; a second one gets
 * ERROR_RUNTIME with a sentence. Common errors: -ETIMEDOUT (the deadline), -ECANCELED (the task),
 * -EBADF (closed, also meanwhile by io_close), -EINVAL (it would block), -ENOMEM, ERROR_NO_TASK.
 * Files on a disk always count as ready: use to_thread (executor.h) for them. */
#ifndef RUNTIME_IO_H
#define RUNTIME_IO_H

#include <sys/socket.h>
#include <sys/types.h>

#include "worker/runtime/loop.h"

/* 0 once fd can be read or written (or has failed, or was closed by the peer: the call tells). */
int io_wait_readable(int fd, int64_t deadline_ms, struct err *e);
int io_wait_writable(int fd, int64_t deadline_ms, struct err *e);

/* Bytes read, at most `room`; 0: end of file (or no room). */
ssize_t io_read(int fd, void *buf, size_t room, int64_t deadline_ms, struct err *e);
/* Bytes written, at least one of `len` > 0. SIGPIPE is never raised for a socket; whoever writes to
 * pipes ignores that signal. */
ssize_t io_write(int fd, const void *data, size_t len, int64_t deadline_ms, struct err *e);
/* 0, or what connect(2) failed with. A unix socket whose backlog is full is tried again until the
 * deadline. After an error the socket is only good for closing. */
int io_connect(int fd, const struct sockaddr *addr, socklen_t len, int64_t deadline_ms,
               struct err *e);

/* Takes fd: removes its callbacks (watch_fd.h), closes it; tasks that await it get -EBADF.
 * Never awaits; needs no task. A negative fd is fine. */
void io_close(struct loop *l, int fd);

#endif
