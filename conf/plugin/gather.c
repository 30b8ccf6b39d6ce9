/* gather.c - a plugin that does several things at once: a child process, a function that blocks, on
 * a thread, and a nap. The job takes as long as the longest of them, and its worker does other jobs
 * meanwhile. Its payload is what `echo` is given.
 *
 * handler: { type = "plugin"; path = "/usr/lib/rpopd/gather.so"; settings: { nap = 300; }; }; */
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include <rpopd_plugin.h>

struct work { /* of one job; its tasks end before its run returns */
    struct rpopd_job *job;
    int64_t nap_ms;
    char said[200];
};

struct state {
    int64_t nap_ms;
};

static int init(const struct rpopd_settings *settings, void **state, struct rpopd_error *e)
{
    const char *nap = rpopd_setting(settings, "nap");
    struct state *s = calloc(1, sizeof *s);
    if (!s)
        return rpopd_error(e, -ENOMEM, "no memory");
    s->nap_ms = nap ? atoll(nap) : 100;
    *state = s;
    if (s->nap_ms >= 0)
        return 0;
    free(s);
    return rpopd_error(e, -EINVAL, "settings.nap: %s is below 0, allowed is a number of ms", nap);
}

static int nap(void *arg, void **result, struct rpopd_error *e)
{
    const struct work *w = arg;
    *result = (void *)"slept";
    return rpopd_sleep(w->nap_ms, e);
}

/* On a thread: getaddrinfo blocks. What it is given is a constant, so it may run on. */
static int look_up(void *arg, void **result, struct rpopd_error *e)
{
    struct addrinfo *found;
    int r = getaddrinfo(arg, NULL, NULL, &found);
    if (r)
        return rpopd_error(e, -ENXIO, "%s: %s", (const char *)arg, gai_strerror(r));
    freeaddrinfo(found);
    *result = (void *)"found";
    return 0;
}

static int look_up_beside(void *arg, void **result, struct rpopd_error *e)
{
    const struct work *w = arg;
    return rpopd_to_thread(w->job, look_up, (void *)"localhost", result, e);
}

static int read_all(struct rpopd_stream *s, struct work *w, struct rpopd_error *e)
{
    size_t n = 0;
    ssize_t r;
    while ((r = rpopd_stream_read(s, w->said + n, sizeof w->said - 1 - n, -1, e)) > 0)
        n += (size_t)r;
    w->said[n] = '\0';
    return (int)r;
}

static int echo(void *arg, void **result, struct rpopd_error *e)
{
    struct work *w = arg;
    const char *const argv[] = {"echo", "-n", rpopd_job_payload(w->job, NULL), NULL};
    struct rpopd_process *p = rpopd_process_spawn(argv, NULL, RPOPD_STDOUT, e);
    if (!p)
        return e->code;
    struct rpopd_stream *s = rpopd_stream_new(rpopd_process_take_pipe(p, 1), 0);
    int status = 0, r = s ? read_all(s, w, e) : rpopd_error(e, -ENOMEM, "no memory");
    if (r == 0)
        r = rpopd_process_wait(p, -1, &status, e);
    if (r == 0 && status != 0)
        r = rpopd_error(e, -EIO, "echo ended with %d", status);
    rpopd_stream_free(s);
    rpopd_process_free(p); /* and kills it where it still runs */
    *result = w->said;
    return r;
}

static int run(struct rpopd_job *job, void *state, struct rpopd_error *e)
{
    struct work w = {.job = job, .nap_ms = ((struct state *)state)->nap_ms};
    const struct rpopd_call calls[] = {{nap, &w}, {look_up_beside, &w}, {echo, &w}};
    struct rpopd_future *all = rpopd_gather_calls(job, calls, 3, false);
    void *results = NULL;
    int r = all ? rpopd_await(all, &results, e) : rpopd_error(e, -ENOMEM, "no memory");
    if (r == 0) {
        const struct rpopd_gathered *g = results;
        rpopd_log(job, RPOPD_INFO, "%s, %s, %s", (const char *)g[0].value, (const char *)g[1].value,
                  (const char *)g[2].value);
        r = rpopd_job_result(job, g[2].value, strlen(g[2].value));
    }
    rpopd_future_unref(all);          /* the results are borrowed until here */
    (void)rpopd_tasks_end(job, NULL); /* where one has failed, the others still use w */
    return r;
}

static void leave(void *state)
{
    free(state);
}

RPOPD_PLUGIN("gather", init, run, leave);
