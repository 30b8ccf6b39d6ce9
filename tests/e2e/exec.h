/* exec.h - jobs that are scripts: what a test of the handler exec needs beside its scene. Runs on:
 * the test's only thread. Errors end the test. */
#ifndef TESTS_E2E_EXEC_H
#define TESTS_E2E_EXEC_H

#include <sys/stat.h>

#include "tests/e2e/ctl.h"

/* A configuration of one queue whose jobs are scripts for sh: the payload is the script. `more`:
 * settings of the handler, `settings`: of the queue. */
#define SH(more, settings)                                                                       \
    "queues = ({ name = \"queue\"; handler: { type = \"exec\"; command = [ \"/bin/sh\" ]; " more \
    " }; " settings " }); "
/* The same, with the mark of exec_alive in their environment. */
#define MARKED(s, more, settings) \
    exec_text(SH("env = [ \"MARK=%s-mark\" ]; " more, settings), (s)->folder)
#define AT_ONCE "backoff: { base = 0.0; }; "

long long exec_done(struct scene *s); /* jobs */
long long exec_dead(struct scene *s);
json_t *exec_letter(struct scene *s); /* gives: the newest dead letter, as rpopctl shows it */
/* Pushes a script and waits until its job is dead; gives its letter. */
json_t *exec_dies(struct scene *s, const char *script);
/* A text by a format; borrowed for thirty calls more. */
const char *exec_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* What a script has written into this file of the scene's folder; borrowed until the next call. */
const char *exec_file(struct scene *s, const char *name, size_t *ret_len);
/* Makes a file in the scene's folder; its path, borrowed as of exec_text. */
const char *exec_make(struct scene *s, const char *name, const char *text, mode_t mode);
/* Processes that live and have `<folder>-mark` in their environment or in their command line. */
unsigned exec_alive(struct scene *s);
unsigned exec_zombies(struct scene *s); /* children of the daemon that nobody has waited for */
/* Whatever a job has started ends with it, in time, and leaves nothing behind: the tests, for a
 * daemon that has cgroups and for one that has not. Returns how many failed. */
int exec_end_run(void);

#endif
