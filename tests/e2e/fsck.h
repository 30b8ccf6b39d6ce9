/* fsck.h - what rpopctl fsck finds, and the orphans that are made for it.
 * Runs on: the test's only thread, blocking. Errors: end the test by cmocka. */
#ifndef TESTS_E2E_FSCK_H
#define TESTS_E2E_FSCK_H

#include "tests/e2e/ctl.h"

#define CALM "lease = 3600.0; " /* the daemon itself mends nothing within the test */
/* A batch of an instance that nobody has seen for long. */
#define ENTRY "1 00000000000000aa.1-7 0 0 -"
#define FIELD "gone:00000000000000aa.1:7"

/* Runs it, with --repair or without: it must find `n` things, all of them of this kind and at this
 * queue, and have repaired all or none. */
void fsck_finds(struct scene *s, bool repair, const char *queue, const char *kind, int n,
                bool repaired);
#define fsck_found(s, repair, kind, repaired) fsck_finds(s, repair, "queue", kind, 1, repaired)
/* The n of them are told twice without a repair, then repaired, then gone. */
void fsck_repairs(struct scene *s, const char *kind, int n);
/* A repair changes nothing: they are told again and again. */
void fsck_leaves(struct scene *s, const char *queue, const char *kind, int n);
void fsck_clean(struct scene *s);

/* The payloads 0.000 to 0.004, of which the second is settled; entry NULL: without one. */
void fsck_leave_batch(struct scene *s, const char *queue, const char *entry);

#endif
