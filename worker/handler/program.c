#include "worker/handler/program.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/callout.h"
#include "common/clock.h"
#include "common/log.h"
#include "worker/handler/cgroup.h"
#include "worker/handler/environment.h"
#include "worker/handler/launch.h"
#include "worker/handler/program_path.h"
#include "worker/handler/tree.h"
#include "worker/runtime/io.h"
#include "worker/runtime/task.h"

#define LAUNCH_MS 30000 /* for the launcher to become the program */
#define KILL_MS 3000    /* after KILL: as long as the kernel needs, and no longer */
#define LOOK_FIRST_MS 1 /* between two looks at what is left */
#define LOOK_MAX_MS 50

struct program {
    const struct conf_queue *queue; /* borrowed */
    const char **environment;       /* with room for PROGRAM_ENV_MAX more */
    size_t nenvironment;
    const char *path; /* borrowed: where a command without a slash is looked for */
    char **words;     /* the launcher's; NULL: it is not needed */
    size_t nwords;
    const char **argv;       /* the launcher's words, places of cgroup and file, the command */
    bool clones;             /* it may begin in a cgroup, and early */
    bool joins;              /* the launcher joins the cgroup */
    struct cgroups *cgroups; /* NULL: there are none */
    char launcher[PATH_MAX];
};

struct running {
    struct program *program; /* borrowed */
    struct process *process;
    struct tree tree;
    struct cgroup *cgroup; /* NULL: none */
    bool over;             /* nothing of it lives, or running_end has seen to it */
};

/* How it is started -----------------------------------------------------------------------------
 */

static size_t count(char *const *texts)
{
    size_t n = 0;
    while (texts[n])
        n++;
    return n;
}

/* The cgroups, and how a program comes into one. */
static void find_cgroups(struct program *p)
{
    char root[PATH_MAX];
    bool launcher = launch_path(p->launcher) == 0;
    p->cgroups = cgroups_root(root) ? cgroups_new(root) : NULL;
    p->clones = process_begins_in_cgroups();
    p->joins = p->cgroups && !p->clones;
    if (p->joins && !launcher) {
        p->cgroups = cgroups_free(p->cgroups);
        p->joins = false;
    }
    log_debug("program-ready", "queue='%s' cgroup=%s by=%s", p->queue->label,
              p->cgroups ? root : "none", p->joins ? "launcher" : "clone");
}

static bool build_argv(struct program *p)
{
    const struct conf_handler *h = &p->queue->handler;
    size_t n = count(h->command), at = 0;
    if (launch_needed(h) || p->joins) {
        p->words = launch_words(h, &p->nwords);
        if (!p->words)
            return false;
    }
    p->argv = calloc(p->nwords + n + 3, sizeof *p->argv);
    if (!p->argv)
        return false;
    for (; at < p->nwords; at++)
        p->argv[at] = p->words[at];
    at += p->words ? 2 : 0; /* cgroup and file, at each start */
    for (size_t i = 0; i < n; i++)
        p->argv[at++] = h->command[i];
    return true;
}

struct program *program_new(const struct conf_queue *queue, struct err *e)
{
    struct program *p = calloc(1, sizeof *p);
    if (p) {
        p->queue = queue;
        p->environment =
            environment_new(environ, queue->handler.env, PROGRAM_ENV_MAX, &p->nenvironment);
        find_cgroups(p);
    }
    if (!p || !p->environment || !build_argv(p)) {
        (void)err_set(e, -ENOMEM, "no memory for the program of the queue %s", queue->name);
        return program_free(p);
    }
    p->path = environment_get(p->environment, "PATH");
    tree_adopt();
    return p;
}

struct program *program_free(struct program *p)
{
    if (!p)
        return NULL;
    free(p->environment);
    free(p->argv);
    (void)launch_free(p->words, p->nwords);
    (void)cgroups_free(p->cgroups);
    free(p);
    return NULL;
}

/* Starting --------------------------------------------------------------------------------------
 */

