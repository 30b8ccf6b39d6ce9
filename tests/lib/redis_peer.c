#include "tests/lib/redis_peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void hang_up(struct peer_conn *c)
{
    ev_io_stop(c->peer->loop, &c->io);
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
}

static void listen_for(struct peer_conn *c, int what)
{
    ev_io_stop(c->peer->loop, &c->io);
    ev_io_set(&c->io, c->fd, what);
    ev_io_start(c->peer->loop, &c->io);
}

static void speak(struct peer_conn *c)
{
    struct redis_peer *p = c->peer;
    while (c->left) {
        size_t part = p->piece && p->piece < c->left ? p->piece : c->left;
        ssize_t n = send(c->fd, c->say, part, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
            break;
        c->say += n;
        c->left -= (size_t)n;
        if (p->piece) /* a piece a turn */
            break;
    }
    if (c->left && (errno == EAGAIN || p->piece))
        listen_for(c, EV_READ | EV_WRITE);
    else if (c->left || (c->heard > 1 && p->close_after))
        hang_up(c);
    else
        listen_for(c, EV_READ);
}

static void begin_to_say(struct peer_conn *c)
{
    struct redis_peer *p = c->peer;
    c->heard++;
    p->heard++;
    if (c->heard == 1 && p->greeting) {
        c->say = p->greeting;
        c->left = strlen(p->greeting);
    } else if (c->heard == 2 && p->says) {
        c->say = p->says;
        c->left = p->says_len;
    }
}

static void on_conn(struct ev_loop *loop, ev_io *w, int revents)
{
    struct peer_conn *c = w->data;
    char in[65536];
    (void)loop;
    if (revents & EV_READ) {
        ssize_t n = recv(c->fd, in, sizeof in, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            hang_up(c);
            return;
        }
        if (n > 0 && !c->left)
            begin_to_say(c);
    }
    errno = 0;
    speak(c);
}

static void on_accept(struct ev_loop *loop, ev_io *w, int revents)
{
    struct redis_peer *p = w->data;
    (void)loop, (void)revents;
    int fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct peer_conn *c = &p->conns[p->connects % PEER_CONNS];
    if (fd < 0)
        return;
    p->connects++;
    if (p->slam) {
        (void)close(fd);
        return;
    }
    hang_up(c);
    c->fd = fd;
    c->heard = 0;
    c->left = 0;
    listen_for(c, EV_READ);
}

int redis_peer_open(struct redis_peer *p)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    *p = (struct redis_peer){.fd = -1};
    for (int i = 0; i < PEER_CONNS; i++) {
        p->conns[i].peer = p;
        p->conns[i].fd = -1;
        ev_init(&p->conns[i].io, on_conn);
        p->conns[i].io.data = &p->conns[i];
    }
    (void)snprintf(p->dir, sizeof p->dir, "/tmp/rpopd-peer.XXXXXX");
    if (!mkdtemp(p->dir))
        return -errno;
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s/s", p->dir);
    (void)snprintf(p->url, sizeof p->url, "unix://%s/s", p->dir);
    p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (p->fd < 0 || bind(p->fd, (struct sockaddr *)&a, sizeof a) || listen(p->fd, 64))
        return -errno;
    ev_io_init(&p->io, on_accept, p->fd, EV_READ);
    p->io.data = p;
    return 0;
}

void redis_peer_attach(struct redis_peer *p, struct ev_loop *loop)
{
    p->loop = loop;
    ev_io_start(loop, &p->io);
}

void redis_peer_hang_up(struct redis_peer *p)
{
    for (int i = 0; i < PEER_CONNS; i++)
        hang_up(&p->conns[i]);
}

void redis_peer_close(struct redis_peer *p)
{
    char path[80];
    if (p->loop) {
        ev_io_stop(p->loop, &p->io);
        redis_peer_hang_up(p);
    }
    if (p->fd >= 0)
        (void)close(p->fd);
    (void)snprintf(path, sizeof path, "%s/s", p->dir);
    (void)unlink(path);
    (void)rmdir(p->dir);
}
