/* url.h - reads the address of a server: redis://[user[:password]@]host[:port][/db] and
 * unix://[user[:password]@]/path[?db=n]. %XX stands for a byte in user, password and path.
 * Runs on: any thread. Never awaits. Allocates nothing. Errors: -EINVAL and a sentence that never
 * holds the user or the password. Source: the "redis" and "redis+unix" forms that redis-cli and its
 * clients read; RFC 3986. */
#ifndef COMMON_URL_H
#define COMMON_URL_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum url_scheme { URL_REDIS, URL_UNIX };

#define URL_HOST_MAX 255     /* bytes: the longest name of RFC 1035 */
#define URL_PATH_MAX 107     /* bytes: sun_path less its NUL */
#define URL_USER_MAX 255     /* bytes */
#define URL_PASSWORD_MAX 511 /* bytes */

struct url {
    enum url_scheme scheme;
    char host[URL_HOST_MAX +
              1];  /* redis: name or address, an IPv6 one without its brackets; else "" */
    uint16_t port; /* redis: 6379 where none is given; else 0 */
    char path[URL_PATH_MAX + 1];         /* unix: absolute; else "" */
    char user[URL_USER_MAX + 1];         /* "" without */
    char password[URL_PASSWORD_MAX + 1]; /* "" without */
    int db;                              /* 0 where none is given */
};

/* 0, or -EINVAL with a sentence; *ret_url changes only on success. */
int url_parse(const char *text, struct url *ret_url, struct err *e);

/* Writes the url without its password, readable by url_parse again. Returns out. */
#define URL_TEXT_MAX (3 * (URL_USER_MAX + URL_HOST_MAX) + 64)
const char *url_print(const struct url *u, char out[URL_TEXT_MAX]);

#endif
