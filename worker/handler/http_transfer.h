/* http_transfer.h - one request by libcurl: what is asked, what came back.
 * Runs on: worker, on the thread's own stack. Never awaits. Internal to http_multi.c and
 * http_transfer.c; the rest of the handler sees http_multi.h. */
#ifndef WORKER_HANDLER_HTTP_TRANSFER_H
#define WORKER_HANDLER_HTTP_TRANSFER_H

#include <curl/curl.h>

#include "worker/handler/http_multi.h"
#include "worker/runtime/future.h"

struct transfer {
    struct transfer *next, **at; /* among those of the multi handle; at NULL: in none */
    CURL *easy;
    const struct http_request *request; /* borrowed */
    struct future *done;                /* its result comes when the transfer has ended */
    CURLcode code;
    struct http_answer answer;
    size_t room, seen; /* of the answer's body: allocated, read */
    bool no_memory;
    int socket_errno; /* there was no descriptor or memory for a socket; 0: there was */
    char said[CURL_ERROR_SIZE];
    struct curl_slist line[]; /* the header, in the request's texts */
};

/* Gives; NULL on no memory. `easy` is borrowed: fresh, or with the options of another request by
 * the same configuration. */
struct transfer *transfer_new(const struct http_request *q, struct loop *l, CURL *easy, bool fresh);
struct transfer *transfer_free(struct transfer *t); /* takes; NULL is fine; returns NULL */

/* What it came to, once `code` is set: 0 and *ret (the caller's), or as http_multi_request. */
int transfer_result(struct transfer *t, struct http_answer *ret, struct err *e);

#endif
