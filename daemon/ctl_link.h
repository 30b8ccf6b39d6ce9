/* ctl_link.h - rpopctl's connection to a daemon: which socket, and questions and answers over it
 * (admin.h). Runs on: the only thread of rpopctl; blocks. Errors: a sentence in *e, and -EINVAL
 * (the configuration), -ENOTCONN (no daemon there, or it is gone), -EPROTO (it said no), -ENOMEM.
 */
#ifndef DAEMON_CTL_LINK_H
#define DAEMON_CTL_LINK_H

#include <jansson.h>

#include "common/err.h"

#define CTL_SOCKETS 4
#define CTL_PATIENCE_MS 30000 /* a daemon that works says so every few seconds */

struct ctl_link {
    int fd;
    char *in; /* what was read and not yet used */
    size_t len, used, size;
};

/* Sockets to try, in this order: those a daemon with this configuration may have. */
struct ctl_sockets {
    char *path[CTL_SOCKETS];
    unsigned n;
};

/* From a configuration file: admin.socket, else runtime_dir, else where a daemon would make it.
 * Only those two settings count: no secret is read. file NULL: the installed one, and where it
 * cannot be read it is as if it were empty; else mistakes in it go to stderr. */
int ctl_sockets_find(struct ctl_sockets *s, const char *file, struct err *e);
void ctl_sockets_clear(struct ctl_sockets *s);

/* Connects to the first that answers. */
int ctl_link_open(struct ctl_link *l, const struct ctl_sockets *s, struct err *e);
void ctl_link_close(struct ctl_link *l);

/* Borrows the item; nonzero ends the answer with that. */
typedef int (*ctl_item)(void *data, const json_t *item);
/* Asks, hands on each item, and gives the last line in *ret_last (json_decref). */
int ctl_link_ask(struct ctl_link *l, const json_t *request, ctl_item fn, void *data,
                 json_t **ret_last, struct err *e);

#endif
