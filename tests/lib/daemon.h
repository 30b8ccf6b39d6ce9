/* daemon.h - the daemon as its users see it: a process with a file, two outputs, signals and an
 * exit code. Runs on: the test's only thread (the child dies with the thread that started it).
 * Never awaits; waits take a limit. Errors: what the system refuses ends the test by cmocka's
 * fail_msg. Units: milliseconds of the monotonic clock. The program is $RPOPD, else build/rpopd. */
#ifndef TESTS_LIB_DAEMON_H
#define TESTS_LIB_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct daemon;

/* Gives; nothing is started. Files lie in `folder`: <name>.conf, <name>.out and <name>.err. */
struct daemon *daemon_new(const char *folder, const char *name);
struct daemon *
daemon_free(struct daemon *d); /* takes; kills what still runs; NULL is fine; returns NULL */

void daemon_configure(struct daemon *d, const char *text); /* writes the configuration file */
const char *daemon_file(const struct daemon *d);           /* its path; borrowed */

/* Starts `-c <file>`. Outputs are appended, so what several lives printed stands in one text. */
void daemon_start(struct daemon *d);
/* Starts with these arguments (NULL-terminated, without the program's name) and no others. */
void daemon_start_with(struct daemon *d, const char *const *args);
/* A variable of the environment for the starts that follow; value NULL: not set. */
void daemon_setenv(struct daemon *d, const char *name, const char *value);
/* A sanitizer in it leaves its crashes to its own handlers, likewise. */
void daemon_may_crash(struct daemon *d);

pid_t daemon_pid(const struct daemon *d); /* 0: does not run */
bool daemon_alive(struct daemon *d);      /* looks whether it has ended; then reaps it */
void daemon_signal(struct daemon *d, int sig);
/* Waits for its end. Returns the exit code, 128 + the signal, or -ETIMEDOUT. */
int daemon_wait(struct daemon *d, int64_t limit_ms);
/* Signal, as soon as it is up to catch it, then wait. */
int daemon_stop(struct daemon *d, int sig, int64_t limit_ms);
void daemon_kill(struct daemon *d); /* SIGKILL, reaped on return; fine when dead */

/* What it has printed so far, over all lives: NUL-terminated, borrowed until the next call. */
const char *daemon_out(struct daemon *d, size_t *ret_len);
const char *daemon_err(struct daemon *d, size_t *ret_len);
unsigned daemon_printed(struct daemon *d,
                        const char *line); /* lines of the standard output equal to `line` */
unsigned daemon_logged(struct daemon *d,
                       const char *words);   /* lines of the standard error with `words` in it */
unsigned daemon_log_lines(struct daemon *d); /* lines of the standard error */

/* What it costs, read from /proc. */
struct daemon_usage {
    int64_t cpu_us;   /* of all threads, since the start */
    int64_t switches; /* voluntary context switches: how often one of its threads went to sleep */
    int64_t rss_kb, peak_kb;
    int fds, threads;
};
struct daemon_usage daemon_usage(const struct daemon *d);

/* Its workers' threads, with how often each went to sleep; returns how many. */
struct daemon_thread {
    int tid;
    int64_t switches;
};
unsigned daemon_workers(const struct daemon *d, struct daemon_thread *ret_threads, unsigned max);

#endif
