/* dispatch.h - the way of a job's outcome back to the master, and the end of all that runs. Runs
 * on: master. */
#ifndef DAEMON_DISPATCH_H
#define DAEMON_DISPATCH_H

struct master;

void dispatch_open(struct master *m);  /* the results mailbox; before the first worker */
void dispatch_close(struct master *m); /* after the last worker */
void dispatch_cancel_all(struct master *m);

#endif
