/* trial.h - batches that were taken over too often: one of their jobs may be what brings the daemon
 * down. Runs on: master. Never awaits.
 *
 *   NONE -> DRAINS  nothing is claimed, read or started; what runs ends
 *        -> RUNS    the trial's jobs one at a time, each named in its entry before it starts, for
 *                   at least as long as the drain took
 *        -> RESTS   ordinary work, for as long as both took -> NONE */
#ifndef DAEMON_TRIAL_H
#define DAEMON_TRIAL_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/thread.h"

struct batch;
struct master;

enum trial_state { TRIAL_NONE, TRIAL_DRAINS, TRIAL_RUNS, TRIAL_RESTS };

struct trial {
    enum trial_state state;
    unsigned batches; /* on trial */
    bool tried;       /* one has run since it runs */
    int64_t since_ms, drained_ms;
    ev_timer again; /* the end of a rest, or a pause after a refusal */
};

void trial_init(struct master *m);
void trial_deinit(struct master *m);
/* b was taken max_recoveries times; and it is over for it. */
void trial_add(struct batch *b);
void trial_end(struct batch *b);
/* Ordinary work stands still. */
bool trial_holds(const struct master *m);
/* Once a turn: goes on where it can. */
void trial_step(struct master *m) RUNS_ON(on_master);

#endif
