#include "tests/e2e/witness.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <jansson.h>

/* The program -----------------------------------------------------------------------------------
 */

static void die(const char *what)
{
    perror(what);
    exit(111);
}

struct text {
    char *at;
    size_t len, room;
};

static void text_put(struct text *t, const char *bytes, size_t n)
{
    while (t->len + n + 1 > t->room) {
        t->room = t->room ? t->room * 2 : 4096;
        t->at = realloc(t->at, t->room);
        if (!t->at)
            die("realloc");
    }
    memcpy(t->at + t->len, bytes, n);
    t->len += n;
    t->at[t->len] = '\0';
}

static struct text read_all(int fd)
{
    static char chunk[65536];
    struct text t = {0};
    text_put(&t, "", 0);
    for (ssize_t n; (n = read(fd, chunk, sizeof chunk)) > 0;)
        text_put(&t, chunk, (size_t)n);
    return t;
}

static struct text read_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die(path);
    struct text t = read_all(fd);
    (void)close(fd);
    return t;
}

static void write_all(int fd, const char *bytes, size_t n)
{
    for (ssize_t w; n > 0; bytes += w, n -= (size_t)w) {
        w = write(fd, bytes, n);
        if (w < 0)
            exit(112); /* nobody listens any more */
    }
}

static void keep(const char *folder, const char *id, const char *what, const struct text *t)
{
    char path[400];
    (void)snprintf(path, sizeof path, "%s/%s.%s", folder, id, what);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        die(path);
    write_all(fd, t->at, t->len);
    (void)close(fd);
}

static void keep_job(const char *folder, const char *id, const struct text *payload,
                     const struct text *line)
{
    struct text environment = read_file("/proc/self/environ");
    keep(folder, id, "line", line);
    keep(folder, id, "environment", &environment);
    keep(folder, id, "payload", payload);
    free(environment.at);
}

static int keep_one(const char *folder)
{
    struct text payload = read_all(STDIN_FILENO), line = read_file("/proc/self/cmdline");
    const char *id = getenv("RPOPD_JOB_ID");
    keep_job(folder, id ? id : "none", &payload, &line);
    free(payload.at);
    free(line.at);
    return 0;
}

static int shout(int fd)
{
    struct text payload = read_all(STDIN_FILENO);
    write_all(fd, payload.at, payload.len);
    free(payload.at);
    return WITNESS_CODE;
}

struct request {
    struct text line, payload;
    char id[128];
};

