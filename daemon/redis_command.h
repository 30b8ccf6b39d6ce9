/* redis_command.h - a command under construction, and its bytes on the wire. Part of redis.h's
 * door: callers use redis.h. Runs on: master. Never awaits. Errors: -ENOMEM, -EMSGSIZE (over
 * REDIS_COMMAND_MAX bytes of arguments). Source: hiredis' command formatter. */
#ifndef DAEMON_REDIS_COMMAND_H
#define DAEMON_REDIS_COMMAND_H

#include "daemon/redis.h"

#define REDIS_COMMAND_MAX \
    ((size_t)1 << 30) /* hiredis 0.14 counts in an int; Redis closes a client at 1 GiB */

/* Gives the command's bytes: *ret_wire (redis_wire_free), *ret_len of them. */
int redis_command_format(const struct redis_command *c, char **ret_wire, size_t *ret_len);
void redis_wire_free(char *wire);

/* The script of a command that redis_begin_script began; else NULL. */
const struct redis_script *redis_command_script(const struct redis_command *c);

/* An EVALSHA as it was sent, again as EVAL: three pieces in a row are its bytes. `head` begins it
 * and holds the number of arguments and the length of the text, then comes the script's text, then
 * what of `wire` lies behind the SHA. */
struct redis_eval {
    char head[64];
    size_t head_len;
    size_t tail_at; /* in the wire; begins with the CRLF behind the SHA */
};
void redis_command_eval(const char *wire, const struct redis_script *s,
                        struct redis_eval *ret_eval);

#endif