/* The launcher's last words; nothing where it has become the program. */
static int read_answer(int fd, struct err *e)
{
    char text[LAUNCH_ANSWER_MAX + 1];
    size_t len = 0;
    ssize_t n;
    int64_t by = clock_now_ms() + LAUNCH_MS;
    do {
        n = io_read(fd, text + len, LAUNCH_ANSWER_MAX - len, by, e);
        len += n > 0 ? (size_t)n : 0;
    } while (n > 0 && len < LAUNCH_ANSWER_MAX);
    if (n < 0)
        return (int)n;
    text[len] = '\0';
    char *sentence = text;
    long code = strtol(text, &sentence, 10);
    if (len == 0)
        return 0;
    return err_set(e, code > 0 && code < 4096 ? -(int)code : -EINVAL, "%s",
                   sentence + (*sentence == ' '));
}

static int await_launch(struct running *r, struct err *e)
{
    int fd = process_take_pipe(r->process, LAUNCH_PIPE);
    int code = read_answer(fd, e);
    io_close(loop_running(), fd);
    return code;
}

struct start {
    struct running *running;
    const char *const *env;
    unsigned pipes;
    bool early;
    const char *file;
    struct err *e;
};

struct failure {
    const struct program *program;
    int code;
    struct err *e;
};

/* What the system's one number leaves open. */
static void explain(void *arg)
{
    const struct failure *f = arg;
    const struct conf_handler *h = &f->program->queue->handler;
    char room[PATH_MAX];
    const char *file = program_path_find(h->command[0], f->program->path, room);
    struct stat st;
    if (err_is_shortage(f->code))
        (void)err_set(f->e, f->code, "%s", strerror(-f->code));
    else if (*h->cwd && stat(h->cwd, &st) < 0)
        (void)err_set(f->e, -errno, "its directory '%s': %s", h->cwd, strerror(errno));
    else if (program_path_check(file, h->cwd, f->e) == 0)
        (void)err_set(f->e, f->code, "%s", strerror(-f->code));
    (void)err_prefix(f->e, "cannot start '%s'", h->command[0]);
}

static int not_started(const struct program *p, int code, struct err *e)
{
    struct failure f = {.program = p, .code = code, .e = e};
    callout(explain, &f);
    return code;
}

static int start_it(const struct start *s)
{
    struct program *p = s->running->program;
    const struct conf_handler *h = &p->queue->handler;
    const char *cgroup = s->running->cgroup ? s->running->cgroup->path : NULL;
    struct process_options o = {.program = p->words ? p->launcher : s->file,
                                .argv = p->argv,
                                .envp = p->environment,
                                .pipes = s->pipes | (p->words ? PROCESS_PIPE(LAUNCH_PIPE) : 0),
                                .directory = *h->cwd ? h->cwd : NULL,
                                .session = true,
                                .alone = true,
                                .cgroup = p->joins || !cgroup ? 0 : s->running->cgroup->directory,
                                .early = s->early && p->clones};
    size_t n = p->nenvironment;
    for (size_t i = 0; s->env[i]; i++) {
        assert(i < PROGRAM_ENV_MAX);
        p->environment[n++] = s->env[i];
    }
    p->environment[n] = NULL;
    if (p->words) {
        p->argv[p->nwords] = p->joins && cgroup ? cgroup : "";
        p->argv[p->nwords + 1] = s->file;
    }
    s->running->process = process_start(&o, s->e);
    return s->running->process ? 0 : not_started(p, -errno, s->e);
}

int running_start(struct program *p, const char *const env[], unsigned pipes, bool early,
                  struct running **ret_running, struct err *e)
{
    char *file = malloc(PATH_MAX);
    struct running *r = calloc(1, sizeof *r);
    if (!file || !r) {
        free(file);
        free(r);
        return err_set(e, -ENOMEM, "no memory to start a program");
    }
    r->program = p;
    struct start s = {.running = r,
                      .env = env,
                      .pipes = pipes,
                      .early = early,
                      .file = program_path_find(p->queue->handler.command[0], p->path, file),
                      .e = e};
    int code = cgroup_take(p->cgroups, &r->cgroup);
    code = code < 0 ? not_started(p, code, e) : start_it(&s);
    if (code == 0) {
        r->tree =
            (struct tree){.leader = process_pid(r->process), .mark = env[0], .cgroup = r->cgroup};
        code = p->words ? await_launch(r, e) : 0;
    }
    if (code < 0)
        (void)running_free(r);
    else
        *ret_running = r;
    free(file); /* what was killed before it began may read it until then */
    return code;
}

