#include "daemon/redis_resolve.h"

#include <errno.h>
#include <ev.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STACK_BYTES ((size_t)256 << 10) /* getaddrinfo takes 12 KB, its modules what they like */

/* Shared by the master and the thread; the last of them frees it. */
struct redis_resolver {
    pthread_mutex_t lock; /* guards all below up to the blank line */
    struct ev_loop *loop; /* NULL: nobody waits for the answer any more */
    ev_async wake;
    int users;
    bool answered;
    struct redis_addresses addresses;
    struct err why;

    bool asking; /* master only, as are fn and data; host and port are const */
    redis_resolved_fn fn;
    void *data;
    char *host;
    char port[8];
};

static void release(struct redis_resolver *r)
{
    (void)pthread_mutex_lock(&r->lock);
    int left = --r->users;
    (void)pthread_mutex_unlock(&r->lock);
    if (left)
        return;
    (void)pthread_mutex_destroy(&r->lock);
    free(r->host);
    free(r);
}

static void copy_addresses(const struct addrinfo *list, struct redis_addresses *ret)
{
    ret->n = 0;
    for (const struct addrinfo *a = list; a && ret->n < REDIS_ADDRESSES_MAX; a = a->ai_next) {
        if (a->ai_addrlen > sizeof ret->at[0].addr)
            continue;
        memset(&ret->at[ret->n].addr, 0, sizeof ret->at[0].addr);
        memcpy(&ret->at[ret->n].addr, a->ai_addr, a->ai_addrlen);
        ret->at[ret->n++].len = a->ai_addrlen;
    }
}

static int lookup(const char *host, const char *port, int flags, struct redis_addresses *ret)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int r = getaddrinfo(host, port, &hints, &list);
    if (r)
        return r;
    copy_addresses(list, ret);
    freeaddrinfo(list);
    return 0;
}

bool redis_resolve_digits(const char *host, uint16_t port, struct redis_addresses *ret_addresses)
{
    char text[8];
    (void)snprintf(text, sizeof text, "%u", port);
    return lookup(host, text, AI_NUMERICHOST, ret_addresses) == 0 && ret_addresses->n > 0;
}

static void *ask(void *arg)
{
    struct redis_resolver *r = arg;
    struct redis_addresses found = {.n = 0};
    struct err why = {0};
    int error = lookup(r->host, r->port, 0, &found);
    if (error)
        (void)err_set(&why, -EHOSTUNREACH, "host '%s': %s", r->host,
                      error == EAI_SYSTEM ? strerrordesc_np(errno) : gai_strerror(error));
    (void)pthread_mutex_lock(&r->lock);
    r->addresses = found;
    r->why = why;
    r->answered = true;
    if (r->loop) /* under the lock: the master cannot stop the watcher meanwhile */
        ev_async_send(r->loop, &r->wake);
    (void)pthread_mutex_unlock(&r->lock);
    release(r);
    return NULL;
}

static void on_wake(struct ev_loop *loop, ev_async *w, int revents)
{
    struct redis_resolver *r = w->data;
    (void)loop, (void)revents;
    thread_assert(&on_master);
    (void)pthread_mutex_lock(&r->lock);
    bool answered = r->answered;
    struct redis_addresses found = r->addresses;
    struct err why = r->why;
    r->answered = false;
    (void)pthread_mutex_unlock(&r->lock);
    if (!answered)
        return;
    r->asking = false;
    r->fn(&found, &why, r->data);
}

struct redis_resolver *redis_resolver_new(struct ev_loop *loop, const char *host, uint16_t port,
                                          redis_resolved_fn fn, void *data)
{
    struct redis_resolver *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->host = strdup(host);
    if (!r->host || pthread_mutex_init(&r->lock, NULL)) {
        free(r->host);
        free(r);
        return NULL;
    }
    (void)snprintf(r->port, sizeof r->port, "%u", port);
    r->users = 1;
    r->loop = loop;
    r->fn = fn;
    r->data = data;
    ev_async_init(&r->wake, on_wake);
    r->wake.data = r;
    ev_async_start(loop, &r->wake);
    return r;
}

struct redis_resolver *redis_resolver_free(struct redis_resolver *r)
{
    if (!r)
        return NULL;
    (void)pthread_mutex_lock(&r->lock);
    struct ev_loop *loop = r->loop;
    r->loop = NULL;
    (void)pthread_mutex_unlock(&r->lock);
    ev_async_stop(loop, &r->wake);
    release(r);
    return NULL;
}

/* Signals belong to the master: the thread gets none. */
static int start_thread(struct redis_resolver *r)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, before;
    int error = pthread_attr_init(&attr);
    if (error)
        return -error;
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread, &attr, ask, r);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    return -error;
}

int redis_resolver_ask(struct redis_resolver *r, struct err *e)
{
    if (r->asking)
        return 0;
    (void)pthread_mutex_lock(&r->lock);
    r->users++;
    (void)pthread_mutex_unlock(&r->lock);
    int error = start_thread(r);
    if (error < 0) {
        (void)err_set(e, error, "host '%s': no thread to ask for it: %s", r->host,
                      strerrordesc_np(-error));
        release(r);
        return error;
    }
    r->asking = true;
    return 0;
}
