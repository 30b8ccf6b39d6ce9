/* web.h - a web server for a test (web.py, which says what its paths do), and what the daemon kept
 * of the jobs that it was asked for. Runs on: the test's only thread, blocking. Errors end the
 * test.
 */
#ifndef TESTS_E2E_WEB_H
#define TESTS_E2E_WEB_H

#include "tests/e2e/scene.h"

/* cmocka fixtures: a scene and a web server `web`; both are ended, and `other` where it is set. */
extern struct web *web, *other;
int web_begin(void **state);
int web_end(void **state);
#define WEB(test) cmocka_unit_test_setup_teardown(test, web_begin, web_end)

/* Starts one with these further words (NULL-terminated), its log in the scene's folder. Gives. */
struct web *web_new(struct scene *s, const char *const *args);
struct web *web_free(struct web *w); /* takes; NULL is fine; returns NULL */
int web_port(const struct web *w);
const char *web_log(const struct web *w); /* all of it so far; borrowed until the next call */
unsigned web_saw(const struct web *w, const char *words); /* lines of the log that hold them */

/* Starts the daemon with the queue `queue` of the handler http at this server: `path` is the end of
 * the url, `more` further settings of the handler, `of_queue` of the queue. */
void web_start(struct scene *s, const struct web *w, const char *path, const char *more,
               const char *of_queue);

void push_bytes(struct scene *s, const char *payload, size_t len); /* to `queue` */
void await_stat(struct scene *s, const char *name, long long n);   /* of `queue` */

/* Of the dead letter with this payload: a member of its evidence, as text; "" without. Borrowed. */
const char *dead_letter(struct scene *s, const char *payload, const char *member);
/* Seconds until the next try of the job with this payload, by Redis' clock; -1: there is none. */
long long due_in_s(struct scene *s, const char *payload);

#endif
