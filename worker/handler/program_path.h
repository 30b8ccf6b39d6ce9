/* program_path.h - where the file of a command lies, and whether it can be executed.
 * Runs on: any thread, blocking for as long as the file system takes. Never awaits. Errors:
 * negative errno with a sentence. */
#ifndef WORKER_HANDLER_PROGRAM_PATH_H
#define WORKER_HANDLER_PROGRAM_PATH_H

#include <limits.h>

#include "common/err.h"

/* The file of `name`: itself where there is a slash in it, else the first in `path` (NULL: the
 * system's) that may be executed; without any, `name` itself. Returns out. */
const char *program_path_find(const char *name, const char *path, char out[PATH_MAX]);

/* 0; -ENOENT, -EACCES ...: no such file, no right, no such interpreter in its first line. `cwd`:
 * where a relative path begins; "": here. */
int program_path_check(const char *file, const char *cwd, struct err *e);

#endif
