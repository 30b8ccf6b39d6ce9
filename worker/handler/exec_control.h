/* exec_control.h - what a program says on its descriptor 3: lines, of which `retry-after:
 * <seconds>` is known. Runs on: any thread. Never awaits. Allocates nothing. Units: milliseconds.
 */
#ifndef WORKER_HANDLER_EXEC_CONTROL_H
#define WORKER_HANDLER_EXEC_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTROL_LINE_MAX 128
#define CONTROL_SECONDS_MAX 31536000 /* a year */

struct control {
    char line[CONTROL_LINE_MAX]; /* that has not ended; what is longer counts as not understood */
    size_t len;
    bool too_long;
    int64_t delay_ms; /* what the last line asks for; -1: none */
    unsigned bad;     /* lines that are not understood */
    char first_bad[CONTROL_LINE_MAX];
    size_t first_bad_len;
};

void control_init(struct control *c);
void control_take(struct control *c, const char *bytes, size_t n);
void control_end(struct control *c); /* a last line may stand without a line end */

/* `retry-after: <seconds>`, a decimal number of at most a year, perhaps with a fraction. -EINVAL:
 * another line. */
int control_parse(const char *line, size_t len, int64_t *ret_delay_ms);

#endif
