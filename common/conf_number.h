/* conf_number.h - checks how a number is written in a configuration. Runs on: any thread. Never
 * awaits. */
#ifndef COMMON_CONF_NUMBER_H
#define COMMON_CONF_NUMBER_H

#include <stddef.h>

#include "common/err.h"

#define CONF_INTEGER_MAX 24
#define CONF_IS_INTEGER 0
#define CONF_IS_FLOAT 1

/* CONF_IS_INTEGER: decimal or 0x..., with or without L; `integer` is it in decimal, with an L where
 * it is beyond 32 bits, and where it is beyond 64 bits the nearest that is not. CONF_IS_FLOAT.
 * -EINVAL with a sentence. */
int conf_number(const char *at, size_t len, char integer[CONF_INTEGER_MAX], struct err *e);

#endif
