/* supervisor.h - what systemd is told: READY, STATUS, STOPPING, WATCHDOG. Nothing where
 * NOTIFY_SOCKET is not set. Runs on: master. Never awaits. Source: sd_notify(3). The watchdog is
 * fed by progress: every worker's loop has gone round and the links to Redis have moved since the
 * last time; an idle or paused daemon moves too (beats, pokes), and an unreachable Redis does by
 * its attempts. */
#ifndef DAEMON_SUPERVISOR_H
#define DAEMON_SUPERVISOR_H

struct master;
struct supervisor;

struct supervisor *supervisor_new(struct master *m); /* gives; NULL on no memory */
struct supervisor *supervisor_free(struct supervisor *s);
/* Every look: READY once the first connect was tried, STATUS when it changed. */
void supervisor_tell(struct supervisor *s);
void supervisor_stopping(struct supervisor *s);

#endif
