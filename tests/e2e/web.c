#include "tests/e2e/web.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

struct web {
    char path[128];
    int port, in;
    pid_t pid;
};

struct web *web, *other;

static void child(const struct web *w, const char *const *args, int in, int out)
{
    const char *argv[16] = {"python3", "tests/e2e/web.py", w->path};
    size_t n = 3;
    for (; args && *args && n < 15; args++)
        argv[n++] = *args;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0)
        _exit(126);
    close_range(3, ~0u, 0);
    execvp("python3", (char *const *)argv);
    _exit(127);
}

struct web *web_new(struct scene *s, const char *const *args)
{
    static unsigned number;
    struct web *w = calloc(1, sizeof *w);
    int in[2], out[2];
    char line[32] = "";
    if (!w || pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
        fail_msg("no web server: %s", strerror(errno));
    (void)snprintf(w->path, sizeof w->path, "%s/web%u.log", s->folder, number++);
    w->in = in[1];
    w->pid = fork();
    if (w->pid == 0)
        child(w, args, in[0], out[1]);
    (void)close(in[0]);
    (void)close(out[1]);
    FILE *from = fdopen(out[0], "r");
    if (!fgets(line, sizeof line, from) || (w->port = atoi(line)) == 0)
        fail_msg("web.py does not start");
    (void)fclose(from);
    return w;
}

struct web *web_free(struct web *w)
{
    if (!w)
        return NULL;
    (void)kill(w->pid, SIGKILL);
    (void)waitpid(w->pid, NULL, 0);
    (void)close(w->in);
    free(w);
    return NULL;
}

int web_port(const struct web *w)
{
    return w->port;
}

const char *web_log(const struct web *w)
{
    static char *text;
    size_t room = 0;
    FILE *f = fopen(w->path, "re");
    free(text);
    text = NULL;
    ssize_t n = f ? getdelim(&text, &room, 0, f) : -1;
    if (f)
        (void)fclose(f);
    return n < 0 ? "" : text;
}

unsigned web_saw(const struct web *w, const char *words)
{
    unsigned n = 0;
    char *copy = strdup(web_log(w)), *rest = copy;
    for (char *line; (line = strsep(&rest, "\n"));)
        n += strstr(line, words) != NULL;
    free(copy);
    return n;
}

int web_begin(void **state)
{
    if (scene_new(state) != 0)
        return -1;
    web = web_new(*state, NULL);
    return 0;
}

int web_end(void **state)
{
    web = web_free(web);
    other = web_free(other);
    return scene_free(state);
}

void web_start(struct scene *s, const struct web *w, const char *path, const char *more,
               const char *of_queue)
{
    char *text;
    assert_true(asprintf(&text,
                         "queues = ( { name = \"queue\"; handler: { type = \"http\"; "
                         "url = \"http://127.0.0.1:%d%s\"; %s }; %s } );",
                         web_port(w), path, more, of_queue) > 0);
    scene_start(s, text);
    free(text);
}

void push_bytes(struct scene *s, const char *payload, size_t len)
{
    assert_true(ask_int(s, "LPUSH queue %b", payload, len) > 0);
}

void await_stat(struct scene *s, const char *name, long long n)
{
    scene_await(s, 2 * LIMIT_MS, stat_of(s, "queue", name) >= n);
    assert_int_equal(stat_of(s, "queue", name), n);
}

/* A record is a line, which ends with the evidence, and the payload. */
const char *dead_letter(struct scene *s, const char *payload, const char *member)
{
    static const char script[] =
        "for _, r in ipairs(redis.call('ZRANGE', 'rpopd:{queue}:dead', 0, -1)) do "
        "local line, payload = r:match('^([^\\n]*)\\n(.*)$') "
        "if payload == ARGV[1] then "
        "local v = cjson.decode(line:match('{.*}$'))[ARGV[2]] "
        "return v == nil and '' or tostring(v) end end return ''";
    return ask_text(s, "EVAL %s 0 %s %s", script, payload, member);
}

long long due_in_s(struct scene *s, const char *payload)
{
    static const char script[] =
        "local all = redis.call('ZRANGE', 'rpopd:{queue}:retry', 0, -1, 'WITHSCORES') "
        "local now = redis.call('TIME') "
        "for i = 1, #all, 2 do if all[i]:match('^[^\\n]*\\n(.*)$') == ARGV[1] then "
        "return math.ceil(tonumber(all[i + 1]) / 1000 - tonumber(now[1])) end end return -1";
    return ask_int(s, "EVAL %s 0 %s", script, payload);
}
