/* stream.h - a descriptor with a read buffer of bounded size.
 * Runs on: the loop's thread, in a task; stream_new and stream_free: without one too. The functions
 * with a deadline await (io.h says how, and with which errors). Units: bytes; deadlines in ms of
 * the monotonic clock, negative: none. Source: CPython 3.11 asyncio.StreamReader; writing is not
 * buffered.
 *
 * One task may read while another writes; a second reader or writer gets ERROR_RUNTIME. After
 * -ETIMEDOUT and -ECANCELED nothing that came is lost: reading can be tried again. */
#ifndef RUNTIME_STREAM_H
#define RUNTIME_STREAM_H

#include <sys/types.h>

#include "worker/runtime/loop.h"

struct stream;

/* Gives; takes fd (non-blocking), which stays the caller's where it returns NULL with errno set:
 * -ENOMEM, ERROR_NO_LOOP. `limit`: the most that is buffered, 0: 64 KiB. */
struct stream *stream_new(int fd, size_t limit);
/* Takes, closes: tasks that read or write get -EBADF. NULL is fine; returns NULL. */
struct stream *stream_free(struct stream *s);
int stream_fd(const struct stream *s); /* borrowed */

/* Bytes, at most `room`; 0: end of file. */
ssize_t stream_read(struct stream *s, void *to, size_t room, int64_t deadline_ms, struct err *e);
/* All of `len` or nothing. -ENODATA: the peer closed before; what came is still there for
 * stream_read. -EMSGSIZE: more than the limit. */
int stream_read_exactly(struct stream *s, void *to, size_t len, int64_t deadline_ms, struct err *e);
/* Up to and with the text `end`; borrowed until the next call. -ENODATA as above; -EMSGSIZE: it is
 * not within the limit, nothing was taken. -EINVAL: `end` is empty. */
int stream_read_until(struct stream *s, const char *end, const char **ret_data, size_t *ret_len,
                      int64_t deadline_ms, struct err *e);

/* All of it. After an error a part of it may be on its way: only good for closing. */
int stream_write(struct stream *s, const void *data, size_t len, int64_t deadline_ms,
                 struct err *e);

#endif
