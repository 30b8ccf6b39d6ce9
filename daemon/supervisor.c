#include "daemon/supervisor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "daemon/hang.h"
#include "daemon/master.h"
#include "daemon/queue.h"

struct supervisor {
    struct master *master;
    bool ready;
    char status[384]; /* as last told */
    ev_timer watchdog;
    uint64_t *progress; /* of each worker, as last seen */
    uint64_t links;
};

static bool has_moved(struct supervisor *s)
{
    struct master *m = s->master;
    bool all = redis_progress(m->redis) != s->links;
    for (size_t i = 0; i < m->nworkers; i++)
        all = all && worker_progress(m->workers[i]) != s->progress[i];
    if (!all)
        return false;
    s->links = redis_progress(m->redis);
    for (size_t i = 0; i < m->nworkers; i++) {
        s->progress[i] = worker_progress(m->workers[i]);
        worker_poke(m->workers[i]);
    }
    return true;
}

static void on_watchdog(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    struct supervisor *s = w->data;
    if (has_moved(s))
        (void)sd_notify(0, "WATCHDOG=1");
}

struct supervisor *supervisor_new(struct master *m)
{
    struct supervisor *s = calloc(1, sizeof *s);
    uint64_t *progress = calloc((size_t)m->conf->workers, sizeof *progress), usec = 0;
    if (!s || !progress) {
        free(s);
        free(progress);
        return NULL;
    }
    s->master = m;
    s->progress = progress;
    ev_init(&s->watchdog, on_watchdog);
    s->watchdog.data = s;
    if (sd_watchdog_enabled(0, &usec) > 0) {
        ev_timer_set(&s->watchdog, (double)usec / 4e6, (double)usec / 4e6);
        ev_timer_start(m->loop, &s->watchdog);
    }
    return s;
}

struct supervisor *supervisor_free(struct supervisor *s)
{
    if (!s)
        return NULL;
    ev_timer_stop(s->master->loop, &s->watchdog);
    free(s->progress);
    free(s);
    return NULL;
}

static const char *trouble_at_queues(const struct master *m, const char **ret_queue)
{
    for (size_t i = 0; i < m->nqueues; i++) {
        const char *code = trouble_any(&m->queues[i]->trouble);
        *ret_queue = m->queues[i]->conf->label;
        if (code)
            return code;
    }
    return NULL;
}

static void describe(const struct master *m, char *out, size_t size)
{
    const char *queue = "", *code = trouble_at_queues(m, &queue);
    size_t hangs = 0;
    while (hangs < m->nworkers && !hang_ms(m->hang, hangs))
        hangs++;
    int n = snprintf(out, size,
                     "%zu queue%s, %u running, %" PRIu64 " done, %" PRIu64 " retried, %" PRIu64
                     " dead, %" PRIu64 " cancelled",
                     m->nqueues, m->nqueues == 1 ? "" : "s", m->running, m->done, m->retried,
                     m->dead, m->cancelled);
    if (!redis_link_up(m->control))
        (void)snprintf(out + n, size - (size_t)n, "; Redis cannot be reached: %.100s",
                       redis_trouble(m->redis));
    else if (hangs < m->nworkers)
        (void)snprintf(out + n, size - (size_t)n, "; worker %zu hangs in one of its jobs", hangs);
    else if (code)
        (void)snprintf(out + n, size - (size_t)n, "; Redis refuses at queue %.60s: %s", queue,
                       code);
}

void supervisor_tell(struct supervisor *s)
{
    struct master *m = s->master;
    char status[sizeof s->status];
    if (master_quiet(m))
        return;
    if (!s->ready && (redis_ever_connected(m->redis) || *redis_trouble(m->redis))) {
        s->ready = true;
        (void)sd_notify(0, "READY=1");
        for (size_t i = 0; i < m->nworkers; i++)
            worker_poke(m->workers[i]);
    }
    describe(m, status, sizeof status);
    if (strcmp(status, s->status) == 0)
        return;
    memcpy(s->status, status, sizeof status);
    (void)sd_notifyf(0, "STATUS=%s", status);
}

void supervisor_stopping(struct supervisor *s)
{
    (void)sd_notifyf(0, "STOPPING=1\nSTATUS=Stopping: %u running", s->master->running);
}
