/* The pool's side. An executor's threads do the waiting: each has one child of its own, sends it a
 * request and reads the answer. A thread that waits for its child watches the ends of all others
 * too, so that a call does not outlive the pool. */
#include "worker/runtime/process_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/runtime/child.h"
#include "worker/runtime/executor_work.h"
#include "worker/runtime/process_frame.h"

#define LEAVE_MS 30000 /* for a child to end by itself once its pool has ended */

struct member { /* a child, its thread's alone */
    struct child child;
    int fd; /* our end of its socket */
};

struct process_pool {
    struct executor *executor; /* borrowed: it frees this */
    atomic_bool broken;
    int alarm; /* an eventfd: readable once the pool is broken */
    int ends;  /* an epoll of it and all members' pidfds: readable once one has ended by itself */
    _Atomic uint64_t numbers;
};

static _Thread_local struct member *mine; /* a pool's thread belongs to one pool */

struct request { /* a call on its way: what is sent lies behind it */
    struct process_pool *pool;
    size_t size;
    struct process_request head; /* the first of `size` bytes */
    char rest[];
};

static const char died_in_call[] = "A process in the process pool was terminated abruptly while "
                                   "the future was running or pending.";
static const char unusable[] = "A child process terminated abruptly, the process pool is not "
                               "usable anymore";

/* -- members -- */
static int set_files(posix_spawn_file_actions_t *f, int theirs)
{
    int r = posix_spawn_file_actions_adddup2(f, theirs, PROCESS_CHILD_FD);
    if (r == 0)
        r = posix_spawn_file_actions_addopen(f, 0, "/dev/null", O_RDONLY, 0);
    return r ? r : posix_spawn_file_actions_addclosefrom_np(f, PROCESS_CHILD_FD + 1);
}

static int spawn(struct child *c, int theirs)
{
    const char *const argv[] = {program_invocation_name, PROCESS_CHILD_WORD, NULL};
    posix_spawn_file_actions_t f;
    (void)posix_spawn_file_actions_init(&f); /* glibc's cannot fail */
    int r = -set_files(&f, theirs);
    if (r == 0)
        r = child_start(
            c, &(struct child_plan){.program = "/proc/self/exe", .argv = argv, .files = &f});
    (void)posix_spawn_file_actions_destroy(&f);
    return r;
}

static int poll_all(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    int r;
    do {
        r = poll(fds, count, timeout_ms);
    } while (r < 0 && errno == EINTR);
    return r;
}

/* Its end is no news from here on. */
static void member_free(struct process_pool *p, struct member *m)
{
    struct pollfd end = {.fd = m->child.pidfd, .events = POLLIN};
    (void)epoll_ctl(p->ends, EPOLL_CTL_DEL, m->child.pidfd, NULL);
    (void)close(m->fd); /* what tells it to end */
    if (poll_all(&end, 1, LEAVE_MS) <= 0)
        (void)child_signal(&m->child, SIGKILL);
    (void)child_reap(&m->child, true);
    (void)close(m->child.pidfd);
    free(m);
}

static int member_start(struct member *m)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    int r = spawn(&m->child, ends[1]);
    (void)close(ends[1]);
    if (r < 0)
        (void)close(ends[0]);
    m->fd = ends[0];
    return r;
}

static int watch(struct process_pool *p, int fd)
{
    struct epoll_event end = {.events = EPOLLIN};
    return epoll_ctl(p->ends, EPOLL_CTL_ADD, fd, &end) < 0 ? -errno : 0;
}

static int member_new(struct process_pool *p, struct member **ret_member)
{
    struct member *m = calloc(1, sizeof *m);
    int r = m ? member_start(m) : -ENOMEM;
    if (r < 0) {
        free(m);
        return r;
    }
    r = watch(p, m->child.pidfd);
    if (r < 0) {
        member_free(p, m);
        return r;
    }
    *ret_member = m;
    return 0;
}

/* -- the end of a pool -- */

