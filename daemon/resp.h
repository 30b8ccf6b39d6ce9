/* resp.h - the framing scan: what a server sends is checked before a parser sees a byte of it.
 * Each type byte, length, depth and count of the Redis serialization protocol, version 2, is looked
 * at; what passes may be fed to hiredis' reader as it is, a string over max_bulk is skipped and a
 * short stand-in is fed in its place. The scan keeps no bytes: its caller presents what was not
 * used again, in front of more. Every call takes time linear in `len`, whatever the server says.
 * Runs on: any thread. Never awaits. Allocates nothing. Errors: -EPROTO (not such a reply),
 * -EMSGSIZE (over a limit), with a sentence; the stream is worthless from then on. Units: bytes.
 * Source: the Redis protocol specification (RESP2). */
#ifndef DAEMON_RESP_H
#define DAEMON_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define RESP_DEPTH_MAX 7          /* arrays within each other: hiredis 0.14 takes no more than 8 */
#define RESP_ELEMENTS_MAX 1048576 /* in one reply, over all its arrays */
#define RESP_LINE_MAX 65536       /* of a status or an error, without its CRLF */
#define RESP_BULK_MAX ((int64_t)512 << 20) /* Redis' own bound of a string */
#define RESP_HEAD_MAX 23 /* ":-9223372036854775808\r\n": what at most stays unused */

struct resp {
    size_t max_bulk;  /* longer strings are skipped */
    size_t max_reply; /* bytes of strings and lines kept in one reply */
    /* private */
    int state;
    int64_t left;      /* bytes of the line so far, or of the string and its CRLF to come */
    int64_t skipped;   /* length of the string that is skipped */
    size_t kept;       /* bytes of strings and lines in this reply */
    uint32_t elements; /* announced in this reply */
    uint32_t open[RESP_DEPTH_MAX + 1]; /* elements still to come, an array a level */
    int depth;
    char stand_in[RESP_HEAD_MAX + 1];
};

struct resp_part {
    size_t used;      /* bytes of the input that are done with */
    const char *feed; /* what the parser gets: a piece of the input or the stand-in; valid until the
                         next call */
    size_t feed_len;
    bool item;  /* at least one item of a reply ends in it: the parser has something to do */
    bool whole; /* a whole reply ends with it */
};

void resp_init(struct resp *s, size_t max_bulk, size_t max_reply);

/* Looks at the next bytes, up to the end of a reply. Progress is told by `used` or by `feed_len`;
 * none of both: more input is needed (at most RESP_HEAD_MAX bytes are left over then). */
int resp_scan(struct resp *s, const char *in, size_t len, struct resp_part *ret_part,
              struct err *e);

/* The stand-in of a skipped string is a status line that begins with a NUL byte, which the scan
 * lets no server send. true: `*ret_len` is the length that was announced. */
bool resp_is_stand_in(const char *line, size_t len, size_t *ret_len);

#endif
