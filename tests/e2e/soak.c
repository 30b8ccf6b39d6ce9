/* soak: two daemons at one queue, killed with SIGKILL again and again, and Redis with them, while
 * jobs that are told apart go through. Prints what it did; fails when a job is lost, was run more
 * often than kills explain, or a key is left.
 *
 *   SOAK_KILLS       of a daemon (2000)
 *   SOAK_REDIS       Redis too at each so-manieth of them, 0: never (20)
 *   SOAK_ADOPT       the dead one is left to the other at each so-manieth, 0: never (10)
 *   SOAK_PAUSE_MS    at most, between two kills (300)
 *   SEED             repeats the random choices */
#include "tests/e2e/scene.h"

#include <time.h>

#define PREFIX "0.020"   /* twenty milliseconds */
#define JOBS_MAX 1000000 /* six digits tell them apart */
#define DEAD_MAX 64
#define PATIENCE_MS 120000
#define CONF                                                              \
    "concurrency = 10; lease = 1.5; log: { level = \"warning\"; }; " ONE( \
        "sleep", "max_recoveries = 1000000;")

/* A life that was ended, until nothing of its epoch is left to be taken. */
struct dead {
    char epoch[96]; /* <instance>:<epoch> */
    int64_t since_ms;
};

struct soak {
    struct scene *scene;
    const char *names[2];
    struct daemon *daemons[2];
    struct dead dead[DEAD_MAX];
    unsigned ndead, pushed, kills, redis_kills, adoptions, recoveries;
    unsigned long in_flight; /* over all kills */
    int64_t longest_ms;
};

static void feed(struct soak *k)
{
    unsigned n = JOBS_MAX - k->pushed < 600 ? JOBS_MAX - k->pushed : 600;
    if (!n || ask_int(k->scene, "LLEN queue") > 300)
        return;
    push_numbers(k->scene, "queue", PREFIX, k->pushed, n);
    k->pushed += n;
}

/* Lives and deaths --------------------------------------------------------------------------------
 */

static void live(struct soak *k, unsigned who)
{
    char *text;
    k->scene->instance = k->names[who];
    text = scene_conf(k->scene, CONF);
    daemon_configure(k->daemons[who], text);
    free(text);
    daemon_start(k->daemons[who]);
}

/* Batches of it that are still its own. */
static long long holds(struct soak *k, const char *epoch)
{
    static const char script[] =
        "local n = 0 "
        "for _, f in ipairs(redis.call('HKEYS', 'rpopd:{queue}:batches')) do "
        "  if string.sub(f, 1, #ARGV[1]) == ARGV[1] then n = n + 1 end "
        "end return n";
    return ask_int(k->scene, "EVAL %s 0 %s:", script, epoch);
}

static void forget_recovered(struct soak *k)
{
    for (unsigned i = k->ndead; i-- > 0;) {
        if (holds(k, k->dead[i].epoch) != 0)
            continue;
        int64_t took = clock_now_ms() - k->dead[i].since_ms;
        k->longest_ms = took > k->longest_ms ? took : k->longest_ms;
        k->recoveries++;
        k->dead[i] = k->dead[--k->ndead];
    }
}

static void death(struct soak *k, unsigned who)
{
    char epoch[64];
    daemon_kill(k->daemons[who]);
    k->kills++;
    k->in_flight += (unsigned long)claimed_by(k->scene, "queue", k->names[who]);
    const char *owner = ask_text(k->scene, "GET rpopd:{queue}:owner:%s", k->names[who]);
    if (!owner || sscanf(owner, "1 %63s", epoch) != 1 || k->ndead == DEAD_MAX)
        return;
    struct dead *d = &k->dead[k->ndead];
    (void)snprintf(d->epoch, sizeof d->epoch, "%s:%s", k->names[who], epoch);
    d->since_ms = clock_now_ms();
    k->ndead += holds(k, d->epoch) > 0;
}

