#include "worker/runtime/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/callout.h"
#include "worker/runtime/child.h"
#include "worker/runtime/child_clone.h"
#include "worker/runtime/internal.h"
#include "worker/runtime/io.h"
#include "worker/runtime/watch_fd.h"

struct process {
    struct loop *loop; /* shared; NULL: it has left one, and is in no other yet */
    struct nursery *nursery;
    struct child child;
    int pipes[PROCESS_PIPES]; /* this program's ends; -1: none */
    bool waiting;             /* a task is in process_wait */
    bool freed;               /* in the nursery */
    struct process *next;     /* in the nursery, once its owner has freed it */
};

struct nursery { /* a part of the loop: killed children that have not ended yet */
    struct loop_part part;
    struct process *first;
};

static void close_fd(const struct process *p, int fd)
{
    if (p->loop)
        io_close(p->loop, fd);
    else if (fd >= 0)
        (void)close(fd);
}

static void discard(struct process *p)
{
    for (int n = 0; n < PROCESS_PIPES; n++)
        close_fd(p, p->pipes[n]);
    close_fd(p, p->child.pidfd);
    loop_unref(p->loop);
    free(p);
}

static void sweep(struct nursery *n)
{
    for (struct process **at = &n->first, *p = *at; p; p = *at) {
        if (!p->waiting && child_reap(&p->child, false)) {
            *at = p->next;
            discard(p);
        } else {
            at = &p->next;
        }
    }
}

static void on_orphan_end(void *nursery)
{
    sweep(nursery);
}

/* In the nursery, where nobody waits any more. Without memory to watch it, the next one's end or
 * the loop's comes by. */
static void look_after(struct process *p)
{
    struct nursery *n = p->nursery;
    if (!p->child.reaped)
        (void)loop_add_reader(p->loop, p->child.pidfd, on_orphan_end, n, NULL);
    sweep(n);
}

static int end_nursery(struct loop_part *part, struct err *e)
{
    struct nursery *n = CONTAINER_OF(part, struct nursery, part);
    int r = 0;
    for (sweep(n); n->first && r == 0; sweep(n)) /* killed: as long as the kernel needs */
        r = task_sleep(1);
    return r < 0 ? error_set(e, r) : 0;
}

static void close_nursery(struct loop_part *part)
{
    struct nursery *n = CONTAINER_OF(part, struct nursery, part);
    while (n->first) {
        struct process *p = n->first;
        n->first = p->next;
        (void)child_reap(&p->child, true);
        discard(p);
    }
    free(n);
}

static struct nursery *nursery_of(struct loop *l)
{
    struct loop_part *part = l->parts;
    while (part && part->close != close_nursery)
        part = part->next;
    if (part)
        return CONTAINER_OF(part, struct nursery, part);
    struct nursery *n = calloc(1, sizeof *n);
    if (!n)
        return NULL;
    n->part = (struct loop_part){.shutdown = end_nursery, .close = close_nursery};
    loop_add_part(l, &n->part);
    return n;
}

struct spawning {
    struct process *process;
    const struct process_options *options;
    int theirs[PROCESS_PIPES]; /* the child's ends; -1: none */
    int code;
};

/* The first descriptor that is neither a standard one nor one of its pipes. */
static int first_beyond(const struct spawning *s)
{
    int n = PROCESS_PIPES;
    while (n > STDERR_FILENO + 1 && s->theirs[n - 1] < 0)
        n--;
    return n;
}

static int set_actions(posix_spawn_file_actions_t *f, const struct spawning *s)
{
    int r = 0, beyond = first_beyond(s);
    for (int n = 0; n < PROCESS_PIPES && r == 0; n++)
        if (s->theirs[n] >= 0)
            r = posix_spawn_file_actions_adddup2(f, s->theirs[n], n);
        else if (s->options->alone && n > STDERR_FILENO && n < beyond)
            r = posix_spawn_file_actions_addclose(f, n); /* one that is not open will do */
    if (r == 0 && s->options->alone)
        r = posix_spawn_file_actions_addclosefrom_np(f, beyond);
    if (r == 0 && s->options->directory)
        r = posix_spawn_file_actions_addchdir_np(f, s->options->directory);
    return r;
}

