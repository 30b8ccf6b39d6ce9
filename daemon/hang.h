/* hang.h - a worker whose loop does not go round: a job's code keeps it, a plugin's coroutine that
 * never awaits, say. All its jobs stand still, and none can be cancelled. It is logged once with
 * the jobs that run there, one of which it is, and once when it is over. Runs on: master. Never
 * awaits. Units: milliseconds. */
#ifndef DAEMON_HANG_H
#define DAEMON_HANG_H

#include <stddef.h>
#include <stdint.h>

struct master;
struct hang;

struct hang *hang_new(struct master *m); /* gives; NULL on no memory */
struct hang *hang_free(struct hang *h);
/* Every look. */
void hang_look(struct hang *h);
/* For how long that worker has hung; 0: it does not. */
int64_t hang_ms(const struct hang *h, size_t worker);

#endif
