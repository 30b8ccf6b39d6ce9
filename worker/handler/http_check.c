#include "worker/handler/http_check.h"

#include <errno.h>
#include <openssl/x509_vfy.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/text.h"
#include "worker/handler/http_url.h"

#define SHOWN 80 /* bytes of a text in a sentence */
#define TOKEN "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

static int refuse_header(const char *line, const char *what, struct err *e)
{
    char shown[SHOWN];
    return err_set(e, -EINVAL, "%s %s, allowed is \"Name: value\"",
                   text_quote(line, strlen(line), '"', shown, sizeof shown), what);
}

int http_check_header(const char *line, struct err *e)
{
    static const char *const framing[] = {"Content-Length:", "Transfer-Encoding:", "Connection:"};
    size_t name = strspn(line, TOKEN);
    if (!name || line[name] != ':')
        return refuse_header(line, "does not begin with the name of a field and a colon", e);
    if (!strncasecmp(line, "X-Rpopd-", 8))
        return refuse_header(line, "is a field of rpopd's own", e);
    for (size_t i = 0; i < sizeof framing / sizeof *framing; i++)
        if (!strncasecmp(line, framing[i], strlen(framing[i])))
            return refuse_header(line, "belongs to how the message is framed", e);
    for (const char *p = line + name; *p; p++)
        if (((unsigned char)*p < ' ' && *p != '\t') || *p == '\x7f')
            return refuse_header(line, "holds a line end or another control character", e);
    return 0;
}

static int check_each(char *const *texts, int (*check)(const char *, struct err *), struct err *e)
{
    for (size_t i = 0; texts[i]; i++) {
        int r = check(texts[i], e);
        if (r < 0)
            return err_prefix(e, "[%zu]", i), r;
    }
    return 0;
}

/* As the connection will read it. */
static int check_ca_file(const char *path, struct err *e)
{
    if (!*path)
        return 0;
    if (access(path, R_OK) < 0)
        return err_set(e, -EINVAL, "%s cannot be read: %s, allowed is a file with certificates",
                       path, strerror(errno));
    X509_STORE *store = X509_STORE_new();
    if (!store)
        return err_set(e, -ENOMEM, "no memory");
    int good = X509_STORE_load_file(store, path);
    X509_STORE_free(store);
    return good ? 0
                : err_set(e, -EINVAL, "%s holds no certificate, allowed is a file with some as PEM",
                          path);
}

static int named(const char *name, int r, struct err *e)
{
    if (r < 0)
        (void)err_prefix(e, "%s", name);
    return r;
}

int http_check(const struct conf_queue *queue, struct err *e)
{
    const struct conf_http *c = &queue->handler.http;
    int r = named("handler.url", http_url_check(c->url, e), e);
    if (r == 0)
        r = named("handler.headers", check_each(c->headers, http_check_header, e), e);
    if (r == 0)
        r = named("handler.redirect_hosts", check_each(c->redirect_hosts, http_url_check_host, e),
                  e);
    if (r == 0)
        r = named("handler.proxy", http_url_check_proxy(c->proxy, e), e);
    return r == 0 ? named("handler.ca_file", check_ca_file(c->ca_file, e), e) : r;
}
