/* measure.h - a program under measurement, and what figures say.
 * Runs on: any thread. Errors end the program with a sentence. */
#ifndef TESTS_BENCH_MEASURE_H
#define TESTS_BENCH_MEASURE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct measured {
    pid_t pid;
    int out; /* its standard output */
};

/* Starts `program -c conf` with its standard error in the file `log`; it dies with this thread. */
struct measured measured_start(const char *program, const char *conf, const char *log);
void measured_stop(struct measured *m); /* TERM; it has to end with 0 */

double measured_cpu_s(pid_t pid);                      /* user + system, of all threads */
long measured_memory_kb(pid_t pid, const char *field); /* "VmRSS", "VmHWM" */

double median(double *at, size_t n);                      /* sorts */
double percentile_us(int64_t *ns, size_t n, double part); /* sorts; part from 0 to 1 */

#endif
