/* ctl_print.h - what rpopctl prints: text for people, or one JSON document.
 * Runs on: the only thread of rpopctl. Never awaits. Errors: no memory ends the program. */
#ifndef DAEMON_CTL_PRINT_H
#define DAEMON_CTL_PRINT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct print; /* one answer being printed */

enum print_kind {
    PRINT_STATUS,    /* an object, its items under "queues" */
    PRINT_JOBS,      /* an array */
    PRINT_CANCEL,    /* an object */
    PRINT_DEAD_LIST, /* an array */
    PRINT_DEAD_SHOW, /* an object: the first item, and the payload of which pieces follow */
    PRINT_DEAD_TAKE, /* an object */
    PRINT_FSCK,      /* an object, its items under "findings" */
};

/* Gives. */
struct print *print_new(enum print_kind kind, bool json, FILE *out);
int print_item(void *print, const json_t *item); /* a ctl_item; always 0 */
/* Takes; prints the end. last NULL: it was broken off. Borrows it. */
void print_end(struct print *p, json_t *last);

/* 59s, 1m 30s, 2h 5m, 3d 4h */
const char *print_duration(long long ms, char *out, size_t size);

#endif
