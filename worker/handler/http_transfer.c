#include "worker/handler/http_transfer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The answer's body ------------------------------------------------------------------------------
 */

static int make_room(struct transfer *t, size_t more)
{
    size_t room = t->room ? t->room : 1024;
    while (room < t->answer.len + more)
        room *= 2;
    if (room == t->room)
        return 0;
    char *body = realloc(t->answer.body, room);
    if (!body)
        return -ENOMEM;
    t->answer.body = body;
    t->room = room;
    return 0;
}

/* Of what is longer, the last `most` bytes. */
static int keep(struct transfer *t, const char *bytes, size_t len, size_t most)
{
    if (make_room(t, len) < 0)
        return -ENOMEM;
    memcpy(t->answer.body + t->answer.len, bytes, len);
    t->answer.len += len;
    if (t->answer.len > 2 * most) {
        memmove(t->answer.body, t->answer.body + t->answer.len - most, most);
        t->answer.len = most;
    }
    return 0;
}

static bool is_good(const struct transfer *t)
{
    long status = 0;
    (void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status < 300;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    const struct http_request *q = t->request;
    size_t len = size * n, left = (size_t)q->conf->response_limit - t->seen;
    size_t taken = len < left ? len : left, most = t->seen + taken;
    t->seen += taken;
    t->answer.cut = taken < len;
    if (!q->whole)
        most = is_good(t) ? 0 : q->keep;
    if (taken && most && keep(t, bytes, taken, most) < 0) {
        t->no_memory = true;
        return 0;
    }
    return taken; /* less than came: the transfer ends here */
}

/* Sockets ----------------------------------------------------------------------------------------
 */

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct transfer *t = arg;
    (void)purpose;
    int fd = socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
    if (fd < 0 && err_is_shortage(-errno))
        t->socket_errno = errno;
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/* Options ----------------------------------------------------------------------------------------
 */

#define SET(t, option, value)                                                 \
    do {                                                                      \
        if (curl_easy_setopt((t)->easy, CURLOPT_##option, value) != CURLE_OK) \
            return -ENOMEM;                                                   \
    } while (0)

/* What each request has of its own. */
static int set_transfer(struct transfer *t)
{
    SET(t, PRIVATE, t);
    SET(t, ERRORBUFFER, t->said);
    SET(t, WRITEDATA, t);
    SET(t, OPENSOCKETDATA, t);
    return 0;
}

static int set_connection(struct transfer *t, const struct conf_http *c)
{
    SET(t, WRITEFUNCTION, on_body);
    SET(t, OPENSOCKETFUNCTION, on_open);
    SET(t, USERAGENT, "rpopd/" RPOPD_VERSION);
    SET(t, PATH_AS_IS, 1L);
    SET(t, NOSIGNAL, 1L);
    SET(t, QUICK_EXIT, 1L); /* a name server that is silent is not waited for */
    SET(t, CONNECTTIMEOUT_MS, (long)c->connect_timeout_ms);
    SET(t, TCP_KEEPALIVE, 1L);
    SET(t, PROTOCOLS_STR, "http,https");
    SET(t, HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    SET(t, SUPPRESS_CONNECT_HEADERS, 1L);
    SET(t, PROXY, c->proxy); /* "": none, and the environment's do not count */
    SET(t, NOPROXY, "");
    if (!c->ca_file[0])
        return 0;
    SET(t, CAINFO, c->ca_file);
    SET(t, CAPATH, NULL);
    SET(t, PROXY_CAINFO, c->ca_file);
    SET(t, PROXY_CAPATH, NULL);
    return 0;
}

static int set_header(struct transfer *t, const char *const *lines)
{
    size_t n = 0;
    for (; lines[n]; n++)
        t->line[n] = (struct curl_slist){.data = (char *)lines[n], .next = &t->line[n + 1]};
    if (n)
        t->line[n - 1].next = NULL;
    SET(t, HTTPHEADER, n ? t->line : NULL);
    return 0;
}

static int set_request(struct transfer *t, const struct http_request *q, bool fresh)
{
    bool head = strcmp(q->method, "HEAD") == 0,
         plain = !strcmp(q->method, q->body ? "POST" : "GET");
    if (!q->parsed)
        SET(t, URL, q->url);
    else if (fresh)
        SET(t, CURLU, q->parsed);
    SET(t, HTTPGET, 1L);
    SET(t, NOBODY, (long)head);
    SET(t, CUSTOMREQUEST, head || plain ? NULL : q->method);
    if (q->body) {
        SET(t, POSTFIELDSIZE_LARGE, (curl_off_t)q->len);
        SET(t, POSTFIELDS, q->body);
    }
    return 0;
}

/* Ends -------------------------------------------------------------------------------------------
 */

struct transfer *transfer_new(const struct http_request *q, struct loop *l, CURL *easy, bool fresh)
{
    size_t n = 0;
    while (q->lines[n])
        n++;
    struct transfer *t = calloc(1, sizeof *t + n * sizeof *t->line);
    if (!t)
        return NULL;
    t->request = q;
    t->easy = easy;
    t->done = loop_create_future(l);
    if (!t->done || (fresh && set_connection(t, q->conf) < 0) || set_transfer(t) < 0 ||
        set_header(t, q->lines) < 0 || set_request(t, q, fresh) < 0)
        return transfer_free(t);
    return t;
}

struct transfer *transfer_free(struct transfer *t)
{
    if (!t)
        return NULL;
    assert(!t->at);
    (void)curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, NULL);
    future_unref(t->done);
    http_answer_free(&t->answer);
    free(t);
    return NULL;
}

/* NULL, also where there is none; a field that comes twice: the first. */
static int take_field(struct transfer *t, const char *name, char **ret)
{
    struct curl_header *h;
    CURLHcode r = curl_easy_header(t->easy, name, 0, CURLH_HEADER, -1, &h);
    if (r != CURLHE_OK)
        return r == CURLHE_OUT_OF_MEMORY ? -ENOMEM : 0;
    *ret = strdup(h->value);
    return *ret ? 0 : -ENOMEM;
}

static int take_fields(struct transfer *t)
{
    struct http_answer *a = &t->answer;
    if (is_good(t))
        return 0; /* nobody asks */
    if (take_field(t, "Location", &a->location) < 0 || take_field(t, "Date", &a->date) < 0)
        return -ENOMEM;
    return take_field(t, "Retry-After", &a->retry_after);
}

static int take_answer(struct transfer *t, struct http_answer *ret, struct err *e)
{
    long status = 0;
    (void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    t->answer.status = (int)status;
    if (take_fields(t) < 0)
        return err_set(e, -ENOMEM, "no memory for the answer");
    *ret = t->answer;
    t->answer = (struct http_answer){0};
    return 0;
}

/* The thread that resolves could not be started, or had no descriptor for its question. */
static bool lacks_resolver(const struct transfer *t)
{
    if (t->code != CURLE_COULDNT_RESOLVE_HOST && t->code != CURLE_COULDNT_RESOLVE_PROXY)
        return false;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_is_shortage(-errno);
    (void)close(fd);
    return strstr(t->said, "thread failed to start") != NULL;
}

/* A server that answers before it has read all of the request resets the stream then: the answer
 * counts (RFC 9113, 8.1), which libcurl 7.88 takes for an error where it comes too early. */
static bool is_reset_behind_answer(const struct transfer *t)
{
    long status = 0;
    curl_off_t length = -1;
    (void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    return t->code == CURLE_HTTP2_STREAM && status >= 200 &&
           (status == 204 || length == (curl_off_t)t->seen);
}

/* libcurl 7.88 calls it a want of memory, too, where a line of the answer's head is larger than the
 * 100 KiB that it keeps: the server's doing, as the answer had begun. */
static bool has_large_head(const struct transfer *t)
{
    curl_off_t began = 0;
    (void)curl_easy_getinfo(t->easy, CURLINFO_STARTTRANSFER_TIME_T, &began);
    return t->code == CURLE_OUT_OF_MEMORY && began > 0;
}

/* libcurl 7.88 takes a length that is beyond its numbers for none, and the connection's end for the
 * answer's. */
static bool lost_its_length(const struct transfer *t)
{
    struct curl_header *h;
    curl_off_t length = 0;
    (void)curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    return length < 0 &&
           curl_easy_header(t->easy, "Transfer-Encoding", 0, CURLH_HEADER, -1, &h) != CURLHE_OK &&
           curl_easy_header(t->easy, "Content-Length", 0, CURLH_HEADER, -1, &h) == CURLHE_OK;
}

int transfer_result(struct transfer *t, struct http_answer *ret, struct err *e)
{
    if (!t->no_memory && has_large_head(t))
        return err_set(e, -EIO, "a line of the answer's head is too large");
    if (t->no_memory || t->code == CURLE_OUT_OF_MEMORY)
        return err_set(e, -ENOMEM, "no memory for the request");
    if (t->code == CURLE_OK && !t->answer.cut && lost_its_length(t))
        return err_set(e, -EIO, "its Content-Length is larger than any answer");
    if (t->code == CURLE_OK || t->answer.cut || is_reset_behind_answer(t))
        return take_answer(t, ret, e);
    if (t->socket_errno || lacks_resolver(t))
        return err_set(e, -EMFILE, "no descriptor or thread for the request");
    return err_set(e, -EIO, "%s", t->said[0] ? t->said : curl_easy_strerror(t->code));
}
