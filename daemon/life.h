/* life.h - signals and the orderly end. Runs on: master. */
#ifndef DAEMON_LIFE_H
#define DAEMON_LIFE_H

struct master;

void life_open(struct master *m); /* watches TERM, INT, QUIT and USR1; SIGPIPE is ignored */
void life_close(struct master *m);

#endif
