/* pool_talk.h - one job's talk with a child of a pool: the request out, the answer in.
 * Runs on: the loop's thread, in a task. Awaits. Errors: negative codes and a sentence about the
 * child ("it closed ..."). Units: bytes, milliseconds. Descriptors are borrowed and non-blocking;
 * no callback of theirs is left behind, so that another loop may have them afterwards. Source:
 * rpopd.conf(5), "THE POOL'S PROTOCOL". */
#ifndef WORKER_HANDLER_POOL_TALK_H
#define WORKER_HANDLER_POOL_TALK_H

#include "worker/handler/pool_frame.h"

struct pool_talk {
    int in, out, err; /* our ends of the child's descriptors 0, 1, 2 */
    int pidfd;
    void (*hear)(void *arg, const char *bytes, size_t len); /* what it writes to 2; on any stack */
    void *arg;
};

struct pool_talk_end {
    struct pool_frame_answer answer;
    void *result; /* gives; malloc'd: its bytes; NULL: none, or nobody wants them */
    bool surplus; /* it wrote more than its answer: nothing it says can be relied on any more */
};

/* 0 and *ret. deadline_ms: as in pool_frame_request. -EPROTO: what it wrote is no answer. -EPIPE:
 * it has ended, or closed 0 or 1, before it had answered. -ENOTCONN: it took nothing of the job.
 * -ENOMEM; -ECANCELED. */
int pool_talk(const struct pool_talk *t, const struct job *j, int64_t deadline_ms,
              struct pool_talk_end *ret, struct err *e);

/* Whether it has written to 1, closed it, or ended, while nothing was asked. Never awaits. */
bool pool_talk_stray(const struct pool_talk *t, struct err *e);
/* Hears what it writes to 2 from now on, until io_close. Never awaits. */
int pool_talk_listen(const struct pool_talk *t, struct err *e);
/* Hears what lies in 2 already. Never awaits. */
void pool_talk_drain(const struct pool_talk *t);

#endif
