/* load.h - jobs of every kind at so many a second, in queues of a scene: for each kind one queue
 * whose jobs are done and one whose jobs fail, at every try and in every way. Counted is what
 * Redis took. Runs on: the test's only thread. Errors end the test. */
#ifndef TESTS_E2E_LOAD_H
#define TESTS_E2E_LOAD_H

#include "tests/e2e/scene.h"

struct load;

/* Gives. Jobs go to the web server `web`, to this program as a child of a pool (its main calls
 * pool_child_main), and to the plugin act. */
struct load *load_new(struct scene *s);
struct load *load_free(struct load *l); /* takes; NULL is fine; returns NULL */
char *load_conf(const struct load *l);  /* of the daemon, behind what the scene writes; gives */

/* Pushes what is due since the last call. A Redis that refuses is asked again at the next. */
void load_feed(struct load *l);
void load_rest(struct load *l); /* the time until the next load_feed does not count */
/* Each job that was pushed is done, or dead where it fails. */
bool load_is_over(struct load *l);
/* What is wrong with a queue's numbers; "": nothing. Borrowed until the next call. */
const char *load_wrong(struct load *l);
unsigned long load_jobs(const struct load *l); /* pushed so far */
void load_pause(struct load *l, unsigned ms);  /* sets each queue's pause key */

/* Reads on in what the daemon has printed. Of the jobs that print their numbers: how many have not
 * been run to their end, and how many more than once. */
struct load_runs {
    unsigned long none, again;
};
struct load_runs load_runs(struct load *l);

#endif
