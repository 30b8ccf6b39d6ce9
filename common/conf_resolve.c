#include "common/conf_resolve.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/conf_check.h"

#define PASSWORD_MAX 65536 /* bytes */

/* Takes the new text, which may be NULL for no memory. */
static void replace(char **at, char *text, struct conf_source *source)
{
    if (!text) {
        source->no_memory = true;
        return;
    }
    free(*at);
    *at = text;
}

static void resolve_instance(struct conf *c, struct conf_source *source)
{
    char host[HOST_NAME_MAX + 1] = "";
    struct err e;
    const char *from = "$RPOPD_INSTANCE", *name = getenv("RPOPD_INSTANCE");
    if (c->instance[0])
        return;
    if (!name || !*name) {
        from = "the host name";
        name = gethostname(host, sizeof host - 1) == 0 ? host : "";
    }
    if (conf_check_instance(name, &e) < 0)
        conf_mistake(source, source->instance_line, "instance", "%s: %s", from, e.text);
    else
        replace(&c->instance, strdup(name), source);
}

static char *default_runtime_dir(void)
{
    const char *own = getenv("RUNTIME_DIRECTORY"), *user = getenv("XDG_RUNTIME_DIR");
    char *path = NULL;
    int r;
    if (own && *own) /* systemd lists all of RuntimeDirectory= with colons */
        return strndup(own, strcspn(own, ":"));
    if (user && *user)
        r = asprintf(&path, "%s/rpopd", user);
    else
        r = asprintf(&path, "/tmp/rpopd-%ju", (uintmax_t)geteuid());
    return r < 0 ? NULL : path;
}

static void resolve_runtime_dir(struct conf *c, struct conf_source *source)
{
    struct err e;
    if (c->runtime_dir[0])
        return;
    replace(&c->runtime_dir, default_runtime_dir(), source);
    if (!source->no_memory && (conf_check_directory(c->runtime_dir, &e) < 0 || !c->runtime_dir[0]))
        conf_mistake(source, source->runtime_dir_line, "runtime_dir",
                     "$RUNTIME_DIRECTORY or $XDG_RUNTIME_DIR is no absolute path, allowed is one");
}

static void resolve_socket(struct conf *c, struct conf_source *source)
{
    char *path;
    if (c->admin_socket[0])
        return;
    if (asprintf(&path, "%s/" CONF_SOCKET, c->runtime_dir) < 0)
        path = NULL;
    if (path && strlen(path) > CONF_SOCKET_MAX)
        conf_mistake(source, source->runtime_dir_line, "runtime_dir",
                     "the path of the socket in it, %s, has %zu bytes, allowed are %d: "
                     "set admin.socket or a shorter runtime_dir",
                     path, strlen(path), CONF_SOCKET_MAX);
    replace(&c->admin_socket, path, source);
}

/* 0: one per CPU. */
static int per_cpu(int n)
{
    long cpus = n ? n : sysconf(_SC_NPROCESSORS_ONLN);
    return cpus < 1 ? 1 : cpus > 1024 ? 1024 : (int)cpus;
}

/* Never more jobs of the queue in flight than its processes: a job finds one, or may start one. */
static void resolve_processes(struct conf_queue *q)
{
    const char *type = q->handler.type; /* NULL: it was a mistake */
    if (!type || strcmp(type, conf_handler_types[CONF_POOL]) != 0)
        return;
    q->handler.processes = per_cpu(q->handler.processes);
    if (q->concurrency == 0 || q->concurrency > q->handler.processes)
        q->concurrency = q->handler.processes;
}

/* systemd made that directory for this service alone; its files may carry an ACL that looks like
 * group access. */
static bool is_credential(const char *path)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    size_t n = dir ? strlen(dir) : 0;
    return n && !strncmp(path, dir, n) && path[n] == '/' && !strstr(path + n, "/..");
}

static int read_secret(const char *path, char **ret, struct err *e)
{
    struct stat st;
    char *text;
    size_t len;
    int r = conf_read(path, PASSWORD_MAX, &text, &len, &st, e);
    if (r < 0)
        return r;
    if ((st.st_mode & 077) && !is_credential(path))
        r = err_set(
            e, -EPERM,
            "has mode %04o, allowed is 0600 or less: nobody but its owner may read a secret",
            (unsigned)(st.st_mode & 07777));
    else if (memchr(text, '\0', len))
        r = err_set(e, -EINVAL, "holds a NUL byte, allowed is text");
    if (r < 0) {
        explicit_bzero(text, len);
        free(text);
        return r;
    }
    if (len && text[len - 1] == '\n')
        text[--len] = '\0';
    if (len && text[len - 1] == '\r')
        text[--len] = '\0';
    *ret = text;
    return 0;
}

static void take_password(struct conf *c, struct conf_source *source, const char *path,
                          unsigned line)
{
    struct err e;
    char *text;
    int r = read_secret(path, &text, &e);
    if (r == 0)
        replace(&c->redis.password, text, source);
    else if (r == -ENOMEM)
        source->no_memory = true;
    else
        conf_mistake(source, line, "redis.password_file", "%s %s", path, e.text);
}

static void resolve_password(struct conf *c, struct conf_source *source)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    char *path;
    replace(&c->redis.password, strdup(""), source);
    if (c->redis.password_file[0]) {
        take_password(c, source, c->redis.password_file, source->password_file_line);
        return;
    }
    if (!dir || !*dir)
        return;
    if (asprintf(&path, "%s/redis-password", dir) < 0) {
        source->no_memory = true;
        return;
    }
    if (access(path, F_OK) == 0)
        take_password(c, source, path, 0);
    free(path);
}

static void resolve_secret(struct conf *c, struct conf_source *source, size_t i)
{
    struct conf_handler *h = &c->queues[i].handler;
    char name[64];
    struct err e;
    if (!h->http.secret_file || !h->http.secret_file[0])
        return;
    int r = read_secret(h->http.secret_file, &h->http.secret, &e);
    if (r == 0 && !h->http.secret[0])
        r = err_set(&e, -EINVAL, "is empty, allowed is a key of at least one byte");
    (void)snprintf(name, sizeof name, "queues[%zu].handler.secret_file", i);
    if (r == -ENOMEM)
        source->no_memory = true;
    else if (r < 0)
        conf_mistake(source, h->line, name, "%s %s", h->http.secret_file, e.text);
}

void conf_resolve(struct conf *c, struct conf_source *source)
{
    resolve_instance(c, source);
    resolve_runtime_dir(c, source);
    resolve_socket(c, source);
    c->workers = per_cpu(c->workers);
    for (size_t i = 0; i < c->nqueues; i++)
        resolve_processes(&c->queues[i]);
    resolve_password(c, source);
    for (size_t i = 0; i < c->nqueues; i++)
        resolve_secret(c, source, i);
}
