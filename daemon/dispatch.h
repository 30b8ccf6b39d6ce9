/* dispatch.h - the way of a job's outcome back to the master, and the end of all that runs. Runs
 * on: master. */
#ifndef DAEMON_DISPATCH_H
#define DAEMON_DISPATCH_H

#include "common/thread.h"

struct master;

/* The results mailbox; before the first worker. */
void dispatch_open(struct master *m);
/* What has come back so far. A wake-up of the mailbox asks for it, and each turn's end. */
void dispatch_take(struct master *m) RUNS_ON(on_master);
/* After the last worker: what ran to the end comes back unsettled. */
void dispatch_close(struct master *m);
/* Again with at_once: what cleans up already is not waited for any more. */
void dispatch_cancel_all(struct master *m, bool at_once);
/* What has not come back is not waited for any more: it counts as cancelled. The process ends soon,
 * and beside it where it must. */
void dispatch_give_up(struct master *m);

#endif
