/* text.h - small helpers over text from outside: UTF-8, escaping, likeness.
 * Runs on: any thread. Never awaits. Allocates nothing. Errors: none. Units: bytes. Borrows all. */
#ifndef COMMON_TEXT_H
#define COMMON_TEXT_H

#include <stddef.h>

/* The length (1 to 4) of the valid UTF-8 sequence at p, 0 where there is none. Overlong forms,
 * surrogates and what is above U+10FFFF are not valid. Source: RFC 3629. */
size_t text_utf8(const char *p, const char *end);

/* Writes what p begins with, one character or one byte, so that it is safe between two `quote`s in
 * one line: \n \r \t \\ \<quote>, \xNN for control characters and bad UTF-8. Returns the bytes
 * taken from p. */
#define TEXT_ESCAPED_MAX 5
size_t text_escape_one(const char *p, const char *end, char quote, char out[TEXT_ESCAPED_MAX]);

/* Writes bytes in quotes, escaped; what does not fit is cut and ends in "...". size is at least 8.
 * Returns out. */
const char *text_quote(const void *bytes, size_t len, char quote, char *out, size_t size);

/* How many letters must be inserted, dropped, changed or swapped with their neighbour to make b of
 * a. Names longer than 63 bytes are unlike everything. Source: the optimal string alignment
 * distance. */
unsigned text_distance(const char *a, const char *b);

#endif
