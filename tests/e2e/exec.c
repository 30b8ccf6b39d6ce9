#include "tests/e2e/exec.h"

#include <dirent.h>
#include <fcntl.h>

long long exec_done(struct scene *s)
{
    return stat_of(s, "queue", "done");
}

long long exec_dead(struct scene *s)
{
    return ask_int(s, "ZCARD rpopd:{queue}:dead");
}

json_t *exec_letter(struct scene *s)
{
    json_t *all = CTL_JSON(s, 0, "dead", "list", "queue", "--limit", "1");
    const char *id = exec_text("%s", ctl_text(json_array_get(all, 0), "id"));
    assert_true(*ctl_text(json_array_get(all, 0), "reason")); /* however long its output is */
    json_decref(all);
    return CTL_JSON(s, 0, "dead", "show", "queue", "--id", id);
}

json_t *exec_dies(struct scene *s, const char *script)
{
    long long before = exec_dead(s);
    push(s, "queue", script);
    scene_await(s, LIMIT_MS, exec_dead(s) == before + 1);
    return exec_letter(s);
}

const char *exec_text(const char *fmt, ...)
{
    static char texts[32][2048];
    static unsigned next;
    char *text = texts[next++ % 32];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof *texts, fmt, args);
    va_end(args);
    return text;
}

const char *exec_file(struct scene *s, const char *name, size_t *ret_len)
{
    static char text[65536];
    FILE *f = fopen(exec_text("%s/%s", s->folder, name), "re");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f)
        (void)fclose(f);
    text[n] = '\0';
    if (ret_len)
        *ret_len = n;
    return text;
}

const char *exec_make(struct scene *s, const char *name, const char *text, mode_t mode)
{
    const char *path = exec_text("%s/%s", s->folder, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    (void)fputs(text, f);
    (void)fclose(f);
    assert_int_equal(chmod(path, mode), 0);
    return path;
}

/* The file of /proc holds the words. */
static bool holds(const char *pid, const char *file, const char *words)
{
    static char text[131072];
    int fd = open(exec_text("/proc/%s/%s", pid, file), O_RDONLY | O_CLOEXEC);
    ssize_t len = 0, n = 0;
    while (fd >= 0 && (n = read(fd, text + len, sizeof text - (size_t)len)) > 0)
        len += n;
    if (fd >= 0)
        (void)close(fd);
    return len > 0 && memmem(text, (size_t)len, words, strlen(words));
}

unsigned exec_alive(struct scene *s)
{
    char mark[96];
    (void)snprintf(mark, sizeof mark, "%s-mark", s->folder);
    unsigned n = 0;
    DIR *proc = opendir("/proc");
    assert_non_null(proc);
    for (const struct dirent *d; (d = readdir(proc));)
        if (d->d_name[0] >= '1' && d->d_name[0] <= '9')
            n += holds(d->d_name, "environ", mark) || holds(d->d_name, "cmdline", mark);
    (void)closedir(proc);
    return n;
}

unsigned exec_zombies(struct scene *s)
{
    char parent[32];
    (void)snprintf(parent, sizeof parent, "PPid:\t%d\n", daemon_pid(s->daemon));
    unsigned n = 0;
    DIR *proc = opendir("/proc");
    assert_non_null(proc);
    for (const struct dirent *d; (d = readdir(proc));)
        if (d->d_name[0] >= '1' && d->d_name[0] <= '9')
            n += holds(d->d_name, "status", parent) && holds(d->d_name, "status", "State:\tZ");
    (void)closedir(proc);
    return n;
}
