#include "worker/runtime/fd_table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 64

struct fd_entry {
    struct fd_side sides[2]; /* by enum fd_way */
};

struct fd_table {
    struct loop_part part;
    struct fd_entry **entries; /* by number; NULL: never seen */
    size_t room;
};

static void run_side(struct loop_item *i);
static void drop_side(struct loop_item *i);

static const struct loop_item_ops side_ops = {run_side, drop_side};

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0; /* NOLINT: takes no third argument */
}

/* ev_io_set before every start: it makes libev tell the kernel again, in case the number was closed
 * and belongs to another file now. */
static void start(struct fd_side *s)
{
    ev_io_set(&s->io, s->io.fd, s->io.events);
    ev_io_start(s->loop->ev, &s->io);
}

static void on_ready(struct ev_loop *ev, ev_io *w, int events)
{
    struct fd_side *s = w->data;
    (void)ev;
    if (events & EV_ERROR && is_open(s->io.fd))
        return start(s); /* the kernel had no memory to watch it */
    if (events & EV_ERROR && s->waiter)
        fd_side_complete(s, -EBADF); /* it was closed meanwhile */
    if (s->queued || !(s->waiter || s->fn))
        return;
    s->queued = true;
    queue_push(&s->loop->ready, &s->item);
}

/* The context is held for itself: the callback may remove, or replace, what it was called for. */
static void call_back(struct fd_side *s)
{
    unsigned turn = s->turn;
    struct context *before = context_swap(context_ref(s->context));
    s->fn(s->arg);
    struct context *after = context_swap(before);
    if (s->turn == turn) {
        struct context *old = s->context;
        s->context = after;
        after = old;
    }
    context_unref(after);
}

static void run_side(struct loop_item *i)
{
    struct fd_side *s = CONTAINER_OF(i, struct fd_side, item);
    bool stale = s->stale;
    s->queued = s->stale = false;
    if (stale)
        return;
    if (s->waiter)
        fd_side_complete(s, 0);
    else
        call_back(s);
}

static void drop_side(struct loop_item *i)
{
    struct fd_side *s = CONTAINER_OF(i, struct fd_side, item);
    s->queued = s->stale = false;
}

void fd_side_release(struct fd_side *s)
{
    struct future *f = s->waiter;
    struct handle *alarm = s->alarm;
    if (!f && !s->fn)
        return;
    ev_io_stop(s->loop->ev, &s->io);
    context_unref(s->context);
    s->context = NULL;
    s->fn = NULL;
    s->waiter = NULL;
    s->alarm = NULL;
    s->stale = s->queued;
    s->turn++;
    if (alarm)
        handle_cancel(alarm);
    handle_unref(alarm);
    future_unref(f);
}

void fd_side_complete(struct fd_side *s, int code)
{
    (void)future_set_result(s->waiter, (void *)(intptr_t)code); /* cancelled before: that counts */
    fd_side_release(s);
}

void fd_side_own(struct fd_side *s, loop_fn fn, void *arg)
{
    fd_side_release(s);
    s->fn = fn;
    s->arg = arg;
    s->context = context_copy();
    start(s);
}

void fd_side_lend(struct fd_side *s, struct future *f)
{
    s->waiter = f;
    start(s);
}

static void close_table(struct loop_part *p)
{
    struct fd_table *t = CONTAINER_OF(p, struct fd_table, part);
    for (size_t i = 0; i < t->room; i++) {
        if (!t->entries[i])
            continue;
        fd_side_release(&t->entries[i]->sides[FD_READ]);
        fd_side_release(&t->entries[i]->sides[FD_WRITE]);
        free(t->entries[i]);
    }
    free(t->entries);
    free(t);
}

static int no_shutdown(struct loop_part *p, struct err *e)
{
    (void)p, (void)e;
    return 0;
}

static struct fd_table *table_find(const struct loop *l)
{
    struct loop_part *p = l->parts;
    while (p && p->close != close_table)
        p = p->next;
    return p ? CONTAINER_OF(p, struct fd_table, part) : NULL;
}

static struct fd_table *table_get(struct loop *l)
{
    struct fd_table *t = table_find(l);
    if (t)
        return t;
    t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->part = (struct loop_part){.shutdown = no_shutdown, .close = close_table};
    loop_add_part(l, &t->part);
    return t;
}

static int grow(struct fd_table *t, size_t fd)
{
    size_t room = t->room ? t->room : FIRST_ROOM;
    while (room <= fd)
        room *= 2;
    struct fd_entry **entries = realloc(t->entries, room * sizeof(struct fd_entry *));
    if (!entries)
        return -ENOMEM;
    memset(entries + t->room, 0, (room - t->room) * sizeof(struct fd_entry *));
    t->entries = entries;
    t->room = room;
    return 0;
}

static void init_side(struct fd_side *s, struct loop *l, int fd, int events)
{
    s->loop = l;
    s->item.ops = &side_ops;
    ev_io_init(&s->io, on_ready, fd, events);
    s->io.data = s;
}

static int entry_get(struct loop *l, int fd, struct fd_entry **ret_entry)
{
    struct fd_table *t = table_get(l);
    if (!t || ((size_t)fd >= t->room && grow(t, (size_t)fd) < 0))
        return -ENOMEM;
    struct fd_entry *x = t->entries[fd];
    if (!x) {
        x = calloc(1, sizeof *x);
        if (!x)
            return -ENOMEM;
        init_side(&x->sides[FD_READ], l, fd, EV_READ);
        init_side(&x->sides[FD_WRITE], l, fd, EV_WRITE);
        t->entries[fd] = x;
    }
    *ret_entry = x;
    return 0;
}

int fd_side_get(struct loop *l, int fd, enum fd_way way, struct fd_side **ret_side, struct err *e)
{
    static const char *const ways[] = {[FD_READ] = "reading", [FD_WRITE] = "writing"};
    struct fd_entry *x;
    loop_check_thread(l, __func__);
    if (loop_is_closed(l))
        return error_set(e, ERROR_CLOSED);
    if (!is_open(fd))
        return err_set(e, -EBADF, "file descriptor %d is not open", fd);
    int r = entry_get(l, fd, &x);
    if (r < 0)
        return error_set(e, r);
    if (x->sides[way].waiter)
        return err_set(e, ERROR_RUNTIME, "file descriptor %d is awaited for %s already", fd,
                       ways[way]);
    *ret_side = &x->sides[way];
    return 0;
}

struct fd_side *fd_side_find(struct loop *l, int fd, enum fd_way way)
{
    struct fd_table *t = table_find(l);
    if (!t || fd < 0 || (size_t)fd >= t->room || !t->entries[fd])
        return NULL;
    return &t->entries[fd]->sides[way];
}
