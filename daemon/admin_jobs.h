/* admin_jobs.h - the jobs in flight of this daemon, some at a time while they come and go.
 * Runs on: master. Never awaits. */
#ifndef DAEMON_ADMIN_JOBS_H
#define DAEMON_ADMIN_JOBS_H

#include <ev.h>
#include <stddef.h>
#include <stdint.h>

#include "common/job.h"

struct master;

struct jobs_cursor { /* {0} begins */
    size_t queue;
    uint64_t seq; /* of the batch */
    uint32_t index;
};

/* The next job and the cursor behind it; NULL: there is none. What comes meanwhile may be left
 * out, what stays is not. Looks at no more than *budget places and takes them off it: NULL and 0
 * left mean that it is to be asked again. */
const struct job *jobs_next(const struct master *m, struct jobs_cursor *at, unsigned *budget);
/* The job of that id; NULL: it is not in this daemon. */
struct job *jobs_find(const struct master *m, const char *id);
/* "waiting", "running", "settling" (it has ended, and Redis has not confirmed it) */
const char *jobs_state(const struct job *j);

/* The state of each into the log, some in a turn of the loop. */
struct jobs_report {
    struct master *master;
    struct jobs_cursor at;
    unsigned jobs;
    ev_timer next;
};
void jobs_report_init(struct jobs_report *r, struct master *m);
void jobs_report_deinit(struct jobs_report *r);
void jobs_report(struct jobs_report *r); /* from the first on */

#endif
