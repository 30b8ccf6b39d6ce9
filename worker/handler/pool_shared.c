#include "worker/handler/pool_shared.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/clock.h"
#include "common/err.h"
#include "worker/handler/pool_member.h"

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 30000

struct pool_shared {
    const struct conf_queue *queue; /* borrowed */
    struct pool_shared *next;       /* with `users` guarded by pools.lock */
    unsigned users;
    pthread_mutex_t lock; /* guards what follows */
    struct pool_member *idle;
    unsigned failures; /* of starts, one behind the other */
    int64_t start_ms;  /* no start before, where there were failures */
    char cause[ERR_TEXT_MAX];
};

/* Workers know their queues, not each other: this is where they meet. */
static struct {
    pthread_mutex_t lock; /* guards all of it */
    struct pool_shared *first;
    struct pool_member *leaving; /* were told to end */
} pools = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct pool_shared *pool_new(const struct conf_queue *queue)
{
    struct pool_shared *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->queue = queue;
    (void)pthread_mutex_init(&p->lock, NULL);
    p->next = pools.first;
    return pools.first = p;
}

struct pool_shared *pool_shared_get(const struct conf_queue *queue)
{
    (void)pthread_mutex_lock(&pools.lock);
    struct pool_shared *p = pools.first;
    while (p && p->queue != queue)
        p = p->next;
    if (!p)
        p = pool_new(queue);
    if (p)
        p->users++;
    (void)pthread_mutex_unlock(&pools.lock);
    return p;
}

/* Its idle ones are told to end. */
static void dissolve(struct pool_shared *p)
{
    struct pool_shared **at = &pools.first;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    for (struct pool_member *m; (m = pool_shared_take(p));) {
        pool_member_dismiss(m);
        m->next = pools.leaving;
        pools.leaving = m;
    }
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}

void pool_shared_put(struct pool_shared *p)
{
    struct pool_member *leaving = NULL;
    if (!p)
        return;
    (void)pthread_mutex_lock(&pools.lock);
    if (--p->users == 0)
        dissolve(p);
    if (!pools.first) {
        leaving = pools.leaving;
        pools.leaving = NULL;
    }
    (void)pthread_mutex_unlock(&pools.lock);
    pool_member_end_all(leaving);
}

/* Under the lock. */
static struct pool_member *take(struct pool_member **at)
{
    struct pool_member *m = *at;
    *at = m->next;
    (void)epoll_ctl(m->keeper, EPOLL_CTL_DEL, m->pipes.pidfd, NULL);
    return m;
}

struct pool_member *pool_shared_take(struct pool_shared *p)
{
    (void)pthread_mutex_lock(&p->lock);
    struct pool_member *m = p->idle ? take(&p->idle) : NULL;
    (void)pthread_mutex_unlock(&p->lock);
    return m;
}

struct pool_member *pool_shared_ended(struct pool_shared *p, int keeper)
{
    struct epoll_event event;
    struct pool_member *m = NULL;
    (void)pthread_mutex_lock(&p->lock);
    if (epoll_wait(keeper, &event, 1, 0) == 1) {
        struct pool_member **at = &p->idle;
        while (*at != event.data.ptr)
            at = &(*at)->next;
        m = take(at);
    }
    (void)pthread_mutex_unlock(&p->lock);
    return m;
}

/* One that cannot be watched is found when the next job takes it. */
void pool_shared_keep(struct pool_shared *p, struct pool_member *m)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = m};
    (void)pthread_mutex_lock(&p->lock);
    m->next = p->idle;
    p->idle = m;
    (void)epoll_ctl(m->keeper, EPOLL_CTL_ADD, m->pipes.pidfd, &event);
    (void)pthread_mutex_unlock(&p->lock);
}

/* ---- starts ---- */

static int64_t backoff_ms(const struct pool_shared *p)
{
    int64_t ms = BACKOFF_FIRST_MS;
    for (unsigned i = 1; i < p->failures && ms < BACKOFF_MAX_MS; i++)
        ms *= 2;
    return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}

int64_t pool_shared_start(struct pool_shared *p, unsigned *ret_turn)
{
    int64_t now = clock_now_ms(), wait = 0;
    (void)pthread_mutex_lock(&p->lock);
    if (p->failures && now < p->start_ms)
        wait = p->start_ms - now;
    else if (p->failures)
        p->start_ms = now + BACKOFF_MAX_MS; /* this one tries; what comes of it tells the others */
    *ret_turn = p->failures;
    (void)pthread_mutex_unlock(&p->lock);
    return wait;
}

void pool_shared_good(struct pool_shared *p)
{
    (void)pthread_mutex_lock(&p->lock);
    p->failures = 0;
    p->cause[0] = '\0';
    (void)pthread_mutex_unlock(&p->lock);
}

void pool_shared_again(struct pool_shared *p)
{
    (void)pthread_mutex_lock(&p->lock);
    p->start_ms = 0;
    (void)pthread_mutex_unlock(&p->lock);
}

int64_t pool_shared_failed(struct pool_shared *p, unsigned turn, const char *cause)
{
    int64_t told = 0;
    (void)pthread_mutex_lock(&p->lock);
    if (turn == p->failures) { /* of several that were started together, the first one counts */
        p->failures++;
        p->start_ms = clock_now_ms() + backoff_ms(p);
        if (strcmp(p->cause, cause) != 0) {
            told = backoff_ms(p);
            (void)strncpy(p->cause, cause, sizeof p->cause - 1);
        }
    }
    (void)pthread_mutex_unlock(&p->lock);
    return told;
}
