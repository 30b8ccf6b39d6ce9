/* doc.h - a tutorial as a program: its examples are played one after the other, and the lines that
 * each one prints are compared with those that asyncio prints. Runs on: any thread, unless said
 * otherwise. Never awaits. A second of the tutorial is one unit of conf.h (20 ms). */
#ifndef TESTS_ASYNCIO_DOC_H
#define TESTS_ASYNCIO_DOC_H

#include "tests/asyncio/conf.h"

#define DOC_LINES 32

struct example {
    const char *name;
    void (*play)(void);
    /* In this order, ended by NULL. A line that begins with '~' is printed without it, once and at
     * any place: what prints it is not ordered with the rest. */
    const char *lines[DOC_LINES];
};

/* One line, printed and kept for the comparison; the kept line is cut at 127 bytes. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A line with the units since start_clock, kept as `what` alone. Fewer than `least`: it fails. */
void say_cost(const char *what, int least);
/* For what is no line: where `holds` is false the example fails with this sentence. */
void expect(bool holds, const char *sentence);

void play_task(coro_fn main_fn); /* run() of what cannot fail; the thread must run no loop */

/* Plays the examples, up to the empty row: 0, or 1 after a sentence for each that failed. On the
 * thread of main(). */
int document(const struct example *examples);

#endif
