/* plugin.h - a scene whose queue `queue` is done by a plugin. Errors: end the test by cmocka. */
#ifndef TESTS_E2E_PLUGIN_H
#define TESTS_E2E_PLUGIN_H

#include <sys/stat.h>

#include "tests/e2e/ctl.h"

/* A shared object of plugin/ beside this program; borrowed until the next call. */
const char *plugin_path(const char *name);
/* `top`, and the queue with further settings of its handler and of itself; gives, free(). */
char *plugin_queue(const char *path, const char *handler, const char *top, const char *queue);
/* Starts the daemon with it and waits until it is registered. */
void plugin_start(struct scene *s, const char *name, const char *handler, const char *top,
                  const char *queue);
/* A job that does not listen: it is `how` until plugin_let_go was called, and not before. */
void plugin_push_deaf(struct scene *s, const char *how);
void plugin_let_go(const struct scene *s);
const char *plugin_dead_letter(struct scene *s); /* the first record; borrowed likewise */

#endif