static void a_moment(struct soak *k, unsigned max_ms)
{
    int64_t end = clock_now_ns() + (int64_t)scene_random(max_ms * 1000) * 1000;
    while (clock_now_ns() < end) {
        forget_recovered(k);
        feed(k);
        scene_tick();
    }
}

static void one_kill(struct soak *k, unsigned max_ms, unsigned redis_each, unsigned adopt_each)
{
    unsigned who = scene_random(2);
    a_moment(k, max_ms);
    if (redis_each && k->kills % redis_each == redis_each - 1) {
        k->redis_kills++;
        if (redis_server_restart(k->scene->redis, true) != 0)
            scene_fail(k->scene, "Redis does not start again", __FILE__, __LINE__);
    }
    death(k, who);
    if (adopt_each && k->kills % adopt_each == 0 && daemon_alive(k->daemons[1 - who])) {
        k->adoptions++;
        scene_await(k->scene, PATIENCE_MS, (forget_recovered(k), k->ndead == 0));
    }
    live(k, who);
}

/* The sum -----------------------------------------------------------------------------------------
 */

static void report(struct soak *k, struct tally done, const char *left)
{
    print_message("kills of a daemon      %u\n", k->kills);
    print_message("kills of Redis         %u\n", k->redis_kills);
    print_message("adoptions              %u\n", k->adoptions);
    print_message("jobs                   %u\n", k->pushed);
    print_message("lost                   %u\n", k->pushed - done.distinct);
    print_message("run again              %u of %lu that were in flight\n",
                  done.total - done.distinct, k->in_flight);
    print_message("recoveries             %u, of %lld jobs\n", k->recoveries,
                  stat_of(k->scene, "queue", "recovered"));
    print_message("longest recovery       %.2f s\n", (double)k->longest_ms / 1000);
    print_message("keys left              %s\n", left[0] ? left : "none");
}

static void the_end(struct soak *k)
{
    struct scene *s = k->scene;
    scene_await(s, PATIENCE_MS, (forget_recovered(k), k->ndead == 0));
    scene_await(s, PATIENCE_MS, ask_int(s, "LLEN queue") == 0 && claimed(s, "queue") == 0);
    for (unsigned i = 0; i < 2; i++)
        if (daemon_stop(k->daemons[i], SIGTERM, LIMIT_MS) != 0)
            scene_fail(s, "a daemon did not end well", __FILE__, __LINE__);
    struct tally done = printed_by_both(s, "Done", PREFIX, k->pushed);
    const char *left = left_over(s);
    report(k, done, left);
    assert_int_equal(done.distinct, k->pushed);
    assert_in_range(done.total, k->pushed, k->pushed + k->in_flight);
    assert_int_equal(stat_of(s, "queue", "done"), k->pushed);
    assert_string_equal(left, "");
}

static void killed_again_and_again_nothing_is_lost(void **state)
{
    struct scene *s = *state;
    const unsigned kills = (unsigned)scene_number("SOAK_KILLS", 2000),
                   max_ms = (unsigned)scene_number("SOAK_PAUSE_MS", 300),
                   redis_each = (unsigned)scene_number("SOAK_REDIS", 20),
                   adopt_each = (unsigned)scene_number("SOAK_ADOPT", 10);
    s->second = daemon_new(s->folder, "second");
    struct soak k = {.scene = s, .names = {"one", "two"}, .daemons = {s->daemon, s->second}};
    int64_t start = clock_now_ms();
    live(&k, 0);
    live(&k, 1);
    while (k.kills < kills) {
        one_kill(&k, max_ms, redis_each, adopt_each);
        if (k.kills % 100 == 0)
            print_message("# %u kills, %u jobs, %lld s\n", k.kills, k.pushed,
                          (long long)(clock_now_ms() - start) / 1000);
    }
    the_end(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {DURABLE(killed_again_and_again_nothing_is_lost)};
    return scene_run(tests);
}
