/* launch.h - the settings of a program that posix_spawn cannot set: the words to the launcher
 * rpopd-exec, which sets them and becomes the program, and what it answers.
 * Runs on: any thread. Never awaits. Errors: negative errno.
 *
 * Its command line: [--user=NAME] [--umask=OCTAL] [--nice=N] [--rlimit=TEXT]... [--no-new-privs] --
 * CGROUP FILE ARGV0 [ARG]... CGROUP: the directory of one that it joins where it can; "": none. On
 * descriptor LAUNCH_PIPE it says `<errno> <sentence>` where it fails; the program's start closes
 * it. */
#ifndef WORKER_HANDLER_LAUNCH_H
#define WORKER_HANDLER_LAUNCH_H

#include <limits.h>
#include <stddef.h>

#include "common/conf.h"

#define LAUNCH_PIPE 4
#define LAUNCH_ANSWER_MAX 512

/* The name of a setting that needs the launcher; NULL: none does. */
const char *launch_needed(const struct conf_handler *h);
/* Where the launcher lies: beside the daemon, else where it is installed. 0, or -ENOENT and the
 * latter. */
int launch_path(char out[PATH_MAX]);
/* Gives its words up to and with `--`; *ret_n: how many. launch_free frees. NULL: no memory. */
char **launch_words(const struct conf_handler *h, size_t *ret_n);
char **launch_free(char **words, size_t n);

#endif
