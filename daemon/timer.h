/* timer.h - a one-shot timer of the master's loop, and how long it waits after refusals. Runs on:
 * the loop's thread. Never awaits. Units: milliseconds. */
#ifndef DAEMON_TIMER_H
#define DAEMON_TIMER_H

#include <ev.h>
#include <stdint.h>

/* w fires once, in so many milliseconds; what it was set to before is forgotten. */
static inline void timer_in(struct ev_loop *loop, ev_timer *w, int64_t ms)
{
    ev_timer_stop(loop, w);
    ev_timer_set(w, (double)ms / 1000, 0);
    ev_timer_start(loop, w);
}

/* The wait after one of `ms`, which was in vain: twice as long, from `least` (0: the first) to
 * `most`. */
static inline int64_t timer_backoff(int64_t ms, int64_t least, int64_t most)
{
    int64_t next = ms ? ms * 2 : least;
    return next < most ? next : most;
}

#endif
