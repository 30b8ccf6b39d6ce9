/* conf_resolve.h - fills in what a configuration takes from its surroundings. Internal to
 * common/conf*.c. Runs on: any thread, before others change the environment. Never awaits. */
#ifndef COMMON_CONF_RESOLVE_H
#define COMMON_CONF_RESOLVE_H

#include "common/conf.h"
#include "common/conf_source.h"

/* instance, runtime_dir, workers, the password and the keys of signatures; mistakes and no memory
 * are noted in the source. */
void conf_resolve(struct conf *c, struct conf_source *source);

#endif
