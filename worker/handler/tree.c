#include "worker/handler/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/callout.h"
#include "worker/runtime/process.h"

#define PATH_ROOM 64
#define CHUNK 4096
#define LOOKS_MAX 20

/* The list of this process's children, open from the first tree_adopt on: it is read at the end of
 * each tree, and opening it takes longer than reading it. -1: it is opened each time. */
static atomic_int children = -1;

static int open_children(void)
{
    char path[PATH_ROOM];
    (void)snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
    return open(path, O_RDONLY | O_CLOEXEC);
}

void tree_adopt(void)
{
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    int none = -1, fd = atomic_load(&children) < 0 ? open_children() : -1;
    if (fd >= 0 && !atomic_compare_exchange_strong(&children, &none, fd))
        (void)close(fd); /* another thread was first */
}

struct pids { /* a list that grows; without memory for it, what came so far */
    pid_t *at;
    size_t n, room;
};

static void put(struct pids *l, pid_t pid)
{
    if (l->n == l->room) {
        size_t room = l->room ? l->room * 2 : 64;
        pid_t *at = realloc(l->at, room * sizeof *at);
        if (!at)
            return;
        l->at = at;
        l->room = room;
    }
    l->at[l->n++] = pid;
}

/* Reading /proc ---------------------------------------------------------------------------------
 */

/* The numbers in a file, from its beginning, with blanks between them. -1: there is none. */
static void read_numbers(int fd, struct pids *to)
{
    char text[CHUNK];
    pid_t number = 0;
    bool digits = false;
    ssize_t n = 0;
    for (off_t at = 0; fd >= 0 && (n = pread(fd, text, sizeof text, at)) > 0; at += n)
        for (ssize_t i = 0; i < n; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                number = number * 10 + (text[i] - '0');
                digits = true;
            } else if (digits) {
                put(to, number);
                number = 0;
                digits = false;
            }
        }
}

/* The children of all threads. */
static void read_children(pid_t pid, struct pids *to)
{
    char path[PATH_ROOM + 2 * sizeof(((struct dirent *)0)->d_name)];
    (void)snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *threads = opendir(path);
    for (const struct dirent *d; threads && (d = readdir(threads));) {
        if (d->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "/proc/%d/task/%s/children", pid, d->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        read_numbers(fd, to);
        if (fd >= 0)
            (void)close(fd);
    }
    if (threads)
        (void)closedir(threads);
}

/* How much there is of a file, at most `size` bytes. */
static ssize_t read_some(pid_t pid, const char *name, char *to, size_t size)
{
    char path[PATH_ROOM];
    (void)snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, to, size);
    if (fd >= 0)
        (void)close(fd);
    return n;
}

struct status {
    char state; /* Z: it has ended */
    pid_t parent, group, session;
};

static bool read_status(pid_t pid, struct status *ret)
{
    char text[512];
    ssize_t n = read_some(pid, "stat", text, sizeof text - 1);
    text[n < 0 ? 0 : n] = '\0';
    const char *name_end = strrchr(text, ')'); /* the name may hold anything */
    return name_end && sscanf(name_end + 1, " %c %d %d %d", &ret->state, &ret->parent, &ret->group,
                              &ret->session) == 4;
}

