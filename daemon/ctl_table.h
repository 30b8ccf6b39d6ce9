/* ctl_table.h - a table of texts in aligned columns, for people.
 * Runs on: any one thread. Never awaits. Errors: no memory ends the program (rpopctl alone uses
 * it). Cells are copied and escaped, so that nothing in them reaches a terminal as a command.
 * Widths are counted in characters. */
#ifndef DAEMON_CTL_TABLE_H
#define DAEMON_CTL_TABLE_H

#include <stdio.h>

#define TABLE_COLUMNS 16

struct table;

/* Headings with | between; one that begins with > is of a column of numbers, set to the right.
 * Gives. */
struct table *table_new(const char *headings);
struct table *table_free(struct table *t); /* takes; NULL is fine; returns NULL */
/* Fills the next cell; a full row begins the next one. */
void table_cell(struct table *t, const char *text);
void table_number(struct table *t, long long n);
/* Headings and rows; nothing where there is no row. A long table is printed in pieces: the headings
 * once, each piece as wide as what was wider before. */
void table_print(struct table *t, FILE *out);

/* Bytes without anything that a terminal obeys; malloc'd. */
char *table_escape(const char *bytes, size_t len);

#endif
