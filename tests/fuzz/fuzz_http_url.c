/* Fuzzes the template of a url, what is put into it, and where an answer redirects. The input is a
 * template, a NUL, and the payload, which is the Location too. */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "worker/handler/http_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *text_of(const uint8_t *bytes, size_t len)
{
    char *text = malloc(len + 1);
    assert(text != NULL);
    memcpy(text, bytes, len);
    text[len] = '\0';
    return text;
}

/* How long the front is that names the server. */
static size_t front(const char *url)
{
    const char *host = strstr(url, "://");
    assert(host != NULL);
    return (size_t)(host + 3 - url) + strcspn(host + 3, "/?#");
}

/* Nothing that was put in is more than a part of the path or the query. */
static void check_expanded(const char *template, const char *url)
{
    size_t n = front(template);
    struct err e;
    assert(front(url) == n && !strncmp(url, template, n));
    assert(strlen(url) <= HTTP_URL_MAX);
    for (const char *p = url; *p; p++)
        assert(*p > ' ' && *p <= '~' && !strchr("#{}", *p));
    const char *step = strstr(url + n, "/../"), *query = strchr(url, '?');
    assert(!step || (query && step > query));
    if (http_url_check(url, &e) < 0)
        abort(); /* it holds no braces: it is a template too */
}

static void check_redirect(const char *url, const char *location)
{
    static char listed[] = "listed.example";
    static char *const hosts[] = {listed, NULL};
    char *to;
    bool away;
    struct err e;
    if (http_url_redirect(url, url, location, hosts, &to, &away, &e) < 0)
        return;
    assert(!strncasecmp(to, "http", 4) &&
           (strncasecmp(url, "https", 5) != 0 || to[4] == 's' || to[4] == 'S'));
    assert(!away || strcasestr(to, listed));
    for (const char *p = to; *p; p++)
        assert((unsigned char)*p > ' ' && *p != '\x7f');
    free(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t n = nul ? (size_t)(nul - data) : size, rest = nul ? size - n - 1 : 0;
    char *template = text_of(data, n), *location = text_of(nul ? nul + 1 : data, rest), *url;
    struct http_words w = {.payload = location, .len = rest, .queue = location, .id = "1.1-1-0"};
    struct err e;
    if (http_url_check(template, &e) == 0 && http_url_expand(template, &w, &url, &e) == 0) {
        check_expanded(template, url);
        check_redirect(url, location);
        free(url);
    }
    (void)http_url_check_host(location, &e);
    (void)http_url_check_proxy(location, &e);
    free(template);
    free(location);
    return 0;
}