/* The variable stands in its environment, whole. *ret_empty: it has none. */
static bool is_marked(pid_t pid, const char *mark, bool *ret_empty)
{
    char path[PATH_ROOM], text[CHUNK];
    size_t len = strlen(mark) + 1, at = 0; /* how much of it stands there; with its NUL */
    bool skip = false, found = false, any = false;
    (void)snprintf(path, sizeof path, "/proc/%d/environ", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = 0;
    for (; !found && fd >= 0 && (n = read(fd, text, sizeof text)) > 0; any = true)
        for (ssize_t i = 0; i < n && !found; i++) {
            if (!skip && text[i] == mark[at])
                found = ++at == len;
            else
                skip = true;
            if (!text[i]) {
                skip = false;
                at = 0;
            }
        }
    if (fd >= 0)
        (void)close(fd);
    *ret_empty = !any && n == 0;
    return found;
}

/* The tree --------------------------------------------------------------------------------------
 */

/* What this process has inherited: the children of its main thread but those it started itself. */
static void read_orphans(struct pids *to)
{
    int kept_open = atomic_load(&children), fd = kept_open < 0 ? open_children() : kept_open;
    read_numbers(fd, to);
    if (kept_open < 0 && fd >= 0)
        (void)close(fd);
    size_t kept = 0;
    for (size_t i = 0; i < to->n; i++)
        if (!process_is_known(to->at[i]))
            to->at[kept++] = to->at[i];
    to->n = kept;
}

/* Nobody else waits for it. False: it lives. */
static bool reap(pid_t pid, const struct status *s)
{
    siginfo_t i;
    if (s->state != 'Z' || s->parent != getpid())
        return false;
    (void)waitid(P_PID, (id_t)pid, &i, WEXITED | WNOHANG);
    return true;
}

/* *ret_unsure: in the middle of exec(2) a process has neither environment nor words, and does not
 * tell yet. */
static bool belongs(const struct tree *t, pid_t pid, const struct status *s, bool *ret_unsure)
{
    char one;
    bool empty;
    if (s->session == t->leader || s->group == t->leader || is_marked(pid, t->mark, &empty))
        return true;
    if (!empty)
        return false;
    if (read_some(pid, "cmdline", &one, 1) != 0)
        return is_marked(pid, t->mark, &empty); /* what it has now it keeps */
    *ret_unsure = true;
    return false;
}

/* Adds what is new. */
static void join(const struct tree *t, const struct pids *inside, struct pids *to)
{
    size_t known = to->n;
    for (size_t i = 0; i < inside->n; i++) {
        bool is_new = inside->at[i] != t->leader;
        for (size_t k = 0; k < known && is_new; k++)
            is_new = to->at[k] != inside->at[i];
        if (is_new)
            put(to, inside->at[i]);
    }
}

/* All that lives of it but the leader. True: this is not all that can be said, for orphans were
 * reaped, whose children may have become orphans just now, or one does not tell yet whose it is. */
static bool read_members(const struct tree *t, struct pids *to)
{
    struct pids inside = {0}, orphans = {0};
    struct status s;
    bool unsure = false;
    if (t->cgroup) /* first: what of it ends from here on is found below, or by its state */
        read_numbers(t->cgroup->members, &inside);
    read_orphans(&orphans);
    for (size_t i = 0; i < orphans.n; i++) {
        pid_t pid = orphans.at[i];
        if (!read_status(pid, &s))
            continue;
        if (reap(pid, &s))
            unsure = true;
        else if (belongs(t, pid, &s, &unsure))
            put(to, pid);
    }
    free(orphans.at);
    if (!t->ended)
        read_children(t->leader, to);
    for (size_t i = 0; i < to->n; i++)
        read_children(to->at[i], to);
    join(t, &inside, to);
    free(inside.at);
    return unsure;
}

static void reap_now(void *arg)
{
    bool *left = arg;
    struct pids orphans = {0};
    struct status s;
    read_orphans(&orphans);
    for (size_t i = 0; i < orphans.n; i++)
        if (read_status(orphans.at[i], &s) && !reap(orphans.at[i], &s))
            *left = true;
    free(orphans.at);
}

bool tree_reap(void)
{
    bool left = false;
    callout(reap_now, &left);
    return left;
}

struct look {
    const struct tree *tree;
    int signal; /* 0: only a look */
    unsigned found;
};

/* True: another look will tell more. */
static bool look_once(struct look *l)
{
    struct pids members = {0};
    struct status s;
    bool unsure = read_members(l->tree, &members);
    for (size_t i = 0; i < members.n; i++) {
        pid_t pid = members.at[i];
        if (!read_status(pid, &s) || s.state == 'Z' || s.state == 'X') {
            unsure = true;
            continue;
        }
        l->found++;
        if (l->signal && s.group != l->tree->leader)
            (void)kill(pid, l->signal);
    }
    free(members.at);
    return unsure;
}

static void look_now(void *arg)
{
    struct look *l = arg;
    int left = LOOKS_MAX;
    while (left > 0 && look_once(l) && l->found == 0)
        left--;
    l->found += left == 0; /* who knows */
}

bool tree_is_left(const struct tree *t)
{
    struct look l = {.tree = t};
    callout(look_now, &l);
    return l.found > 0;
}

unsigned tree_signal(const struct tree *t, int signal)
{
    struct look l = {.tree = t, .signal = signal};
    /* All of the group at once: none of it can fork away. It has no group before it has begun. */
    if (kill(-t->leader, signal) < 0 && errno == ESRCH)
        (void)kill(t->leader, signal);
    if (t->cgroup && signal == SIGKILL)
        (void)cgroup_kill(t->cgroup);
    callout(look_now, &l);
    return l.found;
}