static int spawn_by_clone(struct spawning *s, const char *program)
{
    const struct process_options *o = s->options;
    struct child_clone plan = {.file = program,
                               .argv = (char *const *)(void *)o->argv,
                               .envp = o->envp ? (char *const *)(void *)o->envp : environ,
                               .ends = s->theirs,
                               .nends = PROCESS_PIPES,
                               .close_from = o->alone ? first_beyond(s) : -1,
                               .directory = o->directory,
                               .session = o->session,
                               .cgroup = o->cgroup,
                               .early = o->early};
    return child_start_by_clone(&s->process->child, &plan);
}

static int spawn_plainly(struct spawning *s, const char *program)
{
    const struct process_options *o = s->options;
    posix_spawn_file_actions_t f;
    struct child_plan plan = {
        .program = program, .argv = o->argv, .envp = o->envp, .files = &f, .session = o->session};
    (void)posix_spawn_file_actions_init(&f); /* glibc's cannot fail */
    int r = -set_actions(&f, s);
    if (r == 0)
        r = child_start(&s->process->child, &plan);
    (void)posix_spawn_file_actions_destroy(&f);
    return r;
}

static void spawn_now(void *arg)
{
    struct spawning *s = arg;
    const char *program = s->options->program ? s->options->program : s->options->argv[0];
    bool by_clone = (s->options->cgroup || s->options->early) && strchr(program, '/');
    s->code = by_clone ? spawn_by_clone(s, program) : -ENOSYS;
    if (s->code == -ENOSYS)
        s->code = spawn_plainly(s, program);
}

/* What is dup'ed onto a low number must not be in the way of another: a program that was started
 * without its three standard descriptors gets pipes there. */
static int move_up(int *fd)
{
    if (*fd >= PROCESS_PIPES)
        return 0;
    int up = fcntl(*fd, F_DUPFD_CLOEXEC, PROCESS_PIPES);
    if (up < 0)
        return -errno;
    (void)close(*fd);
    *fd = up;
    return 0;
}

static int open_pipes(struct spawning *s)
{
    for (int n = 0; n < PROCESS_PIPES; n++) {
        int ends[2];
        if (!(s->options->pipes & PROCESS_PIPE(n)))
            continue;
        if (pipe2(ends, O_CLOEXEC) < 0)
            return -errno;
        s->theirs[n] = ends[n == 0 ? 0 : 1];
        s->process->pipes[n] = ends[n == 0 ? 1 : 0];
        int r = move_up(&s->theirs[n]);
        if (r < 0)
            return r;
        if (fcntl(s->process->pipes[n], F_SETFL, O_NONBLOCK) < 0)
            return -errno;
    }
    return 0;
}

static int start(struct spawning *s)
{
    s->code = open_pipes(s);
    if (s->code == 0)
        callout(spawn_now, s);
    for (int n = 0; n < PROCESS_PIPES; n++)
        if (s->theirs[n] >= 0)
            (void)close(s->theirs[n]);
    return s->code;
}

static struct process *process_new(struct loop *l)
{
    struct nursery *n = nursery_of(l);
    struct process *p = n ? malloc(sizeof *p) : NULL;
    if (p)
        *p = (struct process){.loop = loop_ref(l),
                              .nursery = n,
                              .child = {.pidfd = -1},
                              .pipes = {-1, -1, -1, -1, -1}};
    return p;
}

struct process *process_start(const struct process_options *o, struct err *e)
{
    GIVEN(o);
    GIVEN(o->argv);
    if (!o->argv[0]) {
        errno = -err_set(e, -EINVAL, "cannot start a program without a name");
        return NULL;
    }
    struct loop *l = loop_running();
    struct spawning s = {.options = o, .theirs = {-1, -1, -1, -1, -1}};
    s.process = l ? process_new(l) : NULL;
    int r = s.process ? start(&s) : l ? -ENOMEM : ERROR_NO_LOOP;
    if (r == 0)
        return s.process;
    if (s.process)
        discard(s.process);
    if (l)
        (void)err_set(e, r, "cannot start '%s': %s", o->argv[0], error_sentence(r));
    else
        (void)error_set(e, r);
    errno = -r;
    return NULL;
}

struct process *process_spawn(const char *const argv[], const char *const envp[], unsigned pipes,
                              struct err *e)
{
    GIVEN(argv);
    return process_start(&(struct process_options){.argv = argv, .envp = envp, .pipes = pipes}, e);
}

