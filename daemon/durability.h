/* durability.h - does the server keep what it is given? Asked once in the daemon's life, said where
 * it does not: keys may be evicted (a warning), nothing is written to disk at once (for
 * information). Runs on: master. Never awaits. A user who may not ask (INFO) is told nothing.
 * Source: Redis' INFO, sections memory and persistence. */
#ifndef DAEMON_DURABILITY_H
#define DAEMON_DURABILITY_H

#include "common/thread.h"

struct master;

/* At each connection; does nothing once it was answered. */
void durability_ask(struct master *m) RUNS_ON(on_master);

#endif
