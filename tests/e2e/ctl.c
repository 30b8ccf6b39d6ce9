#include "tests/e2e/ctl.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define WORDS_MAX 16

static const char *program(void)
{
    const char *named = getenv("RPOPCTL");
    return named ? named : "build/rpopctl";
}

static char *read_all(int fd)
{
    size_t len = 0, size = 65536;
    char *text = malloc(size);
    (void)lseek(fd, 0, SEEK_SET);
    for (ssize_t n; text && (n = read(fd, text + len, size - len - 1)) > 0;) {
        len += (size_t)n;
        if (size - len < 2)
            text = realloc(text, size *= 2);
    }
    (void)close(fd);
    assert_non_null(text);
    text[len] = '\0';
    return text;
}

static int scratch(void)
{
    int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

const struct ctl_run *ctl_run(const char *const *args)
{
    static struct ctl_run run;
    const char *argv[WORDS_MAX + 2] = {program()};
    int out = scratch(), err = scratch(), status;
    for (int i = 0; args[i]; i++) {
        assert_in_range(i, 0, WORDS_MAX - 1);
        argv[i + 1] = args[i];
    }
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(out, STDOUT_FILENO);
        (void)dup2(err, STDERR_FILENO);
        (void)execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    free(run.out);
    free(run.err);
    run.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    run.out = read_all(out);
    run.err = read_all(err);
    return &run;
}

json_t *ctl_json(struct scene *s, int code, const char *const *args)
{
    const char *words[WORDS_MAX + 1] = {"-c", daemon_file(s->daemon), "--json"};
    for (int i = 0; args[i]; i++) {
        assert_in_range(i, 0, WORDS_MAX - 4);
        words[i + 3] = args[i];
    }
    const struct ctl_run *r = ctl_run(words);
    json_t *json = json_loads(r->out, JSON_ALLOW_NUL, NULL);
    if (r->code != code || !json) {
        (void)fprintf(stderr, "exit %d, printed:\n%s\n%s\n", r->code, r->out, r->err);
        scene_fail(s, "rpopctl --json", __FILE__, __LINE__);
    }
    return json;
}

void ctl_refused(struct scene *s, const struct ctl_run *r, int code, const char *sentence)
{
    if (r->code == code && strstr(r->err, sentence))
        return;
    (void)fprintf(stderr, "not exit %d and '%s', but %d:\n%s\n%s\n", code, sentence, r->code,
                  r->out, r->err);
    scene_fail(s, "rpopctl", __FILE__, __LINE__);
}

const char *ctl_text(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

long long ctl_number(const json_t *o, const char *key)
{
    const json_t *n = json_object_get(o, key);
    return json_is_integer(n) ? json_integer_value(n) : -1;
}

json_t *ctl_find(const json_t *array, const char *key, const char *text)
{
    for (size_t i = 0; i < json_array_size(array); i++)
        if (strcmp(ctl_text(json_array_get(array, i), key), text) == 0)
            return json_array_get(array, i);
    return NULL;
}

int ctl_connect(struct scene *s)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s/rpopd.sock", s->runtime_dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

void ctl_say(int fd, const char *bytes, size_t len)
{
    while (len) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        assert_true(n > 0);
        bytes += n;
        len -= (size_t)n;
    }
}

const char *ctl_hear(int fd, int64_t ms)
{
    static char line[65536];
    size_t len = 0;
    int64_t end = clock_now_ms() + ms;
    while (len < sizeof line - 1) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = end - clock_now_ms();
        if (left <= 0 || poll(&p, 1, (int)left) <= 0 || recv(fd, line + len, 1, 0) != 1 ||
            line[len] == '\n')
            break;
        len++;
    }
    line[len] = '\0';
    return line;
}

bool ctl_is_cut(int fd, int64_t ms)
{
    char bytes[4096];
    int64_t end = clock_now_ms() + ms;
    for (int64_t left; (left = end - clock_now_ms()) > 0;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, (int)left) > 0 && recv(fd, bytes, sizeof bytes, 0) <= 0)
            return true;
    }
    return false;
}

static bool id_of_the_one(struct scene *s, char *ret_id, size_t size)
{
    json_t *jobs = CTL_JSON(s, 0, "jobs");
    const json_t *j = json_array_get(jobs, 0);
    bool one = json_array_size(jobs) == 1 && strcmp(ctl_text(j, "state"), "running") == 0;
    (void)snprintf(ret_id, size, "%s", one ? ctl_text(j, "id") : "");
    json_decref(jobs);
    return one;
}

void ctl_cancel_one(struct scene *s)
{
    char id[128];
    scene_await(s, LIMIT_MS, id_of_the_one(s, id, sizeof id));
    json_decref(CTL_JSON(s, 0, "cancel", id));
}
