/* clock.h - the clocks. Runs on: any thread. Never awaits. Units are in the names; deadlines, not
 * durations, are handed on. Monotonic time does not count a suspend; boot time does, and leases are
 * held by it. */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>

int64_t clock_now_ms(void);  /* CLOCK_MONOTONIC */
int64_t clock_now_ns(void);  /* CLOCK_MONOTONIC */
int64_t clock_boot_ms(void); /* CLOCK_BOOTTIME: for leases and looks */
int64_t clock_wall_ms(void); /* CLOCK_REALTIME: for people only, never for a decision */

#endif
