/* error.h - what went wrong, in asyncio's words: codes, kinds, and an error that can be kept.
 * Runs on: any thread. Never awaits. An `error` is immutable and counted (atomically), so that it
 * may cross threads. Codes are negative: errno values where one fits, else ERROR_* below, which lie
 * outside errno's range. A function that returns a pointer reports a code as errno = -code.
 * Source: asyncio.exceptions and the sentences of asyncio's RuntimeErrors. */
#ifndef RUNTIME_ERROR_H
#define RUNTIME_ERROR_H

#include <stdarg.h>

#include "common/err.h"

enum error_code {
    ERROR_INVALID_STATE = -5001, /* InvalidStateError: not done yet, or done already */
    ERROR_RUNTIME = -5002,       /* RuntimeError with a sentence of its own */
    ERROR_TYPE = -5003,
    ERROR_ZERO_DIVISION = -5004,
    ERROR_QUEUE_EMPTY = -5005,
    ERROR_QUEUE_FULL = -5006,
    ERROR_BROKEN_POOL = -5007,
    ERROR_INTERRUPT = -5008, /* KeyboardInterrupt */
    ERROR_GROUP = -5009,     /* ExceptionGroup: group.h has the errors in it */
    /* RuntimeErrors whose sentence is fixed: error_sentence() has it */
    ERROR_CLOSED = -5020,            /* Event loop is closed */
    ERROR_RUNNING = -5021,           /* This event loop is already running */
    ERROR_OTHER_RUNNING = -5022,     /* Cannot run the event loop while another loop is running */
    ERROR_CLOSE_RUNNING = -5023,     /* Cannot close a running event loop */
    ERROR_STOPPED = -5024,           /* Event loop stopped before Future completed. */
    ERROR_NO_LOOP = -5025,           /* no running event loop */
    ERROR_NESTED_RUN = -5026,        /* run() cannot be called from a running event loop */
    ERROR_EXECUTOR_SHUTDOWN = -5027, /* Executor shutdown has been called */
    ERROR_NOT_LOCKED = -5028,        /* Lock is not acquired. */
    ERROR_REUSED = -5029,            /* cannot reuse already awaited coroutine */
    ERROR_OTHER_LOOP = -5030,        /* the future is attached to a different loop */
    ERROR_AWAITS_ITSELF = -5031,     /* Task cannot await on itself */
    ERROR_NO_TASK = -5032,           /* an await outside of a task */
};

struct error; /* immutable: code, sentence, cause */

/* asyncio's name of the kind: "CancelledError", "ValueError" (-EINVAL), "OSError" (other errnos)
 * ... */
const char *error_kind(int code);
/* The fixed sentence of a code; "" where there is none (-ECANCELED, -ETIMEDOUT), strerror for
 * errnos. */
const char *error_sentence(int code);
/* Fills *e (NULL is fine) with the code and its fixed sentence; returns the code. */
int error_set(struct err *e, int code);
/* err_set for functions that take a format themselves. */
int error_format(struct err *e, int code, const char *fmt, va_list *args);

/* gives; takes `cause` (NULL: none) also on failure; NULL with errno set when there is no memory */
struct error *error_new(int code, const char *text, struct error *cause);
struct error *error_ref(struct error *x);               /* shares */
void error_unref(struct error *x);                      /* NULL is fine */
int error_code(const struct error *x);                  /* 0 for NULL */
const char *error_text(const struct error *x);          /* borrowed; "" for NULL */
const struct error *error_cause(const struct error *x); /* borrowed; NULL: none */

/* Ends the process with a sentence: for what must not happen (a call on the wrong thread). */
_Noreturn void error_fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What the first lines of a function say of its arguments: the process ends, naming the function,
 * where what must be given is NULL, or where a code is not negative. */
#define GIVEN(p) ((p) ? (void)0 : error_not_given(__func__, #p))
_Noreturn void error_not_given(const char *who, const char *what);
void error_check_code(int code, const char *who);

#endif
