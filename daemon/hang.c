#include "daemon/hang.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/admin_jobs.h"
#include "daemon/master.h"
#include "daemon/queue.h"

#define LOOKS 3 /* one may follow a stop of the whole process at once */
#define LEAST_MS 1000
#define JOBS_MAX 10 /* that are logged */

struct hang {
    struct master *master;
    struct seen {
        uint64_t progress;
        int64_t since_ms;
        unsigned looks; /* that saw no progress */
        bool told;
    } worker[];
};

struct hang *hang_new(struct master *m)
{
    struct hang *h = calloc(1, sizeof *h + (size_t)m->conf->workers * sizeof h->worker[0]);
    if (h)
        h->master = m;
    return h;
}

struct hang *hang_free(struct hang *h)
{
    free(h);
    return NULL;
}

static void log_jobs(const struct master *m, unsigned worker)
{
    unsigned n = 0;
    for (size_t i = 0; i < m->nqueues; i++)
        for (const struct batch *b = m->queues[i]->batches; b; b = b->next)
            for (uint32_t at = 0; at < b->read && n < JOBS_MAX; at++)
                if (b->job[at] && b->job[at]->running && b->job[at]->worker == worker) {
                    jobs_log(b->job[at]);
                    n++;
                }
}

static void tell(struct hang *h, unsigned worker)
{
    struct seen *s = &h->worker[worker];
    s->told = true;
    log_warn("worker-hangs",
             "worker=%u ms=%" PRId64 " running=%" PRIu32
             " what='one of its jobs does not let the others go on; they follow'",
             worker, clock_now_ms() - s->since_ms, h->master->load[worker]);
    log_jobs(h->master, worker);
}

static void moves(struct seen *s, unsigned worker, uint64_t progress)
{
    int64_t now = clock_now_ms();
    if (s->told)
        log_info("worker-goes-on", "worker=%u after_ms=%" PRId64, worker, now - s->since_ms);
    *s = (struct seen){.progress = progress, .since_ms = now};
}

/* One without jobs is left asleep. */
void hang_look(struct hang *h)
{
    struct master *m = h->master;
    int64_t lease_ms = m->conf->lease_ms,
            most_ms = lease_ms / 3 > LEAST_MS ? lease_ms / 3 : LEAST_MS;
    for (unsigned i = 0; i < m->nworkers; i++) {
        struct seen *s = &h->worker[i];
        uint64_t progress = worker_progress(m->workers[i]);
        if (progress != s->progress || !m->load[i])
            moves(s, i, progress);
        else if (++s->looks >= LOOKS && !s->told && clock_now_ms() - s->since_ms >= most_ms)
            tell(h, i);
        if (m->load[i])
            worker_poke(m->workers[i]);
    }
}

int64_t hang_ms(const struct hang *h, size_t worker)
{
    const struct seen *s = &h->worker[worker];
    return s->told ? clock_now_ms() - s->since_ms : 0;
}
