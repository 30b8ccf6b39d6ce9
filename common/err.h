/* err.h - an error for people: a code and a sentence that names the value and what is allowed.
 * Runs on: any thread. Never awaits. Allocates nothing. Formatting runs on the thread's own stack
 * (callout.h), so err_set is safe in a task. Functions return 0 or a negative errno for programs
 * and fill a `struct err` for people. */
#ifndef COMMON_ERR_H
#define COMMON_ERR_H

#include <stdbool.h>

#define ERR_TEXT_MAX 240

struct err {
    int code;                /* a negative errno; 0: no error */
    char text[ERR_TEXT_MAX]; /* one sentence without a line end, cut when longer */
};

/* Fills *e (NULL is fine) and returns `code`, so that `return err_set(e, -EINVAL, ...)` reads well.
 */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "what: " in front of the sentence in *e; returns the code in it. */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* It says that memory, descriptors or processes are short: another time it may work. */
bool err_is_shortage(int code);

#endif
