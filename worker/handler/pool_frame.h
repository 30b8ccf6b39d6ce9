/* pool_frame.h - what a child of a pool is told, and what it answers: a line of JSON each, with
 * bytes behind it. Runs on: any thread; on its own stack (callout.h). Never awaits. Units: bytes;
 * milliseconds here, seconds in `delay`. Source: rpopd.conf(5), "THE POOL'S PROTOCOL".
 *
 *     -> {"id":"…","queue":"…","attempt":1,"deadline":1700000000000,"len":5}\n  5 bytes
 *     <- {"id":"…","status":"done","len":2}\n  2 bytes
 *
 * A request is ASCII. An id is printable ASCII by itself; in a queue's name each byte that is no
 * UTF-8 becomes U+FFFD (its bytes as they are stand in the child's RPOPD_QUEUE). */
#ifndef WORKER_HANDLER_POOL_FRAME_H
#define WORKER_HANDLER_POOL_FRAME_H

#include "common/err.h"
#include "common/job.h"

#define POOL_FRAME_LINE_MAX ((size_t)64 << 10) /* of an answer, with its end */

/* Gives the line, with its end; NULL: no memory. deadline_ms: wall clock; 0: none, which is null in
 * the line. */
char *pool_frame_request(const struct job *j, int64_t deadline_ms, size_t *ret_len);

struct pool_frame_answer {
    enum job_outcome outcome; /* JOB_DONE, JOB_RETRY or JOB_DEAD */
    int64_t delay_ms;         /* until the next try; -1: it does not say */
    size_t len;               /* of the result behind the line: at most the queue's max_payload */
    char error[ERR_TEXT_MAX]; /* "" where it gives none; longer ones are cut */
};

/* Reads the line (its end may be missing) as the answer to j. 0; -EPROTO with a sentence: what is
 * wrong with it, what is allowed. What it does not know in the object is left alone. */
int pool_frame_answer(const struct job *j, const char *line, size_t len,
                      struct pool_frame_answer *ret, struct err *e);

#endif
