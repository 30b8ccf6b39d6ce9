#include "common/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/callout.h"

struct format_call {
    char *out;
    size_t size;
    const char *fmt;
    va_list *args;
};

static void format_now(void *arg)
{
    struct format_call *c = arg;
    (void)vsnprintf(c->out, c->size, c->fmt, *c->args);
}

static void format_off_stack(char *out, size_t size, const char *fmt, va_list *args)
{
    struct format_call call = {.out = out, .size = size, .fmt = fmt, .args = args};
    callout(format_now, &call);
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
    va_list args;
    if (!e)
        return code;
    e->code = code;
    va_start(args, fmt);
    format_off_stack(e->text, sizeof e->text, fmt, &args);
    va_end(args);
    return code;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
    char front[ERR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    format_off_stack(front, sizeof front, fmt, &args);
    va_end(args);
    size_t n = strlen(front), tail = strlen(e->text);
    if (n + 2 >= sizeof e->text)
        return e->code;
    if (n + 2 + tail >= sizeof e->text)
        tail = sizeof e->text - n - 3;
    memmove(e->text + n + 2, e->text, tail);
    e->text[n + 2 + tail] = '\0';
    memcpy(e->text, front, n);
    memcpy(e->text + n, ": ", 2);
    return e->code;
}

bool err_is_shortage(int code)
{
    return code == -ENOMEM || code == -EMFILE || code == -ENFILE || code == -EAGAIN ||
           code == -ENOLCK || code == -ENOBUFS;
}