/* Each thread that waits kills its child and fails its call; all fail what is queued, reap, end. */
static void break_pool(struct process_pool *p)
{
    atomic_store(&p->broken, true);
    (void)eventfd_write(p->alarm, 1);
    executor_shutdown(p->executor, false, false);
}

static bool one_has_ended(const struct process_pool *p)
{
    struct pollfd ends = {.fd = p->ends, .events = POLLIN};
    return poll_all(&ends, 1, 0) != 0;
}

static void leave(void *own)
{
    if (mine)
        member_free(own, mine);
    mine = NULL;
}

static void pool_free(void *own)
{
    struct process_pool *p = own;
    (void)close(p->alarm);
    (void)close(p->ends);
    free(p);
}

static const struct executor_kind processes = {leave, pool_free};

/* -- a call, on a thread of the pool. False: no more is to be had from this child -- */

/* Waits until the socket is ready; false: it is not, and the pool is broken or a child has ended.
 */
static bool await_socket(const struct process_pool *p, short events, short *ret_events)
{
    struct pollfd fds[] = {{.fd = mine->fd, .events = events}, {.fd = p->ends, .events = POLLIN}};
    if (poll_all(fds, 2, -1) < 0)
        return false;
    *ret_events = fds[0].revents;
    return fds[0].revents;
}

