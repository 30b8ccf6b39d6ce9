/* lock.h - the lock file of an instance on one database: one daemon of a name on a host, and which
 * runs are dead. Runs on: master. Never awaits. Errors: negative errno with a sentence; -EEXIST:
 * another daemon of this name lives. The file, held by flock, lists the runs that wrote it, each
 * before its first registration. Who holds the lock knows the other runs in it to be dead. A run
 * stays in the file, also at exit: what it sent last may arrive late. Beside it lies the crash
 * note, empty but for a job that brought the last run down. */
#ifndef DAEMON_LOCK_H
#define DAEMON_LOCK_H

#include <stdbool.h>

#include "common/err.h"

#define RUN_MAX 17 /* 64 random bits in hex and a NUL */

struct lock;

/* Makes runtime_dir (0700, owner checked) where it is missing, locks <instance>-<hash of
 * database>.lock in it, invents this run's name and writes it. Gives; NULL with *e. */
struct lock *lock_open(const char *runtime_dir, const char *instance, const char *database,
                       struct err *e);
struct lock *lock_close(struct lock *l); /* takes; NULL is fine; returns NULL. The file stays */
const char *lock_run(const struct lock *l);
/* `run` is this very run, or one whose process is known to be dead. */
bool lock_is_own_run(const struct lock *l, const char *run, unsigned long len);
/* The job that brought a dead run down, as `<birth>-<index>`; NULL: its crash left no note.
 * Borrowed until lock_forget_dead. */
const char *lock_note(const struct lock *l, const char *run, unsigned long len);
int lock_note_fd(const struct lock *l); /* where this run's own note goes; borrowed */
/* Nothing of the dead runs is live or open any more: they leave the file, and the note counts no
 * more. 0 or a negative errno. */
int lock_forget_dead(struct lock *l);

#endif
