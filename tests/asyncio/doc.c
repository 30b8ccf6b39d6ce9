#include "tests/asyncio/doc.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/callout.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static char said[DOC_LINES][128];
static size_t said_count;
static const char *failure; /* the first sentence of expect(); NULL: none */

struct saying {
    const char *fmt;
    va_list ap;
};

static void keep(void *arg)
{
    struct saying *s = arg;
    char text[sizeof said[0]];
    (void)vsnprintf(text, sizeof text, s->fmt, s->ap);
    (void)pthread_mutex_lock(&mutex);
    (void)printf("%s\n", text);
    if (said_count < DOC_LINES)
        memcpy(said[said_count++], text, sizeof text);
    (void)pthread_mutex_unlock(&mutex);
}

void say(const char *fmt, ...)
{
    struct saying s = {.fmt = fmt};
    va_start(s.ap, fmt);
    callout(keep, &s);
    va_end(s.ap);
}

void expect(bool holds, const char *sentence)
{
    (void)pthread_mutex_lock(&mutex);
    if (!holds && !failure)
        failure = sentence;
    (void)pthread_mutex_unlock(&mutex);
}

void say_cost(const char *what, int least)
{
    int spent = units();
    say("%s", what);
    out("  after %d units", spent);
    expect(spent >= least, "it took less time than the sleeps in it");
}

void play_task(coro_fn main_fn)
{
    must(run(main_fn, NULL, NULL, NULL));
}

/* Marks the line of any place that `text` is. */
static bool take_loose(const struct example *x, bool *taken, const char *text)
{
    for (size_t i = 0; i < DOC_LINES && x->lines[i]; i++)
        if (x->lines[i][0] == '~' && !taken[i] && strcmp(x->lines[i] + 1, text) == 0)
            return taken[i] = true;
    return false;
}

/* The first line from *at on that has its place; NULL: there are no more. */
static const char *next_ordered(const struct example *x, size_t *at)
{
    while (*at < DOC_LINES && x->lines[*at] && x->lines[*at][0] == '~')
        ++*at;
    return *at < DOC_LINES ? x->lines[*at] : NULL;
}

static bool complain(const struct example *x, const char *wanted, const char *got)
{
    (void)printf("%s: expected '%s', got '%s'\n", x->name, wanted, got);
    return false;
}

static bool lines_match(const struct example *x)
{
    bool taken[DOC_LINES] = {false};
    size_t at = 0;
    for (size_t i = 0; i < said_count; i++) {
        const char *wanted = next_ordered(x, &at);
        if (wanted && strcmp(wanted, said[i]) == 0)
            at++;
        else if (!take_loose(x, taken, said[i]))
            return complain(x, wanted ? wanted : "(nothing)", said[i]);
    }
    const char *missing = next_ordered(x, &at);
    if (missing)
        return complain(x, missing, "(nothing)");
    for (size_t i = 0; i < DOC_LINES && x->lines[i]; i++)
        if (x->lines[i][0] == '~' && !taken[i])
            return complain(x, x->lines[i] + 1, "(nothing)");
    return true;
}

static bool passes(const struct example *x)
{
    said_count = 0, failure = NULL;
    (void)printf("-- %s\n", x->name);
    start_clock();
    x->play();
    if (failure)
        (void)printf("%s: %s\n", x->name, failure);
    return lines_match(x) && !failure;
}

int document(const struct example *examples)
{
    int failed = 0;
    for (const struct example *x = examples; x->name; x++)
        failed |= !passes(x);
    return failed;
}
