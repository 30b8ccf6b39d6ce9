/* timer: a one-shot timer of the master's loop. */
#ifndef RPOPD_DAEMON_TIMER_H
#define RPOPD_DAEMON_TIMER_H

#include <ev.h>
#include <stdint.h>

/* w fires once, in so many milliseconds; what it was set to before is forgotten. Runs on: the
 * loop's thread. */
static inline void timer_in(struct ev_loop *loop, ev_timer *w, int64_t ms)
{
    ev_timer_stop(loop, w);
    ev_timer_set(w, (double)ms / 1000, 0);
    ev_timer_start(loop, w);
}

#endif
