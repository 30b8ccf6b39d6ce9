/* kinds.h - handlers of each kind, and a queue of each for a daemon that lacks something in
 * mid-drain. There a job that does not get all of its payload, or none, is dead: a try is all that
 * there is. Runs on: the test's only thread. Errors end the test. */
#ifndef TESTS_E2E_KINDS_H
#define TESTS_E2E_KINDS_H

#include "tests/e2e/scene.h"

enum kind { SLEEP, EXEC, HTTP, POOL, PLUGIN, BLOCKING, NUL };

/* What stands in its `handler`: exec runs the script, http asks the test's own server, which is
 * there, for the payload; pool has so many processes. */
void kind_print(FILE *f, enum kind kind, const char *script, int processes);

#define KINDS_WHOLE "whole and nothing but" /* the payload for `queue`, a program */

void kinds_start(struct scene *s); /* starts the daemon, and what it asks for by http */
void kinds_end(struct scene *s);   /* stops it; nothing is left */
void kinds_push(struct scene *s, long long *pushed); /* a job of each kind; counts them */
bool kinds_done(struct scene *s, long long pushed);  /* so many of each kind */
/* what: said where one is. */
void kinds_none_is_dead(struct scene *s, const char *what);

#endif
