#include "worker/runtime/error.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/callout.h"

struct error {
    atomic_uint refs;
    int code;
    struct error *cause;
    char text[];
};

static const struct {
    int code;
    const char *kind, *sentence;
} table[] = {
    {-ECANCELED, "CancelledError", ""},
    {-ETIMEDOUT, "TimeoutError", ""},
    {-EINVAL, "ValueError", "Invalid argument"},
    {-ENOMEM, "MemoryError", "no memory"},
    {-ECONNREFUSED, "ConnectionRefusedError", "Connection refused"},
    {ERROR_INVALID_STATE, "InvalidStateError", "invalid state"},
    {ERROR_RUNTIME, "RuntimeError", ""},
    {ERROR_TYPE, "TypeError", ""},
    {ERROR_ZERO_DIVISION, "ZeroDivisionError", "division by zero"},
    {ERROR_QUEUE_EMPTY, "QueueEmpty", ""},
    {ERROR_QUEUE_FULL, "QueueFull", ""},
    {ERROR_BROKEN_POOL, "BrokenProcessPool", ""},
    {ERROR_INTERRUPT, "KeyboardInterrupt", ""},
    {ERROR_GROUP, "ExceptionGroup", ""},
    {ERROR_CLOSED, "RuntimeError", "Event loop is closed"},
    {ERROR_RUNNING, "RuntimeError", "This event loop is already running"},
    {ERROR_OTHER_RUNNING, "RuntimeError",
     "Cannot run the event loop while another loop is running"},
    {ERROR_CLOSE_RUNNING, "RuntimeError", "Cannot close a running event loop"},
    {ERROR_STOPPED, "RuntimeError", "Event loop stopped before Future completed."},
    {ERROR_NO_LOOP, "RuntimeError", "no running event loop"},
    {ERROR_NESTED_RUN, "RuntimeError", "run() cannot be called from a running event loop"},
    {ERROR_EXECUTOR_SHUTDOWN, "RuntimeError", "Executor shutdown has been called"},
    {ERROR_NOT_LOCKED, "RuntimeError", "Lock is not acquired."},
    {ERROR_REUSED, "RuntimeError", "cannot reuse already awaited coroutine"},
    {ERROR_OTHER_LOOP, "RuntimeError", "the future is attached to a different loop"},
    {ERROR_AWAITS_ITSELF, "RuntimeError", "Task cannot await on itself"},
    {ERROR_NO_TASK, "RuntimeError", "await outside of a task"},
};

const char *error_kind(int code)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].code == code)
            return table[i].kind;
    return "OSError";
}

const char *error_sentence(int code)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].code == code)
            return table[i].sentence;
    const char *text = code < 0 && code > -4096 ? strerrordesc_np(-code) : NULL;
    return text ? text : "unknown error";
}

int error_set(struct err *e, int code)
{
    return err_set(e, code, "%s", error_sentence(code));
}

struct error *error_new(int code, const char *text, struct error *cause)
{
    size_t len = text ? strlen(text) : 0;
    struct error *x = malloc(sizeof *x + len + 1);
    if (!x) {
        error_unref(cause);
        errno = ENOMEM;
        return NULL;
    }
    atomic_init(&x->refs, 1);
    x->code = code;
    x->cause = cause;
    if (len)
        memcpy(x->text, text, len);
    x->text[len] = '\0';
    return x;
}

struct error *error_ref(struct error *x)
{
    if (x)
        atomic_fetch_add_explicit(&x->refs, 1, memory_order_relaxed);
    return x;
}

void error_unref(struct error *x)
{
    while (x && atomic_fetch_sub_explicit(&x->refs, 1, memory_order_acq_rel) == 1) {
        struct error *cause = x->cause;
        free(x);
        x = cause;
    }
}

int error_code(const struct error *x)
{
    return x ? x->code : 0;
}

const char *error_text(const struct error *x)
{
    return x ? x->text : "";
}

const struct error *error_cause(const struct error *x)
{
    return x ? x->cause : NULL;
}

struct format {
    char *text;
    size_t room;
    const char *fmt;
    va_list *args;
};

static void format_now(void *arg)
{
    struct format *f = arg;
    (void)vsnprintf(f->text, f->room, f->fmt, *f->args); // NOLINT: started by the caller
}

int error_format(struct err *e, int code, const char *fmt, va_list *args)
{
    if (!e)
        return code;
    struct format f = {.text = e->text, .room = sizeof e->text, .fmt = fmt, .args = args};
    e->code = code;
    callout(format_now, &f);
    return code;
}

static void print_fatal(void *arg)
{
    const struct err *e = arg;
    (void)fprintf(stderr, "fatal: %s\n", e->text);
}

void error_fatal(const char *fmt, ...)
{
    struct err e;
    va_list args;
    va_start(args, fmt);
    (void)error_format(&e, ERROR_RUNTIME, fmt, &args);
    va_end(args);
    callout(print_fatal, &e);
    abort();
}

void error_not_given(const char *who, const char *what)
{
    error_fatal("%s: %s is NULL", who, what);
}

void error_check_code(int code, const char *who)
{
    if (code >= 0)
        error_fatal("%s: %d is no error code, they are negative", who, code);
}
