#include "common/conf_check.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/rlimit.h"
#include "common/text.h"
#include "common/url.h"

#define INSTANCE_MAX 64

int conf_check_url(const char *text, struct err *e)
{
    struct url u;
    int r = url_parse(text, &u, e);
    explicit_bzero(&u, sizeof u);
    return r;
}

int conf_check_instance(const char *text, struct err *e)
{
    size_t n = strlen(text);
    char shown[80];
    size_t good = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    if (n == 0 || n > INSTANCE_MAX || good < n)
        return err_set(e, -EINVAL, "%s is not a name, allowed are 1 to %d of A-Z a-z 0-9 . _ -",
                       text_quote(text, n, '"', shown, sizeof shown), INSTANCE_MAX);
    return 0;
}

int conf_check_instance_or_empty(const char *text, struct err *e)
{
    return *text ? conf_check_instance(text, e) : 0;
}

int conf_check_list(const char *text, struct err *e)
{
    if (!*text)
        return err_set(e, -EINVAL, "is empty, allowed is the name of a list");
    if (!strncmp(text, "rpopd:", 6))
        return err_set(
            e, -EINVAL,
            "begins with \"rpopd:\", allowed is any other name: rpopd's own keys begin so");
    return 0;
}

int conf_check_list_or_empty(const char *text, struct err *e)
{
    return *text ? conf_check_list(text, e) : 0;
}

int conf_check_http(const char *text, struct err *e)
{
    static const char allowed[] =
        "allowed is address:port, as in \"127.0.0.1:9121\" or \"[::1]:9121\"";
    char server[URL_HOST_MAX + 32];
    struct url u;
    const char *colon = strrchr(text, ':');
    if (!*text)
        return 0;
    if (!colon || strpbrk(text, "/@?") || strchr(colon, ']') || strlen(text) >= sizeof server - 8)
        return err_set(e, -EINVAL, "is not an address, %s", allowed);
    (void)snprintf(server, sizeof server, "redis://%s", text);
    if (url_parse(server, &u, NULL) < 0)
        return err_set(e, -EINVAL, "is not an address, %s", allowed);
    return 0;
}

int conf_check_directory(const char *text, struct err *e)
{
    if (*text && *text != '/')
        return err_set(e, -EINVAL, "does not begin with a /, allowed is an absolute path");
    return 0;
}

int conf_check_variable(const char *text, struct err *e)
{
    char shown[80];
    size_t name = strcspn(text, "=");
    if (name == 0 || !text[name])
        return err_set(e, -EINVAL, "%s is not a variable, allowed is \"NAME=value\"",
                       text_quote(text, strlen(text), '"', shown, sizeof shown));
    return 0;
}

int conf_check_umask(const char *text, struct err *e)
{
    size_t n = strlen(text);
    bool good = strspn(text, "01234567") == n && (n == 3 || (n == 4 && *text == '0'));
    if (n > 0 && !good)
        return err_set(e, -EINVAL, "is not a mask, allowed is as in \"027\"");
    return 0;
}

int conf_check_rlimit(const char *text, struct err *e)
{
    int resource;
    struct rlimit limit;
    return rlimit_parse(text, &resource, &limit, e);
}