int running_failed(const struct running *r, struct err *e)
{
    int code = process_failed(r->process);
    return code ? not_started(r->program, code, e) : 0;
}

struct process *running_process(struct running *r)
{
    return r->process;
}

int running_await_end(struct running *r, int64_t deadline_ms, struct err *e)
{
    return process_await_end(r->process, deadline_ms, e);
}

void running_leave(struct running *r)
{
    process_leave(r->process);
    r->program = NULL;
}

int running_join(struct running *r, struct program *p, struct err *e)
{
    int code = process_join(r->process, e);
    if (code == 0)
        r->program = p;
    return code;
}

void running_signal(struct running *r, int signal)
{
    (void)tree_signal(&r->tree, signal);
}

struct running *running_free(struct running *r)
{
    if (!r)
        return NULL;
    if (r->process && !r->over)
        (void)tree_signal(&r->tree, SIGKILL);
    (void)process_free(r->process);
    cgroup_give(r->program ? r->program->cgroups : NULL, r->cgroup);
    free(r);
    return NULL;
}

/* Ending ----------------------------------------------------------------------------------------
 */

static bool hurried(const atomic_bool *at_once)
{
    return at_once && atomic_load(at_once);
}

/* Until nothing of it lives, or the deadline. -ETIMEDOUT, -ECANCELED, -ENOMEM. */
static int await_all(struct running *r, int64_t deadline_ms)
{
    int code = process_await_end(r->process, deadline_ms, NULL);
    r->tree.ended = code == 0;
    for (int64_t pause_ms = LOOK_FIRST_MS; code == 0 && tree_is_left(&r->tree); pause_ms *= 2) {
        if (clock_now_ms() >= deadline_ms)
            return -ETIMEDOUT;
        code = task_sleep(pause_ms < LOOK_MAX_MS ? pause_ms : LOOK_MAX_MS);
    }
    return code;
}

/* What forks faster than it is killed is killed again. */
static int kill_all(struct running *r)
{
    int64_t by = clock_now_ms() + KILL_MS;
    int code;
    do {
        (void)tree_signal(&r->tree, SIGKILL);
        int64_t step = clock_now_ms() + LOOK_MAX_MS;
        code = await_all(r, step < by ? step : by);
    } while (code == -ECANCELED || (code == -ETIMEDOUT && clock_now_ms() < by));
    return code;
}

/* It has ended, or was killed: what the kernel cannot end now is left to the loop. */
static int status_of(struct running *r)
{
    int status = -SIGKILL;
    int code;
    do {
        code = process_wait(r->process, clock_now_ms() + LOOK_MAX_MS, &status, NULL);
    } while (code == -ECANCELED);
    return code == 0 ? status : -SIGKILL;
}

bool running_has_ended(struct running *r)
{
    if (!r->over) {
        r->tree.ended = process_has_ended(r->process);
        r->over = r->tree.ended && !tree_is_left(&r->tree);
    }
    return r->over;
}

int running_end(struct running *r, const atomic_bool *at_once)
{
    int64_t grace_ms = hurried(at_once) ? 0 : r->program->queue->handler.kill_grace_ms;
    int code = running_has_ended(r) ? 0 : -ETIMEDOUT;
    if (code < 0 && grace_ms > 0) {
        (void)tree_signal(&r->tree, SIGTERM);
        code = await_all(r, clock_now_ms() + grace_ms);
    }
    if (code < 0)
        code = kill_all(r);
    if (code < 0)
        log_warn("process-left", "queue='%s' pid=%d what='it does not end after KILL'",
                 r->program->queue->label, r->tree.leader);
    r->over = true;
    return status_of(r);
}
