/* script.h - the Redis scripts of daemon/lua/, built in.
 * A file there begins with `-- keys: a b` and `-- args: c d`; the script gets them as locals,
 * behind the key `none`, which is always the first, never exists, and is in the queue's slot.
 * prelude.lua stands in front of it, epilogue.lua behind. Runs on: any thread. Never awaits.
 * Allocates nothing. */
#ifndef DAEMON_SCRIPT_H
#define DAEMON_SCRIPT_H

#include "daemon/redis.h"

/* The script of daemon/lua/<name>.lua, for ever; ends the process where there is none: names are
 * constants. */
const struct redis_script *script_find(const char *name);

/* All of them, in the order of their names: *ret_n. */
const struct redis_script *script_all(size_t *ret_n);

#endif
