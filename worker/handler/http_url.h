/* http_url.h - addresses of web servers: the template of a queue, and where a redirect leads.
 * Runs on: any thread. Never awaits; needs the thread's own stack (callout.h), as libcurl does.
 * Errors: negative errno and a sentence. Source: RFC 3986; RFC 9110 section 15.4; libcurl's URL
 * API. */
#ifndef WORKER_HANDLER_HTTP_URL_H
#define WORKER_HANDLER_HTTP_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

struct Curl_URL; /* libcurl's CURLU */

#define HTTP_URL_MAX 1048576 /* bytes of what comes of a template */

struct http_words { /* borrowed: what the braces stand for */
    const void *payload;
    size_t len;
    const char *queue, *id;
};

/* 0, -ENOMEM, or -EINVAL: it is no http or https url, its braces are not those, or they stand in
 * front of the path, where a payload could choose the server. */
int http_url_check(const char *template, struct err *e);

/* Of a checked template. Gives *ret_url (free). 0, -ENOMEM; -EINVAL: longer than HTTP_URL_MAX, or
 * what was put in made a step (`..`) of the path. */
int http_url_expand(const char *template, const struct http_words *w, char **ret_url,
                    struct err *e);

/* Of a checked template without words, which is the url of every job: parsed once for all of them.
 * Gives; NULL: no memory. */
struct Curl_URL *http_url_parse(const char *template);
void http_url_parse_free(struct Curl_URL *u); /* takes; NULL is fine */
bool http_url_has_words(const char *template);

/* Each text of `hosts` is a host or host:port: 0, -ENOMEM or -EINVAL. */
int http_url_check_host(const char *host, struct err *e);
/* "", or the address of a proxy: 0, -ENOMEM or -EINVAL. */
int http_url_check_proxy(const char *proxy, struct err *e);

/* Where `location`, an answer to `from`, leads. It may lead to the host and port of `first`, from
 * http to https there, and to `hosts` (NULL-terminated); never from https to http. Gives *ret_url
 * (free); *ret_away: it is another server than that of `first`. 0, -ENOMEM; -EINVAL, -EPERM. */
int http_url_redirect(const char *first, const char *from, const char *location, char *const *hosts,
                      char **ret_url, bool *ret_away, struct err *e);

/* Writes `text` with %XX for what is no visible ASCII, or is a `%`: fit for a header. Cut where it
 * does not fit. Returns out. */
const char *http_url_visible(const char *text, char *out, size_t size);

#endif
