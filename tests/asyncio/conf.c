#include "tests/asyncio/conf.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/callout.h"
#include "common/clock.h"

static int64_t zero_ns;

static double unit_length_ms(void)
{
    const char *text = getenv("CONF_UNIT_MS");
    double ms = text ? strtod(text, NULL) : 0;
    return ms > 0 ? ms : 20;
}

int64_t unit_ms(double n)
{
    return (int64_t)llround(n * unit_length_ms());
}

void start_clock(void)
{
    zero_ns = clock_now_ns();
}

int units(void)
{
    return (int)floor((double)(clock_now_ns() - zero_ns) / 1e6 / unit_length_ms() + 0.25);
}

struct line {
    const char *fmt;
    va_list ap;
    int units; /* -1: not wanted */
};

static void print_line(void *arg)
{
    struct line *l = arg;
    char text[1024];
    int n = l->units < 0 ? 0 : snprintf(text, sizeof text, "t=%d ", l->units);
    (void)vsnprintf(text + n, sizeof text - (size_t)n, l->fmt, l->ap);
    (void)printf("%s\n", text);
    (void)fflush(stdout);
}

void out(const char *fmt, ...)
{
    struct line l = {.fmt = fmt, .units = -1};
    va_start(l.ap, fmt);
    callout(print_line, &l);
    va_end(l.ap);
}

void tout(const char *fmt, ...)
{
    struct line l = {.fmt = fmt, .units = units()};
    va_start(l.ap, fmt);
    callout(print_line, &l);
    va_end(l.ap);
}

const char *yes(bool b)
{
    return b ? "true" : "false";
}

struct shown {
    char *text;
    size_t room;
    int code;
    const char *sentence;
};

static void print_shown(void *arg)
{
    struct shown *s = arg;
    (void)snprintf(s->text, s->room, "%s(%s)", error_kind(s->code), s->sentence);
}

const char *show_code(int code, const char *text)
{
    static _Thread_local char ring[4][300];
    static _Thread_local unsigned next;
    struct shown s = {ring[next++ % 4], sizeof ring[0], code, text};
    callout(print_shown, &s);
    return s.text;
}

const char *show(const struct err *e)
{
    return show_code(e->code, e->text);
}

const char *show_error(const struct error *x)
{
    return x ? show_code(error_code(x), error_text(x)) : "none";
}

int nap(double n)
{
    return task_sleep(unit_ms(n));
}

void block(double n)
{
    int64_t until = clock_now_ns() + (int64_t)(n * unit_length_ms() * 1e6);
    struct timespec t = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0)
        continue;
}

struct handle *later(struct loop *l, double n, loop_fn fn, void *arg)
{
    return need(loop_call_later(l, unit_ms(n), fn, arg));
}

void must(int r)
{
    if (r < 0)
        error_fatal("a scenario's own step failed: %s", error_kind(r));
}

void *need(void *p)
{
    if (!p)
        error_fatal("a scenario's own step failed: no object");
    return p;
}

void *value_of(struct task *t)
{
    void *v = NULL;
    must(task_await(t, &v, NULL));
    return v;
}

void drop(struct task *t)
{
    (void)task_await(t, NULL, NULL);
    task_unref(t);
}
