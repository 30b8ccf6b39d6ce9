#include "worker/handler/http_url.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/text.h"

#define SHOWN 120 /* bytes of a text in a sentence */

static const char digits[] = "0123456789ABCDEF";

static int no_memory(struct err *e)
{
    (void)err_set(e, -ENOMEM, "no memory");
    return -ENOMEM;
}

/* The template -----------------------------------------------------------------------------------
 */

enum word { WORD_NONE, WORD_PAYLOAD, WORD_QUEUE, WORD_ID };

static const char *const words[] = {"", "{payload}", "{queue}", "{id}"};

static enum word word_at(const char *p)
{
    for (enum word w = WORD_PAYLOAD; *p == '{' && w <= WORD_ID; w++)
        if (!strncmp(p, words[w], strlen(words[w])))
            return w;
    return WORD_NONE;
}

/* RFC 3986: unreserved. Everything else is %XX, the separators of a url above all. */
static bool is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

struct out { /* counts; writes where there is something to write to */
    char *to;
    size_t len;
};

static void put(struct out *o, char c)
{
    if (o->to)
        o->to[o->len] = c;
    o->len++;
}

static void put_encoded(struct out *o, const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < len && o->len <= HTTP_URL_MAX; i++) {
        if (is_plain(p[i])) {
            put(o, (char)p[i]);
            continue;
        }
        put(o, '%');
        put(o, digits[p[i] >> 4]);
        put(o, digits[p[i] & 15]);
    }
}

static void put_word(struct out *o, enum word word, const struct http_words *w)
{
    if (word == WORD_PAYLOAD)
        put_encoded(o, w->payload, w->len);
    else if (word == WORD_QUEUE)
        put_encoded(o, w->queue, strlen(w->queue));
    else
        put_encoded(o, w->id, strlen(w->id));
}

/* Stops a little behind HTTP_URL_MAX. */
static size_t fill(const char *template, const struct http_words *w, char *to)
{
    struct out o = {.to = to};
    for (const char *p = template; *p && o.len <= HTTP_URL_MAX;) {
        enum word word = word_at(p);
        if (word)
            put_word(&o, word, w);
        else
            put(&o, *p);
        p += word ? strlen(words[word]) : 1;
    }
    return o.len;
}

/* Behind the server's name, where the path of a web url begins. */
static const char *path_of(const char *url)
{
    const char *host = strchr(url, ':') + 3;
    return host + strcspn(host, "/?#");
}

