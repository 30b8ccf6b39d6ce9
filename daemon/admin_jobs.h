/* admin_jobs.h - the jobs in flight of this daemon, some at a time while they come and go.
 * Runs on: master. Never awaits. */
#ifndef DAEMON_ADMIN_JOBS_H
#define DAEMON_ADMIN_JOBS_H

#include <ev.h>
#include <stddef.h>
#include <stdint.h>

struct job;
struct master;

struct jobs_cursor { /* {0} begins */
    size_t queue;
    uint64_t seq; /* of the batch */
    uint32_t index;
};

/* The state of one into the log. */
void jobs_log(const struct job *j);

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
