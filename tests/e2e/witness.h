/* witness.h - a program for handlers to start: it keeps what it was given, byte for byte, or says
 * what its payload wants said; and ways to look at what it kept and at the daemon's log. A test
 * program that is called with WITNESS and a role becomes one.
 * Runs on: a process of its own (witness_main), the test's only thread (the rest). Never awaits.
 * Errors: end the test by cmocka. */
#ifndef TESTS_E2E_WITNESS_H
#define TESTS_E2E_WITNESS_H

#include "tests/e2e/scene.h"

#define WITNESS "witness"
#define WITNESS_CODE 9 /* a program that shouts ends with it */

/* Roles. With exec:
 *     keep     keeps its payload, command line and environment
 *     shout    writes its payload to 1, 2 or 3, as its last word says, and exits with WITNESS_CODE
 * With pool:
 *     pool     keeps payload, request and environment of each job, and answers done
 *     parrot   `ok`: answers done; `orphan`: so, and leaves one that ends at once. Else writes the
 * payload in the place of an answer, @id in it being the job's; a payload that begins with a !
 * makes it end behind that Does not return where the program was called so. */
void witness_main(int argc, char *const argv[]);

/* The words of `command`, quoted: this program in a role, its folder (<scene's>/kept, is made), and
 * one word more. Borrowed until the next call. */
const char *witness_command(struct scene *s, const char *role, const char *word);
/* The same as /proc/<pid>/cmdline shows it. */
const char *witness_line(size_t *ret_len);

struct kept { /* of one job; borrowed until witness_free */
    char *id;
    char *payload, *line, *environment; /* each with a NUL behind it */
    size_t payload_len, line_len, environment_len;
};
struct kept *witness_kept(struct scene *s, size_t *ret_n); /* all; gives */
void witness_free(struct kept *k, size_t n);
/* The value of a variable that is set once; NULL: not at all; twice ends the test. */
const char *witness_variable(const struct kept *k, const char *name);

/* Every line of the daemon's log is one event in this format: "json", "keyvalue" or "text". */
void witness_check_log(struct scene *s, const char *format);

/* What no handler may take for anything but bytes. */
struct bytes {
    const char *at;
    size_t len;
};
size_t witness_payloads(const struct bytes **ret_all);
/* `len` bytes that repeat nowhere; gives. */
char *witness_large(size_t len);
/* How many dead letters of this payload have this output as evidence. */
unsigned witness_letters(struct scene *s, struct bytes payload, struct bytes output);

#endif
