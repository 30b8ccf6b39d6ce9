/* environment.h - the environment of a program that a handler starts: the daemon's own without what
 * is meant for the daemon alone, then the settings', then the job's.
 * Runs on: any thread. Never awaits. Errors: NULL on no memory. Ownership: the texts are borrowed,
 * the array is the caller's (free). */
#ifndef WORKER_HANDLER_ENVIRONMENT_H
#define WORKER_HANDLER_ENVIRONMENT_H

#include <stddef.h>

/* Gives. `own` without NOTIFY_SOCKET, WATCHDOG_*, LISTEN_*, CREDENTIALS_DIRECTORY, both without the
 * names of a job's own variables; a name comes once, that of `more` counts. Behind *ret_n there is
 * room for `spare` more and a NULL. */
const char **environment_new(char *const *own, char *const *more, size_t spare, size_t *ret_n);

/* Borrowed: what follows `NAME=`; NULL where it is not set. */
const char *environment_get(const char *const *environment, const char *name);

#endif
