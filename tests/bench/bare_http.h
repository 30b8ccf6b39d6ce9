/* bare_http.h - what a client reaches that is nothing but libcurl's multi_socket interface on
 * epoll. Runs on: the benchmark's thread. Errors end the program with a sentence. Units:
 * nanoseconds. Source: libcurl's example multi-event.c. */
#ifndef TESTS_BENCH_BARE_HTTP_H
#define TESTS_BENCH_BARE_HTTP_H

#include <stdint.h>

/* Posts 16 bytes `requests` times, `at_once` at a time, with the header that the daemon sends; to
 * the last answer, which all are 2xx. */
int64_t bare_http(const char *url, unsigned requests, unsigned at_once);

#endif