/* False: the end of the pool. */
static bool hear_request(FILE *in, struct request *ret)
{
    *ret = (struct request){0};
    size_t room = 0;
    ssize_t n = getline(&ret->line.at, &room, in);
    if (n <= 0)
        return false;
    ret->line.len = (size_t)n;
    json_t *o = json_loadb(ret->line.at, ret->line.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *len = json_object_get(o, "len");
    const char *id = json_string_value(json_object_get(o, "id"));
    if (!id || !json_is_integer(len))
        exit(113);
    (void)snprintf(ret->id, sizeof ret->id, "%s", id);
    ret->payload.len = (size_t)json_integer_value(len);
    ret->payload.at = calloc(1, ret->payload.len + 1);
    if (!ret->payload.at || fread(ret->payload.at, 1, ret->payload.len, in) != ret->payload.len)
        exit(114);
    json_decref(o);
    return true;
}

static void say_done(const char *id)
{
    char line[256];
    int n = snprintf(line, sizeof line, "{\"id\":\"%s\",\"status\":\"done\"}\n", id);
    write_all(STDOUT_FILENO, line, (size_t)n);
}

static void repeat(const struct request *q)
{
    const char *at = q->payload.at, *end = at + q->payload.len, *mark;
    while ((mark = memmem(at, (size_t)(end - at), "@id", 3))) {
        write_all(STDOUT_FILENO, at, (size_t)(mark - at));
        write_all(STDOUT_FILENO, q->id, strlen(q->id));
        at = mark + 3;
    }
    write_all(STDOUT_FILENO, at, (size_t)(end - at));
}

/* Its child's child has no parent but the subreaper, and ends. */
static void orphan(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(fork() < 0);
    if (child < 0 || waitpid(child, NULL, 0) < 0)
        exit(115);
}

static void parrot(struct request *q)
{
    if (q->payload.len == 6 && !memcmp(q->payload.at, "orphan", 6)) {
        orphan();
        return say_done(q->id);
    }
    if (q->payload.len == 2 && !memcmp(q->payload.at, "ok", 2))
        return say_done(q->id);
    bool ends = q->payload.len > 0 && q->payload.at[0] == '!';
    q->payload.at += ends;
    q->payload.len -= ends;
    repeat(q);
    if (ends)
        exit(0);
    q->payload.at -= ends;
}

static int serve(const char *folder, bool talks)
{
    struct request q;
    while (hear_request(stdin, &q)) {
        if (talks) {
            parrot(&q);
        } else {
            keep_job(folder, q.id, &q.payload, &q.line);
            say_done(q.id);
        }
        free(q.line.at);
        free(q.payload.at);
    }
    free(q.line.at); /* getline's, of nothing */
    return 0;
}

void witness_main(int argc, char *const argv[])
{
    if (argc != 5 || strcmp(argv[1], WITNESS) != 0)
        return;
    const char *role = argv[2], *folder = argv[3];
    if (!strcmp(role, "keep"))
        exit(keep_one(folder));
    if (!strcmp(role, "shout"))
        exit(shout(atoi(argv[4])));
    exit(serve(folder, !strcmp(role, "parrot")));
}

/* What it was given -----------------------------------------------------------------------------
 */

static struct {
    char text[2048], line[2048];
    size_t line_len;
} command;

const char *witness_command(struct scene *s, const char *role, const char *word)
{
    char *self = realpath("/proc/self/exe", NULL), folder[96];
    assert_non_null(self);
    (void)snprintf(folder, sizeof folder, "%s/kept", s->folder);
    (void)mkdir(folder, 0700);
    const char *const words[] = {self, WITNESS, role, folder, word};
    size_t at = 0;
    command.line_len = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        at += (size_t)snprintf(command.text + at, sizeof command.text - at, "%s\"%s\"",
                               i ? ", " : "", words[i]);
        size_t n = strlen(words[i]) + 1;
        assert_true(at < sizeof command.text && command.line_len + n < sizeof command.line);
        memcpy(command.line + command.line_len, words[i], n);
        command.line_len += n;
    }
    free(self);
    return command.text;
}

const char *witness_line(size_t *ret_len)
{
    *ret_len = command.line_len;
    return command.line;
}

static char *take_file(struct scene *s, const char *id, const char *what, size_t *ret_len)
{
    char path[500];
    (void)snprintf(path, sizeof path, "%s/kept/%s.%s", s->folder, id, what);
    struct text t = read_file(path);
    *ret_len = t.len;
    return t.at;
}

struct kept *witness_kept(struct scene *s, size_t *ret_n)
{
    char path[96];
    struct kept *all = NULL;
    size_t n = 0;
    (void)snprintf(path, sizeof path, "%s/kept", s->folder);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (const struct dirent *f; (f = readdir(d));) {
        const char *end = strstr(f->d_name, ".payload");
        if (!end)
            continue;
        all = realloc(all, (n + 1) * sizeof *all);
        assert_non_null(all);
        struct kept *k = &all[n++];
        k->id = strndup(f->d_name, (size_t)(end - f->d_name));
        assert_non_null(k->id);
        k->payload = take_file(s, k->id, "payload", &k->payload_len);
        k->line = take_file(s, k->id, "line", &k->line_len);
        k->environment = take_file(s, k->id, "environment", &k->environment_len);
    }
    (void)closedir(d);
    *ret_n = n;
    return all;
}

void witness_free(struct kept *k, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(k[i].id);
        free(k[i].payload);
        free(k[i].line);
        free(k[i].environment);
    }
    free(k);
}

const char *witness_variable(const struct kept *k, const char *name)
{
    const char *found = NULL, *end = k->environment + k->environment_len;
    size_t n = strlen(name);
    for (const char *at = k->environment; at < end; at += strlen(at) + 1) {
        if (strncmp(at, name, n) != 0 || at[n] != '=')
            continue;
        if (found)
            fail_msg("%s is set twice", name);
        found = at + n + 1;
    }
    return found;
}
