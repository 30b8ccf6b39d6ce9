/* redis_reply.h - bytes from a server into reply trees: the framing scan, hiredis' reader, our
 * reply functions. A tree and its strings lie in an arena of the reader: valid until the next call
 * that is given bytes, gone at once. Runs on: master. Never awaits. Errors: a negative errno and a
 * sentence (-EPROTO, -EMSGSIZE, -ENOMEM); the reader is of no use from then on. Memory: at most
 * max_bulk + REDIS_REPLY_EXTRA bytes of strings, once in the tree, and the string under way once
 * more. Source: hiredis read.h. */
#ifndef DAEMON_REDIS_REPLY_H
#define DAEMON_REDIS_REPLY_H

#include "daemon/redis.h"

#define REDIS_REPLY_EXTRA \
    ((size_t)16 << 20) /* a reply may hold so much beside its largest string */

struct redis_reader;

struct redis_reader *redis_reader_new(size_t max_bulk); /* gives; NULL on no memory */
struct redis_reader *
redis_reader_free(struct redis_reader *r); /* takes; NULL is fine; returns NULL */

/* Reads on, up to the end of a reply: *ret_reply is that reply (borrowed until the next call) or
 * NULL where more bytes are needed. *ret_used are done with; the rest (few bytes, where *ret_reply
 * is NULL) must be presented again in front of more. */
int redis_reader_read(struct redis_reader *r, const char *in, size_t len, size_t *ret_used,
                      const struct redis_reply **ret_reply, struct err *e);

#endif
