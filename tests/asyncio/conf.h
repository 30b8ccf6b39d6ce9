/* conf.h - what the scenarios of the conformance suite share: printing, a clock in units, blocking.
 * Runs on: any thread. One unit u is CONF_UNIT_MS milliseconds (20). Traces: traces/<id>.trace. */
#ifndef TESTS_ASYNCIO_CONF_H
#define TESTS_ASYNCIO_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/runtime/cfuture.h"
#include "worker/runtime/run.h"
#include "worker/runtime/task.h"

struct scenario {
    const char *id;
    void (*play)(void);
};

/* One list a file, ended by an empty row. */
extern const struct scenario callback_scenarios[], cancel_scenarios[], coro_scenarios[],
    executor_scenarios[], future_scenarios[], gather_scenarios[], http_scenarios[], io_scenarios[],
    limit_scenarios[], loop_scenarios[], many_scenarios[], process_scenarios[], redis_scenarios[],
    run_scenarios[], scope_scenarios[], sync_scenarios[], task_scenarios[], teardown_scenarios[],
    thread_scenarios[], wait_scenarios[];

void start_clock(void);
int units(void); /* whole units since start_clock: up to 3/4 late is forgiven */
int64_t unit_ms(double n);

/* One line of the trace; `tout` puts t=<units> in front. */
void out(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void tout(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

const char *yes(bool b);                       /* "true", "false" */
const char *show(const struct err *e);         /* "Kind(message)"; four results live at a time */
const char *show_error(const struct error *x); /* the same; "none" for NULL */
const char *show_code(int code, const char *text);

int nap(double n);    /* awaits: sleeps n units inside the loop */
void block(double n); /* blocks the thread for n units */
struct handle *later(struct loop *l, double n, loop_fn fn, void *arg);

/* The result of a task or future that cannot fail here: what else happens ends the process. Awaits.
 */
void *value_of(struct task *t);
void drop(struct task *t); /* awaits t, ignores how it ends, drops the reference */
/* For what must work in a scenario: ends the process where r is negative. */
void must(int r);
void *need(void *p);

#define TEXT(v) ((const char *)(v))
#define NUMBER(v) ((int)(intptr_t)(v))
#define BOX(x) ((void *)(intptr_t)(x)) /* a number, or a literal, as an argument or a result */

#endif
