/* http_multi.h - requests to web servers: libcurl's multi handle on the worker's loop.
 * Runs on: worker. Awaits only where said. Errors: negative errno and a sentence. One multi handle
 * a thread, shared by its queues: connections are kept and used again over all of them. libcurl
 * runs in callbacks of the loop and by callout, never on a task's stack; names are resolved on
 * threads of its own. Source: libcurl's multi_socket API. */
#ifndef WORKER_HANDLER_HTTP_MULTI_H
#define WORKER_HANDLER_HTTP_MULTI_H

#include <stdbool.h>
#include <stddef.h>

#include "common/conf.h"
#include "common/err.h"

struct http_multi;
struct Curl_URL;

struct http_request { /* all borrowed until the request returns */
    const struct conf_http *conf;
    const char *url, *method;
    struct Curl_URL *parsed;  /* url, where it is that of many requests; NULL: it is parsed here */
    const char *const *lines; /* the header: "Name: value", "Name;" for an empty one, "Name:" for
                                 none; NULL-terminated */
    const void *body;         /* NULL: none */
    size_t len;
    bool whole;  /* the body of the answer is wanted, up to response_limit */
    size_t keep; /* without that: so many bytes of its end, where the status is no 2xx */
};

struct http_answer { /* texts are malloc'd; NULL: none */
    int status;
    bool cut;   /* its body is longer than response_limit: the rest was not read */
    char *body; /* not NUL-terminated */
    size_t len;
    char *location, *retry_after, *date; /* of the header, where the status is no 2xx */
};

/* The thread's own; a reference for each queue. NULL: no memory. */
struct http_multi *http_multi_join(void);
void http_multi_leave(struct http_multi *m); /* takes a reference; no request is under way */

/* Awaits: in a task of the thread's loop. 0 and *ret (http_answer_free); -EIO: no whole answer, the
 * sentence says why; -ENOMEM, -EMFILE: no memory, descriptor or thread for it; -ECANCELED: its
 * transfer has ended too. */
int http_multi_request(struct http_multi *m, const struct http_request *q, struct http_answer *ret,
                       struct err *e);
void http_answer_free(struct http_answer *a); /* what it holds; zeroes it */

#endif
