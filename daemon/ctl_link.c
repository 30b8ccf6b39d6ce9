#include "daemon/ctl_link.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/conf.h"

#define CONF_MAX ((size_t)1 << 20)
#define IN_BYTES ((size_t)1 << 18)
#define LINE_MAX_BYTES ((size_t)1 << 30)

/* ---- which socket ---- */

static void add(struct ctl_sockets *s, char *path)
{
    if (path && s->n < CTL_SOCKETS)
        s->path[s->n++] = path;
    else
        free(path);
}

__attribute__((format(printf, 2, 3))) static void add_path(struct ctl_sockets *s, const char *fmt,
                                                           ...)
{
    char *path;
    va_list args;
    va_start(args, fmt);
    if (vasprintf(&path, fmt, args) < 0)
        path = NULL;
    va_end(args);
    add(s, path);
}

/* rpopd@NAME.service: its file is NAME.conf, its directory rpopd-NAME. */
static void add_of_service(struct ctl_sockets *s, const char *file)
{
    const char *name = file ? strrchr(file, '/') : NULL;
    name = name ? name + 1 : file;
    size_t len = name ? strlen(name) : 0;
    if (len > 5 && strcmp(name + len - 5, ".conf") == 0 && strcmp(name, "rpopd.conf") != 0)
        add_path(s, "/run/rpopd-%.*s/" CONF_SOCKET, (int)(len - 5), name);
    else
        add_path(s, "/run/rpopd/" CONF_SOCKET);
}

/* Below /tmp anybody may have made it. */
static bool is_mine(const char *dir)
{
    struct stat st;
    return lstat(dir, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

static void add_defaults(struct ctl_sockets *s, const char *file)
{
    const char *own = getenv("RUNTIME_DIRECTORY"), *user = getenv("XDG_RUNTIME_DIR");
    char shared[64];
    if (own && *own)
        add_path(s, "%.*s/" CONF_SOCKET, (int)strcspn(own, ":"), own);
    add_of_service(s, file);
    if (user && *user)
        add_path(s, "%s/rpopd/" CONF_SOCKET, user);
    (void)snprintf(shared, sizeof shared, "/tmp/rpopd-%ju", (uintmax_t)geteuid());
    if (is_mine(shared))
        add_path(s, "%s/" CONF_SOCKET, shared);
}

static char *read_file(const char *file, size_t *ret_len, struct err *e)
{
    FILE *f = fopen(file, "re");
    char *text = f ? malloc(CONF_MAX + 1) : NULL;
    if (text) {
        *ret_len = fread(text, 1, CONF_MAX, f);
        text[*ret_len] = '\0';
        if (!ferror(f)) {
            (void)fclose(f);
            return text;
        }
    }
    (void)err_set(e, -EINVAL, "cannot read the configuration '%s': %s", file, strerror(errno));
    free(text);
    if (f)
        (void)fclose(f);
    return NULL;
}

static struct conf *load(const char *file, FILE *errors, struct err *e)
{
    size_t len;
    struct conf *conf = NULL;
    char *text = read_file(file, &len, e);
    if (text && conf_load_text(file, text, len, errors, &conf) < 0) {
        (void)err_set(e, -EINVAL, "the configuration '%s' has mistakes", file);
        conf = NULL;
    }
    free(text);
    return conf;
}

static struct conf *load_installed(void)
{
    FILE *nowhere = fopen("/dev/null", "we");
    struct conf *conf = nowhere ? load(RPOPD_SYSCONFDIR "/rpopd/rpopd.conf", nowhere, NULL) : NULL;
    if (nowhere)
        (void)fclose(nowhere);
    return conf;
}

int ctl_sockets_find(struct ctl_sockets *s, const char *file, struct err *e)
{
    *s = (struct ctl_sockets){0};
    struct conf *conf = file ? load(file, stderr, e) : load_installed();
    if (file && !conf)
        return e->code;
    if (conf && *conf->admin_socket)
        add_path(s, "%s", conf->admin_socket);
    else if (conf && *conf->runtime_dir)
        add_path(s, "%s/" CONF_SOCKET, conf->runtime_dir);
    else
        add_defaults(s, file);
    (void)conf_free(conf);
    return s->n ? 0 : err_set(e, -ENOMEM, "no memory for the socket's path");
}

void ctl_sockets_clear(struct ctl_sockets *s)
{
    for (unsigned i = 0; i < s->n; i++)
        free(s->path[i]);
    s->n = 0;
}

/* ---- the connection ---- */

static int connect_to(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof a.sun_path)
        return -ENAMETOOLONG;
    memcpy(a.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof a) == 0)
        return fd < 0 ? -errno : fd;
    int r = -errno;
    (void)close(fd);
    return r;
}

static const char *what_to_check(int code)
{
    if (code == -EACCES || code == -EPERM)
        return "be root, the daemon's user, or in its group";
    if (code == -ENAMETOOLONG)
        return "allowed are 107 bytes";
    return "is rpopd running (systemctl status rpopd)? Another socket is named by -s, another "
           "configuration by -c";
}

