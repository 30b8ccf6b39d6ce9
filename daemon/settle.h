/* settle.h - what settle.c (what is to be settled, and when) and settle_call.c (the settles on the
 * way) share. Runs on: master. Never awaits. Units: none. */
#ifndef DAEMON_SETTLE_H
#define DAEMON_SETTLE_H

#include <stdbool.h>

#include "common/thread.h"

struct batch;
struct job;
struct redis_reply;

/* ---- settle.c ---- */

/* Takes j, which has an outcome that nobody is telling Redis now. */
void settle_to_list(struct job *j);
/* Its settle carries more than that it is done: the batch cannot be settled as a whole before. */
bool settle_is_special(const struct job *j);
/* Takes j: settled, or nobody's business any more. */
void settle_drop(struct job *j);
/* Redis refused a settle of b: it waits for the backoff. */
void settle_refused(struct batch *b, const struct redis_reply *r);
void settle_accepted(struct batch *b);

/* ---- settle_call.c: 0, or -1 where it could not be sent ---- */

int settle_send_part(struct batch *b) RUNS_ON(on_master); /* of b->done, many */
int settle_send_deliveries(struct batch *b)
    RUNS_ON(on_master); /* of b->owing, all that Redis may take */
int settle_send_record(struct batch *b) RUNS_ON(on_master); /* of b->failed, the first */
int settle_send_whole(struct batch *b) RUNS_ON(on_master);

#endif
