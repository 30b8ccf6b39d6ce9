/* conf_scan.h - reads the text of a configuration before libconfig does.
 * libconfig 1.5 ends the process on an @include of a directory, lets an open comment swallow the
 * rest, wraps integers silently, compares all names of a group with one another, leaks what it
 * refuses and calls most mistakes "syntax error". So the whole grammar is checked here, with a
 * sentence for each mistake, and libconfig is handed a text that holds nothing but checked tokens,
 * each in its line: no comments, integers in decimal, those beyond 32 bits with an L (those beyond
 * 64 become the nearest there is). Runs on: any thread. Never awaits. Source: the libconfig manual,
 * "Configuration Files" and its grammar. Narrower than libconfig: no @include, at most
 * CONF_DEPTH_MAX levels, CONF_GROUP_MAX settings in a group, no line end within a string, only the
 * escapes \" \\ \n \r \t \f \xNN, no zero in front of a number, UTF-8 only. */
#ifndef COMMON_CONF_SCAN_H
#define COMMON_CONF_SCAN_H

#include <stddef.h>

#include "common/conf_source.h"

#define CONF_DEPTH_MAX 16
#define CONF_GROUP_MAX 256
#define CONF_NAME_MAX 64 /* bytes of a setting's name */

/* Gives the checked text, or NULL: then the mistake that ended the scan was written (or there was
 * no memory). Mistakes that do not end it are written too, and a text comes back all the same, with
 * something harmless in the place of what was wrong, so that the rest can be checked as well. */
char *conf_scan(struct conf_source *source, const char *text, size_t len);

#endif
