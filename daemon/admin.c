/* The listening side of the admin socket. */
#include "daemon/admin.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/admin_client.h"
#include "daemon/admin_socket.h"
#include "daemon/master.h"

#define AGAIN_SECONDS 1.0 /* accept or listen once more */

static void refuse(int fd)
{
    char line[96];
    int n = snprintf(line, sizeof line,
                     "{\"ok\":false,\"error\":\"too many clients: %d are connected already\"}\n",
                     ADMIN_CLIENTS);
    (void)send(fd, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)close(fd);
}

static void on_acceptable(struct ev_loop *loop, ev_io *w, int revents)
{
    thread_assert(&on_master);
    struct admin *a = w->data;
    int fd = accept4(a->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    bool soon = errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
    if (revents & EV_ERROR || (fd < 0 && !soon)) { /* no descriptor or memory: not at once again */
        ev_io_stop(loop, w);
        ev_timer_again(loop, &a->again);
    }
    if (fd < 0)
        return;
    if (a->nclients >= ADMIN_CLIENTS)
        refuse(fd);
    else if (admin_client_new(a, fd) < 0)
        (void)close(fd);
}

/* ---- the socket ---- */

static int try_to_listen(struct admin *a, struct err *e)
{
    struct ev_loop *loop = a->master->loop;
    const char *path = a->master->conf->admin_socket;
    int r = admin_socket_open(&a->socket, path, e);
    if (r == 0) {
        ev_io_init(&a->acceptable, on_acceptable, a->socket.fd, EV_READ);
        a->acceptable.data = a;
        ev_io_start(loop, &a->acceptable);
        return 0;
    }
    if (r != -EADDRINUSE)
        return r;
    if (!a->told)
        log_warn("admin-socket",
                 "path='%s' what='another daemon listens there: rpopctl cannot "
                 "reach this one before that ends; set admin.socket'",
                 path);
    a->told = true;
    ev_timer_again(loop, &a->again);
    return 0;
}

static void on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)revents;
    thread_assert(&on_master);
    struct admin *a = w->data;
    struct err e = {0};
    ev_timer_stop(loop, w);
    if (a->socket.fd >= 0)
        return ev_io_start(loop, &a->acceptable);
    if (try_to_listen(a, &e) < 0)
        log_warn("admin-socket", "error='%s' what='rpopctl cannot reach this daemon'", e.text);
}

struct admin *admin_new(struct master *m, struct err *e)
{
    struct admin *a = calloc(1, sizeof *a);
    if (!a) {
        (void)err_set(e, -ENOMEM, "no memory for the admin socket");
        return NULL;
    }
    *a = (struct admin){.master = m, .socket = {-1, -1}, .since_ms = clock_now_ms()};
    jobs_report_init(&a->report, m);
    ev_init(&a->again, on_again);
    a->again.repeat = AGAIN_SECONDS;
    a->again.data = a;
    return try_to_listen(a, e) < 0 ? admin_free(a) : a;
}

struct admin *admin_free(struct admin *a)
{
    if (!a)
        return NULL;
    jobs_report_deinit(&a->report);
    ev_timer_stop(a->master->loop, &a->again);
    if (a->socket.fd >= 0)
        ev_io_stop(a->master->loop, &a->acceptable);
    while (a->clients)
        admin_client_free(a->clients);
    admin_socket_close(&a->socket, a->master->conf->admin_socket);
    free(a);
    return NULL;
}

void admin_report(struct admin *a)
{
    if (a)
        jobs_report(&a->report);
}