static bool send_request(struct request *q)
{
    const char *at = (const char *)&q->head;
    short events = 0;
    for (size_t left = q->size; left > 0;) {
        ssize_t n = send(mine->fd, at, left, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0) {
            at += n;
            left -= (size_t)n;
        } else if (errno == EAGAIN) {
            if (!await_socket(q->pool, POLLIN | POLLOUT, &events) || events & POLLIN)
                return false; /* what it says now is no answer */
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

static bool read_all(const struct process_pool *p, void *to, size_t len)
{
    short events;
    for (char *at = to; len > 0;) {
        ssize_t n = recv(mine->fd, at, len, MSG_DONTWAIT);
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            return false;
        } else if (errno == EAGAIN && !await_socket(p, POLLIN, &events)) {
            return false;
        }
    }
    return true;
}

static bool read_away(const struct process_pool *p, size_t len)
{
    char scratch[4096];
    for (size_t n; len > 0; len -= n) {
        n = len < sizeof scratch ? len : sizeof scratch;
        if (!read_all(p, scratch, n))
            return false;
    }
    return true;
}

static bool read_error(const struct process_pool *p, const struct process_answer *a, struct err *e)
{
    if (a->len >= sizeof e->text || !read_all(p, e->text, a->len))
        return false;
    e->text[a->len] = 0;
    e->code = a->code;
    return true;
}

/* *ret_result stays NULL, with *e set, where there is no memory for it. */
static bool read_result(const struct process_pool *p, const struct process_answer *a,
                        void **ret_result, struct err *e)
{
    if (a->len > PROCESS_BYTES_MAX)
        return false;
    struct process_bytes *b = malloc(sizeof *b + a->len + 1);
    if (!b) {
        (void)err_set(e, -ENOMEM, "no memory for a result of %zu bytes", (size_t)a->len);
        return read_away(p, a->len);
    }
    if (!read_all(p, b->data, a->len)) {
        free(b);
        return false;
    }
    b->len = a->len;
    b->data[b->len] = 0;
    *ret_result = b;
    return true;
}

static bool exchange(struct request *q, void **ret_result, struct err *e)
{
    struct process_answer a;
    if (!send_request(q) || !read_all(q->pool, &a, sizeof a) || a.magic != PROCESS_ANSWER ||
        a.number != q->head.number || a.code > 0)
        return false;
    return a.code < 0 ? read_error(q->pool, &a, e) : read_result(q->pool, &a, ret_result, e);
}

static int provide_child(struct process_pool *p, struct err *e)
{
    int r = mine ? 0 : member_new(p, &mine);
    return r < 0 ? err_set(e, r, "no process can be started: %s", error_sentence(r)) : 0;
}

static int run_request(void *arg, void **ret_result, struct err *e)
{
    struct request *q = arg;
    if (atomic_load(&q->pool->broken))
        return err_set(e, ERROR_BROKEN_POOL, died_in_call);
    int r = provide_child(q->pool, e);
    if (r < 0)
        return r;
    e->code = 0;
    if (exchange(q, ret_result, e))
        return e->code;
    break_pool(q->pool);
    (void)child_signal(&mine->child, SIGKILL);
    return err_set(e, ERROR_BROKEN_POOL, died_in_call);
}

/* -- the loop's side -- */
_Static_assert(offsetof(struct request, rest) ==
                   offsetof(struct request, head) + sizeof(struct process_request),
               "head and rest are sent as one");

static struct request *request_new(struct process_pool *p, const char *name, const void *arg,
                                   size_t len)
{
    size_t name_len = strlen(name);
    struct request *q = malloc(sizeof *q + name_len + len);
    if (!q)
        return NULL;
    q->pool = p;
    q->size = sizeof q->head + name_len + len;
    q->head = (struct process_request){.magic = PROCESS_REQUEST,
                                       .name_len = (uint32_t)name_len,
                                       .number = atomic_fetch_add(&p->numbers, 1),
                                       .len = len};
    char *at = mempcpy(q->rest, name, name_len);
    if (len > 0)
        memcpy(at, arg, len);
    return q;
}

static int check_call(struct process_pool *p, const char *name, size_t len, struct err *e)
{
    if (!p)
        return err_set(e, ERROR_TYPE, "the executor must be a pool of processes");
    if (strlen(name) > PROCESS_NAME_MAX || !process_function_find(name))
        return err_set(e, -EINVAL, "no function '%s' is registered", name);
    if (len > PROCESS_BYTES_MAX)
        return err_set(e, -EMSGSIZE, "an argument of %zu bytes is more than the limit of %zu", len,
                       PROCESS_BYTES_MAX);
    if (!atomic_load(&p->broken) && one_has_ended(p))
        break_pool(p);
    return atomic_load(&p->broken) ? err_set(e, ERROR_BROKEN_POOL, unusable) : 0;
}

struct future *run_in_process(struct executor *x, const char *name, const void *arg, size_t len,
                              struct err *e)
{
    GIVEN(name);
    if (len > 0)
        GIVEN(arg);
    struct process_pool *p = x ? executor_own(x, &processes) : NULL;
    int r = check_call(p, name, len, e);
    struct request *q = r == 0 ? request_new(p, name, arg, len) : NULL;
    if (q) {
        struct executor_job job = {
            .fn = run_request, .arg = q, .free_arg = free, .free_result = free};
        struct future *f = executor_call(loop_running(), x, &job, e);
        if (f || errno != -ERROR_RUNTIME || !atomic_load(&p->broken))
            return f;
        r = err_set(e, ERROR_BROKEN_POOL, unusable); /* meanwhile */
    }
    errno = -(r < 0 ? r : error_set(e, -ENOMEM));
    return NULL;
}

static struct process_pool *pool_new(void)
{
    struct process_pool *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->ends = epoll_create1(EPOLL_CLOEXEC);
    p->alarm = p->ends < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = p->alarm < 0 ? -errno : watch(p, p->alarm);
    if (r == 0)
        return p;
    pool_free(p);
    errno = -r;
    return NULL;
}

struct executor *executor_new_processes(unsigned max_processes)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    if (!process_function_table()) {
        errno = -ERROR_RUNTIME;
        return NULL;
    }
    struct process_pool *p = pool_new();
    if (!p)
        return NULL;
    unsigned max = max_processes ? max_processes : cpus < 1 ? 1 : (unsigned)cpus;
    p->executor = executor_new_kind(max, &processes, p);
    if (p->executor)
        return p->executor;
    pool_free(p);
    errno = ENOMEM;
    return NULL;
}