static int nobody_there(const struct ctl_sockets *s, const char *path, int code, struct err *e)
{
    char others[24] = "";
    if (s->n > 1)
        (void)snprintf(others, sizeof others, " and %u other%s", s->n - 1, s->n > 2 ? "s" : "");
    return err_set(e, -ENOTCONN, "no daemon at %s%s: %s; %s", path, others, strerror(-code),
                   what_to_check(code));
}

int ctl_link_open(struct ctl_link *l, const struct ctl_sockets *s, struct err *e)
{
    int worst = 0;
    const char *at = s->path[0];
    *l = (struct ctl_link){.fd = -1, .in = malloc(IN_BYTES), .size = IN_BYTES};
    if (!l->in)
        return err_set(e, -ENOMEM, "no memory for the answer");
    for (unsigned i = 0; i < s->n; i++) {
        int fd = connect_to(s->path[i]);
        if (fd >= 0) {
            l->fd = fd;
            return 0;
        }
        if (!worst || fd == -EACCES) {
            worst = fd;
            at = s->path[i];
        }
    }
    return nobody_there(s, at, worst, e);
}

void ctl_link_close(struct ctl_link *l)
{
    if (l->fd >= 0)
        (void)close(l->fd);
    free(l->in);
    *l = (struct ctl_link){.fd = -1};
}

static int is_gone(struct err *e)
{
    return err_set(e, -ENOTCONN, "the daemon has closed the connection: look at its log");
}

static int say(struct ctl_link *l, const json_t *request, struct err *e)
{
    char *line = json_dumps(request, JSON_COMPACT);
    if (!line)
        return err_set(e, -ENOMEM, "no memory for the request");
    size_t len = strlen(line), done = 0;
    line[len++] = '\n'; /* in the place of the NUL */
    while (done < len) {
        ssize_t n = send(l->fd, line + done, len - done, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            break;
        done += n > 0 ? (size_t)n : 0;
    }
    free(line);
    return done < len && errno != EPIPE ? is_gone(e) : 0; /* EPIPE: it may have said why */
}

static int make_room(struct ctl_link *l, struct err *e)
{
    if (l->used) {
        l->len -= l->used;
        memmove(l->in, l->in + l->used, l->len);
        l->used = 0;
    }
    if (l->size - l->len >= 65536)
        return 0;
    size_t size = l->size * 2;
    char *in = size > LINE_MAX_BYTES ? NULL : realloc(l->in, size);
    if (!in)
        return err_set(e, -ENOMEM, "no memory for the answer");
    l->in = in;
    l->size = size;
    return 0;
}

static int read_more(struct ctl_link *l, struct err *e)
{
    struct pollfd p = {.fd = l->fd, .events = POLLIN};
    if (make_room(l, e) < 0)
        return e->code;
    int ready = poll(&p, 1, CTL_PATIENCE_MS);
    if (ready == 0)
        return err_set(e, -ENOTCONN, "the daemon does not answer within %d seconds",
                       CTL_PATIENCE_MS / 1000);
    ssize_t n = ready < 0 ? -1 : recv(l->fd, l->in + l->len, l->size - l->len, 0);
    if (n < 0 && errno == EINTR)
        return 0;
    if (n <= 0)
        return is_gone(e);
    l->len += (size_t)n;
    return 0;
}

/* The next line, with a NUL for its end: borrowed until the next call. NULL with *e. */
static char *next_line(struct ctl_link *l, struct err *e)
{
    for (size_t looked = 0;;) {
        char *line = l->in + l->used;
        size_t have = l->len - l->used;
        char *end = have > looked ? memchr(line + looked, '\n', have - looked) : NULL;
        if (end) {
            *end = '\0';
            l->used = (size_t)(end - l->in) + 1;
            return line;
        }
        looked = have;
        if (read_more(l, e) < 0)
            return NULL;
    }
}

static int last_line(json_t *json, json_t **ret_last, struct err *e)
{
    const char *sentence = json_string_value(json_object_get(json, "error"));
    if (json_is_true(json_object_get(json, "ok"))) {
        (void)json_object_del(json, "ok");
        *ret_last = json;
        return 0;
    }
    (void)err_set(e, -EPROTO, "%s", sentence ? sentence : "what answers is no rpopd");
    json_decref(json);
    return -EPROTO;
}

int ctl_link_ask(struct ctl_link *l, const json_t *request, ctl_item fn, void *data,
                 json_t **ret_last, struct err *e)
{
    int r = say(l, request, e);
    while (r == 0) {
        char *line = next_line(l, e);
        if (!line)
            return e->code;
        if (!*line)
            continue; /* it is still at it */
        json_t *json = json_loads(line, JSON_ALLOW_NUL, NULL);
        json_t *item = json_object_get(json, "item");
        if (!item)
            return last_line(json, ret_last, e);
        r = fn(data, item);
        json_decref(json);
    }
    return r;
}
