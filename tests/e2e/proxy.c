#include "tests/e2e/proxy.h"

#include "tests/e2e/scene.h"

#include <sys/prctl.h>
#include <sys/wait.h>

struct proxy {
    char url[160];
    pid_t pid;
    FILE *to, *from;
};

static void child(const char *listen, const char *upstream, int in, int out)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0)
        _exit(126);
    close_range(3, ~0u, 0);
    execlp("python3", "python3", "tests/e2e/faultproxy.py", listen, upstream, (char *)NULL);
    _exit(127);
}

static void line_of(struct proxy *p, char *ret_line, int size)
{
    if (!fgets(ret_line, size, p->from))
        fail_msg("faultproxy.py gives no answer");
}

/* Gives; ret_line: its first words. */
static struct proxy *begin(const char *listen, const char *upstream, char *ret_line, int size)
{
    struct proxy *p = calloc(1, sizeof *p);
    int in[2], out[2];
    if (!p || pipe(in) != 0 || pipe(out) != 0)
        fail_msg("no proxy: %s", strerror(errno));
    p->pid = fork();
    if (p->pid == 0)
        child(listen, upstream, in[0], out[1]);
    close(in[0]);
    close(out[1]);
    p->to = fdopen(in[1], "w");
    p->from = fdopen(out[0], "r");
    line_of(p, ret_line, size);
    return p;
}

struct proxy *proxy_new(const char *folder, const char *upstream)
{
    char path[128], line[64];
    (void)snprintf(path, sizeof path, "%s/proxy.sock", folder);
    struct proxy *p = begin(path, upstream, line, sizeof line);
    (void)snprintf(p->url, sizeof p->url, "unix://%s", path);
    return p;
}

struct proxy *proxy_new_tcp(const char *upstream)
{
    char line[64];
    int port = 0;
    struct proxy *p = begin("tcp", upstream, line, sizeof line);
    if (sscanf(line, "ready %d", &port) != 1)
        fail_msg("faultproxy.py says: %s", line);
    (void)snprintf(p->url, sizeof p->url, "redis://127.0.0.1:%d", port);
    return p;
}

struct proxy *proxy_free(struct proxy *p)
{
    if (!p)
        return NULL;
    kill(p->pid, SIGKILL);
    (void)waitpid(p->pid, NULL, 0);
    (void)fclose(p->to);
    (void)fclose(p->from);
    free(p);
    return NULL;
}

const char *proxy_url(const struct proxy *p)
{
    return p->url;
}

struct proxy_counts proxy_arm(struct proxy *p, const char *fmt, ...)
{
    struct proxy_counts c = {0};
    char line[128];
    va_list ap;
    va_start(ap, fmt);
    (void)vfprintf(p->to, fmt, ap);
    va_end(ap);
    (void)fputc('\n', p->to);
    (void)fflush(p->to);
    line_of(p, line, sizeof line);
    if (sscanf(line, "commands %u hits %u", &c.commands, &c.hits) != 2)
        fail_msg("faultproxy.py says: %s", line);
    return c;
}