/* A segment `.` or `..`: who normalizes the path takes it for a step. */
static bool has_step(const char *url)
{
    const char *p = path_of(url);
    while (*p == '/') {
        size_t n = strcspn(++p, "/?#");
        if ((n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
            return true;
        p += n;
    }
    return false;
}

int http_url_expand(const char *template, const struct http_words *w, char **ret_url, struct err *e)
{
    size_t len = fill(template, w, NULL);
    if (len > HTTP_URL_MAX)
        return err_set(e, -EINVAL, "its url would be longer than %d bytes", HTTP_URL_MAX);
    char *url = malloc(len + 1);
    if (!url)
        return no_memory(e);
    (void)fill(template, w, url);
    url[len] = '\0';
    if (has_step(url)) {
        free(url);
        return err_set(e, -EINVAL, "a '.' or '..' of its own would be a step in the url's path");
    }
    *ret_url = url;
    return 0;
}

static int check_braces(const char *template, struct err *e)
{
    const char *host = strchr(template, ':') + 3, *path = path_of(template);
    char shown[SHOWN];
    if (path == host) /* libcurl would take what follows for it */
        return err_set(e, -EINVAL, "is no url (it has no host), allowed is one of http or https");
    for (const char *p = template; *p; p++) {
        enum word word = word_at(p);
        if (word && p < path)
            return err_set(e, -EINVAL,
                           "has %s in front of its path, allowed are they behind the "
                           "host alone",
                           words[word]);
        if (word)
            p += strlen(words[word]) - 1;
        else if (*p == '{' || *p == '}')
            return err_set(e, -EINVAL,
                           "has a brace at %s, allowed are {payload}, {queue}, {id}; "
                           "write %%7B and %%7D for others",
                           text_quote(p, strlen(p), '"', shown, sizeof shown));
        else if (*p <= ' ' || *p > '~' || *p == '#')
            return err_set(e, -EINVAL,
                           "has a blank, a #, a control character or no ASCII at %s, "
                           "allowed is %%XX for it",
                           text_quote(p, strlen(p), '"', shown, sizeof shown));
    }
    return 0;
}

static int set_url(CURLU *u, const char *text, unsigned flags, struct err *e)
{
    CURLUcode r = curl_url_set(u, CURLUPART_URL, text, flags);
    if (r == CURLUE_OUT_OF_MEMORY)
        return no_memory(e);
    return r ? err_set(e, -EINVAL, "%s", curl_url_strerror(r)) : 0;
}

static bool is_web(const char *url)
{
    return !strncasecmp(url, "http://", 7) || !strncasecmp(url, "https://", 8);
}

static int check_expanded(const char *url, struct err *e)
{
    struct err why = {0};
    CURLU *u = curl_url();
    int r = u ? set_url(u, url, CURLU_PATH_AS_IS, &why) : no_memory(&why);
    curl_url_cleanup(u);
    if (r == -EINVAL)
        return err_set(e, r, "is no url (%s), allowed is one of http or https", why.text);
    if (r < 0)
        *e = why;
    return r;
}

int http_url_check(const char *template, struct err *e)
{
    static const struct http_words probe = {.payload = "x", .len = 1, .queue = "x", .id = "x"};
    char *url = NULL;
    if (!is_web(template))
        return err_set(e, -EINVAL,
                       "begins with neither http:// nor https://, allowed is one of "
                       "them");
    int r = check_braces(template, e);
    if (r < 0)
        return r;
    r = http_url_expand(template, &probe, &url, e);
    if (r == -EINVAL)
        return err_set(e, r, "has a step (. or ..) in its path, allowed is a path without them");
    if (r < 0)
        return r;
    r = check_expanded(url, e);
    free(url);
    return r;
}

bool http_url_has_words(const char *template)
{
    return strchr(template, '{') != NULL; /* other braces are refused */
}

struct Curl_URL *http_url_parse(const char *template)
{
    CURLU *u = curl_url();
    if (u && set_url(u, template, CURLU_PATH_AS_IS, NULL) == 0)
        return u;
    curl_url_cleanup(u);
    return NULL;
}

void http_url_parse_free(struct Curl_URL *u)
{
    curl_url_cleanup(u);
}

/* Servers ----------------------------------------------------------------------------------------
 */

struct server { /* of a url; curl_free */
    char *scheme, *host, *port;
};

static void server_free(struct server *s)
{
    curl_free(s->scheme);
    curl_free(s->host);
    curl_free(s->port);
}

static int server_of(CURLU *u, struct server *ret, struct err *e)
{
    struct server s = {0};
    if (curl_url_get(u, CURLUPART_SCHEME, &s.scheme, 0) ||
        curl_url_get(u, CURLUPART_HOST, &s.host, 0) ||
        curl_url_get(u, CURLUPART_PORT, &s.port, CURLU_DEFAULT_PORT)) {
        server_free(&s);
        return no_memory(e); /* what a parsed url is asked for is there */
    }
    *ret = s;
    return 0;
}

static bool is_secure(const struct server *s)
{
    return !strcasecmp(s->scheme, "https");
}

static bool is_default_port(const struct server *s)
{
    return !strcmp(s->port, is_secure(s) ? "443" : "80");
}

static bool same_server(const struct server *a, const struct server *b)
{
    if (strcasecmp(a->host, b->host) != 0)
        return false;
    return (is_secure(a) == is_secure(b) && !strcmp(a->port, b->port)) ||
           (!is_secure(a) && is_secure(b) && is_default_port(a) && is_default_port(b));
}

/* The port of `host:port`: NULL without. */
static const char *port_in(const char *host)
{
    const char *colon = strrchr(host, ':');
    return colon && !strchr(colon, ']') ? colon + 1 : NULL;
}

static bool is_listed(const struct server *s, char *const *hosts)
{
    for (; *hosts; hosts++) {
        const char *port = port_in(*hosts);
        size_t len = port ? (size_t)(port - 1 - *hosts) : strlen(*hosts);
        if (strlen(s->host) == len && !strncasecmp(s->host, *hosts, len) &&
            (port ? !strcmp(s->port, port) : is_default_port(s)))
            return true;
    }
    return false;
}

int http_url_check_host(const char *host, struct err *e)
{
    static const char allowed[] = "allowed is host or host:port, as in \"www.example.org\"";
    char url[512] = "http://";
    const char *port = port_in(host);
    if (!*host || strpbrk(host, "/?#@%\\ \t\r\n") || strlen(host) > 300 ||
        (port && (!*port || port[0] == '0')))
        return err_set(e, -EINVAL, "is no host, %s", allowed);
    strcat(url, host);
    CURLU *u = curl_url();
    int r = u ? set_url(u, url, 0, NULL) : no_memory(e);
    curl_url_cleanup(u);
    return r == -EINVAL ? err_set(e, r, "is no host, %s", allowed) : r;
}

int http_url_check_proxy(const char *proxy, struct err *e)
{
    static const char *const schemes[] = {"http://", "https://", "socks4a://", "socks5h://"};
    bool known = false;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        known = known || !strncasecmp(proxy, schemes[i], strlen(schemes[i]));
    if (!*proxy)
        return 0;
    CURLU *u = known ? curl_url() : NULL;
    int r = u ? set_url(u, proxy, CURLU_NON_SUPPORT_SCHEME, NULL) : known ? no_memory(e) : -EINVAL;
    curl_url_cleanup(u);
    if (r == -EINVAL)
        return err_set(e, r,
                       "is no proxy, allowed is http://, https://, socks4a:// or socks5h:// "
                       "with host:port");
    return r;
}

/* Redirects --------------------------------------------------------------------------------------
 */

static int judge(const struct server *first, const struct server *from, const struct server *to,
                 char *const *hosts, bool *ret_away, struct err *e)
{
    char shown[SHOWN];
    if (is_secure(from) && !is_secure(to))
        return err_set(e, -EPERM, "redirects from https to http");
    *ret_away = !same_server(first, to);
    if (*ret_away && !is_listed(to, hosts))
        return err_set(e, -EPERM,
                       "redirects to %s port %s, which is neither the url's host and "
                       "port nor in redirect_hosts",
                       text_quote(to->host, strlen(to->host), '\'', shown, sizeof shown), to->port);
    return 0;
}

static int read_server(const char *url, struct server *ret, struct err *e)
{
    CURLU *u = curl_url();
    int r = u ? set_url(u, url, CURLU_PATH_AS_IS, e) : no_memory(e);
    if (r == 0)
        r = server_of(u, ret, e);
    curl_url_cleanup(u);
    return r;
}

/* Gives *ret_url (curl_free). */
static int resolve(CURLU *u, const char *from, const char *location, char **ret_url, struct err *e)
{
    char shown[SHOWN];
    int r = set_url(u, from, CURLU_PATH_AS_IS, e);
    if (r == 0)
        r = set_url(u, location, CURLU_URLENCODE, NULL);
    if (r == 0 && curl_url_get(u, CURLUPART_URL, ret_url, 0))
        r = -ENOMEM; /* what a parsed url is asked for is there */
    if (r == 0 && !is_web(*ret_url))
        r = -EINVAL;
    if (r == -EINVAL)
        (void)err_set(e, r, "redirects to %s, which is no http or https url",
                      text_quote(location, strlen(location), '\'', shown, sizeof shown));
    else if (r < 0)
        (void)no_memory(e);
    return r;
}

static int read_target(const char *from, const char *location, char **ret_url, struct server *ret,
                       struct err *e)
{
    CURLU *u = curl_url();
    int r = u ? resolve(u, from, location, ret_url, e) : no_memory(e);
    if (r == 0)
        r = server_of(u, ret, e);
    curl_url_cleanup(u);
    return r;
}

int http_url_redirect(const char *first, const char *from, const char *location, char *const *hosts,
                      char **ret_url, bool *ret_away, struct err *e)
{
    struct server a = {0}, b = {0}, c = {0};
    char *url = NULL, *copy = NULL;
    int r = read_server(first, &a, e);
    if (r == 0)
        r = read_server(from, &b, e);
    if (r == 0)
        r = read_target(from, location, &url, &c, e);
    if (r == 0)
        r = judge(&a, &b, &c, hosts, ret_away, e);
    if (r == 0 && !(copy = strdup(url)))
        r = no_memory(e);
    curl_free(url);
    server_free(&a);
    server_free(&b);
    server_free(&c);
    if (r == 0)
        *ret_url = copy;
    return r;
}

const char *http_url_visible(const char *text, char *out, size_t size)
{
    size_t n = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p && n + 4 <= size; p++) {
        if (*p > ' ' && *p <= '~' && *p != '%') {
            out[n++] = (char)*p;
            continue;
        }
        out[n++] = '%';
        out[n++] = digits[*p >> 4];
        out[n++] = digits[*p & 15];
    }
    out[n] = '\0';
    return out;
}
