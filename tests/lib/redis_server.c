#include "tests/lib/redis_server.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "tests/lib/port.h"

#define ARGS_MAX 64
#define START_MS 30000

struct redis_server {
    char dir[80], socket[96], url[112], tcp_url[64], port_text[16], password[64];
    int port, port_fd; /* port_hold */
    pid_t pid;
    char *args[ARGS_MAX];
    int nargs;
    redisContext *context;
    char *text;
};

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void pause_ms(long ms)
{
    struct timespec t = {.tv_nsec = ms * 1000000};
    (void)nanosleep(&t, NULL);
}

static int add(struct redis_server *s, const char *arg)
{
    if (s->nargs + 1 >= ARGS_MAX || !(s->args[s->nargs] = strdup(arg)))
        return -ENOMEM;
    s->nargs++;
    return 0;
}

static int add_all(struct redis_server *s, const char *const *args)
{
    int r = 0;
    for (size_t i = 0; !r && args && args[i]; i++)
        r = add(s, args[i]);
    return r;
}

/* The caller's arguments come last: of two equal ones Redis takes the later. */
static int set_args(struct redis_server *s, const char *const *args)
{
    const char *program = getenv("REDIS_SERVER");
    const char *mine[] = {program ? program : "redis-server",
                          "--dir",
                          s->dir,
                          "--unixsocket",
                          s->socket,
                          "--port",
                          s->port_text,
                          "--bind",
                          "127.0.0.1",
                          "--save",
                          "",
                          "--daemonize",
                          "no",
                          "--logfile",
                          "redis.log",
                          NULL};
    int r = add_all(s, mine);
    return r ? r : add_all(s, args);
}

static int spawn(struct redis_server *s)
{
    pid_t parent = getpid();
    s->pid = fork();
    if (s->pid)
        return s->pid < 0 ? -errno : 0;
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent)
        (void)execvp(s->args[0], s->args);
    _exit(127);
}

static void disconnect(struct redis_server *s)
{
    if (s->context)
        redisFree(s->context);
    s->context = NULL;
}

static bool connected(struct redis_server *s)
{
    if (s->context && !s->context->err)
        return true;
    disconnect(s);
    s->context = redisConnectUnix(s->socket);
    if (!s->context || s->context->err)
        return false;
    (void)redisSetTimeout(s->context, (struct timeval){.tv_sec = 30});
    if (s->password[0])
        freeReplyObject(redisCommand(s->context, "AUTH %s", s->password));
    return true;
}

/* Any answer but LOADING and MASTERDOWN says that it is there: one that asks for a password is. */
static bool answers(struct redis_server *s)
{
    if (!connected(s))
        return false;
    redisReply *r = redisCommand(s->context, "PING");
    bool yes = r && !(r->type == REDIS_REPLY_ERROR && strncmp(r->str, "LOADING", 7) == 0);
    if (r)
        freeReplyObject(r);
    return yes;
}

static int await_answer(struct redis_server *s)
{
    int64_t end = now_ms() + START_MS;
    while (now_ms() < end) {
        if (answers(s))
            return 0;
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
            s->pid = 0;
            (void)fprintf(stderr, "redis_server: ended at start, see %s/redis.log\n", s->dir);
            return -ECHILD;
        }
        pause_ms(5);
    }
    (void)fprintf(stderr, "redis_server: no answer, see %s/redis.log\n", s->dir);
    return -ETIMEDOUT;
}

static int prepare(struct redis_server *s, bool tcp, const char *const *args)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(s->dir, sizeof s->dir, "%s/rpopd-test.XXXXXX",
                   tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    if (!mkdtemp(s->dir))
        return -errno;
    if (tcp && (s->port_fd = port_hold(&s->port)) < 0)
        return s->port_fd;
    (void)snprintf(s->port_text, sizeof s->port_text, "%d", s->port);
    (void)snprintf(s->socket, sizeof s->socket, "%s/redis.sock", s->dir);
    (void)snprintf(s->url, sizeof s->url, "unix://%s", s->socket);
    if (tcp)
        (void)snprintf(s->tcp_url, sizeof s->tcp_url, "redis://127.0.0.1:%d", s->port);
    return set_args(s, args);
}

struct redis_server *redis_server_start(bool tcp, const char *const *args)
{
    struct redis_server *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->port_fd = -1;
    if (!prepare(s, tcp, args) && !spawn(s) && !await_answer(s))
        return s;
    return redis_server_stop(s);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
    (void)st, (void)flag, (void)f;
    return remove(path);
}

struct redis_server *redis_server_stop(struct redis_server *s)
{
    if (!s)
        return NULL;
    redis_server_kill(s);
    if (s->port_fd >= 0)
        (void)close(s->port_fd);
    if (strstr(s->dir, "/rpopd-test."))
        (void)nftw(s->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    for (int i = 0; i < s->nargs; i++)
        free(s->args[i]);
    free(s->text);
    free(s);
    return NULL;
}

const char *redis_server_url(const struct redis_server *s)
{
    return s->url;
}

const char *redis_server_tcp_url(const struct redis_server *s)
{
    return s->tcp_url;
}

const char *redis_server_socket(const struct redis_server *s)
{
    return s->socket;
}

const char *redis_server_dir(const struct redis_server *s)
{
    return s->dir;
}

int redis_server_port(const struct redis_server *s)
{
    return s->port;
}

pid_t redis_server_pid(const struct redis_server *s)
{
    return s->pid;
}

int redis_server_signal(struct redis_server *s, int sig)
{
    if (s->pid <= 0)
        return -ESRCH;
    return kill(s->pid, sig) ? -errno : 0;
}

void redis_server_kill(struct redis_server *s)
{
    disconnect(s);
    if (s->pid <= 0)
        return;
    (void)kill(s->pid, SIGKILL);
    while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    s->pid = 0;
}

int redis_server_restart(struct redis_server *s, bool wait)
{
    redis_server_kill(s);
    (void)unlink(s->socket);
    int r = spawn(s);
    return r || !wait ? r : await_answer(s);
}

void redis_server_login(struct redis_server *s, const char *password)
{
    disconnect(s);
    (void)snprintf(s->password, sizeof s->password, "%s", password ? password : "");
}

static redisReply *run(struct redis_server *s, const char *fmt, va_list args)
{
    return connected(s) ? redisvCommand(s->context, fmt, args) : NULL;
}

struct redisReply *redis_server_run(struct redis_server *s, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    redisReply *r = run(s, fmt, args);
    va_end(args);
    return r;
}

static long long as_integer(const redisReply *r)
{
    if (r && r->type == REDIS_REPLY_INTEGER)
        return r->integer;
    if (r && r->type == REDIS_REPLY_NIL)
        return 0;
    if (r && r->type == REDIS_REPLY_STATUS && strcmp(r->str, "OK") == 0)
        return 1;
    return -1000000;
}

long long redis_server_integer(struct redis_server *s, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    redisReply *r = run(s, fmt, args);
    va_end(args);
    long long n = as_integer(r);
    if (r)
        freeReplyObject(r);
    return n;
}

static char *as_text(const redisReply *r)
{
    char number[32];
    if (r->type == REDIS_REPLY_INTEGER) {
        (void)snprintf(number, sizeof number, "%lld", r->integer);
        return strdup(number);
    }
    return strdup(r->str ? r->str : "");
}

const char *redis_server_text(struct redis_server *s, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    redisReply *r = run(s, fmt, args);
    va_end(args);
    free(s->text);
    s->text = r ? as_text(r) : NULL;
    if (r)
        freeReplyObject(r);
    return s->text;
}
