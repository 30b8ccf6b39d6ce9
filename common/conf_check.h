/* conf_check.h - what texts in a configuration must look like.
 * Runs on: any thread. Never awaits. Allocates nothing. Each returns 0, or -EINVAL with "what is
 * wrong, what is allowed". */
#ifndef COMMON_CONF_CHECK_H
#define COMMON_CONF_CHECK_H

#include "common/err.h"

int conf_check_url(const char *text, struct err *e);      /* an address of common/url.h */
int conf_check_instance(const char *text, struct err *e); /* 1 to 64 of A-Z a-z 0-9 . _ - */
int conf_check_instance_or_empty(const char *text, struct err *e);
int conf_check_list(const char *text,
                    struct err *e); /* a name of a list that is not one of rpopd's own */
int conf_check_list_or_empty(const char *text, struct err *e);
int conf_check_http(const char *text, struct err *e);      /* "", address:port */
int conf_check_directory(const char *text, struct err *e); /* "", an absolute path */
int conf_check_variable(const char *text, struct err *e);  /* NAME=value */
int conf_check_umask(const char *text, struct err *e);     /* "", 3 or 4 octal digits */
int conf_check_rlimit(const char *text, struct err *e);    /* as common/rlimit.h reads it */

#endif
