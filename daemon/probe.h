/* probe.h - is the Redis user allowed to run all that is needed: asked once a queue, on the first
 * connection. Runs on: master. Never awaits. A missing right on the first connection ends the
 * daemon with 78 and is named; later refusals are logged where they happen (trouble.h) and retried.
 */
#ifndef DAEMON_PROBE_H
#define DAEMON_PROBE_H

#include "common/thread.h"

struct queue;

void probe_rights(struct queue *q)
    RUNS_ON(on_master); /* over the control link; nothing where it was answered before */

#endif
