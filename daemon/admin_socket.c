#include "daemon/admin_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

static int cannot(const char *what, const char *path, struct err *e)
{
    return err_set(e, -errno, "admin.socket: cannot %s '%s': %s", what, path, strerror(errno));
}

static int take_lock(struct admin_socket *s, const char *path, struct err *e)
{
    char file[sizeof(struct sockaddr_un) + 8];
    (void)snprintf(file, sizeof file, "%s.lock", path);
    s->lock = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock < 0)
        return cannot("open", file, e);
    if (flock(s->lock, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK)
        return cannot("lock", file, e);
    return err_set(e, -EADDRINUSE, "admin.socket: another daemon listens at '%s'", path);
}

/* Who holds the lock knows that nobody listens there. */
static int remove_stale(const char *path, struct err *e)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : cannot("look at", path, e);
    if (!S_ISSOCK(st.st_mode))
        return err_set(e, -EEXIST, "admin.socket: '%s' is there and is no socket: remove it", path);
    return unlink(path) < 0 ? cannot("remove", path, e) : 0;
}

/* The mode is that of fchmod less the umask, and never wider for a moment; then the group's part
 * that the umask took is given. */
static int listen_at(struct admin_socket *s, const char *path, struct err *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof a.sun_path)
        return err_set(e, -ENAMETOOLONG,
                       "admin.socket: '%s' is %zu bytes long, allowed are %zu for a socket", path,
                       strlen(path), sizeof a.sun_path - 1);
    memcpy(a.sun_path, path, strlen(path) + 1);
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0 || fchmod(s->fd, 0660) < 0)
        return cannot("make", path, e);
    if (bind(s->fd, (const struct sockaddr *)&a, sizeof a) < 0)
        return cannot("bind", path, e);
    if (chmod(path, 0660) < 0 || listen(s->fd, BACKLOG) < 0) {
        int r = cannot("listen at", path, e);
        (void)unlink(path);
        return r;
    }
    return 0;
}

static void drop(struct admin_socket *s)
{
    if (s->fd >= 0)
        (void)close(s->fd);
    if (s->lock >= 0)
        (void)close(s->lock);
    *s = (struct admin_socket){-1, -1};
}

int admin_socket_open(struct admin_socket *s, const char *path, struct err *e)
{
    *s = (struct admin_socket){-1, -1};
    int r = take_lock(s, path, e);
    if (r == 0)
        r = remove_stale(path, e);
    if (r == 0)
        r = listen_at(s, path, e);
    if (r < 0)
        drop(s);
    return r;
}

void admin_socket_close(struct admin_socket *s, const char *path)
{
    if (s->fd >= 0)
        (void)unlink(path); /* while the lock is held: nobody else's */
    drop(s);
}