static void check_thread(const struct process *p, const char *function)
{
    if (p->loop)
        loop_check_thread(p->loop, function);
}

struct process *process_free(struct process *p)
{
    int saved = errno;
    if (!p)
        return NULL;
    check_thread(p, __func__);
    bool gone = !p->loop || loop_is_closed(p->loop); /* no loop is left that could be kept */
    (void)process_signal(p, SIGKILL);
    if (gone)
        (void)child_reap(&p->child, true);
    bool left = !p->waiting || gone; /* a closed loop's tasks never go on */
    if (left && (child_reap(&p->child, false) || gone)) {
        discard(p);
    } else {
        p->freed = true;
        p->next = p->nursery->first;
        p->nursery->first = p;
        if (left)
            look_after(p);
    }
    errno = saved;
    return NULL;
}

pid_t process_pid(const struct process *p)
{
    GIVEN(p);
    return p->child.pid;
}

int process_take_pipe(struct process *p, int number)
{
    GIVEN(p);
    loop_check_thread(p->loop, __func__);
    if (number < 0 || number >= PROCESS_PIPES)
        return -1;
    int fd = p->pipes[number];
    p->pipes[number] = -1;
    return fd;
}

int process_signal(struct process *p, int signal)
{
    GIVEN(p);
    check_thread(p, __func__);
    int saved = errno;
    int r = child_signal(&p->child, signal);
    errno = saved;
    return r;
}

static int begin_waiting(struct process *p, struct err *e)
{
    if (p->waiting)
        return err_set(e, ERROR_RUNTIME, "another task waits for the process already");
    p->waiting = true;
    return 0;
}

static void end_waiting(struct process *p, int saved_errno)
{
    p->waiting = false;
    if (p->freed)
        look_after(p);
    errno = saved_errno;
}

int process_wait(struct process *p, int64_t deadline_ms, int *ret_status, struct err *e)
{
    GIVEN(p);
    GIVEN(ret_status);
    loop_check_thread(p->loop, __func__);
    int saved = errno;
    int r = begin_waiting(p, e);
    if (r < 0)
        return r;
    while (r == 0 && !child_reap(&p->child, false))
        r = io_wait_readable(p->child.pidfd, deadline_ms, e);
    if (r == 0)
        *ret_status = p->child.status;
    else if (r == -ECANCELED || r == -ETIMEDOUT)
        (void)process_signal(p, SIGKILL);
    end_waiting(p, saved);
    return r;
}

int process_await_end(struct process *p, int64_t deadline_ms, struct err *e)
{
    GIVEN(p);
    loop_check_thread(p->loop, __func__);
    int saved = errno;
    int r = begin_waiting(p, e);
    if (r < 0)
        return r;
    if (!child_has_ended(&p->child))
        r = io_wait_readable(p->child.pidfd, deadline_ms, e);
    end_waiting(p, saved);
    return r;
}

bool process_has_ended(const struct process *p)
{
    GIVEN(p);
    loop_check_thread(p->loop, __func__);
    return child_has_ended(&p->child);
}

int process_failed(const struct process *p)
{
    GIVEN(p);
    return p->child.failed;
}

void process_leave(struct process *p)
{
    GIVEN(p);
    loop_check_thread(p->loop, __func__);
    if (p->waiting)
        error_fatal("process_leave: a task waits for the process");
    (void)loop_remove_reader(p->loop, p->child.pidfd);
    loop_unref(p->loop);
    p->loop = NULL;
    p->nursery = NULL;
}

int process_join(struct process *p, struct err *e)
{
    GIVEN(p);
    struct loop *l = loop_running();
    if (p->loop)
        error_fatal("process_join: the process belongs to a loop already");
    if (!l)
        return error_set(e, ERROR_NO_LOOP);
    p->nursery = nursery_of(l);
    if (!p->nursery)
        return error_set(e, -ENOMEM);
    p->loop = loop_ref(l);
    return 0;
}

int process_pidfd(const struct process *p)
{
    GIVEN(p);
    return p->child.pidfd;
}

bool process_begins_in_cgroups(void)
{
    return child_clone_works();
}

bool process_is_known(pid_t pid)
{
    return child_is_known(pid);
}

void process_kill_all(void)
{
    child_kill_all();
}
