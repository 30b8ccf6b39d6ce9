/* ctl.h - rpopctl as an operator's script runs it, and a stranger at the admin socket.
 * Runs on: the test's only thread, blocking. Errors: end the test by cmocka. The program is
 * $RPOPCTL, else build/rpopctl. */
#ifndef TESTS_E2E_CTL_H
#define TESTS_E2E_CTL_H

#include <jansson.h>

#include "tests/e2e/scene.h"

struct ctl_run {
    int code;
    char *out, *err;
};

/* Runs it with these words; what it printed is borrowed until the next run. */
const struct ctl_run *ctl_run(const char *const *args);
#define CTL_RAW(...) ctl_run((const char *const[]){__VA_ARGS__, NULL})
/* The same, at the scene's daemon. */
#define CTL(s, ...) CTL_RAW("-c", daemon_file((s)->daemon), __VA_ARGS__)
/* The same with --json; it must exit with `code` and print one document, which is given. */
json_t *ctl_json(struct scene *s, int code, const char *const *args);
#define CTL_JSON(s, code, ...) ctl_json((s), (code), (const char *const[]){__VA_ARGS__, NULL})

/* Cancels the one job that runs, as soon as one does and nothing else is there. */
void ctl_cancel_one(struct scene *s);

/* Exit code and a sentence on standard error; else the test fails and shows both. */
void ctl_refused(struct scene *s, const struct ctl_run *r, int code, const char *sentence);

const char *ctl_text(const json_t *o, const char *key); /* "" where it is no string */
long long ctl_number(const json_t *o, const char *key); /* -1 where it is no integer */
/* The member of an array whose `key` is this text; NULL. */
json_t *ctl_find(const json_t *array, const char *key, const char *text);

/* A connection to the scene's socket. */
int ctl_connect(struct scene *s);
void ctl_say(int fd, const char *bytes, size_t len);
/* What comes within `ms` up to a line end or the end; a static text. "": nothing but the end. */
const char *ctl_hear(int fd, int64_t ms);
bool ctl_is_cut(int fd, int64_t ms); /* the daemon closes it within so long */

#endif
