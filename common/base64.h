/* base64.h - bytes as text that may stand in JSON.
 * Runs on: any thread. Never awaits. Errors: NULL on no memory. Source: RFC 4648, section 4. */
#ifndef COMMON_BASE64_H
#define COMMON_BASE64_H

#include <stddef.h>

/* Gives, malloc'd, with a NUL. */
char *base64_encode(const void *bytes, size_t len);

#endif
