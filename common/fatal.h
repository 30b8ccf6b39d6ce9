/* fatal.h - what a handler of a fatal signal says and does. Runs on: any thread, in a signal
 * handler too: nothing here allocates or locks. Never awaits. Source:
 * signal-safety(7). */
#ifndef COMMON_FATAL_H
#define COMMON_FATAL_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

struct fatal_line { /* zeroed: empty. What has no room is cut off */
    char text[256];
    size_t len;
};

void fatal_add(struct fatal_line *l, const char *text);
void fatal_add_number(struct fatal_line *l, uint64_t n);

/* Ends the process by this signal as soon as the handler returns to what faulted. */
void fatal_default(int number);
/* Calls the handler that was there before; where there was none, fatal_default. */
void fatal_pass_on(const struct sigaction *before, int number, siginfo_t *info, void *context);

#endif
